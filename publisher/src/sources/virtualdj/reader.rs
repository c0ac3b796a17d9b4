//! Which plays of the history are new: a state machine over listings, with time and reading passed in.
//!
//! Every play is reported once, in file order, whatever happens to the files: they grow by pieces, are truncated and
//! written again, replaced, moved away, or touched years later. What makes that hold is that a play has an identity of
//! its own content (location and time), so a file read again can only say what is known. A play that is not known is
//! new when it started since we care, or when it stands behind the known ones of a list in use.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::history::{self, Format, Found};
use crate::sources::folder::{Listed, Read1};
use crate::sources::observation::{Arrival, Observation, is_fresh};

/// An entry without its line end counts when its file has not changed for so long.
pub const QUIET_MS: i64 = 750;
const SAME_PLAY_MS: i64 = 30_000;
const TOUCHED_MS: i64 = 36 * 3_600_000;
const READ_AGAIN_MS: i64 = 100;

/// What was known before: the plays that are journaled, and since when plays are wanted.
#[derive(Debug, Clone, Default)]
pub struct CatchUp {
    pub seen: HashSet<String>,
    /// The start of the open set, or else the moment of asking. Older plays are of no interest.
    pub since_ms: i64,
}

/// What a look at the folder brought.
#[derive(Debug, Default)]
pub struct Step {
    /// New plays, oldest first.
    pub observations: Vec<Observation>,
    /// When to look again even if nothing happens.
    pub wake_ms: Option<i64>,
}

/// The memory of what was read.
#[derive(Debug)]
pub struct Reader {
    format: Format,
    zone: TimeZone,
    since_ms: i64,
    journaled: HashSet<u64>,
    /// Every play met, told or not.
    seen: HashSet<u64>,
    files: HashMap<String, Known>,
    /// Names of the first listing: what they hold at first sight was there before us.
    found_there: Option<HashSet<String>>,
    last: Option<Found>,
    /// When an entry's exact bytes were last met, to tell an entry written twice from a song played twice.
    met_ms: HashMap<u64, i64>,
}

#[derive(Debug)]
struct Known {
    listed: Listed,
    entries: Vec<KnownEntry>,
    /// The location of a last entry without line end, and since when the file is as it is.
    tail: Option<(String, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KnownEntry {
    identity: u64,
    place: u64,
    started_ms: Option<i64>,
}

/// A file that was read in this step.
struct Fresh {
    listed: Listed,
    found: Vec<Found>,
    tail: Option<String>,
}

impl Reader {
    pub fn new(format: Format, zone: TimeZone, catch_up: CatchUp) -> Self {
        let journaled: HashSet<u64> = catch_up.seen.iter().map(|identity| hash(identity)).collect();
        Self {
            format,
            zone,
            // Lists count in seconds.
            since_ms: catch_up.since_ms - catch_up.since_ms.rem_euclid(1000),
            seen: journaled.clone(),
            journaled,
            files: HashMap::new(),
            found_there: None,
            last: None,
            met_ms: HashMap::new(),
        }
    }

    /// Looks at what the folder holds now and reads what has changed.
    pub fn step(&mut self, now_ms: i64, listing: &[Listed], read: &mut Read1<'_>) -> Step {
        let today = history::today(now_ms, &self.zone);
        let mut candidates: Vec<&Listed> =
            listing.iter().filter(|listed| self.is_candidate(listed, today, now_ms)).collect();
        candidates.sort_by_key(|listed| (history::day(&listed.name), listed.name.clone()));

        let first_look = self.found_there.is_none();
        if first_look {
            self.found_there = Some(listing.iter().map(|listed| listed.name.clone()).collect());
        }

        let mut step = Step::default();
        let mut wake =
            |at_ms: i64| step.wake_ms = Some(step.wake_ms.map_or(at_ms, |wake_ms| wake_ms.min(at_ms)));
        let mut fresh = Vec::new();
        // Newest list first: whatever it holds was written after all that an older list holds by then, so a play
        // can not be reported before an earlier one of the list of yesterday.
        for listed in candidates.into_iter().rev() {
            let known = self.files.get(&listed.name);
            let changed = known.is_none_or(|known| known.listed != *listed);
            let tail_due_ms =
                known.and_then(|known| known.tail.as_ref()).map(|(_, since_ms)| since_ms + QUIET_MS);
            let quiet = !changed && tail_due_ms.is_some_and(|due_ms| now_ms >= due_ms);
            if !changed && !quiet {
                tail_due_ms.into_iter().for_each(&mut wake);
                continue;
            }
            let bytes = match read(&listed.name) {
                Ok(bytes) => bytes,
                Err(error) => {
                    // Being written, or gone between listing and reading: both pass.
                    tracing::debug!(list = listed.name, "cannot read the history list yet: {error}");
                    wake(now_ms + READ_AGAIN_MS);
                    continue;
                }
            };
            let mut content = history::read(self.format, &listed.name, &bytes, &self.zone);
            let mut tail = None;
            if quiet {
                content.found.extend(content.tail);
            } else if let Some(found) = content.tail {
                tail = Some(found.place);
                wake(now_ms + QUIET_MS);
            }
            fresh.push(Fresh { listed: listed.clone(), found: content.found, tail });
        }
        for file in fresh.into_iter().rev() {
            let observations = self.news_of(file, today, now_ms);
            step.observations.extend(observations);
        }
        if first_look {
            self.add_what_plays(&mut step.observations, now_ms);
        }
        step
    }

    /// Names whose files may change; the rest of the folder is the past.
    pub fn in_use(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Lists of these days, those since plays are wanted (the lid may have been closed on a set for days), and
    /// any that was touched a short time ago.
    fn is_candidate(&self, listed: &Listed, today: Option<Date>, now_ms: i64) -> bool {
        let since = history::today(self.since_ms, &self.zone).and_then(|day| day.yesterday().ok());
        history::day(&listed.name)
            .is_none_or(|day| is_near(day, today) || since.is_some_and(|since| day >= since))
            || now_ms - listed.modified_ms < TOUCHED_MS
    }

    /// The new plays of a file that was just read.
    fn news_of(&mut self, file: Fresh, today: Option<Date>, now_ms: i64) -> Vec<Observation> {
        let name = file.listed.name.clone();
        let known = self.files.remove(&name);
        let there_before = self.found_there.as_ref().is_some_and(|names| names.contains(&name));
        let arrival = if known.is_none() && there_before { Arrival::Found } else { Arrival::Live };
        let entries: Vec<KnownEntry> = file.found.iter().map(KnownEntry::of).collect();
        if let Some(known) = &known {
            self.recognize(known, &file.found, &entries);
        }
        // Behind this many entries, what is not known was added since.
        let first_added = match &known {
            Some(known) => added_from(known, &entries, &self.seen),
            None => self.added_at_first_sight(&name, &file.found, &entries, there_before),
        };
        let in_use = history::day(&name).is_none_or(|day| is_near(day, today));

        let mut news = Vec::new();
        let last = self.last.take();
        for (index, found) in file.found.iter().enumerate() {
            let before = match index {
                0 => last.as_ref(),
                index => file.found.get(index - 1),
            };
            if !self.seen.insert(entries[index].identity) {
                continue;
            }
            let met_before_ms = self.met_ms.insert(hash(&found.base), now_ms);
            let added = in_use
                && first_added.is_some_and(|first| index >= first)
                // What was there before us must be of this set; only what has no time is judged by its place.
                && (arrival == Arrival::Live || found.started_ms.is_none());
            // VirtualDJ logs a song some time after its start, so the first of a new list may have begun before us.
            let began_before_us = |started_ms| {
                arrival == Arrival::Live && is_fresh(started_ms, found.observation.track.duration_ms, now_ms)
            };
            let wanted = added
                || found
                    .started_ms
                    .is_some_and(|started_ms| started_ms >= self.since_ms || began_before_us(started_ms));
            // The very same bytes, long after they were first met: the time in them can not be true.
            let again = found.repeat > 0
                && added
                && met_before_ms.is_some_and(|met_ms| now_ms - met_ms > SAME_PLAY_MS);
            let double =
                !again && (found.repeat > 0 || before.is_some_and(|before| same_play(before, found)));
            if wanted && !double {
                let mut observation = found.observation.clone();
                observation.arrival = arrival;
                if again {
                    observation.started_ms = None;
                }
                news.push(observation);
            }
        }
        self.last = match (last, file.found.last()) {
            (Some(last), Some(newer)) if newer.started_ms < last.started_ms => Some(last),
            (last, newer) => newer.cloned().or(last),
        };
        // A list that is being written again shows its start only; what it held is not forgotten for that.
        let entries = match known {
            Some(known) if known.entries.starts_with(&entries) => known.entries,
            _ => entries,
        };
        let tail = file.tail.map(|place| (place, now_ms));
        self.files.insert(name, Known { listed: file.listed, entries, tail });
        news
    }

    /// Marks entries that are known plays in a new guise: its time or location was corrected, or its location was cut
    /// when the file stood still.
    fn recognize(&mut self, known: &Known, found: &[Found], entries: &[KnownEntry]) {
        let now_there: HashSet<u64> = entries.iter().map(|entry| entry.identity).collect();
        for ((index, old), new) in known.entries.iter().enumerate().zip(entries) {
            if old.identity == new.identity || now_there.contains(&old.identity) {
                continue;
            }
            let same =
                old.place == new.place || (old.started_ms.is_some() && old.started_ms == new.started_ms);
            let cut = index + 1 == known.entries.len()
                && self.last.as_ref().is_some_and(|last| {
                    hash(&last.place) == old.place && found[index].place.starts_with(&last.place)
                });
            if same || cut {
                self.seen.insert(new.identity);
            }
        }
    }

    /// For a file never read before: entries without a time count only when they can not be of the past.
    fn added_at_first_sight(
        &self,
        name: &str,
        found: &[Found],
        entries: &[KnownEntry],
        there_before: bool,
    ) -> Option<usize> {
        if there_before {
            let anchor = entries.iter().zip(found).position(|(entry, found)| {
                self.seen.contains(&entry.identity)
                    || found.started_ms.is_some_and(|started_ms| started_ms >= self.since_ms)
            });
            return anchor.map(|anchor| anchor + 1);
        }
        let untimed = |found: &Found| found.started_ms.is_none();
        match history::day(name) {
            Some(_) => found.iter().position(untimed),
            None => found.len().checked_sub(1).filter(|&last| untimed(&found[last])),
        }
    }

    /// On the first look the newest play may be one that is heard now, although it started before we came.
    fn add_what_plays(&mut self, observations: &mut Vec<Observation>, now_ms: i64) {
        let Some(last) = &self.last else { return };
        let Some(started_ms) = last.started_ms else { return };
        let identity = &last.observation.identity;
        let reported = observations.iter().any(|observation| observation.identity == *identity);
        if !reported
            && !self.journaled.contains(&hash(identity))
            && is_fresh(started_ms, last.observation.track.duration_ms, now_ms)
        {
            observations.push(Observation { arrival: Arrival::Found, ..last.observation.clone() });
        }
    }
}

impl KnownEntry {
    fn of(found: &Found) -> Self {
        Self {
            identity: hash(&found.observation.identity),
            place: hash(&found.place),
            started_ms: found.started_ms,
        }
    }
}

/// Where the entries begin that a known list did not have before.
fn added_from(known: &Known, entries: &[KnownEntry], seen: &HashSet<u64>) -> Option<usize> {
    let grown = entries.starts_with(&known.entries).then_some(known.entries.len());
    let after_seen = entries.iter().rposition(|entry| seen.contains(&entry.identity)).map(|index| index + 1);
    grown.max(after_seen)
}

/// The same song entered twice within half a minute is one play. Without seconds, the next minute is close enough.
pub(crate) fn same_play(before: &Found, after: &Found) -> bool {
    let (Some(before_ms), Some(after_ms)) = (before.started_ms, after.started_ms) else { return false };
    let limit_ms = if before.exact && after.exact { SAME_PLAY_MS } else { 60_000 };
    before.place == after.place && (after_ms - before_ms).abs() <= limit_ms
}

fn is_near(day: Date, today: Option<Date>) -> bool {
    let Some(today) = today else { return true };
    let (Ok(first), Ok(last)) = (today.checked_sub(2.days()), today.checked_add(1.day())) else {
        return true;
    };
    (first..=last).contains(&day)
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
