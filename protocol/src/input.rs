//! What dancers and the DJ's console send towards the archive.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{DancerId, DeskId, JournalId, MessageId, PlayId, SetId};
use crate::message::V1;
use crate::track;

/// How the tempo should change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TempoWish {
    Slower,
    Perfect,
    Faster,
}

/// One wish, bound to what it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Input {
    /// `on: false` takes the like back.
    Like {
        play_id: PlayId,
        dancer: DancerId,
        on: bool,
    },
    /// An absent wish takes it back.
    Tempo {
        play_id: PlayId,
        dancer: DancerId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wish: Option<TempoWish>,
    },
    Thanks {
        play_id: PlayId,
        dancer: DancerId,
    },
    /// Everything that the dancer said up to now is to be deleted.
    Forget {
        dancer: DancerId,
    },
    /// `option` counts from 0.
    Vote {
        poll_id: MessageId,
        dancer: DancerId,
        option: u8,
    },
    /// An empty text clears.
    Announce {
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ms: Option<i64>,
        /// The desk whose DJ says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<DeskId>,
    },
    AskPoll {
        poll_id: MessageId,
        question: String,
        options: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        closes_ms: Option<i64>,
        /// The desk whose DJ asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<DeskId>,
    },
    ClosePoll {
        poll_id: MessageId,
    },
    LastSong {
        on: bool,
        /// The desk whose DJ says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<DeskId>,
    },
    /// What a DJ who stands elsewhere wants of his own desk. The archiver keeps it and passes it on; the desk alone
    /// writes its set.
    Request {
        desk: DeskId,
        request: Request,
    },
}

/// What a desk can be asked to do. Each names what it is about, so that one that comes late does no harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Request {
    /// `on`: the play that is on is kept from the floor. `off`: it is shown after all.
    Hide {
        play_id: PlayId,
        on: bool,
    },
    /// It was not played after all.
    Withdraw {
        play_id: PlayId,
    },
    /// What it really was.
    Correct {
        play_id: PlayId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        artist: Option<String>,
        title: String,
    },
    EndSet {
        set_id: SetId,
    },
    /// Opens a set, if none is open.
    GoLive,
}

impl Input {
    /// The dancer who wishes it; none if it is a DJ.
    pub fn dancer(&self) -> Option<&DancerId> {
        match self {
            Input::Like { dancer, .. }
            | Input::Tempo { dancer, .. }
            | Input::Thanks { dancer, .. }
            | Input::Forget { dancer }
            | Input::Vote { dancer, .. } => Some(dancer),
            Input::Announce { .. }
            | Input::AskPoll { .. }
            | Input::ClosePoll { .. }
            | Input::LastSong { .. }
            | Input::Request { .. } => None,
        }
    }

    /// Brings texts inside their bounds; one of which nothing is left is empty.
    pub(crate) fn clean(&mut self) {
        match self {
            Input::Announce { text, .. } => clean(text),
            Input::AskPoll { question, options, .. } => {
                clean(question);
                options.iter_mut().for_each(clean);
            }
            Input::Request { request, .. } => request.clean(),
            _ => {}
        }
    }
}

impl Request {
    pub(crate) fn clean(&mut self) {
        if let Request::Correct { artist, title, .. } = self {
            *artist = artist.take().and_then(track::text);
            clean(title);
        }
    }
}

fn clean(text: &mut String) {
    *text = track::text(std::mem::take(text)).unwrap_or_default();
}

/// `{floor}/in/{producer}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InputReport {
    pub v: V1,
    /// Also the idempotency key: applying the same message twice changes nothing.
    pub id: MessageId,
    pub at_ms: i64,
    pub journal: JournalId,
    pub seq: u64,
    /// As in [`crate::PlayReport::held_from`].
    pub held_from: u64,
    pub input: Input,
}
