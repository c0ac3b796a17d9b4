//! Random clients that do everything wrong, while a pair beside them exchanges messages: none of these is lost.
//!
//! A few seconds long; `PIKA_STORM_S` makes it longer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use broker::Settings;
use bytes::{BufMut, BytesMut};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::kit::{Night, V5, V311};

const EVENT: &str = "pika/v1/night/main/event";
const TOPICS: [&str; 9] = [
    EVENT,
    "pika/v1/night/main/now",
    "pika/v1/night/#",
    "#",
    "$SYS/#",
    "$share/g/pika/v1/night/+/event",
    "étoile/x",
    "a/#/b",
    "",
];

struct Chaos(TestRng);

impl Chaos {
    fn below(&mut self, end: usize) -> usize {
        self.0.next_u32() as usize % end
    }

    fn one_in(&mut self, number: usize) -> bool {
        self.below(number) == 0
    }

    fn text(&self, out: &mut BytesMut, text: &str) {
        out.put_u16(u16::try_from(text.len()).expect("short"));
        out.put_slice(text.as_bytes());
    }

    fn packet(&self, first: u8, body: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_u8(first);
        match body.len() {
            len @ 0..128 => out.put_u8(u8::try_from(len).expect("short")),
            len => out.put_slice(&[(len & 0x7f) as u8 | 0x80, u8::try_from(len >> 7).expect("short")]),
        }
        out.put_slice(body);
        out
    }

    fn connect(&mut self, is_v5: bool) -> BytesMut {
        let mut body = BytesMut::from(&b"\x00\x04MQTT"[..]);
        body.put_u8(if is_v5 { 5 } else { 4 });
        let has_login = !self.one_in(3);
        let is_clean = !self.one_in(3);
        body.put_u8(u8::from(is_clean) << 1 | if has_login { 0xc0 } else { 0 });
        body.put_u16(60);
        if is_v5 {
            body.put_slice(b"\x08\x11\x00\x00\x00\x05\x21\x00\x03");
        }
        let client_id = format!("chaos {}", self.below(5));
        self.text(&mut body, &client_id);
        if has_login {
            let user = ["anna", "archiver"][self.below(2)];
            self.text(&mut body, user);
            self.text(&mut body, "secret");
        }
        self.packet(0x10, &body)
    }

    /// A packet that is right more often than not.
    fn next(&mut self, is_v5: bool) -> BytesMut {
        let id = u16::try_from(self.below(4)).expect("small");
        let topic = TOPICS[self.below(TOPICS.len())];
        let mut body = BytesMut::new();
        let first = match self.below(10) {
            0..4 => {
                let qos = u8::try_from(self.below(3)).expect("small");
                // Not where the pair is listening.
                let topic = if topic == EVENT { "pika/v1/night/main/in/anna" } else { topic };
                self.text(&mut body, topic);
                if qos > 0 {
                    body.put_u16(id);
                }
                if is_v5 {
                    body.put_u8(0);
                }
                body.put_bytes(b'x', self.below(200));
                0x30 | qos << 1 | u8::from(self.one_in(3))
            }
            4 | 5 => {
                body.put_u16(id);
                if is_v5 {
                    body.put_u8(0);
                }
                self.text(&mut body, topic);
                body.put_u8(u8::try_from(self.below(4)).expect("small"));
                0x82
            }
            6 => {
                body.put_u16(id);
                if is_v5 {
                    body.put_u8(0);
                }
                self.text(&mut body, topic);
                0xa2
            }
            7 => {
                body.put_u16(id);
                [0x40, 0x50, 0x62, 0x70][self.below(4)]
            }
            8 => [0xc0, 0xe0][usize::from(self.one_in(8))],
            _ => {
                body.put_u16(id);
                u8::try_from(self.below(256)).expect("a byte")
            }
        };
        let mut packet = self.packet(first, &body);
        if self.one_in(20) {
            let at = self.below(packet.len());
            packet[at] ^= 1 << self.below(8);
        }
        if self.one_in(40) {
            let end = self.below(packet.len());
            packet.truncate(end);
        }
        packet
    }

    async fn visit(&mut self, address: SocketAddr) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(address).await?;
        let is_v5 = self.one_in(2);
        let mut out = self.connect(is_v5);
        for _ in 0..self.below(30) {
            let packet = self.next(is_v5);
            out.extend_from_slice(&packet);
        }
        stream.write_all(&out).await?;
        // Some read what comes, some are just gone.
        if !self.one_in(3) {
            stream.shutdown().await?;
            let mut left = [0; 4096];
            while stream.read(&mut left).await? > 0 {}
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_storm_of_bad_clients_costs_a_good_pair_nothing() {
    let seconds = std::env::var("PIKA_STORM_S").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(4);
    let settings = Settings { away_sessions_max: 20, status_interval_s: 1, ..Settings::default() };
    let night = Night::with(settings).await;
    let (over, visits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut storm = JoinSet::new();
    for seed in 0..6 {
        let (over, visits, address) = (over.clone(), visits.clone(), night.tcp);
        let mut chaos = Chaos(TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
        storm.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                // Whatever the broker thinks of it; a visit that hangs is the broker's fault.
                let visit = tokio::time::timeout(Duration::from_secs(20), chaos.visit(address));
                _ = visit.await.expect("an end in time");
                visits.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut reader = night.desk(V311, "bert").await;
    assert_eq!(reader.subscribe(EVENT, 1).await, 1);
    let mut archiver = night.service(V5, "steady").await;
    let (start, mut number) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(seconds) || visits.load(Ordering::Relaxed) < 100 {
        if number % 500 == 250 {
            night.fault.kill.notify_one();
        }
        assert_eq!(archiver.confirm(EVENT, &number.to_string()).await, 0);
        assert_eq!(reader.hears().await, format!("{EVENT} {number}"));
        number += 1;
    }
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = storm.join_next().await {
        ended.expect("no panic");
    }
    println!("{number} messages, {} visits", visits.load(Ordering::Relaxed));
    archiver.ping().await;
    reader.ping().await;
    night.close().await;
}
