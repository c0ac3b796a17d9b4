//! A transparent strip for videos: a browser source of OBS and the like.

use maud::{Markup, Render, html};
use protocol::NowState;

use crate::live::board::{FloorView, Signal};
use crate::views::floor::Clock;
use crate::views::layout::{Document, Live};
use crate::views::{Screen, Skin};
use crate::web::cover_path;

/// What the strip shows, as its address says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    pub artist: bool,
    pub bpm: bool,
    pub key: bool,
    pub dj: bool,
    pub cover: bool,
}

impl Fields {
    /// Reads `title,artist,bpm`; the title is always there. Without a list: title, artist and cover.
    pub fn read(list: Option<&str>) -> Self {
        let has = |name: &str| list.is_some_and(|list| list.split(',').any(|field| field.trim() == name));
        let usual = |name| list.is_none() || has(name);
        Self {
            artist: usual("artist"),
            bpm: has("bpm"),
            key: has("key"),
            dj: has("dj"),
            cover: usual("cover"),
        }
    }

    fn class(self) -> &'static str {
        // Each field that is left out has a class, since the parts of the page are the same for everybody.
        const NAMES: [&str; 16] = [
            "strip no-artist no-bpm no-key no-dj",
            "strip no-bpm no-key no-dj",
            "strip no-artist no-key no-dj",
            "strip no-key no-dj",
            "strip no-artist no-bpm no-dj",
            "strip no-bpm no-dj",
            "strip no-artist no-dj",
            "strip no-dj",
            "strip no-artist no-bpm no-key",
            "strip no-bpm no-key",
            "strip no-artist no-key",
            "strip no-key",
            "strip no-artist no-bpm",
            "strip no-bpm",
            "strip no-artist",
            "strip",
        ];
        let bit = |on: bool, place: usize| usize::from(on) << place;
        NAMES[bit(self.artist, 0) | bit(self.bpm, 1) | bit(self.key, 2) | bit(self.dj, 3)]
    }
}

/// The page for a video.
#[derive(Debug)]
pub struct OverlayPage<'a> {
    pub view: &'a FloorView,
    pub fields: Fields,
    /// Each change is shown so much later, as late as the video is.
    pub delay_s: u32,
}

impl<'a> OverlayPage<'a> {
    /// The whole page.
    pub fn document(&self, skin: Skin<'a>) -> Document<'a> {
        let view = self.view;
        Document {
            accent: view.accent,
            live: Some(Live { floor: view.address.to_string(), screen: Screen::Overlay }),
            data: vec![
                ("delay", self.delay_s.to_string()),
                ("cover", if self.fields.cover { "yes" } else { "no" }.to_owned()),
            ],
            refresh_s: Some(10),
            ..Document::plain(
                skin,
                self.fields.class(),
                format!("{} · {}", view.floor_name, view.event_name),
                html! {
                    (Clock::now(skin.assets))
                h1.spoken { (view.floor_name) }
                    (Strip { view })
                },
            )
        }
    }
}

/// The strip; nothing while nothing is known to play.
#[derive(Debug)]
pub struct Strip<'a> {
    pub view: &'a FloorView,
}

impl Render for Strip<'_> {
    fn render(&self) -> Markup {
        let view = self.view;
        let is_on = view.now.as_ref().is_some_and(|now| now.state == NowState::Playing);
        let play = view.playing().filter(|_| is_on && view.signal == Signal::Live);
        html! {
            section #now .tag {
                @if let Some(play) = play {
                    @if let Some(cover) = play.track.cover {
                        img.cover src=(cover_path(cover)) alt="" width="500" height="500" decoding="async";
                    }
                    p.title { (play.track.display_title()) }
                    @if let Some(artist) = &play.track.artist { p.artist { (artist) } }
                    @if let Some(bpm) = play.track.bpm { p.bpm { (bpm.round()) " BPM" } }
                    @if let Some(key) = &play.track.key { p.key { (key) } }
                    @if let Some(dj) = view.now.as_ref().and_then(|now| now.dj.as_ref()) { p.dj { (dj.name) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_are_not_asked_for_are_hidden() {
        assert_eq!(Fields::read(None).class(), "strip no-bpm no-key no-dj");
        assert_eq!(Fields::read(Some("title")).class(), "strip no-artist no-bpm no-key no-dj");
        assert_eq!(Fields::read(Some("dj, bpm,key,artist")).class(), "strip");
        assert_eq!(Fields::read(Some("<b>")).class(), "strip no-artist no-bpm no-key no-dj");
        let cover = |list| Fields::read(list).cover;
        assert!(cover(None) && cover(Some("cover,dj")) && !cover(Some("artist")));
        for bits in 0..16u8 {
            let on = |place: u8| bits >> place & 1 == 1;
            let class = Fields { artist: on(0), bpm: on(1), key: on(2), dj: on(3), cover: true }.class();
            for (place, name) in (0..).zip(["no-artist", "no-bpm", "no-key", "no-dj"]) {
                assert_eq!(class.contains(name), !on(place), "{class}");
            }
        }
    }
}
