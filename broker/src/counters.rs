//! What the broker counts. Every limit of the settings has a counter that tells how often it was met.

use std::sync::atomic::{AtomicI64, Ordering};

use config::metrics::{ByLabel, Counter, Gauge, Registry, Times};

use crate::codec::Fault;

#[derive(Debug, Default)]
pub struct Counters {
    /// Connected sessions now.
    pub connections: Gauge,
    /// The most at the same time so far.
    pub connections_most: Gauge,
    /// Connections accepted ever, whatever became of them.
    pub accepted: Counter,
    /// Sessions ever.
    pub connected: Counter,
    /// Sessions whose client is not connected, now.
    pub away: Gauge,
    /// Of these, ended before their time: their queue overflowed, or they were too many.
    pub away_dropped: Counter,
    /// Subscriptions now.
    pub subscriptions: Gauge,
    refused: ByLabel,
    pub published: Counter,
    pub delivered: Counter,
    /// MQTT packets of all kinds after the handshake, and their bytes.
    pub packets_received: Counter,
    pub packets_sent: Counter,
    pub bytes_received: Counter,
    pub bytes_sent: Counter,
    /// Messages a client did not get: its queue was full, the message too old or too large for it.
    pub dropped: Counter,
    /// Sessions ended because their queue overflowed.
    pub overflowed: Counter,
    /// Sessions ended because all queues together had become too large.
    pub shed: Counter,
    /// Bytes that wait now, from clients and for them.
    pub queued_bytes: Gauge,
    /// Publishes and subscriptions that access did not allow.
    pub denied: Counter,
    /// Subscriptions beyond what one client may have.
    pub subscriptions_refused: Counter,
    pub failed_logins: Counter,
    /// Times a client was read more slowly, because it sends faster than it may.
    pub throttled: Counter,
    /// Sessions ended because the client had too many messages under way to us.
    pub flooded: Counter,
    /// Sessions ended because the client took nothing for too long.
    pub stuck: Counter,
    /// Sessions ended because the client was silent for longer than its keep alive.
    pub silent: Counter,
    /// Connections ended because of what the client sent.
    pub malformed: Counter,
    /// Of these, for packets larger than allowed.
    pub too_large: Counter,
    /// Retained messages now, and their bytes.
    pub retained: Gauge,
    pub retained_bytes: Gauge,
    /// Retained messages that were not kept, because there are too many.
    pub retained_refused: Counter,
    /// Attempts to write retained messages to disk that failed.
    pub journal_failed: Counter,
    /// From a publish to its place in the queues of its subscribers; of a few messages at a time.
    pub routed: Times,
    denied_logged_ms: AtomicI64,
}

/// Why a connection did not become a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `connections_max`
    Full,
    /// `connections_per_address_max`, `connections_per_token_max`
    Crowded,
    /// `handshakes_per_address_max`
    Handshakes,
    /// `handshakes_max`: the oldest goes.
    Evicted,
    /// `handshake_timeout_s`
    Slow,
    /// No PROXY header from a proxy that has to send one.
    Proxy,
    Tls,
    /// Wrong path, subprotocol or Origin.
    WebSocket,
    BadLogin,
    NoLogin,
    /// The tokens were not read yet.
    NotReady,
    /// A client id, protocol version or authentication method that we do not take.
    Unsupported,
}

impl Refusal {
    const ALL: [Self; 12] = [
        Self::Full,
        Self::Crowded,
        Self::Handshakes,
        Self::Evicted,
        Self::Slow,
        Self::Proxy,
        Self::Tls,
        Self::WebSocket,
        Self::BadLogin,
        Self::NoLogin,
        Self::NotReady,
        Self::Unsupported,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Crowded => "crowded",
            Self::Handshakes => "handshakes",
            Self::Evicted => "evicted",
            Self::Slow => "slow",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::WebSocket => "websocket",
            Self::BadLogin => "bad_login",
            Self::NoLogin => "no_login",
            Self::NotReady => "not_ready",
            Self::Unsupported => "unsupported",
        }
    }
}

impl Counters {
    /// Adds them all as `pika_broker_…`.
    pub fn register(&self, registry: &mut Registry) {
        // So that a rate can be computed from the first one on.
        for refusal in Refusal::ALL {
            _ = self.refused.get_or_create(&label(refusal));
        }
        let registry = registry.sub_registry_with_prefix("pika_broker");
        for (name, help, gauge) in [
            ("connections", "Connected clients", &self.connections),
            ("connections_most", "Most clients connected at the same time", &self.connections_most),
            ("sessions_away", "Sessions that wait for their client", &self.away),
            ("subscriptions", "Subscriptions", &self.subscriptions),
            ("queued_bytes", "Bytes that wait, from clients and for them", &self.queued_bytes),
            ("retained_messages", "Retained messages", &self.retained),
            ("retained_bytes", "Bytes of retained messages", &self.retained_bytes),
        ] {
            registry.register(name, help, gauge.clone());
        }
        let refused = "Connections that did not become a session, by reason";
        registry.register("refused", refused, self.refused.clone());
        for (name, help, counter) in [
            ("accepted", "Connections accepted, whatever became of them", &self.accepted),
            ("connected", "Sessions begun", &self.connected),
            ("away_dropped", "Sessions of absent clients given up before their time", &self.away_dropped),
            ("published", "Messages published by clients", &self.published),
            ("delivered", "Messages sent to clients", &self.delivered),
            ("packets_received", "MQTT packets received", &self.packets_received),
            ("packets_sent", "MQTT packets sent", &self.packets_sent),
            ("received_bytes", "Bytes received", &self.bytes_received),
            ("sent_bytes", "Bytes sent", &self.bytes_sent),
            ("dropped", "Messages a client did not get: queue full, too old, too large", &self.dropped),
            ("overflowed", "Sessions ended because their queue was full", &self.overflowed),
            ("shed", "Sessions ended because all queues together were too large", &self.shed),
            ("denied", "Publishes and subscriptions that access did not allow", &self.denied),
            (
                "subscriptions_refused",
                "Subscriptions beyond the most of a client",
                &self.subscriptions_refused,
            ),
            ("failed_logins", "Wrong names, passwords and tokens", &self.failed_logins),
            ("throttled", "Times a client was read more slowly", &self.throttled),
            ("flooded", "Sessions ended for too many messages under way to us", &self.flooded),
            ("stuck", "Sessions ended because the client took nothing", &self.stuck),
            ("silent", "Sessions ended because the client was silent", &self.silent),
            ("malformed", "Connections ended because of what the client sent", &self.malformed),
            ("too_large", "Connections ended because of a packet larger than allowed", &self.too_large),
            (
                "retained_refused",
                "Retained messages not kept, since there are too many",
                &self.retained_refused,
            ),
            ("journal_failed", "Failed attempts to write retained messages to disk", &self.journal_failed),
        ] {
            registry.register(name, help, counter.clone());
        }
        let routed = "From a publish to the queues of all its subscribers; measured for some";
        self.routed.register(registry, "routed", routed);
    }

    /// Connections refused for this reason so far.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refused.get(&label(refusal)).map_or(0, |counter| counter.get())
    }

    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.refused.get_or_create(&label(refusal)).inc();
    }

    pub(crate) fn complain(&self, fault: &Fault) {
        self.malformed.inc();
        if matches!(fault, Fault::TooLarge(_)) {
            self.too_large.inc();
        }
    }

    /// Counts a denial; true when it is time for a line in the log, at most every ten seconds.
    pub(crate) fn deny(&self, now_ms: i64) -> bool {
        self.denied.inc();
        let last = self.denied_logged_ms.load(Ordering::Relaxed);
        now_ms - last >= 10_000
            && self
                .denied_logged_ms
                .compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

fn label(refusal: Refusal) -> [(&'static str, &'static str); 1] {
    [("reason", refusal.name())]
}
