//! What a desk says: its state, and each play of its set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{JournalId, MessageId, PlayId, SetId};
use crate::input::Request;
use crate::message::V1;
use crate::track::{self, Track};

/// The set that a play belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SetRef {
    pub id: SetId,
    /// When the DJ went live, by the DJ's clock.
    pub started_ms: i64,
    /// The DJ's name as shown to dancers, if the desk gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dj: Option<String>,
}

impl SetRef {
    /// Brings the DJ's name inside the bounds of a text field.
    pub(crate) fn clean(&mut self) {
        self.dj = self.dj.take().and_then(track::text);
    }
}

/// One track, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Play {
    pub id: PlayId,
    /// When it started, by the DJ's clock, however late the message comes.
    pub started_ms: i64,
    /// When it ended, if the DJ program tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    pub track: Track,
}

/// What happened to the play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlayKind {
    Started,
    /// Late or better facts (BPM, key, a fixed title) of the same play.
    Corrected,
    Ended,
    /// It was not played after all, or the DJ takes it back.
    Withdrawn,
}

/// `{floor}/desk/{desk}/play`. Each report carries the whole play, so the newest one (`at_ms`) alone is
/// the truth, in whatever order they come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlayReport {
    pub v: V1,
    pub id: MessageId,
    /// When the desk wrote it; strictly increasing within a journal.
    pub at_ms: i64,
    /// The journal that numbers `seq`.
    pub journal: JournalId,
    /// Position in the journal, from 1, without gaps.
    pub seq: u64,
    /// The lowest `seq` that the producer still holds when it sends this. Everything below is confirmed or
    /// gone, so the archive need not wait for it.
    pub held_from: u64,
    pub kind: PlayKind,
    pub set: SetRef,
    pub play: Play,
    /// With this report the set is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub set_ended: bool,
}

/// `{floor}/desk/{desk}/state`, retained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeskState {
    pub v: V1,
    pub id: MessageId,
    pub at_ms: i64,
    /// Whether this desk speaks for the floor.
    pub on_air: bool,
    /// The DJ keeps the current track to himself.
    #[serde(default)]
    pub hidden: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<SetRef>,
    /// The play that is on now. Only this one becomes "now playing": everything else is history that
    /// comes late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub play_id: Option<PlayId>,
    /// Where the desk reads from, for example `virtualdj`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Name and version of the publisher.
    pub app: String,
    /// Messages in the journal that the archive has not confirmed.
    #[serde(default)]
    pub queue_depth: u64,
    /// The newest of its `requests` that the desk has dealt with, and with it all before that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<MessageId>,
}

/// `{floor}/desk/{desk}/requests`, retained: what the desk was asked from elsewhere and has not answered, the oldest
/// first. An empty payload: nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeskRequests {
    pub v: V1,
    pub id: MessageId,
    pub at_ms: i64,
    /// At most 16; an older one gives way.
    pub requests: Vec<DeskRequest>,
}

/// One request, with the id of the message that brought it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeskRequest {
    pub id: MessageId,
    pub at_ms: i64,
    #[serde(flatten)]
    pub request: Request,
}
