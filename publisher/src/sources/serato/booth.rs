//! What Serato's list of loaded tracks says of the decks, and what of that is heard. Pure.
//!
//! Serato notes when a track was loaded, and later that it was played. So what turns into a play while we watch begins
//! now; what was one before, or was replaced between two looks, began when it was loaded, for all that anybody knows.

use std::collections::{BTreeMap, HashMap};

use crate::sources::decks::{Change, Deck, DeckMode, Decks};
use crate::sources::observation::{Arrival, Observation, is_fresh};
use crate::sources::{CatchUp, SourceEvent};

/// Serato counts in seconds.
const WHOLE_SECONDS_MS: i64 = 1_000;

/// A track that was loaded to a deck. Its play starts with the loading.
#[derive(Debug)]
pub(super) struct Loaded {
    pub deck: u8,
    pub play: Observation,
    pub state: LoadedState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoadedState {
    /// It was not played, or not yet.
    Waits,
    Plays,
    /// It was played, and the deck is empty.
    Over,
}

/// The decks of one Serato.
#[derive(Debug)]
pub(super) struct Booth {
    catch_up: CatchUp,
    decks: Decks,
    looked: bool,
    /// Somebody was told of what is heard.
    is_told: bool,
    /// Plays of the last look, by identity.
    met: HashMap<String, Met>,
    /// The number of every deck that was in use.
    in_use: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Met {
    arrival: Arrival,
    started_ms: Option<i64>,
    since_ms: i64,
}

impl Booth {
    pub fn new(mode: DeckMode, ignored_decks: &[u8], catch_up: CatchUp) -> Self {
        let decks = Decks::new(mode, ignored_decks);
        Self { catch_up, decks, looked: false, is_told: false, met: HashMap::new(), in_use: Vec::new() }
    }

    /// What is new when these tracks, in order of their loading, are all that Serato knows.
    pub fn look(&mut self, now_ms: i64, tracks: Vec<Loaded>) -> Vec<SourceEvent> {
        let mut before = std::mem::take(&mut self.met);
        let newest: BTreeMap<u8, usize> =
            tracks.iter().enumerate().map(|(index, track)| (track.deck, index)).collect();
        let mut plays = Vec::new();
        let mut change = Change::Nothing;
        for (index, track) in tracks.iter().enumerate() {
            if track.state == LoadedState::Waits {
                continue;
            }
            let is_on = track.state == LoadedState::Plays && newest.get(&track.deck) == Some(&index);
            let known = before.remove(&track.play.identity);
            let met = known.unwrap_or_else(|| self.first_met(now_ms, track, is_on));
            self.met.insert(track.play.identity.clone(), met);
            if known.is_none() {
                self.decks.set(track.deck, Some(met.on_deck(&track.play)));
                change = self.decks.change();
                plays.extend(self.wanted(now_ms, &change));
            }
        }
        self.in_use.extend(newest.keys());
        self.in_use.sort_unstable();
        self.in_use.dedup();
        for number in &self.in_use {
            let track = newest.get(number).and_then(|index| tracks.get(*index));
            let playing = track.filter(|track| track.state == LoadedState::Plays);
            let deck =
                playing.and_then(|track| Some(self.met.get(&track.play.identity)?.on_deck(&track.play)));
            self.decks.set(*number, deck);
        }
        match self.decks.change() {
            Change::Nothing => {}
            last => {
                plays.extend(self.wanted(now_ms, &last));
                change = last;
            }
        }
        self.looked = true;
        let mut events = Vec::new();
        if !plays.is_empty() {
            events.push(SourceEvent::Plays(plays));
        }
        if change == Change::Silence && std::mem::take(&mut self.is_told) {
            events.push(SourceEvent::Stopped);
        }
        events
    }

    /// Since when a track that was not met as a play before is one.
    fn first_met(&self, now_ms: i64, track: &Loaded, is_on: bool) -> Met {
        let loaded_ms = track.play.started_ms;
        if self.looked && is_on {
            Met { arrival: Arrival::Live, started_ms: Some(now_ms), since_ms: now_ms }
        } else {
            let arrival = if self.looked { Arrival::Live } else { Arrival::Found };
            Met { arrival, started_ms: loaded_ms, since_ms: loaded_ms.unwrap_or(now_ms).min(now_ms) }
        }
    }

    /// What is heard, if it is a play of this set, or still on.
    fn wanted(&mut self, now_ms: i64, change: &Change) -> Option<Observation> {
        let Change::Play(play) = change else { return None };
        let in_time = play.started_ms.is_none_or(|started_ms| {
            started_ms >= self.catch_up.since_ms.saturating_sub(WHOLE_SECONDS_MS)
                || is_fresh(started_ms, play.track.duration_ms, now_ms)
        });
        self.is_told = in_time;
        (in_time && !self.catch_up.seen.contains(&play.identity)).then(|| play.clone())
    }
}

impl Met {
    fn on_deck(&self, play: &Observation) -> Deck {
        let play = Observation { arrival: self.arrival, started_ms: self.started_ms, ..play.clone() };
        Deck { play, since_ms: self.since_ms, level: 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::LoadedState::{Over, Plays, Waits};
    use super::*;
    use crate::sources::observation::SourceKind;

    const T: i64 = 1_795_291_800_000;

    fn track(title: &str, deck: u8, loaded_s: i64, state: LoadedState) -> Loaded {
        let mut play = Observation::new(SourceKind::Serato, title.to_owned());
        play.track.title = Some(title.to_owned());
        play.started_ms = Some(T + loaded_s * 1000);
        Loaded { deck, play, state }
    }

    fn booth(mode: DeckMode) -> Booth {
        Booth::new(mode, &[3], CatchUp { since_ms: T, ..CatchUp::default() })
    }

    #[track_caller]
    fn check(booth: &mut Booth, at_s: i64, tracks: Vec<Loaded>, expected: &str) {
        let mut said = Vec::new();
        for event in booth.look(T + at_s * 1000, tracks) {
            match event {
                SourceEvent::Plays(plays) => said.extend(plays.into_iter().map(|play| {
                    let started_s = play.started_ms.map_or(0, |started_ms| (started_ms - T) / 1000);
                    format!("{}@{started_s}", play.identity)
                })),
                event => said.push(format!("{event:?}").to_lowercase()),
            }
        }
        assert_eq!(said.join(" "), expected);
    }

    #[test]
    fn a_play_begins_when_it_is_played_and_not_when_it_is_loaded() {
        let mut booth = booth(DeckMode::Newest);
        check(&mut booth, 5, vec![track("b", 2, 1, Waits), track("a", 1, 2, Waits)], "");
        check(&mut booth, 10, vec![track("b", 2, 1, Waits), track("a", 1, 2, Plays)], "a@10");
        check(&mut booth, 200, vec![track("b", 2, 1, Plays), track("a", 1, 2, Plays)], "b@200");
        let loaded = || vec![track("b", 2, 1, Plays), track("a", 1, 2, Over), track("c", 1, 230, Waits)];
        check(&mut booth, 230, loaded(), "");
        check(&mut booth, 231, loaded(), "");
        check(&mut booth, 400, vec![track("b", 2, 1, Over), track("c", 1, 230, Waits)], "stopped");
        check(&mut booth, 410, vec![track("sample", 3, 405, Plays)], "");
    }

    #[test]
    fn the_oldest_deck_speaks_until_it_is_gone() {
        let mut booth = booth(DeckMode::Oldest);
        check(&mut booth, 10, vec![track("a", 1, 2, Plays)], "a@2");
        check(&mut booth, 200, vec![track("a", 1, 2, Plays), track("b", 2, 190, Plays)], "");
        let tracks = vec![track("a", 1, 2, Over), track("b", 2, 190, Plays), track("c", 1, 220, Waits)];
        check(&mut booth, 220, tracks, "b@200");
    }

    #[test]
    fn what_was_there_before_us_is_told_in_order() {
        let mut late = Booth::new(
            DeckMode::Newest,
            &[],
            CatchUp { seen: HashSet::from(["told".to_owned()]), since_ms: T },
        );
        let tracks = vec![
            track("old", 1, -5000, Over),
            track("told", 2, 5, Over),
            track("a", 1, 200, Over),
            track("b", 2, 400, Plays),
            track("c", 1, 600, Waits),
        ];
        check(&mut late, 610, tracks, "a@200 b@400");
    }

    #[test]
    fn what_was_replaced_between_two_looks_is_told_too() {
        let mut booth = booth(DeckMode::Newest);
        check(&mut booth, 10, vec![track("a", 1, 2, Plays)], "a@2");
        let tracks = vec![track("a", 1, 2, Over), track("b", 2, 190, Over), track("c", 2, 400, Plays)];
        check(&mut booth, 500, tracks, "b@190 c@500");
    }

    #[test]
    fn more_that_is_known_is_told_under_the_same_name() {
        let mut booth = booth(DeckMode::Newest);
        check(&mut booth, 10, vec![track("a", 1, 2, Plays)], "a@2");
        let mut better = track("a", 1, 2, Plays);
        better.play.track.bpm = Some(124.0);
        check(&mut booth, 12, vec![better], "a@2");
    }
}
