//! What goes over the wire, as JSON over HTTP.

use std::fmt;

use protocol::{DeskId, EventId, FloorId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Hex32;

/// The version of this conversation. Additions keep it; unknown fields are passed over.
pub const V: u8 = 1;

/// `POST /api/v1/pair`: a desk wants to play here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    pub v: u8,
    /// What it would like to be called in topics. It is called otherwise if that name is taken.
    pub desk: DeskId,
    /// The DJ's name, for the organizer's eyes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The hash of the key that `Reveal` brings.
    pub commitment: Hex32,
}

/// The server's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub v: u8,
    pub id: Uuid,
    pub event: EventId,
    pub event_name: String,
    pub key: Hex32,
    /// After so many seconds the server has forgotten it.
    pub good_for_s: u32,
}

/// `POST /api/v1/pair/{id}`: the key that was committed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reveal {
    pub v: u8,
    pub key: Hex32,
}

/// `GET /api/v1/pair/{id}`: what the organizer has said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing yet.
    Waiting,
    Granted {
        sealed: Sealed,
    },
}

/// A `Granted` that only the desk can read: hexadecimal digits of what ChaCha20-Poly1305 (RFC 8439) makes of its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sealed(pub(crate) Vec<u8>);

/// An event has floors by the dozen at most, with names.
const SEALED_BYTES_MAX: usize = 16 * 1024;

/// The text is nothing that was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is sealed comes as hexadecimal digits")]
pub struct BadSealed;

impl TryFrom<String> for Sealed {
    type Error = BadSealed;
    fn try_from(text: String) -> Result<Self, BadSealed> {
        if text.len() > 2 * SEALED_BYTES_MAX {
            return Err(BadSealed);
        }
        hex::decode(text).map(Self).map_err(|_| BadSealed)
    }
}

impl From<Sealed> for String {
    fn from(sealed: Sealed) -> Self {
        hex::encode(sealed.0)
    }
}

/// What a desk needs to play.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// What it is called from now on.
    pub desk: DeskId,
    pub token: String,
    /// The only floor that it may play on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<FloorId>,
    pub floors: Vec<Floor>,
    /// Where the broker is; by default `/mqtt` at the address that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker_url: Option<String>,
}

/// A floor of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    pub id: FloorId,
    pub name: String,
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { desk, floor, .. } = self;
        f.debug_struct("Granted").field("desk", desk).field("floor", floor).finish_non_exhaustive()
    }
}
