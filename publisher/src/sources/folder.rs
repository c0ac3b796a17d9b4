//! Looking at a folder of somebody else's: what lies in it and what a file holds. Files are opened for reading only,
//! read at once and closed, so the DJ's program is never in the way of us nor we of it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// A file as a directory listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// Changes when another file takes the name: the inode, or the time of creation where there is none.
    pub id: u64,
    pub size_bytes: u64,
    pub modified_ms: i64,
}

/// Reads a file that was listed, by name.
pub type Read1<'a> = dyn FnMut(&str) -> io::Result<Vec<u8>> + 'a;

/// A listing that is kept up to date cheaply: the whole folder when it has changed, otherwise only the files in use.
#[derive(Debug, Default)]
pub struct Listing {
    files: Vec<Listed>,
    folder_modified: Option<SystemTime>,
    whole_at_ms: Option<i64>,
}

impl Listing {
    /// Looks at the folder, and says whether anything is different from the last look. `hinted` says that something has happened in it; `in_use` names files that may change.
    pub fn refresh(
        &mut self,
        now_ms: i64,
        hinted: bool,
        folder: &Path,
        wanted: impl Fn(&str) -> bool,
        in_use: impl Fn(&str) -> bool,
    ) -> io::Result<(&[Listed], bool)> {
        // Some file systems do not note in a folder that it has changed.
        const WHOLE_EVERY_MS: i64 = 5_000;
        let modified = fs::metadata(folder)?.modified().ok();
        let old = self.whole_at_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) >= WHOLE_EVERY_MS);
        if hinted || old || modified != self.folder_modified {
            let mut files = list(folder, wanted)?;
            files.sort_by(|one, other| one.name.cmp(&other.name));
            let changed = files != self.files;
            self.files = files;
            self.folder_modified = modified;
            self.whole_at_ms = Some(now_ms);
            return Ok((&self.files, changed));
        }
        let mut changed = false;
        let mut gone = Vec::new();
        for (index, file) in self.files.iter_mut().enumerate().filter(|(_, file)| in_use(&file.name)) {
            match look(folder, &file.name)? {
                Some(now) if now == *file => continue,
                Some(now) => *file = now,
                None => gone.push(index),
            }
            changed = true;
        }
        for index in gone.into_iter().rev() {
            self.files.remove(index);
        }
        Ok((&self.files, changed))
    }
}

/// The files of a folder whose names are wanted, in no particular order.
pub fn list(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| wanted(name)) else { continue };
        listed.extend(look(folder, name)?);
    }
    Ok(listed)
}

/// One file of a folder; nothing when it is not there (any more) or is no file.
pub fn look(folder: &Path, name: &str) -> io::Result<Option<Listed>> {
    // Not the entry's own metadata: on Windows that is a copy which lags behind an open writer.
    let metadata = match fs::metadata(folder.join(name)) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !metadata.is_file() {
        return Ok(None);
    }
    let modified = metadata.modified()?;
    let modified_ms = match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(_) => 0,
    };
    Ok(Some(Listed { name: name.to_owned(), id: id(&metadata), size_bytes: metadata.len(), modified_ms }))
}

/// The last `bytes_max` of a file, from the start of a line when it is longer than that.
pub fn read_tail(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let size_bytes = file.metadata()?.len();
    let mut bytes = Vec::new();
    let skipped = size_bytes.saturating_sub(bytes_max);
    file.seek(SeekFrom::Start(skipped))?;
    // The file may grow while it is read: what comes late is for the next look.
    file.take(bytes_max).read_to_end(&mut bytes)?;
    if skipped > 0 {
        let first_line = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..first_line);
    }
    Ok(bytes)
}

/// The first `bytes_max` of a file.
pub fn read_head(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What changes when another folder takes the path.
pub fn folder_id(folder: &Path) -> io::Result<u64> {
    Ok(id(&fs::metadata(folder)?))
}

#[cfg(unix)]
fn id(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(windows)]
fn id(metadata: &fs::Metadata) -> u64 {
    std::os::windows::fs::MetadataExt::creation_time(metadata)
}

#[cfg(not(any(unix, windows)))]
fn id(_: &fs::Metadata) -> u64 {
    0
}
