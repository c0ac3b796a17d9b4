//! MQTT 5.0: what differs from 3.1.1, or is answered in another way.

use broker::codec::{Ack, Packet, Properties, Publish, Value, Version, id};

use super::Answer::{Bytes, Closes};
use super::wire;
use crate::kit::{Login, Night, V5, ack, text};

const EVENT: &str = "pika/v1/night/main/event";

/// The first bytes of a connection.
const FIRST: Option<Version> = None;
/// After a login.
const THEN: Option<Version> = Some(V5);

wire! {
    mqtt_3_1_0_1: FIRST, b"\xf0\x00" => Closes(b"");
    mqtt_3_1_2_2: FIRST, b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x00" => Closes(b"\x20\x03\x00\x84\x00");
    mqtt_3_1_2_3: FIRST, b"\x10\x0d\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x00" => Closes(b"");
    mqtt_3_1_2_9: FIRST, b"\x10\x0d\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x00" => Closes(b"");
    mqtt_3_1_2_11: FIRST, b"\x10\x0d\x00\x04MQTT\x05\x0a\x00\x3c\x00\x00\x00" => Closes(b"");
    mqtt_3_1_2_12: FIRST, b"\x10\x13\x00\x04MQTT\x05\x1e\x00\x3c\x00\x00\x00\x00\x00\x01t\x00\x00" => Closes(b"");
    mqtt_3_1_2_13: FIRST, b"\x10\x0d\x00\x04MQTT\x05\x22\x00\x3c\x00\x00\x00" => Closes(b"");
    mqtt_3_1_2_16: FIRST, b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00\x00\x01u" => Closes(b"");
    mqtt_3_1_2_17: FIRST, b"\x10\x0d\x00\x04MQTT\x05\x82\x00\x3c\x00\x00\x00" => Closes(b"");
    mqtt_3_1_2_19: FIRST, b"\x10\x0d\x00\x04MQTT\x05\x42\x00\x3c\x00\x00\x00" => Closes(b"");
    mqtt_3_1_3_4: FIRST, b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01\xff" => Closes(b"");
    mqtt_3_1_3_11: FIRST, b"\x10\x13\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x00\x00\x00\x01\xff\x00\x00" => Closes(b"");
    mqtt_3_1_3_12: FIRST, b"\x10\x10\x00\x04MQTT\x05\x82\x00\x3c\x00\x00\x00\x00\x01\xff" => Closes(b"");
    mqtt_3_1_4_6: FIRST, b"\x10\x13\x00\x04MQTT\x05\xc2\x00\x3c\x00\x00\x00\x00\x01u\x00\x01p\xc0\x00" => Closes(b"\x20\x03\x00\x86\x00");
    mqtt_2_2_2_1: FIRST, b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x04\x21\x00\x00\x00\x00\x00\x00" => Closes(b"");
    mqtt_4_12_0_1: FIRST, b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x04\x15\x00\x01x\x00\x00" => Closes(b"\x20\x03\x00\x8c\x00");
    mqtt_1_5_4_1: THEN, b"\x30\x04\x00\x01\xff\x00" => Closes(b"\xe0\x02\x81\x00");
    mqtt_1_5_4_2: THEN, b"\x30\x04\x00\x01\x00\x00" => Closes(b"\xe0\x02\x81\x00");
    mqtt_1_5_5_1: THEN, b"\xc0\x80\x00" => Closes(b"\xe0\x02\x81\x00");
    mqtt_1_5_7_1: THEN, b"\x30\x0b\x00\x01a\x07\x26\x00\x01\xff\x00\x01v" => Closes(b"\xe0\x02\x81\x00");
    mqtt_2_1_3_1: THEN, b"\xc1\x00" => Closes(b"\xe0\x02\x81\x00");
    mqtt_2_2_1_3: THEN, b"\x82\x07\x00\x00\x00\x00\x01a\x00" => Closes(b"\xe0\x02\x82\x00");
    mqtt_3_1_0_2: THEN, b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00" => Closes(b"\xe0\x02\x82\x00");
    mqtt_3_2_2_17: THEN, b"\x30\x06\x00\x00\x03\x23\x00\x11" => Closes(b"\xe0\x02\x94\x00");
    mqtt_3_3_1_2: THEN, b"\x38\x04\x00\x01a\x00" => Closes(b"\xe0\x02\x81\x00");
    mqtt_3_3_1_4: THEN, b"\x36\x06\x00\x01a\x00\x01\x00" => Closes(b"\xe0\x02\x81\x00");
    mqtt_3_3_2_1: THEN, b"\x30\x05\x00\x02\xc3\x28\x00" => Closes(b"\xe0\x02\x81\x00");
    mqtt_3_3_2_2: THEN, b"\x30\x06\x00\x03a/#\x00" => Closes(b"\xe0\x02\x90\x00");
    mqtt_3_3_2_8: THEN, b"\x30\x06\x00\x00\x03\x23\x00\x00" => Closes(b"\xe0\x02\x82\x00");
    mqtt_3_3_2_13: THEN, b"\x30\x08\x00\x01a\x04\x08\x00\x01\xff" => Closes(b"\xe0\x02\x81\x00");
    mqtt_3_3_2_14: THEN, b"\x30\x08\x00\x01a\x04\x08\x00\x01#" => Closes(b"\xe0\x02\x82\x00");
    mqtt_3_3_2_19: THEN, b"\x30\x08\x00\x01a\x04\x03\x00\x01\xff" => Closes(b"\xe0\x02\x81\x00");
    mqtt_3_3_4_6: THEN, b"\x30\x06\x00\x01a\x02\x0b\x01" => Closes(b"\xe0\x02\x82\x00");
    mqtt_3_6_1_1: THEN, b"\x60\x02\x00\x01" => Closes(b"\xe0\x02\x81\x00");
    mqtt_3_8_1_1: THEN, b"\x80\x07\x00\x01\x00\x00\x01a\x00" => Closes(b"\xe0\x02\x81\x00");
    mqtt_3_8_3_1: THEN, b"\x82\x07\x00\x01\x00\x00\x01\xff\x00" => Closes(b"\xe0\x02\x81\x00");
    mqtt_3_8_3_2: THEN, b"\x82\x03\x00\x01\x00" => Closes(b"\xe0\x02\x82\x00");
    mqtt_3_8_3_4: THEN, b"\x82\x10\x00\x01\x00\x00\x0a$share/g/a\x04" => Closes(b"\xe0\x02\x82\x00");
    mqtt_3_8_3_5: THEN, b"\x82\x07\x00\x01\x00\x00\x01a\x40" => Closes(b"\xe0\x02\x81\x00");
    mqtt_3_8_4_5: THEN, b"\x82\x14\x12\x34\x00\x00\x01#\x02\x00\x01a\x01\x00\x02a#\x00\x00\x01#\x00" => Bytes(b"\x90\x07\x12\x34\x00\x02\x87\x8f\x00");
    mqtt_3_10_1_1: THEN, b"\xa0\x06\x00\x01\x00\x00\x01a" => Closes(b"\xe0\x02\x81\x00");
    mqtt_3_10_3_1: THEN, b"\xa2\x06\x00\x01\x00\x00\x01\xff" => Closes(b"\xe0\x02\x81\x00");
    mqtt_3_10_3_2: THEN, b"\xa2\x03\x00\x01\x00" => Closes(b"\xe0\x02\x82\x00");
    mqtt_3_10_4_5: THEN, b"\xa2\x09\x01\x02\x00\x00\x01a\x00\x01b" => Bytes(b"\xb0\x05\x01\x02\x00\x11\x11");
    mqtt_3_12_4_1: THEN, b"\xc0\x00" => Bytes(b"\xd0\x00");
    mqtt_3_14_1_1: THEN, b"\xe1\x00" => Closes(b"\xe0\x02\x81\x00");
    mqtt_3_15_1_1: THEN, b"\xf1\x00" => Closes(b"\xe0\x02\x81\x00");
    mqtt_4_7_1_1: THEN, b"\x82\x0b\x00\x01\x00\x00\x05a/#/b\x00" => Bytes(b"\x90\x04\x00\x01\x00\x8f");
    mqtt_4_7_1_2: THEN, b"\x82\x08\x00\x01\x00\x00\x02a+\x00" => Bytes(b"\x90\x04\x00\x01\x00\x8f");
    mqtt_4_7_3_1: THEN, b"\x82\x06\x00\x01\x00\x00\x00\x00" => Bytes(b"\x90\x04\x00\x01\x00\x8f");
    mqtt_4_12_0_7: THEN, b"\xf0\x00" => Closes(b"\xe0\x02\x8c\x00");
    mqtt_4_13_1_1: THEN, b"\x30\x08\x00\x01a\x04\x01\x00\x01\x00" => Closes(b"\xe0\x02\x82\x00");
}

#[tokio::test]
async fn mqtt_3_1_2_24() {
    // A packet of exactly the size that the client allows is sent; one byte more, and it is as if it had been.
    let night = Night::open().await;
    let properties =
        Properties::new().with_number(id::MAXIMUM_PACKET_SIZE, 60).with_number(id::RECEIVE_MAXIMUM, 1);
    let mut reader = night.client(Login { properties, ..Login::new(V5, "r") }).await;
    reader.subscribe(EVENT, 1).await;
    let mut archiver = night.service(V5, "a").await;
    let fits = 60 - 2 - 2 - EVENT.len() - 2 - 1;
    for len in [fits + 1, fits, fits + 1, fits] {
        archiver.confirm(EVENT, &"x".repeat(len)).await;
    }
    for _ in 0..2 {
        assert_eq!(reader.message().await.payload.len(), fits);
    }
    reader.ping().await;
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_2_2_16() {
    let night = Night::open().await;
    let mut assigned = Vec::new();
    let mut held = Vec::new();
    for _ in 0..50 {
        let mut client = night.raw(V5).await;
        let ack = client.login(Login::new(V5, "")).await;
        assigned.push(ack.properties.bytes(id::ASSIGNED_CLIENT_ID).expect("an id"));
        held.push(client);
    }
    assigned.sort();
    assigned.dedup();
    assert_eq!(assigned.len(), 50);
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_3_2_17() {
    // User properties, all and in order, and the rest of what is passed on unaltered.
    let night = Night::open().await;
    let mut client = night.service(V5, "c").await;
    client.subscribe(EVENT, 0).await;
    let pair = |name, value| Value::Pair(text(name), text(value));
    let properties = Properties::new()
        .with(id::USER, &pair("b", "1"))
        .with_number(id::PAYLOAD_FORMAT, 1)
        .with(id::USER, &pair("a", "2"))
        .with_bytes(id::RESPONSE_TOPIC, "answers/here")
        .with_bytes(id::CORRELATION, vec![0, 1, 255])
        .with(id::USER, &pair("b", "1"))
        .with_bytes(id::CONTENT_TYPE, "text/plain");
    let packet = client.packet(EVENT, "x", 0, false);
    client.send(&Packet::Publish(Publish { properties: properties.clone(), ..packet })).await;
    assert_eq!(client.message().await.properties, properties);
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_3_2_7() {
    // An alias ends with its connection, even if the session goes on.
    let night = Night::open().await;
    let login = || Login {
        clean: false,
        user: Some("archiver"),
        properties: Properties::new().with_number(id::SESSION_EXPIRY, 60),
        ..Login::new(V5, "c")
    };
    let alias = Properties::new().with_number(id::TOPIC_ALIAS, 16);
    let mut client = night.client(login()).await;
    let packet = client.packet(EVENT, "x", 1, false);
    assert_eq!(client.confirmed(Publish { properties: alias.clone(), ..packet }).await, 0);
    drop(client);
    let mut client = night.client(login()).await;
    let packet = client.packet("", "x", 1, false);
    client.send(&Packet::Publish(Publish { properties: alias, ..packet })).await;
    assert_eq!(client.ended().await, 0x82);
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_1_2_27() {
    // The broker sends no alias, whatever the client allows.
    let night = Night::open().await;
    let properties = Properties::new().with_number(id::TOPIC_ALIAS_MAXIMUM, 10);
    let mut reader = night.client(Login { properties, ..Login::new(V5, "r") }).await;
    reader.subscribe(EVENT, 0).await;
    let mut archiver = night.service(V5, "a").await;
    for _ in 0..3 {
        archiver.confirm(EVENT, "x").await;
        let message = reader.message().await;
        assert!(message.topic == EVENT && message.properties.number(id::TOPIC_ALIAS).is_none());
    }
    night.close().await;
}

#[tokio::test]
async fn mqtt_4_9_0_2() {
    let night = Night::open().await;
    let properties = Properties::new().with_number(id::RECEIVE_MAXIMUM, 3);
    let mut reader = night.client(Login { properties, ..Login::new(V5, "r") }).await;
    reader.subscribe(EVENT, 2).await;
    let mut archiver = night.service(V5, "a").await;
    for number in 0..6 {
        let packet = archiver.packet(EVENT, &number.to_string(), 1 + number % 2, false);
        match packet.qos {
            1 => assert_eq!(archiver.confirmed(packet).await, 0),
            _ => archiver.once(packet).await,
        }
    }
    let open = [reader.unacknowledged().await, reader.unacknowledged().await, reader.unacknowledged().await];
    // With nothing left, all else is still answered.
    reader.ping().await;
    assert_eq!(reader.subscribe("pika/v1/night/main/now", 0).await, 0);
    // A refusal opens the window too.
    reader.send(&Packet::PubRec(Ack { reason: 0x80, ..ack(open[1].packet_id) })).await;
    assert_eq!(reader.unacknowledged().await.payload, "3");
    night.close().await;
}
