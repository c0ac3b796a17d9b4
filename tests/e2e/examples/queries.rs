//! What pages ask of an archive of a million plays and ten million reactions, on both engines. Run by
//! `cargo xtask bench queries`.

#![allow(clippy::unwrap_used, reason = "a benchmark that does not work fails by panicking")]

use std::time::Instant;

use kit::Database;
use kit::postgres::Postgres;
use protocol::{
    DancerId, FloorAddress, JournalId, MessageId, Play, PlayId, PlayKind, PlayReport, SetId, SetRef,
};
use protocol::{TempoWish, Track, V1};
use store::{PlayRow, Reaction, ReactionRow, Record, Store};

const EVENTS: u64 = 1_000;
const SETS_PER_EVENT: u64 = 20;
const PLAYS_PER_SET: u64 = 50;
const REACTIONS_PER_PLAY: u64 = 10;
/// Of one night; a dancer comes ten times, to nights that follow each other.
const DANCERS_PER_EVENT: u64 = 500;
const NEW_DANCERS_PER_EVENT: u64 = 50;
const DANCERS: u64 = EVENTS * NEW_DANCERS_PER_EVENT;

/// Times each query is asked.
const ASKED: u64 = 500;

/// Numbers without order, the same in every run (SplitMix64).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn bytes(number: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&mixed(number).to_be_bytes());
    bytes
}

fn floor(event: u64) -> FloorAddress {
    format!("event-{event}/main").parse().unwrap()
}

fn set_id(event: u64, set: u64) -> SetId {
    SetId::at(set_ms(event, set), bytes(event * SETS_PER_EVENT + set))
}

fn set_ms(event: u64, set: u64) -> i64 {
    1_600_000_000_000 + (event * 86_400_000 + set * 4_000_000) as i64
}

fn play_id(event: u64, set: u64, play: u64) -> PlayId {
    let number = (event * SETS_PER_EVENT + set) * PLAYS_PER_SET + play;
    PlayId::at(set_ms(event, set), bytes(number ^ 0x5555_0000_0000_0000))
}

fn dancer(number: u64) -> DancerId {
    format!("{:024x}", mixed(number)).parse().unwrap()
}

#[tokio::main]
async fn main() {
    let plays = EVENTS * SETS_PER_EVENT * PLAYS_PER_SET;
    println!("{plays} plays and {} reactions on each engine", plays * REACTIONS_PER_PLAY);
    let folder = tempfile::tempdir().unwrap();
    let sqlite = measured(&Database::sqlite(folder.path())).await;
    let cluster = folder.path().join("cluster");
    std::fs::create_dir(&cluster).unwrap();
    let server = Postgres::start_in(&cluster).await;
    let url = format!("postgres://pika@{}/postgres", server.address());
    let postgres = measured(&Database { url }).await;
    println!(
        "{:<16} {:>9} {:>9} | {:>14} {:>9} | {:>14} {:>9}",
        "ms", "must p99", "aim p99", "SQLite median", "p99", "PostgreSQL m.", "p99"
    );
    for ((what, one), (_, two)) in sqlite.iter().zip(&postgres) {
        println!(
            "{what:<16} {:>9} {:>9} | {:>14.2} {:>9.2} | {:>14.2} {:>9.2}",
            30, 5, one.0, one.1, two.0, two.1
        );
    }
}

/// Median and p99 of each query.
async fn measured(database: &Database) -> Vec<(&'static str, (f64, f64))> {
    let store = database.store();
    store.migrate().await.unwrap();
    let began = Instant::now();
    for event in 0..EVENTS {
        fill(&store, event).await;
    }
    println!("filled {} in {:.0} s", store_name(database), began.elapsed().as_secs_f64());
    store.analyze().await.unwrap();
    let mut figures = Vec::new();
    macro_rules! ask {
        ($what:literal, $number:ident => $query:expr) => {{
            let mut times = Vec::new();
            for $number in 0..ASKED {
                let $number = mixed($number);
                let since = Instant::now();
                $query;
                times.push(since.elapsed().as_secs_f64() * 1e3);
            }
            times.sort_by(f64::total_cmp);
            figures.push(($what, (times[times.len() / 2], times[times.len() * 99 / 100])));
        }};
    }
    ask!("floor page", n => {
        let floor = floor(n % EVENTS);
        assert_eq!(store.recent(&floor, 21).await.unwrap().len(), 21);
        assert!(store.last_set(&floor).await.unwrap().is_some());
    });
    ask!("recap of a set", n => {
        let set = set_id(n % EVENTS, n / EVENTS % SETS_PER_EVENT);
        assert!(store.set(set).await.unwrap().is_some());
        assert_eq!(store.plays_of_set(set).await.unwrap().len() as u64, PLAYS_PER_SET);
    });
    ask!("my likes", n => drop(store.likes_of_dancer(&dancer(n % DANCERS), 50).await.unwrap()));
    ask!("top tracks", n => {
        let event = format!("event-{}", n % EVENTS).parse().unwrap();
        assert_eq!(store.top_tracks(&event, 20).await.unwrap().len(), 20);
    });
    ask!("sets of an event", n => {
        let event = format!("event-{}", n % EVENTS).parse().unwrap();
        assert_eq!(store.sets_of_event(&event).await.unwrap().len() as u64, SETS_PER_EVENT);
    });
    store.close().await;
    figures
}

fn store_name(database: &Database) -> &'static str {
    if database.url.starts_with("sqlite") { "SQLite" } else { "PostgreSQL" }
}

/// One night: its plays, then what dancers said about them.
async fn fill(store: &Store, event: u64) {
    let mut records = Vec::new();
    for set in 0..SETS_PER_EVENT {
        for play in 0..PLAYS_PER_SET {
            records.push(Record::Play(Box::new(row(event, set, play))));
        }
        for play in 0..PLAYS_PER_SET {
            let play_id = play_id(event, set, play);
            for reaction in 0..REACTIONS_PER_PLAY {
                let number = mixed(
                    ((event * SETS_PER_EVENT + set) * PLAYS_PER_SET + play) * REACTIONS_PER_PLAY + reaction,
                );
                let said = match number % 4 {
                    0 => Reaction::Tempo(Some(TempoWish::Faster)),
                    1 => Reaction::Thanks,
                    _ => Reaction::Like(true),
                };
                records.push(Record::Reaction(ReactionRow {
                    play_id,
                    dancer: dancer(event * NEW_DANCERS_PER_EVENT + number / 4 % DANCERS_PER_EVENT),
                    reaction: said,
                    at_ms: set_ms(event, set) + (play * 60_000 + reaction) as i64,
                }));
            }
        }
    }
    store.record(&records, &[], None).await.unwrap();
}

fn row(event: u64, set: u64, play: u64) -> PlayRow {
    let started_ms = set_ms(event, set) + play as i64 * 60_000;
    let track = Track {
        title: Some(format!("Track {}", mixed(play + set) % 5_000)),
        artist: Some(format!("Artist {}", mixed(play * set) % 700)),
        bpm: Some(92.0),
        ..Track::default()
    };
    PlayRow {
        floor: floor(event),
        desk: "booth".parse().unwrap(),
        report: PlayReport {
            v: V1,
            id: MessageId::at(started_ms, bytes(play)),
            at_ms: started_ms,
            journal: JournalId::at(1, [1; 10]),
            seq: 1,
            held_from: 1,
            kind: PlayKind::Started,
            set: SetRef { id: set_id(event, set), started_ms: set_ms(event, set), dj: Some("DJ".into()) },
            play: Play { id: play_id(event, set, play), started_ms, ended_ms: None, track },
            set_ended: false,
        },
    }
}
