//! VirtualDJ's library `database.xml`: what the history leaves out (BPM, key, album, genre, year, comment).
//!
//! The file may be tens of megabytes and is rewritten while we run, so the index holds only where each song begins; a
//! look-up reads that one song and checks that it still is the right one.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use protocol::Track;
use quick_xml::events::{BytesStart, Event};

use crate::sources::observation::{Location, Observation};
use crate::sources::xml::{Elements, values};
use crate::sources::{decode, playlist};

/// A song with all its cue points fits in.
const SONG_BYTES_MAX: u64 = 256 * 1024;

/// Where each song of a library begins. Looking up costs one short read.
#[derive(Debug, Default)]
pub struct Index {
    /// By a hash of the path in one spelling. Several songs may share it.
    by_path: HashMap<u64, Vec<u64>>,
    by_size_and_title: HashMap<u64, u64>,
}

/// What the library says of one song.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Song {
    pub path: String,
    pub file_bytes: Option<u64>,
    pub track: Track,
    /// For the rules, and never told.
    pub comment: Option<String>,
}

impl Index {
    /// Reads through a library once. A file cut short gives the songs up to there.
    pub fn of(xml: impl Read) -> Self {
        let mut index = Self::default();
        songs(xml, |at, song| {
            index.by_path.entry(hash(&one_spelling(&song.path))).or_default().push(at);
            if let Some(key) = size_and_title(song.file_bytes, song.track.title.as_deref()) {
                index.by_size_and_title.insert(key, at);
            }
            true
        });
        index
    }

    /// The library of a file.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        Ok(Self::of(File::open(path)?))
    }

    /// The song at a path: the same path, else the same but for case and slashes, else the same size and title.
    pub fn song(
        &self,
        xml: &mut (impl Read + Seek),
        path: &str,
        file_bytes: Option<u64>,
        title: Option<&str>,
    ) -> io::Result<Option<Song>> {
        let spelled = one_spelling(path);
        let mut alike = None;
        for &at in self.by_path.get(&hash(&spelled)).into_iter().flatten() {
            match song_at(xml, at)? {
                Some(song) if song.path == path => return Ok(Some(song)),
                Some(song) if one_spelling(&song.path) == spelled => alike = alike.or(Some(song)),
                _ => {}
            }
        }
        if alike.is_some() {
            return Ok(alike);
        }
        let Some(key) = size_and_title(file_bytes, title) else { return Ok(None) };
        let Some(&at) = self.by_size_and_title.get(&key) else { return Ok(None) };
        let song = song_at(xml, at)?;
        Ok(song.filter(|song| size_and_title(song.file_bytes, song.track.title.as_deref()) == Some(key)))
    }
}

impl Song {
    /// Fills what the observation does not know. What the DJ's program said is never changed.
    pub fn fill(self, observation: &mut Observation) {
        if observation.is_named && self.track.title.is_some() {
            // A name of a file is worth less than what the library says.
            let track = &mut observation.track;
            (track.artist, track.title, observation.is_named) = (None, None, false);
        }
        observation.track.complete(self.track);
        observation.comment = observation.comment.take().or(self.comment);
    }
}

/// The path by which a library may know the observation.
pub fn path_of(observation: &Observation) -> Option<String> {
    match observation.location.as_ref()? {
        Location::Path(path) | Location::Url(path) => Some(path.clone()),
        Location::Stream { service, id } => Some(format!("netsearch://{service}{id}")),
    }
}

fn song_at(xml: &mut (impl Read + Seek), at: u64) -> io::Result<Option<Song>> {
    xml.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    xml.take(SONG_BYTES_MAX).read_to_end(&mut bytes)?;
    let mut first = None;
    songs(bytes.as_slice(), |_, song| {
        first = Some(song);
        false
    });
    Ok(first)
}

/// Calls `each` with every song and where it begins, until it says no or the text ends or stops making sense.
fn songs(xml: impl Read, mut each: impl FnMut(u64, Song) -> bool) {
    let mut elements = Elements::of(xml);
    let mut open: Option<(u64, Song)> = None;
    let mut comment: Option<String> = None;
    while let Some((at, event)) = elements.next() {
        match event {
            Event::Start(tag) if tag.name().as_ref() == "Song" => {
                // A song that was never closed counts too.
                if let Some((at, song)) = open.replace((at, song(&tag)))
                    && !each(at, song)
                {
                    return;
                }
            }
            Event::Empty(tag) if tag.name().as_ref() == "Song" => {
                let song = song(&tag);
                let goes_on = each(at, song);
                if !goes_on {
                    return;
                }
            }
            Event::End(tag) if tag.name().as_ref() == "Song" => {
                if let Some((at, song)) = open.take()
                    && !each(at, song)
                {
                    return;
                }
            }
            Event::Start(tag) if tag.name().as_ref() == "Comment" => comment = Some(String::new()),
            Event::End(tag) if tag.name().as_ref() == "Comment" => {
                if let (Some((_, song)), Some(text)) = (&mut open, comment.take()) {
                    song.comment = decode::field(&text);
                }
            }
            Event::Start(tag) | Event::Empty(tag) => {
                if let Some((_, song)) = &mut open {
                    tags(song, &tag);
                }
            }
            Event::Text(text) => {
                if let Some(comment) = &mut comment {
                    comment.push_str(&decode::line(text.as_bytes()));
                }
            }
            Event::GeneralRef(name) => {
                if let Some(comment) = &mut comment {
                    comment.push_str(&playlist::unescaped(&format!("&{};", decode::line(name.as_bytes()))));
                }
            }
            _ => {}
        }
    }
    if let Some((at, song)) = open {
        each(at, song);
    }
}

fn song(tag: &BytesStart<'_>) -> Song {
    let mut song = Song::default();
    for (name, value) in values(tag) {
        match name.as_str() {
            "FilePath" => song.path = value,
            "FileSize" => song.file_bytes = value.parse().ok(),
            _ => {}
        }
    }
    song
}

fn tags(song: &mut Song, tag: &BytesStart<'_>) {
    let track = &mut song.track;
    let of_tags = tag.name().as_ref() == "Tags";
    for (name, value) in values(tag) {
        let Some(value) = decode::field(&value) else { continue };
        match (tag.name().as_ref(), name.as_str()) {
            ("Tags", "Author") => track.artist = Some(value),
            ("Tags", "Title") => track.title = Some(value),
            ("Tags", "Remix") => track.remix = Some(value),
            ("Tags", "Album") => track.album = Some(value),
            ("Tags", "Genre") => track.genre = Some(value),
            ("Tags", "Year") => track.year = value.parse().ok(),
            ("Infos", "SongLength") => track.duration_ms = playlist::seconds_as_ms(&value),
            // What the DJ wrote into the tags beats what the program measured, in whichever order they stand.
            ("Tags" | "Scan", "Bpm") if of_tags || track.bpm.is_none() => {
                track.bpm = bpm(&value).or(track.bpm)
            }
            ("Tags" | "Scan", "Key") if of_tags || track.key.is_none() => track.key = Some(value),
            _ => {}
        }
    }
}

/// The library counts seconds per beat; some tags count beats per minute.
fn bpm(text: &str) -> Option<f64> {
    let value: f64 = text.replace(',', ".").parse().ok()?;
    let bpm = if value > 0.0 && value < 10.0 { 60.0 / value } else { value };
    (20.0..=400.0).contains(&bpm).then(|| (bpm * 10.0).round() / 10.0)
}

fn one_spelling(path: &str) -> String {
    path.replace('\\', "/").to_lowercase()
}

fn size_and_title(file_bytes: Option<u64>, title: Option<&str>) -> Option<u64> {
    Some(hash(&format!("{}|{}", file_bytes?, title?.to_lowercase())))
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const V20: &[u8] = include_bytes!("../../../samples/virtualdj/v20/database.xml");
    const PATH: &str = "/Users/dj/Music/Nova Harbor - Glass Tide.mp3";

    #[track_caller]
    fn check(
        xml: &[u8],
        path: &str,
        size_and_title: Option<(u64, &str)>,
        expected: Option<&str>,
    ) -> Option<Song> {
        let index = Index::of(xml);
        let (size, title) = size_and_title.unzip();
        let song = index.song(&mut Cursor::new(xml), path, size, title).expect("memory can be read");
        assert_eq!(song.as_ref().and_then(|song| song.track.title.as_deref()), expected);
        song
    }

    #[test]
    fn v20_a_song_of_a_file_without_end() {
        let song = check(V20, PATH, None, Some("Glass Tide")).expect("it is there");
        assert_eq!(song.track.bpm, Some(124.0));
        assert_eq!(song.track.key.as_deref(), Some("F#m"));
        assert_eq!(song.comment.as_deref(), Some("peak time"));
        assert_eq!(
            (song.track.album.as_deref(), song.track.year, song.track.duration_ms),
            (Some("Shore"), Some(2024), Some(241_622))
        );
    }

    #[test]
    fn paths_match_in_other_spellings_and_files_by_size_and_title() {
        check(V20, r"\users\DJ\music\nova harbor - glass tide.MP3", None, Some("Glass Tide"));
        check(V20, "/moved.mp3", Some((9_744_561, "glass tide")), Some("Glass Tide"));
        check(V20, "/moved.mp3", Some((1, "glass tide")), None);
    }

    #[test]
    fn cut_anywhere_it_does_not_fail() {
        for end in 0..V20.len() {
            Index::of(&V20[..end]);
        }
    }

    #[test]
    fn an_index_of_an_older_file_never_gives_another_song() {
        let index = Index::of(V20);
        let newer =
            String::from_utf8_lossy(V20).replace("<Song FilePath=\"/U", "<!-- longer --><Song FilePath=\"/V");
        let song =
            index.song(&mut Cursor::new(newer.as_bytes()), PATH, None, None).expect("memory can be read");
        assert_eq!(song, None);
    }

    #[test]
    fn a_bad_byte_spoils_nothing_but_itself() {
        let xml = b"<Song FilePath=\"/a\"><Tags Title=\"\xF6\"/></Song><Song FilePath=\"/b\"><Tags Title=\"\xC3\xB6\"/></Song>";
        check(xml, "/a", None, Some("?"));
        check(xml, "/b", None, Some("ö"));
    }

    #[test]
    fn tags_beat_measurements_and_entities_are_decoded() {
        let xml = br#"<Song FilePath="C:\A &amp; B.mp3"><Scan Bpm="0.5" Key="1A"/><Tags Title="A &amp; B" Bpm="100" Key="Am"/></Song>"#;
        let song = check(xml, r"C:\A & B.mp3", None, Some("A & B")).expect("it is there");
        assert_eq!((song.track.bpm, song.track.key.as_deref()), (Some(100.0), Some("Am")));
    }
}
