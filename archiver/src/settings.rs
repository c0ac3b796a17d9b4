//! `[event]` and `[archiver]`.

use protocol::{EventId, FloorId};
use serde::Deserialize;

/// `[event]`: the night. Without any configuration it is `tonight` with one floor `main`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventSettings {
    /// As it stands in topics and URLs.
    pub id: EventId,
    pub name: String,
    /// IANA name, for example `Europe/Warsaw`; times on pages are in it.
    pub time_zone: String,
    /// The event's colour, `#rrggbb`. Without it, Pika's own.
    pub accent: Option<String>,
    pub floors: Vec<FloorSettings>,
    /// Where dancers find the pages, for example `https://app.example.org`; told to integrators.
    pub web_url: Option<String>,
}

impl EventSettings {
    /// As the database knows it.
    pub fn directory(&self) -> store::Event {
        let floor = |floor: &FloorSettings| store::Floor { id: floor.id.clone(), name: floor.name.clone() };
        store::Event {
            id: self.id.clone(),
            name: self.name.clone(),
            time_zone: self.time_zone.clone(),
            accent: self.accent.clone(),
            floors: self.floors.iter().map(floor).collect(),
        }
    }

    /// The same, but for what the database says of it.
    pub(crate) fn changed_to(self, event: store::Event) -> Self {
        let floor = |floor: store::Floor| FloorSettings { id: floor.id, name: floor.name };
        Self {
            name: event.name,
            time_zone: event.time_zone,
            accent: event.accent,
            floors: event.floors.into_iter().map(floor).collect(),
            ..self
        }
    }
}

/// One floor of the event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloorSettings {
    pub id: FloorId,
    pub name: String,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            id: "tonight".parse().expect("a slug"),
            name: "Tonight".into(),
            time_zone: "UTC".into(),
            accent: None,
            floors: vec![FloorSettings { id: "main".parse().expect("a slug"), name: "Main floor".into() }],
            web_url: None,
        }
    }
}

/// `[archiver]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long a desk may be gone before displays should say "no signal".
    pub signal_grace_ms: i64,
    /// Reports kept in memory while the database is away. Beyond it they are refused, and the desks,
    /// which have them on disk, send them again.
    pub waiting_records_max: usize,
    /// Days after which reactions are summed up: what they come to stays, who said what goes. Absent: never.
    pub keep_reactions_days: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { signal_grace_ms: 20_000, waiting_records_max: 20_000, keep_reactions_days: Some(400) }
    }
}
