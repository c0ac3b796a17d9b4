//! Memory, executable, first load and the time to the first page. Run by `cargo xtask bench size`.

#![allow(clippy::unwrap_used, reason = "a benchmark that does not work fails by panicking")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use kit::{Apart, Database, Dj, Pika, http, process, wait};
use maud::Render;
use protocol::{MessageId, NowPlaying, NowState, PastPlay, Play, PlayId, SetId, Track, V1};
use webapp::live::board::{FloorView, Signal};
use webapp::views::floor::{FloorPage, Mine};
use webapp::views::{Look, Skin};
use webapp::web::Assets;
use webapp::words::{Language, Words};

const PHONES: usize = 1_000;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::sqlite(folder.path());
    let started = Instant::now();
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("PIKA__DEMO__EVERY_MS", "2000"),
        ("PIKA__DEMO__TRACKS", "3"),
    ];
    let pika = Pika::up(folder.path(), &["--demo"], &settings).await;
    pika.page().await;
    println!("start → first page: {} ms (must: 1,000; aim: 250)", started.elapsed().as_millis());
    pika.shows("West End Blues").await;
    println!("`pika up`, publisher included, RSS: {} (must: 40 MB; aim: 20)", mb(pika.program.rss_kib()));
    let executable = std::fs::metadata(process::executable()).unwrap().len();
    println!("executable: {:.1} MB (must: 35; aim: 20)", executable as f64 / 1e6);

    let page = pika.page().await;
    let mut bytes = 0;
    for path in
        std::iter::once("/e/tonight/main").chain(page.split('"').filter(|part| part.starts_with("/assets/")))
    {
        bytes += http::get_with(&pika.web, path, &[("Accept-Encoding", "gzip")]).unwrap().body.len();
    }
    println!("first load, compressed: {:.1} kB (must: 30; aim: 15)", bytes as f64 / 1e3);

    println!("the script of it: {:.1} kB (at most 8)", script(&pika, &page) as f64 / 1e3);

    println!("floor page rendered with 20 songs: {} us (must: 1,000)", rendering_us());

    let phones: Vec<TcpStream> = (0..PHONES).map(|_| phone(&pika.web)).collect();
    wait::until_some("the phones to be counted", || {
        let now = http::get(&pika.web, "/e/tonight/main").ok()?;
        now.text().contains(&format!("{PHONES} here")).then_some(())
    })
    .await;
    println!("with {PHONES} phones, RSS: {} (must: 100 MB; aim: 45)", mb(pika.program.rss_kib()));
    drop((phones, pika));
    apart().await;
}

/// The same on a server, where each program is one of its own.
async fn apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut it = Apart::start(folder.path(), &Database::sqlite(folder.path())).await;
    let mut dj = Dj::new(folder.path());
    let _publisher = it.publisher(&dj.home);
    dj.plays("West End Blues");
    let page = || http::get(&it.web, "/e/tonight/main").ok().map(|page| page.text());
    wait::until_some("the song", || page().filter(|page| page.contains("West End Blues"))).await;
    println!("broker, archiver and web app apart, RSS in all: {}", mb(it.rss_kib()));
    let phones: Vec<TcpStream> = (0..PHONES).map(|_| phone(&it.web)).collect();
    let here = format!("{PHONES} here");
    wait::until_some("the phones to be counted", || page().filter(|page| page.contains(&here))).await;
    let [broker, archiver, webapp] = [&it.broker, &it.archiver, &it.webapp].map(|one| mb(one.rss_kib()));
    println!(
        "with {PHONES} phones, RSS in all: {} (must: 100 MB; aim: 45): {broker}, {archiver}, {webapp}",
        mb(it.rss_kib())
    );
    drop(phones);
}

fn script(pika: &Pika, page: &str) -> usize {
    let path = page.split('"').find(|part| part.starts_with("/assets/live")).unwrap();
    http::get_with(&pika.web, path, &[("Accept-Encoding", "gzip")]).unwrap().body.len()
}

/// The median of many pages, each with its layout, for a dancer who likes something.
fn rendering_us() -> u128 {
    let play = |number: u8| Play {
        id: PlayId::at(i64::from(number), [number; 10]),
        started_ms: 1_795_291_000_000 + i64::from(number) * 200_000,
        ended_ms: None,
        track: Track {
            artist: Some("Frankie Trumbauer & Bix Beiderbecke".to_owned()),
            title: Some("Singin' the Blues".to_owned()),
            bpm: Some(136.0),
            ..Track::default()
        },
    };
    let set_id = SetId::at(0, [0; 10]);
    let past = |number| PastPlay { set_id, dj: None, play: play(number) };
    let now = NowPlaying {
        v: V1,
        id: MessageId::at(0, [0; 10]),
        at_ms: 0,
        state: NowState::Playing,
        play: Some(play(0)),
        dj: None,
        set_id: Some(set_id),
        last_song: false,
        cover_url: None,
        stale_after_ms: None,
    };
    let view = FloorView {
        address: "tonight/main".parse().unwrap(),
        event_name: "Tonight".to_owned(),
        floor_name: "Main floor".to_owned(),
        time_zone: jiff::tz::TimeZone::get("Europe/Warsaw").unwrap(),
        accent: None,
        signal: Signal::Live,
        now: Some(now),
        history: (1..=20).map(past).collect(),
        listeners: 118,
        reactions: None,
        announcement: None,
        poll: None,
        desks: BTreeMap::new(),
    };
    let assets = Assets::load();
    let skin = Skin { assets: &assets, words: Words::of(Language::Pl), look: Look::Dark, request: None };
    let mine = Mine { likes: [play(3).id].into(), ..Mine::default() };
    let mut taken: Vec<u128> = (0..2_000)
        .map(|_| {
            let started = Instant::now();
            let page = FloorPage { view: &view, mine: Some(&mine) }.document(skin).render().into_string();
            assert!(page.len() > 5_000);
            started.elapsed().as_micros()
        })
        .collect();
    taken.sort_unstable();
    taken[taken.len() / 2]
}

fn mb(kib: u64) -> String {
    format!("{:.1} MB", kib as f64 * 1024.0 / 1e6)
}

/// An open socket that has its first state.
fn phone(web: &str) -> TcpStream {
    let mut stream = TcpStream::connect(web).unwrap();
    let request = format!(
        "GET /ws?floor=tonight/main HTTP/1.1\r\nHost: {web}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains("id=\"order\"") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
    stream
}
