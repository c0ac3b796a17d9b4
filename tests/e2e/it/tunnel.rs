//! `/mqtt` on the port of the pages: MQTT for whoever can reach nothing else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use kit::process::{self, Program};
use kit::{Database, Dj, Pika, wait};

use crate::road::archived;

/// A WebSocket client that does as it is told, nonsense included.
pub struct Raw {
    pub stream: TcpStream,
    waiting: Vec<u8>,
}

fn handshake(web: &str, more: &str) -> String {
    handshake_at("/mqtt", web, more)
}

fn handshake_at(path: &str, web: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {web}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

const MQTT: &str = "Sec-WebSocket-Protocol: chat, mqtt\r\n";

/// Status and text of the answer to a handshake that should fail.
fn refused(web: &str, more: &str) -> (u16, String) {
    let request = handshake(web, more).replace("Connection: Upgrade", "Connection: Upgrade, close");
    let answer = kit::http::raw(web, request.as_bytes()).unwrap();
    (answer.status, answer.text())
}

impl Raw {
    fn open(web: &str) -> Self {
        let (raw, head) = Self::open_at(TcpStream::connect(web).unwrap(), "/mqtt", web, MQTT, b"");
        assert!(head.contains("sec-websocket-protocol: mqtt\r\n"), "{head}");
        raw
    }

    /// A WebSocket at that path, with more header lines and the first bytes right behind them; and what the server
    /// answered.
    pub fn open_at(mut stream: TcpStream, path: &str, web: &str, more: &str, early: &[u8]) -> (Self, String) {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(&[handshake_at(path, web, more).as_bytes(), early].concat()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{head}");
        (Self { stream, waiting: Vec::new() }, head)
    }

    pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            long @ 126..=65535 => {
                frame.push(0x80 | 126);
                frame.extend((long as u16).to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        let mask = [0x5a, 1, 0xff, 7];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    pub fn send(&mut self, first: u8, payload: &[u8]) {
        self.stream.write_all(&Self::frame(first, payload)).unwrap();
    }

    /// The next frame: its first byte and its payload. `None` when the server has hung up.
    pub fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0u8; 2];
        self.stream.read_exact(&mut head).ok()?;
        assert!(head[1] < 127, "the server neither masks nor sends long frames");
        let mut length = usize::from(head[1]);
        if length == 126 {
            let mut long = [0u8; 2];
            self.stream.read_exact(&mut long).unwrap();
            length = u16::from_be_bytes(long).into();
        }
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).unwrap();
        Some((head[0], payload))
    }

    /// So many bytes of MQTT, from binary frames of any size.
    fn mqtt(&mut self, count: usize) -> Vec<u8> {
        while self.waiting.len() < count {
            let (first, payload) = self.next().unwrap();
            assert_eq!(first, 0x82, "{payload:?}");
            self.waiting.extend(payload);
        }
        self.waiting.drain(..count).collect()
    }
}

/// MQTT 3.1.1 CONNECT.
fn connect(name: &str, token: &str) -> Vec<u8> {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0b1100_0010, 0, 60];
    for text in [&format!("raw-{name}"), name, token] {
        body.extend((text.len() as u16).to_be_bytes());
        body.extend(text.bytes());
    }
    [&[0x10, body.len() as u8], &body[..]].concat()
}

fn length(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (length % 128) as u8;
        length /= 128;
        if length == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend(topic.bytes());
    body.extend(payload);
    [&[0x30], &length(body.len())[..], &body[..]].concat()
}

fn token(data: &std::path::Path, name: &str, kind: &str) -> String {
    let added = process::command(data).args(["token", "add", name, "--kind", kind]).output().unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    String::from_utf8(added.stdout).unwrap().trim().lines().last().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_pass_unchanged_however_they_are_framed() {
    let folder = tempfile::tempdir().unwrap();
    let token = token(folder.path(), "robot", "service");
    let pika = Pika::up(folder.path(), &[], &[]).await;
    let mut raw = Raw::open(&pika.web);
    // One packet in three frames of one message, a ping and an empty frame among them.
    let packet = connect("robot", &token);
    raw.send(0x02, &packet[..1]);
    raw.send(0x89, b"still there?");
    assert_eq!(raw.next().unwrap(), (0x8a, b"still there?".to_vec()));
    raw.send(0x00, b"");
    raw.send(0x00, &packet[1..9]);
    raw.send(0x80, &packet[9..]);
    assert_eq!(raw.mqtt(4), [0x20, 2, 0, 0], "CONNACK");

    // A frame of its own for each byte.
    let topic = "pika/v1/tonight/main/announcement";
    let mut subscribe = vec![0x82, topic.len() as u8 + 5, 0, 1, 0, topic.len() as u8];
    subscribe.extend(topic.bytes());
    subscribe.push(0);
    let frames: Vec<u8> = subscribe.iter().flat_map(|byte| Raw::frame(0x82, &[*byte])).collect();
    raw.stream.write_all(&frames).unwrap();
    assert_eq!(raw.mqtt(5), [0x90, 3, 0, 1, 0], "SUBACK");

    // Many packets in one frame, and long ones, with every byte there is.
    let payload: Vec<u8> = (0..100_000u32).map(|n| (n * 31 % 251) as u8).collect();
    let long = publish(topic, &payload);
    let short = publish(topic, b"short");
    let together = [&short[..], &long, &short, &long].concat();
    raw.send(0x82, &together);
    assert_eq!(raw.mqtt(together.len()), together);

    // Goodbye, echoed; the broker hears DISCONNECT before it.
    raw.send(0x82, &[0xe0, 0]);
    raw.send(0x88, &1000u16.to_be_bytes());
    let (first, code) = raw.next().unwrap();
    assert_eq!((first, &code[..]), (0x88, &1000u16.to_be_bytes()[..]));
    assert!(raw.next().is_none());

    for (nonsense, code) in [
        (Raw::frame(0x81, b"text"), 1003u16),
        (vec![0x82, 1, b'x'], 1002),
        (Raw::frame(0xc2, b"compressed"), 1002),
        (Raw::frame(0x80, b"the end of nothing"), 1002),
    ] {
        let mut raw = Raw::open(&pika.web);
        raw.stream.write_all(&nonsense).unwrap();
        let (first, payload) = raw.next().unwrap();
        assert_eq!((first, &payload[..]), (0x88, &code.to_be_bytes()[..]));
        assert!(raw.next().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brokers_rules_hold_behind_the_tunnel() {
    let folder = tempfile::tempdir().unwrap();
    let pika = Pika::up(folder.path(), &[], &[]).await;
    let mut raw = Raw::open(&pika.web);
    raw.send(0x82, &connect("robot", "no token"));
    assert_eq!(raw.mqtt(4), [0x20, 2, 0, 4], "bad user name or password");
    // The broker hangs up, and so do we.
    assert_eq!(raw.next().unwrap().0, 0x88);
    assert!(raw.next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_reaches_the_floor_through_it_and_its_last_will_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let token = token(folder.path(), "laptop", "desk");
    let grace = [("PIKA__ARCHIVER__SIGNAL_GRACE_MS", "500")];
    let pika = Pika::up(folder.path(), &[], &grace).await;
    let data = folder.path().join("laptop");
    let mut command = process::publisher(&data, &dj.home);
    command.arg("--server").arg(format!("ws://laptop:{token}@{}/mqtt", pika.web));
    let mut publisher = Program::start(command, &data, "publisher");
    dj.plays("Through the tunnel");
    pika.shows("Through the tunnel").await;
    let database = Database { url: format!("sqlite://{}", folder.path().join("pika.db").display()) };
    archived(&database, &dj).await;
    publisher.kill();
    pika.shows("signal").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let one = [("PIKA__WEB__TUNNELS_MAX", "1")];
    let pika = Pika::up(folder.path(), &[], &one).await;
    let foreign = format!("{MQTT}Origin: https://elsewhere.example\r\n");
    assert_eq!(refused(&pika.web, &foreign).0, 403);
    let (status, text) = refused(&pika.web, "");
    assert!(status == 400 && text.contains("subprotocol"), "{status} {text}");
    assert_eq!(kit::http::get(&pika.web, "/mqtt").unwrap().status, 400);

    let ours = format!("{MQTT}Origin: http://{}\r\n", pika.web);
    let held = Raw::open(&pika.web);
    assert_eq!(refused(&pika.web, &ours).0, 503, "there is one place");
    drop(held);
    wait::until("the place to be free again", || async {
        let mut stream = TcpStream::connect(&pika.web).unwrap();
        stream.write_all(handshake(&pika.web, &ours).as_bytes()).unwrap();
        let mut status = [0u8; 12];
        stream.read_exact(&mut status).unwrap();
        let status = String::from_utf8_lossy(&status).into_owned();
        if status == "HTTP/1.1 101" { Ok(()) } else { Err(status) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_behind_it_the_answer_says_so() {
    for (url, expected) in [
        (format!("mqtt://127.0.0.1:{}", kit::ports::free()), 502),
        (format!("ws://127.0.0.1:{}/mqtt", kit::ports::free()), 501),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = process::command(folder.path());
        command.arg("webapp").env("PIKA_BROKER_URL", &url);
        let _webapp = Program::start(command, folder.path(), "webapp");
        let runtime = process::runtime(folder.path(), "runtime-webapp.json", None).await;
        let web = runtime["web"].as_str().unwrap();
        let (status, text) = refused(web, MQTT);
        assert_eq!(status, expected, "{url}: {text}");
    }
}
