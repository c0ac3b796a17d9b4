//! rekordbox's database as SQLCipher itself writes it, while rekordbox has it open.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use config::Secret;
use jiff::Timestamp;
use pika_publisher::settings::{Rekordbox, Settings};
use pika_publisher::sources::observation::SourceKind;
use pika_publisher::sources::places::Places;
use pika_publisher::sources::{SourceEvent, SourceState, Sources};
use tokio_util::sync::CancellationToken;

use crate::source::{follow_with, next};

/// Invented, as all that stands in these databases.
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Runs statements, one a line, and says when each is done.
const SCRIPT: &str = "
import sys
from sqlcipher3 import dbapi2
database = dbapi2.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    print(database.execute(line).fetchall(), flush=True)
";

const SCHEMA: &[&str] = &[
    "create table djmdSongHistory (ID varchar(255) primary key, HistoryID varchar(255), ContentID varchar(255), created_at datetime not null)",
    "create table djmdContent (ID varchar(255) primary key, FolderPath varchar(255), Title varchar(255), ArtistID varchar(255), AlbumID varchar(255), GenreID varchar(255), KeyID varchar(255), BPM integer, Length integer, Commnt varchar(255), ReleaseYear integer, FileSize integer, ImagePath varchar(255))",
    "create table djmdArtist (ID varchar(255) primary key, Name varchar(255))",
    "create table djmdAlbum (ID varchar(255) primary key, Name varchar(255))",
    "create table djmdGenre (ID varchar(255) primary key, Name varchar(255))",
    "create table djmdKey (ID varchar(255) primary key, ScaleName varchar(255))",
    "insert into djmdArtist values ('7', 'Nova Harbor')",
    "insert into djmdAlbum values ('8', 'Shore')",
    "insert into djmdGenre values ('9', 'House')",
    "insert into djmdKey values ('5', 'F#m')",
    "insert into djmdContent values ('1', '/m/1.mp3', 'Glass Tide', '7', '8', '9', '5', 12450, 241, 'peak time', 2024, 9744561, '/PIONEER/Artwork/1.jpg')",
    "insert into djmdContent values ('2', '/m/2.mp3', 'Low Sun', '7', null, null, null, 0, 0, '', 0, 0, '/../../etc/passwd')",
];

/// The program that has the database open.
struct Writer {
    child: Child,
    statements: ChildStdin,
    answers: BufReader<ChildStdout>,
    rows: u32,
}

impl Writer {
    /// Makes a database, or opens one.
    fn open(path: &Path) -> Self {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let clients = std::env::var_os("PIKA_TEST_CLIENTS").map(PathBuf::from);
        let clients = clients
            .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/clients")));
        let mut child = Command::new("python3")
            .args(["-c", SCRIPT])
            .arg(path)
            .env("PYTHONPATH", clients.join("python"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it is installed; see xtask/src/tools.rs");
        let (statements, answers) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut writer = Self { child, statements, answers: BufReader::new(answers), rows: 0 };
        writer.run(&format!("pragma key = '{KEY}'"));
        // As rekordbox 6 and 7 have it, whatever the default becomes.
        writer.run("pragma cipher_compatibility = 4");
        writer.run("pragma journal_mode = wal");
        writer.run("pragma wal_autocheckpoint = 0");
        writer
    }

    fn with_tracks(path: &Path) -> Self {
        let mut writer = Self::open(path);
        SCHEMA.iter().for_each(|statement| writer.run(statement));
        writer
    }

    fn run(&mut self, statement: &str) {
        writeln!(self.statements, "{statement}").expect("it runs");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("text");
        assert!(
            answer.starts_with('['),
            "{statement} failed, see above; was it `cargo xtask test` that began this?"
        );
    }

    fn plays(&mut self, track: u32) {
        self.rows += 1;
        let added = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S.000 +00:00");
        let row = self.rows;
        self.run(&format!("insert into djmdSongHistory values ('{row}', '1', '{track}', '{added}')"));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // As a program that was killed: the log stays.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn settings(path: &Path, key: Option<&str>) -> Settings {
    let rekordbox = Rekordbox { key: key.map(Secret::new) };
    let path = Some(path.to_owned());
    Settings { source: SourceKind::Rekordbox.into(), path, rekordbox, ..Settings::default() }
}

/// A followed source that ends with the test.
struct Followed {
    sources: Sources,
    stop: CancellationToken,
}

impl Followed {
    fn with(settings: &Settings, places: Places) -> Self {
        let stop = CancellationToken::new();
        Self { sources: follow_with(settings, places, &stop), stop }
    }

    fn at(path: &Path) -> Self {
        Self::with(&settings(path, Some(KEY)), Places::default())
    }

    async fn found(&mut self) {
        while !matches!(next(&mut self.sources).await, SourceEvent::State(SourceState::Found { .. })) {}
    }

    async fn missing(&mut self) -> String {
        loop {
            if let SourceEvent::State(SourceState::Missing { why, .. }) = next(&mut self.sources).await {
                return why;
            }
        }
    }

    async fn hears(&mut self, line: &str) -> pika_publisher::sources::observation::Observation {
        loop {
            if let SourceEvent::Plays(plays) = next(&mut self.sources).await
                && let Some(play) = plays.into_iter().find(|play| play.track.line() == line)
            {
                return play;
            }
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_with_rekordbox() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("rekordbox/master.db");
    let mut writer = Writer::with_tracks(&path);
    let mut source = Followed::at(path.parent().expect("a folder"));
    source.found().await;
    // From the log, which nothing has put into the database yet.
    writer.plays(1);
    let play = source.hears("Nova Harbor – Glass Tide").await;
    let track = &play.track;
    assert_eq!((track.album.as_deref(), track.genre.as_deref()), (Some("Shore"), Some("House")));
    assert_eq!((track.bpm, track.key.as_deref(), track.year), (Some(124.5), Some("F#m"), Some(2024)));
    assert_eq!((track.duration_ms, play.comment.as_deref()), (Some(241_000), Some("peak time")));
    assert!(play.started_ms.is_some());
    assert_eq!(play.picture, Some(dir.path().join("rekordbox/share/PIONEER/Artwork/1.jpg")));
    // Put into the database, and a log that begins again.
    writer.run("pragma wal_checkpoint(truncate)");
    writer.plays(2);
    let second = source.hears("Nova Harbor – Low Sun").await;
    assert_eq!((second.track.bpm, second.track.duration_ms), (None, None));
    assert_eq!(second.picture, None, "nothing outside of its folder is read");
    // Analysed later.
    writer.run("update djmdContent set BPM = 12600 where ID = '2'");
    let again = source.hears("Nova Harbor – Low Sun").await;
    assert_eq!((again.track.bpm, again.identity), (Some(126.0), second.identity));
    // Killed and started again.
    drop(writer);
    let mut writer = Writer::open(&path);
    writer.rows = 10;
    writer.plays(1);
    source.hears("Nova Harbor – Glass Tide").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_grows_while_it_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("master.db");
    let mut writer = Writer::with_tracks(&path);
    writer.run("pragma wal_autocheckpoint = 4");
    let mut source = Followed::at(&path);
    // What is written takes the page it is put into from under whoever reads.
    for number in 100..400 {
        let path = "x".repeat(3000);
        writer.run(&format!(
            "insert into djmdContent (ID, Title, ArtistID, FolderPath) values ('{number}', 'Song {number}', '7', '{path}')"
        ));
        writer.plays(number);
    }
    source.hears("Nova Harbor – Song 399").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_it_closed_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("master.db");
    let mut writer = Writer::with_tracks(&path);
    writer.run("pragma wal_checkpoint(truncate)");
    drop(writer);
    let check = async |path: &Path, key: Option<&str>, expected: &str| {
        let mut source = Followed::with(&settings(path, key), Places::default());
        let why = source.missing().await;
        assert!(why.contains(expected), "{why}");
    };
    check(&path, None, "set `key` in [publisher.rekordbox]").await;
    check(&path, Some("secret"), "64 digits").await;
    check(&path, Some(&KEY.replace('0', "1")), "the key does not open its database").await;
    check(&dir.path().join("other.db"), Some(KEY), "not there").await;
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[2 * 4096 + 99] ^= 1;
    std::fs::write(&path, &bytes).expect("written");
    check(&path, Some(KEY), "page 3 does not open").await;
    // Half of it, as after a full disk.
    bytes.truncate(4096 + 100);
    std::fs::write(&path, &bytes).expect("written");
    check(&path, Some(KEY), "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_found_by_itself_when_there_is_a_key() {
    let dir = tempfile::tempdir().expect("a folder");
    let _writer = Writer::with_tracks(&dir.path().join("Library/Pioneer/rekordbox/master.db"));
    let places = Places { home: Some(dir.path().to_owned()), ..Places::default() };
    let rekordbox = Rekordbox { key: Some(Secret::new(KEY)) };
    let with_key = Settings { rekordbox, ..Settings::default() };
    Followed::with(&with_key, places.clone()).found().await;
    // Nothing to be seen without one, unless it was chosen.
    let why = Followed::with(&Settings::default(), places.clone()).missing().await;
    assert!(why.contains("not on this machine"), "{why}");
    let chosen = Settings { source: SourceKind::Rekordbox.into(), ..Settings::default() };
    let why = Followed::with(&chosen, places).missing().await;
    assert!(why.contains("[publisher.rekordbox]"), "{why}");
}
