//! Small inputs after which a bare rumqttd serves nobody any more, or not those who did nothing. Its process and its
//! ports stay, so nothing starts it again.
//!
//! Not here: a router configured without room for a message. Ours is checked when it is compiled (`pipe.rs`).

use broker::Settings;
use broker::codec::{Filter, Packet, Properties, Subscribe, Value, Will, id};
use tokio::net::TcpStream;

use super::{CONNECTIONS_MAX, EVENT, NOW, Venue, faults, service};
use crate::kit::{Client, Login, V5, V311, patiently, plain, text, tick};
use crate::tls;
use crate::websocket;

// Whoever comes after the router has died is sent away or waits in vain; which of the two is a race.
faults! {
    a_stalled_tls_handshake, "waited too long for TLS";
    a_stalled_websocket_handshake, "waited too long for the upgrade";
    a_topic_that_begins_with_an_accent = a_topic("étoile/x"), "CONNACK";
    a_topic_that_begins_with_a_byte_order_mark = a_topic("\u{feff}/x"), "CONNACK";
    a_topic_that_is_an_emoji = a_topic("🎵"), "CONNACK";
    a_property_on_a_message, "closed instead of a message";
    a_property_on_a_retained_message, "closed instead of";
    a_property_on_a_will, "closed instead of a message";
    whoever_got_a_property_comes_again, "CONNACK";
    a_client_id_that_it_refuses_comes_again, "CONNACK";
    a_client_for_whom_there_is_no_room_comes_again
        with Settings { connections_max: CONNECTIONS_MAX, ..Settings::default() },
        "waited too long for a free place";
    a_packet_that_only_brokers_send = packets_that_only_brokers_send(b"\x20\x03\x00\x00\x00"),
        "CONNACK";
    another_packet_that_only_brokers_send = packets_that_only_brokers_send(b"\xb0\x04\x00\x01\x00\x00"),
        "CONNACK";
    the_last_of_a_group_leaves_with_a_message, "CONNACK";
    a_stuck_client_is_replaced_and_wakes_up, "CONNACK";
    #[cfg(debug_assertions)]
    a_filter_alone_and_in_a_group, "CONNACK";
    the_end_of_a_former_connection, "closed instead of a message";
}

/// It shook hands in its accept loop, so one client that says nothing locked all others out.
async fn a_stalled_tls_handshake(venue: &mut Venue) {
    let _stalled = TcpStream::connect(venue.tls).await.expect("connected");
    let stream =
        patiently(venue.patience, "TLS", tls::connect(venue.tls, &venue.trusted)).await.expect("TLS");
    let ack = Client::new(stream, V311).login(service(V311, "quick")).await;
    assert_eq!(ack.code, 0);
}

async fn a_stalled_websocket_handshake(venue: &mut Venue) {
    let _stalled = TcpStream::connect(venue.websocket).await.expect("connected");
    let opening = websocket::open(venue.websocket, "/mqtt", Some("mqtt"), None);
    patiently(venue.patience, "the upgrade", opening).await.expect("open");
}

/// It looked at the first byte of a topic as if it were a character, in the thread that serves everybody.
async fn a_topic(venue: &mut Venue, topic: &str) {
    let mut reader = venue.client(V311, "reader").await;
    reader.subscribe("#", 0).await;
    let mut client = venue.client(V311, "client").await;
    client.publish(topic, "x").await;
    client.send(&Packet::PingReq).await;
    client.next_or_end("an answer").await;
    venue.serves(V5).await;
    assert_eq!(reader.hears().await, format!("{EVENT} still here"));
}

fn properties() -> Properties {
    Properties::new().with(id::USER, &Value::Pair(text("k"), text("v")))
}

/// Its writer for version 3 took it for impossible that a message has properties.
async fn a_property_on_a_message(venue: &mut Venue) {
    let mut old = venue.client(V311, "old").await;
    old.subscribe(EVENT, 0).await;
    let mut packet = old.packet(EVENT, "x", 0, false);
    packet.properties = properties();
    venue.client(V5, "new").await.send(&Packet::Publish(packet)).await;
    assert_eq!(old.hears().await, format!("{EVENT} x"));
}

async fn a_property_on_a_retained_message(venue: &mut Venue) {
    let mut new = venue.client(V5, "new").await;
    let mut packet = new.packet(NOW, "x", 1, true);
    packet.properties = properties();
    new.confirmed(packet).await;
    let mut old = venue.client(V311, "old").await;
    old.subscribe(NOW, 0).await;
    assert_eq!(old.hears().await, format!("{NOW} x"));
}

async fn a_property_on_a_will(venue: &mut Venue) {
    let mut old = venue.client(V311, "old").await;
    old.subscribe(EVENT, 0).await;
    let will =
        Will { topic: text(EVENT), payload: text("x"), qos: 0, retain: false, properties: properties() };
    drop(venue.login(Login { will: Some(will), ..service(V5, "new") }).await);
    assert_eq!(old.hears().await, format!("{EVENT} x"));
}

/// What the ended client had left behind broke the whole listener when it came again, and phones always come again.
async fn whoever_got_a_property_comes_again(venue: &mut Venue) {
    let mut old = venue.client(V311, "old").await;
    old.subscribe(EVENT, 0).await;
    let mut packet = old.packet(EVENT, "x", 0, false);
    packet.properties = properties();
    venue.client(V5, "new").await.send(&Packet::Publish(packet)).await;
    old.next_or_end("a message").await;
    drop(old);
    comes_and_goes(venue, service(V311, "old")).await;
    venue.serves(V311).await;
}

/// Whatever the answer is.
async fn comes_and_goes(venue: &Venue, login: Login<'_>) {
    let mut client = venue.raw(login.version).await;
    client.connect(login).await;
    client.next_or_end("an answer").await;
}

async fn a_client_id_that_it_refuses_comes_again(venue: &mut Venue) {
    for _ in 0..2 {
        comes_and_goes(venue, service(V311, "a/+$#")).await;
    }
    venue.serves(V311).await;
}

async fn a_client_for_whom_there_is_no_room_comes_again(venue: &mut Venue) {
    let mut inside = Vec::new();
    for number in 0..CONNECTIONS_MAX {
        inside.push(venue.client(V311, &format!("inside {number}")).await);
    }
    for _ in 0..2 {
        comes_and_goes(venue, service(V311, "outside")).await;
    }
    inside.pop();
    // It takes a moment until the place is free.
    patiently(venue.patience, "a free place", async {
        loop {
            let mut client = venue.raw(V311).await;
            client.connect(service(V311, "patient")).await;
            if let Some(Packet::ConnAck(ack)) = client.next_or_end("CONNACK").await
                && ack.code == 0
            {
                return;
            }
            tick().await;
        }
    })
    .await;
}

/// Its decoder took it for impossible that a client sends these, and the client that came again broke the listener.
async fn packets_that_only_brokers_send(venue: &mut Venue, packet: &[u8]) {
    let mut client = venue.client(V5, "client").await;
    client.bytes(packet).await;
    client.ended().await;
    comes_and_goes(venue, service(V5, "client")).await;
    venue.serves(V5).await;
}

async fn the_last_of_a_group_leaves_with_a_message(venue: &mut Venue) {
    let mut member = venue.login(Login { clean: false, ..service(V311, "member") }).await;
    member.subscribe(&format!("$share/g/{EVENT}"), 1).await;
    venue.client(V311, "a").await.confirm(EVENT, "x").await;
    member.unacknowledged().await;
    member.bytes(b"\xe0\x00").await;
    member.ended().await;
    venue.serves(V5).await;
}

/// One whose connection takes nothing any more, with more waiting for it than its socket holds.
async fn stuck(venue: &Venue, client_id: &str) -> Client {
    let mut stuck = venue.client(V311, client_id).await;
    stuck.subscribe(EVENT, 0).await;
    let mut publisher = venue.client(V311, "publisher").await;
    let payload = "x".repeat(50_000);
    for _ in 0..400 {
        publisher.confirm(EVENT, &payload).await;
    }
    stuck
}

/// Its router looked for somebody who was gone. Who comes in that moment is closed, or never gets an answer.
async fn a_stuck_client_is_replaced_and_wakes_up(venue: &mut Venue) {
    let mut stuck = stuck(venue, "client").await;
    venue.client(V311, "client").await.bytes(b"\xe0\x00").await;
    venue.serves(V5).await;
    stuck.ended().await;
    venue.serves(V5).await;
}

/// Version 5 only, since a group is a version 3 client's private affair.
async fn a_filter_alone_and_in_a_group(venue: &mut Venue) {
    let mut client = venue.client(V5, "client").await;
    let filters: Vec<Filter> = vec![plain(EVENT, 0), plain(&format!("$share/g/{EVENT}"), 0)];
    let subscribe = Subscribe { packet_id: 1, properties: Properties::new(), filters };
    client.send(&Packet::Subscribe(subscribe)).await;
    client.next_or_end("SUBACK").await;
    venue.serves(V5).await;
}

/// Its numbers for connections are used again, and a connection that ended late took away whoever had its number: here
/// the same client, that had lost its network and come again.
async fn the_end_of_a_former_connection(venue: &mut Venue) {
    let stuck = stuck(venue, "client").await;
    let mut client = venue.client(V311, "client").await;
    client.subscribe(EVENT, 0).await;
    drop(stuck);
    let mut publisher = venue.client(V311, "publisher").await;
    for number in 0..500 {
        publisher.confirm(EVENT, &number.to_string()).await;
        assert_eq!(client.hears().await, format!("{EVENT} {number}"));
    }
}
