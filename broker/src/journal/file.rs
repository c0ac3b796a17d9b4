//! The file of retained messages: a head, then records that may be appended, each with its length and checksum.
//!
//! A record is a message in its envelope; the last one of a topic counts, and one without payload clears the topic.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::codec::Properties;
use crate::message::Message;

const HEAD: &[u8; 8] = b"PIKARET\x01";
const NAME: &str = "retained.log";
const TEMPORARY: &str = "retained.tmp";
const LOCK: &str = "retained.lock";

/// Larger than any record we write; a length beyond it is damage.
const RECORD_MAX: usize = 512 << 20;

pub(super) type Kept = BTreeMap<Bytes, Arc<Message>>;

#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    /// `None` until it could be written for the first time.
    file: Option<File>,
    len: u64,
    /// Its length when it held nothing superfluous.
    len_compact: u64,
    /// Held as long as the log is: two brokers that write one file would destroy it.
    _lock: File,
}

/// What a file holds, and up to where it is whole.
#[derive(Debug)]
struct Content {
    kept: Kept,
    whole: usize,
}

impl Log {
    /// Reads what is there. A damaged end is cut off; a file that is not ours is an error, and stays as it is. So is
    /// a directory that another broker uses.
    pub(super) fn open(directory: &Path) -> io::Result<(Self, Kept)> {
        let mut log = Self {
            directory: directory.to_owned(),
            file: None,
            len: 0,
            len_compact: 0,
            _lock: lock(directory)?,
        };
        let path = log.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((log, Kept::new())),
            Err(error) => return Err(error),
        };
        // A file is renamed into place when it is complete, so even the head of an empty one is there.
        let Some(content) = content(bytes.clone()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a file of retained messages"));
        };
        if content.whole < bytes.len() {
            let (whole, damaged) = (content.whole, bytes.len() - content.whole);
            tracing::warn!(path = %path.display(), whole, damaged, "cut off the damaged end of the retained messages");
        }
        let file = OpenOptions::new().append(true).open(&path)?;
        file.set_len(content.whole as u64)?;
        log.file = Some(file);
        log.len = content.whole as u64;
        log.len_compact = content.kept.values().map(|message| record(message).len() as u64).sum();
        Ok((log, content.kept))
    }

    /// Whether it should be written anew: most of it is superseded, or it does not exist yet.
    pub(super) fn is_worn(&self) -> bool {
        self.file.is_none() || self.len > 2 * self.len_compact + (1 << 20)
    }

    /// Adds changes to the end, down to the disk.
    pub(super) fn append(&mut self, changes: &[(Bytes, Option<Arc<Message>>)]) -> io::Result<()> {
        let mut out = BytesMut::new();
        for (topic, message) in changes {
            match message {
                Some(message) => out.extend_from_slice(&record(message)),
                None => out.extend_from_slice(&record(&cleared(topic))),
            }
        }
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
        file.write_all(&out)?;
        file.sync_data()?;
        self.len += out.len() as u64;
        Ok(())
    }

    /// Replaces the file in one step: whoever looks finds the old one or the new one, both whole.
    pub(super) fn rewrite(&mut self, kept: &Kept) -> io::Result<()> {
        let temporary = self.directory.join(TEMPORARY);
        let written = write(&temporary, kept).inspect_err(|_| {
            // It takes room that the disk may not have.
            _ = fs::remove_file(&temporary);
        });
        let (file, len) = written?;
        self.file = None;
        fs::rename(&temporary, self.path())?;
        #[cfg(unix)]
        File::open(&self.directory)?.sync_all()?;
        self.file = Some(file);
        (self.len, self.len_compact) = (len, len);
        Ok(())
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }
}

/// The system gives it back when the process ends, however it ends.
fn lock(directory: &Path) -> io::Result<File> {
    fs::create_dir_all(directory)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(directory.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another broker keeps its messages there; stop it, or give this one a directory of its own",
        )),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

fn write(path: &Path, kept: &Kept) -> io::Result<(File, u64)> {
    let file = File::create(path)?;
    let mut out = io::BufWriter::new(file);
    let mut len = HEAD.len();
    out.write_all(HEAD)?;
    for message in kept.values() {
        let record = record(message);
        len += record.len();
        out.write_all(&record)?;
    }
    let file = out.into_inner()?;
    file.sync_all()?;
    Ok((file, len as u64))
}

fn record(message: &Message) -> BytesMut {
    // Who sent it means nothing in another process.
    let body = Message { origin: 0, packet_id: 0, ..message.clone() }.envelope();
    let mut out = BytesMut::with_capacity(8 + body.len());
    out.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.put_u32(crc32fast::hash(&body));
    out.put_slice(&body);
    out
}

fn cleared(topic: &Bytes) -> Message {
    Message {
        origin: 0,
        packet_id: 0,
        qos: 0,
        retain: true,
        expires_ms: None,
        topic: topic.clone(),
        properties: Properties::new(),
        payload: Bytes::new(),
        held: crate::message::Held::default(),
    }
}

/// `None`: the head is not ours.
fn content(mut bytes: Bytes) -> Option<Content> {
    let len = bytes.len();
    if !bytes.starts_with(HEAD) {
        return None;
    }
    bytes.advance(HEAD.len());
    let mut kept = Kept::new();
    let mut whole = HEAD.len();
    while let Some(message) = next(&mut bytes) {
        whole = len - bytes.len();
        // Copied: a single message must not keep the whole file in memory.
        let topic = Bytes::copy_from_slice(&message.topic);
        if message.payload.is_empty() {
            kept.remove(&topic);
            continue;
        }
        let message = Message {
            topic: topic.clone(),
            properties: Properties::from_checked(Bytes::copy_from_slice(message.properties.as_bytes())),
            payload: Bytes::copy_from_slice(&message.payload),
            ..message
        };
        kept.insert(topic, Arc::new(message));
    }
    Some(Content { kept, whole })
}

fn next(bytes: &mut Bytes) -> Option<Message> {
    if bytes.len() < 8 {
        return None;
    }
    let (len, checksum) = (bytes.get_u32() as usize, bytes.get_u32());
    if len > RECORD_MAX || bytes.len() < len {
        return None;
    }
    let body = bytes.split_to(len);
    if crc32fast::hash(&body) != checksum {
        return None;
    }
    Message::open(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, payload: &str) -> Arc<Message> {
        Arc::new(Message {
            qos: 1,
            expires_ms: Some(1_900_000_000_000),
            properties: Properties::new().with_bytes(3, "text/plain"),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            ..cleared(&Bytes::copy_from_slice(topic.as_bytes()))
        })
    }

    fn change(topic: &str, payload: Option<&str>) -> (Bytes, Option<Arc<Message>>) {
        (Bytes::copy_from_slice(topic.as_bytes()), payload.map(|payload| message(topic, payload)))
    }

    fn payloads(kept: &Kept) -> Vec<String> {
        kept.values().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut log, kept) = Log::open(directory.path()).expect("empty");
        assert!(kept.is_empty() && log.is_worn());
        log.rewrite(&[(Bytes::from("a"), message("a", "1"))].into()).expect("written");
        assert!(!log.is_worn());
        log.append(&[change("b", Some("2")), change("a", Some("3")), change("c", Some("4"))])
            .expect("appended");
        log.append(&[change("c", None)]).expect("appended");
        drop(log);
        let (mut log, kept) = Log::open(directory.path()).expect("readable");
        assert_eq!(payloads(&kept), ["3", "2"]);
        assert_eq!(kept[&b"a"[..]], message("a", "3"));
        let large = "x".repeat(700_000);
        log.append(&[change("a", Some(&large)), change("a", Some(&large))]).expect("appended");
        assert!(log.is_worn());
        log.rewrite(&kept).expect("written");
        drop(log);
        assert_eq!(payloads(&Log::open(directory.path()).expect("readable").1), ["3", "2"]);
    }

    #[test]
    fn a_damaged_end_is_cut_wherever_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut log, _) = Log::open(directory.path()).expect("empty");
        log.rewrite(&[(Bytes::from("a"), message("a", "1"))].into()).expect("written");
        let first = fs::metadata(log.path()).expect("there").len() as usize;
        log.append(&[change("b", Some("2"))]).expect("appended");
        let path = log.path();
        drop(log);
        let whole = fs::read(&path).expect("readable");
        for cut in first..whole.len() {
            for flipped in [false, true] {
                let mut damaged = whole.clone();
                if flipped {
                    damaged[cut] ^= 0x10;
                } else {
                    damaged.truncate(cut);
                }
                fs::write(&path, &damaged).expect("written");
                let (mut log, kept) = Log::open(directory.path()).expect("readable");
                assert_eq!(payloads(&kept), ["1"], "{cut}");
                log.append(&[change("c", Some("3"))]).expect("appended");
                drop(log);
                assert_eq!(payloads(&Log::open(directory.path()).expect("readable").1), ["1", "3"]);
            }
        }
    }

    #[test]
    fn somebody_elses_file_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        fs::write(&path, "a diary").expect("written");
        assert!(Log::open(directory.path()).is_err());
        assert_eq!(fs::read_to_string(&path).expect("readable"), "a diary");
    }
}
