//! What a source saw the DJ's program report: one play, not yet judged. Whether it is "now playing" is for
//! `now_playing` to say.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use protocol::Track;

/// Which kind of source saw a play; a part of the play's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKind {
    VirtualDjLive,
    VirtualDj,
    Mixxx,
    Serato,
    Djay,
    Djuced,
    Rekordbox,
    M3u,
    StagelinQ,
    Icecast,
    Mpris,
    Smtc,
    JRiver,
    Input,
    Text,
}

/// The text names no kind of source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no source; there are auto, {all}", all = SourceKind::names().join(", "))]
pub struct BadSource(String);

impl SourceKind {
    /// All kinds, the most trusted first.
    pub const ALL: &[Self] = &[
        Self::VirtualDjLive,
        Self::VirtualDj,
        Self::Mixxx,
        Self::Serato,
        Self::Djay,
        Self::Djuced,
        Self::Rekordbox,
        Self::M3u,
        Self::StagelinQ,
        Self::Icecast,
        Self::Mpris,
        Self::Smtc,
        Self::JRiver,
        Self::Input,
        Self::Text,
    ];

    /// As it stands in settings, in a desk's state and in the ids of plays.
    pub fn name(self) -> &'static str {
        match self {
            Self::VirtualDjLive => "virtualdj-live",
            Self::VirtualDj => "virtualdj",
            Self::Mixxx => "mixxx",
            Self::Serato => "serato",
            Self::Djay => "djay",
            Self::Djuced => "djuced",
            Self::Rekordbox => "rekordbox",
            Self::M3u => "m3u",
            Self::StagelinQ => "stagelinq",
            Self::Icecast => "icecast",
            Self::Mpris => "mpris",
            Self::Smtc => "smtc",
            Self::JRiver => "jriver",
            Self::Input => "http",
            Self::Text => "text",
        }
    }

    /// What it is called among DJs.
    pub fn program(self) -> &'static str {
        match self {
            Self::VirtualDjLive => "VirtualDJ's Network Control",
            Self::VirtualDj => "VirtualDJ",
            Self::Mixxx => "Mixxx",
            Self::Serato => "Serato",
            Self::Djay => "djay Pro",
            Self::Djuced => "DJUCED",
            Self::Rekordbox => "rekordbox",
            Self::M3u => "a playlist",
            Self::StagelinQ => "Engine OS players",
            Self::Icecast => "a broadcast",
            Self::Mpris => "a music player",
            Self::Smtc => "a music player on Windows",
            Self::JRiver => "JRiver",
            Self::Input => "a program that tells us",
            Self::Text => "a text file",
        }
    }

    /// Whether the user can say where its files are.
    pub fn has_files(self) -> bool {
        match self {
            Self::VirtualDj
            | Self::Mixxx
            | Self::Serato
            | Self::Djay
            | Self::Djuced
            | Self::Rekordbox
            | Self::M3u
            | Self::Text => true,
            Self::VirtualDjLive
            | Self::StagelinQ
            | Self::Icecast
            | Self::Mpris
            | Self::Smtc
            | Self::JRiver
            | Self::Input => false,
        }
    }

    fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|kind| kind.name()).collect()
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SourceKind {
    type Err = BadSource;
    fn from_str(text: &str) -> Result<Self, BadSource> {
        let kind = Self::ALL.iter().find(|kind| kind.name() == text);
        kind.copied().ok_or_else(|| BadSource(text.to_owned()))
    }
}

/// How a play came to our eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It appeared while we watched. Without a start time, it starts now.
    Live,
    /// It was there when we came. Without a start time, it is history.
    Found,
    /// It was heard when we came, and nobody knows since when.
    Playing,
}

/// Where the music lies. It never leaves the machine, so it cannot be serialized.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    Path(String),
    Stream { service: String, id: String },
    Url(String),
}

/// One play as a source reports it. It cannot be serialized: location and comment never leave the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    pub source: SourceKind,
    /// Names this play for ever: the same play read again has the same, another play of the song has another.
    pub identity: String,
    pub arrival: Arrival,
    pub deck: Option<u8>,
    pub track: Track,
    /// The title is that of the file's name, so whoever knows one knows better.
    pub is_named: bool,
    pub location: Option<Location>,
    pub file_bytes: Option<u64>,
    /// A file with the cover as the DJ program has it; it counts before that in the file of the track.
    pub picture: Option<PathBuf>,
    pub comment: Option<String>,
    pub started_ms: Option<i64>,
}

impl Observation {
    /// A play of which nothing is known but that it was.
    pub fn new(source: SourceKind, identity: String) -> Self {
        Self {
            source,
            identity,
            arrival: Arrival::Live,
            deck: None,
            track: Track::default(),
            is_named: false,
            location: None,
            file_bytes: None,
            picture: None,
            comment: None,
            started_ms: None,
        }
    }

    /// The play with its file's name where a tag is missing.
    #[must_use]
    pub fn named(mut self) -> Self {
        let place = match &self.location {
            Some(Location::Path(place) | Location::Url(place)) => Some(place),
            Some(Location::Stream { .. }) | None => None,
        };
        if self.track.title.as_ref() == place {
            self.track.title = None;
        }
        if self.track.title.is_none()
            && let Some((artist, title)) = self.location.as_ref().and_then(Location::stem)
        {
            self.track.title = Some(title);
            self.track.artist = self.track.artist.or(artist);
            self.is_named = true;
        }
        self
    }
}

/// Whether a play that started then may still be what is heard now. A start in the future is a wrong clock, not news.
pub fn is_fresh(started_ms: i64, duration_ms: Option<i64>, now_ms: i64) -> bool {
    const UNKNOWN_LENGTH_MS: i64 = 10 * 60_000;
    const SLACK_MS: i64 = 60_000;
    let length_ms = duration_ms.unwrap_or(UNKNOWN_LENGTH_MS);
    let age_ms = now_ms.saturating_sub(started_ms);
    (-SLACK_MS..=length_ms.saturating_add(SLACK_MS)).contains(&age_ms)
}

impl Location {
    /// Reads a location line of a list. Streams and web addresses are told apart, so that nobody opens them as files.
    pub fn parse(text: &str) -> Self {
        if let Some(stream) = text.strip_prefix("netsearch://") {
            let split = stream.char_indices().nth(2).map_or(stream.len(), |(at, _)| at);
            let (service, id) = stream.split_at(split);
            return Self::Stream { service: service.to_owned(), id: id.to_owned() };
        }
        let scheme = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        if scheme.starts_with("http://") || scheme == "https://" {
            return Self::Url(text.to_owned());
        }
        Self::Path(text.to_owned())
    }

    /// Artist and title as the file's name tells them, for files without tags.
    pub fn stem(&self) -> Option<(Option<String>, String)> {
        let name = match self {
            Self::Stream { .. } => return None,
            Self::Path(path) => path.rsplit(['/', '\\']).next()?.to_owned(),
            Self::Url(url) => {
                let path = url.split(['?', '#']).next()?;
                percent_decoded(path.rsplit('/').next()?)
            }
        };
        from_stem(without_extension(&name))
    }
}

/// `Artist - Title`, split at the first " - "; a plain text is a title.
pub fn artist_and_title(text: &str) -> (Option<String>, Option<String>) {
    let split = text.split_once(" - ").or_else(|| text.split_once(" – "));
    match split {
        Some((artist, title)) => {
            let (artist, title) = (super::decode::field(artist), super::decode::field(title));
            // "Artist - " and " - Title" name one thing: show it.
            if title.is_none() { (None, artist) } else { (artist, title) }
        }
        None => (None, super::decode::field(text)),
    }
}

/// `%20` and its like as bytes, read as UTF-8 or, failing that, as Windows-1252.
pub fn percent_decoded(text: &str) -> String {
    super::decode::line(&Cow::from(percent_decode_str(text)))
}

fn without_extension(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension))
            if !stem.is_empty()
                && (1..=5).contains(&extension.len())
                && extension.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
        {
            stem
        }
        _ => name,
    }
}

fn from_stem(stem: &str) -> Option<(Option<String>, String)> {
    let spaced = stem.replace('_', " ");
    let (artist, title) = artist_and_title(without_track_number(spaced.trim()));
    title.map(|title| (artist, title))
}

/// Drops "02 ", "1. " and "12 - " before a name, and leaves "99 Luftballons" and "50 - Song" alone.
fn without_track_number(name: &str) -> &str {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=3).contains(&digits) {
        return name;
    }
    let (number, rest) = name.split_at(digits);
    let after = rest.trim_start_matches([' ', '.', '-', '–']);
    let surely = (number.starts_with('0') && after.len() < rest.len()) || rest.starts_with(". ");
    let before_a_pair = rest.starts_with(" - ") && after.contains(" - ");
    if (surely || before_a_pair) && !after.is_empty() { after } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_stem(location: &str, artist: &str, title: &str) {
        let (seen_artist, seen_title) = Location::parse(location).stem().expect("a name");
        assert_eq!((seen_artist.unwrap_or_default().as_str(), seen_title.as_str()), (artist, title));
    }

    #[test]
    fn names_of_files() {
        check_stem(r"D:\promo\Artist X - Song Y.flac", "Artist X", "Song Y");
        check_stem(r"\\nas\music\untagged.mp3", "", "untagged");
        check_stem("/m/02 Rock.mp3", "", "Rock");
        check_stem("/m/12 - Ana - Rock.mp3", "Ana", "Rock");
        check_stem("/m/99 Luftballons.mp3", "", "99 Luftballons");
        check_stem("/m/Ana_Ruiz_–_Night.mp3", "Ana Ruiz", "Night");
        check_stem("/m/Vol. 2 feat. X", "", "Vol. 2 feat. X");
        check_stem("https://x.org/a/My%20Song.mp3?t=1", "", "My Song");
    }

    #[test]
    fn streams_are_not_files() {
        assert_eq!(
            Location::parse("netsearch://dz85144450"),
            Location::Stream { service: "dz".into(), id: "85144450".into() }
        );
        assert_eq!(
            Location::parse("netsearch://é"),
            Location::Stream { service: "é".into(), id: String::new() }
        );
    }

    #[test]
    fn freshness() {
        assert!(is_fresh(0, None, 660_000));
        assert!(!is_fresh(0, None, 660_001));
        assert!(is_fresh(0, Some(200_000), 260_000));
        assert!(!is_fresh(i64::MAX, Some(i64::MAX), 0));
    }
}
