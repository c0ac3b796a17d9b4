//! MQTT 3.1.1.

use broker::codec::{Disconnect, Packet, Properties, Publish, Version};

use super::Answer::{Bytes, Closes};
use super::wire;
use crate::kit::{Client, Login, Night, V311, ack, will};

const NOW: &str = "pika/v1/night/main/now";
const EVENT: &str = "pika/v1/night/main/event";

/// The first bytes of a connection.
const FIRST: Option<Version> = None;
/// After a login.
const THEN: Option<Version> = Some(V311);

wire! {
    mqtt_3_1_0_1: FIRST, b"\xc0\x00" => Closes(b"");
    mqtt_3_1_2_1: FIRST, b"\x10\x0d\x00\x04MQTX\x04\x02\x00\x3c\x00\x01c" => Closes(b"");
    mqtt_3_1_2_2: FIRST, b"\x10\x0d\x00\x04MQTT\x02\x02\x00\x3c\x00\x01c" => Closes(b"\x20\x02\x00\x01");
    mqtt_3_1_2_3: FIRST, b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x3c\x00\x01c" => Closes(b"");
    mqtt_3_1_2_9: FIRST, b"\x10\x0d\x00\x04MQTT\x04\x06\x00\x3c\x00\x01c" => Closes(b"");
    mqtt_3_1_2_11: FIRST, b"\x10\x0d\x00\x04MQTT\x04\x2a\x00\x3c\x00\x01c" => Closes(b"");
    mqtt_3_1_2_13: FIRST, b"\x10\x0d\x00\x04MQTT\x04\x12\x00\x3c\x00\x01c" => Closes(b"");
    mqtt_3_1_2_14: FIRST, b"\x10\x12\x00\x04MQTT\x04\x1e\x00\x3c\x00\x01c\x00\x01t\x00\x00" => Closes(b"");
    mqtt_3_1_2_15: FIRST, b"\x10\x0d\x00\x04MQTT\x04\x22\x00\x3c\x00\x01c" => Closes(b"");
    mqtt_3_1_2_18: FIRST, b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c\x00\x01u" => Closes(b"");
    mqtt_3_1_2_19: FIRST, b"\x10\x0d\x00\x04MQTT\x04\x82\x00\x3c\x00\x01c" => Closes(b"");
    mqtt_3_1_2_20: FIRST, b"\x10\x13\x00\x04MQTT\x04\x82\x00\x3c\x00\x01c\x00\x01u\x00\x01p" => Closes(b"");
    mqtt_3_1_2_21: FIRST, b"\x10\x10\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01c\x00\x01u" => Closes(b"");
    mqtt_3_1_2_22: FIRST, b"\x10\x10\x00\x04MQTT\x04\x42\x00\x3c\x00\x01c\x00\x01p" => Closes(b"");
    mqtt_3_1_3_3: FIRST, b"\x10\x0a\x00\x04MQTT\x04\x02\x00\x3c" => Closes(b"");
    mqtt_3_1_3_4: FIRST, b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01\xff" => Closes(b"");
    mqtt_3_1_3_5: FIRST, b"\x10\x23\x00\x04MQTT\x04\x02\x00\x3c\x00\x17019azAZ0123456789abcdef" => Bytes(b"\x20\x02\x00\x00");
    mqtt_3_1_3_6: FIRST, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00" => Bytes(b"\x20\x02\x00\x00");
    mqtt_3_1_3_8: FIRST, b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x3c\x00\x00" => Closes(b"\x20\x02\x00\x02");
    mqtt_3_1_3_10: FIRST, b"\x10\x12\x00\x04MQTT\x04\x06\x00\x3c\x00\x01c\x00\x01\xff\x00\x00" => Closes(b"");
    mqtt_3_1_3_11: FIRST, b"\x10\x10\x00\x04MQTT\x04\x82\x00\x3c\x00\x01c\x00\x01\xff" => Closes(b"");
    mqtt_3_1_4_1: FIRST, b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c\x00" => Closes(b"");
    mqtt_3_1_4_4: FIRST, b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c" => Bytes(b"\x20\x02\x00\x00");
    mqtt_3_1_4_5: FIRST, b"\x10\x13\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01c\x00\x01u\x00\x01p\xc0\x00" => Closes(b"\x20\x02\x00\x04");
    mqtt_3_2_0_1: FIRST, b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c\xc0\x00" => Bytes(b"\x20\x02\x00\x00\xd0\x00");
    mqtt_1_5_3_1: THEN, b"\x30\x03\x00\x01\xff" => Closes(b"");
    mqtt_1_5_3_2: THEN, b"\x30\x03\x00\x01\x00" => Closes(b"");
    mqtt_2_2_2_2: THEN, b"\xc1\x00" => Closes(b"");
    mqtt_2_3_1_1: THEN, b"\x82\x06\x00\x00\x00\x01a\x00" => Closes(b"");
    mqtt_2_3_1_1_publish: THEN, b"\x32\x05\x00\x01a\x00\x00" => Closes(b"");
    mqtt_2_3_1_1_unsubscribe: THEN, b"\xa2\x05\x00\x00\x00\x01a" => Closes(b"");
    mqtt_3_1_0_2: THEN, b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c" => Closes(b"");
    mqtt_3_3_1_2: THEN, b"\x38\x03\x00\x01a" => Closes(b"");
    mqtt_3_3_1_4: THEN, b"\x36\x05\x00\x01a\x00\x01" => Closes(b"");
    mqtt_3_3_2_1: THEN, b"\x30\x04\x00\x02\xc3\x28" => Closes(b"");
    mqtt_3_3_2_2: THEN, b"\x30\x05\x00\x03a/+" => Closes(b"");
    mqtt_3_6_1_1: THEN, b"\x60\x02\x00\x01" => Closes(b"");
    mqtt_3_8_1_1: THEN, b"\x80\x06\x00\x01\x00\x01a\x00" => Closes(b"");
    mqtt_3_8_3_1: THEN, b"\x82\x06\x00\x01\x00\x01\xff\x00" => Closes(b"");
    mqtt_3_8_3_3: THEN, b"\x82\x02\x00\x01" => Closes(b"");
    mqtt_3_8_3_4: THEN, b"\x82\x06\x00\x01\x00\x01a\x04" => Closes(b"");
    mqtt_3_8_3_4_qos: THEN, b"\x82\x06\x00\x01\x00\x01a\x03" => Closes(b"");
    mqtt_3_8_4_1: THEN, b"\x82\x06\x00\x0a\x00\x01#\x01" => Bytes(b"\x90\x03\x00\x0a\x01");
    mqtt_3_8_4_5: THEN, b"\x82\x0e\xff\xff\x00\x01#\x02\x00\x01a\x01\x00\x01+\x00" => Bytes(b"\x90\x05\xff\xff\x02\x80\x80");
    mqtt_3_10_1_1: THEN, b"\xa0\x05\x00\x01\x00\x01a" => Closes(b"");
    mqtt_3_10_3_1: THEN, b"\xa2\x05\x00\x01\x00\x01\xff" => Closes(b"");
    mqtt_3_10_3_2: THEN, b"\xa2\x02\x00\x01" => Closes(b"");
    mqtt_3_10_4_5: THEN, b"\xa2\x08\x01\x02\x00\x01a\x00\x01b" => Bytes(b"\xb0\x02\x01\x02");
    mqtt_3_12_4_1: THEN, b"\xc0\x00\xc0\x00" => Bytes(b"\xd0\x00\xd0\x00");
    mqtt_3_14_1_1: THEN, b"\xe1\x00" => Closes(b"");
    mqtt_4_7_1_2: THEN, b"\x82\x0a\x00\x01\x00\x05a/#/b\x00" => Bytes(b"\x90\x03\x00\x01\x80");
    mqtt_4_7_1_3: THEN, b"\x82\x07\x00\x01\x00\x02a+\x00" => Bytes(b"\x90\x03\x00\x01\x80");
    mqtt_4_7_3_1: THEN, b"\x82\x05\x00\x01\x00\x00\x00" => Bytes(b"\x90\x03\x00\x01\x80");
    mqtt_4_7_3_1_name: THEN, b"\x30\x02\x00\x00" => Closes(b"");
    mqtt_4_7_3_2: THEN, b"\x82\x06\x00\x01\x00\x01\x00\x00" => Closes(b"");
    mqtt_4_8_0_1: THEN, b"\xf0\x00" => Closes(b"");
}

#[tokio::test]
async fn mqtt_1_5_3_3() {
    // U+FEFF is a character like any other.
    let night = Night::open().await;
    let mut client = night.service(V311, "c").await;
    client.subscribe("pika/v1/night/main/in/\u{feff}x", 0).await;
    client.publish("pika/v1/night/main/in/x", "without").await;
    client.publish("pika/v1/night/main/in/\u{feff}x", "with").await;
    assert_eq!(client.hears().await, "pika/v1/night/main/in/\u{feff}x with");
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_1_2_6() {
    let night = Night::open().await;
    let kept = || Login { clean: false, ..Login::new(V311, "c") };
    let mut client = night.client(kept()).await;
    client.subscribe(EVENT, 1).await;
    drop(client);
    drop(night.client(Login::new(V311, "c")).await);
    let mut client = night.raw(V311).await;
    assert!(!client.login(kept()).await.session_present);
    night.service(V311, "a").await.confirm(EVENT, "unheard").await;
    client.ping().await;
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_1_2_7() {
    let night = Night::open().await;
    let mut archiver = night.service(V311, "a").await;
    archiver.retain(NOW, "kept").await;
    archiver.send(&Packet::Disconnect(Disconnect { reason: 0, properties: Properties::new() })).await;
    archiver.ended().await;
    let mut reader = night.anonymous(V311, "r").await;
    reader.subscribe(NOW, 0).await;
    assert_eq!(reader.hears().await, format!("{NOW} kept"));
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_1_2_17() {
    let night = Night::open().await;
    for (retain, found) in [(true, true), (false, false)] {
        let mut will = will("pika/v1/night/main/desk/anna/status", "lost");
        if let Some(will) = &mut will {
            will.retain = retain;
        }
        let mut archiver = night.service(V311, "a").await;
        archiver.subscribe("pika/v1/night/+/desk/#", 0).await;
        drop(night.client(Login { user: Some("anna"), will, ..Login::new(V311, "anna") }).await);
        assert_eq!(archiver.hears().await, "pika/v1/night/main/desk/anna/status lost");
        let mut late = night.service(V311, "late").await;
        late.subscribe("pika/v1/night/+/desk/#", 0).await;
        if found {
            assert!(late.message().await.retain);
            archiver.unsubscribe(&["pika/v1/night/+/desk/#"]).await;
            night.desk(V311, "anna").await.retain("pika/v1/night/main/desk/anna/status", "").await;
        } else {
            late.ping().await;
        }
    }
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_2_2_4() {
    let night = Night::open().await;
    drop(night.client(Login { clean: false, user: Some("anna"), ..Login::new(V311, "anna") }).await);
    let mut client = night.raw(V311).await;
    let login = Login { clean: false, user: Some("anna"), password: "wrong", ..Login::new(V311, "anna") };
    let ack = client.login(login).await;
    assert!(ack.code == 4 && !ack.session_present);
    assert!(client.rest().await.is_empty());
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_3_1_3() {
    let night = Night::open().await;
    let mut client = night.service(V311, "c").await;
    client.subscribe(EVENT, 1).await;
    let publish = client.packet(EVENT, "x", 1, false);
    client.send(&Packet::Publish(Publish { dup: true, ..publish })).await;
    // Its own PUBACK and the message may come in either order.
    for _ in 0..2 {
        if let Packet::Publish(message) = client.next("both").await {
            assert!(!message.dup);
        }
    }
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_3_1_12() {
    let night = Night::open().await;
    let mut archiver = night.service(V311, "a").await;
    archiver.retain(NOW, "kept").await;
    archiver.confirm(NOW, "passing").await;
    archiver.confirm(NOW, "").await;
    let mut reader = night.anonymous(V311, "r").await;
    reader.subscribe(NOW, 0).await;
    assert_eq!(reader.hears().await, format!("{NOW} kept"));
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_3_1_10() {
    let night = Night::open().await;
    let mut archiver = night.service(V311, "a").await;
    archiver.retain(NOW, "kept").await;
    let mut reader = night.anonymous(V311, "r").await;
    reader.subscribe(NOW, 0).await;
    assert!(reader.message().await.retain);
    archiver.retain(NOW, "").await;
    let live = reader.message().await;
    assert!(!live.retain && live.payload.is_empty());
    let mut late = night.anonymous(V311, "late").await;
    late.subscribe(NOW, 0).await;
    late.ping().await;
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_8_4_3() {
    // The same filter again: one subscription, with the new QoS, and the retained message once more.
    let night = Night::open().await;
    let mut archiver = night.service(V311, "a").await;
    archiver.retain(NOW, "kept").await;
    let mut reader = night.anonymous(V311, "r").await;
    for qos in [0, 1] {
        assert_eq!(reader.subscribe(NOW, qos).await, qos);
        assert_eq!(reader.message().await.qos, qos);
    }
    archiver.confirm(NOW, "live").await;
    assert_eq!(reader.message().await.qos, 1);
    reader.ping().await;
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_10_4_1() {
    let night = Night::open().await;
    let mut reader = night.anonymous(V311, "r").await;
    reader.subscribe(EVENT, 0).await;
    reader
        .unsubscribe(&["pika/v1/night/main/Event", "pika/v1/night/main/+", "pika/v1/night/main/event/"])
        .await;
    let mut archiver = night.service(V311, "a").await;
    archiver.confirm(EVENT, "heard").await;
    assert_eq!(reader.hears().await, format!("{EVENT} heard"));
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_10_4_3() {
    let night = Night::open().await;
    let mut reader = night.client(Login { clean: false, ..Login::new(V311, "r") }).await;
    reader.subscribe(EVENT, 2).await;
    let mut archiver = night.service(V311, "a").await;
    let packet = archiver.packet(EVENT, "begun", 2, false);
    archiver.once(packet).await;
    let begun = reader.unacknowledged().await;
    reader.unsubscribe(&[EVENT]).await;
    archiver.confirm(EVENT, "unheard").await;
    drop(reader);
    let mut reader = night.client(Login { clean: false, ..Login::new(V311, "r") }).await;
    let again = reader.message().await;
    assert!(again.dup && again.packet_id == begun.packet_id);
    reader.ping().await;
    night.close().await;
}

#[tokio::test]
async fn mqtt_4_6_0_2() {
    // PUBACKs and PUBRECs in the order of the messages.
    let night = Night::open().await;
    let mut archiver = night.service(V311, "a").await;
    let sent: Vec<Publish> =
        (0..20).map(|number| archiver.packet(EVENT, "x", 1 + number % 2, false)).collect();
    for packet in &sent {
        archiver.send(&Packet::Publish(packet.clone())).await;
    }
    for packet in &sent {
        let expected = ack(packet.packet_id);
        let expected = if packet.qos == 1 { Packet::PubAck(expected) } else { Packet::PubRec(expected) };
        assert_eq!(archiver.next("an acknowledgement").await, expected);
    }
    night.close().await;
}

#[tokio::test]
async fn mqtt_4_6_0_6() {
    let night = Night::open().await;
    let mut readers: Vec<Client> = Vec::new();
    for number in 0..3 {
        let mut reader = night.anonymous(V311, &format!("r{number}")).await;
        reader.subscribe(EVENT, number % 3).await;
        readers.push(reader);
    }
    let mut archiver = night.service(V311, "a").await;
    for number in 0..100 {
        archiver.confirm(EVENT, &number.to_string()).await;
    }
    for reader in &mut readers {
        for number in 0..100 {
            assert_eq!(reader.hears().await, format!("{EVENT} {number}"));
        }
    }
    night.close().await;
}
