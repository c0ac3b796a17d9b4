//! The broker's section of the settings.

use std::path::PathBuf;

use config::Network;
use serde::Deserialize;

use crate::tls::TlsSettings;

/// Every value has a default that works on a laptop. Listeners are bound by the caller, so addresses are not here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether clients without a login may read the public topics. On in a local network, off on a public server.
    pub anonymous_read: bool,
    /// Origins of pages that may connect over WebSocket, such as `https://example.org`. Empty: any.
    pub websocket_origins: Vec<String>,
    /// For the listeners with TLS.
    pub tls: TlsSettings,
    /// Whether `proxies` begin connections with a PROXY protocol header, version 2, which tells the client's address.
    pub proxy_protocol: bool,
    /// Addresses and networks whose header is believed. All their connections need one; those of others must not.
    pub proxies: Vec<Network>,
    /// Sessions at the same time; more are refused with "server unavailable" or "quota exceeded".
    pub connections_max: usize,
    /// Connections from one address, or one IPv6 household; more are refused. Not for this machine itself, since the
    /// web server's tunnel carries browsers from everywhere.
    pub connections_per_address_max: usize,
    /// Connections with one token. Anonymous clients are limited by their address only.
    pub connections_per_token_max: usize,
    /// Failed logins from one address, of which one is forgiven every ten seconds: each is answered later than the one
    /// before, and above this number not at all.
    pub failed_logins_per_address_max: u32,
    /// Packets per second that a client may send in the long run, and ten seconds' worth at once; acknowledgements are
    /// not counted, a subscription counts as ten. Beyond it, it is read more slowly. Not for service tokens.
    pub client_packets_per_s: u32,
    /// Messages per second for all clients of one token together.
    pub token_publishes_per_s: u32,
    /// Connections that have not sent CONNECT yet; when there are more, the oldest of them are closed.
    pub handshakes_max: usize,
    /// The same from one address; more are closed at once.
    pub handshakes_per_address_max: usize,
    /// From the accepted connection to the complete CONNECT packet, WebSocket handshake included.
    pub handshake_timeout_s: u64,
    /// Largest MQTT packet taken from clients that may publish.
    pub packet_bytes_max: usize,
    /// Messages waiting for one client, which is room for bursts: nobody is slowed down for it. When full, QoS 0 is
    /// dropped, and a higher QoS ends the session.
    pub queue_messages_max: usize,
    /// The same in bytes.
    pub queue_bytes_max: usize,
    /// Everything that waits, for all clients together: messages, and what is half read or half written. When it is
    /// more, the sessions with the most are ended.
    pub queued_bytes_max: usize,
    /// Subscriptions of one session.
    pub subscriptions_max: usize,
    /// How long a session may stay without its connection; version 3 clients that want one stay as long. 0: not at all.
    pub session_expiry_max_s: u32,
    /// Sessions without their connection; half of them may be anonymous. When full, no more are kept.
    pub away_sessions_max: usize,
    /// Messages kept for them all; when it is more, the largest queues are given up with their sessions.
    pub away_bytes_max: usize,
    /// A client that takes nothing for so long is disconnected.
    pub write_timeout_s: u64,
    /// Keep alive for MQTT 5 clients that ask for none.
    pub keep_alive_s: u16,
    /// How often the `$SYS` topics change while somebody looks.
    pub status_interval_s: u64,
    /// Where retained messages are kept across restarts. Without it they are kept in memory only.
    pub retained_directory: Option<PathBuf>,
    /// How long a change may wait to be written. What is younger is lost when the process is killed.
    pub retained_debounce_ms: u64,
    /// Retained messages kept; when full, new topics are not retained, known ones still change.
    pub retained_messages_max: usize,
    /// The same in bytes.
    pub retained_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            anonymous_read: true,
            websocket_origins: Vec::new(),
            tls: TlsSettings::default(),
            proxy_protocol: false,
            proxies: Vec::new(),
            connections_max: 20_000,
            connections_per_address_max: 1_000,
            connections_per_token_max: 5_000,
            failed_logins_per_address_max: 20,
            client_packets_per_s: 100,
            token_publishes_per_s: 300,
            handshakes_max: 8_000,
            handshakes_per_address_max: 2_000,
            handshake_timeout_s: 5,
            packet_bytes_max: 256 << 10,
            queue_messages_max: 10_000,
            queue_bytes_max: 8 << 20,
            queued_bytes_max: 256 << 20,
            subscriptions_max: 100,
            session_expiry_max_s: 3_600,
            away_sessions_max: 2_000,
            away_bytes_max: 64 << 20,
            write_timeout_s: 30,
            keep_alive_s: 900,
            status_interval_s: 10,
            retained_directory: None,
            retained_debounce_ms: 100,
            retained_messages_max: 10_000,
            retained_bytes_max: 16 << 20,
        }
    }
}
