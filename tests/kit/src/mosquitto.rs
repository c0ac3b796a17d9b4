//! Independent MQTT clients.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::wait;

/// A running `mosquitto_sub`; ended when dropped.
#[derive(Debug)]
pub struct Subscriber {
    _child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Subscriber {
    /// Subscribes with the given arguments, for example `-t TOPIC -v`.
    pub fn start(broker: &str, arguments: &[&str]) -> Self {
        let (host, port) = broker.rsplit_once(':').unwrap();
        let mut child = Command::new("mosquitto_sub")
            .args(["-h", host, "-p", port])
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (mut read, all) = (BufReader::new(child.stdout.take().unwrap()).lines(), lines.clone());
        tokio::spawn(async move {
            while let Ok(Some(line)) = read.next_line().await {
                all.lock().unwrap().push(line);
            }
        });
        Self { _child: child, lines }
    }

    /// Waits for a line that contains the text.
    pub async fn prints(&self, text: &str) -> String {
        wait::until(&format!("mosquitto_sub to print {text}"), || async {
            let lines = self.lines.lock().unwrap();
            lines.iter().find(|line| line.contains(text)).cloned().ok_or_else(|| lines.join("\n"))
        })
        .await
    }
}

/// Publishes once with `mosquitto_pub`; its exit status and what it complained about.
pub async fn publish(broker: &str, arguments: &[&str]) -> (bool, String) {
    let (host, port) = broker.rsplit_once(':').unwrap();
    let done =
        Command::new("mosquitto_pub").args(["-h", host, "-p", port]).args(arguments).output().await.unwrap();
    (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
}
