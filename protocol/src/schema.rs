//! JSON Schema (draft 2020-12) of every payload, generated from the types.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

use crate::cover::Cover;
use crate::floor::{Announcement, Audience, Cursor, FloorEvent, History, Info, NowPlaying, Poll, Reactions};
use crate::input::InputReport;
use crate::play::{DeskRequests, DeskState, PlayReport};

/// One schema a payload, by the name of its topic.
pub fn all() -> Map<String, Value> {
    let mut schemas = Map::new();
    for (name, schema) in [
        ("info", of::<Info>()),
        ("desk-state", of::<DeskState>()),
        ("desk-play", of::<PlayReport>()),
        ("desk-cover", of::<Cover>()),
        ("desk-requests", of::<DeskRequests>()),
        ("now", of::<NowPlaying>()),
        ("history", of::<History>()),
        ("reactions", of::<Reactions>()),
        ("event", of::<FloorEvent>()),
        ("announcement", of::<Announcement>()),
        ("poll", of::<Poll>()),
        ("in", of::<InputReport>()),
        ("cursor", of::<Cursor>()),
        ("audience", of::<Audience>()),
    ] {
        schemas.insert(name.to_owned(), schema);
    }
    schemas
}

fn of<T: JsonSchema>() -> Value {
    SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<T>().to_value()
}
