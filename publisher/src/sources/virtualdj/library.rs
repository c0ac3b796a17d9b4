//! The libraries of all drives, indexed on a thread of their own: looking up a song never waits for an index.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use super::database::{Index, path_of};
use crate::sources::observation::Observation;

/// A library that VirtualDJ keeps writing is read again at most so often.
const AGAIN_MS: i64 = 60_000;

/// The largest libraries on the slowest drives are read within this.
const INDEX_WITHIN: Duration = Duration::from_secs(60);

/// The libraries met so far: one in VirtualDJ's folder and one per other drive.
#[derive(Debug)]
pub struct Library {
    home: PathBuf,
    files: HashMap<PathBuf, Indexed>,
    done: Receiver<(PathBuf, Index)>,
    finished: SyncSender<(PathBuf, Index)>,
}

#[derive(Debug, Default)]
struct Indexed {
    index: Option<Index>,
    stamp: Option<(u64, SystemTime)>,
    begun_ms: Option<i64>,
    running: bool,
}

impl Library {
    pub fn of(home: &Path) -> Self {
        // Whoever has read a library waits until the one before it was taken in.
        let (finished, done) = sync_channel(1);
        let files = HashMap::from([(home.join("database.xml"), Indexed::default())]);
        Self { home: home.to_owned(), files, done, finished }
    }

    /// Takes in finished indexes and begins those that are due. Says whether one was finished.
    pub fn refresh(&mut self, now_ms: i64) -> bool {
        let mut renewed = false;
        while let Ok((path, index)) = self.done.try_recv() {
            let indexed = self.files.entry(path).or_default();
            indexed.index = Some(index);
            indexed.running = false;
            renewed = true;
        }
        for (path, indexed) in &mut self.files {
            let waits = indexed.begun_ms.is_some_and(|begun_ms| now_ms.saturating_sub(begun_ms) < AGAIN_MS);
            if indexed.running || waits {
                continue;
            }
            let stamp =
                fs::metadata(path).and_then(|metadata| Ok((metadata.len(), metadata.modified()?))).ok();
            if stamp.is_none() || stamp == indexed.stamp {
                continue;
            }
            *indexed = Indexed { index: indexed.index.take(), stamp, begun_ms: Some(now_ms), running: true };
            let (path, finished) = (path.clone(), self.finished.clone());
            std::thread::spawn(move || {
                let index = Index::of_file(&path).unwrap_or_else(|error| {
                    tracing::warn!("cannot read VirtualDJ's library: {error}");
                    Index::default()
                });
                // Nobody listens any more when the source was stopped meanwhile.
                let _ = finished.send((path, index));
            });
        }
        renewed
    }

    /// Fills in what the libraries know of many tracks, and waits for the indexes: for who has the time.
    pub fn fill_all(&mut self, now_ms: i64, observations: &mut [Observation]) {
        // The drives that they lie on become known by asking.
        for observation in &mut *observations {
            self.fill(observation);
        }
        self.refresh(now_ms);
        while self.files.values().any(|indexed| indexed.running) {
            // An index that broke off never comes; the plays then go without it.
            let Ok((path, index)) = self.done.recv_timeout(INDEX_WITHIN) else { break };
            let indexed = self.files.entry(path).or_default();
            (indexed.index, indexed.running) = (Some(index), false);
        }
        for observation in observations {
            self.fill(observation);
        }
    }

    /// Fills in what the libraries know of the track. Says whether one knew it.
    pub fn fill(&mut self, observation: &mut Observation) -> bool {
        let Some(path) = path_of(observation) else { return false };
        let title = observation.track.title.clone();
        for file in [Some(self.home.join("database.xml")), drive_of(&path)].into_iter().flatten() {
            let Some(index) = &self.files.entry(file.clone()).or_default().index else { continue };
            let song = File::open(&file)
                .and_then(|mut xml| index.song(&mut xml, &path, observation.file_bytes, title.as_deref()));
            if let Ok(Some(song)) = song {
                song.fill(observation);
                return true;
            }
        }
        false
    }
}

/// The library of the drive that the file lies on, if it is not the system's.
fn drive_of(path: &str) -> Option<PathBuf> {
    let bytes = path.as_bytes();
    if bytes.first().is_some_and(u8::is_ascii_alphabetic) && bytes.get(1) == Some(&b':') {
        return Some(PathBuf::from(format!(r"{}\VirtualDJ\database.xml", &path[..2])));
    }
    let volume = path
        .strip_prefix("/Volumes/")?
        .split('/')
        .next()
        .filter(|volume| !volume.is_empty() && *volume != "..")?;
    Some(PathBuf::from(format!("/Volumes/{volume}/VirtualDJ/database.xml")))
}
