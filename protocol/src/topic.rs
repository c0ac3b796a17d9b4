//! Topics, built and parsed here and nowhere else.
//!
//! ```
//! use protocol::{FloorAddress, FloorTopic, Topic};
//! # use pika_protocol as protocol;
//!
//! let floor = FloorAddress::new("budafest-2026".parse()?, "main".parse()?);
//! let now = Topic::from(floor.topic(FloorTopic::Now));
//! assert_eq!(now.to_string(), "pika/v1/budafest-2026/main/now");
//! assert_eq!("pika/v1/budafest-2026/main/now".parse::<Topic>()?, now);
//! assert!(now.is_retained());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::str::FromStr;

use crate::id::{DeskId, EventId, FloorId, ProducerId};
use crate::message;

/// First levels of every topic. A breaking change is a `v2` beside it.
pub const ROOT: &str = "pika/v1";

/// The text is not a topic of `pika/v1`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a topic of {ROOT}")]
pub struct BadTopic(String);

/// Event and floor together: what a dancer joins, what a QR code holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FloorAddress {
    pub event: EventId,
    pub floor: FloorId,
}

impl FloorAddress {
    pub fn new(event: EventId, floor: FloorId) -> Self {
        Self { event, floor }
    }

    /// The topic of this floor that says `about`.
    pub fn topic(&self, about: FloorTopic) -> Topic {
        Topic::Floor(self.clone(), about)
    }
}

impl fmt::Display for FloorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.event, self.floor)
    }
}

impl FromStr for FloorAddress {
    type Err = crate::id::BadId;
    /// Reads `event/floor`, as it stands in URLs.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (event, floor) = text.split_once('/').unwrap_or((text, ""));
        Ok(Self { event: event.parse()?, floor: floor.parse()? })
    }
}

/// Every topic there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// `info`: the event's name, time zone, floors and addresses.
    Info(EventId),
    /// `cursor/{producer}`: how far that producer's messages are committed.
    Cursor(EventId, ProducerId),
    /// `audience/{webapp}`: open sockets per floor of one web app.
    Audience(EventId, ProducerId),
    /// `{floor}/…`
    Floor(FloorAddress, FloorTopic),
}

/// What is said about a floor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FloorTopic {
    /// `desk/{desk}/…`, written by that desk alone, but for its `requests`.
    Desk(DeskId, DeskTopic),
    /// `now`: the integrator's topic.
    Now,
    /// `now/{field}`: one plain text each, for displays that cannot parse JSON.
    NowField(NowField),
    /// `history`: the last plays.
    History,
    /// `reactions`: the tally of the current play.
    Reactions,
    /// `event`: something happened; never retained.
    Event,
    /// `announcement`: the current one; an empty payload clears it.
    Announcement,
    /// `poll`: the current one; an empty payload clears it.
    Poll,
    /// `in/{producer}`: reactions and requests on their way to the archive.
    In(ProducerId),
}

/// What a desk says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeskTopic {
    /// `online` or `offline`, plain text; the second is its last will.
    Status,
    /// On air or not, and how it fares.
    State,
    /// One play: started, corrected, ended, withdrawn.
    Play,
    /// The picture of a track, before the play that names it.
    Cover,
    /// What it is asked from elsewhere; the only one that is not its own, but the archiver's.
    Requests,
}

/// Parts of `now` as plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NowField {
    Title,
    Artist,
    /// `Artist – Title (Remix)` on one line.
    Text,
    Bpm,
    Key,
    Dj,
    State,
    CoverUrl,
}

impl NowField {
    /// All of them, in the order they are published.
    pub const ALL: [NowField; 8] = [
        NowField::Title,
        NowField::Artist,
        NowField::Text,
        NowField::Bpm,
        NowField::Key,
        NowField::Dj,
        NowField::State,
        NowField::CoverUrl,
    ];

    /// The topic level.
    pub fn as_str(self) -> &'static str {
        match self {
            NowField::Title => "title",
            NowField::Artist => "artist",
            NowField::Text => "text",
            NowField::Bpm => "bpm",
            NowField::Key => "key",
            NowField::Dj => "dj",
            NowField::State => "state",
            NowField::CoverUrl => "cover_url",
        }
    }
}

impl DeskTopic {
    /// All of them.
    pub const ALL: [DeskTopic; 5] =
        [DeskTopic::Status, DeskTopic::State, DeskTopic::Play, DeskTopic::Cover, DeskTopic::Requests];

    /// The topic level.
    pub fn as_str(self) -> &'static str {
        match self {
            DeskTopic::Status => "status",
            DeskTopic::State => "state",
            DeskTopic::Play => "play",
            DeskTopic::Cover => "cover",
            DeskTopic::Requests => "requests",
        }
    }
}

impl Topic {
    /// The event it belongs to.
    pub fn event(&self) -> &EventId {
        match self {
            Topic::Info(event) | Topic::Cursor(event, _) | Topic::Audience(event, _) => event,
            Topic::Floor(address, _) => &address.event,
        }
    }

    /// A state is retained, so that newcomers get it; what merely happened is not.
    pub fn is_retained(&self) -> bool {
        !matches!(
            self,
            Topic::Floor(
                _,
                FloorTopic::Event
                    | FloorTopic::In(_)
                    | FloorTopic::Desk(_, DeskTopic::Play | DeskTopic::Cover)
            )
        )
    }

    /// Counters go at QoS 0, everything else at QoS 1; nothing needs 2.
    pub fn qos(&self) -> u8 {
        match self {
            Topic::Audience(..) | Topic::Floor(_, FloorTopic::Reactions) => 0,
            _ => 1,
        }
    }

    /// The longest payload, in bytes.
    pub fn payload_bytes_max(&self) -> usize {
        match self {
            Topic::Floor(_, FloorTopic::Desk(_, DeskTopic::Cover)) => message::COVER_BYTES_MAX,
            _ => message::PAYLOAD_BYTES_MAX,
        }
    }

    /// Whether anybody on the venue's network may read it (the public topics of the access matrix).
    pub fn is_public(&self) -> bool {
        match self {
            Topic::Info(_) => true,
            Topic::Cursor(..) | Topic::Audience(..) => false,
            Topic::Floor(_, about) => !matches!(about, FloorTopic::Desk(..) | FloorTopic::In(_)),
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topic::Info(event) => write!(f, "{ROOT}/{event}/info"),
            Topic::Cursor(event, producer) => write!(f, "{ROOT}/{event}/cursor/{producer}"),
            Topic::Audience(event, webapp) => write!(f, "{ROOT}/{event}/audience/{webapp}"),
            Topic::Floor(address, about) => write!(f, "{ROOT}/{address}/{about}"),
        }
    }
}

impl fmt::Display for FloorTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FloorTopic::Desk(desk, about) => write!(f, "desk/{desk}/{}", about.as_str()),
            FloorTopic::Now => f.write_str("now"),
            FloorTopic::NowField(field) => write!(f, "now/{}", field.as_str()),
            FloorTopic::History => f.write_str("history"),
            FloorTopic::Reactions => f.write_str("reactions"),
            FloorTopic::Event => f.write_str("event"),
            FloorTopic::Announcement => f.write_str("announcement"),
            FloorTopic::Poll => f.write_str("poll"),
            FloorTopic::In(producer) => write!(f, "in/{producer}"),
        }
    }
}

impl FromStr for Topic {
    type Err = BadTopic;
    fn from_str(text: &str) -> Result<Self, BadTopic> {
        parse(text).ok_or_else(|| BadTopic(text.chars().take(200).flat_map(char::escape_debug).collect()))
    }
}

fn parse(text: &str) -> Option<Topic> {
    let rest = text.strip_prefix(ROOT)?.strip_prefix('/')?;
    let mut levels = rest.split('/');
    let event: EventId = levels.next()?.parse().ok()?;
    let first = levels.next()?;
    let mut tail: [&str; 3] = [""; 3];
    let mut count = 0;
    for level in levels {
        *tail.get_mut(count)? = level;
        count += 1;
    }
    let tail = &tail[..count];
    match (first, tail) {
        ("info", []) => return Some(Topic::Info(event)),
        ("cursor", [producer]) => return Some(Topic::Cursor(event, producer.parse().ok()?)),
        ("audience", [webapp]) => return Some(Topic::Audience(event, webapp.parse().ok()?)),
        _ => {}
    }
    let floor: FloorId = first.parse().ok()?;
    let about = match tail {
        ["now"] => FloorTopic::Now,
        ["now", field] => FloorTopic::NowField(NowField::ALL.into_iter().find(|f| f.as_str() == *field)?),
        ["history"] => FloorTopic::History,
        ["reactions"] => FloorTopic::Reactions,
        ["event"] => FloorTopic::Event,
        ["announcement"] => FloorTopic::Announcement,
        ["poll"] => FloorTopic::Poll,
        ["in", producer] => FloorTopic::In(producer.parse().ok()?),
        ["desk", desk, about] => {
            let about = DeskTopic::ALL.into_iter().find(|topic| topic.as_str() == *about)?;
            FloorTopic::Desk(desk.parse().ok()?, about)
        }
        _ => return None,
    };
    Some(Topic::Floor(FloorAddress { event, floor }, about))
}

/// Subscription filters for those who follow a whole event or floor.
///
/// ```
/// # use pika_protocol as protocol;
/// let event = "tonight".parse().unwrap();
/// assert_eq!(protocol::topic::filter::desks(&event), "pika/v1/tonight/+/desk/#");
/// ```
pub mod filter {
    use super::{FloorAddress, ROOT};
    use crate::id::EventId;

    /// Everything desks say on any floor of the event.
    pub fn desks(event: &EventId) -> String {
        format!("{ROOT}/{event}/+/desk/#")
    }

    /// Everything desks say on one floor.
    pub fn desks_of(floor: &FloorAddress) -> String {
        format!("{ROOT}/{floor}/desk/#")
    }

    /// Everything on its way to the archive from any floor.
    pub fn inputs(event: &EventId) -> String {
        format!("{ROOT}/{event}/+/in/+")
    }

    /// Open sockets of every web app.
    pub fn audiences(event: &EventId) -> String {
        format!("{ROOT}/{event}/audience/+")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address() -> impl Strategy<Value = FloorAddress> {
        ("[a-z0-9-]{1,48}", "[a-z0-9]{1,5}-[a-z0-9-]{1,20}")
            .prop_map(|(event, floor)| FloorAddress::new(event.parse().unwrap(), floor.parse().unwrap()))
    }

    fn any_topic() -> impl Strategy<Value = Topic> {
        let id = "[a-z0-9-]{1,48}";
        (address(), id, 0..21usize).prop_map(|(address, id, which)| match which {
            0 => Topic::Info(address.event),
            1 => Topic::Cursor(address.event, id.parse().unwrap()),
            2 => Topic::Audience(address.event, id.parse().unwrap()),
            3 => address.topic(FloorTopic::Desk(id.parse().unwrap(), DeskTopic::Status)),
            4 => address.topic(FloorTopic::Desk(id.parse().unwrap(), DeskTopic::State)),
            5 => address.topic(FloorTopic::Desk(id.parse().unwrap(), DeskTopic::Play)),
            6 => address.topic(FloorTopic::Now),
            7 => address.topic(FloorTopic::History),
            8 => address.topic(FloorTopic::Reactions),
            9 => address.topic(FloorTopic::Event),
            10 => address.topic(FloorTopic::In(id.parse().unwrap())),
            11 => address.topic(FloorTopic::Desk(id.parse().unwrap(), DeskTopic::Requests)),
            12 => address.topic(FloorTopic::Desk(id.parse().unwrap(), DeskTopic::Cover)),
            n => address.topic(FloorTopic::NowField(NowField::ALL[n - 13])),
        })
    }

    proptest! {
        #[test]
        fn what_is_built_is_what_is_parsed(topic in any_topic()) {
            prop_assert_eq!(topic.to_string().parse::<Topic>().unwrap(), topic);
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,80}") {
            if let Ok(topic) = text.parse::<Topic>() {
                prop_assert_eq!(topic.to_string(), text);
            }
        }
    }

    #[test]
    fn strangers_are_refused() {
        for text in [
            "",
            "pika/v1",
            "pika/v1/tonight",
            "pika/v2/tonight/info",
            "pika/v1/tonight/main",
            "pika/v1/tonight/main/now/path",
            "pika/v1/tonight/main/desk/booth",
            "pika/v1/tonight/main/desk/booth/play/x",
            "pika/v1/tonight/+/now",
            "pika/v1/tonight/cursor",
            "/pika/v1/tonight/info",
        ] {
            assert!(text.parse::<Topic>().is_err(), "{text}");
        }
    }

    #[test]
    fn retained_is_state_and_the_rest_happened() {
        let floor: FloorAddress = "tonight/main".parse().unwrap();
        let desk: DeskId = "booth".parse().unwrap();
        assert!(floor.topic(FloorTopic::Desk(desk.clone(), DeskTopic::State)).is_retained());
        assert!(!floor.topic(FloorTopic::Desk(desk.clone(), DeskTopic::Play)).is_retained());
        let cover = floor.topic(FloorTopic::Desk(desk, DeskTopic::Cover));
        assert!(!cover.is_retained() && !cover.is_public() && cover.qos() == 1);
        assert!(cover.payload_bytes_max() > floor.topic(FloorTopic::Now).payload_bytes_max());
        assert!(!floor.topic(FloorTopic::Event).is_retained());
        assert_eq!(floor.topic(FloorTopic::Reactions).qos(), 0);
    }
}
