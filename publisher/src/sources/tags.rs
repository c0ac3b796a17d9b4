//! What the tags of a played file say, for what the DJ program and its library leave out. Bytes from anybody's download:
//! every read has a bound, and nothing here writes.

use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use lofty::config::{GlobalOptions, ParseOptions, ParsingMode, apply_global_options};
use lofty::file::{AudioFile, FileType, TaggedFile, TaggedFileExt};
use lofty::mp4::{AtomData, AtomIdent, Ilst, Mp4File};
use lofty::picture::PictureType;
use lofty::probe::Probe;
use lofty::tag::{ItemKey, Tag};
use protocol::Track;

use super::decode;

/// A drive that is slower does not matter to the floor any more.
const WITHIN: Duration = Duration::from_secs(3);

/// A file of that size is a night, not a track.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Tags with their picture fit in, and nobody reads a whole track to get at them.
const READ_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The largest picture, and the largest single tag.
const PICTURE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Pictures that lie beside a track, the best first.
const BESIDE: [&str; 10] = [
    "cover.jpg",
    "Cover.jpg",
    "folder.jpg",
    "Folder.jpg",
    "front.jpg",
    "cover.jpeg",
    "cover.png",
    "Cover.png",
    "folder.png",
    "cover.webp",
];

/// What a file says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tags {
    pub track: Track,
    /// For the DJ's own rules, and never told.
    pub comment: Option<String>,
    /// The front of the sleeve, as it lies in the file.
    pub picture: Option<Vec<u8>>,
}

/// Reads the tags of a file, and its picture if one is wanted: that in the file, or else the one beside it.
///
/// # Errors
/// The file is not here, or is none of music; or it was not read in time.
pub fn of_file(path: &Path, wants_picture: bool) -> anyhow::Result<Tags> {
    let (file, until) = (opened(path, FILE_BYTES_MAX)?, Instant::now() + WITHIN);
    let bounded = Bounded { file, until, bytes_left: READ_BYTES_MAX };
    let kind = path.extension().and_then(FileType::from_ext);
    let mut tags = of(BufReader::new(bounded), kind, wants_picture).context("read the tags")?;
    if wants_picture && tags.picture.is_none() {
        tags.picture = beside(path, until);
    }
    Ok(tags)
}

/// Reads the tags of what may be any bytes. `kind` counts when the bytes do not say what they are.
///
/// # Errors
/// They are no music that we know.
pub fn of(bytes: impl Read + Seek, kind: Option<FileType>, wants_picture: bool) -> anyhow::Result<Tags> {
    // These hold for the thread.
    apply_global_options(GlobalOptions::new().allocation_limit(PICTURE_BYTES_MAX));
    let options = ParseOptions::new().parsing_mode(ParsingMode::Relaxed).read_cover_art(wants_picture);
    let probe = match kind {
        Some(kind) => Probe::with_file_type(bytes, kind),
        None => Probe::new(bytes),
    };
    let probe = probe.options(options).guess_file_type()?;
    let (tagged, tempo) = match probe.file_type() {
        Some(FileType::Mp4) => {
            let file = Mp4File::read_from(&mut probe.into_inner(), options)?;
            let tempo = file.ilst().and_then(tempo);
            (TaggedFile::from(file), tempo)
        }
        _ => (probe.read()?, None),
    };
    // The one that belongs to the format counts before what other programs have left there.
    let (first, others): (Vec<&Tag>, Vec<&Tag>) =
        tagged.tags().iter().partition(|tag| tag.tag_type() == tagged.primary_tag_type());
    let all: Vec<&Tag> = first.into_iter().chain(others).collect();
    let texts = |key: ItemKey| {
        let of_tag = |tag: &&Tag| {
            let texts: Vec<String> = tag.get_strings(key).filter_map(decode::field).collect();
            (!texts.is_empty()).then(|| texts.join(", "))
        };
        all.iter().find_map(of_tag)
    };
    let number = |key: ItemKey| texts(key).and_then(|text| bpm(&text));
    let year = |key: ItemKey| texts(key).and_then(|text| text.get(..4)?.parse().ok());
    let length = tagged.properties().duration().as_millis();
    let track = Track {
        artist: texts(ItemKey::TrackArtist).or_else(|| texts(ItemKey::AlbumArtist)),
        title: texts(ItemKey::TrackTitle),
        remix: None,
        album: texts(ItemKey::AlbumTitle),
        genre: texts(ItemKey::Genre),
        year: year(ItemKey::RecordingDate).or_else(|| year(ItemKey::Year)),
        bpm: number(ItemKey::Bpm).or_else(|| number(ItemKey::IntegerBpm)).or(tempo),
        key: texts(ItemKey::InitialKey),
        duration_ms: i64::try_from(length).ok().filter(|length| *length > 0),
        cover: None,
    };
    // A rule may be about any of them. Some programs call the comment a description.
    let keys = [ItemKey::Comment, ItemKey::Description];
    let comments = all.iter().flat_map(|tag| keys.iter().flat_map(|key| tag.get_strings(*key)));
    let comments = comments.filter_map(decode::field);
    let comment = Some(comments.collect::<Vec<_>>().join("\n")).filter(|comment| !comment.is_empty());
    Ok(Tags { track: track.clean(), comment, picture: front(&all).filter(|_| wants_picture) })
}

/// The tempo in an MP4 file, which is a number among texts, so that lofty leaves it out of what all formats have in common.
fn tempo(tags: &Ilst) -> Option<f64> {
    let atom = tags.get(&AtomIdent::Fourcc(*b"tmpo"))?;
    match atom.data().next()? {
        AtomData::SignedInteger(tempo) => bpm(&tempo.to_string()),
        AtomData::UnsignedInteger(tempo) => bpm(&tempo.to_string()),
        _ => None,
    }
}

/// A picture as it lies in its file.
///
/// # Errors
/// It is not here, or too large, or was not read in time.
pub fn picture(path: &Path) -> anyhow::Result<Vec<u8>> {
    read_picture(path, Instant::now() + WITHIN)
}

/// Where a file of this machine lies, if a path names one: no web address, no share of another computer, and nothing that
/// depends on where we were started.
pub fn local(path: &str) -> Option<PathBuf> {
    if path.starts_with("//") || path.starts_with(r"\\") || path.contains("://") || path.contains('\0') {
        return None;
    }
    let path = PathBuf::from(path);
    path.is_absolute().then_some(path)
}

/// The front of the sleeve, or the only picture there is when nobody said what it shows.
fn front(tags: &[&Tag]) -> Option<Vec<u8>> {
    let wanted = [PictureType::CoverFront, PictureType::Other];
    let pictures = || tags.iter().flat_map(|tag| tag.pictures());
    let found = wanted.iter().find_map(|kind| pictures().find(|picture| picture.pic_type() == *kind))?;
    let bytes = found.data();
    (bytes.len() <= PICTURE_BYTES_MAX).then(|| bytes.to_vec())
}

fn beside(path: &Path, until: Instant) -> Option<Vec<u8>> {
    let folder = path.parent()?;
    BESIDE.iter().find_map(|name| read_picture(&folder.join(name), until).ok())
}

fn read_picture(path: &Path, until: Instant) -> anyhow::Result<Vec<u8>> {
    let file = opened(path, PICTURE_BYTES_MAX as u64)?;
    let mut bytes = Vec::new();
    let mut file = Bounded { file, until, bytes_left: PICTURE_BYTES_MAX as u64 };
    file.read_to_end(&mut bytes).context("read a picture")?;
    Ok(bytes)
}

/// Opens a file that is really here. A pipe would never end, and what lies in a cloud would be fetched.
fn opened(path: &Path, bytes_max: u64) -> anyhow::Result<File> {
    let metadata = fs::metadata(path).context("look at the file")?;
    ensure!(metadata.is_file(), "it is no file");
    ensure!(metadata.len() <= bytes_max, "it has {} bytes", metadata.len());
    ensure!(!is_elsewhere(&metadata), "only its name is here, the file is in a cloud");
    File::open(path).context("open the file")
}

#[cfg(windows)]
fn is_elsewhere(metadata: &Metadata) -> bool {
    use std::os::windows::fs::MetadataExt;
    // FILE_ATTRIBUTE_OFFLINE, FILE_ATTRIBUTE_RECALL_ON_OPEN and FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS.
    metadata.file_attributes() & (0x1000 | 0x0004_0000 | 0x0040_0000) != 0
}

#[cfg(target_os = "macos")]
fn is_elsewhere(metadata: &Metadata) -> bool {
    // SF_DATALESS
    std::os::macos::fs::MetadataExt::st_flags(metadata) & 0x4000_0000 != 0
}

#[cfg(not(any(windows, target_os = "macos")))]
fn is_elsewhere(_: &Metadata) -> bool {
    false
}

/// Beats per minute as people write them.
fn bpm(text: &str) -> Option<f64> {
    let bpm: f64 = text.trim().replace(',', ".").parse().ok()?;
    (20.0..=400.0).contains(&bpm).then_some(bpm)
}

/// A file that is read for so long and so much, and not beyond. It cannot end a read that the system does not answer; for
/// that, nobody waits for whoever reads.
#[derive(Debug)]
struct Bounded<F> {
    file: F,
    until: Instant,
    bytes_left: u64,
}

impl<F> Bounded<F> {
    fn check(&self) -> io::Result<()> {
        if Instant::now() >= self.until {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        if self.bytes_left == 0 {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(())
    }
}

impl<F: Read> Read for Bounded<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        let most = buffer.len().min(usize::try_from(self.bytes_left).unwrap_or(usize::MAX));
        let read = self.file.read(&mut buffer[..most])?;
        self.bytes_left = self.bytes_left.saturating_sub(read as u64);
        Ok(read)
    }
}

impl<F: Seek> Seek for Bounded<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.check()?;
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const MP3: &[u8] = include_bytes!("../../samples/tags/tagged.mp3");
    const FLAC: &[u8] = include_bytes!("../../samples/tags/tagged.flac");
    const M4A: &[u8] = include_bytes!("../../samples/tags/tagged.m4a");
    const BARE: &[u8] = include_bytes!("../../samples/tags/bare.mp3");

    fn read(bytes: &[u8]) -> anyhow::Result<Tags> {
        of(Cursor::new(bytes), None, true)
    }

    #[test]
    fn each_format_says_the_same() {
        for (bytes, bpm) in [(MP3, 124.0), (FLAC, 124.5), (M4A, 124.0)] {
            let Tags { track, comment, picture } = read(bytes).expect("music");
            assert_eq!(track.line(), "Nova Harbor – Glass Tide");
            assert_eq!((track.album.as_deref(), track.genre.as_deref()), (Some("Shore"), Some("House")));
            assert_eq!((track.year, track.bpm, track.key.as_deref()), (Some(2024), Some(bpm), Some("F#m")));
            assert!((900..1_200).contains(&track.duration_ms.expect("a length")), "{track:?}");
            assert_eq!(comment.as_deref(), Some("for the end"));
            let jpeg = crate::cover::small(&picture.expect("a picture")).expect("a cover");
            assert!(jpeg.as_bytes().len() > 300);
        }
    }

    #[test]
    fn without_tags_there_is_a_length() {
        let Tags { track, comment, picture } = read(BARE).expect("music");
        assert_eq!((track.title, track.bpm, comment, picture), (None, None, None, None));
        assert!(track.duration_ms.is_some());
    }

    #[test]
    fn a_picture_that_is_not_wanted_is_not_read() {
        assert_eq!(of(Cursor::new(FLAC), None, false).expect("music").picture, None);
    }

    #[test]
    fn tempo_is_a_number_that_can_be_danced_to() {
        for (text, expected) in [
            ("124", Some(124.0)),
            ("124.50", Some(124.5)),
            (" 98,2 ", Some(98.2)),
            ("0", None),
            ("1240", None),
            ("nan", None),
            ("fast", None),
            ("-124", None),
        ] {
            assert_eq!(bpm(text), expected, "{text}");
        }
    }

    #[test]
    fn only_files_of_this_machine_are_read() {
        for path in [
            "http://x.org/a.mp3",
            "netsearch://dz1",
            r"\\nas\music\a.mp3",
            "//nas/a.mp3",
            "a.mp3",
            "",
            "/a\0",
        ] {
            assert_eq!(local(path), None, "{path:?}");
        }
        if cfg!(unix) {
            assert_eq!(local("/m/a.mp3"), Some(PathBuf::from("/m/a.mp3")));
            assert_eq!(local(r"D:\m\a.mp3"), None);
        }
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(of_file(dir.path(), true).is_err());
        assert!(of_file(&dir.path().join("gone.mp3"), true).is_err());
        if cfg!(unix) {
            // Whoever opens it waits for a writer.
            let pipe = dir.path().join("pipe.mp3");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("run mkfifo");
            assert!(made.success() && of_file(&pipe, true).is_err());
        }
    }

    #[test]
    fn the_picture_beside_the_file_stands_in() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("a.mp3");
        fs::write(&file, BARE).expect("written");
        assert_eq!(of_file(&file, true).expect("music").picture, None);
        fs::write(dir.path().join("folder.jpg"), b"a picture").expect("written");
        assert_eq!(of_file(&file, true).expect("music").picture.as_deref(), Some(&b"a picture"[..]));
        assert_eq!(of_file(&file, false).expect("music").picture, None);
    }

    #[test]
    fn nobody_reads_for_ever() {
        let endless = || Bounded {
            file: io::repeat(7),
            until: Instant::now() + Duration::from_secs(3_600),
            bytes_left: 1_000_000,
        };
        let mut bytes = Vec::new();
        assert!(endless().read_to_end(&mut bytes).is_err());
        assert_eq!(bytes.len(), 1_000_000);
        let mut late = Bounded { until: Instant::now(), ..endless() };
        assert_eq!(late.read(&mut [0]).expect_err("too late").kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn cut_anywhere_it_does_not_fail() {
        for whole in [MP3, FLAC, M4A] {
            for end in (0..whole.len()).step_by(13) {
                let _ = read(&whole[..end]);
            }
        }
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_answered(at in 0usize..6_000, bytes in proptest::collection::vec(any::<u8>(), 1..8), which in 0usize..3) {
            let mut whole = [MP3, FLAC, M4A][which].to_vec();
            let at = at % (whole.len() - bytes.len());
            whole[at..at + bytes.len()].copy_from_slice(&bytes);
            if let Ok(tags) = read(&whole) {
                prop_assert_eq!(tags.track.clone().clean(), tags.track);
            }
        }
    }
}
