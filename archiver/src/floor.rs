//! One floor: who is on air and what is now playing. Pure: messages and the time go in, a [`Now`] comes out.

use std::collections::BTreeMap;

use protocol::{
    DeskId, DeskState, Dj, FloorEventType, MessageId, NowState, PastPlay, Play, PlayId, PlayKind,
};
use protocol::{PlayReport, Presence, SetId, SetRef, message};

/// Plays published as history.
pub const HISTORY_PLAYS: usize = 20;

/// Plays remembered, so that a withdrawn one leaves no hole in the history.
const REMEMBERED_PLAYS: usize = 60;

/// Desks remembered. A desk beyond it takes the place of the one that has been off air the longest.
const DESKS_MAX: usize = 64;

/// A floor that hears its desk is good for this long; it is said again before that.
const FRESH_MS: i64 = 150_000;

/// How often that is.
const REFRESH_MS: i64 = 60_000;

/// A start in whole seconds may seem to be so much later than the report of it.
const SAID_BEFORE_START_MS: i64 = 1_000;

/// What a floor is doing, before it becomes a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Now {
    pub state: NowState,
    pub play: Option<Play>,
    pub dj: Option<Dj>,
    pub set_id: Option<SetId>,
    /// The DJ says that this is the last song of the set.
    pub last_song: bool,
    pub stale_after_ms: Option<i64>,
}

/// Something to tell in `{floor}/event`.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    pub event_type: FloorEventType,
    pub play: Option<Play>,
    pub dj: Option<Dj>,
    pub set_id: Option<SetId>,
    /// What the kind counts.
    pub count: Option<u32>,
}

/// One floor's memory.
#[derive(Debug)]
pub struct Floor {
    desks: BTreeMap<DeskId, Desk>,
    /// The desk that speaks for the floor. It stays while it is merely out of reach.
    on_air: Option<DeskId>,
    /// Newest first.
    plays: Vec<Remembered>,
    /// What was on when nobody is: the last set, if there was one.
    last_set: Option<(SetId, Option<Dj>)>,
    last_song: Option<LastSong>,
    /// When the set that is on began, or when we saw it first, if the DJ's clock is ahead.
    set_since_ms: i64,
    now: Now,
    signal_grace_ms: i64,
}

/// What the DJ said of the set's last song, newest.
#[derive(Debug)]
struct LastSong {
    set_id: SetId,
    on: bool,
    at_ms: i64,
}

#[derive(Debug)]
struct Remembered {
    desk: DeskId,
    revision_ms: i64,
    withdrawn: bool,
    past: PastPlay,
}

#[derive(Debug, Default)]
struct Desk {
    online: bool,
    /// When it went out of reach.
    gone_ms: i64,
    state: Option<DeskState>,
}

impl Floor {
    /// An empty floor whose desks may be out of reach for `signal_grace_ms` before it shows.
    pub fn new(signal_grace_ms: i64) -> Self {
        Self {
            desks: BTreeMap::new(),
            on_air: None,
            plays: Vec::new(),
            last_set: None,
            last_song: None,
            set_since_ms: 0,
            now: nobody(NowState::Idle, None),
            signal_grace_ms,
        }
    }

    /// Takes up what the archive remembers: plays, and the last set if it is over.
    pub fn restore(
        &mut self,
        plays: Vec<(DeskId, PastPlay)>,
        ended_set: Option<(SetId, Option<Dj>)>,
        now_ms: i64,
    ) {
        for (desk, past) in plays {
            // Anything a desk still says about it is newer; only an import, which knows less, is dated before this.
            let revision_ms = past.play.started_ms.saturating_sub(SAID_BEFORE_START_MS);
            self.remember(Remembered { desk, revision_ms, withdrawn: false, past });
        }
        if self.last_set.is_none() {
            self.last_set = ended_set;
        }
        self.settle(now_ms);
    }

    /// A desk came, or its last will was read.
    pub fn desk_status(&mut self, desk: &DeskId, presence: Presence, now_ms: i64) -> Vec<Happening> {
        let desk = self.desk(desk);
        match presence {
            Presence::Online => desk.online = true,
            Presence::Offline => {
                if std::mem::take(&mut desk.online) {
                    desk.gone_ms = now_ms;
                }
            }
        }
        self.settle(now_ms)
    }

    /// A desk says how it stands.
    pub fn desk_state(&mut self, desk: &DeskId, state: DeskState, now_ms: i64) -> Vec<Happening> {
        self.desk(desk).state = Some(state);
        self.settle(now_ms)
    }

    /// A desk's state was cleared: it is no longer part of this event.
    pub fn desk_removed(&mut self, desk: &DeskId, now_ms: i64) -> Vec<Happening> {
        self.desks.remove(desk);
        self.settle(now_ms)
    }

    /// A desk reports a play, on time or late.
    pub fn play(&mut self, desk: &DeskId, report: &PlayReport, now_ms: i64) -> Vec<Happening> {
        let dj = Some(dj(desk, Some(&report.set)));
        self.remember(Remembered {
            desk: desk.clone(),
            revision_ms: report.at_ms,
            withdrawn: report.kind == PlayKind::Withdrawn,
            past: PastPlay { set_id: report.set.id, dj, play: report.play.clone() },
        });
        self.settle(now_ms)
    }

    /// The DJ says whether this is the last song of the set that is on. What was said before the set began, or is older than
    /// what was said since, changes nothing.
    pub fn last_song(&mut self, on: bool, at_ms: i64, now_ms: i64) -> Vec<Happening> {
        let set_id = self.now.set_id.filter(|_| self.now.state != NowState::Ended);
        let Some(set_id) = set_id.filter(|_| at_ms >= self.set_since_ms) else { return Vec::new() };
        if self.last_song.as_ref().is_some_and(|said| said.set_id == set_id && said.at_ms >= at_ms) {
            return Vec::new();
        }
        let was_on = self.now.last_song;
        self.last_song = Some(LastSong { set_id, on, at_ms });
        let mut happenings = self.settle(now_ms);
        if on && !was_on {
            happenings.push(self.now.tells(FloorEventType::LastSong));
        }
        happenings
    }

    /// Takes up that it was the last song of that set. Whatever the DJ still says is newer.
    pub fn restore_last_song(&mut self, set_id: SetId, now_ms: i64) -> Vec<Happening> {
        self.last_song.get_or_insert(LastSong { set_id, on: true, at_ms: i64::MIN });
        self.settle(now_ms)
    }

    /// Time passes: says again what would otherwise look stale.
    pub fn tick(&mut self, now_ms: i64) -> Vec<Happening> {
        self.settle(now_ms)
    }

    /// What each desk says of itself.
    pub fn desk_states(&self) -> Vec<(DeskId, DeskState)> {
        let known = self.desks.iter().filter_map(|(id, desk)| Some((id.clone(), desk.state.clone()?)));
        known.collect()
    }

    /// Of each desk, whether it is connected, and how many messages it says are not confirmed.
    pub fn queues(&self) -> impl Iterator<Item = (&DeskId, bool, u64)> {
        let queue = |desk: &Desk| desk.state.as_ref().map_or(0, |state| state.queue_depth);
        self.desks.iter().map(move |(id, desk)| (id, desk.online, queue(desk)))
    }

    /// The newest request that each desk has answered.
    pub fn answers(&self) -> Vec<(DeskId, MessageId)> {
        let answered = |(id, desk): (&DeskId, &Desk)| Some((id.clone(), desk.state.as_ref()?.answered?));
        self.desks.iter().filter_map(answered).collect()
    }

    /// What the floor is doing.
    pub fn now(&self) -> &Now {
        &self.now
    }

    /// What was played before the current play, newest first, as much as one message holds.
    pub fn history(&self) -> Vec<PastPlay> {
        // While a DJ hides the current play, it is not history either, also when another desk has the floor.
        let states = self.desks.values().filter_map(|desk| desk.state.as_ref());
        let hidden: Vec<PlayId> =
            states.filter(|state| state.hidden).filter_map(|state| state.play_id).collect();
        let current = self.current_play_id();
        let mut bytes = 200; // for what surrounds the list
        self.plays
            .iter()
            .filter(|play| !play.withdrawn && Some(play.past.play.id) != current)
            .filter(|play| !hidden.contains(&play.past.play.id))
            .map(|play| play.past.clone())
            .take(HISTORY_PLAYS)
            .take_while(|past| {
                bytes += message::write(past).len() + 1;
                bytes <= message::PAYLOAD_BYTES_MAX
            })
            .collect()
    }

    fn desk(&mut self, id: &DeskId) -> &mut Desk {
        if !self.desks.contains_key(id) && self.desks.len() >= DESKS_MAX {
            let on_air = self.on_air.clone();
            let idle = self.desks.iter().filter(|(id, _)| Some(*id) != on_air.as_ref());
            let oldest = idle.min_by_key(|(_, desk)| (desk.online, desk.gone_ms)).map(|(id, _)| id.clone());
            oldest.map(|oldest| self.desks.remove(&oldest));
        }
        self.desks.entry(id.clone()).or_default()
    }

    fn remember(&mut self, new: Remembered) {
        match self.plays.iter_mut().find(|known| known.past.play.id == new.past.play.id) {
            Some(known) if known.desk == new.desk && known.revision_ms <= new.revision_ms => *known = new,
            Some(_) => return,
            None => self.plays.push(new),
        }
        self.plays.sort_by_key(|play| std::cmp::Reverse((play.past.play.started_ms, play.past.play.id)));
        let current = self.current_play_id();
        let mut kept = 0;
        self.plays.retain(|play| {
            kept += 1;
            kept <= REMEMBERED_PLAYS || Some(play.past.play.id) == current
        });
    }

    fn current_play_id(&self) -> Option<PlayId> {
        self.desks.get(self.on_air.as_ref()?)?.state.as_ref()?.play_id
    }

    /// Elects the desk, derives what is on, and tells what changed.
    fn settle(&mut self, now_ms: i64) -> Vec<Happening> {
        self.on_air = self.elect();
        let mut after = self.derive();
        after.stale_after_ms = self.stale_after(&after, now_ms);
        let before = std::mem::replace(&mut self.now, after);
        if before.set_id != self.now.set_id {
            let desk = self.on_air.as_ref().and_then(|id| self.desks.get(id)?.state.as_ref());
            let started_ms = desk.and_then(|state| state.set.as_ref()).map_or(now_ms, |set| set.started_ms);
            self.set_since_ms = started_ms.min(now_ms);
        }
        if before.last_song && !self.now.last_song {
            self.last_song.take_if(|said| said.on);
        }
        if self.now.set_id.is_some() && self.now.state != NowState::Ended {
            self.last_set = self.now.set_id.map(|id| (id, self.now.dj.clone()));
        }
        happenings(&before, &self.now)
    }

    /// Whoever went live last speaks. A desk out of reach keeps the floor until another one takes it.
    fn elect(&self) -> Option<DeskId> {
        self.desks
            .iter()
            .filter(|(_, desk)| desk.state.as_ref().is_some_and(|state| state.on_air))
            .filter(|(id, desk)| desk.online || self.on_air.is_none() || self.on_air.as_ref() == Some(*id))
            .max_by_key(|(id, desk)| {
                let live_since =
                    desk.state.as_ref().and_then(|state| state.set.as_ref()).map(|set| set.started_ms);
                (live_since, desk.online, std::cmp::Reverse(*id))
            })
            .map(|(id, _)| id.clone())
    }

    fn derive(&self) -> Now {
        let on_air = self.on_air.as_ref().and_then(|id| Some((id, self.desks.get(id)?.state.as_ref()?)));
        let Some((id, state)) = on_air else {
            return match self.last_set.clone() {
                Some(set) => nobody(NowState::Ended, Some(set)),
                None => nobody(NowState::Idle, None),
            };
        };
        let set_id = state.set.as_ref().map(|set| set.id);
        let dj = Some(dj(id, state.set.as_ref()));
        let play = match state.play_id {
            _ if state.hidden => None,
            None => None,
            Some(play_id) => match self.plays.iter().find(|play| play.past.play.id == play_id) {
                Some(known) if known.withdrawn || known.desk != *id => None,
                Some(known) => Some(known.past.play.clone()),
                // The state runs ahead of the play: what was on stays until it is here.
                None => self.now.play.clone().filter(|_| self.now.set_id == set_id),
            },
        };
        let state = match (state.hidden, &play) {
            (true, _) => NowState::Hidden,
            (false, Some(play)) if play.ended_ms.is_some() => NowState::Idle,
            (false, Some(_)) => NowState::Playing,
            (false, None) => NowState::Idle,
        };
        let play = play.filter(|_| state == NowState::Playing);
        let last_song = self.last_song.as_ref().is_some_and(|said| said.on && Some(said.set_id) == set_id);
        Now { state, play, dj, set_id, last_song, stale_after_ms: None }
    }

    /// A desk within reach is good for a while and said again before that; one out of reach has its grace.
    fn stale_after(&self, after: &Now, now_ms: i64) -> Option<i64> {
        let desk = self.desks.get(self.on_air.as_ref()?)?;
        if !desk.online {
            return Some(desk.gone_ms + self.signal_grace_ms);
        }
        let same = Now { stale_after_ms: self.now.stale_after_ms, ..after.clone() } == self.now;
        match self.now.stale_after_ms {
            Some(until) if same && until - now_ms > FRESH_MS - REFRESH_MS && until <= now_ms + FRESH_MS => {
                Some(until)
            }
            _ => Some(now_ms + FRESH_MS),
        }
    }
}

impl Now {
    /// Something that happens while this is on.
    pub fn tells(&self, event_type: FloorEventType) -> Happening {
        Happening {
            event_type,
            play: self.play.clone(),
            dj: self.dj.clone(),
            set_id: self.set_id,
            count: None,
        }
    }
}

fn nobody(state: NowState, set: Option<(SetId, Option<Dj>)>) -> Now {
    let (set_id, dj) = set.unzip();
    Now { state, play: None, dj: dj.flatten(), set_id, last_song: false, stale_after_ms: None }
}

/// The DJ as the desk names him; a desk without a name is called by its id.
fn dj(desk: &DeskId, set: Option<&SetRef>) -> Dj {
    let name = set.and_then(|set| set.dj.clone()).unwrap_or_else(|| desk.to_string());
    Dj { id: desk.clone(), name }
}

fn happenings(before: &Now, after: &Now) -> Vec<Happening> {
    let mut list = Vec::new();
    let mut tell = |event_type, from: &Now| list.push(from.tells(event_type));
    let on = |now: &Now| !matches!(now.state, NowState::Ended) && now.set_id.is_some();
    let changed = before.play.as_ref().map(|p| p.id) != after.play.as_ref().map(|p| p.id);
    if changed && before.play.is_some() {
        tell(FloorEventType::TrackEnded, before);
    }
    if on(before) && (!on(after) || before.set_id != after.set_id) {
        tell(FloorEventType::SetEnded, before);
    }
    if on(after) && (!on(before) || before.set_id != after.set_id) {
        tell(FloorEventType::SetStarted, after);
    }
    if on(after) && before.dj != after.dj {
        tell(FloorEventType::DjChanged, after);
    }
    if changed && after.play.is_some() {
        tell(FloorEventType::TrackStarted, after);
    }
    list
}

#[cfg(test)]
mod tests {
    use protocol::{IdSource, JournalId, Track, V1};

    use super::*;

    /// A floor and the clock that its story moves.
    struct Story {
        floor: Floor,
        ids: IdSource,
        now_ms: i64,
        told: Vec<FloorEventType>,
    }

    const START: i64 = 1_795_291_000_000;

    fn desk(name: &str) -> DeskId {
        name.parse().unwrap()
    }

    fn set(n: i64) -> SetRef {
        SetRef { id: SetId::at(START + n, [9; 10]), started_ms: START + n, dj: Some(format!("DJ {n}")) }
    }

    fn play_id(title: &str) -> PlayId {
        PlayId::derived(&desk("any"), "test", title)
    }

    impl Story {
        fn new() -> Self {
            Self { floor: Floor::new(20_000), ids: IdSource::seeded(1), now_ms: START, told: Vec::new() }
        }

        fn tell(&mut self, happenings: Vec<Happening>) -> &mut Self {
            self.told.extend(happenings.into_iter().map(|h| h.event_type));
            self
        }

        fn after(&mut self, ms: i64) -> &mut Self {
            self.now_ms += ms;
            let happenings = self.floor.tick(self.now_ms);
            self.tell(happenings)
        }

        fn status(&mut self, id: &str, presence: Presence) -> &mut Self {
            let happenings = self.floor.desk_status(&desk(id), presence, self.now_ms);
            self.tell(happenings)
        }

        fn state(&mut self, id: &str, on: Option<i64>, title: Option<&str>, hidden: bool) -> &mut Self {
            let state = DeskState {
                v: V1,
                id: self.ids.message(self.now_ms),
                at_ms: self.now_ms,
                on_air: on.is_some(),
                hidden,
                set: on.map(set),
                play_id: title.map(play_id),
                source: None,
                app: "test".into(),
                queue_depth: 0,
                answered: None,
            };
            let happenings = self.floor.desk_state(&desk(id), state, self.now_ms);
            self.tell(happenings)
        }

        fn report(&mut self, id: &str, on: i64, kind: PlayKind, title: &str, started_ms: i64) -> &mut Self {
            let track = Track { title: Some(title.into()), ..Track::default() };
            let report = PlayReport {
                v: V1,
                id: self.ids.message(self.now_ms),
                at_ms: self.now_ms,
                journal: JournalId::at(0, [0; 10]),
                seq: 1,
                held_from: 1,
                kind,
                set: set(on),
                play: Play { id: play_id(title), started_ms, ended_ms: None, track },
                set_ended: false,
            };
            let happenings = self.floor.play(&desk(id), &report, self.now_ms);
            self.tell(happenings)
        }

        fn last_song(&mut self, on: bool) -> &mut Self {
            let happenings = self.floor.last_song(on, self.now_ms, self.now_ms);
            self.tell(happenings)
        }

        /// The whole of what a publisher says when a track starts.
        fn plays(&mut self, id: &str, on: i64, title: &str) -> &mut Self {
            self.state(id, Some(on), Some(title), false);
            self.report(id, on, PlayKind::Started, title, self.now_ms)
        }

        fn shows(&mut self, state: NowState, title: Option<&str>) -> &mut Self {
            let now = self.floor.now();
            let shown = now.play.as_ref().and_then(|play| play.track.title.as_deref());
            assert_eq!((now.state, shown), (state, title));
            self
        }

        fn history_is(&mut self, titles: &[&str]) -> &mut Self {
            let history = self.floor.history();
            let shown: Vec<_> = history.iter().filter_map(|past| past.play.track.title.as_deref()).collect();
            assert_eq!(shown, titles);
            self
        }

        fn told(&mut self, expected: &[FloorEventType]) -> &mut Self {
            assert_eq!(std::mem::take(&mut self.told), expected);
            self
        }
    }

    use FloorEventType::{DjChanged, LastSong, SetEnded, SetStarted, TrackEnded, TrackStarted};
    use NowState::{Ended, Hidden, Idle, Playing};

    #[test]
    fn a_set_from_first_to_last_track() {
        Story::new()
            .shows(Idle, None)
            .status("a", Presence::Online)
            .plays("a", 1, "One")
            .shows(Playing, Some("One"))
            .told(&[SetStarted, DjChanged, TrackStarted])
            .after(180_000)
            .plays("a", 1, "Two")
            .shows(Playing, Some("Two"))
            .history_is(&["One"])
            .told(&[TrackEnded, TrackStarted])
            .after(180_000)
            .state("a", None, None, false)
            .shows(Ended, None)
            .history_is(&["Two", "One"])
            .told(&[TrackEnded, SetEnded]);
    }

    #[test]
    fn the_state_may_come_before_its_play_or_after() {
        let mut story = Story::new();
        story.status("a", Presence::Online).plays("a", 1, "One").told(&[SetStarted, DjChanged, TrackStarted]);
        story.after(1000).state("a", Some(1), Some("Two"), false).shows(Playing, Some("One")).told(&[]);
        let at = story.now_ms;
        story
            .report("a", 1, PlayKind::Started, "Two", at)
            .shows(Playing, Some("Two"))
            .told(&[TrackEnded, TrackStarted]);
        story.report("a", 1, PlayKind::Started, "Three", at + 1).shows(Playing, Some("Two"));
        story.state("a", Some(1), Some("Three"), false).shows(Playing, Some("Three"));
    }

    #[test]
    fn what_comes_late_is_history_and_never_now() {
        let mut story = Story::new();
        story
            .status("a", Presence::Online)
            .state("a", Some(1), Some("Five"), false)
            .told(&[SetStarted, DjChanged]);
        for (n, title) in (0..).zip(["One", "Two", "Three", "Four", "Five"]) {
            let titles = story.told.len();
            story.report("a", 1, PlayKind::Started, title, START + n * 180_000);
            assert_eq!(story.told.len() > titles, title == "Five", "{title}");
        }
        story.shows(Playing, Some("Five")).history_is(&["Four", "Three", "Two", "One"]).told(&[TrackStarted]);
    }

    #[test]
    fn an_import_changes_nothing_of_what_is_on() {
        let mut story = Story::new();
        let track = Track { title: Some("One".into()), bpm: Some(120.0), ..Track::default() };
        let play = Play { id: play_id("One"), started_ms: START, ended_ms: None, track };
        let past = PastPlay { set_id: set(1).id, dj: None, play: play.clone() };
        story.floor.restore(vec![(desk("a"), past)], None, START);
        story
            .status("a", Presence::Online)
            .state("a", Some(1), Some("One"), false)
            .shows(Playing, Some("One"));
        // The same play as a file knows it, dated before its start.
        story.now_ms = START - 2_000;
        story.report("a", 9, PlayKind::Started, "One", START);
        assert_eq!(story.floor.now().play.as_ref(), Some(&play));
        story.now_ms = START + 5_000;
        story.report("a", 1, PlayKind::Corrected, "One", START);
        assert_ne!(story.floor.now().play.as_ref(), Some(&play), "what the desk says live is newer");
    }

    #[test]
    fn a_blip_ends_nothing_but_silence_becomes_stale() {
        let mut story = Story::new();
        story.status("a", Presence::Online).plays("a", 1, "One");
        assert!(story.floor.now().stale_after_ms.unwrap() > story.now_ms + 60_000);
        story.after(1_000_000);
        assert!(story.floor.now().stale_after_ms.unwrap() > story.now_ms + 60_000, "said again in time");
        story.told.clear();
        story.status("a", Presence::Offline).shows(Playing, Some("One")).told(&[]);
        assert_eq!(story.floor.now().stale_after_ms, Some(story.now_ms + 20_000));
        story.after(3_600_000).shows(Playing, Some("One")).told(&[]);
        assert_eq!(story.floor.now().stale_after_ms, Some(story.now_ms - 3_580_000), "stays stale");
        story.status("a", Presence::Online).shows(Playing, Some("One")).told(&[]);
        assert!(story.floor.now().stale_after_ms.unwrap() > story.now_ms);
    }

    #[test]
    fn the_message_is_not_said_again_for_nothing() {
        let mut story = Story::new();
        story.status("a", Presence::Online).plays("a", 1, "One");
        let first = story.floor.now().clone();
        story.after(1_000);
        assert_eq!(*story.floor.now(), first);
    }

    #[test]
    fn whoever_went_live_last_speaks() {
        let mut story = Story::new();
        story.status("a", Presence::Online).plays("a", 1, "One");
        story.status("b", Presence::Online).plays("b", 2, "Uno").shows(Playing, Some("Uno"));
        story.after(1000).plays("a", 1, "Two").shows(Playing, Some("Uno"));
        story.state("b", None, None, false).shows(Playing, Some("Two"));
        story.history_is(&["Uno", "One"]);
    }

    #[test]
    fn a_dead_desk_does_not_get_the_floor_back() {
        let mut story = Story::new();
        story.status("a", Presence::Online).plays("a", 1, "One").status("a", Presence::Offline);
        story.status("b", Presence::Online).plays("b", 2, "Uno").shows(Playing, Some("Uno"));
        story.state("b", None, None, false).shows(Ended, None);
    }

    #[test]
    fn a_hidden_play_is_told_nowhere() {
        let mut story = Story::new();
        story.status("a", Presence::Online).plays("a", 1, "One").after(1000);
        story.state("a", Some(1), Some("Secret"), true);
        let at = story.now_ms;
        story.report("a", 1, PlayKind::Started, "Secret", at).shows(Hidden, None).history_is(&["One"]);
        story.state("a", Some(1), Some("Secret"), false).shows(Playing, Some("Secret"));
    }

    #[test]
    fn a_hidden_play_is_told_nowhere_while_another_desk_has_the_floor() {
        let mut story = Story::new();
        story.status("a", Presence::Online).plays("a", 1, "One").after(1000).plays("a", 1, "Secret");
        story.state("a", Some(1), Some("Secret"), true);
        story.status("b", Presence::Online).plays("b", 2, "Uno").shows(Playing, Some("Uno"));
        story.history_is(&["One"]);
        story.after(1000).plays("a", 1, "Two").history_is(&["Two", "Secret", "One"]);
    }

    #[test]
    fn the_last_song_is_that_of_one_set() {
        let mut story = Story::new();
        story.last_song(true).told(&[]);
        story.status("a", Presence::Online).plays("a", 1, "One").after(1000).told.clear();
        story.last_song(true).told(&[LastSong]).last_song(true).told(&[]);
        assert!(story.floor.now().last_song);
        story.plays("a", 1, "Two");
        assert!(story.floor.now().last_song, "until the DJ takes it back or the set is over");
        story.after(1).last_song(false).after(1).last_song(true).told.clear();
        story.state("a", None, None, false);
        assert!(!story.floor.now().last_song);
        story.after(1000).plays("a", 2, "Three");
        assert!(!story.floor.now().last_song);
        story.status("b", Presence::Online).after(1000).last_song(true).plays("b", 3, "Uno");
        assert!(!story.floor.now().last_song);
        story.state("b", None, None, false).shows(Playing, Some("Three"));
        assert!(!story.floor.now().last_song, "another set began in between");
    }

    #[test]
    fn what_was_said_before_the_set_is_not_about_it() {
        let mut story = Story::new();
        story.status("a", Presence::Online).after(5000).plays("a", 4000, "One");
        let happenings = story.floor.last_song(true, START + 3999, story.now_ms);
        assert!(happenings.is_empty() && !story.floor.now().last_song);
        story.last_song(true);
        let happenings = story.floor.last_song(false, story.now_ms - 1, story.now_ms);
        assert!(happenings.is_empty() && story.floor.now().last_song, "an old one that comes late");
    }

    #[test]
    fn the_last_song_is_taken_up_after_a_restart() {
        let mut story = Story::new();
        story.floor.restore_last_song(set(1).id, START);
        story.status("a", Presence::Online).plays("a", 1, "One");
        assert!(story.floor.now().last_song);
        story.told(&[SetStarted, DjChanged, TrackStarted]).last_song(false);
        assert!(!story.floor.now().last_song);
    }

    #[test]
    fn corrections_and_withdrawals() {
        let mut story = Story::new();
        story.status("a", Presence::Online).plays("a", 1, "One").after(1000);
        let at = story.now_ms;
        story.report("a", 1, PlayKind::Corrected, "One", at - 1000).told.clear();
        story.shows(Playing, Some("One")).after(1000);
        story.report("a", 1, PlayKind::Withdrawn, "One", at - 1000).shows(Idle, None).history_is(&[]);
        story.told(&[TrackEnded]);
    }

    #[test]
    fn another_desk_cannot_change_a_play() {
        let mut story = Story::new();
        story.status("a", Presence::Online).plays("a", 1, "One").after(1000);
        let at = story.now_ms;
        story.report("b", 2, PlayKind::Withdrawn, "One", at).shows(Playing, Some("One"));
    }

    #[test]
    fn the_history_fits_its_message() {
        let mut story = Story::new();
        story.status("a", Presence::Online).state("a", Some(1), None, false);
        for n in 0..100 {
            story.report("a", 1, PlayKind::Started, &format!("{n} {}", "ż".repeat(190)), START + n);
        }
        let history = story.floor.history();
        assert!(history.len() <= HISTORY_PLAYS && history.len() > 5);
        assert!(message::write(&history).len() < message::PAYLOAD_BYTES_MAX);
        assert!(story.floor.plays.len() <= REMEMBERED_PLAYS);
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let mut story = Story::new();
        story.status("a", Presence::Online).plays("a", 1, "One");
        for n in 0..1000 {
            story.status(&format!("stranger-{n}"), Presence::Offline);
        }
        assert!(story.floor.desks.len() <= DESKS_MAX);
        story.shows(Playing, Some("One"));
    }
}
