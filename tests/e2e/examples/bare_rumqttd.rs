//! rumqttd as its crate comes, on the address in the first argument: what our broker is compared with by
//! `cargo xtask bench broker`.

use std::collections::HashMap;

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

fn main() {
    let listen = std::env::args().nth(1).expect("the address to listen on").parse().expect("an address");
    let connections = ConnectionSettings {
        connection_timeout_ms: 60_000,
        max_payload_size: 256 * 1024,
        max_inflight_count: 200,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server =
        ServerSettings { name: "bare".into(), listen, tls: None, next_connection_delay_ms: 0, connections };
    let router = RouterConfig {
        max_connections: 20_010,
        max_outgoing_packet_count: 200,
        max_segment_size: 100 * 1024 * 1024,
        max_segment_count: 10,
        ..RouterConfig::default()
    };
    let config =
        Config { id: 0, router, v4: Some(HashMap::from([("4".into(), server)])), ..Config::default() };
    Broker::new(config).start().expect("rumqttd runs");
}
