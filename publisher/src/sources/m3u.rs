//! Generic lists: the newest `.m3u` of a folder, or one list. Its last location is what plays. Such lists have no times,
//! so a play starts when the list changes, and nothing is caught up after a restart.

use super::folder::{Listed, Read1};
use super::observation::{Arrival, Location, Observation, SourceKind, is_fresh, percent_decoded};
use super::playlist::{self, Entry};
use super::virtualdj::reader::{QUIET_MS, Step};

const READ_AGAIN_MS: i64 = 100;

/// The memory of what was read.
#[derive(Debug, Default)]
pub struct Lists {
    read: Option<Read>,
    started: bool,
    /// The last location met, told or not.
    last: Option<String>,
}

#[derive(Debug)]
struct Read {
    listed: Listed,
    locations: Vec<String>,
    /// Since when a last location without its line end stands still.
    tail_since_ms: Option<i64>,
}

/// Whether the name is a list's.
pub fn is_list(name: &str) -> bool {
    let lower = name.to_lowercase();
    !lower.starts_with('.') && (lower.ends_with(".m3u") || lower.ends_with(".m3u8"))
}

impl Lists {
    /// Looks at what the folder holds now. `folder` is what relative locations start from.
    pub fn step(&mut self, now_ms: i64, folder: &str, listing: &[Listed], read: &mut Read1<'_>) -> Step {
        let mut step = Step::default();
        let first_look = !std::mem::replace(&mut self.started, true);
        let newest = listing.iter().max_by_key(|listed| (listed.modified_ms, listed.name.clone()));
        let Some(listed) = newest else { return step };
        let before = self.read.as_ref().filter(|before| before.listed.name == listed.name);
        let changed = before.is_none_or(|before| before.listed != *listed);
        let due_ms = before.and_then(|before| before.tail_since_ms).map(|since_ms| since_ms + QUIET_MS);
        let quiet = !changed && due_ms.is_some_and(|due_ms| now_ms >= due_ms);
        if !changed && !quiet {
            step.wake_ms = due_ms;
            return step;
        }
        let Ok(bytes) = read(&listed.name) else {
            step.wake_ms = Some(now_ms + READ_AGAIN_MS);
            return step;
        };
        let parsed = playlist::parse(&bytes);
        let mut entries = parsed.entries;
        let mut tail_since_ms = None;
        match parsed.tail {
            Some(tail) if quiet => entries.push(tail),
            Some(_) => {
                tail_since_ms = Some(now_ms);
                step.wake_ms = Some(now_ms + QUIET_MS);
            }
            None => {}
        }
        let locations: Vec<String> = entries.iter().map(|entry| entry.location.clone()).collect();
        let grown = before.filter(|before| locations.starts_with(&before.locations));
        let first_new = match grown {
            Some(before) => before.locations.len(),
            None if locations.last() == self.last.as_ref() => entries.len(),
            None => entries.len().saturating_sub(1),
        };
        for (index, entry) in entries.into_iter().enumerate().skip(first_new) {
            let play = play(folder, listed, index, entry);
            let stale = !is_fresh(listed.modified_ms, play.track.duration_ms, now_ms);
            if first_look && stale {
                continue;
            }
            let arrival = if first_look { Arrival::Found } else { Arrival::Live };
            step.observations.push(Observation { arrival, ..play });
        }
        // A list that is being written again is empty for a moment: what it held is not forgotten for that.
        self.last = locations.last().cloned().or(self.last.take());
        let locations = match self.read.take() {
            Some(before) if before.listed.name == listed.name && before.locations.starts_with(&locations) => {
                before.locations
            }
            _ => locations,
        };
        self.read = Some(Read { listed: listed.clone(), locations, tail_since_ms });
        step
    }
}

fn play(folder: &str, listed: &Listed, index: usize, entry: Entry) -> Observation {
    let Entry { location, tags } = entry;
    let identity = format!("{}|{location}|{}|{index}", listed.name, listed.modified_ms);
    let mut play = Observation::new(SourceKind::M3u, identity);
    let location = resolved(folder, &location);
    let stem = location.stem();
    play.is_named = tags.title.is_none() && stem.is_some();
    play.track.title = tags.title.or_else(|| stem.as_ref().map(|(_, title)| title.clone()));
    let same_title = stem.filter(|(_, title)| play.track.title.as_ref() == Some(title));
    play.track.artist = tags.artist.or_else(|| same_title.and_then(|(artist, _)| artist));
    play.track.remix = tags.remix;
    play.track.duration_ms = tags.duration_ms;
    play.started_ms = Some(tags.last_play_ms.unwrap_or(listed.modified_ms));
    play.file_bytes = tags.file_bytes;
    play.location = Some(location);
    play
}

fn resolved(folder: &str, location: &str) -> Location {
    if let Some(path) = location.strip_prefix("file://") {
        let path = percent_decoded(path.strip_prefix("localhost").unwrap_or(path));
        // "/C:/Music" is "C:/Music".
        let drive = path.as_bytes().get(2) == Some(&b':') && path.starts_with('/');
        return Location::Path(if drive { path[1..].to_owned() } else { path });
    }
    match Location::parse(location) {
        Location::Path(path) if is_relative(&path) => Location::Path(format!("{folder}/{path}")),
        location => location,
    }
}

fn is_relative(path: &str) -> bool {
    !path.starts_with(['/', '\\']) && path.as_bytes().get(1) != Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_795_291_800_000;

    /// Lets lists be read one after the other, 100 s apart, and gathers the titles.
    #[track_caller]
    fn check(reads: &[&str], expected: &[&str]) {
        let mut lists = Lists::default();
        let mut titles = Vec::new();
        for (index, bytes) in (0..).zip(reads) {
            let now_ms = T + index * 100_000;
            let listed =
                Listed { name: "now.m3u".into(), id: 1, size_bytes: bytes.len() as u64, modified_ms: now_ms };
            let step = lists.step(now_ms, "/lists", &[listed], &mut |_| Ok(bytes.as_bytes().to_vec()));
            titles.extend(step.observations.into_iter().map(|play| play.track.title.unwrap_or_default()));
        }
        assert_eq!(titles, expected);
    }

    #[test]
    fn growing_and_replaced() {
        check(&["", "a.mp3\n", "a.mp3\nb.mp3\nc.mp3\n"], &["a", "b", "c"]);
        check(&["", "a.mp3\n", "b.mp3\n", "", "b.mp3\n", "a.mp3\n"], &["a", "b", "a"]);
        check(&["old.mp3\nnew.mp3\n", "old.mp3\nnew.mp3\n"], &["new"]);
    }

    #[test]
    fn an_old_list_at_start_is_silent() {
        let mut lists = Lists::default();
        let listed = Listed { name: "a.m3u".into(), id: 1, size_bytes: 4, modified_ms: T - 3_600_000 };
        let step = lists.step(T, "/", &[listed], &mut |_| Ok(b"/a\n".to_vec()));
        assert_eq!(step.observations, []);
    }

    #[test]
    fn locations() {
        assert_eq!(resolved("/l", "a.mp3"), Location::Path("/l/a.mp3".into()));
        assert_eq!(resolved("/l", "file:///m/a%20b.mp3"), Location::Path("/m/a b.mp3".into()));
        assert_eq!(resolved("/l", "file:///C:/a.mp3"), Location::Path("C:/a.mp3".into()));
        assert_eq!(resolved("/l", r"D:\a.mp3"), Location::Path(r"D:\a.mp3".into()));
    }
}
