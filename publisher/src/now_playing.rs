//! What the observations of a source mean for the floor: which play has started, which is the one that is heard now,
//! which was no play at all. Pure: time comes in as an argument, decisions come out.
//!
//! A play is ended by the next one that starts; `Ended` is only said when the source or the DJ says so.

use std::collections::{HashSet, VecDeque};

use protocol::{DeskId, Play, PlayId, PlayKind, Track};

use crate::pattern::Pattern;
use crate::sources::observation::{Arrival, Location, Observation, SourceKind, is_fresh};

/// The same song reported again within this time is one play.
const SAME_PLAY_MS: i64 = 30_000;
/// A play keeps a start that is ahead of our clock by no more than this.
const AHEAD_MS: i64 = 60_000;
/// Plays that can still be corrected. Older ones stay as they are.
const RECENT_MAX: usize = 64;

/// The DJ's wishes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// A new play waits so long; one that is replaced meanwhile was only cued.
    pub delay_ms: i64,
    /// Shorter plays are not told.
    pub min_play_ms: i64,
    /// Sampler and preview decks.
    pub ignored_decks: Vec<u8>,
    pub skip: Skip,
    /// End a play so long after its length has passed. By default it stays until the next one.
    pub clear_after_ms: Option<i64>,
}

/// Tracks that are never told. Texts are found anywhere in the field, in upper or lower case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Skip {
    pub genre: Vec<String>,
    pub comment: Vec<String>,
    /// In "Artist – Title".
    pub line: Vec<String>,
    /// In "Artist – Title", too.
    pub pattern: Vec<Pattern>,
}

/// What is to be told, or remembered as not to be told.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are a few per track, and most of them are the large one"
)]
pub enum Decision {
    Told {
        kind: PlayKind,
        play: Play,
        /// The source's name of the play, to be journaled with it.
        identity: String,
        /// It is what is heard now; otherwise it is history.
        current: bool,
        /// Its title is the name of its file.
        is_named: bool,
    },
    /// No report, now or after a restart.
    Passed { identity: String },
}

/// What is playing, and what waits to be.
#[derive(Debug)]
pub struct NowPlaying {
    desk: DeskId,
    rules: Rules,
    /// The start of the open set. Without one nothing is told.
    since_ms: Option<i64>,
    /// What the source calls the plays that were told or passed.
    known: HashSet<String>,
    /// The newest play, told or not; what is told when the DJ goes live.
    newest: Option<Heard>,
    /// The newest play before its time has come.
    waiting: Option<Waiting>,
    current: Option<PlayId>,
    recent: VecDeque<Heard>,
}

#[derive(Debug, Clone)]
struct Heard {
    play: Play,
    identity: String,
    location: Option<Location>,
    /// The DJ said what it really is; the source does not know better.
    is_corrected: bool,
    /// Its title is the name of its file.
    is_named: bool,
}

/// The newest play of an earlier process.
#[derive(Debug, Clone)]
pub struct Last {
    pub play: Play,
    pub identity: String,
    pub is_corrected: bool,
    pub is_named: bool,
}

/// What the file of a play says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    pub play: PlayId,
    pub track: Track,
    /// For the rules, and never told.
    pub comment: Option<String>,
}

#[derive(Debug, Clone)]
struct Waiting {
    heard: Heard,
    due_ms: i64,
}

impl Skip {
    /// Whether a rule is about this track.
    pub fn names(&self, track: &Track, comment: Option<&str>) -> bool {
        let holds = |field: Option<&str>, texts: &[String]| {
            let field = field.unwrap_or_default().to_lowercase();
            texts.iter().any(|text| !text.is_empty() && field.contains(&text.to_lowercase()))
        };
        let line = track.line();
        holds(track.genre.as_deref(), &self.genre)
            || holds(comment, &self.comment)
            || holds(Some(&line), &self.line)
            || self.pattern.iter().any(|pattern| pattern.is_in(&line))
    }
}

impl Learned {
    /// Fills what is not known of the track. What the DJ's program said stays; only the name of a file gives way to a
    /// title. Returns whether anything is new.
    pub fn fill(&self, track: &mut Track, is_named: &mut bool) -> bool {
        let (before, mut file) = (track.clone(), self.track.clone());
        if *is_named && file.title.is_some() {
            track.title = file.title.take();
            track.artist = file.artist.take().or(track.artist.take());
            *is_named = false;
        }
        track.complete(file);
        *track != before
    }
}

impl NowPlaying {
    pub fn new(desk: DeskId, rules: Rules) -> Self {
        Self {
            desk,
            rules,
            since_ms: None,
            known: HashSet::new(),
            newest: None,
            waiting: None,
            current: None,
            recent: VecDeque::new(),
        }
    }

    /// Goes on where an earlier process stopped: with its open set, the plays that are journaled, and the last of them.
    pub fn restore<'a>(
        &mut self,
        now_ms: i64,
        since_ms: i64,
        seen: impl IntoIterator<Item = &'a String>,
        last: Option<Last>,
    ) {
        self.since_ms = Some(since_ms);
        self.known.extend(seen.into_iter().cloned());
        let Some(Last { play, identity, is_corrected, is_named }) = last else { return };
        let ended = play.ended_ms.is_some();
        if !ended && is_fresh(play.started_ms, play.track.duration_ms, now_ms) {
            self.current = Some(play.id);
        }
        let heard = Heard { play, identity, location: None, is_corrected, is_named };
        self.known.insert(heard.identity.clone());
        self.recent.push_back(heard.clone());
        self.newest = Some(heard);
    }

    /// The play that is heard now, as far as it is told.
    pub fn current(&self) -> Option<PlayId> {
        self.current
    }

    /// When `tick` has something to do next.
    pub fn due_ms(&self) -> Option<i64> {
        let waiting = self.waiting.as_ref().map(|waiting| waiting.due_ms);
        waiting.into_iter().chain(self.clear_ms()).min()
    }

    /// The DJ goes live: what is heard at this moment is the first play of the set.
    pub fn set_opened(&mut self, now_ms: i64, since_ms: i64) -> Vec<Decision> {
        self.since_ms = Some(since_ms);
        let fresh = self.newest.clone().filter(|heard| {
            heard.play.ended_ms.is_none()
                && is_fresh(heard.play.started_ms, heard.play.track.duration_ms, now_ms)
        });
        let mut decisions = Vec::new();
        if let Some(heard) = fresh.filter(|heard| !self.known.contains(&heard.identity)) {
            self.wait_for(heard, now_ms);
            self.publish_due(now_ms, &mut decisions);
        }
        decisions
    }

    /// The DJ ends the set: what waits is told if it was long enough, what is heard ends.
    pub fn set_closed(&mut self, now_ms: i64) -> Vec<Decision> {
        let mut decisions = Vec::new();
        self.replace_waiting(now_ms, &mut decisions);
        decisions.extend(self.ended(now_ms));
        self.since_ms = None;
        // They belong to that set, and must not be corrected into the next one.
        self.recent.clear();
        decisions
    }

    /// The DJ takes a play back: it is not what is heard, and nothing is told of it any more.
    pub fn taken_back(&mut self, id: PlayId) {
        self.withdraw(id, &mut Vec::new());
        self.current.take_if(|current| *current == id);
    }

    /// The DJ says what a play really is.
    pub fn corrected(&mut self, play: &Play) {
        let waiting = self.waiting.as_mut().map(|waiting| &mut waiting.heard);
        let all = waiting.into_iter().chain(&mut self.newest).chain(&mut self.recent);
        for heard in all.filter(|heard| heard.play.id == play.id) {
            heard.play.track = play.track.clone();
            heard.is_corrected = true;
        }
    }

    /// The file of a play was read. Nothing when the play is none that waits, is heard or was told a short time ago.
    pub fn learned(&mut self, learned: &Learned) -> Option<Vec<Decision>> {
        let id = learned.play;
        let waiting = self.waiting.as_mut().map(|waiting| &mut waiting.heard);
        let all = waiting.into_iter().chain(&mut self.newest).chain(&mut self.recent);
        let mut known = None;
        let mut is_news = false;
        for heard in all.filter(|heard| heard.play.id == id) {
            // What the DJ said is no file's name.
            heard.is_named &= !heard.is_corrected;
            is_news |= learned.fill(&mut heard.play.track, &mut heard.is_named);
            known = Some((heard.identity.clone(), heard.play.track.clone()));
        }
        let (identity, track) = known?;
        let mut decisions = Vec::new();
        if self.rules.skip.names(&track, learned.comment.as_deref()) {
            self.withdraw(id, &mut decisions);
            self.known.insert(identity.clone());
            decisions.push(Decision::Passed { identity });
        } else if let Some(told) = self.recent.iter().find(|heard| heard.play.id == id)
            && is_news
            && self.since_ms.is_some()
        {
            decisions.push(told.told(PlayKind::Corrected, self.current == Some(id)));
        }
        Some(decisions)
    }

    /// The source says that nothing is played any more.
    pub fn stopped(&mut self, now_ms: i64) -> Vec<Decision> {
        let mut decisions = Vec::new();
        self.replace_waiting(now_ms, &mut decisions);
        if let Some(newest) = &mut self.newest {
            newest.play.ended_ms.get_or_insert(now_ms);
        }
        decisions.extend(self.ended(now_ms));
        decisions
    }

    /// Takes in what one read of the source brought, oldest first.
    pub fn observe(&mut self, now_ms: i64, batch: Vec<Observation>) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let mut heard: Vec<(Heard, bool)> = Vec::new();
        let mut before_ms = None;
        for observation in batch {
            let id = self.play_id(observation.source, &observation.identity);
            if self.is_skipped(&observation) {
                self.withdraw(id, &mut decisions);
                decisions.push(Decision::Passed { identity: observation.identity });
                continue;
            }
            let (started_ms, may_be_now) = started(&observation, now_ms, before_ms);
            before_ms = Some(started_ms);
            let track = observation.track.clean();
            let play = Play { id, started_ms, ended_ms: None, track };
            let (identity, location, arrival) =
                (observation.identity, observation.location, observation.arrival);
            let one = Heard { play, identity, location, is_corrected: false, is_named: observation.is_named };
            if self.correct(&one, &mut decisions) || self.known.contains(&one.identity) {
                if arrival == Arrival::Playing {
                    self.heard_again(id);
                }
                continue;
            }
            let before = heard.last().map(|(before, _)| before).or(self.newest.as_ref());
            let is_same = |before: &Heard| {
                is_same_play(before, &one)
                    || (arrival == Arrival::Playing && is_still_on(before, &one, now_ms))
            };
            if before.is_some_and(is_same) {
                self.known.insert(one.identity.clone());
                decisions.push(Decision::Passed { identity: one.identity });
                continue;
            }
            heard.push((one, may_be_now));
        }
        let newest = heard.len().saturating_sub(1);
        for (index, (one, may_be_now)) in heard.into_iter().enumerate() {
            let fresh = may_be_now && is_fresh(one.play.started_ms, one.play.track.duration_ms, now_ms);
            let is_now = index == newest && fresh;
            self.replace_waiting(one.play.started_ms, &mut decisions);
            self.withdraw_if_short(one.play.started_ms, &mut decisions);
            // What was missed may be told after what came later.
            let before_ms = self.newest.as_ref().map(|newest| newest.play.started_ms);
            let is_newest = is_now || before_ms.is_none_or(|before_ms| one.play.started_ms >= before_ms);
            if is_newest {
                self.newest = Some(one.clone());
            }
            if is_now {
                self.wait_for(one, now_ms);
            } else {
                // History waits only for what follows it, to know how long it was played.
                let due_ms = if index == newest { now_ms } else { i64::MAX };
                self.waiting = Some(Waiting { heard: one, due_ms });
                if index == newest {
                    if is_newest {
                        // It came after what was heard, and is over as well.
                        self.current = None;
                    }
                    self.publish_history(&mut decisions);
                }
            }
        }
        self.publish_due(now_ms, &mut decisions);
        decisions
    }

    /// Lets time pass.
    pub fn tick(&mut self, now_ms: i64) -> Vec<Decision> {
        let mut decisions = Vec::new();
        self.publish_due(now_ms, &mut decisions);
        if let Some(clear_ms) = self.clear_ms().filter(|clear_ms| *clear_ms <= now_ms) {
            decisions.extend(self.ended(clear_ms));
        }
        decisions
    }

    fn play_id(&self, source: SourceKind, identity: &str) -> PlayId {
        PlayId::derived(&self.desk, &source.to_string(), identity)
    }

    fn is_skipped(&self, observation: &Observation) -> bool {
        observation.deck.is_some_and(|deck| self.rules.ignored_decks.contains(&deck))
            || self.rules.skip.names(&observation.track, observation.comment.as_deref())
    }

    fn wait_for(&mut self, heard: Heard, now_ms: i64) {
        // A start that is a little ahead of our clock holds nothing up.
        let long_enough_ms = heard.play.started_ms.min(now_ms).saturating_add(self.rules.min_play_ms);
        let due_ms = now_ms.saturating_add(self.rules.delay_ms).max(long_enough_ms);
        self.waiting = Some(Waiting { heard, due_ms });
    }

    fn publish_due(&mut self, now_ms: i64, decisions: &mut Vec<Decision>) {
        if let Some(waiting) = self.waiting.take_if(|waiting| waiting.due_ms <= now_ms)
            && self.start(waiting.heard.clone(), true, decisions)
        {
            self.current = Some(waiting.heard.play.id);
        }
    }

    fn publish_history(&mut self, decisions: &mut Vec<Decision>) {
        if let Some(waiting) = self.waiting.take() {
            self.start(waiting.heard, false, decisions);
        }
    }

    /// What waits is followed by another play: it was a play if it lasted, otherwise it was only cued.
    fn replace_waiting(&mut self, next_started_ms: i64, decisions: &mut Vec<Decision>) {
        let Some(Waiting { heard, .. }) = self.waiting.take() else { return };
        let played_ms = next_started_ms.saturating_sub(heard.play.started_ms);
        let wanted_ms = self.rules.min_play_ms.max(self.rules.delay_ms);
        // A time that goes backwards says nothing about how long it was played.
        if played_ms < 0 || played_ms >= wanted_ms {
            self.start(heard, false, decisions);
        } else {
            self.known.insert(heard.identity.clone());
            decisions.push(Decision::Passed { identity: heard.identity });
        }
    }

    fn withdraw_if_short(&mut self, next_started_ms: i64, decisions: &mut Vec<Decision>) {
        let Some(id) = self.current else { return };
        let short = self.recent.iter().rev().find(|heard| heard.play.id == id).is_some_and(|heard| {
            (0..self.rules.min_play_ms).contains(&(next_started_ms - heard.play.started_ms))
        });
        if short {
            self.withdraw(id, decisions);
        }
    }

    /// Tells a play, if it belongs to the open set or is heard now.
    fn start(&mut self, heard: Heard, current: bool, decisions: &mut Vec<Decision>) -> bool {
        let Some(since_ms) = self.since_ms else { return false };
        if !current && heard.play.started_ms < since_ms {
            return false;
        }
        self.known.insert(heard.identity.clone());
        decisions.push(heard.told(PlayKind::Started, current));
        self.recent.push_back(heard);
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        true
    }

    /// Whether this is a play that is told or waits already; says so if it is known better now.
    fn correct(&mut self, better: &Heard, decisions: &mut Vec<Decision>) -> bool {
        let id = better.play.id;
        let current = self.current == Some(id);
        let untold =
            self.waiting.as_mut().map(|waiting| &mut waiting.heard).into_iter().chain(&mut self.newest);
        let mut is_known = false;
        for heard in untold.filter(|heard| heard.play.id == id) {
            heard.learn(better);
            is_known = true;
        }
        if let Some(told) = self.recent.iter_mut().find(|heard| heard.play.id == id) {
            if told.learn(better) && self.since_ms.is_some() {
                decisions.push(told.told(PlayKind::Corrected, current));
            }
            return true;
        }
        is_known
    }

    /// The DJ went back to a deck whose play was told before.
    fn heard_again(&mut self, id: PlayId) {
        let told = self.recent.iter().find(|heard| heard.play.id == id && heard.play.ended_ms.is_none());
        if let Some(told) = told.filter(|_| self.since_ms.is_some() && self.current != Some(id)) {
            self.newest = Some(told.clone());
            self.current = Some(id);
            // What waited to replace it is not heard any more, and waits no longer.
            self.waiting = None;
        }
    }

    fn withdraw(&mut self, id: PlayId, decisions: &mut Vec<Decision>) {
        self.waiting.take_if(|waiting| waiting.heard.play.id == id);
        self.newest.take_if(|heard| heard.play.id == id);
        let Some(index) = self.recent.iter().position(|heard| heard.play.id == id) else { return };
        let current = self.current.take_if(|current| *current == id).is_some();
        if let Some(heard) = self.recent.remove(index) {
            decisions.push(heard.told(PlayKind::Withdrawn, current));
        }
    }

    fn ended(&mut self, at_ms: i64) -> Option<Decision> {
        let id = self.current.take()?;
        let heard = self.recent.iter_mut().find(|heard| heard.play.id == id)?;
        heard.play.ended_ms = Some(at_ms.max(heard.play.started_ms));
        self.since_ms.map(|_| heard.told(PlayKind::Ended, true))
    }

    fn clear_ms(&self) -> Option<i64> {
        let after_ms = self.rules.clear_after_ms?;
        let id = self.current?;
        let play = &self.recent.iter().find(|heard| heard.play.id == id)?.play;
        Some(play.started_ms.saturating_add(play.track.duration_ms?).saturating_add(after_ms))
    }
}

impl Heard {
    fn told(&self, kind: PlayKind, current: bool) -> Decision {
        let Self { play, identity, is_named, .. } = self.clone();
        Decision::Told { kind, play, identity, current, is_named }
    }

    /// Takes over what is known better, and forgets nothing for a field that is empty now.
    fn learn(&mut self, better: &Heard) -> bool {
        let (old, mut new) = (&self.play.track, better.play.track.clone());
        if self.is_corrected || (better.is_named && !self.is_named) {
            (new.artist, new.title, new.remix) = (old.artist.clone(), old.title.clone(), old.remix.clone());
        } else {
            self.is_named = better.is_named;
        }
        let track = Track {
            artist: new.artist.or_else(|| old.artist.clone()),
            title: new.title.or_else(|| old.title.clone()),
            remix: new.remix.or_else(|| old.remix.clone()),
            album: new.album.or_else(|| old.album.clone()),
            genre: new.genre.or_else(|| old.genre.clone()),
            year: new.year.or(old.year),
            bpm: new.bpm.or(old.bpm),
            key: new.key.or_else(|| old.key.clone()),
            duration_ms: new.duration_ms.or(old.duration_ms),
            cover: new.cover.or(old.cover),
        };
        let learned = *old != track;
        self.play.track = track;
        learned
    }
}

/// When the play started, and whether it may be what is heard now.
fn started(observation: &Observation, now_ms: i64, before_ms: Option<i64>) -> (i64, bool) {
    match (observation.started_ms, observation.arrival) {
        // A start in the far future is a wrong clock; a little ahead is how the program rounds.
        (Some(started_ms), _) if started_ms - now_ms > AHEAD_MS => (now_ms, true),
        (Some(started_ms), _) => (started_ms, true),
        // Several at once keep their order.
        (None, Arrival::Live) => (before_ms.map_or(now_ms, |before_ms| now_ms.max(before_ms + 1)), true),
        (None, Arrival::Playing) => (now_ms, true),
        (None, Arrival::Found) => (before_ms.map_or(now_ms, |before_ms| before_ms + 1), false),
    }
}

fn is_same_play(before: &Heard, after: &Heard) -> bool {
    before.location.is_some()
        && before.location == after.location
        && before.play.ended_ms.is_none()
        && (after.play.started_ms - before.play.started_ms).abs() <= SAME_PLAY_MS
}

/// Whether what was heard when we came is what was told before, by an earlier process or before the source was lost.
fn is_still_on(before: &Heard, after: &Heard, now_ms: i64) -> bool {
    let (old, new) = (&before.play.track, &after.play.track);
    before.play.ended_ms.is_none()
        && (&old.artist, old.display_title()) == (&new.artist, new.display_title())
        && is_fresh(before.play.started_ms, old.duration_ms, now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_795_291_800_000;

    /// What is told about a night, one word per decision.
    struct Night {
        now_playing: NowPlaying,
        said: Vec<String>,
    }

    impl Night {
        fn with(rules: Rules) -> Self {
            let desk = "booth".parse().expect("a slug");
            let mut now_playing = NowPlaying::new(desk, rules);
            assert_eq!(now_playing.set_opened(T, T), []);
            Self { now_playing, said: Vec::new() }
        }

        fn say(&mut self, decisions: Vec<Decision>) -> &mut Self {
            self.said.extend(decisions.into_iter().map(|decision| match decision {
                Decision::Told { kind, play, current, .. } => {
                    let mark = if current { " now" } else { "" };
                    format!("{kind:?} {}{mark}", play.track.line()).to_lowercase()
                }
                Decision::Passed { .. } => "passed".to_owned(),
            }));
            self
        }

        fn hears(&mut self, at_s: i64, batch: Vec<Observation>) -> &mut Self {
            let decisions = self.now_playing.observe(T + at_s * 1000, batch);
            self.say(decisions)
        }

        fn waits(&mut self, at_s: i64) -> &mut Self {
            let decisions = self.now_playing.tick(T + at_s * 1000);
            self.say(decisions)
        }

        #[track_caller]
        fn said(&mut self, expected: &[&str]) -> &mut Self {
            assert_eq!(std::mem::take(&mut self.said), expected);
            self
        }
    }

    fn play(title: &str, started_s: i64) -> Observation {
        let identity = format!("{title}|{started_s}");
        let mut observation = Observation::new(SourceKind::VirtualDj, identity);
        observation.track.title = Some(title.to_owned());
        observation.location = Some(Location::Path(format!("/m/{title}")));
        observation.started_ms = Some(T + started_s * 1000);
        observation
    }

    fn seconds(delay: i64, min_play: i64) -> Rules {
        Rules { delay_ms: delay * 1000, min_play_ms: min_play * 1000, ..Rules::default() }
    }

    #[test]
    fn a_start_a_little_ahead_of_our_clock_is_kept_and_holds_nothing_up() {
        let mut night = Night::with(Rules::default());
        night.hears(100, vec![play("ahead", 105)]).said(&["started ahead now"]);
        night.hears(101, vec![play("wrong clock", 4000)]).said(&["started wrong clock now"]);
    }

    #[test]
    fn v16_of_three_at_once_only_the_last_is_now() {
        Night::with(Rules::default())
            .hears(900, vec![play("a", 100), play("b", 400), play("c", 880)])
            .said(&["started a", "started b", "started c now"]);
    }

    #[test]
    fn a_double_at_the_end_of_a_batch_holds_nothing_up() {
        Night::with(Rules::default())
            .hears(420, vec![play("a", 100), play("b", 400), play("b", 408)])
            .said(&["passed", "started a", "started b now"]);
    }

    #[test]
    fn the_past_is_never_now() {
        Night::with(Rules::default())
            .hears(5000, vec![play("before the set", -100)])
            .said(&[])
            .hears(5000, vec![play("missed", 100)])
            .said(&["started missed"]);
    }

    #[test]
    fn a_play_is_told_once_and_corrected_when_more_is_known() {
        let mut better = play("a", 10);
        better.track.bpm = Some(124.0);
        Night::with(Rules::default())
            .hears(20, vec![play("a", 10)])
            .hears(21, vec![play("a", 10)])
            .said(&["started a now"])
            .hears(22, vec![better])
            .said(&["corrected a now"])
            .hears(23, vec![play("a", 10)])
            .said(&[]);
    }

    #[test]
    fn v12_the_same_song_soon_is_the_same_play() {
        Night::with(Rules::default())
            .hears(10, vec![play("a", 10)])
            .hears(18, vec![play("a", 18)])
            .hears(2500, vec![play("a", 2410)])
            .said(&["started a now", "passed", "started a now"]);
    }

    #[test]
    fn a_cued_track_never_reaches_the_floor() {
        Night::with(seconds(10, 0))
            .hears(0, vec![play("cued", 0)])
            .hears(5, vec![play("played", 5)])
            .said(&["passed"])
            .waits(14)
            .said(&[])
            .waits(15)
            .said(&["started played now"]);
    }

    #[test]
    fn with_a_delay_what_was_missed_is_still_told() {
        Night::with(seconds(10, 30))
            .hears(900, vec![play("a", 100), play("short", 880), play("c", 890)])
            .said(&["started a", "passed"])
            .waits(920)
            .said(&["started c now"]);
    }

    #[test]
    fn v19_an_ignored_deck_is_not_heard() {
        let mut sampler = play("jingle", 10);
        sampler.deck = Some(2);
        Night::with(Rules { ignored_decks: vec![2], ..Rules::default() })
            .hears(11, vec![sampler])
            .said(&["passed"]);
    }

    #[test]
    fn a_late_genre_can_take_a_play_back() {
        let skip = Skip { genre: vec!["Jingle".to_owned()], ..Skip::default() };
        let mut known_better = play("a", 10);
        known_better.track.genre = Some("radio jingles".to_owned());
        Night::with(Rules { skip, ..Rules::default() })
            .hears(11, vec![play("a", 10)])
            .hears(12, vec![known_better])
            .said(&["started a now", "withdrawn a now", "passed"]);
    }

    #[test]
    fn a_pattern_hides_what_it_is_found_in() {
        let skip = Skip { pattern: vec!["^jingle \\d+$".parse().expect("a pattern")], ..Skip::default() };
        Night::with(Rules { skip, ..Rules::default() })
            .hears(11, vec![play("Jingle 12", 10)])
            .hears(31, vec![play("Jingle bells", 30)])
            .said(&["passed", "started jingle bells now"]);
    }

    #[test]
    fn going_live_starts_with_what_is_heard() {
        let mut night = Night::with(Rules::default());
        let closed = night.now_playing.set_closed(T);
        night.say(closed).hears(10, vec![play("a", 10), play("b", 200)]).said(&[]);
        let opened = night.now_playing.set_opened(T + 220_000, T + 220_000);
        night.say(opened).said(&["started b now"]);
        let stopped = night.now_playing.stopped(T + 300_000);
        night.say(stopped).said(&["ended b now"]);
    }

    #[test]
    fn what_the_dj_corrected_stays_corrected() {
        let mut night = Night::with(Rules::default());
        night.hears(20, vec![play("a", 10)]).said(&["started a now"]);
        let mut right = night.now_playing.recent[0].play.clone();
        right.track.title = Some("right".to_owned());
        night.now_playing.corrected(&right);
        let mut better = play("a", 10);
        better.track.bpm = Some(124.0);
        better.track.remix = Some("wrong".to_owned());
        night.hears(22, vec![better]).said(&["corrected right now"]);
        night.hears(400, vec![play("b", 300)]).said(&["started b now"]);
    }

    #[test]
    fn what_the_dj_took_back_is_not_told_again() {
        let mut night = Night::with(Rules::default());
        night.hears(20, vec![play("a", 10)]).said(&["started a now"]);
        let id = night.now_playing.current().expect("a");
        night.now_playing.taken_back(id);
        assert_eq!(night.now_playing.current(), None);
        let mut better = play("a", 10);
        better.track.bpm = Some(124.0);
        night.hears(22, vec![better]).said(&[]).waits(30).said(&[]);
    }

    fn file(play: PlayId, title: &str) -> Learned {
        let track = Track {
            title: Some(title.to_owned()),
            artist: Some("Nova Harbor".to_owned()),
            genre: Some("House".to_owned()),
            bpm: Some(124.0),
            ..Track::default()
        };
        Learned { play, track, comment: Some("for the end".to_owned()) }
    }

    #[test]
    fn a_file_completes_what_the_dj_program_said_and_changes_nothing_of_it() {
        let mut night = Night::with(Rules::default());
        let mut heard = play("a", 10);
        heard.track.bpm = Some(98.0);
        night.hears(20, vec![heard]).said(&["started a now"]);
        let learned = file(night.now_playing.current().expect("a"), "something else");
        let decisions = night.now_playing.learned(&learned).expect("a play that is known");
        night.say(decisions).said(&["corrected nova harbor – a now"]);
        let track = night.now_playing.recent[0].play.track.clone();
        assert_eq!((track.bpm, track.genre.as_deref()), (Some(98.0), Some("House")));
        assert_eq!(night.now_playing.learned(&learned), Some(Vec::new()), "a second time is no news");
        // The source tells it again, and knows no more than before.
        night.hears(22, vec![play("a", 10)]).said(&[]);
    }

    #[test]
    fn a_title_counts_more_than_the_name_of_a_file() {
        let mut named = play("01 track", 10);
        named.is_named = true;
        let mut night = Night::with(Rules::default());
        night.hears(20, vec![named.clone()]).said(&["started 01 track now"]);
        let decisions =
            night.now_playing.learned(&file(night.now_playing.current().expect("it"), "Glass Tide"));
        night.say(decisions.expect("known")).said(&["corrected nova harbor – glass tide now"]);
        night.hears(22, vec![named.clone()]).said(&[]);
        // What the DJ said counts more than both.
        let mut right = night.now_playing.recent[0].play.clone();
        right.track.title = Some("Right".to_owned());
        night.now_playing.corrected(&right);
        let decisions = night.now_playing.learned(&file(right.id, "Wrong"));
        night.say(decisions.expect("known")).said(&[]);
    }

    #[test]
    fn a_rule_about_what_only_the_file_says_takes_the_play_back() {
        let about = |skip: Skip| {
            let mut night = Night::with(Rules { skip, ..Rules::default() });
            night.hears(20, vec![play("a", 10)]).said(&["started a now"]);
            let learned = file(night.now_playing.current().expect("a"), "a");
            let decisions = night.now_playing.learned(&learned).expect("known");
            night.say(decisions).said(&["withdrawn nova harbor – a now", "passed"]);
            assert_eq!(night.now_playing.current(), None);
            assert_eq!(night.now_playing.learned(&learned), None, "it is over");
            night.hears(22, vec![play("a", 10)]).said(&[]);
        };
        about(Skip { comment: vec!["FOR THE END".to_owned()], ..Skip::default() });
        about(Skip { genre: vec!["house".to_owned()], ..Skip::default() });
        about(Skip { line: vec!["nova".to_owned()], ..Skip::default() });
    }

    #[test]
    fn what_is_learned_while_a_play_waits_is_told_with_it() {
        let skip = Skip { comment: vec!["jingle".to_owned()], ..Skip::default() };
        let mut night = Night::with(Rules { skip, ..seconds(10, 0) });
        night.hears(0, vec![play("a", 0)]).said(&[]);
        let id = night.now_playing.waiting.as_ref().expect("it waits").heard.play.id;
        let decisions = night.now_playing.learned(&file(id, "b")).expect("known");
        night.say(decisions).said(&[]).waits(10).said(&["started nova harbor – a now"]);
        // One that must not be told never is.
        night.hears(100, vec![play("c", 100)]).said(&[]);
        let id = night.now_playing.waiting.as_ref().expect("it waits").heard.play.id;
        let learned = Learned { comment: Some("Jingle".to_owned()), ..file(id, "c") };
        let decisions = night.now_playing.learned(&learned).expect("known");
        night.say(decisions).said(&["passed"]).waits(200).said(&[]);
        let stranger = PlayId::derived(&"booth".parse().expect("a slug"), "virtualdj", "x");
        assert_eq!(night.now_playing.learned(&file(stranger, "x")), None);
    }

    #[test]
    fn what_is_learned_of_a_set_that_is_over_is_not_told_in_the_next() {
        let mut night = Night::with(Rules::default());
        night.hears(20, vec![play("a", 10)]).said(&["started a now"]);
        let closed = night.now_playing.set_closed(T + 30_000);
        night.say(closed).said(&["ended a now"]);
        let opened = night.now_playing.set_opened(T + 40_000, T + 40_000);
        let mut better = play("a", 10);
        better.track.bpm = Some(124.0);
        night.say(opened).hears(50, vec![better]).said(&[]);
        night.hears(300, vec![play("b", 290)]).said(&["started b now"]);
    }

    #[test]
    fn a_play_can_end_by_its_length() {
        let mut timed = play("a", 0);
        timed.track.duration_ms = Some(100_000);
        let mut night = Night::with(Rules { clear_after_ms: Some(5000), ..Rules::default() });
        night.hears(1, vec![timed]).said(&["started a now"]);
        assert_eq!(night.now_playing.due_ms(), Some(T + 105_000));
        night.waits(104).said(&[]).waits(105).said(&["ended a now"]);
    }

    #[test]
    fn after_a_restart_nothing_is_told_twice() {
        let mut first = Night::with(Rules::default());
        let told = first.now_playing.observe(T + 20_000, vec![play("a", 10)]);
        let Some(Decision::Told { play: last, identity, .. }) = told.first().cloned() else {
            panic!("{told:?}")
        };
        let mut second = NowPlaying::new("booth".parse().expect("a slug"), Rules::default());
        let seen = [identity.clone()];
        let earlier = Last { play: last.clone(), identity, is_corrected: false, is_named: false };
        second.restore(T + 30_000, T, &seen, Some(earlier));
        assert_eq!(second.current(), Some(last.id));
        assert_eq!(second.observe(T + 30_000, vec![play("a", 10)]), []);
    }

    #[test]
    fn what_is_still_on_after_a_restart_is_the_same_play() {
        let live = |title: &str, at_s: i64| {
            let mut observation = play(title, at_s);
            (observation.started_ms, observation.location) = (None, None);
            observation.arrival = Arrival::Playing;
            observation
        };
        let mut night = Night::with(Rules::default());
        night.hears(10, vec![live("a", 10)]).said(&["started a now"]);
        night.hears(90, vec![live("a", 90)]).said(&["passed"]);
        night.hears(100, vec![live("b", 100)]).said(&["started b now"]);
        // Longer ago than any track lasts: the same song is on again.
        night.hears(5000, vec![live("b", 5000)]).said(&["started b now"]);
    }

    #[test]
    fn going_back_to_a_deck_brings_its_play_back() {
        let mut again = play("a", 10);
        again.arrival = Arrival::Playing;
        let mut night = Night::with(Rules::default());
        night
            .hears(10, vec![play("a", 10)])
            .hears(200, vec![play("b", 190)])
            .said(&["started a now", "started b now"]);
        let b = night.now_playing.current();
        night.hears(210, vec![again]).said(&[]);
        assert!(night.now_playing.current().is_some_and(|current| Some(current) != b));
        night.hears(400, vec![play("c", 390)]).said(&["started c now"]);
    }
}
