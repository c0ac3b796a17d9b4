//! Sessions that outlive their connection.

use broker::Settings;
use broker::codec::{Disconnect, Packet, Properties, Publish, id};

use crate::kit::{Client, Login, Night, V5, V311, ack, everybody, will};

const EVENT: &str = "pika/v1/night/main/event";
const STATUS: &str = "pika/v1/night/main/desk/anna/status";

fn expiring(seconds: u32) -> Properties {
    Properties::new().with_number(id::SESSION_EXPIRY, seconds)
}

/// Comes (back) with a session that stays; tells whether it was there.
async fn comes(night: &Night, version: broker::codec::Version, client_id: &str) -> (Client, bool) {
    let properties = if version == V5 { expiring(600) } else { Properties::new() };
    let login = Login { clean: false, user: Some("lights"), properties, ..Login::new(version, client_id) };
    let mut client = night.raw(version).await;
    let ack = client.login(login).await;
    assert_eq!(ack.code, 0);
    (client, ack.session_present)
}

async fn leaves(mut client: Client) {
    client.send(&Packet::Disconnect(Disconnect { reason: 0, properties: Properties::new() })).await;
    client.ended().await;
}

#[tokio::test]
async fn messages_wait_for_a_client_that_is_away() {
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    for (version, qos) in [(V311, 1), (V5, 2)] {
        let (mut reader, was_there) = comes(&night, version, "reader").await;
        assert!(!was_there, "{version:?}");
        reader.subscribe(EVENT, qos).await;
        leaves(reader).await;
        archiver.publish(EVENT, "not kept").await;
        for payload in ["one", "two"] {
            let packet = archiver.packet(EVENT, payload, 2, false);
            archiver.once(packet).await;
        }
        let (mut reader, was_there) = comes(&night, version, "reader").await;
        assert!(was_there, "{version:?}");
        for payload in ["one", "two"] {
            let message = reader.message().await;
            assert_eq!((&*message.payload, message.qos, message.dup), (payload.as_bytes(), qos, false));
        }
        archiver.confirm(EVENT, "live").await;
        assert_eq!(reader.hears().await, format!("{EVENT} live"));
        // A clean start ends it for good.
        drop(reader);
        let clean = Login { user: Some("lights"), ..Login::new(version, "reader") };
        leaves(night.client(clean).await).await;
    }
    assert_eq!(night.counters.away.get(), 0);
    night.close().await;
}

#[tokio::test]
async fn what_was_under_way_is_sent_again() {
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    for version in [V311, V5] {
        let (mut reader, _) = comes(&night, version, &format!("{version:?}")).await;
        reader.subscribe(EVENT, 2).await;
        for (qos, payload) in [(1, "first"), (2, "second"), (2, "third")] {
            let packet = archiver.packet(EVENT, payload, qos, false);
            if qos == 1 {
                assert_eq!(archiver.confirmed(packet).await, 0)
            } else {
                archiver.once(packet).await
            }
        }
        let mut before = Vec::new();
        for _ in 0..3 {
            before.push(reader.unacknowledged().await);
        }
        reader.send(&Packet::PubRec(ack(before[1].packet_id))).await;
        assert_eq!(reader.next("PUBREL").await, Packet::PubRel(ack(before[1].packet_id)));
        drop(reader);
        let (mut reader, was_there) = comes(&night, version, &format!("{version:?}")).await;
        assert!(was_there);
        let again = |publish: &Publish| Packet::Publish(Publish { dup: true, ..publish.clone() });
        assert_eq!(reader.next("the first again").await, again(&before[0]));
        assert_eq!(reader.next("PUBREL again").await, Packet::PubRel(ack(before[1].packet_id)));
        assert_eq!(reader.next("the third again").await, again(&before[2]));
        reader.ack(before[0].packet_id).await;
        reader.send(&Packet::PubComp(ack(before[1].packet_id))).await;
        reader.send(&Packet::PubRec(ack(before[2].packet_id))).await;
        assert_eq!(reader.next("PUBREL").await, Packet::PubRel(ack(before[2].packet_id)));
        reader.send(&Packet::PubComp(ack(before[2].packet_id))).await;
        reader.ping().await;
        drop(reader);
        let (mut reader, _) = comes(&night, version, &format!("{version:?}")).await;
        reader.ping().await;
        leaves(reader).await;
    }
    night.close().await;
}

#[tokio::test]
async fn a_window_that_shrank_is_kept_to() {
    let night = Night::open().await;
    let (mut reader, _) = comes(&night, V5, "reader").await;
    reader.subscribe(EVENT, 1).await;
    let mut archiver = night.service(V5, "a").await;
    for payload in ["1", "2", "3"] {
        archiver.confirm(EVENT, payload).await;
        reader.unacknowledged().await;
    }
    drop(reader);
    let properties = expiring(600).with_number(id::RECEIVE_MAXIMUM, 1);
    let login = Login { clean: false, user: Some("lights"), properties, ..Login::new(V5, "reader") };
    let mut reader = night.client(login).await;
    archiver.confirm(EVENT, "4").await;
    for payload in ["1", "2", "3", "4"] {
        let message = reader.unacknowledged().await;
        assert_eq!((&*message.payload, message.dup), (payload.as_bytes(), payload != "4"));
        reader.ping().await;
        reader.ack(message.packet_id).await;
    }
    night.close().await;
}

#[tokio::test]
async fn the_clients_own_open_messages_are_remembered() {
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    archiver.subscribe("pika/v1/night/#", 2).await;
    let anna =
        || Login { clean: false, user: Some("anna"), properties: expiring(60), ..Login::new(V5, "anna") };
    let mut desk = night.client(anna()).await;
    let packet = desk.packet("pika/v1/night/main/desk/anna/play", "once", 2, false);
    desk.send(&Packet::Publish(packet.clone())).await;
    assert_eq!(desk.next("PUBREC").await, Packet::PubRec(ack(packet.packet_id)));
    drop(desk);
    let mut desk = night.client(anna()).await;
    desk.once(Publish { dup: true, ..packet }).await;
    assert_eq!(archiver.hears().await, "pika/v1/night/main/desk/anna/play once");
    archiver.ping().await;
    night.close().await;
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_over() {
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    let login = |wanted| Login { clean: false, properties: expiring(wanted), ..Login::new(V5, "reader") };
    let mut reader = night.raw(V5).await;
    let ack = reader.login(login(u32::MAX)).await;
    assert_eq!(ack.properties.number(id::SESSION_EXPIRY), Some(3_600), "what we keep at most");
    reader.subscribe(EVENT, 1).await;
    // In the end it wants less.
    reader.send(&Packet::Disconnect(Disconnect { reason: 0, properties: expiring(1) })).await;
    reader.ended().await;
    night.until("it to be away", |counters| counters.away.get() == 1).await;
    night.until("the session to end", |counters| counters.away.get() == 0).await;
    archiver.confirm(EVENT, "unheard").await;
    let mut reader = night.raw(V5).await;
    let ack = reader.login(login(0)).await;
    assert!(!ack.session_present && ack.properties.number(id::SESSION_EXPIRY).is_none());
    // It asked for none, so it cannot have one in the end.
    reader.send(&Packet::Disconnect(Disconnect { reason: 0, properties: expiring(1) })).await;
    assert_eq!(reader.ended().await, 0x82);
    night.close().await;
}

#[tokio::test]
async fn a_session_belongs_to_one_principal() {
    let night = Night::open().await;
    let (reader, _) = comes(&night, V311, "reader").await;
    leaves(reader).await;
    for user in [None, Some("archiver")] {
        let login = Login { clean: false, user, ..Login::new(V311, "reader") };
        let mut other = night.raw(V311).await;
        assert!(!other.login(login).await.session_present, "{user:?}");
    }
    night.until("all three to be away", |counters| counters.away.get() == 3).await;
    let mut tokens = everybody();
    tokens.retain(|token| token.name != "lights");
    night.tokens.replace(tokens);
    night.until("its session to end", |counters| counters.away.get() == 2).await;
    night.tokens.replace(everybody());
    let (_, was_there) = comes(&night, V311, "reader").await;
    assert!(!was_there, "the token was gone meanwhile");
    night.close().await;
}

#[tokio::test]
async fn who_is_away_too_long_for_its_queue_starts_again() {
    let settings = Settings { queue_messages_max: 10, ..Settings::default() };
    let night = Night::with(settings).await;
    let mut archiver = night.service(V5, "a").await;
    let (mut reader, _) = comes(&night, V5, "reader").await;
    reader.subscribe(EVENT, 1).await;
    leaves(reader).await;
    night.until("it to be away", |counters| counters.away.get() == 1).await;
    for _ in 0..11 {
        archiver.confirm(EVENT, "x").await;
    }
    assert_eq!((night.counters.away.get(), night.counters.away_dropped.get()), (0, 1));
    let (mut reader, was_there) = comes(&night, V5, "reader").await;
    assert!(!was_there);
    archiver.confirm(EVENT, "unheard").await;
    reader.ping().await;
    night.close().await;
}

#[tokio::test]
async fn absent_sessions_are_limited_in_number_and_bytes() {
    let settings = Settings { away_sessions_max: 2, away_bytes_max: 1_000, ..Settings::default() };
    let night = Night::with(settings).await;
    for client_id in ["1", "2", "3"] {
        let login = Login { clean: false, ..Login::new(V311, client_id) };
        leaves(night.client(login).await).await;
    }
    night.until("two to be refused", |counters| counters.away_dropped.get() == 2).await;
    let (mut reader, _) = comes(&night, V311, "reader").await;
    reader.subscribe(EVENT, 1).await;
    leaves(reader).await;
    let mut archiver = night.service(V5, "a").await;
    archiver.confirm(EVENT, &"x".repeat(2_000)).await;
    night.until("the large one to go", |counters| counters.away_dropped.get() == 3).await;
    let (_, was_there) = comes(&night, V311, "reader").await;
    assert!(!was_there);
    night.close().await;
}

#[tokio::test]
async fn a_will_may_wait() {
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    archiver.subscribe(STATUS, 1).await;
    let anna = |payload: &str, delay_s, expiry_s, clean| {
        let mut will = will(STATUS, payload);
        if let Some(will) = &mut will {
            will.properties = Properties::new().with_number(id::WILL_DELAY, delay_s);
        }
        Login { clean, user: Some("anna"), will, properties: expiring(expiry_s), ..Login::new(V5, "anna") }
    };
    drop(night.client(anna("at once, the session ends", 600, 0, true)).await);
    assert_eq!(archiver.hears().await, format!("{STATUS} at once, the session ends"));
    drop(night.client(anna("after the delay", 1, 600, true)).await);
    assert_eq!(archiver.hears().await, format!("{STATUS} after the delay"));
    drop(night.client(anna("when the session ends", 600, 1, true)).await);
    assert_eq!(archiver.hears().await, format!("{STATUS} when the session ends"));
    drop(night.client(anna("not if it comes back", 600, 600, true)).await);
    night.until("it to be gone", |counters| counters.away.get() == 1).await;
    drop(night.client(anna("but if it starts anew", 600, 600, false)).await);
    night.until("it to be gone", |counters| counters.away.get() == 1).await;
    leaves(night.client(anna("unheard", 0, 0, true)).await).await;
    assert_eq!(archiver.hears().await, format!("{STATUS} but if it starts anew"));
    archiver.ping().await;
    night.close().await;
}

#[tokio::test]
async fn a_session_is_taken_over_with_all_it_has() {
    let night = Night::open().await;
    let (mut former, _) = comes(&night, V5, "reader").await;
    former.subscribe(EVENT, 1).await;
    let mut archiver = night.service(V5, "a").await;
    archiver.confirm(EVENT, "under way").await;
    former.unacknowledged().await;
    // It may even speak another version now.
    let (mut reader, was_there) = comes(&night, V311, "reader").await;
    assert!(was_there);
    assert_eq!(former.ended().await, 0x8e);
    let message = reader.message().await;
    assert!(message.dup && message.payload == "under way");
    assert_eq!(reader.unsubscribe(&[EVENT]).await, [0; 0]);
    archiver.confirm(EVENT, "unheard").await;
    reader.ping().await;
    night.close().await;
}

#[tokio::test]
async fn what_was_sent_does_not_expire() {
    let night = Night::open().await;
    let (mut reader, _) = comes(&night, V5, "reader").await;
    reader.subscribe(EVENT, 2).await;
    let mut archiver = night.service(V5, "a").await;
    for (payload, qos) in [("begun", 2), ("waiting", 1)] {
        let mut packet = archiver.packet(EVENT, payload, qos, false);
        packet.properties = Properties::new().with_number(id::MESSAGE_EXPIRY, 1);
        if qos == 2 {
            archiver.once(packet).await;
            reader.unacknowledged().await;
            drop(reader);
            reader = night.anonymous(V5, "somebody else").await;
        } else {
            night.until("it to be away", |counters| counters.away.get() == 1).await;
            archiver.confirmed(packet).await;
        }
    }
    // A will with a delay comes when the second is surely over.
    let mut status = will(STATUS, "later");
    if let Some(will) = &mut status {
        will.properties = Properties::new().with_number(id::WILL_DELAY, 2);
    }
    archiver.subscribe(STATUS, 0).await;
    let login =
        Login { user: Some("anna"), will: status, properties: expiring(60), ..Login::new(V5, "anna") };
    drop(night.client(login).await);
    archiver.hears().await;
    let (mut reader, was_there) = comes(&night, V5, "reader").await;
    assert!(was_there);
    let again = reader.message().await;
    assert!(again.dup && again.payload == "begun");
    reader.ping().await;
    night.close().await;
}
