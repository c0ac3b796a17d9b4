//! What rumqttd does wrong when it is put on a network, each fault as one scenario that is run twice: our broker passes
//! it, and a bare rumqttd fails it in a known way. So no scenario passes because it asks for nothing.
//!
//! A new fault is a function and a line in a table. When a bare rumqttd passes one day, its line says so by failing.
//!
//! Not here, since a bare rumqttd does not show them in bounded time or in every run: the memory that filters, topics and
//! client ids take for ever, a login with a password that is no text, and what random clients do to it in an hour
//! (`storm.rs`).

mod bare;
mod crashes;
mod handshake;
mod messages;
mod retained;
mod sessions;
mod subscriptions;
mod wills;

use std::net::SocketAddr;
use std::time::Duration;

use broker::codec::{Packet, Version};
use broker::{Settings, TlsSettings};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::kit::{Client, IN_TIME, Login, Night, V5, within};
use crate::tls::certify;
use bare::Bare;

const NOW: &str = "pika/v1/night/main/now";
const EVENT: &str = "pika/v1/night/main/event";

/// Of a bare rumqttd, and of ours where a scenario asks for it.
const CONNECTIONS_MAX: usize = 20;

/// One fault a line: its name, which is also its scenario's unless that has arguments; settings of ours other than the
/// default; and, as a part of the panic's message, how a bare rumqttd fails it.
macro_rules! faults {
    ($(
        $(#[$bare_only:meta])*
        $name:ident $(= $scenario:ident($($argument:expr),*))? $(with $settings:expr)?, $failure:literal;
    )*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn ours() {
                let mut venue = $crate::faults::Venue::ours(faults!(@settings $($settings)?)).await;
                faults!(@play venue, $name $(, $scenario, $($argument),*)?);
                venue.close().await;
            }

            $(#[$bare_only])*
            #[tokio::test]
            #[should_panic(expected = $failure)]
            async fn bare() {
                let mut venue = $crate::faults::Venue::bare().await;
                faults!(@play venue, $name $(, $scenario, $($argument),*)?);
            }
        }
    )*};
    (@settings) => { broker::Settings::default() };
    (@settings $settings:expr) => { $settings };
    (@play $venue:ident, $name:ident) => { super::$name(&mut $venue).await };
    (@play $venue:ident, $name:ident, $scenario:ident, $($argument:expr),*) => {
        super::$scenario(&mut $venue $(, $argument)*).await
    };
}
use faults;

/// A broker with its listeners, and what the scenarios need of it.
struct Venue {
    v311: SocketAddr,
    v5: SocketAddr,
    websocket: SocketAddr,
    tls: SocketAddr,
    trusted: CertificateDer<'static>,
    /// How long to wait for what a bare rumqttd never does.
    patience: Duration,
    directory: TempDir,
    settings: Settings,
    running: Running,
}

enum Running {
    Ours(Night),
    Bare(Bare),
    Nothing,
}

impl Venue {
    async fn ours(settings: Settings) -> Self {
        let (directory, trusted) = certified();
        let tls = TlsSettings {
            certificate: Some(directory.path().join("certificate.pem")),
            key: Some(directory.path().join("key.pem")),
        };
        let retained_directory = Some(directory.path().to_owned());
        let settings = Settings { tls, retained_directory, ..settings };
        let running = Running::Ours(Night::with(settings.clone()).await);
        Self::new(running, directory, trusted, settings, IN_TIME)
    }

    async fn bare() -> Self {
        let (directory, trusted) = certified();
        let running = Running::Bare(Bare::start(directory.path()).await);
        Self::new(running, directory, trusted, Settings::default(), Duration::from_secs(1))
    }

    fn new(
        running: Running,
        directory: TempDir,
        trusted: CertificateDer<'static>,
        settings: Settings,
        patience: Duration,
    ) -> Self {
        let nowhere = SocketAddr::from(([0; 4], 0));
        let (v311, v5, websocket, tls) = (nowhere, nowhere, nowhere, nowhere);
        let mut venue = Self { v311, v5, websocket, tls, trusted, patience, directory, settings, running };
        venue.look_up();
        venue
    }

    fn look_up(&mut self) {
        (self.v311, self.v5, self.websocket, self.tls) = match &self.running {
            Running::Ours(night) => (night.tcp, night.tcp, night.websocket, night.tls.expect("bound")),
            Running::Bare(bare) => (bare.v311, bare.v5, bare.websocket, bare.tls),
            Running::Nothing => return,
        };
    }

    async fn restart(&mut self) {
        self.running = match std::mem::replace(&mut self.running, Running::Nothing) {
            Running::Ours(night) => {
                night.close().await;
                Running::Ours(Night::with(self.settings.clone()).await)
            }
            Running::Bare(bare) => {
                drop(bare);
                Running::Bare(Bare::start(self.directory.path()).await)
            }
            Running::Nothing => Running::Nothing,
        };
        self.look_up();
    }

    async fn close(self) {
        if let Running::Ours(night) = self.running {
            night.close().await;
        }
    }

    fn address(&self, version: Version) -> SocketAddr {
        if version == V5 { self.v5 } else { self.v311 }
    }

    async fn raw(&self, version: Version) -> Client {
        let stream = within("a connection", TcpStream::connect(self.address(version))).await;
        let stream = stream.expect("connected");
        stream.set_nodelay(true).expect("an open socket");
        Client::new(stream, version)
    }

    async fn login(&self, login: Login<'_>) -> Client {
        let mut client = self.raw(login.version).await;
        assert_eq!(client.login(login).await.code, 0, "let in");
        client
    }

    /// One that may publish and read what the scenarios are about.
    async fn client(&self, version: Version, client_id: &str) -> Client {
        self.login(service(version, client_id)).await
    }

    /// Whatever happened before: who comes now is served.
    async fn serves(&self, version: Version) {
        let mut late = self.raw(version).await;
        late.wait_at_most(IN_TIME.min(self.patience * 5));
        assert_eq!(late.login(service(version, "late")).await.code, 0, "let in");
        assert_eq!(late.subscribe(EVENT, 0).await, 0);
        late.confirm(EVENT, "still here").await;
        assert_eq!(late.hears().await, format!("{EVENT} still here"));
    }
}

fn certified() -> (TempDir, CertificateDer<'static>) {
    let directory = tempfile::tempdir().expect("a directory");
    let trusted = certify(directory.path());
    (directory, trusted)
}

fn service(version: Version, client_id: &str) -> Login<'_> {
    Login { user: Some("archiver"), ..Login::new(version, client_id) }
}

/// Reads until the broker ends the connection; with the reason in version 5. An answer to a ping that was sent before
/// shows that it does not.
async fn is_ended(client: &mut Client, reason: u8) {
    let mut found = 0;
    while let Some(packet) = client.next_or_end("the end").await {
        match packet {
            Packet::Disconnect(disconnect) => found = disconnect.reason,
            Packet::PingResp => panic!("it goes on as if nothing was wrong"),
            _ => {}
        }
    }
    assert_eq!(found, reason, "the reason");
}
