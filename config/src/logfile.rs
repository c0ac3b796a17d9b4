//! A log in a file, for a program whose standard error nobody sees.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A log that is longer begins anew; the one before it is kept, and those before that are not.
const BYTES_MAX: u64 = 1 << 20;

/// The end of a log, in two files at most.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl LogFile {
    /// Goes on with a log.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = appending(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes, bytes_max: BYTES_MAX })
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        let mut before = self.path.clone().into_os_string();
        before.push(".1");
        fs::rename(&self.path, before)?;
        (self.file, self.bytes) = (appending(&self.path)?, 0);
        Ok(())
    }
}

/// Whoever else writes to it, nothing is written over.
fn appending(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

impl Write for LogFile {
    /// A line each time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.bytes_max && self.begin_anew().is_err() {
            // Somebody has it open who lets nobody rename it: a long log is better than none.
            self.bytes = 0;
        }
        let written = self.file.write(line)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_there_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pika.log");
        let mut log = LogFile { bytes_max: 30, ..LogFile::open(&path).unwrap() };
        for number in 0..10 {
            log.write_all(format!("line {number}....\n").as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("pika.log"), "line 8....\nline 9....\n");
        assert_eq!(read("pika.log.1"), "line 6....\nline 7....\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        // A restart goes on where it was.
        let mut log = LogFile { bytes_max: 30, ..LogFile::open(&path).unwrap() };
        log.write_all(b"again\n").unwrap();
        assert_eq!(read("pika.log"), "line 8....\nline 9....\nagain\n");
        log.write_all(b"and again\n").unwrap();
        assert_eq!(read("pika.log"), "and again\n");
    }
}
