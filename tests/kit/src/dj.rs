//! A DJ's laptop: a VirtualDJ folder that is written as VirtualDJ writes it, and what was played on it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, Zoned};
use protocol::PastPlay;

/// A play as it was written, to be found in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub title: String,
    pub started_ms: i64,
}

/// One laptop.
#[derive(Debug)]
pub struct Dj {
    pub home: PathBuf,
    pub written: Vec<Written>,
    last_s: i64,
    before_midnight: bool,
}

impl Dj {
    /// An empty VirtualDJ home in `folder`.
    pub fn new(folder: &Path) -> Self {
        let home = folder.join("VirtualDJ");
        fs::create_dir_all(home.join("History")).unwrap();
        Self { home, written: Vec::new(), last_s: 0, before_midnight: false }
    }

    /// The list of the day: of the evening before until midnight has struck.
    pub fn list(&self) -> PathBuf {
        let today = Zoned::now().date();
        let day = if self.before_midnight { today.yesterday().unwrap() } else { today };
        self.home.join("History").join(format!("{day}.m3u"))
    }

    /// From now on the night is still yesterday's, until [`Dj::midnight`].
    pub fn before_midnight(&mut self) {
        self.before_midnight = true;
    }

    /// The next play goes into another list.
    pub fn midnight(&mut self) {
        self.before_midnight = false;
    }

    /// Logs a play that starts now.
    pub fn plays(&mut self, title: &str) {
        let entry = self.entry(title);
        let mut list = OpenOptions::new().create(true).append(true).open(self.list()).unwrap();
        list.write_all(entry.as_bytes()).unwrap();
    }

    /// Logs a play of that file, which starts now.
    pub fn plays_file(&mut self, title: &str, file: &Path) {
        let entry = self.entry(title);
        let (tags, _) = entry.split_once('\n').unwrap();
        let mut list = OpenOptions::new().create(true).append(true).open(self.list()).unwrap();
        list.write_all(format!("{tags}\n{}\n", file.display()).as_bytes()).unwrap();
    }

    /// The next entry as bytes, counted as written. Each play has a second of its own, as in real lists.
    pub fn entry(&mut self, title: &str) -> String {
        let now_s = Timestamp::now().as_second().max(self.last_s + 1);
        self.last_s = now_s;
        self.written.push(Written { title: title.to_owned(), started_ms: now_s * 1000 });
        let time = Timestamp::from_second(now_s)
            .unwrap()
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%H:%M")
            .to_string();
        format!(
            "#EXTVDJ:<time>{time}</time><lastplaytime>{now_s}</lastplaytime><filesize>9744561</filesize>\
             <artist>Nova Harbor</artist><title>{title}</title><songlength>241.622</songlength>\n\
             /Users/dj/Music/Nova Harbor - {title}.mp3\n"
        )
    }

    /// Whether the archive holds exactly what was played: each once, in order, with its own time.
    pub fn is_archived(&self, plays: &[PastPlay]) -> Result<(), String> {
        let archived: Vec<Written> = plays
            .iter()
            .map(|past| Written {
                title: past.play.track.title.clone().unwrap_or_default(),
                started_ms: past.play.started_ms,
            })
            .collect();
        if archived == self.written {
            Ok(())
        } else {
            Err(format!("archived {archived:#?}\nwritten {:#?}", self.written))
        }
    }
}
