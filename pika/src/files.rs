//! Files that appear whole or not at all, and how far the reading or writing of a long one is.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A file that is written beside its place and moved there when it is complete. Until then, and for ever when the
/// process is killed before, whatever had the name stays as it was.
#[derive(Debug)]
pub struct NewFile {
    part: PathBuf,
    target: PathBuf,
    kept: bool,
}

impl NewFile {
    /// Makes the empty file beside `target`, readable for its owner alone: archives hold hashes of tokens.
    pub fn beside(target: &Path) -> anyhow::Result<Self> {
        let mut name = target.file_name().context("a file needs a name")?.to_owned();
        name.push(format!(".{}{PART}", std::process::id()));
        let part = target.with_file_name(name);
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&part).with_context(|| format!("make {}", part.display()))?;
        Ok(Self { part, target: target.to_owned(), kept: false })
    }

    /// Where to write meanwhile.
    pub fn path(&self) -> &Path {
        &self.part
    }

    /// Puts it in its place, so that it is still there after the power fails.
    pub fn keep(mut self) -> anyhow::Result<()> {
        let keep = || -> io::Result<()> {
            File::options().write(true).open(&self.part)?.sync_all()?;
            fs::rename(&self.part, &self.target)?;
            // The name is in the folder, and that is a file of its own. Windows has no such thing.
            #[cfg(unix)]
            File::open(folder_of(&self.target))?.sync_all()?;
            Ok(())
        };
        keep().with_context(|| format!("write {}", self.target.display()))?;
        self.kept = true;
        Ok(())
    }
}

/// How the name of a file ends that is not complete.
pub const PART: &str = ".part";

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept {
            // There is nothing better to do about it, and the error that led here is told already.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// The folder a file is in; a bare name is in this one.
#[cfg(unix)]
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How far something is, on one line of a terminal. Silent elsewhere: a log is no place for it.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    shown: Option<String>,
    terminal: bool,
}

impl Progress {
    pub fn new(what: &'static str) -> Self {
        Self { what, shown: None, terminal: io::stderr().is_terminal() }
    }

    pub fn show(&mut self, done: u64, of: Option<u64>) {
        if !self.terminal {
            return;
        }
        let line = progress(self.what, done, of);
        if self.shown.as_ref() != Some(&line) {
            eprint!("\r{line}");
            self.shown = Some(line);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            eprintln!();
        }
    }
}

/// How many bytes go by between two looks at the terminal.
const STEP_BYTES: u64 = 1 << 20;

/// Passes bytes on, and says on a terminal how many they were. Silent elsewhere: a log is no place for it.
#[derive(Debug)]
pub struct Watched<T> {
    inner: T,
    what: &'static str,
    bytes: u64,
    bytes_total: Option<u64>,
    shown: u64,
    terminal: bool,
}

impl<T> Watched<T> {
    pub fn new(what: &'static str, inner: T, bytes_total: Option<u64>) -> Self {
        let terminal = io::stderr().is_terminal();
        Self { inner, what, bytes: 0, bytes_total, shown: 0, terminal }
    }

    fn passed(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.terminal && self.bytes - self.shown >= STEP_BYTES {
            self.shown = self.bytes;
            eprint!("\r{}", progress(self.what, self.bytes, self.bytes_total));
        }
    }
}

fn progress(what: &str, bytes: u64, bytes_total: Option<u64>) -> String {
    let megabytes = bytes / 1_000_000;
    match bytes_total {
        Some(total) if total > 0 => format!("{what} {:3} %", (bytes * 100 / total).min(100)),
        _ => format!("{what} {megabytes} MB"),
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        if self.shown > 0 {
            eprintln!();
        }
    }
}

impl<T: Write> Write for Watched<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.passed(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Watched<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.passed(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("pika-files-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let target = folder.join("archive");
        fs::write(&target, "old").unwrap();
        let given_up = NewFile::beside(&target).unwrap();
        fs::write(given_up.path(), "half").unwrap();
        drop(given_up);
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        let new = NewFile::beside(&target).unwrap();
        fs::write(new.path(), "new").unwrap();
        new.keep().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn progress_is_a_share_when_the_whole_is_known() {
        assert_eq!(progress("reading", 1, Some(4)), "reading  25 %");
        assert_eq!(progress("writing", 2_500_000, None), "writing 2 MB");
        assert_eq!(progress("reading", 0, Some(0)), "reading 0 MB");
    }
}
