//! What the archiver says about a floor, and the cursor that confirms what is stored.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{DeskId, EventId, FloorId, JournalId, MessageId, PlayId, ProducerId, SetId};
use crate::message::V1;
use crate::play::Play;

/// `info`, retained: the event as strangers may know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Info {
    pub v: V1,
    pub id: MessageId,
    pub at_ms: i64,
    pub event: EventId,
    pub name: String,
    /// IANA name, for example `Europe/Warsaw`.
    pub time_zone: String,
    /// The event's colour, `#rrggbb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accent: Option<String>,
    pub floors: Vec<FloorInfo>,
    /// Where the pages are, when the operator said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_url: Option<String>,
    /// Versions of this contract that are published side by side.
    pub versions: Vec<u32>,
    /// Whose turn it is to speak for the event: of two archivers, the one with the higher number has taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
}

/// A floor's id and the name on the door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FloorInfo {
    pub id: FloorId,
    pub name: String,
}

/// The DJ as shown to dancers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dj {
    /// The desk's id.
    pub id: DeskId,
    pub name: String,
}

/// What a floor is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NowState {
    Playing,
    Paused,
    /// On air, nothing known to play; or nobody on air yet.
    Idle,
    /// The DJ keeps this one to himself: no play is told.
    Hidden,
    /// The last set is over.
    Ended,
}

impl NowState {
    /// As it stands in `now/state`.
    pub fn as_str(self) -> &'static str {
        match self {
            NowState::Playing => "playing",
            NowState::Paused => "paused",
            NowState::Idle => "idle",
            NowState::Hidden => "hidden",
            NowState::Ended => "ended",
        }
    }
}

/// `{floor}/now`, retained: the integrator's topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NowPlaying {
    pub v: V1,
    pub id: MessageId,
    pub at_ms: i64,
    pub state: NowState,
    /// Absent unless the state is `playing` or `paused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub play: Option<Play>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dj: Option<Dj>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_id: Option<SetId>,
    /// The DJ says that this is the last song of the set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last_song: bool,
    /// Where the picture of the track is, when there is one and the pages' address is known; another for each picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cover_url: Option<String>,
    /// After this time, without a newer message, show "no signal" instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after_ms: Option<i64>,
}

impl NowPlaying {
    /// Whether the desk or the archiver has been silent for too long to believe this.
    pub fn is_stale(&self, now_ms: i64) -> bool {
        self.stale_after_ms.is_some_and(|after| now_ms > after)
    }
}

/// `{floor}/history`, retained: the last plays, newest first, the current one not among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    pub v: V1,
    pub id: MessageId,
    pub at_ms: i64,
    /// At most 20, and at most 16 KiB in all.
    pub plays: Vec<PastPlay>,
}

/// A play of the history, with whose it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PastPlay {
    pub set_id: SetId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dj: Option<Dj>,
    #[serde(flatten)]
    pub play: Play,
}

/// Tempo wishes of the floor for one play.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TempoTally {
    pub slower: u32,
    pub perfect: u32,
    pub faster: u32,
}

/// `{floor}/reactions`, retained, QoS 0, at most two a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reactions {
    pub v: V1,
    pub id: MessageId,
    pub at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub play_id: Option<PlayId>,
    pub likes: u32,
    pub tempo: TempoTally,
    pub thanks: u32,
    pub listeners: u32,
}

/// Kinds of [`FloorEvent`]. More may come: a reader passes over what it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FloorEventType {
    TrackStarted,
    TrackEnded,
    SetStarted,
    SetEnded,
    DjChanged,
    LikeBurst,
    TempoShift,
    LastSong,
    Announcement,
    #[serde(other)]
    Unknown,
}

/// `{floor}/event`, never retained: a light that comes late must not fire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FloorEvent {
    pub v: V1,
    pub id: MessageId,
    pub at_ms: i64,
    pub event_type: FloorEventType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub play: Option<Play>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_id: Option<SetId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dj: Option<Dj>,
    /// What the kind counts, for example likes in a burst.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// `{floor}/announcement`, retained until cleared by an empty payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Announcement {
    pub v: V1,
    pub id: MessageId,
    pub at_ms: i64,
    /// At most 200 characters.
    pub text: String,
    /// When it goes away by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
}

/// `{floor}/poll`, retained until cleared by an empty payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Poll {
    pub v: V1,
    pub id: MessageId,
    pub at_ms: i64,
    /// The poll's own id; `id` is that of this message.
    pub poll_id: MessageId,
    pub question: String,
    /// Two to six.
    pub options: Vec<PollOption>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_ms: Option<i64>,
    pub closed: bool,
}

/// An answer to choose, and how many did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PollOption {
    pub text: String,
    pub votes: u32,
}

/// `cursor/{producer}`, retained: everything up to `seq` of this journal is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cursor {
    pub v: V1,
    pub id: MessageId,
    pub at_ms: i64,
    pub producer: ProducerId,
    pub journal: JournalId,
    pub seq: u64,
}

/// `audience/{webapp}`, retained, last will with no floors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Audience {
    pub v: V1,
    pub id: MessageId,
    pub at_ms: i64,
    /// Open sockets by floor.
    pub sockets: BTreeMap<FloorId, u32>,
}
