//! How the DJ sees and steers the desk at the laptop: what it says of itself, and what it is asked. The tray and the settings
//! page hold a `Remote`, the desk holds the other end.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::{Info, PlayId, Request, SetId, Track};
use tokio::sync::{Mutex, mpsc, watch};

use crate::sources::SourceState;
use crate::sources::observation::SourceKind;

/// Clicks that wait for the desk. Beyond it, a click is refused, and whoever clicked is told.
const WISHES_MAX: usize = 16;
/// Lines of the log that are kept to be looked at.
const LINES_MAX: usize = 200;

/// How the desk stands, in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// No set is open: what is played is not told.
    #[default]
    Idle,
    Live,
    /// What is on is kept from the floor.
    Hidden,
    /// Plays wait for the server. Nothing is lost.
    Queueing,
    /// Something keeps the floor from seeing what is played, and it does not pass by itself.
    Error,
}

impl Standing {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Live => "live",
            Self::Hidden => "hidden",
            Self::Queueing => "queueing",
            Self::Error => "error",
        }
    }
}

/// What the desk says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    pub standing: Standing,
    /// Why it stands so, if that is not plain.
    pub why: Option<String>,
    /// The open set.
    pub set: Option<SetId>,
    pub now: Option<OnNow>,
    /// The play that was told last in the open set, on or over: what "undo last" takes back.
    pub last: Option<(PlayId, String)>,
    pub is_hidden: bool,
    pub is_connected: bool,
    /// Plays that the archive has not confirmed.
    pub waiting: usize,
    pub sources: Vec<(SourceKind, SourceState)>,
    pub speaker: Option<SourceKind>,
    /// The event as its archiver tells it.
    pub info: Option<Info>,
    /// What was seen and done, oldest first.
    pub log: VecDeque<Line>,
}

/// What is heard now.
#[derive(Debug, Clone, PartialEq)]
pub struct OnNow {
    pub play: PlayId,
    pub track: Track,
    pub started_ms: i64,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub at_ms: i64,
    pub text: String,
}

impl Status {
    /// Whether no source can be read, and none waits for a sender either.
    pub fn is_deaf(&self) -> bool {
        let is_missing = |state: &SourceState| matches!(state, SourceState::Missing { .. });
        !self.sources.is_empty() && self.sources.iter().all(|(_, state)| is_missing(state))
    }

    /// Notes what was seen or done.
    pub(crate) fn note(&mut self, at_ms: i64, text: String) {
        self.log.push_back(Line { at_ms, text });
        if self.log.len() > LINES_MAX {
            self.log.pop_front();
        }
    }
}

/// What the tray and the settings page hold.
#[derive(Debug, Clone)]
pub struct Remote {
    pub status: watch::Receiver<Status>,
    wishes: mpsc::Sender<Request>,
}

impl Remote {
    /// Asks the desk. Says no when it is gone, or has not done what it was asked for long.
    pub fn ask(&self, request: Request) -> bool {
        self.wishes.try_send(request).is_ok()
    }
}

/// What the desk holds. A desk that starts after another one takes over the same controls.
#[derive(Debug, Clone)]
pub struct Controls {
    pub(crate) status: watch::Sender<Status>,
    pub(crate) wishes: Arc<Mutex<mpsc::Receiver<Request>>>,
}

/// Both ends. A desk whose remote nobody holds runs all the same.
pub fn controls() -> (Remote, Controls) {
    let (shown, status) = watch::channel(Status::default());
    let (wishes, asked) = mpsc::channel(WISHES_MAX);
    (Remote { status, wishes }, Controls { status: shown, wishes: Arc::new(Mutex::new(asked)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_waits_for_a_sender_is_not_deaf() {
        let found = || SourceState::Found { what: String::new(), why: String::new() };
        let waiting = || SourceState::Waiting { what: String::new(), why: String::new() };
        let missing = || SourceState::Missing { what: String::new(), why: String::new() };
        for (states, is_deaf) in [
            (vec![], false),
            (vec![missing()], true),
            (vec![waiting()], false),
            (vec![missing(), missing()], true),
            (vec![missing(), waiting()], false),
            (vec![found(), missing()], false),
        ] {
            let sources = states.into_iter().map(|state| (SourceKind::Icecast, state)).collect();
            let status = Status { sources, ..Status::default() };
            assert_eq!(status.is_deaf(), is_deaf, "{:?}", status.sources);
        }
    }
}
