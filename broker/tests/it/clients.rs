//! Clients that others wrote: mosquitto's, where they are installed.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::kit::{Night, V5, within};

const NOW: &str = "pika/v1/night/main/now";

fn is_installed() -> bool {
    std::process::Command::new("mosquitto_sub").arg("--help").output().is_ok()
}

#[tokio::test]
async fn mosquitto_publishes_and_subscribes() {
    if !is_installed() {
        return;
    }
    let night = Night::open().await;
    let port = night.tcp.port().to_string();
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let mut archiver = night.service(V5, "a").await;
        archiver.retain(NOW, "kept").await;
        let mut reader = Command::new("mosquitto_sub")
            .args(["-p", &port, "-V", version, "-t", "pika/v1/+/+/now", "-q", "1", "-C", "2"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(reader.stdout.take().expect("piped")).lines();
        let mut line = async || within("a line", lines.next_line()).await.expect("readable").expect("a line");
        assert_eq!(line().await, "kept");
        let mut publisher = Command::new("mosquitto_pub");
        publisher.args(["-p", &port, "-V", version, "-u", "archiver", "-P", "secret", "-q", "1", "-t", NOW]);
        if version == "mqttv5" {
            publisher.args(["-D", "publish", "user-property", "k", "v"]);
            publisher.args(["-D", "publish", "message-expiry-interval", "60"]);
        }
        let status = within("mosquitto_pub", publisher.args(["-m", "Ołówek"]).status()).await.expect("run");
        assert!(status.success());
        assert_eq!(line().await, "Ołówek");
        assert!(within("mosquitto_sub", reader.wait()).await.expect("run").success());
    }
    let wrong = ["-p", &port, "-u", "archiver", "-P", "wrong", "-t", NOW, "-m", "x"];
    let output = within("a refusal", Command::new("mosquitto_pub").args(wrong).output()).await.expect("run");
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad user name or password"), "{output:?}");
    night.close().await;
}
