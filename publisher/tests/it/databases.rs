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
