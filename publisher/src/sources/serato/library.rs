//! The database of Serato 4: a row for each track that was loaded, and whether it was played.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row};

use super::DATABASE;
use super::booth::{Booth, Loaded, LoadedState};
use crate::sources::files::{Files, Looked};
use crate::sources::observation::{Location, Observation, SourceKind, percent_decoded};
use crate::sources::sqlite::{self, Database};

/// More than a night.
const ROWS_MAX: usize = 256;
const PLACES_MAX: usize = 64;

/// What is loaded in a session that is over, or was left open by a crash, is not heard any more.
const NEWEST: &str = "
select e.rowid as entry_row, e.*,
    coalesce(s.end_time, -1) = -1
        and s.id = (select id from history_session order by start_time desc limit 1) as is_open
from history_entry e
join history_session s on s.id = e.session_id
order by e.rowid desc
limit ?1";

const PLACES: &str = "select location_id, database_uri from location_connections limit ?1";

/// The library of one Serato 4.
#[derive(Debug)]
pub(super) struct Library {
    folder: PathBuf,
    database: Database,
    booth: Booth,
}

impl Library {
    pub fn at(folder: PathBuf, booth: Booth) -> Self {
        let database = Database::at(folder.clone(), DATABASE);
        Self { folder, database, booth }
    }
}

impl Files for Library {
    fn kind(&self) -> SourceKind {
        SourceKind::Serato
    }

    fn what(&self) -> String {
        self.folder.join(DATABASE).display().to_string()
    }

    fn watched(&self) -> &Path {
        &self.folder
    }

    fn look(&mut self, now_ms: i64, _: bool) -> io::Result<Looked> {
        let tracks = self.database.read(now_ms, newest)?;
        let events = tracks.map(|tracks| self.booth.look(now_ms, tracks)).unwrap_or_default();
        Ok(Looked { events, wake_ms: Some(self.database.wake_ms()) })
    }
}

/// The newest tracks, in order of their loading.
fn newest(connection: &Connection) -> rusqlite::Result<Vec<Loaded>> {
    // Only some versions have it, and only names of files depend on it.
    let places = places(connection).unwrap_or_default();
    let mut newest = connection.prepare(NEWEST)?;
    let rows = newest.query_map([ROWS_MAX as i64], |row| Ok(loaded(row, &places)))?;
    let mut tracks: Vec<Loaded> = rows.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?;
    tracks.reverse();
    Ok(tracks)
}

fn places(connection: &Connection) -> rusqlite::Result<HashMap<i64, String>> {
    let mut places = connection.prepare(PLACES)?;
    let place = |row: &Row<'_>| Ok(sqlite::whole(row, "location_id").zip(sqlite::text(row, "database_uri")));
    let rows = places.query_map([PLACES_MAX as i64], place)?;
    rows.filter_map(Result::transpose).collect()
}

/// Nothing for a row without a deck.
fn loaded(row: &Row<'_>, places: &HashMap<i64, String>) -> Option<Loaded> {
    let deck = sqlite::whole(row, "deck").and_then(|deck| u8::try_from(deck).ok())?;
    let id = |column: &str| sqlite::whole(row, column).unwrap_or_default();
    let is = |column: &str| sqlite::whole(row, column).is_some_and(|value| value != 0);
    let identity = format!("{}|{}|{}", id("session_id"), id("entry_row"), id("start_time"));
    let mut play = Observation::new(SourceKind::Serato, identity);
    play.deck = Some(deck);
    sqlite::fill(row, &mut play, "name", "length_sec");
    play.track.key = sqlite::text(row, "key");
    play.file_bytes = sqlite::bytes(row, "file_size");
    play.started_ms = sqlite::moment_ms(row, "start_time");
    let name = sqlite::text(row, "portable_id").or_else(|| sqlite::text(row, "file_name"));
    play.location = name.map(|name| location(places.get(&id("location_id")), &name));
    let state = match (is("played"), is("is_open")) {
        (false, _) => LoadedState::Waits,
        (true, true) => LoadedState::Plays,
        (true, false) => LoadedState::Over,
    };
    Some(Loaded { deck, play: play.named(), state })
}

/// Where a track lies, when the library that it belongs to lies at `uri`: beside `_Serato_` on another drive, below the
/// root on this one.
fn location(uri: Option<&String>, name: &str) -> Location {
    let uri = uri.map(String::as_str).unwrap_or_default();
    if let Some(service) = uri.strip_prefix("streaming://") {
        return Location::Stream { service: service.to_owned(), id: name.to_owned() };
    }
    let path = percent_decoded(uri.strip_prefix("file://").unwrap_or_default());
    let root = path.split_once("_Serato_").map_or("/", |(root, _)| root);
    Location::Path(format!("{}/{}", root.trim_end_matches('/'), name.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::decks::DeckMode;
    use crate::sources::{CatchUp, SourceEvent};

    const T: i64 = 1_795_291_800_000;

    /// A Serato that runs: its connection stays open.
    fn serato(folder: &Path) -> Connection {
        let writer = Connection::open(folder.join(DATABASE)).expect("opened");
        writer.pragma_update(None, "journal_mode", "wal").expect("switched");
        writer
            .execute_batch(
                "create table history_session (id integer primary key, start_time integer, end_time integer);
                create table history_entry (
                    id integer primary key, session_id integer, deck integer, start_time integer, played integer,
                    artist text, name text, album text, genre text, bpm real, key text, year text,
                    length_sec integer, file_name text, portable_id text, location_id integer, file_size integer
                );
                create table connections (location_id integer, database_uri text);
                create view location_connections as select * from connections;
                insert into connections values (1, 'file:///Volumes/Bass%20Drive/_Serato_/Library/');
                insert into history_session values (1, 1795280000, 1795290000), (2, 1795291700, -1);",
            )
            .expect("made");
        writer
    }

    fn load(writer: &Connection, session: i64, deck: i64, title: &str, start_s: i64) {
        let row = "insert into history_entry (session_id, deck, name, start_time, played, artist, portable_id, location_id)
            values (?1, ?2, ?3, ?4, 0, 'Nova Harbor' || char(0), 'sets/' || ?3 || '.mp3', 1)";
        writer.execute(row, (session, deck, title, start_s)).expect("loaded");
    }

    fn play(writer: &Connection, title: &str) {
        writer.execute("update history_entry set played = 1 where name = ?1", [title]).expect("played");
    }

    #[track_caller]
    fn check(library: &mut Library, at_s: i64, expected: &str) {
        let looked = library.look(T + at_s * 1000, true).expect("a database");
        let said = looked.events.into_iter().flat_map(|event| match event {
            SourceEvent::Plays(plays) => plays.into_iter().map(|play| play.track.line()).collect(),
            event => vec![format!("{event:?}")],
        });
        assert_eq!(said.collect::<Vec<_>>().join(", "), expected);
    }

    #[test]
    fn a_night() {
        let dir = tempfile::tempdir().expect("a folder");
        let writer = serato(dir.path());
        let catch_up = CatchUp { since_ms: T, ..CatchUp::default() };
        let booth = Booth::new(DeckMode::Newest, &[], catch_up);
        let mut library = Library::at(dir.path().to_owned(), booth);
        load(&writer, 1, 1, "Yesterday", 1_795_289_000);
        play(&writer, "Yesterday");
        check(&mut library, 0, "");
        load(&writer, 2, 1, "Glass Tide", 1_795_291_810);
        check(&mut library, 10, "");
        play(&writer, "Glass Tide");
        check(&mut library, 15, "Nova Harbor – Glass Tide");
        load(&writer, 2, 2, "Late Ferry", 1_795_291_900);
        play(&writer, "Late Ferry");
        check(&mut library, 100, "Nova Harbor – Late Ferry");
        load(&writer, 2, 1, "Low Bridge", 1_795_291_950);
        check(&mut library, 150, "");
        writer.execute("update history_session set end_time = 1795292000 where id = 2", []).expect("ended");
        check(&mut library, 200, "Stopped");
    }

    #[test]
    fn where_tracks_lie() {
        let drive = "file:///Volumes/Bass%20Drive/_Serato_/Library/".to_owned();
        let at = |uri: Option<&String>, name: &str| location(uri, name);
        assert_eq!(at(Some(&drive), "a.mp3"), Location::Path("/Volumes/Bass Drive/a.mp3".into()));
        assert_eq!(at(None, "Users/dj/a.mp3"), Location::Path("/Users/dj/a.mp3".into()));
        let stream = Location::Stream { service: "tidal".into(), id: "7".into() };
        assert_eq!(at(Some(&"streaming://tidal".to_owned()), "7"), stream);
    }
}
