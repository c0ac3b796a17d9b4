//! Serato: version 4 keeps its history in a database, those before it, and Scratch Live, in session files.

mod booth;
mod library;
pub mod session;
mod sessions;

use std::path::{Path, PathBuf};

use self::booth::Booth;
use self::library::Library;
use self::sessions::Sessions;
use super::CatchUp;
use super::decks::DeckMode;
use super::files::Files;
use super::places::Places;

const DATABASE: &str = "master.sqlite";
const SERATO: &str = "_Serato_";
const SESSIONS: &str = "History/Sessions";

/// Where the history of a Serato lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Home {
    /// The folder of the database.
    Library(PathBuf),
    /// The folder of the session files.
    Sessions(PathBuf),
}

impl Home {
    /// Serato's history on this machine. Version 4 leaves the files of an older one where they are, so it goes first.
    pub fn find(places: &Places) -> Option<Self> {
        let libraries = places.data.iter().chain(&places.music).map(|parent| parent.join("Serato/Library"));
        let mut libraries = libraries.filter(|folder| folder.join(DATABASE).is_file());
        libraries.next().map(Self::Library).or_else(|| {
            let sessions = places.music.as_ref()?.join(SERATO).join(SESSIONS);
            sessions.is_dir().then_some(Self::Sessions(sessions))
        })
    }

    /// The history that a user's path means: the database, a session file, or one of the folders above them.
    pub fn of_path(path: &Path) -> Self {
        let parent = || path.parent().map(Path::to_owned).unwrap_or_default();
        if is_database(path) {
            return Self::Library(parent());
        }
        if is_session(path) && !path.is_dir() {
            return Self::Sessions(parent());
        }
        let libraries = [path.to_owned(), path.join("Library"), path.join("Serato/Library")];
        if let Some(library) = libraries.into_iter().find(|folder| folder.join(DATABASE).is_file()) {
            return Self::Library(library);
        }
        let below = [SESSIONS.to_owned(), "Sessions".to_owned(), format!("{SERATO}/{SESSIONS}")];
        let sessions = below.iter().map(|below| path.join(below)).find(|folder| folder.is_dir());
        match sessions {
            Some(sessions) => Self::Sessions(sessions),
            None if path.ends_with(SERATO) => Self::Sessions(path.join(SESSIONS)),
            None if path.ends_with("Library") => Self::Library(path.to_owned()),
            None => Self::Sessions(path.to_owned()),
        }
    }

    /// The files of that history.
    pub fn files(self, mode: DeckMode, ignored_decks: &[u8], catch_up: CatchUp) -> Box<dyn Files> {
        let booth = Booth::new(mode, ignored_decks, catch_up.clone());
        match self {
            Self::Library(folder) => Box::new(Library::at(folder, booth)),
            Self::Sessions(folder) => Box::new(Sessions::at(folder, booth, catch_up.since_ms)),
        }
    }
}

/// Whether a path is Serato's by its name, or by what lies there.
pub(super) fn is_serato(path: &Path) -> bool {
    is_database(path)
        || is_session(path)
        || path.ends_with(SERATO)
        || path.ends_with(SESSIONS)
        || path.join(DATABASE).is_file()
}

fn is_database(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(DATABASE))
}

fn is_session(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| sessions::number(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_serato_goes_first() {
        let dir = tempfile::tempdir().expect("a folder");
        let music = dir.path().join("Music");
        let sessions = music.join("_Serato_/History/Sessions");
        std::fs::create_dir_all(&sessions).expect("made");
        let places =
            Places { music: Some(music.clone()), data: vec![dir.path().join("data")], ..Places::default() };
        assert_eq!(Home::find(&places), Some(Home::Sessions(sessions.clone())));
        for path in [music.clone(), music.join("_Serato_"), sessions.clone(), sessions.join("12.session")] {
            assert_eq!(Home::of_path(&path), Home::Sessions(sessions.clone()), "{}", path.display());
        }
        let library = dir.path().join("data/Serato/Library");
        std::fs::create_dir_all(&library).expect("made");
        std::fs::write(library.join(DATABASE), "").expect("written");
        assert_eq!(Home::find(&places), Some(Home::Library(library.clone())));
        for path in [dir.path().join("data/Serato"), library.clone(), library.join(DATABASE)] {
            assert_eq!(Home::of_path(&path), Home::Library(library.clone()), "{}", path.display());
        }
    }
}
