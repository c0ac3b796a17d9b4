//! DJUCED: the text file with a line for each deck that the DJ can switch on, or else when each track of its library was
//! last played.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row};

use super::decks::{Change, Deck, Decks};
use super::files::{Files, Looked};
use super::folder::{self, Listed};
use super::observation::{Arrival, Location, Observation, SourceKind, is_fresh};
use super::places::Places;
use super::rows::Rows;
use super::sqlite::{self, Database};
use super::still::{STABLE_MS, Standing, Still};
use super::{CatchUp, SourceEvent, decode};

const FOLDER: &str = "DJUCED";
const DATABASE: &str = "DJUCED.db";
const TEXT: &str = "playing.txt";
const TEXT_BYTES_MAX: u64 = 64 * 1024;
/// A file that was not written for so long is left over from when the DJ had it switched on.
const TEXT_USED_WITHIN_MS: i64 = 30 * 86_400_000;
/// A file that is empty for a shorter time is being written.
const EMPTY_MS: i64 = 500;
const DECKS_MAX: u8 = 8;
const ROWS_MAX: usize = 32;

// Covers and waveforms lie in the same rows and must not be sorted.
const NEWEST: &str = "
select rowid
from tracks
where last_played is not null and last_played not in ('', 0)
order by last_played desc
limit ?1";

const TRACK: &str = "select * from tracks where rowid = ?1";

const NAMED: &str = "select * from tracks where title = ?1 and artist = ?2 limit 1";

/// The files of one DJUCED.
#[derive(Debug)]
pub(super) struct Djuced {
    folder: PathBuf,
    database: Database,
    rows: Rows,
    lines: Lines,
    /// Once one of both is read it stays that one: the other would tell the same plays again.
    reads: Option<Reads>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    Text,
    Database,
}

impl Djuced {
    /// DJUCED's folder, the folder above it, or a file in it.
    pub fn at(path: &Path, decks: Decks, catch_up: CatchUp) -> Self {
        let folder = match path.parent() {
            Some(folder) if is_djuced(path) && !path.is_dir() => folder.to_owned(),
            _ if is_home(path) => path.to_owned(),
            _ if is_home(&path.join(FOLDER)) => path.join(FOLDER),
            _ => path.to_owned(),
        };
        let database = Database::at(folder.clone(), DATABASE);
        let lines = Lines { still: Still::default(), looked: false, told: BTreeMap::new(), decks };
        Self { folder, database, rows: Rows::new(catch_up), lines, reads: None }
    }

    fn choose(&self, now_ms: i64) -> io::Result<Reads> {
        let text = folder::look(&self.folder, TEXT)?;
        let is_used = text.is_some_and(|text| now_ms.saturating_sub(text.modified_ms) < TEXT_USED_WITHIN_MS);
        Ok(if is_used { Reads::Text } else { Reads::Database })
    }

    fn look_at_text(&mut self, now_ms: i64) -> io::Result<Looked> {
        std::fs::metadata(&self.folder)?;
        let Some(listed) = folder::look(&self.folder, TEXT)? else { return Ok(Looked::default()) };
        let path = self.folder.join(TEXT);
        let mut looked = self.lines.look(now_ms, listed, || folder::read_tail(&path, TEXT_BYTES_MAX));
        for event in &mut looked.events {
            let SourceEvent::Plays(plays) = event else { continue };
            plays.iter_mut().for_each(|play| self.complete(play));
        }
        Ok(looked)
    }

    /// Adds what the library knows of a track that the text names.
    fn complete(&self, play: &mut Observation) {
        let name = (play.track.title.clone(), play.track.artist.clone());
        let (Some(title), Some(artist)) = name else { return };
        let known = self
            .database
            .ask(|connection| connection.query_row(NAMED, [title, artist], |row| Ok(track(row))).optional());
        let Some(known) = known.flatten() else { return };
        play.track.complete(known.track);
        play.comment = known.comment;
        play.location = known.location;
    }
}

/// Whether a path is DJUCED's by its name, or by what lies there.
pub(super) fn is_djuced(path: &Path) -> bool {
    let is =
        |path: &Path, wanted: &str| path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
    // Other programs have a text of that name too.
    let in_folder = path.parent().is_some_and(|folder| is(folder, FOLDER));
    is(path, DATABASE) || (is(path, TEXT) && in_folder) || path.join(DATABASE).is_file()
}

/// DJUCED's folder on this machine.
pub(super) fn find(places: &Places) -> Option<PathBuf> {
    let folder = places.documents.as_ref()?.join(FOLDER);
    is_home(&folder).then_some(folder)
}

fn is_home(folder: &Path) -> bool {
    [DATABASE, TEXT].iter().any(|name| folder.join(name).is_file())
}

impl Files for Djuced {
    fn kind(&self) -> SourceKind {
        SourceKind::Djuced
    }

    fn what(&self) -> String {
        let read = match self.reads {
            Some(Reads::Text) => self.folder.join(TEXT),
            Some(Reads::Database) => self.folder.join(DATABASE),
            None => self.folder.clone(),
        };
        read.display().to_string()
    }

    fn watched(&self) -> &Path {
        &self.folder
    }

    fn look(&mut self, now_ms: i64, _: bool) -> io::Result<Looked> {
        let reads = match self.reads {
            Some(reads) => reads,
            None => self.choose(now_ms)?,
        };
        let looked = match reads {
            Reads::Text => self.look_at_text(now_ms)?,
            Reads::Database => {
                let plays = self.database.read(now_ms, newest)?;
                let news = plays.map(|plays| self.rows.news(now_ms, plays)).unwrap_or_default();
                Looked::plays(news, Some(self.database.wake_ms()))
            }
        };
        // Not before it can be read: a library that is not there yet may come with a text.
        self.reads = Some(reads);
        Ok(looked)
    }
}

/// The lines of the text file, one a deck.
#[derive(Debug)]
struct Lines {
    still: Still,
    looked: bool,
    /// What each deck's line was, and since when.
    told: BTreeMap<u8, (String, Deck)>,
    decks: Decks,
}

impl Lines {
    fn look(&mut self, now_ms: i64, listed: Listed, read: impl FnOnce() -> io::Result<Vec<u8>>) -> Looked {
        let mut looked = Looked::default();
        match self.still.look(now_ms, &listed) {
            Standing::AsRead => return looked,
            Standing::Moving { until_ms } if self.looked => {
                looked.wake_ms = Some(until_ms);
                return looked;
            }
            Standing::Moving { .. } | Standing::Ready => {}
        }
        let Ok(bytes) = read() else {
            looked.wake_ms = Some(now_ms.saturating_add(STABLE_MS));
            return looked;
        };
        let full_ms = listed.modified_ms.saturating_add(EMPTY_MS);
        if self.looked && now_ms < full_ms && bytes.iter().all(u8::is_ascii_whitespace) {
            looked.wake_ms = Some(full_ms);
            return looked;
        }
        let is_first = !std::mem::replace(&mut self.looked, true);
        let mut before = std::mem::take(&mut self.told);
        for (number, line, mut play) in lines(&bytes) {
            let same = before.remove(&number).filter(|(old, _)| *old == line);
            let (_, deck) = same.unwrap_or_else(|| {
                play.identity = format!("{number}|{line}|{}", listed.modified_ms);
                if is_first {
                    play.arrival = Arrival::Playing;
                } else {
                    play.started_ms = Some(listed.modified_ms.min(now_ms));
                }
                (line.clone(), Deck { play, since_ms: listed.modified_ms, level: 1.0 })
            });
            self.decks.set(number, Some(deck.clone()));
            self.told.insert(number, (line, deck));
        }
        for number in before.into_keys().filter(|number| !self.told.contains_key(number)).collect::<Vec<_>>()
        {
            self.decks.set(number, None);
        }
        let change = self.decks.change();
        // What stood there before us may be of another night, and of several decks nobody knows which began last.
        let is_known = !is_first || (self.told.len() == 1 && is_fresh(listed.modified_ms, None, now_ms));
        self.still.was_read(listed);
        match change {
            Change::Play(play) if is_known => looked.events.push(SourceEvent::Plays(vec![play])),
            Change::Silence => looked.events.push(SourceEvent::Stopped),
            Change::Play(_) | Change::Nothing => {}
        }
        looked
    }
}

/// Deck, text and track of each line `title | deck | artist | album`. Titles may hold the bar too, so it is split from the
/// right.
fn lines(bytes: &[u8]) -> Vec<(u8, String, Observation)> {
    let mut lines = Vec::new();
    for (index, line) in
        (1..=DECKS_MAX).zip(decode::file(bytes).iter().filter_map(|line| decode::field(line)))
    {
        // A field at the end of the line may be empty, and the space before it is trimmed.
        let whole = format!("{line} ");
        let mut parts = whole.rsplitn(4, " | ");
        let (Some(album), Some(artist), Some(deck), Some(title)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let number = deck_number(deck).unwrap_or(index);
        let mut play = Observation::new(SourceKind::Djuced, String::new());
        play.deck = Some(number);
        play.track.title = decode::field(title);
        play.track.artist = decode::field(artist);
        play.track.album = decode::field(album);
        if play.track.title.is_some() || play.track.artist.is_some() {
            lines.push((number, line, play));
        }
    }
    lines
}

/// A deck as a number or a letter.
fn deck_number(text: &str) -> Option<u8> {
    let text = text.trim();
    match text.as_bytes() {
        [letter @ (b'A'..=b'D' | b'a'..=b'd')] => Some(letter.to_ascii_uppercase() - b'A' + 1),
        _ => text.parse().ok().filter(|number| (1..=DECKS_MAX).contains(number)),
    }
}

/// The tracks that were played last, oldest first.
fn newest(connection: &Connection) -> rusqlite::Result<Vec<Observation>> {
    let mut newest = connection.prepare(NEWEST)?;
    let ids = newest.query_map([ROWS_MAX as i64], |row| row.get(0))?;
    let ids = ids.collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut tracks = connection.prepare(TRACK)?;
    ids.iter().rev().map(|id| tracks.query_row([id], |row| Ok(track(row)))).collect()
}

/// A track, and when it was played last.
fn track(row: &Row<'_>) -> Observation {
    let path = sqlite::text(row, "absolutepath");
    let played = sqlite::text(row, "last_played").unwrap_or_default();
    let identity = format!("{}|{played}", path.as_deref().unwrap_or_default());
    let mut play = Observation::new(SourceKind::Djuced, identity);
    sqlite::fill(row, &mut play, "title", "length");
    play.file_bytes = sqlite::bytes(row, "filesize");
    play.location = path.map(Location::Path);
    // A text says nothing of its time zone. So it tells plays apart, but not when they were.
    play.started_ms = sqlite::number(row, "last_played").and_then(|_| sqlite::moment_ms(row, "last_played"));
    play.named()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::decks::DeckMode;

    const T: i64 = 1_795_291_800_000;

    /// The file at each moment, and what is told.
    #[track_caller]
    fn check(moments: &[(i64, &str)], expected: &[&str]) {
        let decks = Decks::new(DeckMode::Newest, &[4]);
        let mut lines = Lines { still: Still::default(), looked: false, told: BTreeMap::new(), decks };
        let mut told = Vec::new();
        for (at_ms, text) in moments {
            let listed =
                Listed { name: TEXT.into(), id: 1, size_bytes: text.len() as u64, modified_ms: T + at_ms };
            for look_ms in [0, STABLE_MS] {
                let now_ms = T + at_ms + look_ms;
                let looked = lines.look(now_ms, listed.clone(), || Ok(text.as_bytes().to_vec()));
                told.extend(looked.events.into_iter().flat_map(|event| match event {
                    SourceEvent::Plays(plays) => plays.iter().map(|play| play.track.line()).collect(),
                    event => vec![format!("{event:?}")],
                }));
            }
        }
        assert_eq!(told, expected);
    }

    #[test]
    fn the_deck_whose_line_is_new() {
        let both = "Glass Tide | 1 | Nova Harbor | Coast\nLate | Ferry | B | Low Tides | \n";
        check(
            &[
                (0, ""),
                (1_000, "Glass Tide | 1 | Nova Harbor | Coast\n"),
                (200_000, both),
                (200_500, both),
                (400_000, "Rope | 1 | Nova Harbor | \nLate | Ferry | B | Low Tides | \n"),
                (450_000, ""),
                (450_400, "Rope | 1 | Nova Harbor | \nLate | Ferry | B | Low Tides | \n"),
                (500_000, "jingle | 4 | us | \nRope | 1 | Nova Harbor | \n"),
                (600_000, "no such format\n"),
            ],
            &["Nova Harbor – Glass Tide", "Low Tides – Late | Ferry", "Nova Harbor – Rope", "Stopped"],
        );
    }

    #[test]
    fn what_stood_there_before_us_is_told_if_it_can_be_only_one() {
        check(&[(0, "Glass Tide | 1 | Nova Harbor | Coast\n")], &["Nova Harbor – Glass Tide"]);
        let both = "Glass Tide | 1 | Nova Harbor | Coast\nRope | 2 | Low Tides | \n";
        check(
            &[(0, both), (9_000, "Glass Tide | 1 | Nova Harbor | Coast\nFar | 2 | Low Tides | \n")],
            &["Low Tides – Far"],
        );
    }

    fn library(folder: &Path) -> Connection {
        let writer = Connection::open(folder.join(DATABASE)).expect("opened");
        writer
            .execute_batch(
                "create table tracks (
                    id integer primary key, artist text, title text, album text, bpm real, length integer,
                    absolutepath text, coverimage blob, comment text, last_played
                );
                insert into tracks (artist, title, album, bpm, length, absolutepath, coverimage, last_played) values
                    ('Nova Harbor', 'Glass Tide', 'Coast', 124.5, 241, '/m/1.mp3', zeroblob(9000), '2026-11-20 23:00:00'),
                    ('Low Tides', 'Rope', null, 0, 180, '/m/2.mp3', null, null);",
            )
            .expect("made");
        writer
    }

    fn looked(djuced: &mut Djuced, now_ms: i64) -> Vec<Observation> {
        let looked = djuced.look(now_ms, true).expect("it is there");
        let plays = looked.events.into_iter().filter_map(|event| match event {
            SourceEvent::Plays(plays) => Some(plays),
            _ => None,
        });
        plays.flatten().collect()
    }

    fn djuced(path: &Path) -> Djuced {
        let catch_up = CatchUp { since_ms: T, ..CatchUp::default() };
        Djuced::at(path, Decks::new(DeckMode::Newest, &[]), catch_up)
    }

    #[test]
    fn a_track_that_was_played_last_is_a_play() {
        let dir = tempfile::tempdir().expect("a folder");
        let writer = library(dir.path());
        let mut djuced = djuced(&dir.path().join(DATABASE));
        assert_eq!(looked(&mut djuced, T), []);
        // In which time zone it counts is not known: it appears, so it begins.
        let played = "update tracks set last_played = ?1 where title = ?2";
        writer.execute(played, ("2026-11-21 23:10:00", "Rope")).expect("played");
        let plays = looked(&mut djuced, T + 5_000);
        assert_eq!((plays[0].track.line().as_str(), plays[0].started_ms), ("Low Tides – Rope", None));
        assert_eq!((plays[0].arrival, plays[0].track.bpm), (Arrival::Live, None));
        writer.execute(played, ("2026-11-21 23:14:00", "Glass Tide")).expect("played");
        assert_eq!(looked(&mut djuced, T + 240_000)[0].track.bpm, Some(124.5));
    }

    #[test]
    fn the_library_completes_the_text() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join(FOLDER);
        std::fs::create_dir_all(&folder).expect("made");
        let _writer = library(&folder);
        let places = Places { documents: Some(dir.path().to_owned()), ..Places::default() };
        assert_eq!(find(&places), Some(folder.clone()));
        std::fs::write(folder.join(TEXT), "Glass Tide | 1 | Nova Harbor | \n").expect("written");
        let written_ms = folder::look(&folder, TEXT).expect("read").expect("written").modified_ms;
        let plays = looked(&mut djuced(dir.path()), written_ms);
        let track = &plays[0].track;
        assert_eq!(
            (track.bpm, track.album.as_deref(), track.duration_ms),
            (Some(124.5), Some("Coast"), Some(241_000))
        );
        let left_over = looked(&mut djuced(&folder), written_ms + TEXT_USED_WITHIN_MS);
        assert_eq!(left_over, []);
    }
}
