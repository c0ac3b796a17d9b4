//! How far each producer's journal has come in without a gap. Pure.
//!
//! A cursor may only pass what was stored, and a producer forgets what the cursor has passed. So the
//! frontier never jumps over a message that the producer still holds: it waits until it is sent again.

use std::collections::HashMap;

use protocol::{JournalId, ProducerId};

/// Journals remembered for one producer. A forgotten one is taken up again from what its producer still
/// holds, so forgetting costs nothing but a few messages sent twice.
const JOURNALS_MAX: usize = 8;

/// The highest `seq` of each journal up to which everything was accepted.
#[derive(Debug, Default)]
pub struct Frontier {
    /// By producer, the journal heard last at the end.
    reached: HashMap<ProducerId, Vec<(JournalId, u64)>>,
}

/// What a message means for its producer's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next one; the frontier moved on to it.
    Next,
    /// Known already: the producer has not heard our cursor.
    Known { reached: u64 },
    /// Something before it is missing; it must be sent again after that.
    Gap { missing: u64 },
}

impl Frontier {
    /// Starts from what the database has committed.
    pub fn restore(&mut self, producer: ProducerId, journal: JournalId, seq: u64) {
        let reached = self.reached(&producer, journal);
        *reached = (*reached).max(seq);
    }

    fn reached(&mut self, producer: &ProducerId, journal: JournalId) -> &mut u64 {
        let journals = self.reached.entry(producer.clone()).or_default();
        let known = journals.iter().position(|(id, _)| *id == journal).map(|at| journals.remove(at));
        if journals.len() >= JOURNALS_MAX {
            journals.remove(0);
        }
        journals.push(known.unwrap_or((journal, 0)));
        let last = journals.len() - 1;
        &mut journals[last].1
    }

    /// Takes note of message `seq`, sent while its producer held everything from `held_from` on.
    pub fn arrive(&mut self, producer: &ProducerId, journal: JournalId, seq: u64, held_from: u64) -> Arrival {
        let reached = self.reached(producer, journal);
        if seq <= *reached {
            return Arrival::Known { reached: *reached };
        }
        // What the producer no longer holds cannot be waited for.
        let known = (*reached).max(held_from.saturating_sub(1));
        if seq > known.saturating_add(1) {
            return Arrival::Gap { missing: known + 1 };
        }
        *reached = seq;
        Arrival::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(n: u8) -> JournalId {
        JournalId::at(i64::from(n), [n; 10])
    }

    fn desk() -> ProducerId {
        "booth".parse().unwrap()
    }

    #[test]
    fn one_after_the_other() {
        let mut frontier = Frontier::default();
        assert_eq!(frontier.arrive(&desk(), journal(1), 1, 1), Arrival::Next);
        assert_eq!(frontier.arrive(&desk(), journal(1), 2, 1), Arrival::Next);
        assert_eq!(frontier.arrive(&desk(), journal(1), 2, 1), Arrival::Known { reached: 2 });
    }

    #[test]
    fn what_was_missed_is_waited_for() {
        let mut frontier = Frontier::default();
        frontier.restore(desk(), journal(1), 4);
        // 5 and 6 came while we were away; the desk still holds them.
        assert_eq!(frontier.arrive(&desk(), journal(1), 7, 5), Arrival::Gap { missing: 5 });
        for seq in 5..=7 {
            assert_eq!(frontier.arrive(&desk(), journal(1), seq, 5), Arrival::Next);
        }
    }

    #[test]
    fn what_nobody_holds_is_not_waited_for() {
        let mut frontier = Frontier::default();
        // The database was restored from an old backup: it knows 4, the desk has dropped everything up to 9.
        frontier.restore(desk(), journal(1), 4);
        assert_eq!(frontier.arrive(&desk(), journal(1), 10, 10), Arrival::Next);
    }

    #[test]
    fn a_new_journal_counts_from_one_again() {
        let mut frontier = Frontier::default();
        frontier.restore(desk(), journal(1), 500);
        assert_eq!(frontier.arrive(&desk(), journal(2), 1, 1), Arrival::Next);
    }

    #[test]
    fn a_producer_cannot_fill_the_memory() {
        let mut frontier = Frontier::default();
        for n in 0..100 {
            assert_eq!(frontier.arrive(&desk(), journal(n), 1, 1), Arrival::Next);
        }
        assert_eq!(frontier.reached[&desk()].len(), JOURNALS_MAX);
        assert_eq!(frontier.arrive(&desk(), journal(0), 2, 2), Arrival::Next, "a forgotten one goes on");
    }

    #[test]
    fn numbers_from_outside_cannot_overflow() {
        let mut frontier = Frontier::default();
        assert_eq!(frontier.arrive(&desk(), journal(1), u64::MAX, u64::MAX), Arrival::Next);
        assert_eq!(frontier.arrive(&desk(), journal(1), u64::MAX, 0), Arrival::Known { reached: u64::MAX });
        assert_eq!(frontier.arrive(&desk(), journal(2), 0, 0), Arrival::Known { reached: 0 });
    }
}
