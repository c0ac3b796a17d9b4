//! Strangers that are slow on purpose, and strangers that are gone in the middle of a word.

use std::net::SocketAddr;
use std::time::Duration;

use broker::Settings;
use broker::codec::{Packet, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::{Night, V5, V311, tick, within};
use crate::tls::{certify, client_hello, settings};

const EVENT: &str = "pika/v1/night/main/event";

fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    )
    .into_bytes()
}

fn connect(version: Version) -> Vec<u8> {
    match version {
        V5 => b"\x10\x1c\x00\x04MQTT\x05\xc2\x00\x3c\x00\x00\x01g\x00\x04anna\x00\x06secret".to_vec(),
        _ => b"\x10\x1b\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01g\x00\x04anna\x00\x06secret".to_vec(),
    }
}

/// A binary frame as browsers send it, with a mask of zeros.
fn frame(payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).expect("short");
    [&[0x82, 0x80 | len, 0, 0, 0, 0], payload].concat()
}

/// Goes away with a reset: what waits on the way is thrown away, and the other side is told so.
fn reset(stream: TcpStream) {
    let stream = stream.into_std().expect("a socket");
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("set");
}

#[tokio::test]
async fn a_reset_at_every_byte_of_a_connect() {
    let directory = tempfile::tempdir().expect("a directory");
    let trusted = certify(directory.path());
    // Few places, so that one that is not given back is missed.
    let settings = Settings {
        handshakes_per_address_max: 50,
        connections_per_token_max: 60,
        ..settings(directory.path())
    };
    let night = Night::with(settings).await;
    let mut steady = night.anonymous(V5, "steady").await;
    steady.subscribe(EVENT, 1).await;
    let mut archiver = night.service(V311, "archiver").await;
    let websocket = [upgrade("/mqtt"), frame(&connect(V5))].concat();
    for (address, bytes) in [
        (night.tcp, connect(V311)),
        (night.tcp, connect(V5)),
        (night.websocket, websocket),
        (night.tls.expect("bound"), client_hello(&trusted)),
    ] {
        for len in 0..=bytes.len() {
            let mut stream = within("a connection", TcpStream::connect(address)).await.expect("connected");
            within("a write", stream.write_all(&bytes[..len])).await.expect("written");
            reset(stream);
            if len % 16 == 0 {
                archiver.confirm(EVENT, &len.to_string()).await;
                assert_eq!(steady.hears().await, format!("{EVENT} {len}"));
            }
        }
    }
    night.until("only the two to be left", |counters| counters.connections.get() == 2).await;
    // Whoever was reset may come back under the same name.
    for version in [V311, V5] {
        // The last ones may not be noticed yet. A place that is never given back keeps everybody out for ever.
        let mut back = within("a place for whoever comes back", async {
            loop {
                let mut back = night.raw(version).await;
                back.try_bytes(&connect(version)).await;
                match back.next_or_end("an answer").await {
                    Some(Packet::ConnAck(ack)) if ack.code == 0 => return back,
                    _ => tick().await,
                }
            }
        })
        .await;
        back.ping().await;
    }
    night.close().await;
}

/// Bytes that begin well and never come to an end.
fn endless(kind: usize, trusted: &[u8]) -> Vec<u8> {
    match kind {
        // A CONNECT of 16 KB.
        0 => [&b"\x10\x80\x7f\x00\x04MQTT\x04\x02\x00\x3c"[..], &[0x3e; 64 << 10]].concat(),
        // A request with ever more headers.
        1 => [&upgrade("/mqtt")[..60], "X: y\r\n".repeat(20_000).as_bytes()].concat(),
        // A greeting of 16 KB.
        _ => [&b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb"[..], &trusted[9..], &[0; 32 << 10]].concat(),
    }
}

#[tokio::test]
async fn a_slow_crowd_on_every_listener() {
    let directory = tempfile::tempdir().expect("a directory");
    let trusted = certify(directory.path());
    let night = Night::with(settings(directory.path())).await;
    let hello = client_hello(&trusted);
    let addresses: [SocketAddr; 3] = [night.tcp, night.websocket, night.tls.expect("bound")];
    let mut crowd = Vec::new();
    for number in 0..300 {
        let kind = number % 3;
        let stream = within("a connection", TcpStream::connect(addresses[kind])).await.expect("connected");
        stream.set_nodelay(true).expect("set");
        crowd.push((stream, endless(kind, &hello), 0));
    }
    let mut archiver = night.service(V5, "archiver").await;
    let mut reader = night.anonymous(V311, "reader").await;
    reader.subscribe(EVENT, 1).await;
    let mut round = 0;
    // Each of them says one more byte after each message of the others, until it is shown the door.
    within("the last one to be gone", async {
        while !crowd.is_empty() {
            archiver.confirm(EVENT, &round.to_string()).await;
            assert_eq!(reader.hears().await, format!("{EVENT} {round}"));
            round += 1;
            let mut left = Vec::new();
            for (mut stream, bytes, at) in crowd {
                let is_there = stream.write_all(&bytes[at..=at]).await.is_ok();
                let mut answer = [0; 512];
                let has_ended = match stream.try_read(&mut answer) {
                    Ok(len) => len == 0,
                    Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
                };
                if is_there && !has_ended {
                    left.push((stream, bytes, at + 1));
                }
            }
            crowd = left;
        }
    })
    .await;
    assert_eq!(night.counters.connections.get(), 2);
    // The door is open for others.
    for address in addresses {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.shutdown().await.expect("shut");
        _ = within("an end", stream.read(&mut [0; 8])).await;
    }
    night.close().await;
}
