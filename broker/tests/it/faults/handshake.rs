//! Getting in, being refused, and bytes that are not MQTT.

use broker::Settings;
use broker::codec::{Packet, Properties, Version, encode, id};
use bytes::BytesMut;
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message;

use super::{Venue, faults, is_ended, service};
use crate::kit::{Client, Login, V5, V311};
use crate::websocket;

faults! {
    a_wrong_password = a_login_is_refused(V311, Some("anna"), 4), "closed instead of CONNACK";
    a_wrong_password_in_version_5 = a_login_is_refused(V5, Some("anna"), 0x86), "closed instead of CONNACK";
    no_login = a_login_is_refused(V311, None, 5) with no_guests(), "closed instead of CONNACK";
    no_login_in_version_5 = a_login_is_refused(V5, None, 0x87) with no_guests(), "closed instead of CONNACK";
    version_5_on_the_port_of_version_3, "closed instead of CONNACK";
    version_3_on_the_port_of_version_5, "closed instead of CONNACK";
    version_5_over_websocket, "a frame";
    version_3_1, "closed instead of CONNACK";
    a_version_that_nobody_knows =
        an_unknown_version(V311, b"\x10\x0c\x00\x04MQTT\x02\x02\x00\x3c\x00\x00", 1),
        "closed instead of CONNACK";
    a_version_of_the_future =
        an_unknown_version(V5, b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x00", 0x84),
        "closed instead of CONNACK";
    another_path = an_upgrade_is_refused("/other", Some("mqtt"), None, "404"), "an upgrade";
    another_protocol = an_upgrade_is_refused("/mqtt", Some("chat"), None, "400"),
        "refused for another reason";
    a_page_from_elsewhere = an_upgrade_is_refused("/mqtt", Some("mqtt"), Some("https://evil.example"), "403")
        with Settings { websocket_origins: vec!["https://pika.example".to_owned()], ..Settings::default() },
        "an upgrade";
    a_connection_without_keep_alive, "closed instead of CONNACK";
    a_client_id_with_a_slash = a_client_id("a/b"), "closed instead of CONNACK";
    a_client_id_with_a_plus = a_client_id("a+b"), "closed instead of CONNACK";
    a_client_id_with_a_hash = a_client_id("a#b"), "closed instead of CONNACK";
    a_client_id_with_a_dollar = a_client_id("$a"), "closed instead of CONNACK";
    enhanced_authentication, "the code";
    the_largest_packet_is_announced, "announced";
    a_packet_that_is_too_large = ends_after(V5, b"\x30\xff\xff\xff\x7f", 0x95), "the reason";
    a_reserved_flag_of_connect, "let in";
    a_second_connect = ends_after(V311, b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c", 0), "it goes on";
    a_second_connect_in_version_5 =
        ends_after(V5, b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01c", 0x82), "it goes on";
    a_subscribe_with_wrong_flags = ends_after(V5, b"\x80\x07\x00\x01\x00\x00\x01#\x00", 0x81), "it goes on";
    a_subscribe_without_packet_id = ends_after(V5, b"\x82\x07\x00\x00\x00\x00\x01#\x00", 0x82), "packet id 0";
    a_subscribe_with_reserved_options =
        ends_after(V5, b"\x82\x07\x00\x01\x00\x00\x01#\xc0", 0x81), "it goes on";
    a_property_given_twice = ends_after(V5, b"\x30\x08\x00\x01a\x04\x01\x00\x01\x00", 0x82), "it goes on";
    a_topic_with_a_wildcard = ends_after(V5, b"\x30\x06\x00\x03a/#\x00", 0x90), "it goes on";
    a_topic_with_nothing = ends_after(V5, b"\x30\x03\x00\x00\x00", 0x90), "it goes on";
    a_topic_with_a_zero = ends_after(V5, b"\x30\x04\x00\x01\x00\x00", 0x81), "it goes on";
}

fn no_guests() -> Settings {
    Settings { anonymous_read: false, ..Settings::default() }
}

/// Without an answer, clients try again for ever and say "connection lost".
async fn a_login_is_refused(venue: &mut Venue, version: Version, user: Option<&str>, code: u8) {
    let mut client = venue.raw(version).await;
    let login = Login { user, password: "wrong", ..Login::new(version, "client") };
    assert_eq!(client.login(login).await.code, code);
}

async fn version_5_on_the_port_of_version_3(venue: &mut Venue) {
    venue.v5 = venue.v311;
    venue.client(V5, "client").await;
}

async fn version_3_on_the_port_of_version_5(venue: &mut Venue) {
    venue.v311 = venue.v5;
    venue.client(V311, "client").await;
}

async fn version_5_over_websocket(venue: &mut Venue) {
    let (mut socket, _) =
        websocket::open(venue.websocket, "/mqtt", Some("mqtt"), None).await.expect("an upgrade");
    let connect = b"\x10\x20\x00\x04MQTT\x05\xc2\x00\x3c\x00\x00\x01c\x00\x08archiver\x00\x06secret";
    socket.send(Message::binary(connect.to_vec())).await.expect("sent");
    let answer = websocket::bytes(&mut socket, 4).await;
    assert_eq!((answer[0], answer[3]), (0x20, 0));
}

async fn version_3_1(venue: &mut Venue) {
    venue.client(Version::V31, "client").await;
}

async fn an_unknown_version(venue: &mut Venue, port_of: Version, connect: &[u8], code: u8) {
    let mut client = venue.raw(port_of).await;
    client.bytes(connect).await;
    let Packet::ConnAck(ack) = client.next("CONNACK").await else { panic!("CONNACK expected") };
    assert_eq!(ack.code, code);
}

/// Any page of the web could connect, and speak what it liked.
async fn an_upgrade_is_refused(
    venue: &mut Venue,
    path: &str,
    protocol: Option<&'static str>,
    origin: Option<&'static str>,
    status: &str,
) {
    match websocket::open(venue.websocket, path, protocol, origin).await {
        Ok(_) => panic!("an upgrade"),
        Err(error) => assert!(error.contains(status), "refused for another reason: {error}"),
    }
}

/// Small devices ask for none.
async fn a_connection_without_keep_alive(venue: &mut Venue) {
    venue.login(Login { keep_alive_s: 0, ..service(V311, "client") }).await.ping().await;
}

async fn a_client_id(venue: &mut Venue, client_id: &str) {
    venue.client(V311, client_id).await.ping().await;
}

async fn enhanced_authentication(venue: &mut Venue) {
    let properties = Properties::new().with_bytes(id::AUTH_METHOD, "SCRAM-SHA-1");
    let ack = venue.raw(V5).await.login(Login { properties, ..service(V5, "client") }).await;
    assert_eq!(ack.code, 0x8c, "the code");
}

async fn the_largest_packet_is_announced(venue: &mut Venue) {
    let ack = venue.raw(V5).await.login(service(V5, "client")).await;
    for property in [id::MAXIMUM_PACKET_SIZE, id::RECEIVE_MAXIMUM] {
        assert!(ack.properties.number(property).is_some(), "announced");
    }
}

async fn a_reserved_flag_of_connect(venue: &mut Venue) {
    let (mut client, mut out) = (venue.raw(V311).await, BytesMut::new());
    encode(&Packet::Connect(Box::new(connect())), V311, &mut out);
    out[9] |= 1;
    client.bytes(&out).await;
    assert_eq!(client.next_or_end("a close").await, None, "let in");
}

fn connect() -> broker::codec::Connect {
    broker::codec::Connect {
        version: V311,
        clean_start: true,
        keep_alive_s: 60,
        properties: Properties::new(),
        client_id: "client".into(),
        will: None,
        user_name: Some("archiver".into()),
        password: Some("secret".into()),
    }
}

async fn ends_after(venue: &mut Venue, version: Version, bytes: &[u8], reason: u8) {
    let mut client: Client = venue.client(version, "client").await;
    client.bytes(bytes).await;
    client.try_bytes(b"\xc0\x00").await;
    is_ended(&mut client, reason).await;
}
