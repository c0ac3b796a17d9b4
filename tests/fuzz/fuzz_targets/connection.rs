//! Whole connections to a running broker, while two others exchange messages: none of theirs may be lost,
//! whatever a stranger sends.

#![no_main]

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use broker::access::Tokens;
use broker::{Listeners, Settings};
use config::Health;
use libfuzzer_sys::fuzz_target;
use store::{Token, TokenKind};

static BROKER: LazyLock<SocketAddr> = LazyLock::new(|| {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listeners = Listeners::bind("127.0.0.1:0".parse().expect("an address"), None).expect("a port");
            sender.send(listeners.tcp.local_addr().expect("its address")).expect("somebody waits");
            // Thousands of strangers come from one address here.
            let settings = Settings { handshakes_per_address_max: usize::MAX, ..Settings::default() };
            let tokens = Tokens::new();
            tokens.replace(vec![desk("booth"), desk("rogue")]);
            broker::run(settings, listeners, tokens, Health::new(), Default::default()).await.expect("the broker runs on");
        });
    });
    receiver.recv().expect("the broker starts")
});

/// A desk's login; the stranger has another one than the pair.
fn desk(name: &str) -> Token {
    Token {
        name: name.into(),
        kind: TokenKind::Desk,
        event: "e".parse().expect("a slug"),
        floor: None,
        sha256: Token::hash("t"),
        expires_ms: None,
        revoked_ms: None,
    }
}

fn text(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text].concat()
}

fn framed(head: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 128, "short packets only");
    [&[head, body.len() as u8], body].concat()
}

fn connect(level: u8, id: &str, user: &str) -> Vec<u8> {
    // Clean start, with user name and password; version 5 has no properties here.
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    let body = [&text(b"MQTT")[..], &[level, 0xc2, 0, 0], properties, &text(id.as_bytes()), &text(user.as_bytes()), &text(b"t")];
    framed(0x10, &body.concat())
}

/// Reads one packet.
fn packet(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut byte = [0];
    let mut read = |stream: &mut TcpStream| {
        stream.read_exact(&mut byte).expect("the broker answers its own");
        byte[0]
    };
    let head = read(stream);
    let mut length = 0usize;
    for shift in [0, 7, 14, 21] {
        let part = read(stream);
        length |= usize::from(part & 0x7f) << shift;
        if part & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("the broker answers its own");
    (head, body)
}

fn connected(id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(*BROKER).expect("the broker listens");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    stream.write_all(&connect(4, id, "booth")).expect("the broker reads");
    assert_eq!(packet(&mut stream), (0x20, vec![0, 0]));
    stream
}

const TOPIC: &[u8] = b"pika/v1/e/f/desk/booth/state";

static ROUND: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// A desk, and somebody who reads what it writes.
    static PAIR: RefCell<(TcpStream, TcpStream)> = RefCell::new({
        let mut reader = connected("reader");
        let body = [&[0, 1][..], &text(TOPIC), &[1]].concat();
        reader.write_all(&framed(0x82, &body)).expect("the broker reads");
        assert_eq!(packet(&mut reader).0, 0x90);
        (connected("desk"), reader)
    });
}

fuzz_target!(|input: &[u8]| {
    PAIR.with_borrow_mut(|(desk, reader)| {
        let (first, rest) = input.split_first().unwrap_or((&0, &[]));
        let mut stranger = TcpStream::connect(*BROKER).expect("the broker listens");
        // Some get past the door in either version, some try for themselves. A refusal ends a write early.
        match first % 3 {
            0 => {}
            1 => drop(stranger.write_all(&connect(4, "stranger", "rogue"))),
            _ => drop(stranger.write_all(&connect(5, "stranger", "rogue"))),
        }
        let _ = stranger.write_all(rest);

        let round = ROUND.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let body = [&text(TOPIC)[..], &[0, 7], &round].concat();
        desk.write_all(&framed(0x32, &body)).expect("the broker reads");
        assert_eq!(packet(desk), (0x40, vec![0, 7]));
        let (head, body) = packet(reader);
        assert_eq!(head & 0xf6, 0x32, "QoS 1, as published");
        assert!(body.ends_with(&round), "in order, and nothing in between");
        let at = 2 + TOPIC.len();
        reader.write_all(&[0x40, 2, body[at], body[at + 1]]).expect("the broker reads");
    });
});
