//! Where VirtualDJ keeps its files on this machine. Where to look comes in as data.

use std::fs;
use std::path::{Path, PathBuf};

use super::history;
use crate::sources::places::Places;
use crate::sources::{folder, playlist};

/// VirtualDJ's folder, and what of its history is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub folder: PathBuf,
    pub history: PathBuf,
    /// One file of the history, when the user wants that one.
    pub only: Option<String>,
}

impl Home {
    /// VirtualDJ's folder on this machine; of several the one whose history is the newest.
    pub fn find(places: &Places) -> Option<Self> {
        // Newer releases use the folder for data, older ones that for documents.
        let parents = places.data.first().into_iter().chain(&places.documents);
        let candidates =
            places.virtualdj.clone().into_iter().chain(parents.map(|parent| parent.join("VirtualDJ")));
        let homes = candidates.filter(|folder| is_home(folder)).map(Home::in_folder);
        // The first wins a tie: places are in order of preference.
        homes
            .enumerate()
            .max_by_key(|(index, home)| (home.newest_play_ms(), -(*index as i64)))
            .map(|(_, home)| home)
    }

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
        let places = Places {
            documents: Some(dir.path().join("old")),
            data: vec![dir.path().join("new")],
            ..Places::default()
        };
        let home = Home::find(&places).expect("two are there");
        assert_eq!(home.folder, dir.path().join("new/VirtualDJ"));
        assert_eq!(Home::of_path(&home.folder), home);
        assert_eq!(Home::of_path(&home.history), home);
        let file = Home::of_path(&home.history.join("2026-11-21.m3u"));
        assert_eq!((file.history, file.only.as_deref()), (home.history, Some("2026-11-21.m3u")));
    }

    #[test]
    fn settings() {
        let xml = "<settings><writeHistory>yes</writeHistory><historyDelay>45</historyDelay></settings>";
        assert_eq!(setting(xml, "historyDelay"), Some("45"));
        assert_eq!(setting(xml, "other"), None);
    }
}
