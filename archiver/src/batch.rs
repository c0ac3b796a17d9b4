//! What waits to be stored. Pure.
//!
//! One transaction runs at a time; what comes meanwhile makes up the next one. So a lone play is stored at
//! once, and a flood in large batches, without any timer.

use std::collections::BTreeMap;

use protocol::{EventId, JournalId, ProducerId};
use store::{CursorRow, Record};

/// One transaction's worth: more would hold the single writer of SQLite for too long.
const TRANSACTION_RECORDS: usize = 2_000;

const RETRY_FIRST_MS: i64 = 250;
const RETRY_LAST_MS: i64 = 5_000;

/// Bytes of pictures that may wait: as many as a good part of a night has.
const COVER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Records and cursor positions on their way to the database.
#[derive(Debug)]
pub struct Batch {
    waiting: Vec<Waiting>,
    waiting_max: usize,
    /// Of the pictures among them.
    cover_bytes: usize,
    /// How many of `waiting`, from the front, are in the transaction that runs.
    running: usize,
    /// One record a transaction, until the one that the database refuses is found.
    one_by_one: usize,
    retry_at_ms: i64,
    retry_after_ms: i64,
}

/// A record and, when a producer numbered it, the cursor position it stands for. Something that is not stored moves the
/// cursor all the same.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub record: Option<Record>,
    pub position: Option<Position>,
    pub arrived_ms: i64,
}

/// A place in a producer's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub event: EventId,
    pub producer: ProducerId,
    pub journal: JournalId,
    pub seq: u64,
}

/// One transaction to run.
#[derive(Debug)]
pub struct Transaction {
    pub records: Vec<Record>,
    pub cursors: Vec<CursorRow>,
}

impl Batch {
    /// An empty one that refuses more than `waiting_max` records.
    pub fn new(waiting_max: usize) -> Self {
        Self {
            waiting: Vec::new(),
            waiting_max,
            cover_bytes: 0,
            running: 0,
            one_by_one: 0,
            retry_at_ms: 0,
            retry_after_ms: RETRY_FIRST_MS,
        }
    }

    /// Whether another record must be refused, be it a picture or not: the play that names a picture comes after it, and is
    /// not taken where that one was not.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.waiting_max || self.cover_bytes >= COVER_BYTES_MAX
    }

    /// Records that are not committed yet.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether everything is committed.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a record. The caller asked [`Batch::is_full`] before it let the frontier move.
    pub fn push(&mut self, waiting: Waiting) {
        self.cover_bytes += cover_bytes(&waiting);
        self.waiting.push(waiting);
    }

    /// The next transaction, if none is running and none failed a moment ago.
    pub fn begin(&mut self, now_ms: i64) -> Option<Transaction> {
        if self.running > 0 || self.waiting.is_empty() || now_ms < self.retry_at_ms {
            return None;
        }
        let most = if self.one_by_one > 0 { 1 } else { TRANSACTION_RECORDS };
        self.running = self.waiting.len().min(most);
        let mut cursors: BTreeMap<(ProducerId, JournalId), CursorRow> = BTreeMap::new();
        let batch = &self.waiting[..self.running];
        for position in batch.iter().filter_map(|waiting| waiting.position.as_ref()) {
            // Positions come in order, so the last one is the highest.
            cursors.insert(
                (position.producer.clone(), position.journal),
                CursorRow {
                    event: position.event.clone(),
                    producer: position.producer.clone(),
                    journal: position.journal,
                    seq: position.seq,
                    updated_ms: now_ms,
                },
            );
        }
        Some(Transaction {
            records: batch.iter().filter_map(|waiting| waiting.record.clone()).collect(),
            cursors: cursors.into_values().collect(),
        })
    }

    /// When that came which is in the transaction that runs, as far as its producers wait for it.
    pub fn running_since_ms(&self) -> impl Iterator<Item = i64> {
        let running = self.waiting[..self.running].iter();
        running.filter(|waiting| waiting.position.is_some()).map(|waiting| waiting.arrived_ms)
    }

    /// Lets go of everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.waiting_max);
    }

    /// The running transaction is on disk.
    pub fn committed(&mut self) {
        let stored = self.waiting.drain(..self.running);
        self.cover_bytes = self.cover_bytes.saturating_sub(stored.map(|waiting| cover_bytes(&waiting)).sum());
        self.one_by_one = self.one_by_one.saturating_sub(self.running);
        self.running = 0;
        self.retry_at_ms = 0;
        self.retry_after_ms = RETRY_FIRST_MS;
    }

    /// The running transaction failed and left nothing behind. Returns how long the next try waits.
    pub fn failed(&mut self, now_ms: i64) -> i64 {
        self.running = 0;
        let wait = self.retry_after_ms;
        self.retry_at_ms = now_ms + wait;
        self.retry_after_ms = (wait * 2).min(RETRY_LAST_MS);
        wait
    }

    /// The database answered the running transaction with no, and would again. Of many records each is
    /// tried alone; a single one is given up and returned, and its producer's cursor moves past it with the
    /// next record: one bad report must not hold up the night.
    pub fn refused(&mut self) -> Option<Waiting> {
        let running = std::mem::take(&mut self.running);
        if running > 1 {
            self.one_by_one = running;
            return None;
        }
        self.one_by_one = self.one_by_one.saturating_sub(1);
        let lost = (running == 1).then(|| self.waiting.remove(0));
        self.cover_bytes = self.cover_bytes.saturating_sub(lost.as_ref().map_or(0, cover_bytes));
        lost
    }

    /// When [`Batch::begin`] should be asked again although nothing new came in.
    pub fn due_ms(&self) -> Option<i64> {
        (self.running == 0 && !self.waiting.is_empty()).then_some(self.retry_at_ms)
    }
}

fn cover_bytes(waiting: &Waiting) -> usize {
    match &waiting.record {
        Some(Record::Cover(row)) => row.jpeg.as_bytes().len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Jpeg, SetId};
    use store::{CoverRow, SetRow};

    use super::*;

    fn journal() -> JournalId {
        JournalId::at(1, [1; 10])
    }

    fn waiting(seq: u64) -> Waiting {
        let record = Record::Set(SetRow {
            floor: "tonight/main".parse().unwrap(),
            desk: "booth".parse().unwrap(),
            id: SetId::at(1, [2; 10]),
            dj: None,
            started_ms: 1,
            ended_ms: None,
        });
        let position = Position {
            event: "tonight".parse().unwrap(),
            producer: "booth".parse().unwrap(),
            journal: journal(),
            seq,
        };
        Waiting { record: Some(record), position: Some(position), arrived_ms: seq as i64 }
    }

    #[test]
    fn what_comes_during_a_transaction_is_the_next_one() {
        let mut batch = Batch::new(100);
        assert!(batch.begin(0).is_none());
        batch.push(waiting(1));
        let first = batch.begin(0).unwrap();
        assert_eq!((first.records.len(), first.cursors[0].seq), (1, 1));
        batch.push(waiting(2));
        batch.push(waiting(3));
        assert!(batch.begin(0).is_none(), "one at a time");
        batch.committed();
        let second = batch.begin(0).unwrap();
        assert_eq!((second.records.len(), second.cursors.len(), second.cursors[0].seq), (2, 1, 3));
        batch.committed();
        assert!(batch.is_empty());
    }

    #[test]
    fn a_failed_transaction_is_tried_again_whole() {
        let mut batch = Batch::new(100);
        batch.push(waiting(1));
        batch.begin(1_000).unwrap();
        assert_eq!(batch.failed(1_000), 250);
        assert!(batch.begin(1_249).is_none());
        assert_eq!(batch.due_ms(), Some(1_250));
        batch.push(waiting(2));
        assert_eq!(batch.begin(1_250).unwrap().records.len(), 2);
        assert_eq!(batch.failed(1_250), 500, "and ever more slowly");
    }

    #[test]
    fn one_refused_record_does_not_hold_up_the_others() {
        let mut batch = Batch::new(100);
        for seq in 1..=3 {
            batch.push(waiting(seq));
        }
        assert_eq!(batch.begin(0).unwrap().records.len(), 3);
        assert!(batch.refused().is_none());
        batch.push(waiting(4));
        assert_eq!(batch.begin(0).unwrap().cursors[0].seq, 1);
        batch.committed();
        assert_eq!(batch.begin(0).unwrap().cursors[0].seq, 2);
        assert_eq!(batch.refused().unwrap().position.unwrap().seq, 2);
        assert_eq!(batch.begin(0).unwrap().cursors[0].seq, 3);
        batch.committed();
        assert_eq!(batch.begin(0).unwrap().cursors[0].seq, 4);
        batch.committed();
        assert!(batch.is_empty());
    }

    #[test]
    fn pictures_are_bounded_by_their_bytes() {
        let jpeg = Jpeg::new(&[&[0xff, 0xd8, 0xff][..], &[0; 99_000]].concat()).unwrap();
        let row = Record::Cover(CoverRow { jpeg, stored_ms: 1 });
        let mut batch = Batch::new(20_000);
        while !batch.is_full() {
            batch.push(Waiting { record: Some(row.clone()), position: None, arrived_ms: 0 });
        }
        assert!((300..400).contains(&batch.len()), "{}", batch.len());
        batch.begin(0).unwrap();
        batch.committed();
        assert!(batch.is_empty() && !batch.is_full());
    }

    #[test]
    fn it_is_bounded() {
        let mut batch = Batch::new(2);
        batch.push(waiting(1));
        assert!(!batch.is_full());
        batch.push(waiting(2));
        assert!(batch.is_full());
    }
}
