//! Likes by HTTP until each is stored: how many a second are held, and what one costs the server. Run by
//! `cargo xtask bench taps`.

#![allow(clippy::unwrap_used, reason = "a benchmark that does not work fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kit::postgres::Postgres;
use kit::{Database, Dj, Phone, Pika, http, wait};
use protocol::{NowPlaying, PlayId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DANCERS: usize = 1_000;

/// Phones that wait for an answer at the same time.
const CONNECTIONS: usize = 512;

const LASTS: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    for postgres in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let cluster = folder.path().join("cluster");
        std::fs::create_dir(&cluster).unwrap();
        // With fsync, as a server has it.
        let server = if postgres { Some(Postgres::start_in(&cluster).await) } else { None };
        let database = match &server {
            Some(server) => Database { url: format!("postgres://pika@{}/postgres", server.address()) },
            None => Database::sqlite(folder.path()),
        };
        let (per_s, cpu_us, p50, p99) = measure(folder.path(), &database).await;
        let engine = if postgres { "PostgreSQL" } else { "SQLite" };
        println!(
            "{engine}: {per_s:.0} taps a second, each stored (must: 5,000; aim: 20,000); {cpu_us:.0} us of CPU for one, HTTP to \
             archive to tally (must: 150; aim: 60); answered after {p50:.1} ms, p99 {p99:.1} ms"
        );
    }
}

async fn measure(folder: &Path, database: &Database) -> (f64, f64, f64, f64) {
    let mut dj = Dj::new(folder);
    let path = dj.home.to_str().unwrap().to_owned();
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("PIKA__PUBLISHER__PATH", path.as_str()),
        ("PIKA__PUBLISHER__SOURCE", "virtualdj"),
        // What people may do is not what is measured here.
        ("PIKA__WEB__TAPS_PER_MINUTE", "100000000"),
        ("PIKA__WEB__FLOOR_TAPS_PER_S", "1000000"),
    ];
    let pika = Pika::up(folder, &[], &settings).await;
    pika.page().await;
    dj.plays("Glass Tide");
    let play = wait::until("the play", || async {
        let now: NowPlaying = serde_json::from_slice(&http::get(&pika.web, "/api/v1/tonight/main/now")?.body)
            .map_err(|error| error.to_string())?;
        now.play.map(|play| play.id).ok_or_else(|| "none".to_owned())
    })
    .await;
    let phones: Arc<Vec<Phone>> = Arc::new((0..DANCERS).map(|_| Phone::comes(&pika.web)).collect());
    let taps = Arc::new(AtomicU64::new(0));
    let (started, cpu_before) = (Instant::now(), pika.program.cpu_us());
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|at| tokio::spawn(tap_on(phones.clone(), at, play, started + LASTS, taps.clone())))
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    let (seconds, cpu_us) = (started.elapsed().as_secs_f64(), pika.program.cpu_us() - cpu_before);
    let taps = taps.load(Ordering::Relaxed) as f64;
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() * share / 100).min(waits.len() - 1)].as_secs_f64() * 1e3;
    let store = database.store();
    assert_eq!(store.tally(play).await.unwrap().likes as usize, DANCERS, "each dancer's last word is a like");
    store.close().await;
    (taps / seconds, cpu_us / taps, at(50), at(99))
}

/// The taps of some dancers over one connection, until it is time and everybody's last word is a like.
async fn tap_on(
    phones: Arc<Vec<Phone>>,
    at: usize,
    play: PlayId,
    until: Instant,
    taps: Arc<AtomicU64>,
) -> Vec<Duration> {
    let mine: Vec<&Phone> = phones.iter().skip(at).step_by(CONNECTIONS).collect();
    let mut stream = TcpStream::connect(&mine[0].web).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut waits, mut on, mut buffer) = (Vec::new(), true, vec![0; 4096]);
    loop {
        for phone in &mine {
            let sent = Instant::now();
            tap(&mut stream, phone, play, on, &mut buffer).await;
            waits.push(sent.elapsed());
            taps.fetch_add(1, Ordering::Relaxed);
        }
        if on && Instant::now() >= until {
            return waits;
        }
        on = !on;
        // A millisecond between two words of a dancer, so that they have an order.
        tokio::time::sleep(Duration::from_millis(1)).await; // tidy: the next word is later than the one before
    }
}

async fn tap(stream: &mut TcpStream, phone: &Phone, play: PlayId, on: bool, buffer: &mut [u8]) {
    let body = format!("{{\"play_id\":\"{play}\",\"on\":{on}}}");
    let request = format!(
        "POST /api/v1/tonight/main/like HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nCookie: {}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        phone.web,
        phone.cookie,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let count = stream.read(buffer).await.unwrap();
    assert!(buffer[..count].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..count]));
}
