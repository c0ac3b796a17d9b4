//! An encrypted database of another program: its files are read as they lie there, decrypted in memory, and asked there. Nothing
//! of the program's is locked or written, and nothing in the clear reaches a disk.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use config::Secret;
use rusqlite::{Connection, MAIN_DB};

use super::sqlcipher::{BadPage, Fault, Keys, Log, PAGE_BYTES, Plain, SALT_BYTES};
use crate::sources::folder::{self, Listed};

/// A database that is larger is not read: it would have to fit into memory. A hundred thousand tracks fit.
const DATABASE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Programs put the log into the database long before.
const LOG_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Reading takes as long as the database is large, and a program that notes a play writes several times.
const SETTLED_MS: i64 = 3_000;
/// What was written during the reading may have the same time on it as what was read.
const SAME_INSTANT_MS: u64 = 2_000;
const IN_USE_MS: i64 = 200;
/// A database that could not be read is tried again after this, also if nothing has changed.
const FAILED_MS: i64 = 30_000;

/// The database, and when to read it again.
#[derive(Debug)]
pub(super) struct Locked {
    path: PathBuf,
    key: Secret,
    /// Derived once: that takes time.
    keys: Option<Keys>,
    /// Its files as they were when it was read last.
    files: Option<[Option<Listed>; 3]>,
    /// They may have changed after the reading without a trace.
    is_recent: bool,
    failed: Option<(io::ErrorKind, String)>,
    looked_ms: i64,
    wait_ms: i64,
}

/// Why it cannot be asked.
#[derive(Debug)]
enum Refusal {
    /// It is being written.
    InUse,
    No(io::Error),
}

impl Locked {
    pub fn at(path: PathBuf, key: Secret) -> Self {
        Self {
            path,
            key,
            keys: None,
            files: None,
            is_recent: false,
            failed: None,
            looked_ms: i64::MIN,
            wait_ms: 0,
        }
    }

    /// What the query finds; nothing while nothing can have changed, or while the program is writing.
    ///
    /// # Errors
    /// There is no such database, the key does not open it, or it is none that we know.
    pub fn read<T>(
        &mut self,
        now_ms: i64,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> io::Result<Option<T>> {
        // Before the reading: what is written meanwhile is a change for the next look.
        let files = self.listed()?;
        let is_same = self.files.as_ref() == Some(&files);
        let wait_ms = if self.failed.is_some() && is_same { FAILED_MS } else { self.wait_ms };
        // A clock that was put back must not keep us waiting.
        let waits = (0..wait_ms).contains(&now_ms.saturating_sub(self.looked_ms));
        let is_read = is_same && self.failed.is_none() && !self.is_recent;
        if waits || is_read {
            let failed = self.failed.as_ref();
            return failed.map_or(Ok(None), |(kind, why)| Err(io::Error::new(*kind, why.clone())));
        }
        self.looked_ms = now_ms;
        let is_recent = |file: &Listed| file.modified_ms.abs_diff(now_ms) < SAME_INSTANT_MS;
        let found = self.connection(&files).and_then(|connection| query(&connection).map_err(refusal));
        // What looks damaged may have been half written, and the other half may have the same time on it.
        let is_half_written = files[0].as_ref().is_some_and(is_recent);
        match found.map_err(|refusal| if is_half_written { Refusal::InUse } else { refusal }) {
            Ok(found) => {
                self.is_recent = files.iter().flatten().any(is_recent);
                (self.files, self.failed, self.wait_ms) = (Some(files), None, SETTLED_MS);
                Ok(Some(found))
            }
            Err(Refusal::InUse) => {
                (self.files, self.failed, self.wait_ms) = (None, None, IN_USE_MS);
                Ok(None)
            }
            Err(Refusal::No(error)) => {
                (self.files, self.is_recent, self.wait_ms) = (Some(files), false, SETTLED_MS);
                self.failed = Some((error.kind(), error.to_string()));
                Err(error)
            }
        }
    }

    /// When `read` wants to look without any change.
    pub fn wake_ms(&self) -> Option<i64> {
        let is_wanted = self.is_recent || self.wait_ms == IN_USE_MS;
        is_wanted.then(|| self.looked_ms.saturating_add(self.wait_ms))
    }

    /// The database's file, its log, and what would take back half a change.
    fn listed(&self) -> io::Result<[Option<Listed>; 3]> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let look = |ending: &str| folder::look(folder, &format!("{name}{ending}"));
        let main = look("")?.ok_or(io::ErrorKind::NotFound)?;
        Ok([Some(main), look("-wal")?, look("-journal")?.filter(|journal| journal.size_bytes > 0)])
    }

    /// The database in memory, as it was when its files were these.
    fn connection(&mut self, files: &[Option<Listed>; 3]) -> Result<Connection, Refusal> {
        let [Some(main), _, None] = files else { return Err(Refusal::InUse) };
        // The log first: what of it is put into the database meanwhile is the same there.
        let log = Log::of(self.log()?);
        let mut file = File::open(&self.path).map_err(Refusal::No)?;
        let keys = self.keys(&mut file)?;
        let in_file = main.size_bytes / PAGE_BYTES as u64;
        let count = log.count().map_or(in_file, u64::from);
        if count * PAGE_BYTES as u64 > DATABASE_BYTES_MAX {
            return Err(no(format!("its database is larger than {} MB", DATABASE_BYTES_MAX >> 20)));
        }
        let (count, bytes) = (count as u32, count as usize * PAGE_BYTES);
        let mut plain = Plain::of(&keys, BufReader::with_capacity(1 << 18, file), &log, count);
        let mut connection = Connection::open_in_memory().map_err(refusal)?;
        let taken = connection.deserialize_read_exact(MAIN_DB, &mut plain, bytes, true);
        let fault = plain.fault();
        self.keys = Some(keys);
        // A page may be half written, or newer than the others.
        if self.listed().map_err(Refusal::No)?[0].as_ref() != Some(main) {
            return Err(Refusal::InUse);
        }
        match fault {
            Some(Fault::Page(BadPage(1))) => {
                return Err(no(
                    "the key does not open its database: see [publisher.rekordbox] in the configuration",
                ));
            }
            Some(Fault::Page(page)) => return Err(no(format!("its database is damaged: {page}"))),
            Some(Fault::File(error)) => return Err(Refusal::No(error)),
            None => taken.map_err(refusal)?,
        }
        connection.pragma_update(None, "query_only", true).map_err(refusal)?;
        Ok(connection)
    }

    fn log(&self) -> Result<Vec<u8>, Refusal> {
        let mut path = self.path.clone().into_os_string();
        path.push("-wal");
        let bytes = match File::open(path) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(LOG_BYTES_MAX + 1).read_to_end(&mut bytes).map(|_| bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let bytes = bytes.map_err(Refusal::No)?;
        if bytes.len() as u64 > LOG_BYTES_MAX {
            return Err(no(format!("its database's log is larger than {} MB", LOG_BYTES_MAX >> 20)));
        }
        Ok(bytes)
    }

    /// The keys for the salt with which the file begins; the file is at its beginning before and after it.
    fn keys(&mut self, file: &mut File) -> Result<Keys, Refusal> {
        let mut salt = [0; SALT_BYTES];
        let read = file.read_exact(&mut salt).and_then(|()| io::Seek::rewind(file));
        if read.is_err() {
            // It is being made.
            return Err(Refusal::InUse);
        }
        match self.keys.take() {
            Some(keys) if *keys.salt() == salt => Ok(keys),
            _ => Ok(Keys::derive(self.key.reveal(), salt)),
        }
    }
}

fn no(why: impl Into<String>) -> Refusal {
    Refusal::No(io::Error::other(why.into()))
}

fn refusal(error: rusqlite::Error) -> Refusal {
    no(format!("its database cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::sqlcipher::CONTENT_BYTES;
    use super::super::sqlcipher::tests::sealed;
    use super::*;

    const T: i64 = 1_795_291_800_000;
    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const SALT: [u8; SALT_BYTES] = [7; SALT_BYTES];

    /// A database of one song, as SQLCipher would write it.
    fn encrypted(folder: &Path) -> Vec<u8> {
        let path = folder.join("plain.db");
        Connection::open(&path).and_then(|made| made.pragma_update(None, "user_version", 1)).expect("made");
        // Room for what SQLCipher adds to each page (https://www.sqlite.org/fileformat.html, 1.3.4 and 1.6).
        let mut header = std::fs::read(&path).expect("read");
        header[20] = (PAGE_BYTES - CONTENT_BYTES) as u8;
        header[105..107].copy_from_slice(&(CONTENT_BYTES as u16).to_be_bytes());
        std::fs::write(&path, header).expect("written");
        let plain = Connection::open(&path).expect("opened");
        plain
            .execute_batch("create table songs (title); insert into songs values ('Glass Tide')")
            .expect("filled");
        let keys = Keys::derive(KEY, SALT);
        let pages = std::fs::read(&path).expect("read");
        let pages = (1..).zip(pages.chunks_exact(PAGE_BYTES));
        pages.flat_map(|(number, page)| sealed(&keys, number, page.first_chunk().expect("a page"))).collect()
    }

    fn write(path: &Path, bytes: &[u8], modified_ms: i64) {
        std::fs::write(path, bytes).expect("written");
        let modified = UNIX_EPOCH + Duration::from_millis(modified_ms as u64);
        File::options().write(true).open(path).and_then(|file| file.set_modified(modified)).expect("dated");
    }

    fn title(database: &mut Locked, now_ms: i64) -> Result<Option<String>, String> {
        let title =
            database.read(now_ms, |songs| songs.query_row("select title from songs", [], |row| row.get(0)));
        title.map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_half_written_is_read_again_though_its_time_is_the_same() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("master.db");
        let whole = encrypted(dir.path());
        let mut half = whole.clone();
        half[PAGE_BYTES + 99] ^= 1;
        write(&path, &half, T);
        let mut database = Locked::at(path.clone(), Secret::new(KEY));
        assert_eq!(title(&mut database, T), Ok(None));
        assert_eq!(database.wake_ms(), Some(T + IN_USE_MS));
        write(&path, &whole, T);
        assert_eq!(title(&mut database, T + IN_USE_MS), Ok(Some("Glass Tide".to_owned())));
        // Once more, when whatever has the same time on it is written.
        assert_eq!(title(&mut database, T + IN_USE_MS + SETTLED_MS), Ok(Some("Glass Tide".to_owned())));
        assert_eq!(title(&mut database, T + 1_000_000), Ok(None), "nothing has changed");
    }

    #[test]
    fn damage_is_told_and_looked_at_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("master.db");
        let whole = encrypted(dir.path());
        let mut damaged = whole.clone();
        damaged[PAGE_BYTES + 99] ^= 1;
        write(&path, &damaged, T - 60_000);
        let mut database = Locked::at(path.clone(), Secret::new(KEY));
        let why = Err("its database is damaged: page 2 does not open".to_owned());
        assert_eq!(title(&mut database, T), why);
        // A drive that gave the wrong bytes.
        write(&path, &whole, T - 60_000);
        assert_eq!(title(&mut database, T + SETTLED_MS), why);
        assert_eq!(title(&mut database, T + FAILED_MS), Ok(Some("Glass Tide".to_owned())));
    }
}
