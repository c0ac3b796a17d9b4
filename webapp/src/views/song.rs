//! One play: what it was, and where to find it elsewhere.

use maud::{Markup, Render, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use protocol::{FloorAddress, PastPlay, Track};

use crate::live::board::FloorView;
use crate::views::floor::{LikeForm, Shapes, Sleeve, Title};
use crate::views::layout::Document;
use crate::views::{Skin, times};

/// The page behind each song.
#[derive(Debug)]
pub struct SongPage<'a> {
    pub view: &'a FloorView,
    pub past: &'a PastPlay,
    pub liked: bool,
}

impl<'a> SongPage<'a> {
    /// The whole page.
    pub fn document(&self, skin: Skin<'a>) -> Document<'a> {
        let Self { view, past, liked } = *self;
        let (words, track) = (skin.words, &past.play.track);
        let dj = past.dj.as_ref().map_or("", |dj| dj.name.as_str());
        Document {
            accent: view.accent,
            place: Some((&view.event_name, &view.floor_name)),
            ..Document::plain(
                skin,
                "one-song",
                format!("{} · {}", track.line(), view.event_name),
                html! {
                    (Sleeve { play: past.play.id, track })
                    div.words { (Title { track, words }) }
                    p.line.small {
                        (words.with("played-at", [
                            ("day", times::day(past.play.started_ms, &view.time_zone).into()),
                            ("time", times::clock(past.play.started_ms, &view.time_zone).into()),
                            ("dj", dj.into()),
                        ]))
                    }
                    (Shapes)
                    (LikeForm { floor: &view.address, play: past.play.id, words, on: liked })
                    (FindIt { track, words })
                    p.links { a href={ "/e/" (view.address) } { (words.say("back-to-floor")) } }
                },
            )
        }
    }
}

/// Links that search for a track.
#[derive(Debug)]
pub struct FindIt<'a> {
    pub track: &'a Track,
    pub words: crate::words::Words,
}

impl Render for FindIt<'_> {
    fn render(&self) -> Markup {
        html! {
            section.find {
                h2 { (self.words.say("find-at")) }
                ul {
                    @for (name, url) in places(self.track) {
                        li { a.button.quiet href=(url) target="_blank" rel="noopener noreferrer" { (name) } }
                    }
                }
            }
        }
    }
}

/// Where songs are looked for: names, and addresses up to what is searched. Nobody has to have an account with any of
/// them, or gets to know of the dancer before the tap.
const PLACES: [(&str, &str); 8] = [
    ("Spotify", "https://open.spotify.com/search/"),
    ("YouTube", "https://www.youtube.com/results?search_query="),
    ("YouTube Music", "https://music.youtube.com/search?q="),
    ("Apple Music", "https://music.apple.com/search?term="),
    ("Tidal", "https://tidal.com/search?q="),
    ("Deezer", "https://www.deezer.com/search/"),
    ("Bandcamp", "https://bandcamp.com/search?q="),
    ("MusicBrainz", "https://musicbrainz.org/search?type=recording&query="),
];

/// Names and addresses of searches for the track.
pub fn places(track: &Track) -> impl Iterator<Item = (&'static str, String)> {
    let words = searched(track);
    let encoded = utf8_percent_encode(&words, NON_ALPHANUMERIC).to_string();
    PLACES.into_iter().map(move |(name, address)| (name, format!("{address}{encoded}")))
}

/// Artist and title, without what only DJs write into titles: `(Clean)`, `[Intro]`, `(124 BPM)`.
fn searched(track: &Track) -> String {
    const NOISE: [&str; 12] = [
        "clean",
        "dirty",
        "explicit",
        "intro",
        "outro",
        "extended",
        "radio edit",
        "original mix",
        "short edit",
        "quick hit",
        "bpm",
        "master",
    ];
    let mut text = String::new();
    for part in [&track.artist, &track.title].into_iter().flatten() {
        let mut rest = part.as_str();
        while let Some(open) = rest.find(['(', '[']) {
            text += &rest[..open];
            let close = rest[open..].find([')', ']']).map_or(rest.len(), |close| open + close + 1);
            let inner = rest[open..close].to_lowercase();
            if !NOISE.iter().any(|noise| inner.contains(noise)) {
                text += rest[open..close].trim_matches(['(', ')', '[', ']']);
            }
            rest = &rest[close..];
        }
        text += rest;
        text.push(' ');
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The address of a play's page.
pub fn path(floor: &FloorAddress, past: &PastPlay) -> String {
    format!("/e/{floor}/play/{}", past.play.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_has_no_noise_and_nothing_that_breaks_an_address() {
        let track = |artist: &str, title: &str| Track {
            artist: Some(artist.into()),
            title: Some(title.into()),
            ..Track::default()
        };
        for (artist, title, expected) in [
            ("Étta & James", "At Last (Clean) [Intro]", "Étta & James At Last"),
            ("A", "B (Live at Home)", "A B Live at Home"),
            ("A", "B (open", "A B open"),
            ("", "((", ""),
        ] {
            assert_eq!(searched(&track(artist, title)), expected);
        }
        let (_, url) = places(&track("AC/DC", "What? \"#1\"")).next().unwrap();
        assert_eq!(url, "https://open.spotify.com/search/AC%2FDC%20What%3F%20%22%231%22");
        assert_eq!(searched(&Track::default()), "");
    }
}
