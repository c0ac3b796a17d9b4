//! The published contract: topics, ids and payloads of `pika/v1`. No I/O, no clock, no async.
//!
//! Everything that enters the system as text becomes one of these types once, here, and stays one.

pub mod id;
pub mod topic;
pub mod track;

pub mod cover;
pub mod floor;
pub mod input;
pub mod play;

pub mod message;
pub mod schema;

pub use cover::{Cover, CoverId, Jpeg};
pub use floor::{Announcement, Audience, Cursor, Dj, FloorEvent, FloorEventType, FloorInfo, History, Info};
pub use floor::{NowPlaying, NowState, PastPlay, Poll, PollOption, Reactions, TempoTally};
pub use id::{
    BadId, DancerId, DeskId, EventId, FloorId, IdSource, JournalId, MessageId, PersonId, PlayId, ProducerId,
    SetId,
};
pub use input::{Input, InputReport, Request, TempoWish};
pub use message::{BadPayload, Message, Presence, V1};
pub use play::{DeskRequest, DeskRequests, DeskState, Play, PlayKind, PlayReport, SetRef};
pub use topic::{BadTopic, DeskTopic, FloorAddress, FloorTopic, NowField, Topic};
pub use track::Track;
