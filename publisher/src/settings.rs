//! What the DJ can set: the `publisher` section of the configuration, as far as sources and judgement go.

use std::path::PathBuf;
use std::str::FromStr;

use protocol::FloorId;
use serde::{Deserialize, Serialize};

use crate::now_playing::{Rules, Skip};

/// The `publisher` section. The defaults work on a laptop with VirtualDJ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where plays come from.
    pub source: Source,
    /// The DJ program's folder, its history folder, or one file. Found by itself when absent.
    pub path: Option<PathBuf>,
    /// Look every second and do not rely on the system to tell of changes; for network drives that tell wrongly.
    pub force_polling: bool,
    /// Seconds a new track waits before it is shown, 0 to 60. One that is replaced meanwhile is never shown.
    pub delay_s: u32,
    /// Tracks played for fewer seconds are not told.
    pub min_play_s: u32,
    /// The floor that is played on.
    pub floor: FloorId,
    /// The name that dancers see.
    pub dj: Option<String>,
    /// Deck numbers that are never told, for samplers and previews.
    pub ignored_decks: Vec<u8>,
    /// Tracks with one of these texts in their genre are never told.
    pub skip_genres: Vec<String>,
    /// Tracks with one of these texts in their comment are never told.
    pub skip_comments: Vec<String>,
    /// Tracks with one of these texts in "Artist – Title" are never told.
    pub skip_texts: Vec<String>,
    /// How the file of the source `text` is read.
    pub text: TextMode,
}

/// Which kind of source to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// By the path, or else the DJ program that is found.
    #[default]
    Auto,
    VirtualDj,
    /// The newest list in a folder, or one list.
    M3u,
    /// A file with the current track.
    Text,
}

/// The text names no kind of source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no source; there are auto, virtualdj, m3u and text")]
pub struct BadSource(String);

impl FromStr for Source {
    type Err = BadSource;
    fn from_str(text: &str) -> Result<Self, BadSource> {
        match text {
            "auto" => Ok(Source::Auto),
            "virtualdj" => Ok(Source::VirtualDj),
            "m3u" => Ok(Source::M3u),
            "text" => Ok(Source::Text),
            _ => Err(BadSource(text.to_owned())),
        }
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

impl Default for Settings {
    fn default() -> Self {
        Self {
            source: Source::Auto,
            path: None,
            force_polling: false,
            delay_s: 0,
            min_play_s: 0,
            floor: "main".parse().expect("a slug"),
            dj: None,
            ignored_decks: Vec::new(),
            skip_genres: Vec::new(),
            skip_comments: Vec::new(),
            skip_texts: Vec::new(),
            text: TextMode::Whole,
        }
    }
}

impl Settings {
    /// The part that judges plays.
    pub fn rules(&self) -> Rules {
        const DELAY_S_MAX: u32 = 60;
        Rules {
            delay_ms: i64::from(self.delay_s.min(DELAY_S_MAX)) * 1000,
            min_play_ms: i64::from(self.min_play_s) * 1000,
            ignored_decks: self.ignored_decks.clone(),
            skip: Skip {
                genre: self.skip_genres.clone(),
                comment: self.skip_comments.clone(),
                line: self.skip_texts.clone(),
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
            serde_json::from_str(r#"{"source":"virtualdj","delay_s":90}"#).expect("right keys");
        assert_eq!((set.source, set.rules().delay_ms), (Source::VirtualDj, 60_000));
        let wrong = serde_json::from_str::<Settings>(r#"{"dely_s":1}"#).expect_err("a wrong key");
        assert!(wrong.to_string().contains("dely_s"));
    }
}
