//! What VirtualDJ's history files mean: which names count, what day a list is of, and each entry as a play with an
//! identity and a start. No files are touched and nothing is remembered here.

use std::collections::HashMap;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use protocol::Track;

use super::tracklist;
use crate::sources::observation::{Location, Observation, SourceKind};
use crate::sources::playlist::{self, Entry};

/// Longer than any real path; of a longer location this much tells plays apart.
const PLACE_CHARS_MAX: usize = 1024;

/// Which of the two kinds of history file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `History/*.m3u`
    List,
    /// `History/tracklist.txt`
    Tracklist,
}

/// An entry of a history file as a play.
#[derive(Debug, Clone)]
pub struct Found {
    /// The same for the same bytes: what the identity is made of.
    pub base: String,
    /// How many entries before it in the file have the same base; not 0 for a repeat.
    pub repeat: u32,
    /// What is played, to tell a double entry from two songs.
    pub place: String,
    pub started_ms: Option<i64>,
    /// The start is known to the second and not only to the minute.
    pub exact: bool,
    pub observation: Observation,
}

/// What one read of a history file holds.
#[derive(Debug, Default)]
pub struct Read {
    pub found: Vec<Found>,
    /// A last entry without its line end.
    pub tail: Option<Found>,
}

/// Whether the name is one that VirtualDJ gives to a list, and not one that a cloud folder makes of it.
pub fn is_list(name: &str) -> bool {
    let lower = name.to_lowercase();
    let Some(stem) = lower.strip_suffix(".m3u").or_else(|| lower.strip_suffix(".m3u8")) else { return false };
    let copy = stem.ends_with(')')
        && stem.rsplit_once(" (").is_some_and(|(_, number)| {
            let number = number.trim_end_matches(')');
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
    !stem.is_empty() && !stem.starts_with('.') && !stem.contains("conflicted") && !copy
}

/// The day in a list's name, `2026-11-21.m3u`.
pub fn day(name: &str) -> Option<Date> {
    name.get(..10)?.parse().ok()
}

/// The local day of a moment.
pub fn today(now_ms: i64, zone: &TimeZone) -> Option<Date> {
    Some(Timestamp::from_millisecond(now_ms).ok()?.to_zoned(zone.clone()).date())
}

/// All plays of a history file, in file order.
pub fn read(format: Format, name: &str, bytes: &[u8], zone: &TimeZone) -> Read {
    let mut read = match format {
        Format::List => list(name, bytes, zone),
        Format::Tracklist => tracklist::read(bytes, zone),
    };
    let mut repeats: HashMap<String, u32> = HashMap::new();
    for found in read.found.iter_mut().chain(&mut read.tail) {
        let count = repeats.entry(found.base.clone()).or_default();
        found.repeat = *count;
        *count += 1;
        found.observation.identity = match found.repeat {
            0 => found.base.clone(),
            repeat => format!("{}|{}", found.base, repeat + 1),
        };
    }
    read
}

fn list(name: &str, bytes: &[u8], zone: &TimeZone) -> Read {
    let parsed = playlist::parse(bytes);
    let mut days = Days::starting(day(name));
    let found = parsed.entries.into_iter().map(|entry| play(name, entry, &mut days, zone)).collect();
    let tail = parsed.tail.map(|entry| play(name, entry, &mut days, zone));
    Read { found, tail }
}

fn play(name: &str, entry: Entry, days: &mut Days, zone: &TimeZone) -> Found {
    let Entry { location: place, tags } = entry;
    let by_clock = days.moment(tags.time, tags.last_play_ms, zone);
    // Identities are journaled by the thousand: a hostile location must not make them large.
    let short: String = place.chars().take(PLACE_CHARS_MAX).collect();
    let base = match (tags.last_play_ms, tags.time) {
        (Some(ms), _) => format!("{short}|{ms}"),
        (None, Some((hour, minute))) => format!("{name}|{short}|{hour:02}:{minute:02}"),
        (None, None) => format!("{name}|{short}"),
    };
    let location = Location::parse(&place);
    let mut observation = Observation::new(SourceKind::VirtualDj, base.clone());
    observation.is_named =
        tags.title.as_ref().is_none_or(|title| *title == place) && location.stem().is_some();
    let (artist, title) = named(&location, &place, tags.artist, tags.title);
    observation.track =
        Track { artist, title, remix: tags.remix, duration_ms: tags.duration_ms, ..Track::default() };
    observation.started_ms = tags.last_play_ms.or(by_clock);
    observation.location = Some(location);
    observation.file_bytes = tags.file_bytes;
    Found {
        base,
        repeat: 0,
        place,
        started_ms: observation.started_ms,
        exact: tags.last_play_ms.is_some(),
        observation,
    }
}

/// Artist and title from the tags, and from the file's name what they leave out.
fn named(
    location: &Location,
    place: &str,
    artist: Option<String>,
    title: Option<String>,
) -> (Option<String>, Option<String>) {
    let title = title.filter(|title| title != place);
    match (artist, title, location.stem()) {
        (None, Some(title), Some((stem_artist, stem_title))) if stem_title.eq_ignore_ascii_case(&title) => {
            (stem_artist, Some(title))
        }
        (None, None, Some((stem_artist, stem_title))) => (stem_artist, Some(stem_title)),
        (Some(artist), None, Some((_, stem_title))) => (Some(artist), Some(stem_title)),
        (artist, title, _) => (artist, title),
    }
}

/// The day an entry belongs to: the list's or header's day, and the next one once the clock has gone far back,
/// because plays after midnight may stay in the evening's list.
#[derive(Debug)]
pub(super) struct Days {
    day: Option<Date>,
    minutes_before: Option<i32>,
}

impl Days {
    pub(super) fn starting(day: Option<Date>) -> Self {
        Self { day, minutes_before: None }
    }

    /// When an entry with this clock started, if day and clock are known. An exact time sets the day for what follows.
    pub(super) fn moment(
        &mut self,
        time: Option<(u8, u8)>,
        exact_ms: Option<i64>,
        zone: &TimeZone,
    ) -> Option<i64> {
        const BACK_MINUTES_MAX: i32 = 6 * 60;
        let (hour, minute) = time?;
        let minutes = i32::from(hour) * 60 + i32::from(minute);
        if self.minutes_before.is_some_and(|before| minutes < before - BACK_MINUTES_MAX) {
            self.day = self.day.and_then(|day| day.checked_add(1.day()).ok());
        }
        self.minutes_before = Some(minutes);
        if let (Some(_), Some(exact_ms)) = (self.day, exact_ms) {
            self.day = today(exact_ms, zone);
        }
        let time = Time::new(hour as i8, minute as i8, 0, 0).ok()?;
        let zoned = self.day?.to_datetime(time).to_zoned(zone.clone()).ok()?;
        Some(zoned.timestamp().as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_count() {
        for name in ["2026-11-21.m3u", "history.M3U", "2026-11-21.m3u8"] {
            assert!(is_list(name), "{name}");
        }
        for name in
            ["2026-11-21 (1).m3u", "2026-11-21 (conflicted copy).m3u", ".2026.m3u", "x.txt", ".m3u", "m3u"]
        {
            assert!(!is_list(name), "{name}");
        }
    }
}
