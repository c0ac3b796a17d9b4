//! Sources that are asked, or that speak to us, as tasks: how they say what they hear.
//!
//! Such a task runs until it is dropped; `open` does that when the publisher stops or nobody listens any more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use config::clock::now_ms;
use protocol::Track;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::decks::{Change, Deck, DeckMode, Decks};
use super::observation::{Arrival, Location, Observation, SourceKind};
use super::{Heard, SourceEvent, SourceState};

/// How often a program is asked.
const POLL: Duration = Duration::from_secs(1);
/// One failure is a busy program.
const FAILURES_MAX: u32 = 3;
/// A program that does not answer is tried again after this.
pub(super) const RETRY: Duration = Duration::from_secs(10);
const BIND_AGAIN_MIN: Duration = Duration::from_secs(1);
const BIND_AGAIN_MAX: Duration = Duration::from_secs(30);

/// A shorter silence is a hand on the platter or a player between two tracks.
const SILENCE_MS: i64 = 15_000;

/// What a source says goes this way, to whoever judges it.
#[derive(Debug)]
pub(super) struct Voice {
    source: SourceKind,
    events: mpsc::Sender<Heard>,
    state: Option<SourceState>,
}

impl Voice {
    pub fn new(source: SourceKind, events: mpsc::Sender<Heard>) -> Self {
        Self { source, events, state: None }
    }

    /// Says it, and waits while the queue is full.
    pub async fn say(&self, event: SourceEvent) {
        // Nobody listens any more: this task is about to be dropped.
        let _ = self.events.send(Heard { source: self.source, event }).await;
    }

    /// Says that the source can be read, unless that was said last.
    pub async fn found(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.set(SourceState::Found { what: what.into(), why: why.into() }).await;
    }

    /// Says that the source waits for its sender, unless that was said last.
    pub async fn waiting(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.set(SourceState::Waiting { what: what.into(), why: why.into() }).await;
    }

    /// Says that the source cannot be read, unless that was said last.
    pub async fn missing(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.set(SourceState::Missing { what: what.into(), why: why.into() }).await;
    }

    async fn set(&mut self, state: SourceState) {
        if self.state.as_ref() != Some(&state) {
            self.state = Some(state.clone());
            self.say(SourceEvent::State(state)).await;
        }
    }
}

/// A program that is asked what it plays.
pub(super) trait Asked: Send {
    /// Asks once, and lets the ears hear what is on.
    fn look(&mut self, ears: &mut Ears) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Asks a program every second and tells what is heard, until it has not answered several times in a row. Says why.
pub(super) async fn follow(program: &mut impl Asked, voice: &Voice, ears: &mut Ears) -> anyhow::Error {
    let mut failures = 0;
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match program.look(ears).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                if failures >= FAILURES_MAX {
                    return error;
                }
                continue;
            }
        }
        if let Some(event) = ears.news(now_ms()) {
            voice.say(event).await;
        }
    }
}

/// Listens there, as soon as no other program does. `cure` is what the DJ can do about one.
pub(super) async fn listener(voice: &mut Voice, address: SocketAddr, cure: &str) -> TcpListener {
    let mut pause = BIND_AGAIN_MIN;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => {
                let why = format!("we cannot listen there ({error}); {cure}");
                voice.missing(address.to_string(), why).await;
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(BIND_AGAIN_MAX);
    }
}

/// What is on a deck, or in a player that has no decks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sound {
    pub track: Track,
    pub location: Option<Location>,
    /// A file with the cover.
    pub picture: Option<PathBuf>,
    pub comment: Option<String>,
    /// From 0 to 1, as the faders say; 0 for a deck that is silent and keeps its track.
    pub level: f64,
    /// Tells this play from the next one on the same deck.
    pub key: String,
}

impl Sound {
    /// A track that is known by its artist and title alone.
    pub fn of(track: Track) -> Self {
        let key = key(&track);
        Self { track, location: None, picture: None, comment: None, level: 1.0, key }
    }
}

/// Artist and title, to tell plays apart where the program gives them no names.
pub(super) fn key(track: &Track) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    format!("{}|{}", text(&track.artist), text(&track.title))
}

/// The decks of one program, as it tells of them again and again. Pure: makes plays of sounds, and silence of none.
#[derive(Debug)]
pub(super) struct Ears {
    source: SourceKind,
    mode: DeckMode,
    /// The decks have numbers that the DJ knows, and these are not listened to.
    ignored: Option<Vec<u8>>,
    decks: Decks,
    on: BTreeMap<u8, On>,
    /// What is heard now began before we listened.
    is_first: bool,
    silent_since_ms: Option<i64>,
}

#[derive(Debug)]
struct On {
    key: String,
    play: Observation,
    since_ms: i64,
}

impl Ears {
    pub fn of_decks(source: SourceKind, mode: DeckMode, ignored: &[u8]) -> Self {
        Self::new(source, mode, Some(ignored.to_vec()))
    }

    /// Of players, each of which is like a deck, but has no number for the DJ.
    pub fn of_players(source: SourceKind, mode: DeckMode) -> Self {
        Self::new(source, mode, None)
    }

    fn new(source: SourceKind, mode: DeckMode, ignored: Option<Vec<u8>>) -> Self {
        Self {
            source,
            mode,
            decks: Decks::new(mode, ignored.as_deref().unwrap_or_default()),
            ignored,
            on: BTreeMap::new(),
            is_first: true,
            silent_since_ms: None,
        }
    }

    /// What a deck plays now; nothing when it is empty.
    pub fn hear(&mut self, now_ms: i64, number: u8, sound: Option<Sound>) {
        let Some(sound) = sound else {
            self.on.remove(&number);
            self.decks.set(number, None);
            return;
        };
        let before = self.on.remove(&number).filter(|on| on.key == sound.key);
        if before.is_none() && sound.level == 0.0 {
            // It was never heard: it begins when it is.
            self.decks.set(number, None);
            return;
        }
        let mut on = before.unwrap_or_else(|| {
            let mut play = Observation::new(self.source, format!("{}|{now_ms}", key(&sound.track)));
            play.deck = self.ignored.as_ref().map(|_| number);
            play.arrival = if self.is_first { Arrival::Playing } else { Arrival::Live };
            On { key: sound.key, play, since_ms: now_ms }
        });
        (on.play.track, on.play.location) = (sound.track, sound.location);
        on.play.picture = sound.picture;
        on.play.comment = sound.comment;
        let heard = Deck { play: on.play.clone(), since_ms: on.since_ms, level: sound.level };
        self.decks.set(number, Some(heard));
        self.on.insert(number, on);
    }

    /// What is to be said after all decks were heard.
    pub fn news(&mut self, now_ms: i64) -> Option<SourceEvent> {
        self.is_first = false;
        match self.decks.change() {
            Change::Play(play) => {
                self.silent_since_ms = None;
                return Some(SourceEvent::Plays(vec![play]));
            }
            Change::Silence => self.silent_since_ms = Some(now_ms),
            Change::Nothing => {}
        }
        let is_over = self.silent_since_ms.is_some_and(|since_ms| now_ms - since_ms >= SILENCE_MS);
        is_over.then(|| {
            // What comes after it is another play, also of the same song.
            self.forget();
            self.is_first = false;
            SourceEvent::Stopped
        })
    }

    /// When there will be news although nothing is heard: the silence will have lasted.
    pub fn due_ms(&self) -> Option<i64> {
        self.silent_since_ms.map(|since_ms| since_ms + SILENCE_MS)
    }

    /// The program is gone; what it plays when it is back may have begun meanwhile.
    pub fn forget(&mut self) {
        *self = Self::new(self.source, self.mode, self.ignored.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(title: &str, level: f64) -> Option<Sound> {
        let track = Track { title: Some(title.to_owned()), ..Track::default() };
        Some(Sound { level, ..Sound::of(track) })
    }

    /// What is said after each step: second, deck, sound.
    #[track_caller]
    fn check(steps: &[(i64, u8, Option<Sound>, &str)]) {
        let mut ears = Ears::of_decks(SourceKind::VirtualDj, DeckMode::Newest, &[]);
        for (at_s, deck, sound, expected) in steps {
            ears.hear(at_s * 1000, *deck, sound.clone());
            let said = match ears.news(at_s * 1000) {
                None => String::new(),
                Some(SourceEvent::Stopped) => "stopped".to_owned(),
                Some(SourceEvent::Plays(plays)) => plays
                    .iter()
                    .map(|play| format!("{:?} {}", play.arrival, play.identity).to_lowercase())
                    .collect(),
                Some(SourceEvent::State(_)) => "state".to_owned(),
            };
            assert_eq!(said, *expected, "at {at_s} s");
        }
    }

    #[test]
    fn what_is_on_when_we_come_and_what_follows() {
        check(&[
            (0, 1, sound("a", 1.0), "playing |a|0"),
            (1, 1, sound("a", 1.0), ""),
            (2, 2, sound("b", 0.0), ""),
            (9, 2, sound("b", 1.0), "live |b|9000"),
            (10, 1, None, ""),
            (11, 2, sound("c", 1.0), "live |c|11000"),
        ]);
    }

    #[test]
    fn a_short_silence_is_none() {
        check(&[
            (0, 1, sound("a", 1.0), "playing |a|0"),
            (5, 1, sound("a", 0.0), ""),
            (19, 1, sound("a", 0.0), ""),
            (19, 1, sound("a", 1.0), "playing |a|0"),
            (30, 1, sound("a", 0.0), ""),
            (45, 1, sound("a", 0.0), "stopped"),
            (60, 1, sound("a", 0.0), ""),
            (70, 1, sound("a", 1.0), "live |a|70000"),
        ]);
    }
}
