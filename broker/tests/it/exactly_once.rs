//! QoS 2 in both directions.

use broker::codec::{Ack, Packet, Properties, Publish, id};

use crate::kit::{Login, Night, V5, V311, ack};

const EVENT: &str = "pika/v1/night/main/event";

fn failed(packet_id: u16, reason: u8) -> Ack {
    Ack { reason, ..ack(packet_id) }
}

#[tokio::test]
async fn a_message_that_is_sent_twice_arrives_once() {
    let night = Night::open().await;
    for version in [V311, V5] {
        let mut reader = night.anonymous(version, "reader").await;
        assert_eq!(reader.subscribe(EVENT, 2).await, 2);
        let mut archiver = night.service(version, "a").await;
        let packet = archiver.packet(EVENT, "first", 2, false);
        let packet_id = packet.packet_id;
        archiver.send(&Packet::Publish(packet.clone())).await;
        assert_eq!(archiver.next("PUBREC").await, Packet::PubRec(ack(packet_id)));
        archiver.send(&Packet::Publish(Publish { dup: true, ..packet.clone() })).await;
        assert_eq!(archiver.next("PUBREC").await, Packet::PubRec(ack(packet_id)));
        for _ in 0..2 {
            archiver.send(&Packet::PubRel(ack(packet_id))).await;
            let Packet::PubComp(complete) = archiver.next("PUBCOMP").await else { panic!("PUBCOMP") };
            assert_eq!(complete.packet_id, packet_id);
        }
        // The same id again is another message now.
        archiver.once(Publish { payload: "second".into(), ..packet }).await;
        for expected in ["first", "second"] {
            let message = reader.message().await;
            assert_eq!((message.qos, message.dup, &*message.payload), (2, false, expected.as_bytes()));
        }
        reader.ping().await;
    }
    night.close().await;
}

#[tokio::test]
async fn packet_ids_nobody_knows_are_answered() {
    let night = Night::open().await;
    let mut new = night.anonymous(V5, "new").await;
    new.send(&Packet::PubRel(ack(7))).await;
    assert_eq!(new.next("PUBCOMP").await, Packet::PubComp(failed(7, 0x92)));
    new.send(&Packet::PubRec(ack(7))).await;
    assert_eq!(new.next("PUBREL").await, Packet::PubRel(failed(7, 0x92)));
    new.send(&Packet::PubRec(failed(7, 0x97))).await;
    new.send(&Packet::PubComp(ack(7))).await;
    new.ping().await;
    let mut old = night.anonymous(V311, "old").await;
    old.send(&Packet::PubRel(ack(7))).await;
    assert_eq!(old.next("PUBCOMP").await, Packet::PubComp(ack(7)));
    old.send(&Packet::PubRec(ack(7))).await;
    assert_eq!(old.next("PUBREL").await, Packet::PubRel(ack(7)));
    night.close().await;
}

#[tokio::test]
async fn what_is_denied_goes_nowhere_and_leaves_no_trace() {
    const BERTS: &str = "pika/v1/night/main/desk/bert/play";
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    archiver.subscribe("pika/v1/night/#", 2).await;
    let mut anna = night.desk(V5, "anna").await;
    let packet = anna.packet(BERTS, "forged", 2, false);
    let packet_id = packet.packet_id;
    anna.send(&Packet::Publish(packet)).await;
    assert_eq!(anna.next("PUBREC").await, Packet::PubRec(failed(packet_id, 0x87)));
    // With that the id is free again.
    let mut packet = anna.packet("pika/v1/night/main/desk/anna/play", "mine", 2, false);
    packet.packet_id = packet_id;
    anna.once(packet).await;
    assert_eq!(archiver.hears().await, "pika/v1/night/main/desk/anna/play mine");
    let mut anna = night.desk(V311, "anna").await;
    let packet = anna.packet(BERTS, "forged", 2, false);
    anna.once(packet).await;
    archiver.ping().await;
    night.close().await;
}

#[tokio::test]
async fn too_many_open_messages_end_the_session() {
    let night = Night::open().await;
    for (version, reason) in [(V5, 0x93), (V311, 0)] {
        let mut archiver = night.service(version, "a").await;
        for _ in 0..1024 {
            let packet = archiver.packet(EVENT, "x", 2, false);
            archiver.send(&Packet::Publish(packet)).await;
        }
        for _ in 0..1024 {
            archiver.next("PUBREC").await;
        }
        let packet = archiver.packet(EVENT, "x", 2, false);
        archiver.send(&Packet::Publish(packet)).await;
        assert_eq!(archiver.ended().await, reason);
    }
    night.close().await;
}

#[tokio::test]
async fn the_window_stays_closed_until_the_handshake_is_over() {
    let night = Night::open().await;
    let properties = Properties::new().with_number(id::RECEIVE_MAXIMUM, 1);
    let mut reader = night.client(Login { properties, ..Login::new(V5, "reader") }).await;
    reader.subscribe(EVENT, 2).await;
    let mut archiver = night.service(V5, "a").await;
    for payload in ["1", "2", "3"] {
        let packet = archiver.packet(EVENT, payload, 2, false);
        archiver.once(packet).await;
    }
    let first = reader.unacknowledged().await;
    reader.ping().await;
    reader.send(&Packet::PubRec(ack(first.packet_id))).await;
    assert_eq!(reader.next("PUBREL").await, Packet::PubRel(ack(first.packet_id)));
    reader.ping().await;
    reader.send(&Packet::PubComp(ack(first.packet_id))).await;
    // A reader that refuses a message ends its handshake.
    let second = reader.unacknowledged().await;
    reader.send(&Packet::PubRec(failed(second.packet_id, 0x99))).await;
    assert_eq!(reader.hears().await, format!("{EVENT} 3"));
    night.close().await;
}

#[tokio::test]
async fn a_message_that_is_too_old_has_its_handshake() {
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    archiver.subscribe(EVENT, 2).await;
    let mut packet = archiver.packet(EVENT, "old at once", 2, false);
    packet.properties = Properties::new().with_number(id::MESSAGE_EXPIRY, 0);
    archiver.once(packet).await;
    archiver.ping().await;
    night.close().await;
}
