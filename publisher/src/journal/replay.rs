//! What a journal's bytes say: the records applied one after the other, up to the first that is not whole.

use std::collections::{BTreeSet, VecDeque};

use protocol::JournalId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::frame::{self, Frame};
use super::{Entry, Memory, OpenSet};

/// Plays older than so many are not remembered as seen: several long nights.
const SEEN_MAX: usize = 4096;

/// Of a set, only so many reports are kept when they are confirmed: several long nights as well.
const KEPT_MAX: usize = 4096;

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub(super) enum Record<R> {
    /// Always the first.
    Journal {
        id: JournalId,
        confirmed: u64,
        last_at_ms: i64,
    },
    Seen {
        identities: Vec<String>,
    },
    SetOpened {
        open: OpenSet,
    },
    SetClosed,
    /// The newest entry, kept when it is confirmed.
    Last {
        entry: Entry<R>,
    },
    /// A confirmed entry of the open set.
    Kept {
        entry: Entry<R>,
    },
    Memory {
        memory: Memory,
    },
    Entry {
        entry: Entry<R>,
    },
    Confirmed {
        seq: u64,
    },
}

/// All that the journal knows.
#[derive(Debug, Clone)]
pub(super) struct State<R> {
    pub(super) id: JournalId,
    pub(super) confirmed: u64,
    pub(super) last_at_ms: i64,
    pub(super) held: VecDeque<Entry<R>>,
    pub(super) open_set: Option<OpenSet>,
    pub(super) last: Option<Entry<R>>,
    /// Entries since the open set was opened.
    pub(super) kept: VecDeque<Entry<R>>,
    pub(super) memory: Memory,
    pub(super) seen: VecDeque<String>,
    seen_set: BTreeSet<String>,
}

/// How far the bytes could be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// To the end.
    Whole,
    /// The last record is whole, its line end is not.
    LineEndMissing,
    /// The last record was never wholly written, so it never counted.
    Torn,
    /// What follows was whole once: its numbers may have been used.
    Damaged,
}

#[derive(Debug)]
pub(super) struct Replay<R> {
    /// Nothing when not even the first record is whole.
    pub(super) state: Option<State<R>>,
    pub(super) good_bytes: usize,
    pub(super) ending: Ending,
}

pub(super) fn replay<R: DeserializeOwned + Clone>(bytes: &[u8]) -> Replay<R> {
    let mut state: Option<State<R>> = None;
    let mut good_bytes = 0;
    let ending = loop {
        let rest = &bytes[good_bytes..];
        if rest.is_empty() {
            break Ending::Whole;
        }
        let (json, frame_bytes, ended) = match frame::first(rest) {
            Frame::Whole { json, bytes } => (json, bytes, true),
            Frame::WithoutEnd { json, bytes } => (json, bytes, false),
            Frame::Torn => break Ending::Torn,
            Frame::Damaged => break Ending::Damaged,
        };
        let Ok(record) = serde_json::from_slice::<Record<R>>(json) else { break Ending::Damaged };
        let follows = match (&mut state, record) {
            (None, Record::Journal { id, confirmed, last_at_ms }) => {
                state = Some(State::new(id, confirmed, last_at_ms));
                true
            }
            (None, _) => false,
            (Some(state), record) => state.apply(record),
        };
        if !follows {
            break Ending::Damaged;
        }
        good_bytes += frame_bytes;
        if !ended {
            break Ending::LineEndMissing;
        }
    };
    Replay { state, good_bytes, ending }
}

impl<R: Clone> State<R> {
    pub(super) fn new(id: JournalId, confirmed: u64, last_at_ms: i64) -> Self {
        Self {
            id,
            confirmed,
            last_at_ms,
            held: VecDeque::new(),
            open_set: None,
            last: None,
            kept: VecDeque::new(),
            memory: Memory::default(),
            seen: VecDeque::new(),
            seen_set: BTreeSet::new(),
        }
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.confirmed + self.held.len() as u64 + 1
    }

    /// Takes a record in; says no to one that can not follow.
    pub(super) fn apply(&mut self, record: Record<R>) -> bool {
        match record {
            Record::Journal { .. } => return false,
            Record::Seen { identities } => {
                identities.into_iter().for_each(|identity| self.remember(identity))
            }
            Record::SetOpened { open } => {
                self.kept.clear();
                self.open_set = Some(open);
            }
            Record::SetClosed => {
                self.kept.clear();
                self.open_set = None;
            }
            Record::Last { entry } => self.last = Some(entry),
            Record::Kept { entry } => self.keep(entry),
            Record::Memory { memory } => self.memory = memory,
            Record::Entry { entry } => {
                if entry.seq != self.next_seq() || entry.at_ms <= self.last_at_ms {
                    return false;
                }
                self.last_at_ms = entry.at_ms;
                if let Some(identity) = &entry.identity {
                    self.remember(identity.clone());
                    self.last = Some(entry.clone());
                }
                if self.open_set.is_some() {
                    self.keep(entry.clone());
                }
                self.held.push_back(entry);
            }
            Record::Confirmed { seq } => {
                while self.held.front().is_some_and(|entry| entry.seq <= seq) {
                    self.held.pop_front();
                    self.confirmed += 1;
                }
            }
        }
        true
    }

    /// The fewest records that say the same.
    pub(super) fn records(&self) -> Vec<Record<R>> {
        let first_held = self.held.front().map_or(self.last_at_ms, |entry| entry.at_ms - 1);
        let last_at_ms = first_held.min(self.last_at_ms);
        let mut records = vec![Record::Journal { id: self.id, confirmed: self.confirmed, last_at_ms }];
        if !self.seen.is_empty() {
            records.push(Record::Seen { identities: self.seen.iter().cloned().collect() });
        }
        records.extend(self.open_set.clone().map(|open| Record::SetOpened { open }));
        records.extend(self.last.clone().map(|entry| Record::Last { entry }));
        // Those that are held follow as entries.
        let confirmed = self.kept.iter().filter(|entry| entry.at_ms <= first_held);
        records.extend(confirmed.cloned().map(|entry| Record::Kept { entry }));
        if self.memory != Memory::default() {
            records.push(Record::Memory { memory: self.memory.clone() });
        }
        records.extend(self.held.iter().cloned().map(|entry| Record::Entry { entry }));
        records
    }

    fn keep(&mut self, entry: Entry<R>) {
        self.kept.push_back(entry);
        if self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
    }

    fn remember(&mut self, identity: String) {
        if !self.seen_set.insert(identity.clone()) {
            return;
        }
        self.seen.push_back(identity);
        if self.seen.len() > SEEN_MAX
            && let Some(oldest) = self.seen.pop_front()
        {
            self.seen_set.remove(&oldest);
        }
    }
}
