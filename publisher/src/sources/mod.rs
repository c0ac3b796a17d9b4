//! Where plays come from: one module per kind of source, and `open` to follow those that are chosen, or found.

pub mod decks;
pub mod decode;
pub mod djay;
mod djuced;
mod files;
pub mod folder;
mod http;
pub mod icecast;
pub mod input;
mod jriver;
mod live;
pub mod m3u;
mod mixxx;
#[cfg(target_os = "linux")]
mod mpris;
pub mod observation;
pub mod places;
pub mod playlist;
pub mod rekordbox;
mod rows;
pub mod serato;
#[cfg_attr(not(any(windows, test)), expect(dead_code, reason = "only Windows has sessions to read"))]
mod smtc;
mod sqlite;
pub mod stagelinq;
mod still;
pub mod tagger;
pub mod tags;
pub mod text;
pub mod traktor;
pub mod virtualdj;
mod virtualdj_live;
mod watch;
mod xml;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use config::clock::now_ms;
use jiff::tz::TimeZone;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::decks::Decks;
use self::djay::Djay;
use self::djuced::Djuced;
use self::files::{Files, List, TextFile};
use self::live::{Ears, Voice};
use self::mixxx::Mixxx;
use self::observation::{Observation, SourceKind};
use self::places::Places;
use self::rekordbox::Rekordbox;
use self::traktor::Collection;
use self::virtualdj::VirtualDj;
use self::virtualdj::home::Home;
pub use self::virtualdj::reader::CatchUp;
use crate::settings::Settings;

/// What a source has to say, and which one it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub source: SourceKind,
    pub event: SourceEvent,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SourceEvent {
    /// What one look brought, oldest first. A play told before may come again with more known of it.
    Plays(Vec<Observation>),
    /// Nothing is played any more.
    Stopped,
    State(SourceState),
}

/// Whether the source can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceState {
    Found {
        what: String,
        why: String,
    },
    /// All is well, and nobody has begun to speak to it.
    Waiting {
        what: String,
        why: String,
    },
    /// Nothing comes of it as things are.
    Missing {
        what: String,
        why: String,
    },
}

/// Sources that are followed until their stop token is cancelled or this is dropped.
#[derive(Debug)]
pub struct Sources {
    pub events: mpsc::Receiver<Heard>,
}

/// A batch per look; when so many wait, no source looks, and the files keep what comes.
const EVENTS_MAX: usize = 16;
const SEARCH_EVERY: Duration = Duration::from_secs(5);

/// DJ programs whose files are looked for on this machine, the most trusted first.
const FOUND_BY_THEMSELVES: &[SourceKind] = &[
    SourceKind::VirtualDj,
    SourceKind::Mixxx,
    SourceKind::Serato,
    SourceKind::Djay,
    SourceKind::Djuced,
    SourceKind::Rekordbox,
];

/// Those of them that are looked for when no source is chosen.
fn found_by_themselves(settings: &Settings) -> Vec<SourceKind> {
    // Without the key to its database, finding rekordbox would help nobody who does not use it.
    let has_key = settings.rekordbox.key.is_some();
    let kinds = FOUND_BY_THEMSELVES.iter().copied();
    kinds.filter(|kind| *kind != SourceKind::Rekordbox || has_key).collect()
}

/// Follows the sources that the settings name, from what was known before. Must be called inside a tokio runtime.
///
/// # Errors
/// A source that the settings name lacks what it needs, such as a path.
pub fn open(
    settings: &Settings,
    places: Places,
    zone: TimeZone,
    catch_up: CatchUp,
    stop: CancellationToken,
) -> anyhow::Result<Sources> {
    let runtime = Handle::try_current().context("a source needs a runtime to send to")?;
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let opening = Opening { settings: settings.clone(), places, zone, catch_up, stop, runtime, sender };
    match (settings.source.kinds(), &settings.path) {
        ([], Some(path)) => {
            opening.follow(opening.at_path(guessed(path), path)?, "the chosen path looks like it")?
        }
        ([], None) => opening.search(&found_by_themselves(settings)),
        (kinds, path) => {
            // The path is that of the first one that needs one.
            let mut path = path.as_deref();
            for kind in kinds {
                match path.take_if(|_| kind.has_files()) {
                    Some(path) => opening.follow(opening.at_path(*kind, path)?, "it was chosen")?,
                    None if !kind.has_files() => opening.listen(*kind)?,
                    None if FOUND_BY_THEMSELVES.contains(kind) => opening.search(&[*kind]),
                    None => anyhow::bail!(
                        "the source {kind} has no path: set `path` to the list, folder or file to read"
                    ),
                }
            }
        }
    }
    Ok(Sources { events })
}

/// Whether there is anything to follow on this machine: a source was chosen, a path was given, or a DJ program is found.
pub fn is_source_here(settings: &Settings) -> bool {
    let places = Places::of_this_machine();
    settings.path.is_some()
        || !settings.source.kinds().is_empty()
        || found_by_themselves(settings).into_iter().any(|kind| is_here(kind, &places))
}

/// What is needed to follow sources.
#[derive(Clone)]
struct Opening {
    settings: Settings,
    places: Places,
    zone: TimeZone,
    catch_up: CatchUp,
    stop: CancellationToken,
    runtime: Handle,
    sender: mpsc::Sender<Heard>,
}

impl Opening {
    /// The files of a program at a path of the user's.
    fn at_path(&self, kind: SourceKind, path: &Path) -> anyhow::Result<Box<dyn Files>> {
        Ok(match kind {
            SourceKind::VirtualDj => self.virtualdj(Home::of_path(path)),
            SourceKind::Mixxx => self.mixxx(path),
            SourceKind::Serato => self.serato(serato::Home::of_path(path)),
            SourceKind::Djay => self.djay(path),
            SourceKind::Djuced => self.djuced(path),
            SourceKind::Rekordbox => self.rekordbox(path),
            SourceKind::M3u => Box::new(List::at(path)?),
            SourceKind::Text => Box::new(TextFile::at(path, self.settings.text)?),
            _ => anyhow::bail!("the source {kind} reads no files"),
        })
    }

    /// The files of a program where it keeps them by itself.
    fn find(&self, kind: SourceKind) -> Option<Box<dyn Files>> {
        match kind {
            SourceKind::VirtualDj => Home::find(&self.places).map(|home| self.virtualdj(home)),
            SourceKind::Mixxx => mixxx::find(&self.places).map(|folder| self.mixxx(&folder)),
            SourceKind::Serato => serato::Home::find(&self.places).map(|home| self.serato(home)),
            SourceKind::Djay => djay::find(&self.places).map(|folder| self.djay(&folder)),
            SourceKind::Djuced => djuced::find(&self.places).map(|folder| self.djuced(&folder)),
            SourceKind::Rekordbox => rekordbox::find(&self.places).map(|path| self.rekordbox(&path)),
            _ => None,
        }
    }

    fn virtualdj(&self, home: Home) -> Box<dyn Files> {
        Box::new(VirtualDj::at(home, self.zone.clone(), self.catch_up.clone()))
    }

    fn mixxx(&self, path: &Path) -> Box<dyn Files> {
        Box::new(Mixxx::at(path, self.catch_up.clone()))
    }

    fn serato(&self, home: serato::Home) -> Box<dyn Files> {
        home.files(self.settings.deck_mode, &self.settings.ignored_decks, self.catch_up.clone())
    }

    fn djay(&self, path: &Path) -> Box<dyn Files> {
        Box::new(Djay::at(path, self.catch_up.clone()))
    }

    fn djuced(&self, path: &Path) -> Box<dyn Files> {
        let decks = Decks::new(self.settings.deck_mode, &self.settings.ignored_decks);
        Box::new(Djuced::at(path, decks, self.catch_up.clone()))
    }

    fn rekordbox(&self, path: &Path) -> Box<dyn Files> {
        Box::new(Rekordbox::at(path, self.settings.rekordbox.key.as_ref(), self.catch_up.clone()))
    }

    /// Looks at the files on a thread of their own.
    fn follow(&self, files: Box<dyn Files>, why: &'static str) -> anyhow::Result<()> {
        let Opening { stop, runtime, sender, .. } = self.clone();
        let force_polling = self.settings.force_polling;
        std::thread::Builder::new()
            .name("source".to_owned())
            .spawn(move || watch::follow(files, why, force_polling, now_ms, &sender, &stop, &runtime))
            .context("cannot start the thread that follows the source")?;
        Ok(())
    }

    /// Follows a source that speaks to us, or is asked, in a task of its own.
    fn listen(&self, kind: SourceKind) -> anyhow::Result<()> {
        let Settings {
            icecast,
            mpris,
            smtc,
            virtualdj_live,
            jriver,
            http,
            stagelinq,
            deck_mode,
            ignored_decks,
            ..
        } = self.settings.clone();
        let voice = Voice::new(kind, self.sender.clone());
        let players = || Ears::of_players(kind, deck_mode);
        match kind {
            SourceKind::VirtualDjLive => {
                let decks = Ears::of_decks(kind, deck_mode, &ignored_decks);
                self.run(virtualdj_live::Asker::new(virtualdj_live)?.run(voice, decks));
            }
            SourceKind::StagelinQ => {
                let decks = Ears::of_decks(kind, deck_mode, &ignored_decks);
                self.run(stagelinq::run(stagelinq, voice, decks));
            }
            SourceKind::Icecast => {
                let collection = Collection::of(icecast.collection.clone(), &self.places);
                self.run(icecast::run(icecast, collection, voice, players()));
            }
            #[cfg(target_os = "linux")]
            SourceKind::Mpris => self.run(mpris::run(mpris, voice, players())),
            #[cfg(not(target_os = "linux"))]
            SourceKind::Mpris => {
                let _ = mpris;
                anyhow::bail!("the source {kind} asks players on a Linux desktop, and this is none")
            }
            #[cfg(windows)]
            SourceKind::Smtc => self.run(smtc::run(smtc, voice, players())),
            #[cfg(not(windows))]
            SourceKind::Smtc => {
                let _ = smtc;
                anyhow::bail!("the source {kind} asks players on a Windows desktop, and this is none")
            }
            SourceKind::JRiver => self.run(jriver::Asker::new(jriver)?.run(voice, players())),
            SourceKind::Input => self.run(input::run(http, voice, players())),
            SourceKind::VirtualDj
            | SourceKind::Mixxx
            | SourceKind::Serato
            | SourceKind::Djay
            | SourceKind::Djuced
            | SourceKind::Rekordbox
            | SourceKind::M3u
            | SourceKind::Text => anyhow::bail!("the source {kind} reads files"),
        }
        Ok(())
    }

    /// Runs until stopped, or until nobody receives any more.
    fn run(&self, source: impl Future<Output = ()> + Send + 'static) {
        let Opening { stop, sender, .. } = self.clone();
        self.runtime.spawn(async move {
            tokio::select! {
                () = source => {}
                () = stop.cancelled() => {}
                () = sender.closed() => {}
            }
        });
    }

    /// Looks for programs until all are found; each is followed from then on.
    fn search(&self, kinds: &[SourceKind]) {
        let (opening, mut kinds) = (self.clone(), kinds.to_vec());
        self.runtime.spawn(async move {
            let mut is_first = true;
            while !kinds.is_empty() {
                let looking = opening.clone();
                let wanted = kinds.clone();
                let look = tokio::task::spawn_blocking(move || {
                    let found = |kind: &SourceKind| looking.find(*kind).map(|files| (*kind, files));
                    wanted.iter().filter_map(found).collect::<Vec<_>>()
                });
                let found = look.await.unwrap_or_default();
                if found.is_empty() && std::mem::take(&mut is_first) {
                    opening.say_nothing_found(&kinds).await;
                }
                for (kind, files) in found {
                    is_first = false;
                    kinds.retain(|wanted| *wanted != kind);
                    if let Err(error) = opening.follow(files, "it was found on this machine") {
                        tracing::error!("{error:#}");
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(SEARCH_EVERY) => {}
                    () = opening.stop.cancelled() => return,
                }
            }
        });
    }

    async fn say_nothing_found(&self, kinds: &[SourceKind]) {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.program()).collect();
        if let [source, ..] = kinds {
            let mut voice = Voice::new(*source, self.sender.clone());
            voice.missing(names.join(", "), "it is not on this machine (yet)").await;
        }
    }
}

fn is_here(kind: SourceKind, places: &Places) -> bool {
    match kind {
        SourceKind::VirtualDj => Home::find(places).is_some(),
        SourceKind::Mixxx => mixxx::find(places).is_some(),
        SourceKind::Serato => serato::Home::find(places).is_some(),
        SourceKind::Djay => djay::find(places).is_some(),
        SourceKind::Djuced => djuced::find(places).is_some(),
        SourceKind::Rekordbox => rekordbox::find(places).is_some(),
        _ => false,
    }
}

/// What a path is likely to be.
fn guessed(path: &Path) -> SourceKind {
    let lower =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = lower(path);
    let in_history = path.parent().map(lower).as_deref() == Some("history");
    if mixxx::is_mixxx(path) {
        SourceKind::Mixxx
    } else if serato::is_serato(path) {
        SourceKind::Serato
    } else if djay::is_djay(path) {
        SourceKind::Djay
    } else if djuced::is_djuced(path) {
        SourceKind::Djuced
    } else if rekordbox::is_rekordbox(path) {
        SourceKind::Rekordbox
    } else if name == "tracklist.txt" || (in_history && m3u::is_list(&name)) {
        SourceKind::VirtualDj
    } else if m3u::is_list(&name) {
        SourceKind::M3u
    } else if path.is_file() || name.ends_with(".txt") {
        SourceKind::Text
    } else {
        SourceKind::VirtualDj
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_a_path_is_likely_to_be() {
        let dir = tempfile::tempdir().expect("a folder");
        let check = |path: &str, expected| assert_eq!(guessed(&dir.path().join(path)), expected, "{path}");
        check("VirtualDJ", SourceKind::VirtualDj);
        check("VirtualDJ/History/2026-11-21.m3u", SourceKind::VirtualDj);
        check("now.m3u8", SourceKind::M3u);
        check("now.txt", SourceKind::Text);
        check("playing.txt", SourceKind::Text);
        check("DJUCED/playing.txt", SourceKind::Djuced);
        check("NowPlaying.txt", SourceKind::Text);
        check("djay Media Library/NowPlaying.txt", SourceKind::Djay);
        check("_Serato_", SourceKind::Serato);
        check("12.session", SourceKind::Serato);
        for (folder, database, expected) in [
            ("mixxx", "mixxxdb.sqlite", SourceKind::Mixxx),
            ("serato", "master.sqlite", SourceKind::Serato),
            ("djay", "MediaLibrary.db", SourceKind::Djay),
            ("djuced", "DJUCED.db", SourceKind::Djuced),
            ("rekordbox", "master.db", SourceKind::Rekordbox),
        ] {
            fs::create_dir_all(dir.path().join(folder)).expect("made");
            fs::write(dir.path().join(folder).join(database), "").expect("written");
            check(folder, expected);
            check(&format!("{folder}/{database}"), expected);
        }
    }
}
