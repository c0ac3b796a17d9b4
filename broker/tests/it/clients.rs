//! Clients that others wrote: mosquitto's, Eclipse Paho for Python, MQTT.js.
//!
//! `cargo xtask test` installs them; `PIKA_TEST_CLIENTS` says where the last two are, `target/clients` if it is not set.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::kit::{Night, V5, within};
use crate::tls::{certify, settings};

const NOW: &str = "pika/v1/night/main/now";

fn needs(program: &Path, how: &str) {
    assert!(program.exists(), "{} is missing: {how}", program.display());
}

fn mosquitto(program: &str) -> Command {
    let is_there = std::process::Command::new(program).arg("--help").output().is_ok();
    assert!(is_there, "{program} is missing: install the Debian package mosquitto-clients");
    Command::new(program)
}

/// Where tests find clients that are no Debian packages.
fn installed() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::var_os("PIKA_TEST_CLIENTS").map_or_else(|| workspace.join("target/clients"), PathBuf::from)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

async fn succeeds(what: &str, command: &mut Command) {
    let output: Output = within(what, command.kill_on_drop(true).output()).await.expect("run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.ends_with("ok\n"), "{what}: {output:?}");
}

#[tokio::test]
async fn mosquitto_publishes_and_subscribes() {
    let directory = tempfile::tempdir().expect("a directory");
    certify(directory.path());
    let night = Night::with(settings(directory.path())).await;
    let plain = vec!["-h".to_owned(), "127.0.0.1".to_owned(), "-p".to_owned(), night.tcp.port().to_string()];
    let port = night.tls.expect("bound").port().to_string();
    let file = directory.path().join("certificate.pem").display().to_string();
    let secure = ["-h", "localhost", "-p", &port, "--cafile", &file].map(str::to_owned).to_vec();
    for (version, place) in [
        ("mqttv31", &plain),
        ("mqttv311", &plain),
        ("mqttv5", &plain),
        ("mqttv311", &secure),
        ("mqttv5", &secure),
    ] {
        let mut archiver = night.service(V5, "a").await;
        archiver.retain(NOW, "kept").await;
        let mut reader = mosquitto("mosquitto_sub")
            .args(place)
            .args(["-V", version, "-t", "pika/v1/+/+/now", "-q", "2", "-C", "4"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(reader.stdout.take().expect("piped")).lines();
        let mut line = async || within("a line", lines.next_line()).await.expect("readable").expect("a line");
        assert_eq!(line().await, "kept");
        for qos in ["0", "1", "2"] {
            let mut publisher = mosquitto("mosquitto_pub");
            publisher.args(place);
            publisher.args(["-V", version, "-u", "archiver", "-P", "secret", "-q", qos, "-t", NOW]);
            if version == "mqttv5" {
                publisher.args(["-D", "publish", "user-property", "k", "v"]);
                publisher.args(["-D", "publish", "message-expiry-interval", "60"]);
            }
            let text = format!("Ołówek {qos}");
            let status = within("mosquitto_pub", publisher.args(["-m", &text]).status()).await.expect("run");
            assert!(status.success());
            assert_eq!(line().await, text);
        }
        assert!(within("mosquitto_sub", reader.wait()).await.expect("run").success());
    }
    let mut wrong = mosquitto("mosquitto_pub");
    wrong.args(&plain).args(["-u", "archiver", "-P", "wrong", "-t", NOW, "-m", "x"]);
    let output = within("a refusal", wrong.output()).await.expect("run");
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad user name or password"), "{output:?}");
    night.close().await;
}

#[tokio::test]
async fn paho_goes_round() {
    let modules = installed().join("python");
    needs(&modules.join("paho"), "install the Python package paho-mqtt there");
    let night = Night::open().await;
    for version in ["4", "5"] {
        for (transport, address) in [("tcp", night.tcp), ("websockets", night.websocket)] {
            let mut command = Command::new("python3");
            command.env("PYTHONPATH", &modules).arg(script("with_paho.py")).args([
                version,
                transport,
                &address.port().to_string(),
            ]);
            succeeds(&format!("paho {version} {transport}"), &mut command).await;
        }
    }
    night.close().await;
}

#[tokio::test]
async fn mqtt_js_goes_round() {
    let modules = installed();
    needs(&modules.join("node_modules/mqtt"), "install the npm package mqtt there");
    let directory = tempfile::tempdir().expect("a directory");
    certify(directory.path());
    let night = Night::with(settings(directory.path())).await;
    let port = |address: Option<SocketAddr>| address.expect("bound").port();
    for version in ["3", "4", "5"] {
        for url in [
            format!("mqtt://{}", night.tcp),
            format!("ws://{}/mqtt", night.websocket),
            format!("mqtts://localhost:{}", port(night.tls)),
            format!("wss://localhost:{}/mqtt", port(night.websocket_tls)),
        ] {
            let mut command = Command::new("node");
            command.env("NODE_EXTRA_CA_CERTS", directory.path().join("certificate.pem"));
            command.arg(script("with_mqtt_js.mjs")).args([version, &url]).arg(&modules);
            succeeds(&format!("MQTT.js {version} {url}"), &mut command).await;
        }
    }
    night.close().await;
}
