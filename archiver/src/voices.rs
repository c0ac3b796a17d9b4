//! What dancers say about the plays of one floor, counted in memory, so that tallies live on while the database is
//! away. Pure.

use std::collections::{HashMap, VecDeque};

use protocol::{DancerId, PlayId, TempoWish};
use store::{Reaction, ReactionRow, Tally};

/// Plays whose dancers are remembered. About older ones reactions are stored like any other, and not counted here.
const PLAYS_MAX: usize = 8;

/// Dancers of one play. What more of them say is stored, and counted here after a restart only.
const DANCERS_MAX: usize = 20_000;

/// Rows that [`Voices::load`] is to be given: three of each dancer.
pub const ROWS_MAX: u32 = 3 * DANCERS_MAX as u32;

/// The newest reactions of each dancer to the last plays.
#[derive(Debug, Default)]
pub struct Voices {
    /// The play that was spoken of first at the front.
    plays: VecDeque<(PlayId, Ballot)>,
}

#[derive(Debug, Default)]
struct Ballot {
    dancers: HashMap<DancerId, Said>,
    counted: Tally,
    /// What the archive counts without knowing who said it.
    folded: Tally,
    is_loaded: bool,
}

/// What one dancer said, and when.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    like: (bool, i64),
    tempo: (Option<TempoWish>, i64),
    thanks: (bool, i64),
}

impl Voices {
    /// Hears one reaction; one that is older than what the dancer said since changes nothing.
    pub fn hear(&mut self, row: &ReactionRow) {
        self.ballot(row.play_id).hear(row);
    }

    /// Takes over what the archive knows of a play: who said what, and what it counts without knowing who.
    pub fn load(&mut self, play: PlayId, rows: &[ReactionRow], folded: Tally) {
        let ballot = self.ballot(play);
        ballot.folded = folded;
        ballot.is_loaded = true;
        rows.iter().for_each(|row| ballot.hear(row));
    }

    /// Forgets who said it; it stays counted.
    pub fn forget(&mut self, dancer: &DancerId) {
        for (_, ballot) in &mut self.plays {
            ballot.dancers.remove(dancer);
        }
    }

    /// Whether the archive need not be asked about a play.
    pub fn is_loaded(&self, play: PlayId) -> bool {
        self.plays.iter().any(|(id, ballot)| *id == play && ballot.is_loaded)
    }

    pub fn tally(&self, play: PlayId) -> Tally {
        let ballot = self.plays.iter().find(|(id, _)| *id == play);
        ballot.map_or_else(Tally::default, |(_, ballot)| plus(ballot.counted, ballot.folded))
    }

    fn ballot(&mut self, play: PlayId) -> &mut Ballot {
        let place = self.plays.iter().position(|(id, _)| *id == play).unwrap_or_else(|| {
            if self.plays.len() >= PLAYS_MAX {
                self.plays.pop_front();
            }
            self.plays.push_back((play, Ballot::default()));
            self.plays.len() - 1
        });
        &mut self.plays[place].1
    }
}

impl Ballot {
    fn hear(&mut self, row: &ReactionRow) {
        if self.dancers.len() >= DANCERS_MAX && !self.dancers.contains_key(&row.dancer) {
            return;
        }
        let said = self.dancers.entry(row.dancer.clone()).or_default();
        let counted = &mut self.counted;
        match row.reaction {
            Reaction::Like(on) if said.like.1 < row.at_ms => {
                count(&mut counted.likes, said.like.0, on);
                said.like = (on, row.at_ms);
            }
            Reaction::Tempo(wish) if said.tempo.1 < row.at_ms => {
                let tempo = &mut counted.tempo;
                for (number, kind) in [
                    (&mut tempo.slower, TempoWish::Slower),
                    (&mut tempo.perfect, TempoWish::Perfect),
                    (&mut tempo.faster, TempoWish::Faster),
                ] {
                    count(number, said.tempo.0 == Some(kind), wish == Some(kind));
                }
                said.tempo = (wish, row.at_ms);
            }
            Reaction::Thanks if said.thanks.1 < row.at_ms => {
                count(&mut counted.thanks, said.thanks.0, true);
                said.thanks = (true, row.at_ms);
            }
            _ => {}
        }
    }
}

fn count(number: &mut u32, before: bool, after: bool) {
    *number = number.saturating_sub(before.into()).saturating_add(after.into());
}

fn plus(one: Tally, other: Tally) -> Tally {
    let mut sum = one;
    for (number, more) in [
        (&mut sum.likes, other.likes),
        (&mut sum.thanks, other.thanks),
        (&mut sum.tempo.slower, other.tempo.slower),
        (&mut sum.tempo.perfect, other.tempo.perfect),
        (&mut sum.tempo.faster, other.tempo.faster),
    ] {
        *number = number.saturating_add(more);
    }
    sum
}

#[cfg(test)]
mod tests {
    use protocol::TempoTally;

    use super::*;

    fn play(n: u8) -> PlayId {
        PlayId::at(1, [n; 10])
    }

    fn row(dancer: &str, reaction: Reaction, at_ms: i64) -> ReactionRow {
        ReactionRow { play_id: play(1), dancer: dancer.parse().unwrap(), reaction, at_ms }
    }

    fn heard(rows: &[ReactionRow]) -> Tally {
        let mut voices = Voices::default();
        rows.iter().for_each(|row| voices.hear(row));
        voices.tally(play(1))
    }

    #[test]
    fn a_dancer_counts_once_and_the_newest_counts() {
        let faster = Reaction::Tempo(Some(TempoWish::Faster));
        let slower = Reaction::Tempo(Some(TempoWish::Slower));
        let rows = [
            row("one", Reaction::Like(true), 1),
            row("one", Reaction::Like(true), 1),
            row("two", Reaction::Like(true), 3),
            row("two", Reaction::Like(false), 2),
            row("one", faster, 1),
            row("one", slower, 2),
            row("two", Reaction::Thanks, 1),
        ];
        let tempo = TempoTally { slower: 1, ..TempoTally::default() };
        let expected = Tally { likes: 2, tempo, thanks: 1 };
        assert_eq!(heard(&rows), expected);
        let mut reversed = rows.to_vec();
        reversed.reverse();
        assert_eq!(heard(&reversed), expected, "whatever the order");
        let back = [row("one", faster, 1), row("one", Reaction::Tempo(None), 2)];
        assert_eq!(heard(&back), Tally::default());
    }

    #[test]
    fn what_the_archive_knows_is_not_counted_twice() {
        let mut voices = Voices::default();
        voices.hear(&row("one", Reaction::Like(true), 5));
        assert!(!voices.is_loaded(play(1)));
        let known = [row("one", Reaction::Like(true), 5), row("two", Reaction::Like(true), 1)];
        // Three more who are not known by name any more.
        voices.load(play(1), &known, Tally { likes: 3, ..Tally::default() });
        assert!(voices.is_loaded(play(1)));
        assert_eq!(voices.tally(play(1)).likes, 5);
        voices.hear(&row("two", Reaction::Like(false), 6));
        assert_eq!(voices.tally(play(1)).likes, 4);
    }

    #[test]
    fn a_forgotten_dancer_stays_counted() {
        let mut voices = Voices::default();
        voices.hear(&row("one", Reaction::Like(true), 5));
        voices.forget(&"one".parse().unwrap());
        assert_eq!(voices.tally(play(1)).likes, 1);
        assert!(voices.plays.iter().all(|(_, ballot)| ballot.dancers.is_empty()));
    }

    #[test]
    fn neither_plays_nor_dancers_fill_the_memory() {
        let mut voices = Voices::default();
        for n in 0..100 {
            voices.hear(&ReactionRow { play_id: play(n), ..row("one", Reaction::Thanks, 1) });
        }
        assert_eq!(voices.plays.len(), PLAYS_MAX);
        for n in 0..=DANCERS_MAX {
            voices.hear(&row(&format!("d{n}"), Reaction::Like(true), 1));
        }
        assert_eq!(voices.tally(play(1)).likes as usize, DANCERS_MAX);
    }
}
