//! Which of several decks is heard, for programs that tell of each deck by itself. Pure.
//!
//! Decks that are loud enough beside the loudest are heard; of several, the one that began last, or first if the DJ wants so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::observation::{Arrival, Observation};

/// A quieter deck is not heard at all.
const LEVEL_MIN: f64 = 0.1;
/// Beside a louder deck, a quieter one than this part of it is faded out.
const BESIDE_LOUDEST: f64 = 0.8;

/// Which deck speaks when several are heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeckMode {
    /// The one that began last.
    #[default]
    Newest,
    /// The one that began first; for long blends, where a track counts when the one before is gone.
    Oldest,
}

impl DeckMode {
    /// As it stands in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
        }
    }
}

/// A deck that plays.
#[derive(Debug, Clone, PartialEq)]
pub struct Deck {
    pub play: Observation,
    /// When it began to play, by any clock that all decks share.
    pub since_ms: i64,
    /// From 0 to 1, as the program's faders say; 1 when it does not tell.
    pub level: f64,
}

/// What has changed for who listens.
#[derive(Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per change of a deck, and most are the large one"
)]
pub enum Change {
    Nothing,
    /// Another play is heard, or more is known of it.
    Play(Observation),
    /// No deck is heard any more.
    Silence,
}

/// The decks of one program.
#[derive(Debug)]
pub struct Decks {
    mode: DeckMode,
    ignored: Vec<u8>,
    decks: BTreeMap<u8, Deck>,
    told: Option<Observation>,
    /// Identities that were told, newest last: what is heard again is not new.
    before: Vec<String>,
}

/// Decks between which a DJ goes back and forth.
const BEFORE_MAX: usize = 8;

impl Decks {
    /// Decks with an ignored number are never heard: samplers, previews.
    pub fn new(mode: DeckMode, ignored: &[u8]) -> Self {
        Self { mode, ignored: ignored.to_vec(), decks: BTreeMap::new(), told: None, before: Vec::new() }
    }

    /// How a deck is now. One that is paused, empty or ejected plays nothing.
    pub fn set(&mut self, number: u8, deck: Option<Deck>) {
        match deck.filter(|_| !self.ignored.contains(&number)) {
            Some(deck) => {
                self.decks.insert(number, deck);
            }
            None => {
                self.decks.remove(&number);
            }
        }
    }

    /// What is heard, if that is something else than at the last call.
    pub fn change(&mut self) -> Change {
        let Some(heard) = self.heard() else {
            return match self.told.take() {
                Some(_) => Change::Silence,
                None => Change::Nothing,
            };
        };
        let mut play = heard.play.clone();
        if self.told.as_ref() == Some(&play) {
            return Change::Nothing;
        }
        self.told = Some(play.clone());
        if self.before.contains(&play.identity) {
            // The fader went back to it.
            play.arrival = Arrival::Playing;
        } else {
            self.before.push(play.identity.clone());
            if self.before.len() > BEFORE_MAX {
                self.before.remove(0);
            }
        }
        Change::Play(play)
    }

    fn heard(&self) -> Option<&Deck> {
        let loudest = self.decks.values().map(|deck| deck.level).fold(0.0, f64::max);
        let heard = self
            .decks
            .values()
            .filter(|deck| deck.level >= LEVEL_MIN && deck.level >= loudest * BESIDE_LOUDEST);
        match self.mode {
            DeckMode::Newest => heard.max_by_key(|deck| deck.since_ms),
            DeckMode::Oldest => heard.min_by_key(|deck| deck.since_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::observation::SourceKind;

    fn deck(title: &str, since_ms: i64, level: f64) -> Option<Deck> {
        let mut play = Observation::new(SourceKind::VirtualDj, title.to_owned());
        play.track.title = Some(title.to_owned());
        Some(Deck { play, since_ms, level })
    }

    /// What is told after each step.
    #[track_caller]
    fn check(mode: DeckMode, steps: &[(u8, Option<Deck>, &str)]) {
        let mut decks = Decks::new(mode, &[4]);
        for (number, deck, expected) in steps {
            decks.set(*number, deck.clone());
            let told = match decks.change() {
                Change::Nothing => "nothing".to_owned(),
                Change::Silence => "silence".to_owned(),
                Change::Play(play) if play.arrival == Arrival::Playing => format!("{} again", play.identity),
                Change::Play(play) => play.identity,
            };
            assert_eq!(told, *expected);
        }
    }

    #[test]
    fn the_newest_or_the_oldest() {
        check(
            DeckMode::Newest,
            &[
                (1, deck("a", 10, 1.0), "a"),
                (2, deck("b", 20, 1.0), "b"),
                (1, None, "nothing"),
                (1, deck("c", 30, 1.0), "c"),
                (1, None, "b again"),
                (2, None, "silence"),
                (4, deck("jingle", 40, 1.0), "nothing"),
            ],
        );
        check(
            DeckMode::Oldest,
            &[(1, deck("a", 10, 1.0), "a"), (2, deck("b", 20, 1.0), "nothing"), (1, None, "b")],
        );
    }

    #[test]
    fn a_fader_decides() {
        check(
            DeckMode::Newest,
            &[
                (1, deck("a", 10, 1.0), "a"),
                (2, deck("b", 20, 0.05), "nothing"),
                (2, deck("b", 20, 0.7), "nothing"),
                (2, deck("b", 20, 0.9), "b"),
                (2, deck("b", 20, 0.3), "a again"),
                (1, deck("a", 10, 0.2), "b again"),
                (2, deck("b", 20, 0.0), "a again"),
                (1, deck("a", 10, 0.0), "silence"),
            ],
        );
    }
}
