//! Which of several sources speaks, so that one play that two of them saw is told once. Pure: time comes in as an argument.
//!
//! The rule: the source that is named first speaks while it hears something. Another one speaks when that one is gone, has
//! stopped, or when its last track must be over. What a silent source hears of the same song completes what is known; a
//! play of the past that nobody else told is told whoever saw it.

use std::collections::{BTreeMap, VecDeque};

use protocol::Track;

use crate::sources::observation::{Arrival, Observation, SourceKind, is_fresh};

/// Plays that another source may still report again: more than a night of one list read at once.
const REMEMBERED_MAX: usize = 512;
/// The same song in two sources is the same play when they date it so closely: DJ programs note some plays a minute late.
const SAME_WITHIN_MS: i64 = 5 * 60_000;

/// The sources, what each heard last, and who speaks.
#[derive(Debug)]
pub struct Speakers {
    order: Vec<SourceKind>,
    voices: BTreeMap<SourceKind, Voice>,
    speaker: Option<SourceKind>,
    remembered: VecDeque<Remembered>,
}

/// What is to be judged, and what is not.
#[derive(Debug, Default, PartialEq)]
pub struct Spoken {
    pub plays: Vec<Observation>,
    /// Identities of plays that are told under another one, or not at all, also after a restart.
    pub left_out: Vec<String>,
    pub stopped: bool,
}

#[derive(Debug, Default)]
struct Voice {
    is_here: bool,
    newest: Option<Newest>,
}

#[derive(Debug, Clone)]
struct Newest {
    observation: Observation,
    started_ms: i64,
    is_over: bool,
}

#[derive(Debug)]
struct Remembered {
    song: String,
    source: SourceKind,
    identity: String,
    started_ms: i64,
    track: Track,
    /// Under which names other sources know it.
    also: Vec<(SourceKind, String)>,
}

impl Speakers {
    /// Of those that play at the same time, the first of `order` speaks. Kinds that it leaves out come last.
    pub fn new(order: &[SourceKind]) -> Self {
        let order = if order.is_empty() { SourceKind::ALL } else { order };
        Self { order: order.to_vec(), voices: BTreeMap::new(), speaker: None, remembered: VecDeque::new() }
    }

    /// Who speaks now.
    pub fn speaker(&self) -> Option<SourceKind> {
        self.speaker
    }

    /// A source can be read, or cannot. When the one that speaks is gone, another one goes on.
    pub fn is_here(&mut self, now_ms: i64, source: SourceKind, is_here: bool) -> Spoken {
        self.voices.entry(source).or_default().is_here = is_here;
        if is_here || self.speaker != Some(source) {
            return Spoken::default();
        }
        self.speaker = None;
        self.hand_over(now_ms)
    }

    /// A source says that nothing is played any more.
    pub fn stopped(&mut self, now_ms: i64, source: SourceKind) -> Spoken {
        if let Some(newest) = &mut self.voices.entry(source).or_default().newest {
            newest.is_over = true;
        }
        if self.speaker.is_some_and(|speaker| speaker != source) {
            return Spoken::default();
        }
        self.speaker = None;
        let handed = self.hand_over(now_ms);
        Spoken { stopped: handed.plays.is_empty(), ..handed }
    }

    /// A source saw plays, oldest first.
    pub fn plays(&mut self, now_ms: i64, source: SourceKind, batch: Vec<Observation>) -> Spoken {
        let mut spoken = Spoken::default();
        let newest = batch.last().cloned();
        let voice = self.voices.entry(source).or_default();
        voice.is_here = true;
        if let Some(observation) = &newest {
            let known =
                voice.newest.as_ref().filter(|newest| newest.observation.identity == observation.identity);
            let started_ms = known.map_or_else(|| started(observation, now_ms), |known| known.started_ms);
            let is_over = known.is_some_and(|known| known.is_over);
            voice.newest = Some(Newest { observation: observation.clone(), started_ms, is_over });
        }
        let is_heard = self.holds(source, now_ms);
        let may_speak = match self.speaker {
            None => true,
            Some(speaker) => {
                speaker == source || self.rank(source) < self.rank(speaker) || !self.holds(speaker, now_ms)
            }
        };
        if may_speak && is_heard {
            self.speaker = Some(source);
        }
        for observation in batch {
            let started_ms = started(&observation, now_ms);
            let is_past = !is_now(&observation, started_ms, now_ms);
            if let Some(known) = self.known(&observation, started_ms) {
                if known.source == observation.source && known.identity == observation.identity {
                    known.track = observation.track.clone();
                    spoken.plays.push(observation);
                    continue;
                }
                let name = (observation.source, observation.identity.clone());
                if !known.also.contains(&name) {
                    known.also.push(name);
                    spoken.left_out.push(observation.identity.clone());
                }
                spoken.plays.extend(known.completed(observation));
            } else if may_speak || is_past {
                self.remember(&observation, started_ms);
                spoken.plays.push(observation);
            } else {
                spoken.left_out.push(observation.identity);
            }
        }
        spoken
    }

    fn hand_over(&mut self, now_ms: i64) -> Spoken {
        let others = self.voices.keys().copied().filter(|kind| self.holds(*kind, now_ms));
        let Some(next) = others.min_by_key(|kind| self.rank(*kind)) else { return Spoken::default() };
        self.speaker = Some(next);
        let newest = self.voices.get(&next).and_then(|voice| voice.newest.clone());
        let Some(Newest { mut observation, started_ms, .. }) = newest else { return Spoken::default() };
        // It began when it was heard first, not now.
        observation.started_ms = Some(started_ms);
        let mut spoken = Spoken::default();
        match self.known(&observation, started_ms) {
            Some(known) => spoken.plays.extend(known.completed(observation)),
            None => {
                self.remember(&observation, started_ms);
                spoken.plays.push(observation);
            }
        }
        spoken
    }

    /// Whether the source hears something at this moment, as far as anybody knows.
    fn holds(&self, source: SourceKind, now_ms: i64) -> bool {
        let Some(voice) = self.voices.get(&source).filter(|voice| voice.is_here) else { return false };
        voice
            .newest
            .as_ref()
            .is_some_and(|newest| !newest.is_over && is_now(&newest.observation, newest.started_ms, now_ms))
    }

    fn rank(&self, source: SourceKind) -> usize {
        self.order.iter().position(|kind| *kind == source).unwrap_or(self.order.len())
    }

    /// The play that it is, if one source or another told of it.
    fn known(&mut self, observation: &Observation, started_ms: i64) -> Option<&mut Remembered> {
        let song = song(&observation.track);
        let is_named = |known: &Remembered| {
            (known.source == observation.source && known.identity == observation.identity)
                || known.also.iter().any(|(source, identity)| {
                    *source == observation.source && *identity == observation.identity
                })
        };
        let is_same = |known: &Remembered| {
            known.source != observation.source
                && !song.is_empty()
                && known.song == song
                && known.also.iter().all(|(source, _)| *source != observation.source)
                && (known.started_ms - started_ms).abs() <= SAME_WITHIN_MS
        };
        let at = self.remembered.iter().rposition(|known| is_named(known) || is_same(known))?;
        self.remembered.get_mut(at)
    }

    fn remember(&mut self, observation: &Observation, started_ms: i64) {
        self.remembered.push_back(Remembered {
            song: song(&observation.track),
            source: observation.source,
            identity: observation.identity.clone(),
            started_ms,
            track: observation.track.clone(),
            also: Vec::new(),
        });
        if self.remembered.len() > REMEMBERED_MAX {
            self.remembered.pop_front();
        }
    }
}

impl Remembered {
    /// The play under its own name, with what only the other source knows; nothing if that is nothing.
    fn completed(&mut self, other: Observation) -> Option<Observation> {
        let before = self.track.clone();
        // Under which name it is told, its first source has said.
        let unnamed = Track { artist: None, title: None, remix: None, cover: None, ..other.track };
        self.track.complete(unnamed);
        (self.track != before).then(|| Observation {
            source: self.source,
            identity: self.identity.clone(),
            track: self.track.clone(),
            started_ms: Some(self.started_ms),
            ..other
        })
    }
}

fn started(observation: &Observation, now_ms: i64) -> i64 {
    observation.started_ms.unwrap_or(now_ms)
}

fn is_now(observation: &Observation, started_ms: i64, now_ms: i64) -> bool {
    let may_be = observation.started_ms.is_some() || observation.arrival != Arrival::Found;
    may_be && is_fresh(started_ms, observation.track.duration_ms, now_ms)
}

/// Artist and title, without what programs write differently. Titles that hold the remix and those that do not are alike.
fn song(track: &Track) -> String {
    let title = track.display_title();
    let artist = track.artist.as_deref().unwrap_or_default();
    let plain = |text: &str| {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
    };
    match plain(&title) {
        title if title.is_empty() => String::new(),
        title => format!("{}\n{title}", plain(artist)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_795_291_800_000;
    const FIRST: SourceKind = SourceKind::VirtualDj;
    const SECOND: SourceKind = SourceKind::Text;

    fn heard(source: SourceKind, title: &str, started_s: i64) -> Observation {
        let mut observation = Observation::new(source, format!("{source}|{title}|{started_s}"));
        observation.track.title = Some(title.to_owned());
        observation.started_ms = Some(T + started_s * 1000);
        observation
    }

    /// What is told, in words, when the sources hear this.
    struct Booth(Speakers);

    impl Booth {
        fn new() -> Self {
            Self(Speakers::new(&[FIRST, SECOND]))
        }

        fn hears(&mut self, at_s: i64, observation: Observation) -> String {
            let spoken = self.0.plays(T + at_s * 1000, observation.source, vec![observation]);
            Self::words(spoken)
        }

        fn words(spoken: Spoken) -> String {
            let plays = spoken.plays.iter().map(|play| {
                format!("{} of {}", play.track.title.as_deref().unwrap_or_default(), play.source)
            });
            let left_out = spoken.left_out.iter().map(|_| "left out".to_owned());
            let stopped = spoken.stopped.then(|| "stopped".to_owned());
            plays.chain(left_out).chain(stopped).collect::<Vec<_>>().join(", ")
        }
    }

    #[test]
    fn the_first_named_speaks_while_it_hears_something() {
        let mut booth = Booth::new();
        assert_eq!(booth.hears(10, heard(SECOND, "a", 10)), "a of text");
        assert_eq!(booth.hears(20, heard(FIRST, "b", 20)), "b of virtualdj");
        assert_eq!(booth.hears(30, heard(SECOND, "c", 30)), "left out");
        assert_eq!(booth.0.speaker(), Some(FIRST));
        // Ten minutes without a word: its track, of unknown length, is over.
        assert_eq!(booth.hears(800, heard(SECOND, "d", 800)), "d of text");
        assert_eq!(booth.0.speaker(), Some(SECOND));
    }

    #[test]
    fn one_play_seen_by_two_is_one() {
        let mut booth = Booth::new();
        assert_eq!(booth.hears(10, heard(FIRST, "Glass Tide", 10)), "Glass Tide of virtualdj");
        assert_eq!(booth.hears(55, heard(SECOND, "glass tide!", 52)), "left out");
        let mut more = heard(SECOND, "Glass Tide", 52);
        more.track.bpm = Some(124.0);
        // Completed under its own name.
        let told = booth.0.plays(T + 56_000, SECOND, vec![more.clone()]);
        assert!(
            told.plays.is_empty() && told.left_out.len() == 1,
            "another identity of that second source is another play"
        );
        more.identity = format!("{SECOND}|glass tide!|52");
        let told = booth.0.plays(T + 57_000, SECOND, vec![more]);
        assert_eq!(told.plays.len(), 1);
        assert_eq!((told.plays[0].source, told.plays[0].track.bpm), (FIRST, Some(124.0)));
        assert_eq!(told.plays[0].track.title.as_deref(), Some("Glass Tide"));
    }

    #[test]
    fn when_the_speaker_is_gone_another_goes_on_with_what_it_heard() {
        let mut booth = Booth::new();
        booth.hears(10, heard(FIRST, "a", 10));
        assert_eq!(booth.hears(100, heard(SECOND, "b", 100)), "left out");
        assert_eq!(Booth::words(booth.0.is_here(T + 110_000, FIRST, false)), "b of text");
        assert_eq!(booth.0.speaker(), Some(SECOND));
        // It is back, with the same track, and then with another one.
        booth.0.is_here(T + 120_000, FIRST, true);
        assert_eq!(booth.0.speaker(), Some(SECOND));
        assert_eq!(booth.hears(200, heard(FIRST, "c", 200)), "c of virtualdj");
    }

    #[test]
    fn the_same_song_on_hand_over_goes_on() {
        let mut booth = Booth::new();
        booth.hears(10, heard(FIRST, "a", 10));
        booth.hears(55, heard(SECOND, "a", 50));
        assert_eq!(Booth::words(booth.0.is_here(T + 60_000, FIRST, false)), "");
        assert_eq!(booth.0.speaker(), Some(SECOND));
    }

    #[test]
    fn a_stop_counts_if_nobody_else_hears_anything() {
        let mut booth = Booth::new();
        booth.hears(10, heard(FIRST, "a", 10));
        booth.hears(20, heard(SECOND, "b", 20));
        assert_eq!(Booth::words(booth.0.stopped(T + 25_000, FIRST)), "b of text");
        assert_eq!(Booth::words(booth.0.stopped(T + 30_000, FIRST)), "");
        assert_eq!(Booth::words(booth.0.stopped(T + 30_000, SECOND)), "stopped");
    }

    #[test]
    fn what_is_past_is_told_whoever_saw_it_unless_it_was_told() {
        let mut booth = Booth::new();
        booth.hears(5000, heard(FIRST, "now", 4990));
        assert_eq!(booth.hears(5001, heard(SECOND, "missed", 100)), "missed of text");
        booth.hears(5002, heard(FIRST, "told", 1000));
        assert_eq!(booth.hears(5003, heard(SECOND, "told", 1040)), "left out");
    }
}
