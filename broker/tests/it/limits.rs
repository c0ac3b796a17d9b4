//! How much one client, one token or one address may ask for, and what all queues together may hold.

use broker::codec::Packet;
use broker::{Refusal, Settings};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::kit::{Login, Night, V5, V311, within};
use crate::proxy::{through, trusting};

const EVENT: &str = "pika/v1/night/main/event";
const PLAY: &str = "pika/v1/night/main/desk/anna/play";

#[tokio::test]
async fn who_publishes_too_fast_is_slowed_down_and_loses_nothing() {
    for (client_packets_per_s, token_publishes_per_s) in [(50, 1_000), (1_000, 50)] {
        let settings = Settings { client_packets_per_s, token_publishes_per_s, ..Settings::default() };
        let night = Night::with(settings).await;
        let mut archiver = night.service(V5, "a").await;
        archiver.subscribe(PLAY, 1).await;
        let mut anna = night.desk(V311, "anna").await;
        for number in 0..530 {
            let packet = anna.packet(PLAY, &number.to_string(), 1, false);
            anna.send(&Packet::Publish(packet)).await;
        }
        for number in 0..530 {
            assert_eq!(archiver.hears().await, format!("{PLAY} {number}"));
            anna.next("PUBACK").await;
        }
        anna.ping().await;
        assert!(night.counters.throttled.get() > 0);
        night.close().await;
    }
}

#[tokio::test]
async fn connections_of_one_token() {
    let night = Night::with(Settings { connections_per_token_max: 2, ..Settings::default() }).await;
    let first = night.service(V5, "1").await;
    let _second = night.service(V5, "2").await;
    let archiver = |client_id| Login { user: Some("archiver"), ..Login::new(V5, client_id) };
    assert_eq!(night.raw(V5).await.login(archiver("3")).await.code, 0x97);
    night.anonymous(V5, "anyone").await;
    drop(first);
    night.until("its place to be free", |counters| counters.connections.get() <= 2).await;
    while night.raw(V5).await.login(archiver("3")).await.code != 0 {}
    assert!(night.counters.refused(Refusal::Crowded) > 0);
    night.close().await;
}

#[tokio::test]
async fn connections_of_one_address() {
    let settings = Settings { connections_per_address_max: 1, ..trusting("127.0.0.1") };
    let night = Night::with(settings).await;
    let mut one = through(&night, 1).await;
    assert_eq!(one.login(Login::new(V5, "one")).await.code, 0);
    let mut more = through(&night, 1).await;
    assert_eq!(more.login(Login::new(V5, "more")).await.code, 0x97);
    let mut other = through(&night, 2).await;
    assert_eq!(other.login(Login::new(V5, "other")).await.code, 0);
    one.ping().await;
    night.close().await;
}

#[tokio::test]
async fn guessing_does_not_pay_and_locks_nobody_out() {
    let settings = Settings { failed_logins_per_address_max: 3, ..Settings::default() };
    let night = Night::with(settings).await;
    let login = |password| Login { user: Some("anna"), password, ..Login::new(V5, "anna") };
    for _ in 0..3 {
        assert_eq!(night.raw(V5).await.login(login("guessed")).await.code, 0x86);
    }
    let mut client = night.raw(V5).await;
    client.connect(login("guessed")).await;
    assert!(client.next_or_end("a close").await.is_none());
    assert_eq!(night.raw(V5).await.login(login("secret")).await.code, 0);
    assert_eq!(night.counters.failed_logins.get(), 4);
    night.close().await;
}

#[tokio::test]
async fn when_all_queues_hold_too_much_the_largest_go() {
    let settings = Settings { queued_bytes_max: 8 << 20, queue_bytes_max: 64 << 20, ..Settings::default() };
    let night = Night::with(settings).await;
    let mut stuck = Vec::new();
    for number in 0..3 {
        let mut client = night.anonymous(V5, &format!("stuck {number}")).await;
        client.subscribe(EVENT, 0).await;
        stuck.push(client);
    }
    let mut reader = night.anonymous(V5, "reader").await;
    reader.subscribe(EVENT, 1).await;
    let mut archiver = night.service(V5, "a").await;
    let payload = "x".repeat(100_000);
    let mut sent = 0;
    while night.counters.shed.get() < 3 {
        archiver.confirm(EVENT, &payload).await;
        reader.hears().await;
        sent += 1;
        assert!(sent < 300, "the queues hold {} MB", sent / 10);
    }
    night.until("the stuck ones to be gone", |counters| counters.connections.get() == 2).await;
    reader.ping().await;
    night.close().await;
}

#[tokio::test]
async fn who_only_reads_may_not_ask_without_end() {
    let night = Night::with(Settings { client_packets_per_s: 20, ..Settings::default() }).await;
    let mut guest = night.anonymous(V5, "guest").await;
    // A burst of 200: the first ten subscriptions are half of it.
    for _ in 0..10 {
        guest.subscribe("pika/v1/night/#", 0).await;
    }
    assert_eq!(night.counters.throttled.get(), 0);
    for _ in 0..110 {
        guest.ping().await;
    }
    assert!(night.counters.throttled.get() > 0);
    let mut archiver = night.service(V5, "a").await;
    for _ in 0..300 {
        archiver.ping().await;
    }
    night.close().await;
}

#[tokio::test]
async fn a_crowd_at_the_door_does_not_keep_others_out() {
    let settings = Settings { handshakes_max: 3, handshake_timeout_s: 60, ..Settings::default() };
    let night = Night::with(settings).await;
    let mut crowd = Vec::new();
    for _ in 0..4 {
        crowd.push(TcpStream::connect(night.tcp).await.expect("connected"));
        // Gets through as the newest, and leaves its place again.
        night.anonymous(V311, "guest").await.ping().await;
    }
    let mut first = crowd.swap_remove(0);
    let mut nothing = Vec::new();
    within("the oldest to go", first.read_to_end(&mut nothing)).await.expect("a close");
    night.close().await;
}

#[tokio::test]
async fn who_never_finishes_a_word_costs_no_more_than_all_may() {
    let settings = Settings { queued_bytes_max: 1 << 20, ..Settings::default() };
    let night = Night::with(settings).await;
    let mut steady = night.desk(V5, "bert").await;
    let mut talkers = Vec::new();
    for number in 0..50 {
        let client_id = format!("talker {number}");
        let login = Login { user: Some("anna"), ..Login::new(V5, &client_id) };
        let mut talker = night.client(login).await;
        // A message of 200,000 bytes of which a half comes.
        talker.try_bytes(&[&b"\x30\xc0\x9a\x0c\x00\x01a\x00"[..], &[b'x'; 100_000]].concat()).await;
        talkers.push(talker);
    }
    // Five of them may stay, and the steady one does.
    night.until("the others to be gone", |counters| counters.connections.get() <= 6).await;
    assert!(night.counters.connections.get() > 2 && night.counters.shed.get() >= 44);
    steady.ping().await;
    night.close().await;
}
