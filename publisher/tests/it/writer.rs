//! Writes history lists as VirtualDJ does, in all the ways it was seen or feared to.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// A DJ program without a DJ. Its clock is moved by hand.
#[derive(Debug)]
pub(crate) struct Writer {
    folder: PathBuf,
    pub(crate) now_ms: i64,
    /// Name and entries of the list in use.
    list: String,
    entries: Vec<Vec<u8>>,
    /// "title|started_ms" of every play, in order.
    pub(crate) played: Vec<String>,
}

impl Writer {
    pub(crate) fn in_folder(folder: &Path, now_ms: i64) -> Self {
        fs::create_dir_all(folder).expect("the history folder");
        let mut writer = Self {
            folder: folder.to_owned(),
            now_ms,
            list: String::new(),
            entries: Vec::new(),
            played: Vec::new(),
        };
        writer.list = writer.name_of_today();
        writer
    }

    pub(crate) fn wait(&mut self, ms: i64) {
        self.now_ms += ms;
    }

    /// Logs a song, in as many writes as there are cuts and one; `between` is called after each.
    pub(crate) fn play(&mut self, song: u32, cuts: &[usize], mut between: impl FnMut(&Self)) {
        let entry = self.entry(song);
        let mut at = 0;
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % entry.len()).collect();
        cuts.sort_unstable();
        for cut in cuts.into_iter().chain([entry.len()]) {
            self.append(&entry[at..cut]);
            at = cut;
            between(self);
        }
        self.entries.push(entry);
    }

    /// Logs a song by writing the whole list again: truncated, then written in two pieces.
    pub(crate) fn play_truncating(&mut self, song: u32, cut: usize, mut between: impl FnMut(&Self)) {
        let entry = self.entry(song);
        self.entries.push(entry);
        let bytes = self.entries.concat();
        let cut = cut % bytes.len();
        self.write(&[]);
        between(self);
        self.write(&bytes[..cut]);
        between(self);
        self.append(&bytes[cut..]);
        between(self);
    }

    /// Writes the list anew beside itself, with a corrected artist, and renames it into place.
    pub(crate) fn replace(&mut self) {
        for entry in &mut self.entries {
            *entry = String::from_utf8_lossy(entry).replace("Artist", "The Artist").into_bytes();
        }
        let new = self.folder.join("list.tmp");
        fs::write(&new, self.entries.concat()).expect("written");
        fs::rename(&new, self.path()).expect("renamed");
        self.stamp(&self.list);
    }

    /// Goes on in the next day's list.
    pub(crate) fn next_day(&mut self) {
        self.now_ms += 24 * 3_600_000;
        self.list = self.name_of_today();
        self.entries.clear();
    }

    /// A list of months ago.
    pub(crate) fn old_list(&self, day: u32) {
        let started_s = self.now_ms / 1000 - i64::from(100 + day) * 86_400;
        let entry = format!(
            "#EXTVDJ:<lastplaytime>{started_s}</lastplaytime><title>Old {}</title>\n/m/old-{day}.mp3\n",
            self.now_ms
        );
        let name = format!("2026-03-{:02}.m3u", day % 28 + 1);
        fs::write(self.folder.join(&name), entry).expect("written");
        self.stamp(&name);
    }

    /// Moves lists of months ago to their year and month.
    pub(crate) fn move_old(&self) {
        let archive = self.folder.join("2026/03");
        fs::create_dir_all(&archive).expect("made");
        for file in fs::read_dir(&self.folder).expect("listed").flatten() {
            let name = file.file_name();
            if name.to_string_lossy().starts_with("2026-03-") {
                fs::rename(file.path(), archive.join(name)).expect("moved");
            }
        }
    }

    fn entry(&mut self, song: u32) -> Vec<u8> {
        // The times of two plays must differ by more than what makes them one.
        self.now_ms += 40_000;
        let started_s = self.now_ms / 1000;
        let time =
            Timestamp::from_second(started_s).expect("a time").to_zoned(TimeZone::UTC).strftime("%H:%M");
        self.played.push(format!("Søng {song}|{}", started_s * 1000));
        format!(
            "#EXTVDJ:<time>{time}</time><lastplaytime>{started_s}</lastplaytime><artist>Artist</artist>\
             <title>Søng {song}</title>\r\n/music/søng {song}.mp3\r\n"
        )
        .into_bytes()
    }

    fn name_of_today(&self) -> String {
        let today = Timestamp::from_millisecond(self.now_ms).expect("a time").to_zoned(TimeZone::UTC);
        // Until noon the evening's list is used.
        let evening = today.checked_sub(12.hours()).expect("a time");
        format!("{}.m3u", evening.strftime("%Y-%m-%d"))
    }

    fn append(&self, bytes: &[u8]) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path()).expect("opened");
        file.write_all(bytes).expect("written");
        drop(file);
        self.stamp(&self.list);
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.path(), bytes).expect("written");
        self.stamp(&self.list);
    }

    fn path(&self) -> PathBuf {
        self.folder.join(&self.list)
    }

    fn stamp(&self, name: &str) {
        let at = UNIX_EPOCH + Duration::from_millis(self.now_ms as u64);
        let file = File::options().write(true).open(self.folder.join(name)).expect("opened");
        file.set_modified(at).expect("stamped");
    }
}
