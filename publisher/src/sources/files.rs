//! Sources that are files: what the thread that follows them needs, and the two that belong to no program.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::folder::{self, Listing};
use super::observation::{Observation, SourceKind};
use super::{SourceEvent, m3u, text};
use crate::settings::TextMode;

const LIST_BYTES_MAX: u64 = 4 * 1024 * 1024;
const TEXT_BYTES_MAX: u64 = 64 * 1024;

/// Files that tell what is played.
pub(super) trait Files: Send {
    fn kind(&self) -> SourceKind;

    /// What is read, in words for the DJ.
    fn what(&self) -> String;

    /// The folder in which something changes when something is played. A file that is replaced would take its watch with it.
    fn watched(&self) -> &Path;

    /// Looks for what is new. `hinted` says that the system told of a change; without it most looks can be cheap.
    ///
    /// # Errors
    /// The files cannot be read, for now: the drive is unplugged, the program is not there any more.
    fn look(&mut self, now_ms: i64, hinted: bool) -> io::Result<Looked>;
}

/// What a look brought.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub events: Vec<SourceEvent>,
    /// When to look again without a hint, if before the next second.
    pub wake_ms: Option<i64>,
}

impl Looked {
    pub fn plays(observations: Vec<Observation>, wake_ms: Option<i64>) -> Self {
        let events =
            if observations.is_empty() { Vec::new() } else { vec![SourceEvent::Plays(observations)] };
        Self { events, wake_ms }
    }
}

/// The newest list in a folder, or one list.
#[derive(Debug)]
pub(super) struct List {
    folder: PathBuf,
    only: Option<String>,
    listing: Listing,
    lists: m3u::Lists,
}

impl List {
    pub fn at(path: &Path) -> anyhow::Result<Self> {
        let is_file =
            path.file_name().and_then(|name| name.to_str()).is_some_and(m3u::is_list) && !path.is_dir();
        let (folder, only) = if is_file {
            split(path).map(|(folder, name)| (folder, Some(name)))?
        } else {
            (path.to_owned(), None)
        };
        Ok(Self { folder, only, listing: Listing::default(), lists: m3u::Lists::default() })
    }
}

impl Files for List {
    fn kind(&self) -> SourceKind {
        SourceKind::M3u
    }

    fn what(&self) -> String {
        self.folder.display().to_string()
    }

    fn watched(&self) -> &Path {
        &self.folder
    }

    fn look(&mut self, now_ms: i64, hinted: bool) -> io::Result<Looked> {
        let Self { folder, only, listing, lists } = self;
        let wanted = |name: &str| only.as_ref().map_or(m3u::is_list(name), |only| name == only);
        let (listing, _) = listing.refresh(now_ms, hinted, folder, wanted, |_| true)?;
        let mut read = |name: &str| folder::read_tail(&folder.join(name), LIST_BYTES_MAX);
        let step = lists.step(now_ms, &folder.to_string_lossy(), listing, &mut read);
        Ok(Looked::plays(step.observations, step.wake_ms))
    }
}

/// A text file with the current track.
#[derive(Debug)]
pub(super) struct TextFile {
    kind: SourceKind,
    folder: PathBuf,
    name: String,
    text: text::Text,
}

impl TextFile {
    pub fn at(path: &Path, mode: TextMode) -> anyhow::Result<Self> {
        let (folder, name) = split(path)?;
        Ok(Self::of(SourceKind::Text, folder, name, text::Layout::Plain(mode)))
    }

    /// The file in which a program tells its track.
    pub fn of(kind: SourceKind, folder: PathBuf, name: String, layout: text::Layout) -> Self {
        Self { kind, folder, name, text: text::Text::new(kind, layout) }
    }
}

impl Files for TextFile {
    fn kind(&self) -> SourceKind {
        self.kind
    }

    fn what(&self) -> String {
        self.folder.join(&self.name).display().to_string()
    }

    fn watched(&self) -> &Path {
        &self.folder
    }

    fn look(&mut self, now_ms: i64, _: bool) -> io::Result<Looked> {
        let Self { folder, name, text, .. } = self;
        std::fs::metadata(&*folder)?;
        let listed = folder::look(folder, name)?;
        let look = text.look(now_ms, listed, || folder::read_tail(&folder.join(name), TEXT_BYTES_MAX));
        let mut looked = Looked::plays(look.play.into_iter().collect(), look.wake_ms);
        looked.events.extend(look.stopped.then_some(SourceEvent::Stopped));
        Ok(looked)
    }
}

/// Folder and name.
fn split(path: &Path) -> anyhow::Result<(PathBuf, String)> {
    let name = path.file_name().and_then(|name| name.to_str()).context("the source's path names no file")?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok((folder, name.to_owned()))
}
