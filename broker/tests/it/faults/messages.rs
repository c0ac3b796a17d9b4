//! Messages on their way: QoS, packet ids, windows, aliases, and those who read slowly.
//!
//! Not here: a burst that is larger than the log overtook a fast reader as well. It is the same loss as a slow one's,
//! but whether it happens depends on the machine; ours has a test of its own (`robust.rs`).

use std::collections::HashMap;

use broker::codec::{Ack, Packet, Properties, Publish, Value, Version, id};

use super::{EVENT, NOW, Venue, faults, is_ended, service};
use crate::kit::{Login, V5, V311, ack, text};

faults! {
    qos_0_for_who_asked_for_1 = the_lower_qos(0, 1), "the QoS";
    qos_0_for_who_asked_for_2 = the_lower_qos(0, 2), "the QoS";
    qos_1_for_who_asked_for_2 = the_lower_qos(1, 2), "the QoS";
    the_publishers_dup_flag, "DUP";
    what_is_sent_again_says_so, "DUP";
    the_window_is_the_clients, "left: Publish";
    acknowledgements_in_another_order, "closed instead of a message";
    an_acknowledgement_of_nothing = nobody_asked(V311), "closed instead of PINGRESP";
    an_acknowledgement_of_nothing_in_version_5 = nobody_asked(V5), "closed instead of PINGRESP";
    a_message_that_the_reader_refuses, "left: PubRel";
    a_message_that_is_sent_twice, "the second one";
    a_release_of_nothing, "closed instead of PUBCOMP";
    a_release_with_a_property, "waited too long for PUBCOMP";
    messages_that_are_never_released, "it goes on";
    a_packet_that_is_too_large_for_the_client, "small";
    aliases_name_one_topic_each, "the topics";
    a_reader_that_is_slow_loses_nothing_in_silence, "a gap";
}

async fn the_lower_qos(venue: &mut Venue, sent: u8, asked: u8) {
    let mut reader = venue.client(V311, "reader").await;
    reader.subscribe(EVENT, asked).await;
    let mut publisher = venue.client(V311, "a").await;
    let packet = publisher.packet(EVENT, "x", sent, false);
    publisher.send(&Packet::Publish(packet)).await;
    assert_eq!(reader.message().await.qos, sent, "the QoS");
}

async fn the_publishers_dup_flag(venue: &mut Venue) {
    let mut reader = venue.client(V311, "reader").await;
    reader.subscribe(EVENT, 1).await;
    let mut publisher = venue.client(V311, "a").await;
    let packet = publisher.packet(EVENT, "x", 1, false);
    publisher.confirmed(Publish { dup: true, ..packet }).await;
    assert!(!reader.message().await.dup, "DUP");
}

async fn what_is_sent_again_says_so(venue: &mut Venue) {
    let login = || Login { clean: false, ..service(V311, "reader") };
    let mut reader = venue.login(login()).await;
    reader.subscribe(EVENT, 1).await;
    venue.client(V311, "a").await.confirm(EVENT, "x").await;
    reader.unacknowledged().await;
    reader.bytes(b"\xe0\x00").await;
    reader.ended().await;
    assert!(venue.login(login()).await.message().await.dup, "DUP");
}

async fn the_window_is_the_clients(venue: &mut Venue) {
    let properties = Properties::new().with_number(id::RECEIVE_MAXIMUM, 2);
    let mut reader = venue.login(Login { properties, ..service(V5, "reader") }).await;
    reader.subscribe(EVENT, 1).await;
    let mut publisher = venue.client(V5, "a").await;
    for number in 0..4 {
        publisher.confirm(EVENT, &number.to_string()).await;
    }
    for _ in 0..2 {
        reader.unacknowledged().await;
    }
    reader.ping().await;
}

async fn acknowledgements_in_another_order(venue: &mut Venue) {
    let mut reader = venue.client(V311, "reader").await;
    reader.subscribe(EVENT, 1).await;
    let mut publisher = venue.client(V311, "a").await;
    for payload in ["1", "2"] {
        publisher.confirm(EVENT, payload).await;
    }
    let (first, second) = (reader.unacknowledged().await, reader.unacknowledged().await);
    reader.ack(second.packet_id).await;
    reader.ack(first.packet_id).await;
    publisher.confirm(EVENT, "3").await;
    assert_eq!(reader.hears().await, format!("{EVENT} 3"));
}

async fn nobody_asked(venue: &mut Venue, version: Version) {
    let mut reader = venue.client(version, "reader").await;
    reader.ack(999).await;
    reader.ping().await;
}

/// With a refusal the handshake is over.
async fn a_message_that_the_reader_refuses(venue: &mut Venue) {
    let mut reader = venue.client(V5, "reader").await;
    reader.subscribe(EVENT, 2).await;
    let mut publisher = venue.client(V5, "a").await;
    let packet = publisher.packet(EVENT, "x", 2, false);
    publisher.once(packet).await;
    let message = reader.unacknowledged().await;
    reader.send(&Packet::PubRec(Ack { reason: 0x97, ..ack(message.packet_id) })).await;
    reader.ping().await;
}

/// Its list of open messages got longer by one, and from then on each release brought the message before.
async fn a_message_that_is_sent_twice(venue: &mut Venue) {
    let mut reader = venue.client(V311, "reader").await;
    reader.subscribe(EVENT, 2).await;
    let mut publisher = venue.client(V311, "a").await;
    let packet = publisher.packet(EVENT, "first", 2, false);
    publisher.send(&Packet::Publish(packet.clone())).await;
    assert_eq!(publisher.next("PUBREC").await, Packet::PubRec(ack(packet.packet_id)));
    publisher.once(Publish { dup: true, ..packet.clone() }).await;
    assert_eq!(reader.hears().await, format!("{EVENT} first"));
    publisher.once(Publish { payload: text("the second one"), ..packet }).await;
    assert_eq!(reader.hears().await, format!("{EVENT} the second one"));
}

async fn a_release_of_nothing(venue: &mut Venue) {
    let mut client = venue.client(V311, "client").await;
    client.send(&Packet::PubRel(ack(7))).await;
    assert_eq!(client.next("PUBCOMP").await, Packet::PubComp(ack(7)));
}

async fn a_release_with_a_property(venue: &mut Venue) {
    let mut client = venue.client(V5, "client").await;
    client.wait_at_most(venue.patience);
    let packet = client.packet(EVENT, "x", 2, false);
    let packet_id = packet.packet_id;
    client.send(&Packet::Publish(packet)).await;
    assert_eq!(client.next("PUBREC").await, Packet::PubRec(ack(packet_id)));
    let properties = Properties::new().with(id::USER, &Value::Pair(text("k"), text("v")));
    client.send(&Packet::PubRel(Ack { properties, ..ack(packet_id) })).await;
    assert_eq!(client.next("PUBCOMP").await, Packet::PubComp(ack(packet_id)));
}

/// They stayed in its memory, without a limit.
async fn messages_that_are_never_released(venue: &mut Venue) {
    let mut client = venue.client(V5, "client").await;
    for _ in 0..1_024 {
        let packet = client.packet(EVENT, "x", 2, false);
        client.send(&Packet::Publish(packet)).await;
        client.next("PUBREC").await;
    }
    let packet = client.packet(EVENT, "one too many", 2, false);
    client.send(&Packet::Publish(packet)).await;
    client.try_bytes(b"\xc0\x00").await;
    is_ended(&mut client, 0x93).await;
}

async fn a_packet_that_is_too_large_for_the_client(venue: &mut Venue) {
    let properties = Properties::new().with_number(id::MAXIMUM_PACKET_SIZE, 100);
    let mut reader = venue.login(Login { properties, ..service(V5, "reader") }).await;
    reader.subscribe(EVENT, 0).await;
    let mut publisher = venue.client(V5, "a").await;
    publisher.confirm(EVENT, &"x".repeat(200)).await;
    publisher.confirm(EVENT, "small").await;
    assert_eq!(reader.hears().await, format!("{EVENT} small"));
}

/// It gave an alias to a filter, so all topics that match it were called like the first.
async fn aliases_name_one_topic_each(venue: &mut Venue) {
    let properties = Properties::new().with_number(id::TOPIC_ALIAS_MAXIMUM, 10);
    let mut reader = venue.login(Login { properties, ..service(V5, "reader") }).await;
    reader.subscribe("pika/v1/night/main/#", 0).await;
    let mut publisher = venue.client(V5, "a").await;
    let (mut names, mut found) = (HashMap::new(), Vec::new());
    for topic in [NOW, EVENT] {
        publisher.confirm(topic, "x").await;
        let message = reader.message().await;
        found.push(match message.properties.number(id::TOPIC_ALIAS) {
            Some(alias) if message.topic.is_empty() => names.get(&alias).cloned().expect("a known alias"),
            Some(alias) => {
                names.insert(alias, message.topic.clone());
                message.topic
            }
            None => message.topic,
        });
    }
    assert_eq!(found, [NOW, EVENT], "the topics");
}

/// Everything in order, or an end that tells it to start again from what is retained.
async fn a_reader_that_is_slow_loses_nothing_in_silence(venue: &mut Venue) {
    const MESSAGES: usize = 1_500;
    let mut reader = venue.client(V311, "reader").await;
    reader.subscribe(EVENT, 1).await;
    let mut publisher = venue.client(V311, "a").await;
    let rest = "x".repeat(20_000);
    for number in 0..MESSAGES {
        publisher.confirm(EVENT, &format!("{number} {rest}")).await;
    }
    for number in 0..MESSAGES {
        let Some(Packet::Publish(message)) = reader.next_or_end("a message or the end").await else { return };
        let text = String::from_utf8_lossy(&message.payload);
        assert_eq!(text.split(' ').next(), Some(&*number.to_string()), "a gap");
        // An end in the meantime is an end too.
        let [high, low] = message.packet_id.to_be_bytes();
        reader.try_bytes(&[0x40, 2, high, low]).await;
    }
}
