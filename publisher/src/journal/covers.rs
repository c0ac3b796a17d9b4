//! Pictures that the archive may not have yet, in a folder beside the journal. A picture is on disk before the play that
//! names it is journaled, and leaves when the cursor has passed a play that was sent after it.
//!
//! A picture is worth less than a play: when the folder is full the oldest goes, and when the archive does not keep up the
//! newest play goes ahead of its picture, which follows with the next one.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use protocol::cover::JPEG_BYTES_MAX;
use protocol::{CoverId, Jpeg};

use super::sync_dir;

/// What the folder may hold: a week of nights without a server.
const FOLDER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Pictures sent and not confirmed. With more, the broker's queue for the archive might overflow after a long absence.
const UNDER_WAY_BYTES_MAX: usize = 1024 * 1024;

/// Pictures of plays that were not told yet. When there are more the oldest is forgotten, and its play has none.
const FRESH_MAX: usize = 32;

/// The pictures of one desk. Without a folder it never has any.
#[derive(Debug, Default)]
pub struct Covers {
    folder: Option<PathBuf>,
    folder_bytes_max: u64,
    fresh: VecDeque<Jpeg>,
    /// On disk, the oldest first.
    held: VecDeque<Held>,
    /// The archive stays silent, and plays do not wait for room any more.
    is_stuck: bool,
}

#[derive(Debug)]
struct Held {
    id: CoverId,
    bytes: usize,
    /// The play before which it was sent on this connection.
    before: Option<u64>,
}

/// What has to happen before a play is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum First {
    Nothing,
    /// This picture goes out, then ask again.
    Send(Jpeg),
    /// There is no room for its picture yet.
    Wait,
}

impl Covers {
    /// Opens the folder, and keeps in it what `named` says that plays name.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: &Path, named: impl Fn(CoverId) -> bool) -> io::Result<Self> {
        Self::bounded(folder, FOLDER_BYTES_MAX, named)
    }

    fn bounded(folder: &Path, folder_bytes_max: u64, named: impl Fn(CoverId) -> bool) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut found: Vec<(SystemTime, Held)> = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".jpg")).and_then(|id| id.parse().ok());
            let metadata = entry.metadata()?;
            match id.filter(|id| named(*id)) {
                Some(id) => {
                    let bytes = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
                    found.push((metadata.modified()?, Held { id, bytes, before: None }));
                }
                // Its play never came to be, or it was half written.
                None => fs::remove_file(entry.path())?,
            }
        }
        found.sort_by_key(|(modified, held)| (*modified, held.id));
        let held = found.into_iter().map(|(_, held)| held).collect();
        Ok(Self {
            folder: Some(folder.to_owned()),
            folder_bytes_max,
            fresh: VecDeque::new(),
            held,
            is_stuck: false,
        })
    }

    /// Takes a picture that was read, until the play that it belongs to is told.
    pub fn remember(&mut self, jpeg: Jpeg) {
        if self.fresh.contains(&jpeg) {
            return;
        }
        self.fresh.push_back(jpeg);
        if self.fresh.len() > FRESH_MAX {
            self.fresh.pop_front();
        }
    }

    /// Writes the picture down for a play that is about to be journaled. One that is not remembered was written before.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn keep(&mut self, cover: CoverId) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let Some(at) = self.fresh.iter().position(|jpeg| jpeg.id() == cover) else { return Ok(()) };
        if !self.held.iter().any(|held| held.id == cover) {
            let bytes = self.fresh[at].as_bytes();
            write(folder, cover, bytes)?;
            self.held.push_back(Held { id: cover, bytes: bytes.len(), before: None });
        }
        self.fresh.remove(at);
        self.make_room();
        Ok(())
    }

    /// What has to go out before the play of that number and picture. `is_newest`: nothing comes after it, so it is what the
    /// floor waits for.
    pub fn first(&mut self, named: Option<CoverId>, is_newest: bool) -> First {
        loop {
            let is_named = |held: &Held| Some(held.id) == named && held.before.is_none();
            let wanted = self.held.iter().position(is_named);
            // What was left behind goes along with the newest.
            let left = || self.held.iter().position(|held| held.before.is_none()).filter(|_| is_newest);
            let Some(at) = wanted.or_else(left) else { return First::Nothing };
            let under_way = self.held.iter().filter(|held| held.before.is_some()).map(|held| held.bytes);
            if under_way.sum::<usize>() >= UNDER_WAY_BYTES_MAX {
                return if is_newest || self.is_stuck { First::Nothing } else { First::Wait };
            }
            let id = self.held[at].id;
            match self.folder.as_ref().and_then(|folder| read(folder, id).ok()) {
                Some(jpeg) => return First::Send(jpeg),
                // Somebody has cleared the folder, or written into it. The play has no picture then.
                None => self.forget(at),
            }
        }
    }

    /// The picture is on its way, before the play of that number.
    pub fn sent(&mut self, cover: CoverId, before: u64) {
        if let Some(held) = self.held.iter_mut().find(|held| held.id == cover) {
            held.before = Some(before);
        }
    }

    /// Everything starts over: after a reconnect, or when the archive was silent for too long.
    pub fn rewind(&mut self, is_stuck: bool) {
        self.is_stuck = is_stuck;
        self.held.iter_mut().for_each(|held| held.before = None);
    }

    /// Every play up to `seq` is committed, and with it what was sent before it.
    pub fn confirm(&mut self, seq: u64) {
        self.is_stuck = false;
        while let Some(at) = self.held.iter().position(|held| held.before.is_some_and(|before| before <= seq))
        {
            self.forget(at);
        }
    }

    /// How many wait or are under way.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether the archive has them all.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn make_room(&mut self) {
        let all = |held: &VecDeque<Held>| held.iter().map(|held| held.bytes as u64).sum::<u64>();
        while self.held.len() > 1 && all(&self.held) > self.folder_bytes_max {
            tracing::warn!("the folder of covers is full: the oldest goes");
            self.forget(0);
        }
    }

    fn forget(&mut self, at: usize) {
        let (Some(held), Some(folder)) = (self.held.remove(at), &self.folder) else { return };
        match fs::remove_file(path(folder, held.id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // The next start removes it.
                tracing::debug!("a cover that is not needed any more stays: {error}");
            }
            _ => {}
        }
    }
}

fn path(folder: &Path, cover: CoverId) -> PathBuf {
    folder.join(format!("{cover}.jpg"))
}

/// Whole or not at all.
fn write(folder: &Path, cover: CoverId, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join("cover.new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path(folder, cover))?;
    sync_dir(folder)
}

fn read(folder: &Path, cover: CoverId) -> io::Result<Jpeg> {
    let mut bytes = Vec::new();
    File::open(path(folder, cover))?.take(JPEG_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    let jpeg = Jpeg::new(&bytes).map_err(io::Error::other)?;
    if jpeg.id() == cover { Ok(jpeg) } else { Err(io::Error::other("another picture under its name")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(n: u8, bytes: usize) -> Jpeg {
        let mut picture = vec![n; bytes];
        picture[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
        Jpeg::new(&picture).expect("a picture")
    }

    fn kept(covers: &mut Covers, jpeg: &Jpeg) {
        covers.remember(jpeg.clone());
        covers.keep(jpeg.id()).expect("written");
    }

    #[test]
    fn a_picture_is_held_until_a_play_after_it_is_confirmed() {
        let dir = tempfile::tempdir().expect("a folder");
        let a = picture(1, 1_000);
        let mut covers = Covers::open(dir.path(), |_| true).expect("opened");
        kept(&mut covers, &a);
        assert_eq!(covers.first(None, false), First::Nothing);
        assert_eq!(covers.first(Some(a.id()), true), First::Send(a.clone()));
        covers.sent(a.id(), 7);
        assert_eq!(covers.first(Some(a.id()), true), First::Nothing, "once a connection");
        covers.confirm(6);
        assert_eq!(covers.len(), 1);
        // Killed: it is there, and sent again.
        let mut covers = Covers::open(dir.path(), |id| id == a.id()).expect("opened");
        assert_eq!(covers.first(Some(a.id()), true), First::Send(a.clone()));
        covers.sent(a.id(), 7);
        covers.rewind(false);
        assert_eq!(covers.first(Some(a.id()), true), First::Send(a.clone()));
        covers.sent(a.id(), 7);
        covers.confirm(7);
        assert!(covers.is_empty());
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
    }

    #[test]
    fn what_no_play_names_does_not_outlive_the_process() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut covers = Covers::open(dir.path(), |_| true).expect("opened");
        kept(&mut covers, &picture(1, 100));
        fs::write(dir.path().join("cover.new"), "half").expect("written");
        assert!(Covers::open(dir.path(), |_| false).expect("opened").is_empty());
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
    }

    #[test]
    fn when_there_is_no_room_the_oldest_goes() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut covers = Covers::bounded(dir.path(), 3_500, |_| true).expect("opened");
        let all: Vec<Jpeg> = (0..5).map(|n| picture(n, 1_000)).collect();
        all.iter().for_each(|jpeg| kept(&mut covers, jpeg));
        assert_eq!(covers.len(), 3);
        assert_eq!(covers.first(Some(all[0].id()), false), First::Nothing);
        assert_eq!(covers.first(Some(all[2].id()), false), First::Send(all[2].clone()));
    }

    #[test]
    fn after_an_absence_plays_wait_for_room_and_the_newest_does_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut covers = Covers::open(dir.path(), |_| true).expect("opened");
        let all: Vec<Jpeg> = (0..20).map(|n| picture(n, 90_000)).collect();
        all.iter().for_each(|jpeg| kept(&mut covers, jpeg));
        let mut seq = 0;
        while let First::Send(jpeg) = covers.first(Some(all[seq as usize].id()), false) {
            assert_eq!(jpeg, all[seq as usize]);
            seq += 1;
            covers.sent(jpeg.id(), seq);
        }
        assert_eq!(seq, 12);
        assert_eq!(covers.first(Some(all[12].id()), false), First::Wait);
        assert_eq!(covers.first(Some(all[12].id()), true), First::Nothing, "the floor waits for it");
        assert_eq!(
            covers.first(None, false),
            First::Nothing,
            "without a picture there is nothing to wait for"
        );
        covers.confirm(1);
        assert_eq!(covers.first(Some(all[12].id()), false), First::Send(all[12].clone()));
        // The archive is silent: plays go ahead.
        covers.rewind(true);
        for (seq, jpeg) in (1..).zip(&all[1..13]) {
            covers.sent(jpeg.id(), seq);
        }
        assert_eq!(covers.first(Some(all[13].id()), false), First::Nothing);
        // What was left behind goes along with the newest play, whatever that one names.
        covers.confirm(12);
        assert_eq!(covers.first(None, true), First::Send(all[13].clone()));
    }

    #[test]
    fn a_folder_that_somebody_cleared_costs_pictures_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut covers = Covers::open(dir.path(), |_| true).expect("opened");
        let (a, b) = (picture(1, 100), picture(2, 100));
        kept(&mut covers, &a);
        kept(&mut covers, &b);
        fs::remove_file(path(dir.path(), a.id())).expect("removed");
        fs::write(path(dir.path(), b.id()), "something else").expect("written");
        assert_eq!(covers.first(Some(a.id()), true), First::Nothing);
        assert!(covers.is_empty());
        let mut none = Covers::default();
        kept(&mut none, &a);
        assert_eq!(none.first(Some(a.id()), true), First::Nothing);
    }

    #[test]
    fn a_disk_that_takes_nothing_is_said() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut covers = Covers::open(dir.path(), |_| true).expect("opened");
        let a = picture(1, 100);
        covers.remember(a.clone());
        fs::remove_dir(dir.path()).expect("removed");
        assert!(covers.keep(a.id()).is_err());
        fs::create_dir(dir.path()).expect("made again");
        covers.keep(a.id()).expect("the next time");
        assert_eq!(covers.len(), 1);
    }
}
