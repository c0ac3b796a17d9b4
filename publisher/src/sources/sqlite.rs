//! Databases of other programs: opened for reading, read once and closed, so that we are never in the program's way.
//! Which rows mean what is decided elsewhere.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use super::decode;
use super::folder::{self, Listed};
use super::observation::Observation;

const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// Some programs keep their journal in memory, and some systems note the time of a change in whole seconds.
const ANYWAY_MS: i64 = 3_000;
/// What is written in two steps is whole by then; and a change in the same instant as our look shows in nothing else.
const SETTLED_MS: i64 = 300;
const LOCKED_MS: i64 = 200;
const TEXT_BYTES_MAX: usize = 4 * 1024;
const BLOB_BYTES_MAX: usize = 64 * 1024;

/// A database of another program, and when to read it again.
#[derive(Debug)]
pub(super) struct Database {
    folder: PathBuf,
    name: String,
    /// Its files as they were when it was read last.
    files: Option<Vec<Listed>>,
    looked_ms: i64,
    wait_ms: i64,
}

impl Database {
    pub fn at(folder: PathBuf, name: impl Into<String>) -> Self {
        Self { folder, name: name.into(), files: None, looked_ms: i64::MIN, wait_ms: 0 }
    }

    /// What the query finds; nothing while nothing can have changed, or while the program holds the database locked.
    ///
    /// # Errors
    /// There is no such database, or it is none that we know.
    pub fn read<T>(
        &mut self,
        now_ms: i64,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> io::Result<Option<T>> {
        // Before the reading: what is written meanwhile is a change for the next look.
        let files = self.listed()?;
        let changed = self.files.as_ref() != Some(&files);
        // A clock that was put back must not keep us waiting.
        let waits = (0..self.wait_ms).contains(&now_ms.saturating_sub(self.looked_ms));
        if waits && (!changed || self.wait_ms == LOCKED_MS) {
            return Ok(None);
        }
        self.looked_ms = now_ms;
        match self.open().and_then(|connection| query(&connection)) {
            Ok(found) => {
                self.files = Some(files);
                self.wait_ms = if changed { SETTLED_MS } else { ANYWAY_MS };
                Ok(Some(found))
            }
            Err(error) if is_passing(&error) => {
                tracing::debug!(database = self.name, "the database is in use: {error}");
                self.wait_ms = LOCKED_MS;
                Ok(None)
            }
            Err(error) => {
                self.files = None;
                self.wait_ms = 0;
                Err(io::Error::other(format!("its {} cannot be read: {error}", self.name)))
            }
        }
    }

    /// What the query finds at this moment, for what is good to know; nothing if that cannot be said.
    pub fn ask<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        let asked = self.open().and_then(|connection| query(&connection));
        asked.inspect_err(|error| tracing::debug!(database = self.name, "cannot ask: {error}")).ok()
    }

    /// When `read` wants to look without any change.
    pub fn wake_ms(&self) -> i64 {
        self.looked_ms.saturating_add(self.wait_ms)
    }

    /// The database's file and those beside it in which changes wait.
    fn listed(&self) -> io::Result<Vec<Listed>> {
        let main = folder::look(&self.folder, &self.name)?.ok_or(io::ErrorKind::NotFound)?;
        let mut files = vec![main];
        for ending in ["-wal", "-journal"] {
            let beside = folder::look(&self.folder, &format!("{}{ending}", self.name))?;
            // SQLite itself makes an empty one when we look.
            files.extend(beside.filter(|listed| listed.size_bytes > 0));
        }
        Ok(files)
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        // What `mode=ro` in a URI says, without a path that must be escaped. Not `immutable`: that shows what was
        // true before the journal.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.folder.join(&self.name), flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }
}

/// Somebody writes, has just begun to, or was killed at it: it is theirs to end.
fn is_passing(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ReadOnly
                | ErrorCode::SchemaChanged
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}

/// A field as it may be shown. Versions differ in what they have: a column that is missing is an unknown field.
pub(super) fn text(row: &Row<'_>, column: &str) -> Option<String> {
    match row.get_ref(column).ok()? {
        ValueRef::Text(bytes) => decode::field(&decode::line(head(bytes, TEXT_BYTES_MAX))),
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

/// What the rows of most programs call by the same names; the title and the length in seconds have others now and then.
pub(super) fn fill(row: &Row<'_>, play: &mut Observation, title: &str, length: &str) {
    play.track.artist = text(row, "artist");
    play.track.title = text(row, title);
    play.track.album = text(row, "album");
    play.track.genre = text(row, "genre");
    play.track.year = year(row, "year");
    play.track.bpm = bpm(row, "bpm");
    play.track.duration_ms = length_ms(row, length);
    play.comment = text(row, "comment");
}

/// A size in bytes.
pub(super) fn bytes(row: &Row<'_>, column: &str) -> Option<u64> {
    whole(row, column).and_then(|bytes| u64::try_from(bytes).ok())
}

/// A number, also when it stands as text.
pub(super) fn number(row: &Row<'_>, column: &str) -> Option<f64> {
    let number = match row.get_ref(column).ok()? {
        ValueRef::Integer(number) => number as f64,
        ValueRef::Real(number) => number,
        ValueRef::Text(_) => text(row, column)?.parse().ok()?,
        ValueRef::Null | ValueRef::Blob(_) => return None,
    };
    number.is_finite().then_some(number)
}

pub(super) fn whole(row: &Row<'_>, column: &str) -> Option<i64> {
    match row.get_ref(column).ok()? {
        ValueRef::Integer(number) => Some(number),
        _ => number(row, column).map(|number| number as i64),
    }
}

/// Seconds as milliseconds; none when it is nothing.
pub(super) fn length_ms(row: &Row<'_>, column: &str) -> Option<i64> {
    number(row, column).map(|seconds| (seconds * 1000.0) as i64).filter(|ms| *ms > 0)
}

/// A tempo; none when it is nothing.
pub(super) fn bpm(row: &Row<'_>, column: &str) -> Option<f64> {
    number(row, column).filter(|bpm| *bpm > 0.0)
}

/// The year of a field that may hold a whole date.
fn year(row: &Row<'_>, column: &str) -> Option<u16> {
    decode::year(&text(row, column)?)
}

/// A moment: seconds or milliseconds since 1970, or text in UTC.
pub(super) fn moment_ms(row: &Row<'_>, column: &str) -> Option<i64> {
    if let Some(number) = number(row, column) {
        return unix_ms(number);
    }
    let text = text(row, column)?;
    // Some write a space before the offset.
    let moment = text.replacen(" +", "+", 1).parse::<Timestamp>().ok();
    let moment = moment.or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    moment.map(Timestamp::as_millisecond).filter(|ms| *ms > 0)
}

/// Bytes; of more than anybody has use for, the first.
pub(super) fn blob<'r>(row: &'r Row<'_>, column: &str) -> Option<&'r [u8]> {
    match row.get_ref(column).ok()? {
        ValueRef::Blob(bytes) => Some(head(bytes, BLOB_BYTES_MAX)),
        _ => None,
    }
}

/// Seconds or milliseconds since 1970, told apart by their size.
fn unix_ms(number: f64) -> Option<i64> {
    const MILLISECONDS_FROM: f64 = 1e11;
    let ms = if number < MILLISECONDS_FROM { number * 1000.0 } else { number };
    (ms >= 1.0).then_some(ms as i64)
}

fn head(bytes: &[u8], bytes_max: usize) -> &[u8] {
    bytes.get(..bytes_max).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_795_291_800_000;

    fn writer(folder: &std::path::Path) -> Connection {
        let writer = Connection::open(folder.join("songs.db")).expect("opened");
        writer.pragma_update(None, "journal_mode", "wal").expect("switched");
        writer.execute_batch("create table songs (title)").expect("made");
        writer
    }

    fn titles(database: &mut Database, now_ms: i64) -> Option<Vec<String>> {
        let read = database.read(now_ms, |connection| {
            let mut titles = connection.prepare("select title from songs order by rowid")?;
            titles.query_map([], |row| row.get(0))?.collect()
        });
        read.expect("a database")
    }

    #[test]
    fn reads_what_still_waits_in_the_journal_of_an_open_writer() {
        let dir = tempfile::tempdir().expect("a folder");
        let writer = writer(dir.path());
        let mut database = Database::at(dir.path().to_owned(), "songs.db");
        assert_eq!(titles(&mut database, T), Some(vec![]));
        writer.execute("insert into songs values ('Glass Tide')", []).expect("written");
        assert_eq!(titles(&mut database, T + 10), Some(vec!["Glass Tide".to_owned()]));
        // Once more when it has settled, and then only now and then.
        assert_eq!(titles(&mut database, T + 20), None);
        assert!(titles(&mut database, T + 10 + SETTLED_MS).is_some());
        assert_eq!(titles(&mut database, T + 1_000), None);
        assert!(titles(&mut database, T + 10 + SETTLED_MS + ANYWAY_MS).is_some());
        // A clock that was put back.
        assert!(titles(&mut database, T - 1_000_000).is_some());
    }

    #[test]
    fn a_database_that_nobody_has_open_stays_as_it_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let writer = writer(dir.path());
        writer.execute("insert into songs values ('Glass Tide')", []).expect("written");
        drop(writer);
        let bytes = || std::fs::read(dir.path().join("songs.db")).expect("read");
        let before = bytes();
        let mut database = Database::at(dir.path().to_owned(), "songs.db");
        assert_eq!(titles(&mut database, T), Some(vec!["Glass Tide".to_owned()]));
        assert_eq!(bytes(), before);
        // SQLite makes its journal when it looks; nothing is in it, and it is no change for us.
        let journal = std::fs::metadata(dir.path().join("songs.db-wal")).map_or(0, |wal| wal.len());
        assert_eq!(journal, 0);
        assert!(titles(&mut database, T + SETTLED_MS).is_some());
        assert_eq!(titles(&mut database, T + SETTLED_MS + 1_000), None);
    }

    #[test]
    fn a_locked_database_is_tried_again_and_never_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let writer = Connection::open(dir.path().join("songs.db")).expect("opened");
        writer.execute_batch("create table songs (title); begin exclusive").expect("made");
        let mut database = Database::at(dir.path().to_owned(), "songs.db");
        assert_eq!(titles(&mut database, T), None);
        assert_eq!(database.wake_ms(), T + LOCKED_MS);
        writer.execute_batch("commit").expect("unlocked");
        assert_eq!(titles(&mut database, T + LOCKED_MS), Some(vec![]));
        let write = database.read(T + 100_000, |connection| connection.execute("delete from songs", []));
        assert!(matches!(write, Err(_) | Ok(None)));
    }

    #[test]
    fn what_is_no_database_says_so() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut database = Database::at(dir.path().to_owned(), "songs.db");
        let read = |database: &mut Database| {
            let read = database.read(T, |connection| connection.prepare("select 1 from songs").map(|_| ()));
            read.map_err(|error| error.kind())
        };
        assert_eq!(read(&mut database), Err(io::ErrorKind::NotFound));
        std::fs::write(dir.path().join("songs.db"), [7; 4096]).expect("written");
        assert_eq!(read(&mut database), Err(io::ErrorKind::Other));
    }

    #[test]
    fn fields_of_any_type() {
        let connection = Connection::open_in_memory().expect("opened");
        let row = "select ' Glass' || char(0) || ' Tide ' as title, '124.5' as bpm, 0.0 as none, '2024-05-01' as year,
            '2026-11-21 20:10:00' as utc, 1795291800 as seconds, 1795291800000 as milliseconds, x'00ff' as bytes,
            'never' as words, 9e999 as infinite";
        connection
            .query_row(row, [], |row| {
                assert_eq!(text(row, "title"), Some("Glass Tide".to_owned()));
                assert_eq!(
                    (bpm(row, "bpm"), bpm(row, "none"), bpm(row, "infinite")),
                    (Some(124.5), None, None)
                );
                assert_eq!((year(row, "year"), year(row, "words")), (Some(2024), None));
                for moment in ["utc", "seconds", "milliseconds"] {
                    assert_eq!(moment_ms(row, moment), Some(T), "{moment}");
                }
                assert_eq!((moment_ms(row, "words"), moment_ms(row, "none")), (None, None));
                assert_eq!((text(row, "bytes"), text(row, "missing")), (None, None));
                assert_eq!(blob(row, "bytes"), Some([0, 255].as_slice()));
                Ok(())
            })
            .expect("a row");
    }
}
