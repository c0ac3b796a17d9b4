//! What others do wrong, and what it costs everybody else: nothing.

use broker::Settings;
use broker::codec::{Packet, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::{Login, Night, V5, V311, within};

const NOW: &str = "pika/v1/night/main/now";
const EVENT: &str = "pika/v1/night/main/event";

#[tokio::test]
async fn errors_are_answered_with_a_reason_or_a_close() {
    let night = Night::open().await;
    let mut victim = night.anonymous(V5, "victim").await;
    victim.subscribe("#", 1).await;
    let mut archiver = night.service(V5, "archiver").await;
    let connect: &[u8] = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00";
    for (bytes, reason) in [
        (connect, 0x82),
        (&b"\x20\x03\x00\x00\x00"[..], 0x82),
        (b"\xb0\x04\x00\x01\x00\x00", 0x82),
        (b"\xf0\x00", 0x8c),
        (b"\x00\x00", 0x81),
        (b"\x80\x07\x00\x01\x00\x00\x01#\x00", 0x81),
        (b"\x82\x07\x00\x00\x00\x00\x01#\x00", 0x82),
        (b"\x82\x07\x00\x01\x00\x00\x01#\xc0", 0x81),
        (b"\x36\x06\x00\x01a\x00\x01\x00", 0x81),
        (b"\x32\x06\x00\x01a\x00\x00\x00", 0x82),
        (b"\x30\x04\x00\x01#\x00", 0x90),
        (b"\x30\x04\x00\x01\xff\x00", 0x81),
        (b"\x30\x04\x00\x01\x00\x00", 0x81),
        (b"\x30\x03\x00\x00\x00", 0x90),
        (b"\x30\x06\x00\x00\x03\x23\x00\x05", 0x82),
        (b"\x30\x06\x00\x00\x03\x23\x00\x11", 0x94),
        (b"\x30\x08\x00\x01a\x04\x01\x00\x01\x00", 0x82),
        (b"\x30\xff\xff\xff\x7f", 0x95),
        (b"\x30\xff\xff\xff\xff\x7f", 0x81),
    ] {
        let mut client = night.service(V5, "bad").await;
        client.bytes(bytes).await;
        assert_eq!(client.ended().await, reason, "{bytes:?}");
        let mut client = night.service(V311, "bad").await;
        client.bytes(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00").await;
        assert_eq!(client.ended().await, 0);
    }
    archiver.confirm(NOW, "still here").await;
    assert_eq!(victim.hears().await, format!("{NOW} still here"));
    night.close().await;
}

#[tokio::test]
async fn what_is_not_mqtt_is_closed() {
    let night = Night::open().await;
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x30\x03\x00\x01a",
        b"\x10\xff\xff\x7f",
        b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x00\x00\x00",
    ] {
        let mut client = night.raw(V311).await;
        client.bytes(bytes).await;
        assert_eq!(client.ended().await, 0);
    }
    let mut client = night.raw(V5).await;
    client.bytes(b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x00\x00\x00\x00").await;
    let Packet::ConnAck(ack) = client.next("CONNACK").await else { panic!("CONNACK") };
    assert_eq!(ack.code, 0x84);
    let mut client = night.raw(V311).await;
    client.bytes(b"\x10\x0c\x00\x04MQTT\x02\x02\x00\x00\x00\x00").await;
    let Packet::ConnAck(ack) = client.next("CONNACK").await else { panic!("CONNACK") };
    assert_eq!(ack.code, 1);
    night.close().await;
}

#[tokio::test]
async fn a_packet_that_is_too_large_is_refused_before_it_has_come() {
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    archiver.try_bytes(b"\x30\x80\x80\x14\x00\x01a").await;
    assert_eq!(archiver.ended().await, 0x95);
    let mut archiver = night.service(V5, "a").await;
    assert_eq!(archiver.confirm(EVENT, &"x".repeat(200_000)).await, 0);
    night.close().await;
}

#[tokio::test]
async fn stalled_handshakes_hold_nobody_up() {
    let settings = Settings { handshake_timeout_s: 1, ..Settings::default() };
    let night = Night::with(settings).await;
    let mut stalled = Vec::new();
    for number in 0..100 {
        let address = if number % 2 == 0 { night.tcp } else { night.websocket };
        let mut stream = within("a connection", TcpStream::connect(address)).await.expect("connected");
        if number % 4 == 0 {
            stream.write_all(b"\x10").await.expect("written");
        }
        stalled.push(stream);
    }
    night.anonymous(V311, "quick").await.ping().await;
    for mut stream in stalled {
        let mut left = Vec::new();
        _ = within("the broker to close it", stream.read_to_end(&mut left)).await;
    }
    night.close().await;
}

#[tokio::test]
async fn too_many_handshakes_from_one_address_are_closed() {
    let settings = Settings { handshakes_per_address_max: 3, ..Settings::default() };
    let night = Night::with(settings).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(night.tcp).await.expect("connected"));
    }
    let mut refused = night.raw(V5).await;
    assert_eq!(refused.ended().await, 0);
    drop(held);
    night.close().await;
}

#[tokio::test]
async fn connections_that_come_and_go_leave_the_others_alone() {
    let night = Night::open().await;
    let mut steady = night.anonymous(V5, "steady").await;
    steady.subscribe(EVENT, 1).await;
    let mut archiver = night.service(V5, "a").await;
    for number in 0..300 {
        let mut guest = night.raw(V311).await;
        // Half of them are gone before the answer, and come again with the same client id.
        let connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01g";
        guest.bytes(connect).await;
        if number % 2 == 0 {
            guest.next("CONNACK").await;
            guest.bytes(b"\xe0\x00").await;
        }
    }
    archiver.confirm(EVENT, "calm").await;
    assert_eq!(steady.hears().await, format!("{EVENT} calm"));
    night.close().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_only_itself() {
    let settings = Settings { queue_messages_max: 200, ..Settings::default() };
    let night = Night::with(settings).await;
    let mut stuck = night.anonymous(V5, "stuck").await;
    stuck.subscribe(EVENT, 1).await;
    let mut stuck_0 = night.anonymous(V5, "stuck at QoS 0").await;
    stuck_0.subscribe(EVENT, 0).await;
    let mut reader = night.anonymous(V5, "reader").await;
    reader.subscribe(EVENT, 1).await;
    let mut archiver = night.service(V5, "a").await;
    for number in 0..1_000 {
        let payload = format!("{number} {}", "x".repeat(20_000));
        archiver.confirm(EVENT, &payload).await;
        assert_eq!(reader.hears().await, format!("{EVENT} {payload}"));
    }
    assert!(night.counters.overflowed.get() == 1 && night.counters.dropped.get() > 0);
    // Another one with its name comes, and goes, and the stuck one wakes up: rumqttd did not survive this.
    let mut other = night.anonymous(V5, "stuck at QoS 0").await;
    other.ping().await;
    drop(other);
    stuck_0.ended().await;
    archiver.confirm(EVENT, "after").await;
    assert_eq!(reader.hears().await, format!("{EVENT} after"));
    night.close().await;
}

#[tokio::test]
async fn after_a_burst_the_next_message_comes_too() {
    let night = Night::open().await;
    for qos in [0, 1] {
        let mut reader = night.anonymous(V5, "reader").await;
        reader.subscribe(EVENT, qos).await;
        let mut archiver = night.service(V5, "a").await;
        let reading = tokio::spawn(async move {
            for number in 0..20_000 {
                assert_eq!(reader.hears().await, format!("{EVENT} {number}"));
            }
            reader
        });
        // QoS 1 with a hundred under way, as clients do it.
        let mut under_way = 0;
        for number in 0..20_000 {
            let packet = archiver.packet(EVENT, &number.to_string(), qos, false);
            archiver.send(&Packet::Publish(packet)).await;
            under_way += u32::from(qos);
            while under_way >= 100 {
                archiver.next("PUBACK").await;
                under_way -= 1;
            }
        }
        for _ in 0..under_way {
            archiver.next("PUBACK").await;
        }
        let mut reader = reading.await.expect("all read");
        assert_eq!(archiver.confirm(EVENT, "one more").await, 0);
        assert_eq!(reader.hears().await, format!("{EVENT} one more"));
    }
    assert_eq!(night.counters.dropped.get(), 0);
    night.close().await;
}

#[tokio::test]
async fn nobody_notices_that_the_router_died() {
    let night = Night::open().await;
    let mut reader = night.anonymous(V311, "reader").await;
    reader.subscribe(EVENT, 1).await;
    let mut archiver = night.service(V5, "a").await;
    for number in 0..300 {
        if number % 100 == 50 {
            night.fault.kill.notify_one();
        }
        assert_eq!(archiver.confirm(EVENT, &number.to_string()).await, 0);
        assert_eq!(reader.hears().await, format!("{EVENT} {number}"));
    }
    archiver.retain(NOW, "kept").await;
    night.fault.kill.notify_one();
    let mut late = night.anonymous(V5, "late").await;
    late.subscribe(NOW, 1).await;
    assert_eq!(late.hears().await, format!("{NOW} kept"));
    night.close().await;
}

#[tokio::test]
async fn nobody_notices_that_the_router_hung() {
    let night = Night::open().await;
    let mut reader = night.anonymous(V311, "reader").await;
    reader.subscribe(EVENT, 1).await;
    let mut archiver = night.service(V5, "a").await;
    archiver.confirm(EVENT, "before").await;
    night.fault.hang.notify_one();
    for number in 0..50 {
        assert_eq!(archiver.confirm(EVENT, &number.to_string()).await, 0);
    }
    assert_eq!(reader.hears().await, format!("{EVENT} before"));
    for number in 0..50 {
        assert_eq!(reader.hears().await, format!("{EVENT} {number}"));
    }
    night.close().await;
}

#[tokio::test]
async fn when_the_broker_stops_clients_are_told_and_wills_stay_unpublished() {
    let night = Night::open().await;
    let mut new = night.anonymous(V5, "new").await;
    let mut old = night.anonymous(V311, "old").await;
    let mut idle = night.raw(V311).await;
    new.ping().await;
    old.ping().await;
    night.begin_to_stop();
    assert_eq!(new.ended().await, 0x8b);
    assert_eq!(old.ended().await, 0);
    assert_eq!(idle.ended().await, 0);
    night.close().await;
}

#[tokio::test]
async fn a_busy_port_is_an_error_that_says_so() {
    let night = Night::open().await;
    let error = broker::Listeners::bind(night.tcp, None).expect_err("the port is taken");
    let message = format!("{error:#}");
    assert!(message.contains(&night.tcp.to_string()) && message.contains("choose another"), "{message}");
    night.close().await;
}

#[tokio::test]
async fn mqtt_3_1_is_still_spoken() {
    let night = Night::open().await;
    let mut client = night.client(Login::new(Version::V31, "old")).await;
    client.subscribe("#", 0).await;
    client.ping().await;
    night.close().await;
}
