//! Sources that read a program's database, as they run: the program writes and keeps it open meanwhile.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pika_publisher::settings::Settings;
use pika_publisher::sources::observation::{Observation, SourceKind};
use pika_publisher::sources::places::Places;
use pika_publisher::sources::{CatchUp, Heard, SourceEvent, SourceState, Sources, open};
use rusqlite::Connection;
use tokio_util::sync::{CancellationToken, DropGuard};

const SOON: Duration = Duration::from_secs(20);

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// A source that is followed while this lives.
struct Followed {
    sources: Sources,
    _stop: DropGuard,
}

impl Followed {
    fn at(kind: SourceKind, path: &Path) -> Self {
        let settings = Settings { source: kind.into(), path: Some(path.to_owned()), ..Settings::default() };
        Self::with(&settings, Places::default())
    }

    fn with(settings: &Settings, places: Places) -> Self {
        let stop = CancellationToken::new();
        let catch_up = CatchUp { since_ms: now_ms(), ..CatchUp::default() };
        let sources = open(settings, places, TimeZone::UTC, catch_up, stop.clone()).expect("it opens");
        Self { sources, _stop: stop.drop_guard() }
    }

    async fn next(&mut self) -> Heard {
        let heard = tokio::time::timeout(SOON, self.sources.events.recv()).await;
        heard.expect("an event within 20 s").expect("the source runs")
    }

    /// The program that is being read from now on.
    async fn found(&mut self) -> SourceKind {
        loop {
            if let Heard { source, event: SourceEvent::State(SourceState::Found { .. }) } = self.next().await
            {
                return source;
            }
        }
    }

    /// The next play of which the condition holds.
    async fn play(&mut self, wanted: impl Fn(&Observation) -> bool) -> Observation {
        loop {
            if let SourceEvent::Plays(plays) = self.next().await.event
                && let Some(play) = plays.into_iter().find(&wanted)
            {
                return play;
            }
        }
    }

    /// The next play with that line.
    async fn hears(&mut self, line: &str) -> Observation {
        self.play(|play| play.track.line() == line).await
    }
}

/// The database of a program that runs.
fn program(path: &Path, journal: &str, schema: &str) -> Connection {
    std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("made");
    let writer = Connection::open(path).expect("opened");
    writer.pragma_update(None, "journal_mode", journal).expect("switched");
    writer.execute_batch(schema).expect("made");
    writer
}

#[tokio::test(flavor = "multi_thread")]
async fn mixxx() {
    let dir = tempfile::tempdir().expect("a folder");
    let writer = program(
        &dir.path().join(".mixxx/mixxxdb.sqlite"),
        "delete",
        "create table Playlists (id integer primary key, name text, hidden integer);
        create table PlaylistTracks (id integer primary key, playlist_id integer, track_id integer, pl_datetime_added);
        create table library (
            id integer primary key, artist text, title text, album text, genre text, year text, duration real,
            bpm real, key text, comment text, location integer
        );
        create table track_locations (id integer primary key, location text, filesize integer);
        insert into Playlists values (1, '2026-11-21', 2);
        insert into library (id, artist, title, duration) values (1, 'Nova Harbor', 'Glass Tide', 241.6);",
    );
    let places = Places { home: Some(dir.path().to_owned()), ..Places::default() };
    let mut source = Followed::with(&Settings::default(), places);
    assert_eq!(source.found().await, SourceKind::Mixxx);

    let added = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    writer.execute("insert into PlaylistTracks values (5, 1, 1, ?1)", [added]).expect("played");
    let play = source.hears("Nova Harbor – Glass Tide").await;
    writer.execute("update library set bpm = 124", []).expect("analysed");
    let again = source.play(|play| play.track.bpm == Some(124.0)).await;
    assert_eq!(again.identity, play.identity);
}

#[tokio::test(flavor = "multi_thread")]
async fn serato_4() {
    let dir = tempfile::tempdir().expect("a folder");
    let writer = program(
        &dir.path().join("Library/master.sqlite"),
        "wal",
        "create table history_session (id integer primary key, start_time integer, end_time integer);
        create table history_entry (
            id integer primary key, session_id integer, deck integer, start_time integer, played integer,
            artist text, name text, bpm real, key text, length_sec integer, portable_id text, location_id integer
        );",
    );
    let mut source = Followed::at(SourceKind::Serato, dir.path());
    assert_eq!(source.found().await, SourceKind::Serato);

    let now_s = now_ms() / 1000;
    writer.execute("insert into history_session values (1, ?1, -1)", [now_s]).expect("opened");
    let load = "insert into history_entry (session_id, deck, name, artist, start_time, played) values (1, ?1, ?2, 'Nova Harbor', ?3, 0)";
    writer.execute(load, (1, "Glass Tide", now_s)).expect("loaded");
    writer.execute("update history_entry set played = 1", []).expect("played");
    let play = source.hears("Nova Harbor – Glass Tide").await;
    assert_eq!(play.deck, Some(1));
    // Loaded first, played second.
    writer.execute(load, (2, "Late Ferry", now_s - 1)).expect("loaded");
    writer.execute("update history_entry set played = 1", []).expect("played");
    source.hears("Nova Harbor – Late Ferry").await;
    writer.execute("update history_session set end_time = ?1", [now_s + 1]).expect("closed");
    while source.next().await.event != SourceEvent::Stopped {}
}

#[tokio::test(flavor = "multi_thread")]
async fn serato_sessions() {
    fn chunk(tag: [u8; 4], value: &[u8]) -> Vec<u8> {
        [&tag, (value.len() as u32).to_be_bytes().as_slice(), value].concat()
    }
    fn loaded(row: u32, deck: u32, title: &str, is_played: u8) -> Vec<u8> {
        let title: Vec<u8> = title.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect();
        let started_s = (now_ms() / 1000) as u32;
        let fields = [
            (1_u32, row.to_be_bytes().to_vec()),
            (6, title),
            (28, started_s.to_be_bytes().to_vec()),
            (31, deck.to_be_bytes().to_vec()),
            (50, vec![is_played]),
        ];
        let fields: Vec<u8> = fields.iter().flat_map(|(id, value)| chunk(id.to_be_bytes(), value)).collect();
        chunk(*b"oent", &chunk(*b"adat", &fields))
    }

    let dir = tempfile::tempdir().expect("a folder");
    let sessions = dir.path().join("_Serato_/History/Sessions");
    std::fs::create_dir_all(&sessions).expect("made");
    let places = Places { music: Some(dir.path().to_owned()), ..Places::default() };
    let mut source = Followed::with(&Settings::default(), places);
    assert_eq!(source.found().await, SourceKind::Serato);

    let mut session = chunk(*b"vrsn", b"\0");
    session.extend(loaded(1, 1, "Glass Tide", 0));
    std::fs::write(sessions.join("9.session"), &session).expect("written");
    session.extend(loaded(1, 1, "Glass Tide", 1));
    session.extend(loaded(2, 2, "Late Ferry", 0));
    std::fs::write(sessions.join("9.session"), &session).expect("written");
    source.hears("Glass Tide").await;
    // Not the newest by its name, but by its number.
    std::fs::write(sessions.join("10.session"), loaded(3, 2, "Low Bridge", 1)).expect("written");
    source.hears("Low Bridge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn djay() {
    /// A play as djay notes it; numbers stand at multiples of their length.
    fn item(title: &str) -> Vec<u8> {
        let mut bytes = b"TSAF\x03\0\x03\0".to_vec();
        bytes.resize(20, 0);
        bytes.extend(b"+\x08ADCHistorySessionItem\0");
        for text in [title, "title", "Nova Harbor", "artist"] {
            bytes.push(0x08);
            bytes.extend(text.as_bytes());
            bytes.push(0);
        }
        bytes.push(0x30);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend((now_ms() as f64 / 1000.0 - 978_307_200.0).to_le_bytes());
        bytes.extend(b"\x08startTime\0");
        bytes
    }

    let dir = tempfile::tempdir().expect("a folder");
    let library = dir.path().join("djay/djay Media Library");
    let places = Places { music: Some(dir.path().to_owned()), ..Places::default() };
    let writer = program(
        &library.join("MediaLibrary.db"),
        "wal",
        "create table database2 (rowid integer primary key, collection char, key char, data blob, metadata blob);",
    );
    let mut source = Followed::with(&Settings::default(), places.clone());
    assert_eq!(source.found().await, SourceKind::Djay);
    let play = "insert into database2 (collection, key, data) values ('historySessionItems', ?1, ?2)";
    writer.execute(play, ("1", item("Glass Tide"))).expect("played");
    source.hears("Nova Harbor – Glass Tide").await;
    writer.execute(play, ("2", item("Late Ferry"))).expect("played");
    source.hears("Nova Harbor – Late Ferry").await;
    drop(source);

    let text = library.join("NowPlaying.txt");
    std::fs::write(&text, "Title: N/A\nArtist: N/A\nAlbum: N/A\nTime: N/A\n").expect("written");
    let mut source = Followed::with(&Settings::default(), places);
    assert_eq!(source.found().await, SourceKind::Djay);
    std::fs::write(&text, "Title: Low Bridge\nArtist: Nova Harbor\nAlbum: N/A\nTime: 04:01\n")
        .expect("written");
    source.hears("Nova Harbor – Low Bridge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn djuced() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("DJUCED");
    let places = Places { documents: Some(dir.path().to_owned()), ..Places::default() };
    let writer = program(
        &folder.join("DJUCED.db"),
        "delete",
        "create table tracks (
            id integer primary key, artist text, title text, album text, bpm real, length integer,
            absolutepath text, coverimage blob, comment text, last_played
        );
        insert into tracks (artist, title, bpm, absolutepath) values ('Nova Harbor', 'Glass Tide', 124.5, '/m/1.mp3');",
    );
    let mut source = Followed::with(&Settings::default(), places.clone());
    assert_eq!(source.found().await, SourceKind::Djuced);
    writer.execute("update tracks set last_played = ?1", [now_ms() / 1000]).expect("played");
    source.hears("Nova Harbor – Glass Tide").await;
    drop(source);

    let text = folder.join("playing.txt");
    std::fs::write(&text, "").expect("written");
    let mut source = Followed::with(&Settings::default(), places);
    assert_eq!(source.found().await, SourceKind::Djuced);
    std::fs::write(&text, "Low Bridge | 1 | Low Tides | \n").expect("written");
    source.hears("Low Tides – Low Bridge").await;
    std::fs::write(&text, "Low Bridge | 1 | Low Tides | \nGlass Tide | 2 | Nova Harbor | \n")
        .expect("written");
    let play = source.hears("Nova Harbor – Glass Tide").await;
    assert_eq!((play.deck, play.track.bpm), (Some(2), Some(124.5)));
}
