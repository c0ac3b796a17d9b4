//! `[web]`

use std::net::IpAddr;

use config::Secret;
use protocol::{EventId, ProducerId};
use serde::Deserialize;

/// `[web]`: where pages are served and what they know.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The address to listen on; all of them by default, for phones on the same WiFi. `HOST`.
    pub host: IpAddr,
    /// 0 takes any free one. `PORT`.
    pub port: u16,
    /// The event whose pages are served.
    pub event: EventId,
    /// What this web app is called on the bus; of several, each has its own name.
    pub name: ProducerId,
    /// Signs dancers' cookies; the same one for all web apps of an event. By default made once and kept in the data
    /// folder.
    pub secret: Option<Secret>,
    /// What a dancer types, for example `https://app.example.org`. The QR code holds it. Without it, the
    /// name by which the page was asked for.
    pub public_url: Option<String>,
    /// Origins, besides our own, whose pages may open our WebSocket.
    pub origins: Vec<String>,
    /// Sockets open at once. Beyond it a phone is told to come back later, and polls meanwhile.
    pub sockets_max: usize,
    /// MQTT clients that reach the broker through `/mqtt`.
    pub tunnels_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: IpAddr::from([0, 0, 0, 0]),
            port: 3002,
            event: "tonight".parse().expect("a slug"),
            name: "web".parse().expect("a slug"),
            secret: None,
            public_url: None,
            origins: Vec::new(),
            sockets_max: 20_000,
            tunnels_max: 1_000,
        }
    }
}
