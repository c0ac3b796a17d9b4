//! What the DJ can set: the `publisher` section of the configuration, as far as sources and judgement go.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use config::Secret;
use protocol::FloorId;
use serde::{Deserialize, Serialize};

use crate::now_playing::{Rules, Skip};
use crate::pattern::Pattern;
use crate::sources::decks::DeckMode;
use crate::sources::observation::{BadSource, SourceKind};

/// No floor waits longer for a track.
pub(crate) const DELAY_S_MAX: u32 = 60;

/// The `publisher` section. The defaults work on a laptop with VirtualDJ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where plays come from.
    pub source: Chosen,
    /// The DJ program's folder, its history folder, or one file. Found by itself when absent.
    pub path: Option<PathBuf>,
    /// Look every second and do not rely on the system to tell of changes; for network drives that tell wrongly.
    pub force_polling: bool,
    /// Seconds a new track waits before it is shown, 0 to 60. One that is replaced meanwhile is never shown.
    pub delay_s: u32,
    /// Tracks played for fewer seconds are not told.
    pub min_play_s: u32,
    /// This laptop is the server too: broker, archiver and web app run beside the publisher, and no internet is needed.
    pub lan: bool,
    /// The address of this laptop that phones are given, when it has several.
    pub interface: Option<IpAddr>,
    /// The floor that is played on.
    pub floor: FloorId,
    /// The name that dancers see.
    pub dj: Option<String>,
    /// Which deck is told when several play, for programs that tell of each deck by itself.
    pub deck_mode: DeckMode,
    /// Deck numbers that are never told, for samplers and previews.
    pub ignored_decks: Vec<u8>,
    /// Tracks with one of these texts in their genre are never told.
    pub skip_genres: Vec<String>,
    /// Tracks with one of these texts in their comment are never told.
    pub skip_comments: Vec<String>,
    /// Tracks with one of these texts in "Artist – Title" are never told.
    pub skip_texts: Vec<String>,
    /// Tracks in whose "Artist – Title" one of these regular expressions is found are never told.
    pub skip_patterns: Vec<Pattern>,
    /// Covers from the files of what is played are shown, small.
    pub covers: bool,
    /// How the file of the source `text` is read.
    pub text: TextMode,
    /// What the source `rekordbox` needs.
    pub rekordbox: Rekordbox,
    /// Where the source `icecast` receives broadcasts.
    pub icecast: Icecast,
    /// Whom the source `mpris` listens to.
    pub mpris: Mpris,
    /// Whom the source `smtc` listens to.
    pub smtc: Smtc,
    /// Where the source `virtualdj-live` asks.
    pub virtualdj_live: VirtualDjLive,
    /// Where the source `jriver` asks.
    pub jriver: JRiver,
    /// Where the source `http` listens.
    pub http: Input,
    /// How the source `stagelinq` finds players.
    pub stagelinq: StagelinQ,
}

/// What the source `rekordbox` needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rekordbox {
    /// Of rekordbox's database, 64 digits. Pika does not bring it along: it is the vendor's.
    #[serde(skip_serializing)]
    pub key: Option<Secret>,
}

/// Where the source `icecast` receives broadcasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Icecast {
    /// This machine alone by default.
    pub host: IpAddr,
    pub port: u16,
    /// Without one, whoever reaches the port may send.
    #[serde(skip_serializing)]
    pub password: Option<Secret>,
    /// Traktor's collection, or the folder it is in, for what a broadcast leaves out; that of the newest version when absent.
    pub collection: Option<PathBuf>,
}

/// Where the source `virtualdj-live` asks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VirtualDjLive {
    /// Of the Network Control plug-in. The usual ports of this machine are tried when absent.
    pub url: Option<String>,
    /// As it is set in the plug-in.
    #[serde(skip_serializing)]
    pub password: Option<Secret>,
}

/// Where the source `jriver` asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JRiver {
    /// Of the web service of Media Center.
    pub url: String,
    pub user: String,
    /// Without one, no login is tried.
    #[serde(skip_serializing)]
    pub password: Option<Secret>,
}

impl Default for JRiver {
    fn default() -> Self {
        Self { url: "http://127.0.0.1:52199".to_owned(), user: String::new(), password: None }
    }
}

/// How the source `stagelinq` finds players. They call to a whole network, so we listen to it when the source is chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StagelinQ {
    pub host: Ipv4Addr,
    pub port: u16,
    /// Addresses that are told of us; when empty, all networks that this machine is in.
    pub announce_to: Vec<Ipv4Addr>,
}

impl Default for StagelinQ {
    fn default() -> Self {
        Self { host: Ipv4Addr::UNSPECIFIED, port: 51_337, announce_to: Vec::new() }
    }
}

/// Where the source `http` listens, on this machine alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Input {
    pub port: u16,
    /// Without one, every program on this machine may tell.
    #[serde(skip_serializing)]
    pub token: Option<Secret>,
}

impl Default for Input {
    fn default() -> Self {
        Self { port: 3004, token: None }
    }
}

/// Whom the source `mpris` listens to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mpris {
    /// Names of players on the session bus. Browsers are none by default: each of their tabs would be heard.
    pub players: Vec<String>,
}

impl Default for Mpris {
    fn default() -> Self {
        let players = [
            "mpv",
            "vlc",
            "audacious",
            "clementine",
            "strawberry",
            "rhythmbox",
            "elisa",
            "quodlibet",
            "cmus",
        ];
        Self { players: players.map(str::to_owned).to_vec() }
    }
}

/// Whom the source `smtc` listens to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smtc {
    /// Names of players in the media controls of Windows. Browsers are none by default: each of their tabs would be heard.
    pub players: Vec<String>,
}

impl Default for Smtc {
    fn default() -> Self {
        let players = [
            "spotify",
            "foobar2000",
            "musicbee",
            "aimp",
            "winamp",
            "itunes",
            "applemusicwin",
            "zunemusic",
            "tidal",
            "deezer",
            "djay",
        ];
        Self { players: players.map(str::to_owned).to_vec() }
    }
}

impl Default for Icecast {
    fn default() -> Self {
        Self { host: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 8000, password: None, collection: None }
    }
}

/// The chosen kinds of sources. Written as `auto`, or as one name or several with commas between them; of several that play
/// at the same time, the first one speaks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Chosen(Vec<SourceKind>);

impl Chosen {
    /// None is `auto`: by the path, or else what is found.
    pub fn kinds(&self) -> &[SourceKind] {
        &self.0
    }
}

impl From<SourceKind> for Chosen {
    fn from(kind: SourceKind) -> Self {
        Self(vec![kind])
    }
}

impl FromStr for Chosen {
    type Err = BadSource;
    fn from_str(text: &str) -> Result<Self, BadSource> {
        if text == "auto" {
            return Ok(Self::default());
        }
        let mut kinds = Vec::new();
        for name in text.split(',') {
            let kind = name.trim().parse()?;
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Ok(Self(kinds))
    }
}

impl TryFrom<String> for Chosen {
    type Error = BadSource;
    fn try_from(text: String) -> Result<Self, BadSource> {
        text.parse()
    }
}

impl From<Chosen> for String {
    fn from(chosen: Chosen) -> Self {
        let names: Vec<&str> = chosen.0.iter().map(|kind| kind.name()).collect();
        if names.is_empty() { "auto".to_owned() } else { names.join(",") }
    }
}

/// What a text file holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextMode {
    /// The current track: "Artist - Title", or the artist on one line and the title on the next.
    #[default]
    Whole,
    /// A growing log: its last line is the current track.
    LastLine,
}

impl TextMode {
    /// As it stands in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::LastLine => "last_line",
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            source: Chosen::default(),
            path: None,
            force_polling: false,
            delay_s: 0,
            min_play_s: 0,
            lan: false,
            interface: None,
            floor: "main".parse().expect("a slug"),
            dj: None,
            deck_mode: DeckMode::default(),
            ignored_decks: Vec::new(),
            skip_genres: Vec::new(),
            skip_comments: Vec::new(),
            skip_texts: Vec::new(),
            skip_patterns: Vec::new(),
            covers: true,
            text: TextMode::Whole,
            rekordbox: Rekordbox::default(),
            icecast: Icecast::default(),
            mpris: Mpris::default(),
            smtc: Smtc::default(),
            virtualdj_live: VirtualDjLive::default(),
            jriver: JRiver::default(),
            http: Input::default(),
            stagelinq: StagelinQ::default(),
        }
    }
}

impl Settings {
    /// The part that judges plays.
    pub fn rules(&self) -> Rules {
        Rules {
            delay_ms: i64::from(self.delay_s.min(DELAY_S_MAX)) * 1000,
            min_play_ms: i64::from(self.min_play_s) * 1000,
            ignored_decks: self.ignored_decks.clone(),
            skip: Skip {
                genre: self.skip_genres.clone(),
                comment: self.skip_comments.clone(),
                line: self.skip_texts.clone(),
                pattern: self.skip_patterns.clone(),
            },
            clear_after_ms: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_works_and_a_wrong_key_is_named() {
        assert_eq!(serde_json::from_str::<Settings>("{}").expect("all has defaults"), Settings::default());
        let set: Settings =
            serde_json::from_str(r#"{"source":"virtualdj, text","delay_s":90}"#).expect("right keys");
        assert_eq!(set.source.kinds(), [SourceKind::VirtualDj, SourceKind::Text]);
        assert_eq!(set.rules().delay_ms, 60_000);
        let wrong = serde_json::from_str::<Settings>(r#"{"dely_s":1}"#).expect_err("a wrong key");
        assert!(wrong.to_string().contains("dely_s"));
    }
}
