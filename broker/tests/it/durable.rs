//! Retained messages on disk: they survive a stop, a kill, and a disk that does not take them for a while.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use broker::access::Tokens;
use broker::codec::{Packet, Properties, id};
use broker::{Listeners, Settings};
use config::Health;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::kit::{Client, Login, Night, V5, V311, within};

const NOW: &str = "pika/v1/night/main/now";
const DIRECTORY: &str = "PIKA_TEST_BROKER_DIRECTORY";

fn kept_in(directory: &Path) -> Settings {
    Settings {
        retained_directory: Some(directory.to_owned()),
        retained_debounce_ms: 10,
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_stop_flushes_and_a_start_restores() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = Settings { retained_debounce_ms: 60_000, ..kept_in(directory.path()) };
    let night = Night::with(settings.clone()).await;
    let mut archiver = night.service(V5, "a").await;
    for (payload, expiry_s) in [("expired by then", 1), ("kept", 1_000)] {
        let mut packet = archiver.packet(&format!("{NOW}/{payload}"), payload, 1, true);
        packet.properties = Properties::new()
            .with_number(id::MESSAGE_EXPIRY, expiry_s)
            .with_bytes(id::CONTENT_TYPE, "text/plain");
        archiver.confirmed(packet).await;
    }
    archiver.retain(NOW, "cleared").await;
    archiver.retain(NOW, "").await;
    night.close().await;
    let night = Night::with(settings).await;
    let mut reader = night.anonymous(V5, "reader").await;
    // The first one may be a little too young to be gone.
    within("only the second to be left", async {
        loop {
            reader.subscribe(&format!("{NOW}/#"), 1).await;
            let mut messages = vec![reader.message().await];
            reader.send(&Packet::PingReq).await;
            while let Packet::Publish(message) = reader.next("a message or PINGRESP").await {
                messages.push(message);
            }
            let kept = messages.iter().find(|message| message.payload == "kept").expect("it is kept");
            assert_eq!(kept.properties.bytes(id::CONTENT_TYPE), Some("text/plain".into()));
            assert!(
                kept.properties.number(id::MESSAGE_EXPIRY).is_some_and(|left| (900..=1_000).contains(&left))
            );
            assert!(messages.iter().all(|message| message.payload != "cleared"));
            if messages.len() == 1 {
                return;
            }
        }
    })
    .await;
    night.close().await;
}

/// Not a test by itself: the broker that the next one kills.
#[tokio::test]
async fn a_broker_to_be_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let night = Night::with(kept_in(Path::new(&directory))).await;
    println!("\nport {}", night.tcp.port());
    std::future::pending::<()>().await;
}

fn start(directory: &Path) -> (Child, u16) {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "durable::a_broker_to_be_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let port = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("port ").and_then(|port| port.parse().ok()))
        .expect("a port");
    (child, port)
}

async fn archiver(port: u16) -> Client {
    let mut archiver = Client::new(TcpStream::connect(("127.0.0.1", port)).await.expect("connected"), V311);
    assert_eq!(archiver.login(Login { user: Some("archiver"), ..Login::new(V311, "a") }).await.code, 0);
    archiver
}

#[tokio::test]
async fn a_killed_broker_comes_back_with_what_it_had() {
    let directory = tempfile::tempdir().expect("a directory");
    for round in 0..3 {
        let (mut child, port) = start(directory.path());
        let mut client = archiver(port).await;
        client.subscribe("pika/v1/night/cursor/#", 0).await;
        for number in 0..round * 50 {
            assert_eq!(
                client.hears().await,
                format!("pika/v1/night/cursor/c{number:03} round {}", round - 1)
            );
        }
        client.unsubscribe(&["pika/v1/night/cursor/#"]).await;
        for number in 0..(round + 1) * 50 {
            client.retain(&format!("pika/v1/night/cursor/c{number:03}"), &format!("round {round}")).await;
        }
        let last = format!("pika/v1/night/cursor/c{:03}", (round + 1) * 50 - 1);
        within("the last one to be on disk", async {
            loop {
                let bytes = std::fs::read(directory.path().join("retained.log")).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let all = (0..(round + 1) * 50).all(|number| {
                    let at = text.rfind(&format!("cursor/c{number:03}"));
                    at.is_some_and(|at| {
                        text[at..].chars().take(40).collect::<String>().contains(&format!("round {round}"))
                    })
                });
                if all && text.contains(&last) {
                    return;
                }
                client.ping().await;
            }
        })
        .await;
        child.kill().expect("killed");
        child.wait().expect("gone");
    }
}

#[tokio::test]
async fn a_disk_that_does_not_take_it_is_tried_again() {
    let directory = tempfile::tempdir().expect("a directory");
    // In the way of the temporary file.
    let obstacle = directory.path().join("retained.tmp");
    std::fs::create_dir(&obstacle).expect("made");
    let night = Night::with(kept_in(directory.path())).await;
    let mut archiver = night.service(V5, "a").await;
    archiver.retain(NOW, "served all the same").await;
    night.until("a failure", |counters| counters.journal_failed.get() > 0).await;
    let mut reader = night.anonymous(V5, "reader").await;
    reader.subscribe(NOW, 0).await;
    assert_eq!(reader.hears().await, format!("{NOW} served all the same"));
    std::fs::remove_dir(&obstacle).expect("removed");
    within("the file", async {
        while !directory.path().join("retained.log").exists() {
            reader.ping().await;
        }
    })
    .await;
    night.close().await;
    let night = Night::with(kept_in(directory.path())).await;
    let mut reader = night.anonymous(V5, "reader").await;
    reader.subscribe(NOW, 0).await;
    assert_eq!(reader.hears().await, format!("{NOW} served all the same"));
    night.close().await;
}

#[tokio::test]
async fn two_brokers_do_not_write_one_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = Night::with(kept_in(directory.path())).await;
    first.service(V5, "a").await.retain(NOW, "mine").await;
    let listeners = Listeners::bind(([127, 0, 0, 1], 0).into(), None).expect("a free port");
    let second = broker::run(
        kept_in(directory.path()),
        listeners,
        Tokens::new(),
        Health::new(),
        CancellationToken::new(),
    );
    let error = within("a refusal", second).await.expect_err("refused");
    let message = format!("{error:#}");
    assert!(message.contains("another broker") && message.contains("directory of its own"), "{message}");
    first.close().await;
    // Its lock is gone with it.
    let third = Night::with(kept_in(directory.path())).await;
    let mut reader = third.anonymous(V5, "reader").await;
    reader.subscribe(NOW, 0).await;
    assert_eq!(reader.hears().await, format!("{NOW} mine"));
    third.close().await;
}
