//! Round trips and refusals of the codec, packet by packet.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

const MAX: usize = 1 << 20;

fn text() -> impl Strategy<Value = Bytes> {
    "[a-zé/]{0,12}".prop_map(Bytes::from)
}

fn name() -> impl Strategy<Value = Bytes> {
    "[a-zé/]{1,12}".prop_map(Bytes::from)
}

fn binary() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn user() -> impl Strategy<Value = Properties> {
    proptest::collection::vec((text(), text()), 0..3).prop_map(|pairs| {
        pairs.into_iter().fold(Properties::new(), |all, (name, value)| {
            all.with(id::USER, &super::Value::Pair(name, value))
        })
    })
}

fn message() -> impl Strategy<Value = Properties> {
    (user(), any::<u32>(), binary()).prop_map(|(user, expiry, correlation)| {
        user.with_number(id::MESSAGE_EXPIRY, expiry).with_bytes(id::CORRELATION, correlation)
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    let will = (name(), binary(), 0..3_u8, any::<bool>(), message()).prop_map(
        |(topic, payload, qos, retain, properties)| Will { topic, payload, qos, retain, properties },
    );
    let connect = (
        any::<bool>(),
        any::<u16>(),
        user(),
        text(),
        proptest::option::of(will),
        text(),
        proptest::option::of(binary()),
    )
        .prop_map(|(clean_start, keep_alive_s, properties, client_id, will, user_name, password)| {
            Packet::Connect(Box::new(Connect {
                version: Version::V5,
                clean_start,
                keep_alive_s,
                properties,
                client_id,
                will,
                user_name: Some(user_name),
                password,
            }))
        });
    let publish = (0..3_u8, any::<bool>(), name(), 1..=u16::MAX, message(), binary()).prop_map(
        |(qos, retain, topic, id, properties, payload)| {
            let packet_id = if qos > 0 { id } else { 0 };
            Packet::Publish(Publish {
                dup: qos > 0 && retain,
                qos,
                retain,
                topic,
                packet_id,
                properties,
                payload,
            })
        },
    );
    let filter = (text(), 0..3_u8, any::<bool>(), any::<bool>(), 0..3_u8).prop_map(
        |(path, qos, no_local, retain_as_published, retain_handling)| Filter {
            path,
            qos,
            no_local,
            retain_as_published,
            retain_handling,
        },
    );
    let subscribe = (1..=u16::MAX, user(), proptest::collection::vec(filter, 1..4)).prop_map(
        |(packet_id, properties, filters)| Packet::Subscribe(Subscribe { packet_id, properties, filters }),
    );
    let ack = (1..=u16::MAX, any::<u8>(), user())
        .prop_map(|(packet_id, reason, properties)| Ack { packet_id, reason, properties })
        .boxed();
    let suback = (1..=u16::MAX, user(), proptest::collection::vec(any::<u8>(), 1..4))
        .prop_map(|(packet_id, properties, codes)| SubAck { packet_id, properties, codes })
        .boxed();
    let unsubscribe = (1..=u16::MAX, user(), proptest::collection::vec(text(), 1..4)).prop_map(
        |(packet_id, properties, filters)| {
            Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters })
        },
    );
    let disconnect =
        (any::<u8>(), user()).prop_map(|(reason, properties)| Disconnect { reason, properties }).boxed();
    prop_oneof![
        connect,
        (any::<bool>(), any::<u8>(), user()).prop_map(|(session_present, code, properties)| {
            Packet::ConnAck(ConnAck { session_present, code, properties })
        }),
        publish,
        subscribe,
        unsubscribe,
        ack.clone().prop_map(Packet::PubAck),
        ack.clone().prop_map(Packet::PubRec),
        ack.clone().prop_map(Packet::PubRel),
        ack.prop_map(Packet::PubComp),
        suback.clone().prop_map(Packet::SubAck),
        suback.prop_map(Packet::UnsubAck),
        disconnect.clone().prop_map(Packet::Disconnect),
        disconnect.prop_map(Packet::Auth),
        Just(Packet::PingReq),
        Just(Packet::PingResp),
    ]
}

fn encoded(packet: &Packet) -> BytesMut {
    let mut out = BytesMut::new();
    encode(packet, Version::V5, &mut out);
    out
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(packet in packet()) {
        let mut wire = encoded(&packet);
        prop_assert_eq!(decode(&mut wire, Version::V5, MAX), Ok(Some(packet)));
        prop_assert!(wire.is_empty());
    }

    #[test]
    fn a_part_of_a_packet_asks_for_more(packet in packet(), cut in any::<prop::sample::Index>()) {
        let wire = encoded(&packet);
        let part = &wire[..cut.index(wire.len())];
        prop_assert_eq!(decode(&mut BytesMut::from(part), Version::V5, MAX), Ok(None));
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for version in [Version::V31, Version::V311, Version::V5] {
            let mut wire = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decode(&mut wire, version, 100) {}
        }
        _ = decode_connect(&mut BytesMut::from(&bytes[..]), 100);
    }

    #[test]
    fn a_damaged_packet_gets_an_answer(packet in packet(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut wire = encoded(&packet);
        let at = at.index(wire.len());
        wire[at] = byte;
        for version in [Version::V311, Version::V5] {
            let mut wire = wire.clone();
            while let Ok(Some(packet)) = decode(&mut wire, version, MAX) {
                if let Packet::Publish(publish) = packet {
                    _ = publish.properties.forwarded();
                }
            }
        }
    }
}

#[test]
fn what_the_standard_forbids() {
    let v5 = |bytes: &[u8]| decode(&mut BytesMut::from(bytes), Version::V5, 1000).map_err(Fault::reason);
    let v3 = |bytes: &[u8]| decode(&mut BytesMut::from(bytes), Version::V311, 1000).map_err(Fault::reason);
    let connect = |bytes: &[u8]| decode_connect(&mut BytesMut::from(bytes), 1000).map_err(Fault::reason);
    assert_eq!(v3(b"\x00\x00"), Err(0x81), "packet type 0");
    assert_eq!(v3(b"\xf0\x00"), Err(0x81), "AUTH in version 3");
    assert_eq!(v3(b"\x36\x05\x00\x01a\x00\x01"), Err(0x81), "QoS 3");
    assert_eq!(v3(b"\x38\x03\x00\x01a"), Err(0x81), "DUP with QoS 0");
    assert_eq!(v3(b"\x32\x05\x00\x01a\x00\x00"), Err(0x82), "packet id 0");
    assert_eq!(v3(b"\x30\x03\x00\x01#"), Err(0x90), "wildcard in a topic");
    assert_eq!(v3(b"\x30\x02\x00\x00"), Err(0x90), "empty topic");
    assert_eq!(v3(b"\x30\x03\x00\x01\xff"), Err(0x81), "not UTF-8");
    assert_eq!(v3(b"\x30\x03\x00\x01\x00"), Err(0x81), "NUL");
    assert_eq!(v3(b"\x80\x06\x00\x01\x00\x01a\x00"), Err(0x81), "SUBSCRIBE with flags 0");
    assert_eq!(v3(b"\x82\x06\x00\x01\x00\x01a\x04"), Err(0x81), "reserved option bits");
    assert_eq!(v3(b"\x82\x06\x00\x01\x00\x01a\x03"), Err(0x81), "QoS 3 wanted");
    assert_eq!(v3(b"\x82\x02\x00\x01"), Err(0x82), "no filter");
    assert_eq!(v3(b"\xc0\x01\x00"), Err(0x81), "PINGREQ with a body");
    assert_eq!(v3(b"\xb0\x03\x00\x01\x00"), Err(0x81), "UNSUBACK with codes");
    assert_eq!(v3(b"\x30\xff\xff\xff\xff\x01"), Err(0x81), "length of five digits");
    assert_eq!(v3(b"\x30\xff\x7f"), Err(0x95), "too large");
    assert_eq!(v5(b"\x30\x06\x00\x01a\x02\x01\x02"), Err(0x82), "payload format 2");
    assert_eq!(v5(b"\x30\x08\x00\x01a\x04\x01\x00\x01\x00"), Err(0x82), "property twice");
    assert_eq!(v5(b"\x30\x07\x00\x01a\x03\x23\x00\x00"), Err(0x82), "topic alias 0");
    assert_eq!(v5(b"\x30\x06\x00\x01a\x02\x24\x01"), Err(0x82), "property of another packet");
    assert_eq!(v5(b"\x30\x06\x00\x01a\x02\x7f\x01"), Err(0x81), "unknown property");
    assert_eq!(connect(b"\x30\x00"), Err(0x82), "not CONNECT");
    assert_eq!(connect(b"\x10\x0c\x00\x04MQTT\x06\x02\x00\x00\x00\x00"), Err(0x84), "version 6");
    assert_eq!(connect(b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x00\x00\x00"), Err(0x81), "reserved flag");
    assert_eq!(connect(b"\x10\x0c\x00\x04MQTT\x04\x0a\x00\x00\x00\x00"), Err(0x81), "will QoS without will");
    assert_eq!(connect(b"\x10\x0c\x00\x04HTTP\x04\x02\x00\x00\x00\x00"), Err(0x81), "other name");
    assert!(matches!(connect(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"), Ok(Some(_))));
}
