//! TLS: both listeners, certificates that change, clients that stall.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use broker::{Settings, TlsSettings};
use config::Health;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::kit::{Client, Login, Night, V5, within};

/// Puts a new certificate into place; gives what clients have to trust.
pub(crate) fn certify(directory: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(directory.join("key.pem"), signing_key.serialize_pem()).expect("written");
    std::fs::write(directory.join("certificate.pem"), cert.pem()).expect("written");
    cert.der().clone()
}

pub(crate) fn settings(directory: &Path) -> Settings {
    let tls = TlsSettings {
        certificate: Some(directory.join("certificate.pem")),
        key: Some(directory.join("key.pem")),
    };
    Settings { tls, handshake_timeout_s: 2, ..Settings::default() }
}

/// The first bytes of a client that wants TLS.
pub(crate) fn client_hello(trusted: &CertificateDer<'static>) -> Vec<u8> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(config(trusted), name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("written");
    hello
}

fn config(trusted: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

pub(crate) async fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
) -> Option<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    within("TLS", TlsConnector::from(config(trusted)).connect(name, stream)).await.ok()
}

#[tokio::test]
async fn mqtt_and_websocket_over_tls() {
    let directory = tempfile::tempdir().expect("a directory");
    let trusted = certify(directory.path());
    let night = Night::with(settings(directory.path())).await;
    let stream = connect(night.tls.expect("bound"), &trusted).await.expect("TLS");
    let mut client = Client::new(stream, V5);
    assert_eq!(client.login(Login { user: Some("archiver"), ..Login::new(V5, "a") }).await.code, 0);
    client.subscribe("pika/v1/night/main/event", 1).await;
    let large = "x".repeat(200_000);
    client.publish("pika/v1/night/main/event", &large).await;
    assert_eq!(client.hears().await, format!("pika/v1/night/main/event {large}"));

    let stream = connect(night.websocket_tls.expect("bound"), &trusted).await.expect("TLS");
    let mut request = "wss://localhost/mqtt".into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("mqtt"));
    let (_, response) = within("the upgrade", client_async(request, stream)).await.expect("upgraded");
    assert_eq!(response.headers()["sec-websocket-protocol"], "mqtt");
    night.close().await;
}

#[tokio::test]
async fn a_new_certificate_is_used_and_a_bad_one_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = certify(directory.path());
    let night = Night::with(settings(directory.path())).await;
    let address = night.tls.expect("bound");
    let mut early = Client::new(connect(address, &first).await.expect("TLS"), V5);
    assert_eq!(early.login(Login::new(V5, "early")).await.code, 0);
    let second = certify(directory.path());
    within("the second one", async { while connect(address, &second).await.is_none() {} }).await;
    assert!(connect(address, &first).await.is_none());
    early.ping().await;
    // A certificate without its key: not to be used, and neither is nonsense.
    let key = std::fs::read(directory.path().join("key.pem")).expect("readable");
    certify(directory.path());
    std::fs::write(directory.path().join("key.pem"), "nonsense").expect("written");
    assert!(connect(address, &second).await.is_some());
    std::fs::write(directory.path().join("key.pem"), key).expect("written");
    let third = certify(directory.path());
    within("the third one", async { while connect(address, &third).await.is_none() {} }).await;
    night.close().await;
}

#[tokio::test]
async fn who_stalls_in_the_handshake_holds_nobody_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let trusted = certify(directory.path());
    let night = Night::with(settings(directory.path())).await;
    let mut stalled = Vec::new();
    for number in 0..50 {
        let address = if number % 2 == 0 { night.tls } else { night.websocket_tls };
        stalled.push(TcpStream::connect(address.expect("bound")).await.expect("connected"));
    }
    let stream = connect(night.tls.expect("bound"), &trusted).await.expect("TLS");
    assert_eq!(Client::new(stream, V5).login(Login::new(V5, "quick")).await.code, 0);
    for mut stream in stalled {
        let mut left = Vec::new();
        _ = within("the broker to close it", stream.read_to_end(&mut left)).await;
    }
    night.close().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    for (settings, named) in
        [(Settings::default(), "tls.certificate"), (settings(directory.path()), "certificate.pem")]
    {
        let listeners = broker::Listeners::bind(local, None).expect("a port");
        let listeners = listeners.with_tls(Some(local), None).expect("a port");
        let running = broker::run(settings, listeners, Default::default(), Health::new(), Default::default());
        let error = within("the error", running).await.expect_err("no certificate");
        assert!(format!("{error:#}").contains(named), "{error:#}");
    }
}
