//! A history folder that exists in memory only, so that a test moves its clock by hand.

use std::collections::BTreeMap;
use std::io;

use pika_publisher::sources::folder::Listed;
use pika_publisher::sources::observation::Observation;
use pika_publisher::sources::virtualdj::reader::Reader;

/// 2026-11-21, 21:10 in Paris.
pub(crate) const NOW_MS: i64 = 1_795_291_800_000;

#[derive(Debug, Default)]
pub(crate) struct Folder {
    files: BTreeMap<String, (Listed, Vec<u8>)>,
    ids: u64,
}

impl Folder {
    pub(crate) fn of(name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let mut folder = Self::default();
        folder.replace(name, bytes, NOW_MS);
        folder
    }

    /// A new file takes the name, as after a rename.
    pub(crate) fn replace(&mut self, name: &str, bytes: impl AsRef<[u8]>, modified_ms: i64) {
        self.ids += 1;
        self.put(name, self.ids, bytes.as_ref().to_vec(), modified_ms);
    }

    /// The same file with other content: truncated and written, or appended to.
    pub(crate) fn write(&mut self, name: &str, bytes: impl AsRef<[u8]>, modified_ms: i64) {
        match self.files.get(name) {
            Some((listed, _)) => self.put(name, listed.id, bytes.as_ref().to_vec(), modified_ms),
            None => self.replace(name, bytes, modified_ms),
        }
    }

    pub(crate) fn append(&mut self, name: &str, bytes: impl AsRef<[u8]>, modified_ms: i64) {
        let mut whole = self.bytes(name);
        whole.extend_from_slice(bytes.as_ref());
        self.write(name, whole, modified_ms);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.files.remove(name);
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.files.get(name).map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    }

    /// Lets the reader look once.
    pub(crate) fn look(&self, reader: &mut Reader, now_ms: i64) -> Vec<Observation> {
        let listing: Vec<Listed> = self.files.values().map(|(listed, _)| listed.clone()).collect();
        let mut read = |name: &str| match self.files.get(name) {
            Some((_, bytes)) => Ok(bytes.clone()),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        reader.step(now_ms, &listing, &mut read).observations
    }

    fn put(&mut self, name: &str, id: u64, bytes: Vec<u8>, modified_ms: i64) {
        let listed = Listed { name: name.to_owned(), id, size_bytes: bytes.len() as u64, modified_ms };
        self.files.insert(name.to_owned(), (listed, bytes));
    }
}
