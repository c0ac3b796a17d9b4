//! A payload read by its topic: the one place where bytes from outside become types.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cover::Cover;
use crate::floor::{Announcement, Audience, Cursor, FloorEvent, History, Info, NowPlaying, Poll, Reactions};
use crate::input::InputReport;
use crate::play::{DeskRequests, DeskState, PlayReport};
use crate::topic::{DeskTopic, FloorTopic, Topic};
use crate::track;

/// The longest JSON payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// The longest one with a picture in it.
pub const COVER_BYTES_MAX: usize = 140_000;

/// Why a payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadPayload {
    #[error("payload of {bytes} bytes is over {max}")]
    TooLong { bytes: usize, max: usize },
    #[error("payload is empty, and an empty one means nothing on this topic")]
    Empty,
    #[error("payload is neither `online` nor `offline`")]
    NotAPresence,
    #[error("payload is not UTF-8")]
    NotText,
    #[error("payload is a picture under the name of another")]
    NotThatCover,
    #[error("payload does not fit the topic")]
    Json(#[from] serde_json::Error),
}

/// The number 1: the version of the contract in every JSON message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct V1;

impl Serialize for V1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for V1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(V1),
            other => Err(D::Error::custom(format_args!("version {other} is not 1"))),
        }
    }
}

impl JsonSchema for V1 {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "V1".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "const": 1 })
    }
}

/// `desk/{desk}/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Online,
    Offline,
}

impl Presence {
    /// The payload.
    pub fn as_str(self) -> &'static str {
        match self {
            Presence::Online => "online",
            Presence::Offline => "offline",
        }
    }
}

/// What a topic and its payload say together.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    Info(Info),
    Cursor(Cursor),
    Audience(Audience),
    DeskStatus(Presence),
    DeskState(DeskState),
    Play(Box<PlayReport>),
    Cover(Cover),
    DeskRequests(DeskRequests),
    Now(Box<NowPlaying>),
    NowField(String),
    History(History),
    Reactions(Reactions),
    Event(Box<FloorEvent>),
    Announcement(Announcement),
    Poll(Poll),
    In(InputReport),
    /// A retained topic was emptied.
    Cleared,
}

impl Message {
    /// Reads what came on `topic`. Texts come out [clean](crate::Track::clean).
    ///
    /// ```
    /// # use pika_protocol::{Message, Presence, Topic};
    /// let topic: Topic = "pika/v1/tonight/main/desk/booth/status".parse()?;
    /// assert_eq!(Message::read(&topic, b"online")?, Message::DeskStatus(Presence::Online));
    /// assert!(Message::read(&topic, b"{}").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(topic: &Topic, payload: &[u8]) -> Result<Message, BadPayload> {
        let max = topic.payload_bytes_max();
        if payload.len() > max {
            return Err(BadPayload::TooLong { bytes: payload.len(), max });
        }
        if payload.is_empty() && !matches!(topic, Topic::Floor(_, FloorTopic::NowField(_))) {
            return if topic.is_retained() { Ok(Message::Cleared) } else { Err(BadPayload::Empty) };
        }
        Ok(match topic {
            Topic::Info(_) => Message::Info(json(payload)?),
            Topic::Cursor(..) => Message::Cursor(json(payload)?),
            Topic::Audience(..) => Message::Audience(json(payload)?),
            Topic::Floor(_, about) => match about {
                FloorTopic::Desk(_, DeskTopic::Status) => match payload {
                    b"online" => Message::DeskStatus(Presence::Online),
                    b"offline" => Message::DeskStatus(Presence::Offline),
                    _ => return Err(BadPayload::NotAPresence),
                },
                FloorTopic::Desk(_, DeskTopic::State) => {
                    let mut state: DeskState = json(payload)?;
                    if let Some(set) = &mut state.set {
                        set.clean();
                    }
                    state.app = track::text(state.app).unwrap_or_default();
                    state.source = state.source.and_then(track::text);
                    Message::DeskState(state)
                }
                FloorTopic::Desk(_, DeskTopic::Play) => {
                    let mut report: Box<PlayReport> = json(payload)?;
                    report.play.track = std::mem::take(&mut report.play.track).clean();
                    report.set.clean();
                    Message::Play(report)
                }
                FloorTopic::Desk(_, DeskTopic::Cover) => {
                    let cover: Cover = json(payload)?;
                    if cover.jpeg.id() != cover.cover {
                        return Err(BadPayload::NotThatCover);
                    }
                    Message::Cover(cover)
                }
                FloorTopic::Desk(_, DeskTopic::Requests) => {
                    let mut asked: DeskRequests = json(payload)?;
                    asked.requests.iter_mut().for_each(|one| one.request.clean());
                    Message::DeskRequests(asked)
                }
                FloorTopic::Now => Message::Now(json(payload)?),
                FloorTopic::NowField(_) => Message::NowField(
                    std::str::from_utf8(payload).map_err(|_| BadPayload::NotText)?.to_owned(),
                ),
                FloorTopic::History => Message::History(json(payload)?),
                FloorTopic::Reactions => Message::Reactions(json(payload)?),
                FloorTopic::Event => Message::Event(json(payload)?),
                FloorTopic::Announcement => Message::Announcement(json(payload)?),
                FloorTopic::Poll => Message::Poll(json(payload)?),
                FloorTopic::In(_) => {
                    let mut report: InputReport = json(payload)?;
                    report.input.clean();
                    Message::In(report)
                }
            },
        })
    }
}

fn json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, BadPayload> {
    Ok(serde_json::from_slice(payload)?)
}

/// The bytes of a payload.
pub fn write<T: Serialize>(payload: &T) -> Vec<u8> {
    serde_json::to_vec(payload).expect("payload types have string keys and no fallible serializer")
}
