//! djay Pro: the text file with the current track that it writes on macOS, or else the history in its library.

pub mod tsaf;

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Statement};

use self::tsaf::Fields;
use super::CatchUp;
use super::decode;
use super::files::{Files, Looked, TextFile};
use super::folder;
use super::observation::{Location, Observation, SourceKind, percent_decoded};
use super::places::Places;
use super::rows::Rows;
use super::sqlite::{self, Database};
use super::text::Layout;

const DATABASE: &str = "MediaLibrary.db";
/// On macOS, and on Windows.
const LIBRARIES: [&str; 2] = ["djay Media Library.djayMediaLibrary", "djay Media Library"];
const TEXT: &str = "NowPlaying.txt";
/// A file that was not written for so long is left over: djay never deletes it.
const TEXT_USED_WITHIN_MS: i64 = 30 * 86_400_000;
/// The looks of a second at the newest plays stay short.
const ROWS_MAX: usize = 64;

const NEWEST: &str = "
select rowid as item_row, key, data
from database2
where collection = 'historySessionItems'
order by rowid desc
limit ?1";

const ABOUT_TITLE: &str = "select data from database2 where collection = ?1 and key = ?2 limit 1";

/// The library of one djay.
#[derive(Debug)]
pub(super) struct Djay {
    folder: PathBuf,
    database: Database,
    rows: Rows,
    /// Once one of both is read it stays that one: the other would tell the same plays again.
    reads: Option<Reads>,
}

#[derive(Debug)]
enum Reads {
    Text(Box<TextFile>),
    Database,
}

impl Djay {
    /// djay's library folder, the folder above it, or a file in it.
    pub fn at(path: &Path, catch_up: CatchUp) -> Self {
        let folder = match path.parent() {
            Some(folder) if path.is_file() || (is_djay(path) && !path.is_dir()) => folder.to_owned(),
            _ => libraries(path).find(|folder| is_library(folder)).unwrap_or_else(|| path.to_owned()),
        };
        let database = Database::at(folder.clone(), DATABASE);
        Self { folder, database, rows: Rows::new(catch_up), reads: None }
    }

    fn choose(&self, now_ms: i64) -> io::Result<Reads> {
        let text = folder::look(&self.folder, TEXT)?;
        let is_used = text.is_some_and(|text| now_ms.saturating_sub(text.modified_ms) < TEXT_USED_WITHIN_MS);
        Ok(if is_used {
            let (folder, name) = (self.folder.clone(), TEXT.to_owned());
            Reads::Text(Box::new(TextFile::of(SourceKind::Djay, folder, name, Layout::Labels)))
        } else {
            Reads::Database
        })
    }
}

/// Whether a path is djay's by its name, or by what lies there.
pub(super) fn is_djay(path: &Path) -> bool {
    let is = |wanted: &str| path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
    // Other programs have a text of that name too.
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    is(DATABASE) || (is(TEXT) && LIBRARIES.contains(&&*folder)) || path.join(DATABASE).is_file()
}

/// djay's library folder on this machine.
pub(super) fn find(places: &Places) -> Option<PathBuf> {
    let music = places.music.as_ref()?;
    libraries(&music.join("djay")).find(|folder| is_library(folder))
}

fn libraries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let below = LIBRARIES.map(|name| folder.join(name));
    std::iter::once(folder.to_owned()).chain(below)
}

fn is_library(folder: &Path) -> bool {
    [DATABASE, TEXT].iter().any(|name| folder.join(name).is_file())
}

impl Files for Djay {
    fn kind(&self) -> SourceKind {
        SourceKind::Djay
    }

    fn what(&self) -> String {
        match &self.reads {
            Some(Reads::Text(text)) => text.what(),
            Some(Reads::Database) => self.folder.join(DATABASE).display().to_string(),
            None => self.folder.display().to_string(),
        }
    }

    fn watched(&self) -> &Path {
        &self.folder
    }

    fn look(&mut self, now_ms: i64, hinted: bool) -> io::Result<Looked> {
        let mut reads = match self.reads.take() {
            Some(reads) => reads,
            None => self.choose(now_ms)?,
        };
        let looked = match &mut reads {
            Reads::Text(text) => text.look(now_ms, hinted),
            Reads::Database => self.database.read(now_ms, newest).map(|plays| {
                let news = plays.map(|plays| self.rows.news(now_ms, plays)).unwrap_or_default();
                Looked::plays(news, Some(self.database.wake_ms()))
            }),
        };
        // A library that is not there yet may come with a text.
        if looked.is_ok() || matches!(reads, Reads::Text(_)) {
            self.reads = Some(reads);
        }
        looked
    }
}

/// The newest plays, oldest first.
fn newest(connection: &Connection) -> rusqlite::Result<Vec<Observation>> {
    let mut newest = connection.prepare(NEWEST)?;
    let items = newest.query_map([ROWS_MAX as i64], |row| {
        let name = sqlite::text(row, "key").or_else(|| sqlite::text(row, "item_row"));
        Ok((name.unwrap_or_default(), tsaf::parse(sqlite::blob(row, "data").unwrap_or_default())))
    })?;
    let mut about_title = connection.prepare(ABOUT_TITLE)?;
    let mut plays = Vec::new();
    for item in items {
        let (name, fields) = item?;
        let mut play = play(name, &fields);
        // djay writes these a moment after the item.
        if let Some(id) = fields.text("titleID") {
            let analyzed = about(&mut about_title, "mediaItemAnalyzedData", id)?;
            let located = about(&mut about_title, "localMediaItemLocations", id)?;
            let bpm = analyzed.number("manualBPM").into_iter().chain(analyzed.number("bpm"));
            play.track.bpm = bpm.into_iter().find(|bpm| *bpm > 0.0);
            play.location = located.text("sourceURIs").and_then(location);
        }
        plays.push(play.named());
    }
    plays.reverse();
    Ok(plays)
}

/// What a collection says of a title.
fn about(about_title: &mut Statement<'_>, collection: &str, id: &str) -> rusqlite::Result<Fields> {
    let mut rows = about_title.query([collection, id])?;
    let row = rows.next()?;
    Ok(tsaf::parse(row.and_then(|row| sqlite::blob(row, "data")).unwrap_or_default()))
}

fn play(name: String, fields: &Fields) -> Observation {
    let text = |name: &str| fields.text(name).and_then(decode::field);
    let mut play = Observation::new(SourceKind::Djay, name);
    // What is no number of a deck saturates, and is none that anybody ignores.
    play.deck = fields.number("deckNumber").map(|number| number as u8);
    play.track.title = text("title");
    play.track.artist = text("artist");
    play.track.album = text("album");
    play.track.genre = text("genre");
    play.track.duration_ms =
        fields.number("duration").map(|seconds| (seconds * 1000.0) as i64).filter(|ms| *ms > 0);
    play.started_ms = fields.moment_ms("startTime");
    play
}

fn location(uri: &str) -> Option<Location> {
    let uri = decode::field(uri)?;
    Some(match uri.strip_prefix("file://") {
        Some(path) => Location::Path(percent_decoded(path)),
        None => match uri.split_once(':') {
            Some((service, id)) if !uri.contains("://") => {
                Location::Stream { service: service.to_owned(), id: id.to_owned() }
            }
            _ => Location::parse(&uri),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::tsaf::tests::Blob;
    use super::*;
    use crate::sources::SourceEvent;

    const T: i64 = 1_795_291_800_000;
    const EPOCH_S: f64 = 978_307_200.0;

    fn djay(folder: &Path) -> Connection {
        let writer = Connection::open(folder.join(DATABASE)).expect("opened");
        writer.pragma_update(None, "journal_mode", "wal").expect("switched");
        writer
            .execute_batch(
                "create table database2 (
                    rowid integer primary key, collection char not null, key char not null, data blob, metadata blob
                )",
            )
            .expect("made");
        writer
    }

    fn put(writer: &Connection, collection: &str, key: &str, blob: Blob) {
        let row = "insert into database2 (collection, key, data) values (?1, ?2, ?3)";
        writer.execute(row, (collection, key, blob.bytes())).expect("written");
    }

    fn item(title: &str, started_ms: i64) -> Blob {
        let started_s = started_ms as f64 / 1000.0 - EPOCH_S;
        Blob::of("ADCHistorySessionItem")
            .named(title, "uuid")
            .raw(&[0x2b])
            .text("ADCMediaItemTitleID")
            .named(&format!("id of {title}"), "uuid")
            .named(title, "title")
            .named("Nova Harbor", "artist")
            .number(0x13, &241.5_f32.to_le_bytes(), "duration")
            .raw(&[0])
            .text("titleID")
            .number(0x14, &2_f64.to_le_bytes(), "deckNumber")
            .number(0x30, &started_s.to_le_bytes(), "startTime")
    }

    fn plays(djay: &mut Djay, now_ms: i64) -> Vec<Observation> {
        let looked = djay.look(now_ms, true).expect("it is there");
        let plays = looked.events.into_iter().filter_map(|event| match event {
            SourceEvent::Plays(plays) => Some(plays),
            _ => None,
        });
        plays.flatten().collect()
    }

    #[test]
    fn an_item_of_the_history_is_a_play_that_is_known_better_a_moment_later() {
        let dir = tempfile::tempdir().expect("a folder");
        let writer = djay(dir.path());
        let mut djay = Djay::at(dir.path(), CatchUp { since_ms: T, ..CatchUp::default() });
        put(&writer, "historySessionItems", "1", item("Yesterday", T - 86_400_000));
        assert_eq!(plays(&mut djay, T), []);
        put(&writer, "historySessionItems", "2", item("Glass Tide", T + 3_000));
        let told = plays(&mut djay, T + 4_000);
        let [play] = told.as_slice() else { panic!("one play, not {told:?}") };
        assert_eq!(play.track.line(), "Nova Harbor – Glass Tide");
        assert_eq!(
            (play.deck, play.started_ms, play.track.duration_ms, play.track.bpm),
            (Some(2), Some(T + 3_000), Some(241_500), None)
        );

        let analyzed = Blob::of("ADCMediaItemAnalyzedData").number(0x13, &124.5_f32.to_le_bytes(), "bpm");
        put(&writer, "mediaItemAnalyzedData", "id of Glass Tide", analyzed);
        let located = Blob::of("ADCMediaItemLocation").named("file:///m/Glass%20Tide.mp3", "sourceURIs");
        put(&writer, "localMediaItemLocations", "id of Glass Tide", located);
        let again = plays(&mut djay, T + 4_500);
        assert_eq!(again[0].identity, play.identity);
        assert_eq!(again[0].track.bpm, Some(124.5));
        assert_eq!(again[0].location, Some(Location::Path("/m/Glass Tide.mp3".to_owned())));
    }

    #[test]
    fn the_text_goes_first_unless_it_is_left_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let library = dir.path().join("djay/djay Media Library.djayMediaLibrary");
        std::fs::create_dir_all(&library).expect("made");
        let _writer = djay(&library);
        let places = Places { music: Some(dir.path().to_owned()), ..Places::default() };
        assert_eq!(find(&places), Some(library.clone()));

        let text = library.join(TEXT);
        std::fs::write(&text, "Title: Glass Tide\nArtist: Nova Harbor\n").expect("written");
        let written_ms = folder::look(&library, TEXT).expect("read").expect("written").modified_ms;
        let reads = |now_ms| {
            let mut djay = Djay::at(&dir.path().join("djay"), CatchUp::default());
            let said = plays(&mut djay, now_ms).iter().map(|play| play.track.line()).collect::<String>();
            (djay.what() == text.display().to_string(), said)
        };
        assert_eq!(reads(written_ms + 1_000), (true, "Nova Harbor – Glass Tide".to_owned()));
        assert_eq!(reads(written_ms + TEXT_USED_WITHIN_MS), (false, String::new()));
    }

    #[test]
    fn where_tracks_lie() {
        assert_eq!(
            location("tidal:track:7"),
            Some(Location::Stream { service: "tidal".into(), id: "track:7".into() })
        );
        assert_eq!(location("https://x.org/a"), Some(Location::Url("https://x.org/a".into())));
    }
}
