//! How many plays a second the archive takes through MQTT, each committed and confirmed by the cursor, and how long one
//! takes when there is no crowd. Run by `cargo xtask bench ingest`.

#![allow(clippy::unwrap_used, reason = "a benchmark that does not work fails by panicking")]

use std::time::{Duration, Instant};

use bus::{Bus, Inbox, Incoming, Outbox};
use config::clock::now_ms;
use kit::postgres::Postgres;
use kit::{Database, Pika, process, wait};
use protocol::{
    DeskId, DeskTopic, FloorAddress, FloorTopic, IdSource, JournalId, Message, Play, PlayId, PlayKind,
};
use protocol::{PlayReport, ProducerId, SetRef, Topic, Track, V1, message};

/// Together.
const PLAYS: u64 = 60_000;
const DESKS: u64 = 8;

/// For the time that one takes: so many, so many a second.
const SINGLE: u64 = 1_000;
const PER_SECOND: u64 = 100;

#[tokio::main]
async fn main() {
    println!("{:<38} {:>10} {:>10} {:>10} {:>10}", "", "must", "aim", "SQLite", "PostgreSQL");
    let folder = tempfile::tempdir().unwrap();
    let sqlite = measured(folder.path(), &Database::sqlite(folder.path())).await;
    let folder = tempfile::tempdir().unwrap();
    let cluster = folder.path().join("cluster");
    std::fs::create_dir(&cluster).unwrap();
    // With fsync, as a server has it.
    let server = Postgres::start_in(&cluster).await;
    let url = format!("postgres://pika@{}/postgres", server.address());
    let postgres = measured(folder.path(), &Database { url }).await;
    let line = |what: &str, must: &str, aim: &str, one: f64, two: f64| {
        println!("{what:<38} {must:>10} {aim:>10} {one:>10.1} {two:>10.1}");
    };
    line("plays confirmed per second", "10,000", "40,000", sqlite.per_second, postgres.per_second);
    line("publish → cursor at 100/s, median, ms", "", "", sqlite.median_ms, postgres.median_ms);
    line("publish → cursor at 100/s, p99, ms", "100", "20", sqlite.p99_ms, postgres.p99_ms);
}

struct Figures {
    per_second: f64,
    median_ms: f64,
    p99_ms: f64,
}

async fn measured(folder: &std::path::Path, database: &Database) -> Figures {
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        // A desk sends a play every few minutes; these are not to be slowed down.
        ("PIKA__BROKER__CLIENT_PACKETS_PER_S", "1000000"),
        ("PIKA__BROKER__TOKEN_PUBLISHES_PER_S", "1000000"),
        ("PIKA__PUBLISHER__SOURCE", "text"),
        ("PIKA__PUBLISHER__PATH", "/nonexistent"),
    ];
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let pika = Pika::up(&data, &[], &settings).await;
    pika.page().await;
    let mut desks = Vec::new();
    for number in 0..DESKS {
        desks.push(Desk::open(&pika, database, number).await);
    }
    let began = Instant::now();
    let crowd: Vec<_> = desks.into_iter().map(|desk| tokio::spawn(desk.flood(PLAYS / DESKS))).collect();
    let mut desks = Vec::new();
    for desk in crowd {
        desks.push(desk.await.unwrap());
    }
    let per_second = PLAYS as f64 / began.elapsed().as_secs_f64();
    let mut times = desks.remove(0).one_by_one().await;
    times.sort_by(f64::total_cmp);
    let stored = database.store();
    let plays = stored.recent(&"tonight/main".parse().unwrap(), u32::MAX).await.unwrap().len() as u64;
    assert_eq!(plays, PLAYS + SINGLE, "each is stored");
    Figures { per_second, median_ms: times[times.len() / 2], p99_ms: times[times.len() * 99 / 100] }
}

/// A producer as a publisher is one, without a history to read.
struct Desk {
    id: DeskId,
    bus: Bus,
    inbox: Inbox,
    outbox: Outbox<Vec<u8>>,
    ids: IdSource,
    journal: JournalId,
    set: SetRef,
    seq: u64,
    confirmed: u64,
}

impl Desk {
    async fn open(pika: &Pika, database: &Database, number: u64) -> Self {
        let id: DeskId = format!("bench-{number}").parse().unwrap();
        let token = process::add_token(&pika.data, database, id.as_str(), &["desk"]);
        let cursor = Topic::Cursor("tonight".parse().unwrap(), ProducerId::from(id.clone()));
        let options = bus::Options {
            url: format!("mqtt://{id}:{token}@{}", pika.mqtt).parse().unwrap(),
            client_id: id.to_string(),
            subscriptions: vec![cursor.to_string()],
            will: None,
        };
        let (bus, inbox) = bus::open(options, config::Stop::new()).unwrap();
        wait::until_some("the broker to know the token", || bus.is_connected().then_some(())).await;
        let mut ids = IdSource::seeded(number);
        let set = SetRef { id: ids.set(now_ms()), started_ms: now_ms(), dj: None };
        let journal = ids.journal(now_ms());
        Self { id, bus, inbox, outbox: Outbox::default(), ids, journal, set, seq: 0, confirmed: 0 }
    }

    fn note(&mut self) {
        self.seq += 1;
        let title = format!("Track {}", self.seq);
        let play = Play {
            id: PlayId::derived(&self.id, "bench", &title),
            started_ms: now_ms(),
            ended_ms: None,
            track: Track {
                title: Some(title),
                artist: Some("Nova Harbor".into()),
                bpm: Some(92.5),
                key: Some("8A".into()),
                ..Track::default()
            },
        };
        let report = PlayReport {
            v: V1,
            id: self.ids.message(now_ms()),
            at_ms: now_ms(),
            journal: self.journal,
            seq: self.seq,
            // Whatever is confirmed meanwhile, this much is.
            held_from: self.confirmed + 1,
            kind: PlayKind::Started,
            set: self.set.clone(),
            play,
            set_ended: false,
        };
        self.outbox.push(self.seq, message::write(&report));
    }

    fn send(&mut self) {
        let floor: FloorAddress = "tonight/main".parse().unwrap();
        let topic = floor.topic(FloorTopic::Desk(self.id.clone(), DeskTopic::Play));
        while let Some((_, _, payload)) = self.outbox.next() {
            if !self.bus.say(topic.clone(), payload.clone()) {
                return;
            }
            self.outbox.sent(now_ms());
        }
    }

    fn hear(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Message { message: Message::Cursor(cursor), .. } if cursor.journal == self.journal => {
                self.outbox.confirm(cursor.seq, now_ms());
                self.confirmed = self.confirmed.max(cursor.seq);
            }
            Incoming::Connected => self.outbox.rewind(),
            _ => {}
        }
    }

    async fn flood(mut self, plays: u64) -> Self {
        for _ in 0..plays {
            self.note();
        }
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        while self.confirmed < self.seq {
            self.send();
            tokio::select! {
                incoming = self.inbox.next() => self.hear(incoming.unwrap()),
                _ = tick.tick() => drop(self.outbox.rewind_if_stuck(now_ms())),
            }
        }
        self
    }

    /// Milliseconds from the publish of each until its cursor.
    async fn one_by_one(&mut self) -> Vec<f64> {
        let mut tick = tokio::time::interval(Duration::from_millis(1_000 / PER_SECOND));
        let (first, mut sent, mut times) = (self.seq, Vec::new(), Vec::new());
        while self.confirmed < first + SINGLE {
            tokio::select! {
                _ = tick.tick(), if self.seq < first + SINGLE => {
                    self.note();
                    sent.push(Instant::now());
                    self.send();
                }
                incoming = self.inbox.next() => {
                    self.hear(incoming.unwrap());
                    while (times.len() as u64) < self.confirmed.saturating_sub(first) {
                        times.push(sent[times.len()].elapsed().as_secs_f64() * 1e3);
                    }
                }
            }
        }
        times
    }
}
