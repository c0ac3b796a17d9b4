//! `[web]`

use std::net::IpAddr;

use config::{Network, Secret};
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
    /// Origins, besides our own, whose pages may open our WebSocket and send forms.
    pub origins: Vec<String>,
    /// Proxies in front of us that are believed when they say for whom they ask, as addresses or networks.
    pub proxies: Vec<Network>,
    /// The header in which they say it.
    pub address_header: String,
    /// Connections at once that are no sockets. Beyond it, the one goes on which nothing has happened for longest.
    pub connections_max: usize,
    /// Sockets open at once. Beyond it a phone is told to come back later, and polls meanwhile.
    pub sockets_max: usize,
    /// Whether desks without a token may ask to be let in.
    pub pairing: bool,
    /// Where they reach the broker then; by default `/mqtt` at our own address.
    pub broker_url: Option<String>,
    /// Whether this machine's network is told that we are here (mDNS). Never with a `public_url`.
    pub announce: bool,
    /// MQTT clients that reach the broker through `/mqtt`.
    pub tunnels_max: usize,
    /// What one dancer may tap in any minute. What an address may do grows with the dancers who are there.
    pub taps_per_minute: u32,
    /// Nobody has read the page before so many seconds; taps wait for that.
    pub first_tap_after_s: u32,
    /// Taps of a floor that are passed on to the archive, all dancers together.
    pub floor_taps_per_s: u32,
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
            proxies: Vec::new(),
            address_header: "x-forwarded-for".to_owned(),
            connections_max: 20_000,
            sockets_max: 20_000,
            pairing: true,
            broker_url: None,
            announce: true,
            tunnels_max: 1_000,
            taps_per_minute: 10,
            first_tap_after_s: 3,
            floor_taps_per_s: 2_000,
        }
    }
}
