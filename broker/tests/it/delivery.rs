//! Who gets what: subscriptions, retained messages, QoS, wills, MQTT 5 properties.

use broker::codec::{Disconnect, Filter, Packet, Properties, Value, id};

use crate::kit::{Login, Night, V5, V311, plain, text, will};

const NOW: &str = "pika/v1/night/main/now";
const EVENT: &str = "pika/v1/night/main/event";

#[tokio::test]
async fn a_message_reaches_every_version() {
    let night = Night::open().await;
    let mut old = night.anonymous(V311, "old").await;
    let mut new = night.anonymous(V5, "new").await;
    assert_eq!(old.subscribe(NOW, 1).await, 1);
    assert_eq!(new.subscribe("pika/v1/+/main/#", 0).await, 0);
    let mut archiver = night.service(V5, "a").await;
    assert_eq!(archiver.confirm(NOW, "smooth").await, 0);
    let message = old.message().await;
    assert_eq!((message.qos, message.retain, &*message.payload), (1, false, &b"smooth"[..]));
    let message = new.message().await;
    assert_eq!((message.qos, message.retain, &*message.payload), (0, false, &b"smooth"[..]));
    night.close().await;
}

#[tokio::test]
async fn qos_is_the_lower_of_both() {
    let night = Night::open().await;
    let mut archiver = night.service(V311, "a").await;
    for asked in [0, 1, 2] {
        let mut reader = night.anonymous(V311, "reader").await;
        assert_eq!(reader.subscribe(EVENT, asked).await, asked);
        for sent in [0, 1, 2] {
            let packet = archiver.packet(EVENT, "x", sent, false);
            match sent {
                0 => archiver.send(&Packet::Publish(packet)).await,
                1 => assert_eq!(archiver.confirmed(packet).await, 0),
                _ => archiver.once(packet).await,
            }
            assert_eq!(reader.message().await.qos, sent.min(asked), "asked {asked}, sent {sent}");
        }
    }
    night.close().await;
}

#[tokio::test]
async fn overlapping_filters_give_one_copy_with_all_ids() {
    let night = Night::open().await;
    let mut reader = night.anonymous(V5, "reader").await;
    for (filter, qos, number) in [("pika/v1/night/main/#", 0, 7), (NOW, 1, 300), ("#", 0, 9)] {
        let properties = Properties::new().with_number(id::SUBSCRIPTION_ID, number);
        assert_eq!(reader.subscribe_with(properties, plain(filter, qos)).await, qos);
    }
    let mut archiver = night.service(V5, "a").await;
    archiver.confirm(NOW, "one").await;
    archiver.confirm(EVENT, "two").await;
    let message = reader.message().await;
    let mut ids: Vec<_> =
        message.properties.iter().filter(|(property, _)| *property == id::SUBSCRIPTION_ID).collect();
    ids.sort_by_key(|(_, value)| format!("{value:?}"));
    assert_eq!(message.qos, 1);
    assert_eq!(ids.len(), 3);
    assert_eq!(reader.hears().await, format!("{EVENT} two"));
    night.close().await;
}

#[tokio::test]
async fn unsubscribing() {
    let night = Night::open().await;
    let mut reader = night.anonymous(V5, "reader").await;
    reader.subscribe(NOW, 0).await;
    reader.subscribe(EVENT, 0).await;
    assert_eq!(reader.unsubscribe(&[NOW, "pika/unknown"]).await, [0, 0x11]);
    let mut archiver = night.service(V5, "a").await;
    archiver.confirm(NOW, "unheard").await;
    archiver.confirm(EVENT, "heard").await;
    assert_eq!(reader.hears().await, format!("{EVENT} heard"));
    let mut old = night.anonymous(V311, "old").await;
    assert_eq!(old.unsubscribe(&["pika/unknown"]).await, [0; 0]);
    night.close().await;
}

#[tokio::test]
async fn no_local_and_retain_as_published() {
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    let filter = Filter { no_local: true, ..plain(NOW, 0) };
    archiver.subscribe_with(Properties::new(), filter).await;
    let mut other = night.service(V5, "b").await;
    let filter = Filter { retain_as_published: true, ..plain(NOW, 0) };
    other.subscribe_with(Properties::new(), filter).await;
    archiver.retain(NOW, "own").await;
    other.publish(NOW, "other").await;
    assert_eq!(archiver.hears().await, format!("{NOW} other"));
    let message = other.message().await;
    assert!(message.retain && message.payload == "own");
    night.close().await;
}

#[tokio::test]
async fn retained_messages_greet_newcomers() {
    let night = Night::open().await;
    let mut archiver = night.service(V311, "a").await;
    archiver.retain(NOW, "first").await;
    archiver.retain(NOW, "second").await;
    let mut reader = night.anonymous(V5, "reader").await;
    for _ in 0..2 {
        reader.subscribe(NOW, 1).await;
        let message = reader.message().await;
        assert_eq!((message.retain, message.qos, &*message.payload), (true, 1, &b"second"[..]));
    }
    for retain_handling in [1, 2] {
        let filter = Filter { retain_handling, ..plain(NOW, 1) };
        reader.subscribe_with(Properties::new(), filter).await;
    }
    // An empty message that is not retained is just a message.
    archiver.confirm(NOW, "").await;
    assert_eq!(reader.hears().await, format!("{NOW} "));
    let mut second = night.anonymous(V5, "second").await;
    let filter = Filter { retain_handling: 1, ..plain(NOW, 1) };
    second.subscribe_with(Properties::new(), filter).await;
    assert_eq!(second.hears().await, format!("{NOW} second"));
    archiver.retain(NOW, "").await;
    let mut third = night.anonymous(V311, "third").await;
    third.subscribe(NOW, 1).await;
    third.ping().await;
    night.close().await;
}

#[tokio::test]
async fn one_filter_may_bring_more_retained_messages_than_the_queue_holds() {
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    for number in 0..1_500 {
        let packet = archiver.packet(&format!("pika/v1/night/cursor/c{number}"), "1", 0, true);
        archiver.send(&Packet::Publish(packet)).await;
    }
    archiver.confirm(EVENT, "all are in").await;
    let mut webapp = night.service(V5, "w").await;
    webapp.subscribe("pika/v1/night/cursor/+", 1).await;
    for _ in 0..1_500 {
        assert!(webapp.message().await.retain);
    }
    webapp.ping().await;
    night.close().await;
}

#[tokio::test]
async fn what_a_client_sends_takes_effect_in_order() {
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    for number in 0..50 {
        let packet = archiver.packet(NOW, &number.to_string(), 0, true);
        archiver.send(&Packet::Publish(packet)).await;
        archiver.subscribe(NOW, 0).await;
        let message = archiver.message().await;
        assert_eq!((message.retain, message.payload), (true, text(&number.to_string())));
        archiver.unsubscribe(&[NOW]).await;
    }
    night.close().await;
}

#[tokio::test]
async fn properties_go_to_version_5_and_stay_away_from_version_3() {
    let night = Night::open().await;
    let mut old = night.anonymous(V311, "old").await;
    let mut new = night.anonymous(V5, "new").await;
    old.subscribe(NOW, 1).await;
    new.subscribe(NOW, 1).await;
    let mut archiver = night.service(V5, "a").await;
    let sent = Properties::new()
        .with_bytes(id::CONTENT_TYPE, "application/json")
        .with(id::USER, &Value::Pair(text("k"), text("v")))
        .with_bytes(id::CORRELATION, vec![0, 255])
        .with_number(id::MESSAGE_EXPIRY, 1000)
        .with_number(id::TOPIC_ALIAS, 3);
    let mut packet = archiver.packet(NOW, "x", 1, true);
    packet.properties = sent;
    assert_eq!(archiver.confirmed(packet).await, 0);
    assert_eq!(old.hears().await, format!("{NOW} x"));
    let mut late = night.anonymous(V5, "late").await;
    late.subscribe(NOW, 1).await;
    for message in [new.message().await, late.message().await] {
        assert_eq!(message.properties.bytes(id::CONTENT_TYPE), Some(text("application/json")));
        assert_eq!(message.properties.number(id::TOPIC_ALIAS), None);
        assert!(message.properties.number(id::MESSAGE_EXPIRY).is_some_and(|left| (1..=1000).contains(&left)));
    }
    let mut late = night.anonymous(V311, "late old").await;
    late.subscribe(NOW, 1).await;
    assert_eq!(late.hears().await, format!("{NOW} x"));
    // The alias alone names the topic now.
    let mut packet = archiver.packet("", "y", 1, false);
    packet.properties = Properties::new().with_number(id::TOPIC_ALIAS, 3);
    assert_eq!(archiver.confirmed(packet).await, 0);
    assert_eq!(old.hears().await, format!("{NOW} y"));
    night.close().await;
}

#[tokio::test]
async fn a_message_that_is_too_old_is_not_sent() {
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    let mut packet = archiver.packet(NOW, "old at once", 1, true);
    packet.properties = Properties::new().with_number(id::MESSAGE_EXPIRY, 0);
    archiver.confirmed(packet).await;
    let mut reader = night.anonymous(V5, "reader").await;
    reader.subscribe(NOW, 1).await;
    archiver.confirm(NOW, "fresh").await;
    assert_eq!(reader.hears().await, format!("{NOW} fresh"));
    night.close().await;
}

#[tokio::test]
async fn the_window_is_the_clients_and_acks_come_in_any_order() {
    let night = Night::open().await;
    let properties = Properties::new().with_number(id::RECEIVE_MAXIMUM, 2);
    let mut reader = night.client(Login { properties, ..Login::new(V5, "reader") }).await;
    reader.subscribe(EVENT, 1).await;
    let mut archiver = night.service(V5, "a").await;
    for number in 0..6 {
        archiver.confirm(EVENT, &number.to_string()).await;
    }
    let mut ids = Vec::new();
    for _ in 0..2 {
        let Packet::Publish(message) = reader.next("a message").await else { panic!("a message") };
        ids.push(message.packet_id);
    }
    // Nothing more while two are open.
    reader.ping().await;
    for packet_id in ids.into_iter().rev() {
        reader.ack(packet_id).await;
    }
    reader.ack(999).await;
    for number in 2..6 {
        assert_eq!(reader.hears().await, format!("{EVENT} {number}"));
    }
    night.close().await;
}

#[tokio::test]
async fn a_client_that_takes_only_small_packets_gets_only_these() {
    let night = Night::open().await;
    let properties = Properties::new().with_number(id::MAXIMUM_PACKET_SIZE, 100);
    let mut reader = night.client(Login { properties, ..Login::new(V5, "reader") }).await;
    reader.subscribe(EVENT, 1).await;
    let mut archiver = night.service(V5, "a").await;
    archiver.confirm(EVENT, &"x".repeat(200)).await;
    archiver.confirm(EVENT, "small").await;
    assert_eq!(reader.hears().await, format!("{EVENT} small"));
    night.close().await;
}

#[tokio::test]
async fn wills() {
    const STATUS: &str = "pika/v1/night/main/desk/anna/status";
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    archiver.subscribe("pika/v1/night/+/desk/#", 1).await;
    let anna = |will| Login { user: Some("anna"), will, ..Login::new(V5, "anna") };

    let gone = night.client(anna(will(STATUS, "lost"))).await;
    drop(gone);
    assert_eq!(archiver.hears().await, format!("{STATUS} lost"));

    let mut polite = night.client(anna(will(STATUS, "unheard"))).await;
    polite.send(&Packet::Disconnect(Disconnect { reason: 0, properties: Properties::new() })).await;
    polite.ended().await;
    let mut wants_it = night.client(anna(will(STATUS, "wanted"))).await;
    wants_it.send(&Packet::Disconnect(Disconnect { reason: 4, properties: Properties::new() })).await;
    assert_eq!(archiver.hears().await, format!("{STATUS} wanted"));

    let mut broken = night.client(anna(will(STATUS, "broken"))).await;
    broken.bytes(b"\x00\x00").await;
    assert_eq!(broken.ended().await, 0x81);
    assert_eq!(archiver.hears().await, format!("{STATUS} broken"));

    let denied = night.client(anna(will("pika/v1/night/main/desk/bert/status", "forged"))).await;
    drop(denied);
    let quiet = Login { keep_alive_s: 1, ..anna(will(STATUS, "silent")) };
    let mut quiet = night.client(quiet).await;
    assert_eq!(quiet.ended().await, 0x8d, "keep alive");
    assert_eq!(archiver.hears().await, format!("{STATUS} silent"));
    night.close().await;
}

#[tokio::test]
async fn a_client_that_comes_again_takes_over_after_the_will() {
    const STATUS: &str = "pika/v1/night/main/desk/anna/status";
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    archiver.subscribe(STATUS, 1).await;
    let mut last = None;
    for number in 0..20 {
        let login = Login { user: Some("anna"), will: will(STATUS, "offline"), ..Login::new(V5, "anna") };
        let mut anna = night.client(login).await;
        if let Some(mut former) = last.take() {
            let former: &mut crate::kit::Client = &mut former;
            assert_eq!(former.ended().await, 0x8e);
            assert_eq!(archiver.hears().await, format!("{STATUS} offline"));
        }
        let online = format!("online {number}");
        anna.retain(STATUS, &online).await;
        assert_eq!(archiver.hears().await, format!("{STATUS} {online}"));
        last = Some(anna);
    }
    // The same client id of somebody else is another client.
    let mut stranger = night.client(Login { user: Some("bert"), ..Login::new(V5, "anna") }).await;
    stranger.ping().await;
    last.expect("the last one").ping().await;
    night.close().await;
}
