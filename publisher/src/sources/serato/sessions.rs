//! The folder of session files: the one with the highest number is the session that goes on.

use std::io;
use std::path::{Path, PathBuf};

use super::booth::{Booth, Loaded, LoadedState};
use super::session::{self, Entry};
use crate::sources::files::{Files, Looked};
use crate::sources::folder::{self, Listed, Listing};
use crate::sources::observation::{Location, Observation, SourceKind};

/// A night is some 100 KiB.
const SESSION_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// A set may go over a restart of Serato.
const SESSIONS_AT_START: usize = 4;
const READ_AGAIN_MS: i64 = 100;
/// A session that is shorter than it was is being written anew, unless it stays so.
const SHORTER_MS: i64 = 2_000;

/// The sessions of one Serato.
#[derive(Debug)]
pub(super) struct Sessions {
    folder: PathBuf,
    booth: Booth,
    since_ms: i64,
    listing: Listing,
    looked: bool,
    read: Option<Listed>,
}

impl Sessions {
    pub fn at(folder: PathBuf, booth: Booth, since_ms: i64) -> Self {
        Self { folder, booth, since_ms, listing: Listing::default(), looked: false, read: None }
    }
}

/// The number of a session file, by its name.
pub(super) fn number(name: &str) -> Option<u64> {
    let (stem, extension) = name.rsplit_once('.')?;
    let is_number = stem.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && extension.eq_ignore_ascii_case("session")).then(|| stem.parse().ok())?
}

impl Files for Sessions {
    fn kind(&self) -> SourceKind {
        SourceKind::Serato
    }

    fn what(&self) -> String {
        self.folder.display().to_string()
    }

    fn watched(&self) -> &Path {
        &self.folder
    }

    fn look(&mut self, now_ms: i64, hinted: bool) -> io::Result<Looked> {
        let in_use = self.read.as_ref().map(|listed| listed.name.clone());
        let (listing, _) = self.listing.refresh(
            now_ms,
            hinted,
            &self.folder,
            |name| number(name).is_some(),
            |name| in_use.as_deref() == Some(name),
        )?;
        let mut newest: Vec<Listed> = listing.to_vec();
        newest.sort_by_key(|listed| std::cmp::Reverse(number(&listed.name)));
        if self.looked {
            newest.truncate(1);
            newest.retain(|listed| self.read.as_ref() != Some(listed));
        } else {
            let since_ms = self.since_ms;
            let of_set = newest.iter().take_while(|listed| listed.modified_ms >= since_ms).count();
            newest.truncate(of_set.clamp(1, SESSIONS_AT_START));
        }
        let mut looked = Looked::default();
        for listed in newest.into_iter().rev() {
            let is_shorter = self
                .read
                .as_ref()
                .is_some_and(|read| read.name == listed.name && listed.size_bytes < read.size_bytes);
            if is_shorter && (0..SHORTER_MS).contains(&(now_ms - listed.modified_ms)) {
                looked.wake_ms = Some(now_ms.saturating_add(READ_AGAIN_MS));
                return Ok(looked);
            }
            let bytes = match folder::read_head(&self.folder.join(&listed.name), SESSION_BYTES_MAX) {
                Ok(bytes) => bytes,
                Err(error) => {
                    tracing::debug!(session = listed.name, "cannot read the session yet: {error}");
                    looked.wake_ms = Some(now_ms.saturating_add(READ_AGAIN_MS));
                    return Ok(looked);
                }
            };
            let tracks = session::parse(&bytes).into_iter().filter_map(|entry| loaded(&listed.name, entry));
            looked.events.extend(self.booth.look(now_ms, tracks.collect()));
            self.read = Some(listed);
        }
        self.looked = true;
        Ok(looked)
    }
}

fn loaded(session: &str, entry: Entry) -> Option<Loaded> {
    let deck = entry.deck?;
    let loaded_ms = entry.loaded_ms.unwrap_or_default();
    let mut play = Observation::new(SourceKind::Serato, format!("{session}|{}|{loaded_ms}", entry.row));
    play.deck = Some(deck);
    play.track = entry.track;
    play.location = entry.path.map(Location::Path);
    play.comment = entry.comment;
    play.started_ms = entry.loaded_ms;
    let state = match (entry.is_played, entry.ended_ms) {
        (false, _) => LoadedState::Waits,
        (true, None) => LoadedState::Plays,
        (true, Some(_)) => LoadedState::Over,
    };
    Some(Loaded { deck, play: play.named(), state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sessions() {
        assert_eq!([number("12.session"), number("9.SESSION")], [Some(12), Some(9)]);
        for other in
            ["12 (1).session", "history.database", "session", ".session", "99999999999999999999.session"]
        {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
