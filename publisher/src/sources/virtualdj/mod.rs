//! VirtualDJ: its history lists, and its library for what the lists leave out.

pub mod database;
pub mod history;
pub mod home;
pub mod library;
pub mod reader;
mod tracklist;

use std::collections::HashSet;
use std::io;
use std::path::Path;

use jiff::tz::TimeZone;

use self::history::Format;
use self::home::Home;
use self::library::Library;
use self::reader::{CatchUp, Reader, Step};
use super::files::{Files, Looked};
use super::folder::{self, Listing};
use super::observation::{Observation, SourceKind};

const TRACKLIST: &str = "tracklist.txt";
/// A night is some 30 KiB. Of a log over years only the end is read.
const HISTORY_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The history and library of one VirtualDJ.
#[derive(Debug)]
pub struct VirtualDj {
    home: Home,
    listing: Listing,
    lists: Reader,
    tracklist: Reader,
    library: Library,
    /// The readers have seen the listing as it is, and want to look again then.
    looked: bool,
    wake_ms: Option<i64>,
    /// The newest play, when the library did not know it yet.
    unknown: Option<Observation>,
}

impl VirtualDj {
    pub fn at(home: Home, zone: TimeZone, catch_up: CatchUp) -> Self {
        for advice in home::advice(&home) {
            tracing::warn!("{advice}");
        }
        Self {
            listing: Listing::default(),
            lists: Reader::new(Format::List, zone.clone(), catch_up.clone()),
            tracklist: Reader::new(Format::Tracklist, zone, catch_up),
            library: Library::of(&home.folder),
            looked: false,
            wake_ms: None,
            unknown: None,
            home,
        }
    }

    /// Looks at the history; plays come with what the library knows of them.
    pub fn step(&mut self, now_ms: i64, hinted: bool) -> io::Result<Step> {
        let only = self.home.only.as_deref();
        let wanted = |name: &str| match only {
            Some(only) => name == only,
            None => history::is_list(name) || name.eq_ignore_ascii_case(TRACKLIST),
        };
        let used: HashSet<&str> = self.lists.in_use().chain(self.tracklist.in_use()).collect();
        // Should this look fail half way, the next one must not rest on it.
        let looked = std::mem::take(&mut self.looked);
        let (listing, changed) =
            self.listing.refresh(now_ms, hinted, &self.home.history, wanted, |name| used.contains(name))?;
        if looked && !changed && self.wake_ms.is_none_or(|wake_ms| now_ms < wake_ms) {
            self.looked = true;
            let mut step = Step { observations: Vec::new(), wake_ms: self.wake_ms };
            self.enrich(now_ms, &mut step.observations);
            return Ok(step);
        }
        let (logs, lists): (Vec<_>, Vec<_>) =
            listing.iter().cloned().partition(|listed| listed.name.to_lowercase().ends_with(".txt"));
        let history = self.home.history.clone();
        let mut read = |name: &str| folder::read_tail(&history.join(name), HISTORY_BYTES_MAX);
        // The log repeats what the lists say, with less: it counts only where there are none.
        let mut step = if lists.is_empty() && !logs.is_empty() {
            self.tracklist.step(now_ms, &logs, &mut read)
        } else {
            self.lists.step(now_ms, &lists, &mut read)
        };
        (self.looked, self.wake_ms) = (true, step.wake_ms);
        self.enrich(now_ms, &mut step.observations);
        Ok(step)
    }

    fn enrich(&mut self, now_ms: i64, observations: &mut Vec<Observation>) {
        let renewed = self.library.refresh(now_ms);
        let newest = observations.len().saturating_sub(1);
        for (index, observation) in observations.iter_mut().enumerate() {
            let known = self.library.fill(observation);
            if index == newest {
                self.unknown = (!known).then(|| observation.clone());
            }
        }
        if renewed && let Some(mut observation) = self.unknown.take() {
            if self.library.fill(&mut observation) {
                // The same play, known better.
                observations.push(observation);
            } else {
                self.unknown = Some(observation);
            }
        }
    }
}

impl Files for VirtualDj {
    fn kind(&self) -> SourceKind {
        SourceKind::VirtualDj
    }

    fn what(&self) -> String {
        self.home.history.display().to_string()
    }

    fn watched(&self) -> &Path {
        &self.home.history
    }

    fn look(&mut self, now_ms: i64, hinted: bool) -> io::Result<Looked> {
        let step = self.step(now_ms, hinted)?;
        Ok(Looked::plays(step.observations, step.wake_ms))
    }
}
