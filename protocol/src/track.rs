//! What is known of a track. Never a path, a file name or a comment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cover::CoverId;

/// Longest text field, in characters.
pub const TEXT_CHARS_MAX: usize = 200;

/// A track as dancers see it. An absent field is unknown; `0` never stands for unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Track {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artist: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Often contained in the title already; [`Track::display_title`] joins them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub album: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genre: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub year: Option<u16>,
    /// Beats per minute, 20 to 400, one decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bpm: Option<f64>,
    /// Musical key as the DJ program writes it, for example `F#m` or `11A`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Length in milliseconds, up to 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// The picture that its desk has sent before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cover: Option<CoverId>,
}

impl Track {
    /// The track with every field inside its bounds: control characters removed, white space folded,
    /// texts cut at [`TEXT_CHARS_MAX`], numbers out of range dropped.
    pub fn clean(self) -> Self {
        Self {
            artist: self.artist.and_then(text),
            title: self.title.and_then(text),
            remix: self.remix.and_then(text),
            album: self.album.and_then(text),
            genre: self.genre.and_then(text),
            year: self.year.filter(|year| (1000..=2999).contains(year)),
            bpm: self.bpm.filter(|bpm| (20.0..=400.0).contains(bpm)).map(|bpm| (bpm * 10.0).round() / 10.0),
            key: self.key.and_then(text).map(|key| key.chars().take(10).collect()),
            duration_ms: self.duration_ms.filter(|ms| (1..=86_400_000).contains(ms)),
            cover: self.cover,
        }
    }

    /// Adds what another description of the same track knows beyond this one. What is known already is never changed.
    pub fn complete(&mut self, more: Self) {
        self.artist = self.artist.take().or(more.artist);
        self.title = self.title.take().or(more.title);
        self.remix = self.remix.take().or(more.remix);
        self.album = self.album.take().or(more.album);
        self.genre = self.genre.take().or(more.genre);
        self.year = self.year.or(more.year);
        self.bpm = self.bpm.or(more.bpm);
        self.key = self.key.take().or(more.key);
        self.duration_ms = self.duration_ms.or(more.duration_ms);
        self.cover = self.cover.or(more.cover);
    }

    /// Title with the remix in brackets, unless the title says it already.
    ///
    /// ```
    /// # use pika_protocol::Track;
    /// let track = |title: &str, remix: &str| Track {
    ///     title: Some(title.into()), remix: Some(remix.into()), ..Track::default()
    /// };
    /// assert_eq!(track("Bolero", "Late Edit").display_title(), "Bolero (Late Edit)");
    /// assert_eq!(track("Bolero (late edit)", "Late Edit").display_title(), "Bolero (late edit)");
    /// ```
    pub fn display_title(&self) -> String {
        let title = self.title.as_deref().unwrap_or("");
        match self.remix.as_deref() {
            Some(remix) if !title.to_lowercase().contains(&remix.to_lowercase()) => {
                if title.is_empty() {
                    remix.to_owned()
                } else {
                    format!("{title} ({remix})")
                }
            }
            _ => title.to_owned(),
        }
    }

    /// Everything on one line: `Artist – Title (Remix)`.
    pub fn line(&self) -> String {
        let title = self.display_title();
        match (self.artist.as_deref(), title.is_empty()) {
            (Some(artist), false) => format!("{artist} – {title}"),
            (Some(artist), true) => artist.to_owned(),
            (None, _) => title,
        }
    }
}

/// One text field inside its bounds; nothing when nothing is left.
pub(crate) fn text(text: String) -> Option<String> {
    let mut clean = String::with_capacity(text.len().min(TEXT_CHARS_MAX));
    let mut chars = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control() || is_invisible(c)) {
        if word.is_empty() {
            continue;
        }
        if !clean.is_empty() {
            clean.push(' ');
            chars += 1;
        }
        for c in word.chars() {
            if chars >= TEXT_CHARS_MAX {
                return Some(clean.trim_end().to_owned());
            }
            clean.push(c);
            chars += 1;
        }
    }
    (!clean.is_empty()).then_some(clean)
}

/// Characters that turn the direction of the line or show nothing: a title must not rearrange a page.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cleaning_keeps_what_can_be_shown() {
        let track = Track {
            artist: Some("  Ana\u{0}Ruiz \n".into()),
            title: Some("\u{202e}\u{7}".into()),
            bpm: Some(123.96),
            year: Some(12),
            duration_ms: Some(-1),
            key: Some("a very long key indeed".into()),
            ..Track::default()
        }
        .clean();
        assert_eq!(track.artist.as_deref(), Some("Ana Ruiz"));
        assert_eq!(track.title, None);
        assert_eq!(track.bpm, Some(124.0));
        assert_eq!((track.year, track.duration_ms), (None, None));
        assert_eq!(track.key.as_deref(), Some("a very lon"));
        assert_eq!(Track { bpm: Some(f64::NAN), ..Track::default() }.clean().bpm, None);
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(artist in "\\PC{0,300}", bpm in proptest::num::f64::ANY) {
            let once = Track { artist: Some(artist), bpm: Some(bpm), ..Track::default() }.clean();
            prop_assert!(once.artist.as_ref().is_none_or(|a| a.chars().count() <= TEXT_CHARS_MAX));
            prop_assert_eq!(once.clone().clean(), once);
        }
    }
}
