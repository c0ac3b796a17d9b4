//! A text file with the current track, as many programs write it for streaming software. Writers truncate and then
//! write, so a change counts when the file stands still, and an empty file only when it stays empty.

use std::io;

use super::decode;
use super::folder::Listed;
use super::observation::{Arrival, Observation, SourceKind, artist_and_title, is_fresh};
use crate::settings::TextMode;

const STABLE_MS: i64 = 150;
const EMPTY_MS: i64 = 500;

/// The memory of what was read.
#[derive(Debug)]
pub struct Text {
    mode: TextMode,
    started: bool,
    read: Option<Listed>,
    /// A change and when it was first met.
    changed: Option<(Listed, i64)>,
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
    pub fn new(mode: TextMode) -> Self {
        Self { mode, started: false, read: None, changed: None, empty_since_ms: None, shown: None }
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
        if self.read.as_ref() == Some(&listed) {
            match self.empty_since_ms.map(|since_ms| since_ms + EMPTY_MS) {
                Some(due_ms) if now_ms >= due_ms => {
                    self.empty_since_ms = None;
                    look.stopped = self.shown.take().is_some();
                }
                due_ms => look.wake_ms = due_ms,
            }
            return look;
        }
        if !first_look {
            let since_ms = match &self.changed {
                Some((changed, since_ms)) if *changed == listed => *since_ms,
                _ => self.changed.insert((listed.clone(), now_ms)).1,
            };
            if now_ms < since_ms + STABLE_MS {
                look.wake_ms = Some(since_ms + STABLE_MS);
                return look;
            }
        }
        let Ok(bytes) = read() else {
            look.wake_ms = Some(now_ms + STABLE_MS);
            return look;
        };
        self.changed = None;
        self.empty_since_ms = None;
        match track_line(self.mode, &bytes) {
            None => {
                self.empty_since_ms = Some(now_ms);
                look.wake_ms = Some(now_ms + EMPTY_MS);
            }
            // Written again, as some programs do every second.
            Some(line) if self.shown.as_ref() == Some(&line) => {}
            Some(line) => {
                let mut play = Observation::new(
                    SourceKind::Text,
                    format!("{}|{line}|{}", listed.name, listed.modified_ms),
                );
                (play.track.artist, play.track.title) = artist_and_title(&line);
                play.started_ms = Some(listed.modified_ms);
                play.arrival = if first_look { Arrival::Found } else { Arrival::Live };
                if !first_look || is_fresh(listed.modified_ms, None, now_ms) {
                    look.play = Some(play);
                }
                self.shown = Some(line);
            }
        }
        self.read = Some(listed);
        look
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
    fn check(mode: TextMode, moments: &[(i64, &[u8], i64)], expected: &[&str]) {
        let mut text = Text::new(mode);
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
}
