//! rekordbox 6 and 7: the history in its encrypted database, of which the DJ has the key. rekordbox adds a row when a track has
//! played for about a minute.

mod locked;
pub mod sqlcipher;

use std::io;
use std::path::{Path, PathBuf};

use config::Secret;
use rusqlite::{Connection, Row};
use serde::Deserialize;

use self::locked::Locked;
use super::CatchUp;
use super::files::{Files, Looked};
use super::observation::{Location, Observation, SourceKind};
use super::places::Places;
use super::rows::Rows;
use super::{folder, sqlite};

const DATABASE: &str = "master.db";
const OPTIONS_BYTES_MAX: u64 = 256 * 1024;
/// More than a night.
const ROWS_MAX: usize = 256;
/// Where the pictures are, beside the database.
const SHARE: &str = "share";
const KEY_DIGITS: usize = 64;

const NEWEST: &str = "
select h.ID as row, h.created_at as added,
    c.Title as title, a.Name as artist, l.Name as album, g.Name as genre, k.ScaleName as key,
    c.ReleaseYear as year, c.BPM / 100.0 as bpm, c.Length as length, c.Commnt as comment,
    c.FolderPath as location, c.FileSize as filesize, c.ImagePath as image
from djmdSongHistory h
join djmdContent c on c.ID = h.ContentID
left join djmdArtist a on a.ID = c.ArtistID
left join djmdAlbum l on l.ID = c.AlbumID
left join djmdGenre g on g.ID = c.GenreID
left join djmdKey k on k.ID = c.KeyID
order by h.created_at desc, h.rowid desc
limit ?1";

/// The history of one rekordbox.
#[derive(Debug)]
pub(super) struct Rekordbox {
    path: PathBuf,
    folder: PathBuf,
    /// What is read, or why nothing can be.
    database: Result<Locked, &'static str>,
    rows: Rows,
}

impl Rekordbox {
    /// rekordbox's folder, or its database.
    pub fn at(path: &Path, key: Option<&Secret>, catch_up: CatchUp) -> Self {
        let path = if path.is_dir() { path.join(DATABASE) } else { path.to_owned() };
        let folder = path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
        let database = key_of(key).map(|key| Locked::at(path.clone(), key));
        Self { path, folder, database, rows: Rows::new(catch_up) }
    }
}

/// The key as rekordbox uses it.
fn key_of(key: Option<&Secret>) -> Result<Secret, &'static str> {
    let key = key.map(|key| key.reveal().trim()).filter(|key| !key.is_empty());
    match key {
        None => Err("its database is encrypted: set `key` in [publisher.rekordbox] to its key of 64 digits"),
        Some(key) if key.len() != KEY_DIGITS || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Err("`key` in [publisher.rekordbox] is no key: it has 64 digits from 0 to 9 and a to f")
        }
        Some(key) => Ok(Secret::new(key)),
    }
}

/// Whether a path is rekordbox's by its name, or by what lies there.
pub(super) fn is_rekordbox(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(DATABASE)) || path.join(DATABASE).is_file()
}

/// rekordbox's database on this machine: where it says itself, else where it is by default.
pub(super) fn find(places: &Places) -> Option<PathBuf> {
    let agents = places.data.iter().map(|data| data.join("Pioneer/rekordboxAgent/storage/options.json"));
    let noted = agents.filter_map(|options| noted(&options));
    let of_home = places.home.iter().map(|home| home.join("Library/Pioneer/rekordbox"));
    let of_data = places.data.iter().map(|data| data.join("Pioneer/rekordbox"));
    let usual = of_home.chain(of_data).map(|folder| folder.join(DATABASE));
    noted.chain(usual).find(|path| path.is_file())
}

/// Where rekordbox has noted down that its database is.
fn noted(options: &Path) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Options {
        /// Pairs of a name and a value.
        options: Vec<Vec<serde_json::Value>>,
    }
    let json = folder::read_head(options, OPTIONS_BYTES_MAX).ok()?;
    let Options { options } = serde_json::from_slice(&json).ok()?;
    let path = options.iter().find_map(|option| match option.as_slice() {
        [name, value, ..] if name.as_str() == Some("db-path") => value.as_str(),
        _ => None,
    });
    path.map(PathBuf::from).filter(|path| path.is_absolute())
}

impl Files for Rekordbox {
    fn kind(&self) -> SourceKind {
        SourceKind::Rekordbox
    }

    fn what(&self) -> String {
        self.path.display().to_string()
    }

    fn watched(&self) -> &Path {
        &self.folder
    }

    fn look(&mut self, now_ms: i64, _: bool) -> io::Result<Looked> {
        let database = self.database.as_mut().map_err(|why| io::Error::other(*why))?;
        let share = self.folder.join(SHARE);
        let plays = database.read(now_ms, |connection| newest(connection, &share))?;
        let news = plays.map(|plays| self.rows.news(now_ms, plays)).unwrap_or_default();
        Ok(Looked::plays(news, database.wake_ms()))
    }
}

/// The newest plays, oldest first.
fn newest(connection: &Connection, share: &Path) -> rusqlite::Result<Vec<Observation>> {
    let mut newest = connection.prepare(NEWEST)?;
    let rows = newest.query_map([ROWS_MAX as i64], |row| Ok(play(row, share)))?;
    let mut plays = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    plays.reverse();
    Ok(plays)
}

fn play(row: &Row<'_>, share: &Path) -> Observation {
    let id = sqlite::text(row, "row").unwrap_or_default();
    let added = sqlite::text(row, "added").unwrap_or_default();
    let mut play = Observation::new(SourceKind::Rekordbox, format!("{id}|{added}"));
    sqlite::fill(row, &mut play, "title", "length");
    play.track.key = sqlite::text(row, "key");
    play.location = sqlite::text(row, "location").map(Location::Path);
    play.file_bytes = sqlite::bytes(row, "filesize");
    // It begins with a slash, and names a file below that folder.
    let image = sqlite::text(row, "image").filter(|image| !image.split(['/', '\\']).any(|part| part == ".."));
    play.picture = image.map(|image| share.join(image.trim_start_matches(['/', '\\'])));
    play.started_ms = sqlite::moment_ms(row, "added");
    play.named()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_asked_for_and_looked_at() {
        let key = "0123456789abcdef".repeat(4);
        let check =
            |key: Option<&str>| key_of(key.map(Secret::new).as_ref()).map_err(|why| why.contains("no key"));
        assert_eq!(check(Some(&format!(" {key}\n"))), Ok(Secret::new(key.as_str())));
        assert_eq!(check(None), Err(false));
        assert_eq!(check(Some(" ")), Err(false));
        assert_eq!(check(Some("x")), Err(true));
        assert_eq!(check(Some(&"x".repeat(64))), Err(true));
    }

    #[test]
    fn is_found_where_it_says_or_where_it_is_by_default() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = dir.path().join("home");
        let data = home.join("Library/Application Support");
        let places = Places { home: Some(home.clone()), data: vec![data.clone()], ..Places::default() };
        let made = |path: &Path, text: &str| {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        assert_eq!(find(&places), None);
        let usual = home.join("Library/Pioneer/rekordbox/master.db");
        made(&usual, "");
        assert_eq!(find(&places), Some(usual.clone()));
        let options = data.join("Pioneer/rekordboxAgent/storage/options.json");
        let moved = dir.path().join("moved/master.db");
        let text = serde_json::json!({ "options": [["lang", "en"], ["db-path", moved], ["x", 1, 2], []] })
            .to_string();
        made(&options, &text);
        assert_eq!(find(&places), Some(usual.clone()), "what is noted is not there");
        made(&moved, "");
        assert_eq!(find(&places), Some(moved));
        for text in ["", "{", "{\"options\":7}", "{\"options\":[[\"db-path\",\"master.db\"]]}"] {
            made(&options, text);
            assert_eq!(find(&places), Some(usual.clone()), "{text}");
        }
    }
}
