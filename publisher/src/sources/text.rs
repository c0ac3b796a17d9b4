//! A text file with the current track, as many programs write it for streaming software. Writers truncate and then
//! write, so a change counts when the file stands still, and an empty file only when it stays empty.

use std::io;

use protocol::Track;

use super::decode;
use super::folder::Listed;
use super::observation::{Arrival, Observation, SourceKind, artist_and_title, is_fresh};
use super::still::{STABLE_MS, Standing, Still};
use crate::settings::TextMode;

const EMPTY_MS: i64 = 500;

/// How a file tells the track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As one line or two.
    Plain(TextMode),
    /// A line for each field, with its label: "Title: Glass Tide". "N/A" is nothing.
    Labels,
}

/// The memory of what was read.
#[derive(Debug)]
pub struct Text {
    source: SourceKind,
    layout: Layout,
    started: bool,
    still: Still,
    empty_since_ms: Option<i64>,
    shown: Option<String>,
}

/// What a look at the file brought.
#[derive(Debug, Default, PartialEq)]
pub struct Look {
    pub play: Option<Observation>,
    /// The file has become empty and stays so.
    pub stopped: bool,
    pub wake_ms: Option<i64>,
}

impl Text {
    pub fn new(source: SourceKind, layout: Layout) -> Self {
        Self { source, layout, started: false, still: Still::default(), empty_since_ms: None, shown: None }
    }

    /// Looks at the file as it is listed now.
    pub fn look(
        &mut self,
        now_ms: i64,
        listed: Option<Listed>,
        read: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> Look {
        let mut look = Look::default();
        let first_look = !std::mem::replace(&mut self.started, true);
        let Some(listed) = listed else { return look };
        match self.still.look(now_ms, &listed) {
            Standing::AsRead => {
                match self.empty_since_ms.map(|since_ms| since_ms + EMPTY_MS) {
                    Some(due_ms) if now_ms >= due_ms => {
                        self.empty_since_ms = None;
                        look.stopped = self.shown.take().is_some();
                    }
                    due_ms => look.wake_ms = due_ms,
                }
                return look;
            }
            Standing::Moving { until_ms } if !first_look => {
                look.wake_ms = Some(until_ms);
                return look;
            }
            Standing::Moving { .. } | Standing::Ready => {}
        }
        let Ok(bytes) = read() else {
            look.wake_ms = Some(now_ms + STABLE_MS);
            return look;
        };
        self.empty_since_ms = None;
        match told(self.layout, &bytes) {
            None => {
                self.empty_since_ms = Some(now_ms);
                look.wake_ms = Some(now_ms + EMPTY_MS);
            }
            // Written again, as some programs do every second.
            Some((line, _)) if self.shown.as_ref() == Some(&line) => {}
            Some((line, track)) => {
                let identity = format!("{}|{line}|{}", listed.name, listed.modified_ms);
                let mut play = Observation { track, ..Observation::new(self.source, identity) };
                play.started_ms = Some(listed.modified_ms);
                play.arrival = if first_look { Arrival::Found } else { Arrival::Live };
                if !first_look || is_fresh(listed.modified_ms, None, now_ms) {
                    look.play = Some(play);
                }
                self.shown = Some(line);
            }
        }
        self.still.was_read(listed);
        look
    }
}

/// The track, and the text that tells it from another one.
fn told(layout: Layout, bytes: &[u8]) -> Option<(String, Track)> {
    match layout {
        Layout::Plain(mode) => {
            let line = track_line(mode, bytes)?;
            let (artist, title) = artist_and_title(&line);
            Some((line, Track { artist, title, ..Track::default() }))
        }
        Layout::Labels => {
            let mut track = Track::default();
            for line in decode::file(bytes) {
                let Some((label, value)) = line.split_once(':') else { continue };
                let value = decode::field(value).filter(|value| value != "N/A");
                match label.trim() {
                    "Title" => track.title = value,
                    "Artist" => track.artist = value,
                    "Album" => track.album = value,
                    _ => {}
                }
            }
            let line = track.line();
            (!line.is_empty()).then_some((line, track))
        }
    }
}

fn track_line(mode: TextMode, bytes: &[u8]) -> Option<String> {
    let lines: Vec<String> = decode::file(bytes).iter().filter_map(|line| decode::field(line)).collect();
    match (mode, lines.as_slice()) {
        (TextMode::Whole, [artist, title, ..]) if !artist.contains(" - ") => {
            Some(format!("{artist} - {title}"))
        }
        (TextMode::Whole, [first, ..]) => Some(first.clone()),
        (TextMode::LastLine, [.., last]) => Some(last.clone()),
        (_, []) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_795_291_800_000;

    /// The file as it is at each moment; what is told at each.
    #[track_caller]
    fn check_layout(layout: Layout, moments: &[(i64, &[u8], i64)], expected: &[&str]) {
        let mut text = Text::new(SourceKind::Text, layout);
        let mut told = Vec::new();
        text.look(T, None, || Ok(Vec::new()));
        for &(at_ms, bytes, modified_ms) in moments {
            let listed = Listed {
                name: "now.txt".into(),
                id: 1,
                size_bytes: bytes.len() as u64,
                modified_ms: T + modified_ms,
            };
            let look = text.look(T + at_ms, Some(listed), || Ok(bytes.to_vec()));
            told.extend(look.play.map(|play| play.track.line()));
            told.extend(look.stopped.then(|| "stopped".to_owned()));
        }
        assert_eq!(told, expected);
    }

    #[track_caller]
    fn check(mode: TextMode, moments: &[(i64, &[u8], i64)], expected: &[&str]) {
        check_layout(Layout::Plain(mode), moments, expected);
    }

    #[test]
    fn waits_until_the_file_stands_still() {
        check(
            TextMode::Whole,
            &[
                (0, b"Ana - Ni", 0),
                (100, b"Ana - Night", 100),
                (200, b"Ana - Night", 100),
                (250, b"Ana - Night", 100),
            ],
            &["Ana – Night"],
        );
    }

    #[test]
    fn empty_for_a_moment_is_not_stopped() {
        let night = (b"Ana - Night".as_slice(), b"".as_slice());
        check(
            TextMode::Whole,
            &[
                (0, night.0, 0),
                (150, night.0, 0),
                (1000, night.1, 1000),
                (1150, night.1, 1000),
                (1300, night.0, 1300),
                (1450, night.0, 1300),
                (2000, night.1, 2000),
                (2150, night.1, 2000),
                (2650, night.1, 2000),
                (2700, night.1, 2000),
            ],
            &["Ana – Night", "stopped"],
        );
    }

    #[test]
    fn modes() {
        let log = b"A - One\r\nB - Two\r\n\r\n";
        check(TextMode::LastLine, &[(0, log, 0), (150, log, 0)], &["B – Two"]);
        let lines = b"Ana\nNight\n";
        check(TextMode::Whole, &[(0, lines, 0), (150, lines, 0)], &["Ana – Night"]);
    }
    #[test]
    fn labels() {
        let tide: &[u8] =
            b"Title: Glass Tide: Part 2\r\nArtist: Nova Harbor\r\nAlbum: N/A\r\nTime: 00:05\r\n";
        let later: &[u8] =
            b"Title: Glass Tide: Part 2\r\nArtist: Nova Harbor\r\nAlbum: N/A\r\nTime: 01:05\r\n";
        let none: &[u8] = b"Title: N/A\nArtist: N/A\nAlbum: N/A\nTime: N/A\n";
        check_layout(
            Layout::Labels,
            &[
                (0, tide, 0),
                (150, tide, 0),
                (1000, later, 1000),
                (1150, later, 1000),
                (2000, none, 2000),
                (2150, none, 2000),
                (2650, none, 2000),
            ],
            &["Nova Harbor – Glass Tide: Part 2", "stopped"],
        );
    }
}
