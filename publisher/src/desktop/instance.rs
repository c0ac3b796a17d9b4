//! One desktop per data folder: a lock file says who it is, and how a second start reaches it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use config::secret::write_private;
use serde::{Deserialize, Serialize};

const LOCK_FILE: &str = "publisher.lock";
/// Where the first one is found. Beside the lock, because some systems let nobody read a locked file.
const NOTE_FILE: &str = "publisher.here";

/// Who starts.
#[derive(Debug)]
pub enum Start {
    First(Instance),
    /// One runs already, and lets us in.
    Again(Here),
}

/// The lock, held until dropped.
#[derive(Debug)]
pub struct Instance {
    _lock: File,
    folder: std::path::PathBuf,
}

/// How the first one is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Here {
    pub address: SocketAddr,
    key: String,
}

impl Instance {
    /// Takes the lock, or finds the one who has it.
    ///
    /// # Errors
    /// The data folder cannot be written, or the first one has not said yet where it is.
    pub fn start(data: &Path) -> anyhow::Result<Start> {
        let path = data.join(LOCK_FILE);
        let lock = private().open(&path).with_context(|| format!("open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {
                // What an earlier one left is not true any more.
                let _ = std::fs::remove_file(data.join(NOTE_FILE));
                Ok(Start::First(Self { _lock: lock, folder: data.to_owned() }))
            }
            Err(TryLockError::WouldBlock) => {
                let note = data.join(NOTE_FILE);
                let text = std::fs::read_to_string(&note).with_context(|| {
                    format!("a publisher runs already, and {} does not say where", note.display())
                })?;
                let here = serde_json::from_str(&text)
                    .with_context(|| format!("a publisher runs already; read {}", note.display()))?;
                Ok(Start::Again(here))
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
        }
    }

    pub(super) fn note(&mut self, address: SocketAddr, key: String) -> anyhow::Result<()> {
        let path = self.folder.join(NOTE_FILE);
        let text = serde_json::to_string(&Here { address, key })
            .context("write the address of the settings page")?;
        write_private(&path, &text)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.folder.join(NOTE_FILE));
    }
}

impl Here {
    /// Asks the first one for an entrance to its settings page. Blocks for some seconds at most.
    ///
    /// # Errors
    /// It does not answer.
    pub fn entrance(&self) -> anyhow::Result<String> {
        const WITHIN: std::time::Duration = std::time::Duration::from_secs(5);
        const ANSWER_BYTES_MAX: u64 = 4096;
        let ask = || -> std::io::Result<String> {
            let mut stream = std::net::TcpStream::connect_timeout(&self.address, WITHIN)?;
            stream.set_read_timeout(Some(WITHIN))?;
            stream.set_write_timeout(Some(WITHIN))?;
            write!(
                stream,
                "POST /again HTTP/1.1\r\nHost: {}\r\nX-Pika-Key: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                self.address, self.key
            )?;
            let mut answer = String::new();
            stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer =
            ask().with_context(|| format!("ask the publisher at {} for its settings page", self.address))?;
        let (head, url) =
            answer.split_once("\r\n\r\n").context("the publisher that runs already gave no answer")?;
        anyhow::ensure!(
            head.starts_with("HTTP/1.1 200"),
            "the publisher that runs already does not let us in"
        );
        Ok(url.trim().to_owned())
    }
}

/// For this user alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_finds_the_first_and_is_the_first_after_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let Ok(Start::First(mut first)) = Instance::start(dir.path()) else { panic!("nobody was there") };
        assert!(Instance::start(dir.path()).is_err(), "it has not said yet where it is");
        first.note("127.0.0.1:4000".parse().expect("an address"), "key".to_owned()).expect("written");
        let Ok(Start::Again(here)) = Instance::start(dir.path()) else { panic!("one is there") };
        assert_eq!(here.address.port(), 4000);
        drop(first);
        assert!(matches!(Instance::start(dir.path()), Ok(Start::First(_))));
    }
}
