//! Where VirtualDJ keeps its files on this machine. The places come in as data; only `Places::of_this_machine` looks.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::history;
use crate::sources::{folder, playlist};

/// Folders of the user that VirtualDJ may be in.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// What VirtualDJ itself has noted down.
    pub noted: Option<PathBuf>,
    /// Application data, then documents.
    pub parents: Vec<PathBuf>,
}

/// VirtualDJ's folder, and what of its history is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub folder: PathBuf,
    pub history: PathBuf,
    /// One file of the history, when the user wants that one.
    pub only: Option<String>,
}

impl Places {
    /// The places of this user on this machine.
    pub fn of_this_machine() -> Self {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if cfg!(windows) {
            let documents = registry(
                r"HKCU\Software\Microsoft\Windows\CurrentVersion\Explorer\User Shell Folders",
                "Personal",
            )
            .or_else(|| variable("USERPROFILE").map(|user| user.join("Documents")));
            let noted = registry(r"HKCU\Software\VirtualDJ", "HomeFolder");
            return Self { noted, parents: variable("LOCALAPPDATA").into_iter().chain(documents).collect() };
        }
        let parents = variable("HOME")
            .map(|home| vec![home.join("Library/Application Support"), home.join("Documents")])
            .unwrap_or_default();
        Self { noted: None, parents }
    }

    /// VirtualDJ's folder; of several the one whose history is the newest.
    pub fn home(&self) -> Option<Home> {
        let candidates =
            self.noted.clone().into_iter().chain(self.parents.iter().map(|parent| parent.join("VirtualDJ")));
        let homes = candidates.filter(|folder| is_home(folder)).map(Home::in_folder);
        // The first wins a tie: places are in order of preference.
        homes
            .enumerate()
            .max_by_key(|(index, home)| (home.newest_play_ms(), -(*index as i64)))
            .map(|(_, home)| home)
    }
}

impl Home {
    /// The home that a user's path means: the home folder itself, its history folder, or one history file.
    pub fn of_path(path: &Path) -> Self {
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().to_lowercase());
        let file = name(path).filter(|name| history::is_list(name) || name.ends_with(".txt"));
        if file.is_some() && !path.is_dir() {
            let history = path.parent().map(Path::to_owned).unwrap_or_default();
            let only = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
            return Self { only, ..Self::of_history(history) };
        }
        let is_history = name(path).as_deref() == Some("history")
            || (!is_home(path) && folder::list(path, history::is_list).is_ok_and(|lists| !lists.is_empty()));
        if is_history { Self::of_history(path.to_owned()) } else { Self::in_folder(path.to_owned()) }
    }

    fn in_folder(folder: PathBuf) -> Self {
        Self { history: folder.join("History"), folder, only: None }
    }

    fn of_history(history: PathBuf) -> Self {
        let folder = history.parent().map(Path::to_owned).unwrap_or_else(|| history.clone());
        Self { folder, history, only: None }
    }

    /// The newest play of the two newest lists.
    fn newest_play_ms(&self) -> Option<i64> {
        const TAIL_BYTES: u64 = 64 * 1024;
        let mut lists = folder::list(&self.history, history::is_list).ok()?;
        lists.sort_by(|one, other| other.name.cmp(&one.name));
        let newest = lists.iter().take(2).filter_map(|list| {
            let bytes = folder::read_tail(&self.history.join(&list.name), TAIL_BYTES).ok()?;
            playlist::parse(&bytes).entries.iter().filter_map(|entry| entry.tags.last_play_ms).max()
        });
        newest.max()
    }
}

fn is_home(folder: &Path) -> bool {
    ["settings.xml", "database.xml", "History"].iter().any(|name| folder.join(name).exists())
}

/// A value of the Windows registry, asked of the system's own tool: no other place needs an API for it.
fn registry(key: &str, value: &str) -> Option<PathBuf> {
    let output = std::process::Command::new("reg").args(["query", key, "/v", value]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.trim_start().starts_with(value))?;
    let kind = ["REG_EXPAND_SZ", "REG_SZ"].into_iter().find(|kind| line.contains(kind))?;
    let (_, path) = line.split_once(kind)?;
    let path = path.trim();
    (!path.is_empty()).then(|| PathBuf::from(expanded(path, |name| env::var_os(name))))
}

/// The text with `%NAME%` replaced.
fn expanded(text: &str, variable: impl Fn(&str) -> Option<OsString>) -> String {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    while let Some(name) = parts.next() {
        match variable(name) {
            Some(value) => plain.push_str(&value.to_string_lossy()),
            None => plain.push_str(&format!("%{name}%")),
        }
        plain.push_str(parts.next().unwrap_or_default());
    }
    plain
}

/// What in `settings.xml` keeps plays from us or late, in words for the DJ.
pub fn advice(home: &Home) -> Vec<String> {
    const DELAY_S_DEFAULT: u32 = 45;
    const DELAY_S_GOOD: u32 = 15;
    let Ok(xml) = fs::read(home.folder.join("settings.xml")) else { return Vec::new() };
    let xml = String::from_utf8_lossy(&xml);
    let mut advice = Vec::new();
    let writes = setting(&xml, "writeHistory").map(|text| text.to_lowercase());
    if writes.is_some_and(|text| matches!(text.as_str(), "0" | "no" | "off" | "false")) {
        advice.push("VirtualDJ writes no history: switch the option writeHistory on".to_owned());
    }
    let delay_s = setting(&xml, "historyDelay").and_then(|text| text.parse().ok()).unwrap_or(DELAY_S_DEFAULT);
    if delay_s > DELAY_S_GOOD {
        advice.push(format!(
            "VirtualDJ tells of a track only after {delay_s} s of play: set the option historyDelay to 10 or 15"
        ));
    }
    advice
}

/// The text of the first element of that name.
fn setting<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    after.split_once("</").map(|(text, _)| text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_homes_the_newest_history_wins() {
        let dir = tempfile::tempdir().expect("a folder");
        for (parent, played) in [("old", "1700000000"), ("new", "1795291330")] {
            let history = dir.path().join(parent).join("VirtualDJ/History");
            fs::create_dir_all(&history).expect("made");
            let entry = format!("#EXTVDJ:<lastplaytime>{played}</lastplaytime>\n/m\n");
            fs::write(history.join("2026-11-21.m3u"), entry).expect("written");
        }
        let places = Places { noted: None, parents: vec![dir.path().join("old"), dir.path().join("new")] };
        let home = places.home().expect("two are there");
        assert_eq!(home.folder, dir.path().join("new/VirtualDJ"));
        assert_eq!(Home::of_path(&home.folder), home);
        assert_eq!(Home::of_path(&home.history), home);
        let file = Home::of_path(&home.history.join("2026-11-21.m3u"));
        assert_eq!((file.history, file.only.as_deref()), (home.history, Some("2026-11-21.m3u")));
    }

    #[test]
    fn variables_of_the_registry() {
        let user = |name: &str| (name == "USERPROFILE").then(|| OsString::from(r"C:\Users\dj"));
        assert_eq!(expanded(r"%USERPROFILE%\OneDrive\Documents", user), r"C:\Users\dj\OneDrive\Documents");
        assert_eq!(expanded(r"D:\%X%", user), r"D:\%X%");
    }

    #[test]
    fn settings() {
        let xml = "<settings><writeHistory>yes</writeHistory><historyDelay>45</historyDelay></settings>";
        assert_eq!(setting(xml, "historyDelay"), Some("45"));
        assert_eq!(setting(xml, "other"), None);
    }
}
