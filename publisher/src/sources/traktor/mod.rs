//! Traktor's collection on this machine, for what a broadcast leaves out. A look-up never delays a play: it is told as it was
//! heard, and told again with more known of it.

pub mod nml;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use protocol::Track;
use tokio::sync::{mpsc, watch};

use self::nml::{Entry, Index};
use super::live::Sound;
use super::places::Places;

const COLLECTION: &str = "collection.nml";
/// What lies behind it in a larger collection is not known.
const COLLECTION_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// An answer is taken at once; one that is not waits, and the next question with it.
const ANSWERS_MAX: usize = 1;

/// The collection, and the index of it as it was when it was asked last.
#[derive(Debug)]
pub(super) struct Collection {
    /// As the DJ has set it.
    chosen: Option<PathBuf>,
    /// Where Traktor keeps a folder for each of its versions.
    versions: Option<PathBuf>,
    indexed: Option<Indexed>,
}

#[derive(Debug)]
struct Indexed {
    path: PathBuf,
    size_bytes: u64,
    modified: SystemTime,
    index: Index,
}

/// What is asked: a track as it was heard. And what is known of it.
pub(super) type Answer = (Track, Entry);

/// Asks the collection. Of questions that wait, the newest alone is answered: it is what is heard now.
#[derive(Debug)]
pub(super) struct Asker(watch::Sender<Option<Track>>);

impl Asker {
    pub fn ask(&self, track: &Track) {
        self.0.send_replace(Some(track.clone()));
    }
}

/// Answers questions, when something is known, until the asker is gone. Reading goes on beside the tasks.
pub(super) fn open(mut collection: Collection) -> (Asker, mpsc::Receiver<Answer>) {
    let (questions, mut asked) = watch::channel(None::<Track>);
    let (answers, answered) = mpsc::channel(ANSWERS_MAX);
    tokio::spawn(async move {
        loop {
            let track = asked.borrow_and_update().clone();
            let looked = tokio::task::spawn_blocking(move || {
                // Without a question it reads ahead, so that the first one is answered soon.
                let entry = collection
                    .renew()
                    .and_then(|()| track.as_ref().map_or(Ok(None), |track| collection.entry(track)));
                let entry = entry.unwrap_or_else(|error| {
                    tracing::info!("cannot read Traktor's collection: {error}");
                    None
                });
                (collection, track.zip(entry))
            });
            let Ok((again, answer)) = looked.await else { return };
            collection = again;
            if let Some(answer) = answer
                && answers.send(answer).await.is_err()
            {
                return;
            }
            if asked.changed().await.is_err() {
                return;
            }
        }
    });
    (Asker(questions), answered)
}

impl Collection {
    pub fn of(chosen: Option<PathBuf>, places: &Places) -> Self {
        let versions = places.documents.as_ref().map(|documents| documents.join("Native Instruments"));
        Self { chosen, versions, indexed: None }
    }

    /// Reads the collection if it is another one than before.
    fn renew(&mut self) -> io::Result<()> {
        let path = match &self.chosen {
            Some(chosen) if chosen.is_dir() => Some(chosen.join(COLLECTION)),
            Some(chosen) => Some(chosen.clone()),
            None => self.versions.as_deref().and_then(newest),
        };
        let Some(path) = path else {
            self.indexed = None;
            return Ok(());
        };
        let metadata = fs::metadata(&path)?;
        let (size_bytes, modified) = (metadata.len(), metadata.modified()?);
        let is_same = |indexed: &Indexed| {
            indexed.path == path && indexed.size_bytes == size_bytes && indexed.modified == modified
        };
        if !self.indexed.as_ref().is_some_and(is_same) {
            let index = Index::of(File::open(&path)?.take(COLLECTION_BYTES_MAX));
            tracing::info!(tracks = index.len(), "Traktor's collection is known: {}", path.display());
            self.indexed = Some(Indexed { path, size_bytes, modified, index });
        }
        Ok(())
    }

    fn entry(&self, track: &Track) -> io::Result<Option<Entry>> {
        let Some(Indexed { path, index, .. }) = &self.indexed else { return Ok(None) };
        index.entry(&mut File::open(path)?, track)
    }
}

/// The collection of the newest version.
fn newest(versions: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(versions).ok()?.flatten();
    let collections = folders.filter_map(|folder| {
        let name = folder.file_name().to_string_lossy().into_owned();
        let numbers = name.to_lowercase().strip_prefix("traktor").map(numbers)?;
        let path = folder.path().join(COLLECTION);
        path.is_file().then_some((numbers, name, path))
    });
    collections.max().map(|(_, _, path)| path)
}

/// `Traktor Pro 3.11.1` comes after `3.5.0`.
fn numbers(name: &str) -> Vec<u32> {
    let digits = name.split(|character: char| !character.is_ascii_digit());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

impl Entry {
    /// Adds what the sender did not say. What it said is never changed.
    pub(super) fn fill(&self, sound: &mut Sound) {
        sound.track.complete(self.track.clone());
        sound.comment = sound.comment.take().or_else(|| self.comment.clone());
        sound.location = sound.location.take().or_else(|| self.location.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NML: &[u8] = include_bytes!("../../../samples/traktor/mac/collection.nml");

    #[test]
    fn the_newest_version_that_has_a_collection() {
        let dir = tempfile::tempdir().expect("a folder");
        let versions = dir.path();
        assert_eq!(newest(versions), None);
        let made = |name: &str, has_collection: bool| {
            fs::create_dir_all(versions.join(name)).expect("made");
            if has_collection {
                fs::write(versions.join(name).join(COLLECTION), NML).expect("written");
            }
        };
        let check =
            |expected: &str| assert_eq!(newest(versions), Some(versions.join(expected).join(COLLECTION)));
        made("Traktor 2.11.3", true);
        made("Maschine 9", true);
        check("Traktor 2.11.3");
        made("Traktor 3.5.0", true);
        made("Traktor Pro 3.11.1", true);
        made("Traktor 4.0.0", false);
        check("Traktor Pro 3.11.1");
        made("Traktor Pro 4.0.2", true);
        check("Traktor Pro 4.0.2");
    }

    #[test]
    fn a_collection_that_changes_is_read_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut collection = Collection::of(Some(dir.path().to_owned()), &Places::default());
        let track = |title: &str| Track {
            artist: Some("Nova Harbor".to_owned()),
            title: Some(title.to_owned()),
            ..Track::default()
        };
        let mut bpm = |title: &str| {
            collection.renew()?;
            collection.entry(&track(title)).map(|entry| entry.and_then(|entry| entry.track.bpm))
        };
        assert!(bpm("Glass Tide").is_err(), "there is none yet");
        let path = dir.path().join(COLLECTION);
        fs::write(&path, NML).expect("written");
        assert_eq!(bpm("Glass Tide").expect("read"), Some(124.0));
        assert_eq!(bpm("Low Sun").expect("read"), None);
        let newer = String::from_utf8_lossy(NML).replace("Glass Tide", "Low Sun");
        fs::write(&path, newer).expect("written");
        assert_eq!(bpm("Low Sun").expect("read"), Some(124.0));
    }
}
