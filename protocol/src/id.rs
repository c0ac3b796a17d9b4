//! Ids: slugs that stand in topics and URLs, and UUIDs for what happens once.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest slug, in bytes. Three of them and the fixed levels keep a topic under 200 bytes.
pub const SLUG_BYTES_MAX: usize = 48;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// Wrong length or a character outside `[a-z0-9-]`.
    #[error("{kind} `{text}` is not a slug: 1 to {SLUG_BYTES_MAX} of a-z, 0-9 and '-'")]
    NotASlug { kind: &'static str, text: String },
    /// A floor cannot have the name of a fixed topic level.
    #[error("{kind} `{text}` is a reserved word of topics and pages (info, cursor, audience, recap, set)")]
    Reserved { kind: &'static str, text: String },
    /// Not a UUID in its hyphenated lower-case form.
    #[error("{kind} `{text}` is not a hyphenated lower-case UUID")]
    NotAUuid { kind: &'static str, text: String },
}

fn is_slug(text: &str) -> bool {
    (1..=SLUG_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// An error text quotes at most this much of what came in.
fn quoted(text: &str) -> String {
    text.chars().take(SLUG_BYTES_MAX).flat_map(char::escape_debug).collect()
}

macro_rules! slug {
    ($(#[$doc:meta])* $name:ident, $kind:literal, reserved: $reserved:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as it stands in topics and URLs.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let reserved: &[&str] = &$reserved;
                if !is_slug(text) {
                    Err(BadId::NotASlug { kind: $kind, text: quoted(text) })
                } else if reserved.contains(&text) {
                    Err(BadId::Reserved { kind: $kind, text: quoted(text) })
                } else {
                    Ok(Self(text.to_owned()))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": "^[a-z0-9-]{1,48}$" })
            }
        }
    };
}

slug!(
    /// A night or a weekend, for example `budafest-2026`; owns floors.
    EventId, "event", reserved: []
);
slug!(
    /// A room with one sound system. Its address never changes while DJs rotate.
    FloorId, "floor", reserved: ["info", "cursor", "audience", "recap", "set"]
);
slug!(
    /// One DJ's publisher at one event.
    DeskId, "desk", reserved: []
);
slug!(
    /// Whoever numbers its messages so that the archive can confirm them: a desk, a web app.
    ProducerId, "producer", reserved: []
);
slug!(
    /// An anonymous browser, as the web app's signature knows it. Never an address or a name.
    DancerId, "dancer", reserved: []
);

slug!(
    /// Somebody who logs in with a password: an organizer or a DJ. Never in a topic.
    PersonId, "person", reserved: []
);

impl From<DeskId> for ProducerId {
    fn from(desk: DeskId) -> Self {
        Self(desk.0)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID made elsewhere.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// A UUIDv7 (RFC 9562 section 5.7) from a time and 10 random bytes, both the caller's.
            pub fn at(now_ms: i64, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(now_ms.max(0) as u64, &random).into_uuid())
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let bad = || BadId::NotAUuid { kind: $kind, text: quoted(text) };
                if text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(bad());
                }
                Uuid::try_parse(text).map(Self).map_err(|_| bad())
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": "uuid" })
            }
        }
    };
}

uuid_id!(
    /// One message, UUIDv7.
    MessageId, "message id"
);
uuid_id!(
    /// One DJ on one floor from going live to ending.
    SetId, "set id"
);
uuid_id!(
    /// A producer's journal. A new journal numbers from 1 again, under a new id.
    JournalId, "journal id"
);
uuid_id!(
    /// One track, once. The same song played twice is two plays.
    PlayId, "play id"
);

/// Makes message ids: the time is passed in, the rest is drawn from a seed (SplitMix64), so a run with the
/// same seed and clock repeats itself exactly. Not for secrets.
#[derive(Debug, Clone)]
pub struct IdSource(u64);

impl IdSource {
    /// Every process needs a seed of its own, from the system's randomness.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next id, UUIDv7.
    pub fn message(&mut self, now_ms: i64) -> MessageId {
        MessageId::at(now_ms, self.random())
    }

    /// A new journal's id, UUIDv7.
    pub fn journal(&mut self, now_ms: i64) -> JournalId {
        JournalId::at(now_ms, self.random())
    }

    /// A new set's id, UUIDv7.
    pub fn set(&mut self, now_ms: i64) -> SetId {
        SetId::at(now_ms, self.random())
    }

    fn random(&mut self) -> [u8; 10] {
        let (a, b) = (self.draw().to_le_bytes(), self.draw().to_le_bytes());
        [a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], b[0], b[1]]
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Namespace of derived play ids: any fixed UUID, never to be changed.
const PLAYS: Uuid = Uuid::from_u128(0x3d4b_1f6e_1f0a_5f0c_9a55_7f6d_2c41_8e21);

/// The same for sets.
const SETS: Uuid = Uuid::from_u128(0x8c1e_52d7_b0c4_5a3b_8d0e_41f7_96a2_c35d);

impl PlayId {
    /// The id that a desk gives to what a source calls `identity`: always the same one, so that a history
    /// read twice is not a song played twice. UUIDv5, RFC 9562 section 5.5.
    pub fn derived(desk: &DeskId, source: &str, identity: &str) -> Self {
        Self(Uuid::new_v5(&PLAYS, format!("{desk}\n{source}\n{identity}").as_bytes()))
    }
}

impl SetId {
    /// The id of a set that a desk knows only from a file, by what the source calls the first play of it: a file
    /// imported twice is one set. UUIDv5, as [`PlayId::derived`].
    pub fn derived(desk: &DeskId, source: &str, first_identity: &str) -> Self {
        Self(Uuid::new_v5(&SETS, format!("{desk}\n{source}\n{first_identity}").as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_hold_what_topics_and_urls_can_hold() {
        for good in ["a", "main", "budafest-2026", &"x".repeat(48)] {
            assert_eq!(good.parse::<EventId>().unwrap().as_str(), good);
        }
        for bad in ["", "Main", "a/b", "a+b", "#", "ł", "a b", &"x".repeat(49)] {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_floor_cannot_hide_a_fixed_level() {
        assert!(matches!("cursor".parse::<FloorId>(), Err(BadId::Reserved { .. })));
        assert!("cursor".parse::<EventId>().is_ok());
    }

    #[test]
    fn a_play_read_twice_has_one_id() {
        let desk: DeskId = "booth".parse().unwrap();
        let one = PlayId::derived(&desk, "virtualdj", "1795291330 /m/a.mp3");
        assert_eq!(one, PlayId::derived(&desk, "virtualdj", "1795291330 /m/a.mp3"));
        assert_ne!(one, PlayId::derived(&desk, "virtualdj", "1795291331 /m/a.mp3"));
        assert_eq!(one.to_string().parse::<PlayId>().unwrap(), one);
    }

    #[test]
    fn a_night_imported_twice_is_one_set() {
        let (one, other): (DeskId, DeskId) = ("booth".parse().unwrap(), "attic".parse().unwrap());
        let set = SetId::derived(&one, "virtualdj", "/m/a.mp3|1795291330000");
        // Archives hold it: it may never come out differently.
        assert_eq!(set.to_string(), "a157052a-e0b4-50bf-b681-ee391e79f178");
        assert_ne!(set, SetId::derived(&other, "virtualdj", "/m/a.mp3|1795291330000"));
        assert_ne!(set.uuid(), PlayId::derived(&one, "virtualdj", "/m/a.mp3|1795291330000").uuid());
    }

    #[test]
    fn uuids_have_one_spelling() {
        assert!("0195AD2C-0000-7000-8000-000000000000".parse::<PlayId>().is_err());
        assert!("0195ad2c000070008000000000000000".parse::<PlayId>().is_err());
    }
}
