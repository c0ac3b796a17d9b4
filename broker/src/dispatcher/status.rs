//! The broker's own topics, `$SYS/broker/…`, as monitoring tools expect them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Dispatcher;
use crate::clock::now_ms;
use crate::codec::Properties;
use crate::message::{Held, Message};

/// Whoever subscribes gets values that are not older.
const FRESH: Duration = Duration::from_secs(1);

impl Dispatcher {
    /// Renews the values when it is time and somebody looks.
    pub(super) fn check_status(&mut self) {
        let interval = Duration::from_secs(self.settings.status_interval_s);
        if self.subscriptions.has_branch(b"$SYS") && self.status_at.is_none_or(|at| at.elapsed() >= interval)
        {
            self.publish_status();
        }
    }

    /// Renews the values for somebody who begins to look.
    pub(super) fn freshen_status(&mut self) {
        if self.status_at.is_none_or(|at| at.elapsed() >= FRESH) {
            self.publish_status();
        }
    }

    fn publish_status(&mut self) {
        self.status_at = Some(Instant::now());
        let counters = self.counters.clone();
        let (connected, away) = (counters.connections.get(), counters.away.get());
        let number = |number: u64| number.to_string();
        let resident_bytes = config::metrics::resident_bytes().unwrap_or_default();
        self.resident_bytes_most = self.resident_bytes_most.max(resident_bytes);
        let values = [
            ("version", concat!("pika ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("uptime", format!("{} seconds", self.started_at.elapsed().as_secs())),
            ("clients/connected", number(connected)),
            ("clients/disconnected", number(away)),
            // The former names of these two, which some tools still ask for.
            ("clients/active", number(connected)),
            ("clients/inactive", number(away)),
            ("clients/total", number(connected + away)),
            ("clients/maximum", number(counters.connections_most.get())),
            ("messages/received", number(counters.packets_received.get())),
            ("messages/sent", number(counters.packets_sent.get())),
            ("publish/messages/received", number(counters.published.get())),
            ("publish/messages/sent", number(counters.delivered.get())),
            ("publish/messages/dropped", number(counters.dropped.get())),
            ("bytes/received", number(counters.bytes_received.get())),
            ("bytes/sent", number(counters.bytes_sent.get())),
            ("subscriptions/count", number(self.subscriptions.len() as u64)),
            ("retained messages/count", number(self.retained.len() as u64)),
            ("store/messages/bytes", number((self.queued() + self.retained.bytes()) as u64)),
            // Of the whole process, which may be more than the broker.
            ("heap/current", number(resident_bytes)),
            ("heap/maximum", number(self.resident_bytes_most)),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value));
        let values: Vec<_> = values.into_iter().chain(self.load.values()).collect();
        let mut lost = Vec::new();
        for (name, value) in values {
            let message = Message {
                origin: 0,
                packet_id: 0,
                qos: 0,
                retain: true,
                expires_ms: None,
                topic: Bytes::from(format!("$SYS/broker/{name}")),
                properties: Properties::new(),
                payload: Bytes::from(value),
                held: Held::default(),
            };
            self.hand_out(&Arc::new(message), now_ms(), &mut lost);
        }
        self.give_up(&lost);
    }
}
