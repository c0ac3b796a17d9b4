//! Traktor's `collection.nml`: what it says of a track. Bytes in, facts out; which file it is and when it is read is decided
//! elsewhere.
//!
//! A collection may be a hundred megabytes, so the index holds only where each entry begins; a look-up reads that one entry and
//! checks that it still is the right one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom};

use protocol::Track;
use quick_xml::events::{BytesStart, Event};

use crate::sources::observation::Location;
use crate::sources::xml::{Elements, values};
use crate::sources::{decode, playlist};

/// A track with all its cue points fits in.
const ENTRY_BYTES_MAX: u64 = 256 * 1024;
/// More than anybody has; the index takes some 30 bytes for each. Those beyond are not known.
const ENTRIES_MAX: usize = 500_000;

/// Where each entry of a collection begins.
#[derive(Debug, Default)]
pub struct Index {
    /// By a hash of artist and title. Of several, the first: they are copies of one track.
    entries: HashMap<u64, u64>,
}

/// What the collection says of one track.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    pub track: Track,
    /// For the rules, and never told.
    pub comment: Option<String>,
    pub location: Option<Location>,
}

impl Index {
    /// Reads through a collection once. One that was cut short gives the entries up to there.
    pub fn of(nml: impl Read) -> Self {
        let mut index = Self::default();
        entries(nml, |at, entry| {
            if let Some(name) = name(&entry.track) {
                index.entries.entry(name).or_insert(at);
            }
            index.entries.len() < ENTRIES_MAX
        });
        index
    }

    /// How many tracks are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of the track's artist and title, whatever their case.
    ///
    /// # Errors
    /// The collection cannot be read.
    pub fn entry(&self, nml: &mut (impl Read + Seek), track: &Track) -> io::Result<Option<Entry>> {
        let Some(wanted) = name(track) else { return Ok(None) };
        let Some(&at) = self.entries.get(&wanted) else { return Ok(None) };
        nml.seek(SeekFrom::Start(at))?;
        let mut bytes = Vec::new();
        nml.take(ENTRY_BYTES_MAX).read_to_end(&mut bytes)?;
        let mut first = None;
        entries(bytes.as_slice(), |_, entry| {
            first = Some(entry);
            false
        });
        Ok(first.filter(|entry| name(&entry.track) == Some(wanted)))
    }
}

/// Artist and title in one spelling. A title is needed: an artist alone names no track.
fn name(track: &Track) -> Option<u64> {
    let spelled = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let title = spelled(track.title.as_deref()?);
    if title.is_empty() {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    (spelled(track.artist.as_deref().unwrap_or_default()), title).hash(&mut hasher);
    Some(hasher.finish())
}

/// Calls `each` with every entry of the collection and where it begins, until it says no or the text ends or stops making sense.
fn entries(nml: impl Read, mut each: impl FnMut(u64, Entry) -> bool) {
    let mut elements = Elements::of(nml);
    let mut open: Option<(u64, Entry)> = None;
    while let Some((at, event)) = elements.next() {
        let (ended, begun) = match event {
            Event::Start(tag) if tag.name().as_ref() == "ENTRY" => (open.take(), Some((at, entry(&tag)))),
            Event::Empty(tag) if tag.name().as_ref() == "ENTRY" => (Some((at, entry(&tag))), open.take()),
            Event::End(tag) if tag.name().as_ref() == "ENTRY" => (open.take(), None),
            // Playlists follow, whose entries only name those of the collection.
            Event::End(tag) if tag.name().as_ref() == "COLLECTION" => break,
            Event::Start(tag) | Event::Empty(tag) => {
                if let Some((_, entry)) = &mut open {
                    fact(entry, &tag);
                }
                continue;
            }
            _ => continue,
        };
        open = begun;
        if let Some((at, entry)) = ended
            && !each(at, entry)
        {
            return;
        }
    }
    if let Some((at, entry)) = open {
        each(at, entry);
    }
}

fn entry(tag: &BytesStart<'_>) -> Entry {
    let mut entry = Entry::default();
    for (name, value) in values(tag) {
        match name.as_str() {
            "ARTIST" => entry.track.artist = decode::field(&value),
            "TITLE" => entry.track.title = decode::field(&value),
            _ => {}
        }
    }
    entry
}

fn fact(entry: &mut Entry, tag: &BytesStart<'_>) {
    let values = values(tag);
    let track = &mut entry.track;
    let value = |name: &str| {
        let found = values.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| decode::field(value))
    };
    match tag.name().as_ref() {
        "ALBUM" => track.album = value("TITLE"),
        "LOCATION" => {
            entry.location = value("FILE").map(|file| location(value("VOLUME"), value("DIR"), &file))
        }
        "INFO" => {
            track.genre = value("GENRE");
            entry.comment = value("COMMENT");
            track.year = value("RELEASE_DATE").and_then(|date| decode::year(&date));
            track.key = track.key.take().or_else(|| value("KEY").map(|key| named_key(&key)));
            let seconds = value("PLAYTIME_FLOAT").or_else(|| value("PLAYTIME"));
            track.duration_ms = seconds.and_then(|seconds| playlist::seconds_as_ms(&seconds));
        }
        "TEMPO" => track.bpm = value("BPM").and_then(|bpm| tempo(&bpm)),
        "MUSICAL_KEY" => {
            let key = value("VALUE").and_then(|number| number.parse::<usize>().ok());
            // What Traktor measured or the DJ chose beats what stands in the file's tags.
            if let Some(key) = key.and_then(|number| KEYS.get(number)) {
                track.key = Some((*key).to_owned());
            }
        }
        _ => {}
    }
}

fn tempo(text: &str) -> Option<f64> {
    let bpm: f64 = text.parse().ok()?;
    (20.0..=400.0).contains(&bpm).then(|| (bpm * 10.0).round() / 10.0)
}

/// Traktor numbers keys by semitones, major before minor.
const KEYS: [&str; 24] = [
    "C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B", "Cm", "C#m", "Dm", "Ebm", "Em", "Fm",
    "F#m", "Gm", "G#m", "Am", "Bbm", "Bm",
];

/// A key of Traktor's own notation (`1d` to `12d` and `1m` to `12m`, by fifths from C and A minor) by its name; any other as it is.
fn named_key(text: &str) -> String {
    let semitone = |hours: usize, from: usize| (from + (hours - 1) * 7) % 12;
    let number = |digits: &str| digits.parse::<usize>().ok().filter(|hours| (1..=12).contains(hours));
    let key = match (text.strip_suffix('d').and_then(number), text.strip_suffix('m').and_then(number)) {
        (Some(hours), _) => KEYS.get(semitone(hours, 0)),
        (None, Some(hours)) => KEYS.get(12 + semitone(hours, 9)),
        (None, None) => None,
    };
    key.map_or_else(|| text.to_owned(), |key| (*key).to_owned())
}

/// `C:` and `/:Music/:` and a name as a path of the system that they are of.
fn location(volume: Option<String>, folder: Option<String>, file: &str) -> Location {
    let volume = volume.unwrap_or_default();
    let folder = folder.unwrap_or_else(|| "/:".to_owned());
    Location::Path(if volume.ends_with(':') {
        format!("{volume}{}{file}", folder.replace("/:", r"\"))
    } else if volume.is_empty() {
        format!("{}{file}", folder.replace("/:", "/"))
    } else {
        // The system's own volume is found there too.
        format!("/Volumes/{volume}{}{file}", folder.replace("/:", "/"))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MAC: &[u8] = include_bytes!("../../../samples/traktor/mac/collection.nml");
    const WINDOWS: &[u8] = include_bytes!("../../../samples/traktor/windows/collection.nml");

    #[track_caller]
    fn looked_up(nml: &[u8], artist: &str, title: &str) -> Option<Entry> {
        Index::of(nml).entry(&mut Cursor::new(nml), &named(artist, title)).expect("memory can be read")
    }

    fn named(artist: &str, title: &str) -> Track {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Track { artist: text(artist), title: text(title), ..Track::default() }
    }

    #[test]
    fn all_that_is_known_of_a_track() {
        let entry = looked_up(MAC, "nova  harbor", "GLASS TIDE").expect("it is there");
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            entry,
            Entry {
                track: Track {
                    album: text("Shore & Sea"),
                    genre: text("House"),
                    year: Some(2024),
                    bpm: Some(124.0),
                    key: text("F#m"),
                    duration_ms: Some(241_622),
                    ..named("Nova Harbor", "Glass Tide")
                },
                comment: text("peak time"),
                location: Some(Location::Path(
                    "/Volumes/Macintosh HD/Users/dj/Music/Glass Tide.mp3".to_owned()
                )),
            }
        );
        // Of copies the first; without analysis what stands in the tags.
        assert_eq!(
            looked_up(MAC, "", "white label 03").expect("it is there").track.key.as_deref(),
            Some("Ebm")
        );
        assert_eq!(looked_up(MAC, "Somebody", "Glass Tide"), None);
        assert_eq!(looked_up(MAC, "Nova Harbor", ""), None);
    }

    #[test]
    fn a_file_of_windows_with_a_mark_and_bad_bytes() {
        let entry = looked_up(WINDOWS, "Søren Åkerblom", "Bølge (Kilo Remix)").expect("it is there");
        let path = r"F:\Musik\Søren Åkerblom - Bølge.mp3";
        assert_eq!(entry.location, Some(Location::Path(path.to_owned())));
        let track = entry.track;
        assert_eq!((track.bpm, track.duration_ms, track.key), (None, Some(198_000), None));
        // One byte of another encoding spoils its own letter.
        assert!(looked_up(WINDOWS, "Bj?rk", "Joga").is_some());
        assert!(looked_up(WINDOWS, "Kilo", "Night").is_some(), "what follows is read");
        assert_eq!(Index::of(WINDOWS).len(), 3);
    }

    #[test]
    fn keys_by_their_names() {
        let by_name = |keys: [&str; 12]| keys.map(named_key).join(" ");
        let major = ["1d", "2d", "3d", "4d", "5d", "6d", "7d", "8d", "9d", "10d", "11d", "12d"];
        assert_eq!(by_name(major), "C G D A E B F# Db Ab Eb Bb F");
        let minor = ["1m", "2m", "3m", "4m", "5m", "6m", "7m", "8m", "9m", "10m", "11m", "12m"];
        assert_eq!(by_name(minor), "Am Em Bm F#m C#m G#m Ebm Bbm Fm Cm Gm Dm");
        for key in ["Am", "8A", "0d", "13m", "99999999999999999999m", "m", "Dbm"] {
            assert_eq!(named_key(key), key);
        }
    }

    #[test]
    fn cut_anywhere_it_does_not_fail() {
        for end in 0..MAC.len() {
            Index::of(&MAC[..end]);
        }
    }

    #[test]
    fn an_index_of_an_older_file_never_gives_another_track() {
        let index = Index::of(MAC);
        let newer = String::from_utf8_lossy(MAC).replace("Tide\" ARTIST", "Tides\" ARTIST");
        let mut newer = Cursor::new(newer.into_bytes());
        let found = index.entry(&mut newer, &named("Nova Harbor", "Glass Tide")).expect("memory can be read");
        assert_eq!(found, None);
    }

    #[test]
    fn hostile() {
        let name = "x".repeat(100_000);
        let long = format!("<COLLECTION><ENTRY ARTIST=\"{name}\" TITLE=\"T\"><TEMPO BPM=\"1e999\"/></ENTRY>");
        assert_eq!(Index::of(long.as_bytes()).len(), 1);
        let endless = "<COLLECTION><ENTRY TITLE=\"T\"/><ENTRY TITLE=\"".as_bytes().chain(io::repeat(b'x'));
        assert_eq!(Index::of(endless).len(), 1);
        let bomb = "<!DOCTYPE NML [<!ENTITY a \"&a;&a;\">]><COLLECTION><ENTRY ARTIST=\"&a;\" TITLE=\"T\"/>";
        assert!(looked_up(bomb.as_bytes(), "&a;", "T").is_some());
        let nested = "<ENTRY TITLE=\"T\">".repeat(10_000);
        assert_eq!(Index::of(nested.as_bytes()).len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(bytes in vec(any::<u8>(), 0..600), at in 0..MAC.len()) {
            let broken = [&MAC[..at], &bytes, &MAC[at..]].concat();
            looked_up(&broken, "Nova Harbor", "Glass Tide");
            Index::of(bytes.as_slice());
        }
    }
}
