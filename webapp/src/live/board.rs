//! Everything the topics say, by floor. Pure: messages and the time go in, a [`FloorView`] comes out.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use protocol::{Announcement, DeskId, DeskState, DeskTopic, FloorAddress, FloorTopic, Info, Message};
use protocol::{NowPlaying, PastPlay, Play, PlayId, Poll, Presence, Reactions, SetId, Topic};

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
    poll: Option<Poll>,
    desks: BTreeMap<DeskId, DeskView>,
}

/// Desks of a floor that are shown to their DJs. More of them are not.
const DESKS_MAX: usize = 64;

/// What a desk says of itself, as far as its DJ's console shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeskView {
    pub online: bool,
    pub on_air: bool,
    pub hidden: bool,
    pub set_id: Option<SetId>,
    /// The play that is on, also while it is hidden.
    pub play_id: Option<PlayId>,
    /// Requests that it has not answered.
    pub asked: usize,
}

/// Whether what is shown can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Live,
    /// The desk, the archiver or the broker is out of reach: show what was, and say so.
    Lost,
}

/// Of text to its ground (WCAG 2.2, 1.4.3).
const TEXT_CONTRAST: f64 = 4.5;

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
    pub announcement: Option<Announcement>,
    pub poll: Option<Poll>,
    pub desks: BTreeMap<DeskId, DeskView>,
}

impl FloorView {
    /// The play that is on, as far as it is told.
    pub fn playing(&self) -> Option<&Play> {
        self.now.as_ref().and_then(|now| now.play.as_ref())
    }

    /// What dancers say about the play that is on.
    pub fn tally(&self) -> Option<&Reactions> {
        let playing = self.playing().map(|play| play.id);
        self.reactions.as_ref().filter(|reactions| playing.is_some() && reactions.play_id == playing)
    }
}

impl Accent {
    /// Reads `#rrggbb` or `rrggbb`.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = [0; 3];
        hex::decode_to_slice(text.strip_prefix('#').unwrap_or(text), &mut parts).ok().map(|()| Self(parts))
    }

    /// `rrggbb`
    pub fn hex(self) -> String {
        hex::encode(self.0)
    }

    /// Whether dark text reads better on it.
    pub fn is_light(self) -> bool {
        self.luminance() > 0.179
    }

    /// The same colour, as much lighter as text on the dark ground needs.
    pub fn readable_on_dark(self) -> Self {
        // Of the lighter cards, not of the ground itself.
        self.towards(255, |accent| (accent.luminance() + 0.05) / (0.009 + 0.05) >= TEXT_CONTRAST)
    }

    /// The same colour, as much darker as text on the light ground needs.
    pub fn readable_on_light(self) -> Self {
        self.towards(0, |accent| (0.87 + 0.05) / (accent.luminance() + 0.05) >= TEXT_CONTRAST)
    }

    fn towards(self, end: u8, reads: impl Fn(Self) -> bool) -> Self {
        let mixed = |step: u32| {
            Self(self.0.map(|part| {
                let mixed = (u32::from(part) * (20 - step) + u32::from(end) * step) / 20;
                u8::try_from(mixed).unwrap_or(end)
            }))
        };
        (0..=20).map(mixed).find(|accent| reads(*accent)).unwrap_or(mixed(20))
    }

    /// Relative luminance (WCAG 2.2).
    fn luminance(self) -> f64 {
        let linear = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
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
                        floor.reactions = Some(reactions);
                        return Change::Counters;
                    }
                    (FloorTopic::Announcement, Message::Announcement(said)) => {
                        floor.announcement = Some(said)
                    }
                    (FloorTopic::Announcement, Message::Cleared) => floor.announcement = None,
                    (FloorTopic::Poll, Message::Poll(poll)) => floor.poll = Some(poll),
                    (FloorTopic::Poll, Message::Cleared) => floor.poll = None,
                    (FloorTopic::Desk(desk, about), message) => {
                        return if floor.desk(desk, about, message) {
                            Change::Floor(address)
                        } else {
                            Change::Nothing
                        };
                    }
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
            announcement: said.cloned(),
            poll: floor.poll.clone(),
            desks: floor.desks.clone(),
        })
    }
}

impl Heard {
    /// Takes in what a desk says. Returns whether anything that is shown differs.
    fn desk(&mut self, desk: DeskId, about: DeskTopic, message: Message) -> bool {
        if !self.desks.contains_key(&desk) && self.desks.len() >= DESKS_MAX {
            return false;
        }
        let known = self.desks.get(&desk).cloned().unwrap_or_default();
        let next = match (about, message) {
            (DeskTopic::Status, Message::DeskStatus(presence)) => {
                DeskView { online: presence == Presence::Online, ..known.clone() }
            }
            (DeskTopic::State, Message::DeskState(state)) => {
                let DeskState { on_air, hidden, set, play_id, .. } = state;
                DeskView { on_air, hidden, set_id: set.map(|set| set.id), play_id, ..known.clone() }
            }
            (DeskTopic::Requests, Message::DeskRequests(asked)) => {
                DeskView { asked: asked.requests.len(), ..known.clone() }
            }
            (DeskTopic::Requests, Message::Cleared) => DeskView { asked: 0, ..known.clone() },
            (_, Message::Cleared) => return self.desks.remove(&desk).is_some(),
            _ => return false,
        };
        let is_news = next != known;
        self.desks.insert(desk, next);
        is_news
    }
}

/// What a message changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    Nothing,
    Floor(FloorAddress),
    /// Numbers that many move: they are shown with the next tick, however often they change.
    Counters,
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
        for accent in ["ff7a59", "000000", "ffffff", "1010a0", "ffee00"].map(|hex| Accent::read(hex).unwrap())
        {
            assert!((accent.readable_on_dark().luminance() + 0.05) / 0.059 >= 4.5, "{accent:?}");
            assert!(0.92 / (accent.readable_on_light().luminance() + 0.05) >= 4.5, "{accent:?}");
        }
        assert_eq!(Accent::read("ff7a59").unwrap().readable_on_dark().hex(), "ff7a59");
        assert!(Accent::read("ffee00").unwrap().is_light() && !Accent::read("330066").unwrap().is_light());
    }
}
