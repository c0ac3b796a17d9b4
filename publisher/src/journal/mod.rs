//! The journal: what a desk has to say, on disk before it is sent and until the archive has confirmed it. It survives
//! being killed and losing power at any moment. What a report means is the caller's business.
//!
//! One file of lines that are only appended; when most of it is confirmed, a new file takes its place by rename.

pub mod covers;
mod frame;
mod replay;

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use protocol::{FloorId, JournalId, MessageId, PlayId, SetRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use replay::{Ending, Record, State, replay};

const FILE: &str = "plays.journal";
const NEW_FILE: &str = "plays.journal.new";
const LOCK_FILE: &str = "plays.journal.lock";

/// How big the journal may grow.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The file is written anew when it holds more confirmed bytes than this.
    pub confirmed_bytes_max: u64,
    /// With more unconfirmed bytes than this, new entries are refused: old ones are never dropped.
    pub held_bytes_max: u64,
}

impl Default for Limits {
    /// Months of plays without a server.
    fn default() -> Self {
        Self { confirmed_bytes_max: 1024 * 1024, held_bytes_max: 64 * 1024 * 1024 }
    }
}

/// What the caller wants to say.
#[derive(Debug, Clone)]
pub struct Draft<R> {
    /// The source's identity of the play, if the report is the first of one.
    pub identity: Option<String>,
    pub report: R,
}

/// What is said, with its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry<R> {
    /// From 1, without gaps, within one journal.
    pub seq: u64,
    /// Strictly increasing within one journal.
    pub at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    pub report: R,
}

/// A set that was opened and not closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenSet {
    pub floor: FloorId,
    pub set: SetRef,
}

/// What a desk has to know again after a restart, beside its reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Requests that were dealt with, the newest at the end.
    #[serde(default)]
    pub answered: VecDeque<MessageId>,
    /// The play that is kept from the floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<PlayId>,
}

/// What was on disk when the journal was opened.
#[derive(Debug, Clone)]
pub struct Restored<R> {
    pub open_set: Option<OpenSet>,
    /// Oldest first; to be sent again.
    pub unconfirmed: Vec<Entry<R>>,
    /// Identities of plays that need not be reported again.
    pub seen: HashSet<String>,
    /// The newest entry with an identity.
    pub last_play: Option<Entry<R>>,
    /// What was said since the open set was opened, oldest first, confirmed or not.
    pub of_set: Vec<Entry<R>>,
    pub memory: Memory,
    /// Where bytes that could not be read were put, if there were any.
    pub damaged: Option<PathBuf>,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another publisher uses the journal in {}: stop it, or give this one another data folder", .0.display())]
    InUse(PathBuf),
    #[error("cannot use the journal in {}", dir.display())]
    Io { dir: PathBuf, source: io::Error },
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("the journal holds {held_bytes} bytes that the archive has not confirmed: no room until it does")]
    Full { held_bytes: u64 },
    #[error("cannot write to the journal")]
    Io(#[from] io::Error),
}

/// An open journal. It is the only one on its folder.
#[derive(Debug)]
pub struct Journal<R> {
    dir: PathBuf,
    limits: Limits,
    file: File,
    /// Up to here the file is whole.
    file_bytes: u64,
    /// Of these, bytes of unconfirmed entries.
    held_bytes: u64,
    /// What the last compaction had to keep beside them.
    kept_bytes: u64,
    state: State<R>,
    _lock: File,
}

impl<R: Serialize + DeserializeOwned + Clone> Journal<R> {
    /// Opens the journal of a folder, or starts one. `random` makes the id of a new one.
    pub fn open(
        dir: &Path,
        limits: Limits,
        now_ms: i64,
        random: [u8; 16],
    ) -> Result<(Self, Restored<R>), OpenError> {
        let failed = |source| OpenError::Io { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        let lock = lock(dir)?;
        let new_id = JournalId::new(uuid::Builder::from_random_bytes(random).into_uuid());
        let bytes = match fs::read(dir.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(failed)?,
        };
        let replayed = replay::<R>(&bytes);
        let mut damaged = None;
        let good_bytes = replayed.good_bytes;
        let keep = match (replayed.state, replayed.ending) {
            (Some(state), Ending::Whole) => Keep::File(state),
            (Some(state), Ending::Torn) => {
                tracing::warn!(cut_bytes = bytes.len() - good_bytes, "the journal's last record was cut off");
                Keep::File(state)
            }
            (Some(state), Ending::LineEndMissing) => Keep::Records(state),
            (None, _) if bytes.is_empty() => Keep::Records(State::new(new_id, 0, 0)),
            (state, _) => {
                damaged = Some(set_aside(dir, &bytes[good_bytes..], now_ms).map_err(failed)?);
                Keep::Records(renumbered(state, new_id))
            }
        };
        let journal = match keep {
            Keep::File(state) => Self::continued(dir, limits, state, good_bytes as u64, lock),
            Keep::Records(state) => Self::rewritten(dir, limits, state, lock),
        }
        .map_err(failed)?;
        if let Some(path) = &damaged {
            tracing::error!(
                damaged.path = %path.display(), journal.id = %journal.state.id, held = journal.state.held.len(),
                "the journal was damaged: what could be read goes on under a new id, the rest is kept aside"
            );
        }
        let restored = Restored {
            open_set: journal.state.open_set.clone(),
            unconfirmed: journal.state.held.iter().cloned().collect(),
            seen: journal.state.seen.iter().cloned().collect(),
            last_play: journal.state.last.clone(),
            of_set: journal.state.kept.iter().cloned().collect(),
            memory: journal.state.memory.clone(),
            damaged,
        };
        Ok((journal, restored))
    }

    pub fn id(&self) -> JournalId {
        self.state.id
    }

    /// What is not confirmed, oldest first.
    pub fn unconfirmed(&self) -> impl ExactSizeIterator<Item = &Entry<R>> {
        self.state.held.iter()
    }

    /// The lowest `seq` still held, or the next one to be given.
    pub fn held_from(&self) -> u64 {
        self.state.confirmed + 1
    }

    pub fn open_set(&self) -> Option<&OpenSet> {
        self.state.open_set.as_ref()
    }

    /// Writes entries; when this returns they survive a power loss, all of them, at the price of one wait for the disk.
    pub fn append(&mut self, now_ms: i64, drafts: Vec<Draft<R>>) -> Result<Vec<Entry<R>>, WriteError> {
        self.append_dated(drafts.into_iter().map(|draft| (now_ms, draft)).collect())
    }

    /// The same for entries with times of their own, which move up where they would not increase.
    pub fn append_dated(&mut self, drafts: Vec<(i64, Draft<R>)>) -> Result<Vec<Entry<R>>, WriteError> {
        let mut at_ms = self.state.last_at_ms;
        let entries: Vec<Entry<R>> = (self.state.next_seq()..)
            .zip(drafts)
            .map(|(seq, (dated_ms, Draft { identity, report }))| {
                at_ms = dated_ms.max(at_ms + 1);
                Entry { seq, at_ms, identity, report }
            })
            .collect();
        let records: Vec<Record<R>> = entries.iter().cloned().map(|entry| Record::Entry { entry }).collect();
        let bytes = lines(&records)?;
        let added = bytes.len() as u64;
        if self.held_bytes + added > self.limits.held_bytes_max {
            return Err(WriteError::Full { held_bytes: self.held_bytes });
        }
        self.write(&bytes, records)?;
        self.held_bytes += added;
        Ok(entries)
    }

    /// Remembers that a set is open, until it is closed.
    pub fn set_opened(&mut self, open: OpenSet) -> Result<(), WriteError> {
        self.write_records(vec![Record::SetOpened { open }])
    }

    pub fn set_closed(&mut self) -> Result<(), WriteError> {
        self.write_records(vec![Record::SetClosed])
    }

    /// Replaces what is remembered beside the reports.
    pub fn remember(&mut self, memory: Memory) -> Result<(), WriteError> {
        self.write_records(vec![Record::Memory { memory }])
    }

    /// Remembers plays that were judged not worth a report, so that they are not judged again.
    pub fn seen(&mut self, identities: Vec<String>) -> Result<(), WriteError> {
        self.write_records(vec![Record::Seen { identities }])
    }

    /// Lets go of everything up to `seq`. A number beyond the last entry confirms that one and no more.
    pub fn confirm(&mut self, seq: u64) -> Result<(), WriteError> {
        if self.state.held.front().is_none_or(|entry| entry.seq > seq) {
            return Ok(());
        }
        let confirmed = self.state.held.iter().take_while(|entry| entry.seq <= seq);
        let confirmed_bytes = held_bytes(confirmed)?;
        self.write_records(vec![Record::Confirmed { seq }])?;
        self.held_bytes = self.held_bytes.saturating_sub(confirmed_bytes);
        let dead_bytes = self.file_bytes.saturating_sub(self.held_bytes + self.kept_bytes);
        if dead_bytes > self.limits.confirmed_bytes_max {
            self.compact()?;
        }
        Ok(())
    }

    fn write_records(&mut self, records: Vec<Record<R>>) -> Result<(), WriteError> {
        let bytes = lines(&records)?;
        Ok(self.write(&bytes, records)?)
    }

    fn write(&mut self, bytes: &[u8], records: Vec<Record<R>>) -> io::Result<()> {
        // Always from the last good byte: an earlier write that failed half way is written over.
        let written = (|| {
            self.file.seek(SeekFrom::Start(self.file_bytes))?;
            self.file.write_all(bytes)?;
            self.file.sync_data()
        })();
        if let Err(error) = written {
            // A shorter record would leave the end of this one behind it.
            if let Err(error) = self.file.set_len(self.file_bytes) {
                tracing::warn!("cannot cut a half-written journal record: {error}");
            }
            return Err(error);
        }
        self.file_bytes += bytes.len() as u64;
        for record in records {
            self.state.apply(record);
        }
        Ok(())
    }

    /// Writes the journal anew without what is confirmed.
    fn compact(&mut self) -> io::Result<()> {
        let (file, file_bytes) = written_anew(&self.dir, &self.state)?;
        (self.file, self.file_bytes) = (file, file_bytes);
        self.kept_bytes = file_bytes.saturating_sub(self.held_bytes);
        Ok(())
    }

    fn continued(
        dir: &Path,
        limits: Limits,
        state: State<R>,
        good_bytes: u64,
        lock: File,
    ) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(dir.join(FILE))?;
        file.set_len(good_bytes)?;
        file.sync_all()?;
        let held_bytes = held_bytes(&state.held)?;
        Ok(Self {
            dir: dir.to_owned(),
            limits,
            file,
            file_bytes: good_bytes,
            held_bytes,
            kept_bytes: 0,
            state,
            _lock: lock,
        })
    }

    fn rewritten(dir: &Path, limits: Limits, state: State<R>, lock: File) -> io::Result<Self> {
        let (file, file_bytes) = written_anew(dir, &state)?;
        let held_bytes = held_bytes(&state.held)?;
        Ok(Self {
            dir: dir.to_owned(),
            limits,
            file,
            file_bytes,
            held_bytes,
            kept_bytes: 0,
            state,
            _lock: lock,
        })
    }
}

/// What to do with a journal's file when it is opened.
enum Keep<R> {
    File(State<R>),
    Records(State<R>),
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Io { dir: dir.to_owned(), source };
    // Not the journal itself: that file is replaced by rename, and the lock would go with it.
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(LOCK_FILE))
        .map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// A damaged journal may have given away numbers that can not be read any more. Under a new id they start at 1 again,
/// and nothing new can be mistaken for something the archive has.
fn renumbered<R: Clone>(state: Option<State<R>>, id: JournalId) -> State<R> {
    let Some(mut state) = state else { return State::new(id, 0, 0) };
    state.id = id;
    state.confirmed = 0;
    for (seq, entry) in (1..).zip(&mut state.held) {
        entry.seq = seq;
    }
    state
}

fn set_aside(dir: &Path, bytes: &[u8], now_ms: i64) -> io::Result<PathBuf> {
    let path = dir.join(format!("plays-{now_ms}.damaged"));
    let mut file = File::create(&path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_dir(dir)?;
    Ok(path)
}

fn written_anew<R: Serialize + Clone>(dir: &Path, state: &State<R>) -> io::Result<(File, u64)> {
    let bytes = lines(&state.records())?;
    let new_path = dir.join(NEW_FILE);
    let mut file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&new_path)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&new_path, dir.join(FILE))?;
    sync_dir(dir)?;
    Ok((file, bytes.len() as u64))
}

fn held_bytes<'a, R: Serialize + Clone + 'a>(
    held: impl IntoIterator<Item = &'a Entry<R>>,
) -> io::Result<u64> {
    let mut held_bytes = 0;
    for entry in held {
        held_bytes += lines(&[Record::Entry { entry: entry.clone() }])?.len() as u64;
    }
    Ok(held_bytes)
}

fn lines<R: Serialize>(records: &[Record<R>]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for record in records {
        bytes.extend(frame::line(&serde_json::to_vec(record)?));
    }
    Ok(bytes)
}

#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Elsewhere a directory can not be opened as a file, and a rename is written by the file system's own journal.
#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}
