//! A rumqttd as its crate comes, behind its own listeners, in a process of its own: it cannot be stopped in another
//! way, and the scenarios break it.

use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings, TlsConfig};
use tokio::net::TcpStream;

use crate::kit::{everybody, tick, within};

use super::CONNECTIONS_MAX;

#[path = "../../../../tests/kit/src/ports.rs"]
mod ports;

/// Four ports, and the directory of the certificate.
const PLACE: &str = "PIKA_TEST_BARE_RUMQTTD";

pub(super) struct Bare {
    child: Child,
    pub(super) v311: SocketAddr,
    pub(super) v5: SocketAddr,
    pub(super) websocket: SocketAddr,
    pub(super) tls: SocketAddr,
}

impl Bare {
    pub(super) async fn start(directory: &Path) -> Self {
        let ports = [ports::free(), ports::free(), ports::free(), ports::free()];
        let place = ports.iter().map(|port| format!("{port} ")).collect::<String>();
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "faults::bare::a_bare_rumqttd", "--nocapture"])
            .env(PLACE, place + &directory.display().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        let [v311, v5, websocket, tls] = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let bare = Self { child, v311, v5, websocket, tls };
        within("the bare rumqttd", async {
            for address in [v311, v5, websocket, tls] {
                while TcpStream::connect(address).await.is_err() {
                    tick().await;
                }
            }
        })
        .await;
        bare
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Not a test by itself: the process that [`Bare`] starts.
#[test]
fn a_bare_rumqttd() {
    let Ok(place) = std::env::var(PLACE) else { return };
    // It must not outlive the test, however that ends.
    std::thread::spawn(|| {
        _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let [v311, v5, websocket, tls, directory] =
        place.splitn(5, ' ').collect::<Vec<_>>().try_into().expect("four ports and a directory");
    let certificate = TlsConfig::Rustls {
        capath: None,
        certpath: format!("{directory}/certificate.pem"),
        keypath: format!("{directory}/key.pem"),
    };
    let config = Config {
        id: 0,
        router: RouterConfig {
            max_connections: CONNECTIONS_MAX,
            max_outgoing_packet_count: 200,
            // Small enough to be full soon.
            max_segment_size: 1 << 20,
            max_segment_count: 10,
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([server("v4", v311, None), server("tls", tls, Some(certificate))])),
        v5: Some(HashMap::from([server("v5", v5, None)])),
        ws: Some(HashMap::from([server("ws", websocket, None)])),
        ..Config::default()
    };
    Broker::new(config).start().expect("it listens");
}

/// As in the configuration that it ships, with the logins of the test.
fn server(name: &str, port: &str, tls: Option<TlsConfig>) -> (String, ServerSettings) {
    let logins = everybody().into_iter().map(|token| (token.name, "secret".to_owned()));
    let connections = ConnectionSettings {
        connection_timeout_ms: 60_000,
        max_payload_size: 256 << 10,
        max_inflight_count: 100,
        auth: Some(logins.collect()),
        external_auth: None,
        dynamic_filters: true,
    };
    let listen = SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));
    let settings =
        ServerSettings { name: name.to_owned(), listen, tls, next_connection_delay_ms: 1, connections };
    (name.to_owned(), settings)
}
