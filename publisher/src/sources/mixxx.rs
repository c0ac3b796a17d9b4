//! Mixxx: the history in its database. Mixxx adds a row when a deck becomes the loudest, so a row is a play.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row};

use super::CatchUp;
use super::files::{Files, Looked};
use super::observation::{Location, Observation, SourceKind};
use super::places::Places;
use super::rows::Rows;
use super::sqlite::{self, Database};

const DATABASE: &str = "mixxxdb.sqlite";
/// More than a night.
const ROWS_MAX: usize = 256;

const NEWEST: &str = "
select p.id as playlist, pt.id as row, pt.pl_datetime_added as added,
    l.artist, l.title, l.album, l.genre, l.year, l.duration, l.bpm, l.key, l.comment, tl.location, tl.filesize
from PlaylistTracks pt
join Playlists p on p.id = pt.playlist_id
join library l on l.id = pt.track_id
left join track_locations tl on tl.id = l.location
where p.hidden = 2
order by pt.id desc
limit ?1";

/// The history of one Mixxx.
#[derive(Debug)]
pub(super) struct Mixxx {
    folder: PathBuf,
    database: Database,
    rows: Rows,
}

impl Mixxx {
    /// The settings folder of Mixxx, or its database.
    pub fn at(path: &Path, catch_up: CatchUp) -> Self {
        let folder = match path.parent() {
            Some(folder) if is_mixxx(path) && !path.is_dir() => folder,
            _ => path,
        };
        let database = Database::at(folder.to_owned(), DATABASE);
        Self { folder: folder.to_owned(), database, rows: Rows::new(catch_up) }
    }
}

/// Whether a path is Mixxx's by its name, or by what lies there.
pub(super) fn is_mixxx(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(DATABASE)) || path.join(DATABASE).is_file()
}

/// Mixxx's settings folder on this machine.
pub(super) fn find(places: &Places) -> Option<PathBuf> {
    let below_home = [
        ".mixxx",
        ".var/app/org.mixxx.Mixxx/.mixxx",
        "Library/Containers/org.mixxx.mixxx/Data/Library/Application Support/Mixxx",
    ];
    let home = places.home.iter().flat_map(|home| below_home.map(|folder| home.join(folder)));
    let data = places.data.iter().map(|data| data.join("Mixxx"));
    home.chain(data).find(|folder| folder.join(DATABASE).is_file())
}

impl Files for Mixxx {
    fn kind(&self) -> SourceKind {
        SourceKind::Mixxx
    }

    fn what(&self) -> String {
        self.folder.join(DATABASE).display().to_string()
    }

    fn watched(&self) -> &Path {
        &self.folder
    }

    fn look(&mut self, now_ms: i64, _: bool) -> io::Result<Looked> {
        let plays = self.database.read(now_ms, newest)?;
        let news = plays.map(|plays| self.rows.news(now_ms, plays)).unwrap_or_default();
        Ok(Looked::plays(news, Some(self.database.wake_ms())))
    }
}

/// The newest plays, oldest first.
fn newest(connection: &Connection) -> rusqlite::Result<Vec<Observation>> {
    let mut newest = connection.prepare(NEWEST)?;
    let rows = newest.query_map([ROWS_MAX as i64], |row| Ok(play(row)))?;
    let mut plays = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    plays.reverse();
    Ok(plays)
}

fn play(row: &Row<'_>) -> Observation {
    let id = |column: &str| sqlite::whole(row, column).unwrap_or_default();
    let added = sqlite::text(row, "added").unwrap_or_default();
    let mut play = Observation::new(SourceKind::Mixxx, format!("{}|{}|{added}", id("playlist"), id("row")));
    sqlite::fill(row, &mut play, "title", "duration");
    play.track.key = sqlite::text(row, "key");
    play.location = sqlite::text(row, "location").map(Location::Path);
    play.file_bytes = sqlite::bytes(row, "filesize");
    play.started_ms = sqlite::moment_ms(row, "added");
    play.named()
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_795_291_800_000;

    const SCHEMA: &str = "
        create table Playlists (id integer primary key, name text, hidden integer);
        create table PlaylistTracks (
            id integer primary key autoincrement, playlist_id integer, track_id integer, position integer,
            pl_datetime_added
        );
        create table library (
            id integer primary key, artist text, title text, album text, genre text, year text, duration real,
            bpm real, key text, comment text, location integer
        );
        create table track_locations (id integer primary key, location text, filesize integer);
        insert into Playlists values (1, 'to play', 0), (7, '2026-11-21', 2);
        insert into track_locations values (1, '/m/Nova Harbor - Glass Tide.ogg', 9000), (2, '/m/Low Tides - Rope.ogg', 1);
        insert into library values
            (1, 'Nova Harbor', 'Glass Tide', 'Coast', 'House', '2024', 241.6, 0, null, 'for the end', 1),
            (2, null, '', null, null, null, 180, 120, 'Am', null, 2);";

    fn mixxx(folder: &Path) -> Connection {
        let writer = Connection::open(folder.join(DATABASE)).expect("opened");
        writer.execute_batch(SCHEMA).expect("made");
        writer
    }

    fn added(writer: &Connection, playlist: i64, track: i64, at: &str) {
        let row = "insert into PlaylistTracks (playlist_id, track_id, pl_datetime_added) values (?1, ?2, ?3)";
        writer.execute(row, (playlist, track, at)).expect("added");
    }

    fn looked(source: &mut Mixxx, now_ms: i64) -> Vec<Observation> {
        let looked = source.look(now_ms, true).expect("a database");
        looked
            .events
            .into_iter()
            .flat_map(|event| match event {
                super::super::SourceEvent::Plays(plays) => plays,
                _ => Vec::new(),
            })
            .collect()
    }

    #[test]
    fn a_row_of_the_history_is_a_play_that_is_known_better_later() {
        let dir = tempfile::tempdir().expect("a folder");
        let writer = mixxx(dir.path());
        let catch_up = CatchUp { since_ms: T, ..CatchUp::default() };
        let mut source = Mixxx::at(&dir.path().join(DATABASE), catch_up);
        added(&writer, 7, 2, "2026-11-20 20:10:00");
        added(&writer, 1, 1, "2026-11-21 20:10:00");
        assert_eq!(looked(&mut source, T), []);

        added(&writer, 7, 1, "2026-11-21 20:10:03");
        let plays = looked(&mut source, T + 4_000);
        let [play] = plays.as_slice() else { panic!("one play, not {plays:?}") };
        assert_eq!(play.track.line(), "Nova Harbor – Glass Tide");
        assert_eq!((play.track.year, play.track.bpm, play.started_ms), (Some(2024), None, Some(T + 3_000)));
        assert_eq!(play.identity, "7|3|2026-11-21 20:10:03");

        writer.execute("update library set bpm = 124.02, key = 'F#m' where id = 1", []).expect("analysed");
        let again = looked(&mut source, T + 8_000);
        assert_eq!((again.len(), again[0].identity.as_str()), (1, "7|3|2026-11-21 20:10:03"));
        assert_eq!((again[0].track.bpm, again[0].track.key.as_deref()), (Some(124.02), Some("F#m")));

        added(&writer, 7, 2, "2026-11-21 20:14:00");
        let plays = looked(&mut source, T + 240_000);
        assert_eq!(plays[0].track.line(), "Low Tides – Rope");
    }

    #[test]
    fn is_found_where_it_keeps_its_settings() {
        let dir = tempfile::tempdir().expect("a folder");
        let places = Places { home: Some(dir.path().to_owned()), ..Places::default() };
        assert_eq!(find(&places), None);
        let folder = dir.path().join(".mixxx");
        std::fs::create_dir_all(&folder).expect("made");
        mixxx(&folder);
        assert_eq!(find(&places), Some(folder));
    }
}
