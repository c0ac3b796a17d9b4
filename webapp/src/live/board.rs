//! Everything the topics say, by floor. Pure: messages and the time go in, a [`FloorView`] comes out.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use protocol::{
    Announcement, FloorAddress, FloorTopic, Info, Message, NowPlaying, PastPlay, Reactions, Topic,
};

/// Without the broker for this long, what we know is no longer current.
const BROKER_GRACE_MS: i64 = 10_000;

/// The event's state as its topics tell it.
#[derive(Debug, Default)]
pub struct Board {
    info: Option<Info>,
    time_zone: Option<TimeZone>,
    floors: BTreeMap<FloorAddress, Heard>,
    /// When the broker went out of reach.
    lost_ms: Option<i64>,
}

#[derive(Debug, Default)]
struct Heard {
    now: Option<NowPlaying>,
    history: Vec<PastPlay>,
    reactions: Option<Reactions>,
    announcement: Option<Announcement>,
}

/// Whether what is shown can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Live,
    /// The desk, the archiver or the broker is out of reach: show what was, and say so.
    Lost,
}

/// A colour of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accent([u8; 3]);

/// All that a page or fragment of one floor shows. Plain data.
#[derive(Debug, Clone, PartialEq)]
pub struct FloorView {
    pub address: FloorAddress,
    pub event_name: String,
    pub floor_name: String,
    pub time_zone: TimeZone,
    pub accent: Option<Accent>,
    pub signal: Signal,
    pub now: Option<NowPlaying>,
    /// Newest first, without the current play.
    pub history: Vec<PastPlay>,
    pub listeners: u32,
    pub reactions: Option<Reactions>,
    pub announcement: Option<String>,
}

impl Accent {
    /// Reads `#rrggbb` or `rrggbb`.
    pub fn read(text: &str) -> Option<Self> {
        let hex = text.strip_prefix('#').unwrap_or(text);
        if hex.len() != 6 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let part = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).ok();
        Some(Self([part(0)?, part(2)?, part(4)?]))
    }

    /// `rrggbb`
    pub fn hex(self) -> String {
        self.0.iter().map(|part| format!("{part:02x}")).collect()
    }

    /// Whether dark text reads better on it (relative luminance, WCAG 2.2).
    pub fn is_light(self) -> bool {
        let linear = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179
    }
}

impl Board {
    /// Takes in a message. Returns the floor whose view may differ now; `None` when nothing shown changed.
    pub fn apply(&mut self, topic: Topic, message: Message) -> Change {
        match (topic, message) {
            (Topic::Info(_), Message::Info(info)) => {
                self.time_zone = TimeZone::get(&info.time_zone)
                    .inspect_err(|error| tracing::warn!("the event's time zone cannot be used: {error}"))
                    .ok();
                for floor in &info.floors {
                    self.floors.entry(FloorAddress::new(info.event.clone(), floor.id.clone())).or_default();
                }
                // A floor that was taken off the event has no page any more.
                self.floors.retain(|address, _| info.floors.iter().any(|floor| floor.id == address.floor));
                self.info = Some(info);
                Change::All
            }
            (Topic::Floor(address, about), message) => {
                // Floors are made by `info` alone, so their number is the operator's.
                let Some(floor) = self.floors.get_mut(&address) else { return Change::Nothing };
                match (about, message) {
                    (FloorTopic::Now, Message::Now(now)) => floor.now = Some(*now),
                    (FloorTopic::Now, Message::Cleared) => floor.now = None,
                    (FloorTopic::History, Message::History(history)) => floor.history = history.plays,
                    (FloorTopic::History, Message::Cleared) => floor.history.clear(),
                    (FloorTopic::Reactions, Message::Reactions(reactions)) => {
                        floor.reactions = Some(reactions)
                    }
                    (FloorTopic::Announcement, Message::Announcement(said)) => {
                        floor.announcement = Some(said)
                    }
                    (FloorTopic::Announcement, Message::Cleared) => floor.announcement = None,
                    _ => return Change::Nothing,
                }
                Change::Floor(address)
            }
            _ => Change::Nothing,
        }
    }

    /// The broker is there, or is not.
    pub fn connection(&mut self, connected: bool, now_ms: i64) {
        self.lost_ms = if connected { None } else { self.lost_ms.or(Some(now_ms)) };
    }

    /// All floors of the event in the operator's order.
    pub fn floors(&self) -> Vec<FloorAddress> {
        let Some(info) = &self.info else { return Vec::new() };
        info.floors.iter().map(|floor| FloorAddress::new(info.event.clone(), floor.id.clone())).collect()
    }

    /// What a page of this floor shows at this moment.
    pub fn view(&self, address: &FloorAddress, now_ms: i64) -> Option<FloorView> {
        let info = self.info.as_ref()?;
        let floor = self.floors.get(address)?;
        let name = info.floors.iter().find(|floor| floor.id == address.floor)?.name.clone();
        let stale = floor.now.as_ref().is_some_and(|now| now.is_stale(now_ms));
        let cut_off = self.lost_ms.is_some_and(|since| now_ms - since > BROKER_GRACE_MS);
        let said = floor.announcement.as_ref();
        let said = said.filter(|said| said.until_ms.is_none_or(|until| now_ms < until));
        Some(FloorView {
            address: address.clone(),
            event_name: info.name.clone(),
            floor_name: name,
            time_zone: self.time_zone.clone().unwrap_or(TimeZone::UTC),
            accent: info.accent.as_deref().and_then(Accent::read),
            signal: if stale || cut_off { Signal::Lost } else { Signal::Live },
            now: floor.now.clone(),
            history: floor.history.clone(),
            listeners: floor.reactions.as_ref().map_or(0, |reactions| reactions.listeners),
            reactions: floor.reactions.clone(),
            announcement: said.map(|said| said.text.clone()),
        })
    }
}

/// What a message changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    Nothing,
    Floor(FloorAddress),
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(topic: &str, payload: &str) -> (Topic, Message) {
        let topic: Topic = topic.parse().unwrap();
        let message = Message::read(&topic, payload.as_bytes()).unwrap();
        (topic, message)
    }

    const ID: &str = "0195ad2c-7a10-7001-8000-000000000001";

    fn board() -> Board {
        let mut board = Board::default();
        let info = format!(
            r##"{{"v":1,"id":"{ID}","at_ms":1,"event":"tonight","name":"Tonight","time_zone":"Europe/Warsaw",
            "accent":"#ff7a59","floors":[{{"id":"main","name":"Main"}}],"versions":[1]}}"##
        );
        let (topic, message) = read("pika/v1/tonight/info", &info);
        assert_eq!(board.apply(topic, message), Change::All);
        board
    }

    fn now(board: &mut Board, stale_after_ms: i64) {
        let payload =
            format!(r#"{{"v":1,"id":"{ID}","at_ms":1,"state":"idle","stale_after_ms":{stale_after_ms}}}"#);
        let (topic, message) = read("pika/v1/tonight/main/now", &payload);
        assert_eq!(board.apply(topic, message), Change::Floor("tonight/main".parse().unwrap()));
    }

    #[test]
    fn what_is_stale_is_not_shown_as_live() {
        let mut board = board();
        let main = board.floors()[0].clone();
        now(&mut board, 1000);
        assert_eq!(board.view(&main, 1000).unwrap().signal, Signal::Live);
        assert_eq!(board.view(&main, 1001).unwrap().signal, Signal::Lost);
        now(&mut board, 9_000_000);
        assert_eq!(board.view(&main, 1001).unwrap().signal, Signal::Live);
        board.connection(false, 2000);
        board.connection(false, 11_000);
        assert_eq!(board.view(&main, 12_000).unwrap().signal, Signal::Live);
        assert_eq!(board.view(&main, 12_001).unwrap().signal, Signal::Lost);
        board.connection(true, 13_000);
        assert_eq!(board.view(&main, 13_000).unwrap().signal, Signal::Live);
    }

    #[test]
    fn a_floor_the_operator_did_not_name_has_no_view() {
        let mut board = board();
        let (topic, message) =
            read("pika/v1/tonight/cellar/history", &format!(r#"{{"v":1,"id":"{ID}","at_ms":1,"plays":[]}}"#));
        assert_eq!(board.apply(topic, message), Change::Nothing);
        assert!(board.view(&"tonight/cellar".parse().unwrap(), 0).is_none());
    }

    #[test]
    fn an_accent_is_a_colour_and_nothing_else() {
        assert_eq!(Accent::read("#Ff7a59").unwrap().hex(), "ff7a59");
        for bad in ["", "#fff", "red;}", "#ff7a5", "#ff7a5ł"] {
            assert!(Accent::read(bad).is_none(), "{bad}");
        }
        assert!(Accent::read("ffee00").unwrap().is_light() && !Accent::read("330066").unwrap().is_light());
    }
}
