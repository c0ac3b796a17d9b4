//! `up --demo`: a set that is played into a real VirtualDJ folder, for the real publisher to read.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use config::Stop;

use crate::settings::DemoSettings;

struct Song {
    artist: &'static str,
    title: &'static str,
    year: u16,
    genre: &'static str,
    bpm: f64,
    key: &'static str,
    length_s: u32,
}

const fn song(
    artist: &'static str,
    title: &'static str,
    year: u16,
    genre: &'static str,
    bpm: f64,
    key: &'static str,
    length_s: u32,
) -> Song {
    Song { artist, title, year, genre, bpm, key, length_s }
}

const SET: &[Song] = &[
    song("Bessie Smith", "Downhearted Blues", 1923, "Blues", 92.0, "Eb", 208),
    song("King Oliver's Creole Jazz Band", "Dipper Mouth Blues", 1923, "Jazz", 188.0, "C", 136),
    song("Louis Armstrong & His Hot Five", "West End Blues", 1928, "Jazz", 88.0, "Eb", 198),
    song("Ma Rainey", "See See Rider Blues", 1924, "Blues", 84.5, "Bb", 197),
    song("Jelly Roll Morton's Red Hot Peppers", "Black Bottom Stomp", 1926, "Jazz", 252.0, "Bb", 191),
    song("Frankie Trumbauer & Bix Beiderbecke", "Singin' the Blues", 1927, "Jazz", 136.0, "Eb", 180),
    song("Mieczysław Fogg", "To ostatnia niedziela", 1936, "Tango", 62.0, "Em", 186),
    song("Duke Ellington", "Black and Tan Fantasy", 1927, "Jazz", 120.0, "Bbm", 201),
    song("Blind Lemon Jefferson", "Match Box Blues", 1927, "Blues", 174.0, "A", 178),
    song("Ethel Waters", "Dinah", 1925, "Jazz", 110.0, "Ab", 189),
    song("Mamie Smith & Her Jazz Hounds", "Crazy Blues", 1920, "Blues", 148.0, "Eb", 206),
    song("Fats Waller", "Ain't Misbehavin'", 1929, "Stride", 104.0, "Eb", 179),
];

impl Song {
    fn path(&self) -> String {
        format!("C:\\Music\\{} - {}.mp3", self.artist, self.title)
    }

    fn bytes(&self) -> u64 {
        u64::from(self.length_s) * 16_000 + u64::from(self.year)
    }
}

/// Makes VirtualDJ's home folder below `data`, library and all, and returns it.
pub fn prepare(data: &Path) -> anyhow::Result<PathBuf> {
    let home = data.join("VirtualDJ");
    fs::create_dir_all(home.join("History"))
        .with_context(|| format!("make the demo's folder {}", home.display()))?;
    fs::write(home.join("database.xml"), library()).context("write the demo's library")?;
    Ok(home)
}

/// VirtualDJ's library file; `Bpm` is seconds per beat.
fn library() -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let mut xml =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<VirtualDJ_Database Version=\"2024\">\n");
    for song in SET {
        xml += &format!(
            " <Song FilePath=\"{}\" FileSize=\"{}\">\n  <Tags Author=\"{}\" Title=\"{}\" Genre=\"{}\" Year=\"{}\" Flag=\"1\"/>\n  <Infos SongLength=\"{}.0\"/>\n  <Scan Version=\"801\" Bpm=\"{:.6}\" Key=\"{}\"/>\n </Song>\n",
            escaped(&song.path()),
            song.bytes(),
            escaped(song.artist),
            escaped(song.title),
            song.genre,
            song.year,
            song.length_s,
            60.0 / song.bpm,
            song.key,
        );
    }
    xml + "</VirtualDJ_Database>\n"
}

/// Plays until stopped: each track is appended to the list of the day, as VirtualDJ does it.
pub async fn play(home: PathBuf, settings: DemoSettings, stop: Stop) -> anyhow::Result<()> {
    let mut next = plays_so_far(&home);
    let last = settings.tracks.map(|tracks| next as u64 + tracks);
    while last.is_none_or(|last| (next as u64) < last) {
        append(&home, &SET[next % SET.len()])?;
        next += 1;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(settings.every_ms.max(100))) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
    stop.cancelled().await;
    Ok(())
}

fn list_of_the_day(home: &Path) -> PathBuf {
    home.join("History").join(format!("{}.m3u", jiff::Zoned::now().strftime("%Y-%m-%d")))
}

/// A demo that is started again goes on with the set.
fn plays_so_far(home: &Path) -> usize {
    fs::read_to_string(list_of_the_day(home)).map_or(0, |list| list.matches("#EXTVDJ:").count())
}

fn append(home: &Path, song: &Song) -> anyhow::Result<()> {
    let now = jiff::Zoned::now();
    let entry = format!(
        "#EXTVDJ:<time>{}</time><lastplaytime>{}</lastplaytime><filesize>{}</filesize><artist>{}</artist><title>{}</title><songlength>{}.000</songlength>\n{}\n",
        now.strftime("%H:%M"),
        now.timestamp().as_second(),
        song.bytes(),
        song.artist,
        song.title,
        song.length_s,
        song.path(),
    );
    let path = list_of_the_day(home);
    let mut list = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("open the demo's list {}", path.display()))?;
    list.write_all(entry.as_bytes()).with_context(|| format!("write to the demo's list {}", path.display()))
}
