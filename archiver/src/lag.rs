//! How far the cursor of each producer is behind what was heard from it. Pure.

use std::collections::HashMap;

use protocol::{JournalId, ProducerId};

/// Producers whose lag is told by name. All further ones are told as one.
const NAMED_MAX: usize = 32;

/// Producers that are remembered; whoever comes after them is not measured.
const REMEMBERED_MAX: usize = 1_024;

/// The name of all producers that have none of their own here. No id looks like it.
pub const OTHERS: &str = "(others)";

/// What was heard and what is stored, by producer.
#[derive(Debug, Default)]
pub struct Lag(HashMap<ProducerId, Behind>);

#[derive(Debug, Clone, Copy)]
struct Behind {
    journal: JournalId,
    heard: u64,
    stored: u64,
}

impl Lag {
    /// A message has come in, whether or not it could be taken. `stored` is where the cursor of its journal stands.
    pub fn heard(&mut self, producer: &ProducerId, journal: JournalId, seq: u64, stored: u64) {
        if let Some(known) = self.0.get_mut(producer) {
            // A producer begins a new journal when it has lost the old one.
            let heard = if known.journal == journal { known.heard.max(seq) } else { seq };
            *known = Behind { journal, heard, stored: stored.max(known.stored_of(journal)) };
        } else if self.0.len() < REMEMBERED_MAX {
            self.0.insert(producer.clone(), Behind { journal, heard: seq, stored });
        }
    }

    /// The cursor was moved.
    pub fn stored(&mut self, producer: &ProducerId, journal: JournalId, seq: u64) {
        if let Some(known) = self.0.get_mut(producer).filter(|known| known.journal == journal) {
            known.stored = known.stored.max(seq);
        }
    }

    /// The furthest behind first, each by its name as long as there are few.
    pub fn each(&self) -> Vec<(String, u64)> {
        let mut all: Vec<(&str, u64)> = self
            .0
            .iter()
            .map(|(producer, known)| (producer.as_str(), known.heard.saturating_sub(known.stored)))
            .collect();
        all.sort_unstable_by(|(name, behind), (other, least)| least.cmp(behind).then(name.cmp(other)));
        let others = all.split_off(all.len().min(NAMED_MAX));
        let mut each: Vec<(String, u64)> =
            all.into_iter().map(|(name, behind)| (name.to_owned(), behind)).collect();
        if !others.is_empty() {
            each.push((OTHERS.to_owned(), others.iter().map(|(_, behind)| behind).sum()));
        }
        each
    }
}

impl Behind {
    fn stored_of(self, journal: JournalId) -> u64 {
        if self.journal == journal { self.stored } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(n: u8) -> JournalId {
        JournalId::at(i64::from(n), [n; 10])
    }

    fn producer(name: &str) -> ProducerId {
        name.parse().unwrap()
    }

    #[test]
    fn behind_is_what_was_heard_and_is_not_stored() {
        let mut lag = Lag::default();
        lag.heard(&producer("booth"), journal(1), 7, 4);
        lag.heard(&producer("web"), journal(1), 1, 0);
        lag.stored(&producer("web"), journal(1), 1);
        assert_eq!(lag.each(), [("booth".to_owned(), 3), ("web".to_owned(), 0)]);
        lag.stored(&producer("booth"), journal(1), 7);
        assert_eq!(lag.each()[0], ("booth".to_owned(), 0));
        lag.heard(&producer("booth"), journal(2), 1, 0);
        lag.stored(&producer("booth"), journal(1), 9);
        assert_eq!(lag.each()[0], ("booth".to_owned(), 1), "another journal is counted anew");
    }

    #[test]
    fn names_are_bounded() {
        let mut lag = Lag::default();
        for n in 0..5_000 {
            lag.heard(&producer(&format!("p{n}")), journal(1), 2, u64::from(n != 40));
        }
        let each = lag.each();
        assert_eq!((each.len(), &each[0]), (NAMED_MAX + 1, &("p40".to_owned(), 2)));
        assert_eq!(each[NAMED_MAX], (OTHERS.to_owned(), (REMEMBERED_MAX - NAMED_MAX) as u64));
    }
}
