//! Where plays come from: one module per kind of source, and `open` to follow one of them.

pub mod decode;
pub mod folder;
pub mod m3u;
pub mod observation;
pub mod playlist;
pub mod text;
pub mod virtualdj;
mod watch;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use config::clock::now_ms;
use jiff::tz::TimeZone;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::folder::Listing;
use self::observation::{Observation, SourceKind};
use self::virtualdj::VirtualDj;
use self::virtualdj::home::{Home, Places};
pub use self::virtualdj::reader::CatchUp;
use crate::settings::{self, Settings};

/// What a source has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceEvent {
    /// What one look brought, oldest first. A play told before may come again with more known of it.
    Plays(Vec<Observation>),
    /// Nothing is played any more.
    Stopped {
        at_ms: i64,
    },
    State(SourceState),
}

/// Whether the source can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceState {
    Found { kind: SourceKind, what: String, why: String },
    Missing { what: String, why: String },
}

/// A source that is followed on a thread of its own until its stop token is cancelled or this is dropped.
#[derive(Debug)]
pub struct Source {
    pub events: mpsc::Receiver<SourceEvent>,
}

/// A batch per look; when so many wait, the source does not look, and the files keep what comes.
const EVENTS_MAX: usize = 16;
const LIST_BYTES_MAX: u64 = 4 * 1024 * 1024;
const TEXT_BYTES_MAX: u64 = 64 * 1024;
const SEARCH_EVERY_MS: i64 = 5_000;

/// Follows the source that the settings name, from what was known before. Must be called inside a tokio runtime.
pub fn open(
    settings: &Settings,
    places: Places,
    zone: TimeZone,
    catch_up: CatchUp,
    stop: CancellationToken,
) -> anyhow::Result<Source> {
    let runtime = tokio::runtime::Handle::try_current().context("a source needs a runtime to send to")?;
    let follower = Follower::of(settings, places, zone, catch_up)?;
    let force_polling = settings.force_polling;
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    std::thread::Builder::new()
        .name("source".to_owned())
        .spawn(move || watch::follow(follower, force_polling, now_ms, &sender, &stop, &runtime))
        .context("cannot start the thread that follows the source")?;
    Ok(Source { events })
}

/// Whether there is anything to read on this machine: a path was given, or a DJ program is found.
pub fn is_source_here(settings: &Settings) -> bool {
    settings.path.is_some() || Places::of_this_machine().home().is_some()
}

/// What a look brought.
struct Looked {
    events: Vec<SourceEvent>,
    wake_ms: Option<i64>,
}

/// A source of any kind.
struct Follower {
    kind: Kind,
    why: &'static str,
}

enum Kind {
    Searching { places: Places, zone: TimeZone, catch_up: CatchUp, next_ms: i64 },
    VirtualDj(Box<VirtualDj>),
    M3u { folder: PathBuf, only: Option<String>, listing: Listing, lists: m3u::Lists },
    Text { folder: PathBuf, name: String, text: text::Text },
}

impl Follower {
    fn of(settings: &Settings, places: Places, zone: TimeZone, catch_up: CatchUp) -> anyhow::Result<Self> {
        let virtual_dj = |path: &Path, zone, catch_up| {
            Kind::VirtualDj(Box::new(VirtualDj::at(Home::of_path(path), zone, catch_up)))
        };
        let (kind, why) = match (settings.source, &settings.path) {
            (settings::Source::Auto | settings::Source::VirtualDj, None) => (
                Kind::Searching { places, zone, catch_up, next_ms: i64::MIN },
                "it was found on this machine",
            ),
            (settings::Source::VirtualDj, Some(path)) => (virtual_dj(path, zone, catch_up), "it was chosen"),
            (settings::Source::M3u, Some(path)) => (Kind::m3u(path)?, "it was chosen"),
            (settings::Source::Text, Some(path)) => (Kind::text(path, settings.text)?, "it was chosen"),
            (settings::Source::Auto, Some(path)) => {
                let kind = match guessed(path) {
                    SourceKind::VirtualDj => virtual_dj(path, zone, catch_up),
                    SourceKind::M3u => Kind::m3u(path)?,
                    SourceKind::Text => Kind::text(path, settings.text)?,
                };
                (kind, "the chosen path looks like it")
            }
            (settings::Source::M3u | settings::Source::Text, None) => {
                anyhow::bail!("the source has no path: set `path` to the list, folder or file to read")
            }
        };
        Ok(Self { kind, why })
    }

    fn look(&mut self, now_ms: i64, hinted: bool) -> io::Result<Looked> {
        if let Kind::Searching { places, zone, catch_up, next_ms } = &mut self.kind {
            if now_ms < *next_ms {
                return Err(io::Error::from(io::ErrorKind::NotFound));
            }
            *next_ms = now_ms + SEARCH_EVERY_MS;
            let home = places.home().ok_or(io::ErrorKind::NotFound)?;
            self.kind = Kind::VirtualDj(Box::new(VirtualDj::at(home, zone.clone(), catch_up.clone())));
        }
        match &mut self.kind {
            Kind::Searching { .. } => Err(io::Error::from(io::ErrorKind::NotFound)),
            Kind::VirtualDj(virtual_dj) => {
                let step = virtual_dj.step(now_ms, hinted)?;
                Ok(Looked { events: plays(step.observations), wake_ms: step.wake_ms })
            }
            Kind::M3u { folder, only, listing, lists } => {
                let wanted = |name: &str| only.as_ref().map_or(m3u::is_list(name), |only| name == only);
                let (listing, _) = listing.refresh(now_ms, hinted, folder, wanted, |_| true)?;
                let mut read = |name: &str| folder::read_tail(&folder.join(name), LIST_BYTES_MAX);
                let step = lists.step(now_ms, &folder.to_string_lossy(), listing, &mut read);
                Ok(Looked { events: plays(step.observations), wake_ms: step.wake_ms })
            }
            Kind::Text { folder, name, text } => {
                std::fs::metadata(&*folder)?;
                let listed = folder::look(folder, name)?;
                let look =
                    text.look(now_ms, listed, || folder::read_tail(&folder.join(name), TEXT_BYTES_MAX));
                let mut events = plays(look.play.into_iter().collect());
                events.extend(look.stopped.then_some(SourceEvent::Stopped { at_ms: now_ms }));
                Ok(Looked { events, wake_ms: look.wake_ms })
            }
        }
    }

    fn folder(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Searching { .. } => None,
            Kind::VirtualDj(virtual_dj) => Some(virtual_dj.watched_folder()),
            Kind::M3u { folder, .. } | Kind::Text { folder, .. } => Some(folder),
        }
    }

    fn what(&self) -> String {
        match (&self.kind, self.folder()) {
            (Kind::Text { folder, name, .. }, _) => folder.join(name).display().to_string(),
            (_, Some(folder)) => folder.display().to_string(),
            (_, None) => "VirtualDJ's folder".to_owned(),
        }
    }

    fn found(&self) -> SourceState {
        let kind = match self.kind {
            Kind::Searching { .. } | Kind::VirtualDj(_) => SourceKind::VirtualDj,
            Kind::M3u { .. } => SourceKind::M3u,
            Kind::Text { .. } => SourceKind::Text,
        };
        SourceState::Found { kind, what: self.what(), why: self.why.to_owned() }
    }
}

impl Kind {
    fn m3u(path: &Path) -> anyhow::Result<Self> {
        let is_file =
            path.file_name().and_then(|name| name.to_str()).is_some_and(m3u::is_list) && !path.is_dir();
        let (folder, only) = if is_file {
            split(path).map(|(folder, name)| (folder, Some(name)))?
        } else {
            (path.to_owned(), None)
        };
        Ok(Self::M3u { folder, only, listing: Listing::default(), lists: m3u::Lists::default() })
    }

    fn text(path: &Path, mode: settings::TextMode) -> anyhow::Result<Self> {
        let (folder, name) = split(path)?;
        Ok(Self::Text { folder, name, text: text::Text::new(mode) })
    }
}

/// Folder and name: the folder is what is watched, because a file that is replaced takes its watch with it.
fn split(path: &Path) -> anyhow::Result<(PathBuf, String)> {
    let name = path.file_name().and_then(|name| name.to_str()).context("the source's path names no file")?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok((folder, name.to_owned()))
}

/// What a path is likely to be.
fn guessed(path: &Path) -> SourceKind {
    let lower =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = lower(path);
    let in_history = path.parent().map(lower).as_deref() == Some("history");
    if name == "tracklist.txt" || (in_history && m3u::is_list(&name)) {
        SourceKind::VirtualDj
    } else if m3u::is_list(&name) {
        SourceKind::M3u
    } else if path.is_file() || name.ends_with(".txt") {
        SourceKind::Text
    } else {
        SourceKind::VirtualDj
    }
}

fn plays(observations: Vec<Observation>) -> Vec<SourceEvent> {
    if observations.is_empty() { Vec::new() } else { vec![SourceEvent::Plays(observations)] }
}
