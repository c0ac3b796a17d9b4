//! What the broker counts; whoever serves metrics reads it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct Counters {
    /// Connected sessions now.
    pub connections: Count,
    /// The most at the same time so far.
    pub connections_most: Count,
    /// Sessions ever.
    pub connected: Count,
    /// Sessions whose client is not connected, now.
    pub away: Count,
    /// Of these, ended before their time: their queue overflowed, or they were too many.
    pub away_dropped: Count,
    /// Subscriptions now.
    pub subscriptions: Count,
    pub refused: Count,
    pub published: Count,
    pub delivered: Count,
    /// MQTT packets of all kinds after the handshake, and their bytes.
    pub packets_received: Count,
    pub packets_sent: Count,
    pub bytes_received: Count,
    pub bytes_sent: Count,
    /// Messages a client did not get: its queue was full, the message too old or too large for it.
    pub dropped: Count,
    /// Sessions ended because their queue overflowed.
    pub overflowed: Count,
    /// Publishes and subscriptions that access did not allow.
    pub denied: Count,
    /// Refused because their address or token has too many connections.
    pub crowded: Count,
    pub failed_logins: Count,
    /// Times a client was read more slowly, because it publishes faster than it may.
    pub throttled: Count,
    /// Sessions ended because all queues together had become too large.
    pub shed: Count,
    /// Connections ended because of what the client sent.
    pub malformed: Count,
    /// Retained messages now.
    pub retained: Count,
    /// Attempts to write retained messages to disk that failed.
    pub journal_failed: Count,
    denied_logged_ms: AtomicI64,
}

impl Counters {
    /// Counts a denial; true when it is time for a line in the log, at most every ten seconds.
    pub(crate) fn deny(&self, now_ms: i64) -> bool {
        self.denied.add(1);
        let last = self.denied_logged_ms.load(Ordering::Relaxed);
        now_ms - last >= 10_000
            && self
                .denied_logged_ms
                .compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn raise(&self, number: u64) {
        self.0.fetch_max(number, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }
}
