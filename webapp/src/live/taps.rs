//! What dancers tap, on its way to the archive: numbered, sent until the cursor has passed it, and then confirmed to
//! whoever waits for it. It is kept in memory only: what is not confirmed, the dancer's browser keeps.

use std::collections::VecDeque;

use bus::{Bus, Outbox};
use config::clock::{now_ms, seed};
use config::metrics::Gauge;
use protocol::{
    Cursor, FloorAddress, FloorTopic, IdSource, Input, InputReport, JournalId, ProducerId, V1, message,
};
use tokio::sync::{mpsc, oneshot};

/// Taps between the handlers and the feed. When it is full, dancers are asked to come back.
const QUEUE_TAPS: usize = 1_024;

/// Taps that the archive has not confirmed. When there are so many, no more are taken in.
const UNCONFIRMED_MAX: usize = 20_000;

/// One tap.
#[derive(Debug, Clone)]
pub struct Tap {
    pub floor: FloorAddress,
    pub input: Input,
    /// When the dancer tapped, as far as we know.
    pub at_ms: i64,
}

/// There is no room for more taps now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Takes taps from the handlers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Taps {
    sender: mpsc::Sender<Waiting>,
    unconfirmed: Gauge,
}

/// The other end, which the feed has: taps as they come, and how many it has that are not confirmed.
#[derive(Debug)]
pub(crate) struct Arriving {
    pub(crate) taps: mpsc::Receiver<Waiting>,
    pub(crate) unconfirmed: Gauge,
}

/// A tap, and who waits for its confirmation.
#[derive(Debug)]
pub(crate) struct Waiting {
    tap: Tap,
    confirmed: oneshot::Sender<()>,
}

impl Taps {
    pub(crate) fn new() -> (Self, Arriving) {
        let (sender, taps) = mpsc::channel(QUEUE_TAPS);
        let unconfirmed = Gauge::default();
        (Self { sender, unconfirmed: unconfirmed.clone() }, Arriving { taps, unconfirmed })
    }

    /// Taps that the archive has not confirmed, as the feed counts them.
    pub(crate) fn unconfirmed(&self) -> Gauge {
        self.unconfirmed.clone()
    }

    /// Sends a tap on its way; what comes back is ready when it is stored, and fails if that will not happen.
    pub fn send(&self, tap: Tap) -> Result<oneshot::Receiver<()>, Full> {
        let (confirmed, stored) = oneshot::channel();
        self.sender.try_send(Waiting { tap, confirmed }).map_err(|_| Full)?;
        Ok(stored)
    }
}

/// Taps that are numbered and not confirmed.
pub(crate) struct Unconfirmed {
    producer: ProducerId,
    /// Begins with this process: what an earlier one had not confirmed is with the browsers.
    journal: JournalId,
    seq: u64,
    outbox: Outbox<Tap>,
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
    ids: IdSource,
}

impl Unconfirmed {
    pub(crate) fn new(producer: ProducerId) -> Self {
        let mut ids = IdSource::seeded(seed());
        let journal = ids.journal(now_ms());
        Self { producer, journal, seq: 0, outbox: Outbox::default(), waiting: VecDeque::new(), ids }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.outbox.len() < UNCONFIRMED_MAX
    }

    pub(crate) fn len(&self) -> usize {
        self.outbox.len()
    }

    pub(crate) fn take(&mut self, Waiting { tap, confirmed }: Waiting) {
        self.seq += 1;
        self.outbox.push(self.seq, tap);
        self.waiting.push_back((self.seq, confirmed));
    }

    /// Sends as many as the archive's pace allows.
    pub(crate) fn send(&mut self, bus: &Bus) {
        while let Some((seq, held_from, tap)) = self.outbox.next() {
            let now_ms = now_ms();
            let report = InputReport {
                v: V1,
                id: self.ids.message(now_ms),
                at_ms: tap.at_ms,
                journal: self.journal,
                seq,
                held_from,
                input: tap.input.clone(),
            };
            let topic = tap.floor.topic(FloorTopic::In(self.producer.clone()));
            if !bus.say(topic, message::write(&report)) {
                return; // The next connection, or the next tick, goes on here.
            }
            self.outbox.sent(now_ms);
        }
    }

    pub(crate) fn confirm(&mut self, cursor: &Cursor) {
        if cursor.journal != self.journal {
            return;
        }
        self.outbox.confirm(cursor.seq, now_ms());
        while let Some((_, confirmed)) = self.waiting.pop_front_if(|(seq, _)| *seq <= cursor.seq) {
            // Whoever waited may have gone.
            let _ = confirmed.send(());
        }
    }

    /// What was under way is lost with the old connection; what arrived after all does no harm twice.
    pub(crate) fn reconnected(&mut self) {
        self.outbox.rewind();
    }

    pub(crate) fn archived_by(&mut self, term: Option<u64>) {
        self.outbox.archived_by(term);
    }

    pub(crate) fn tick(&mut self) {
        if self.outbox.rewind_if_stuck(now_ms()) {
            tracing::warn!(waiting = self.outbox.len(), "the archive has not confirmed taps; sending again");
        }
    }
}
