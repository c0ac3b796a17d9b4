//! When what dancers say about the current play is worth an event: many likes at once, or another tempo wish of most of
//! them. Pure.

use std::collections::VecDeque;

use protocol::{FloorEventType, PlayId, TempoTally, TempoWish};
use store::Tally;

/// Likes are many if they come within this time.
const BURST_MS: i64 = 10_000;

/// So many, or a tenth of the listeners.
const BURST_LIKES_MIN: u32 = 5;

/// Fewer wishes have no majority.
const WISHES_MIN: u32 = 5;

/// A floor has either event at most once in this time.
const REST_MS: i64 = 30_000;

/// What the dancers of one floor did in the last moments.
#[derive(Debug, Default)]
pub struct Crowd {
    /// The play, and whether the archive's part is in its tally.
    about: (Option<PlayId>, bool),
    /// Likes of the last moments, the first at the beginning of the time that counts.
    likes: VecDeque<(i64, u32)>,
    burst_ms: Option<i64>,
    majority: Option<TempoWish>,
    shift_ms: Option<i64>,
}

impl Crowd {
    /// Sees the tally of the current play, at every tick. Returns what to tell, and the number that goes with it.
    pub fn observe(
        &mut self,
        play: Option<PlayId>,
        is_loaded: bool,
        tally: Tally,
        listeners: u32,
        now_ms: i64,
    ) -> Vec<(FloorEventType, u32)> {
        let majority = majority(tally.tempo);
        if std::mem::replace(&mut self.about, (play, is_loaded)) != (play, is_loaded) {
            // What is there already has not just happened.
            self.likes.clear();
            self.majority = majority.map(|(wish, _)| wish);
        }
        let rested = |told_ms: Option<i64>| told_ms.is_none_or(|told_ms| now_ms - told_ms >= REST_MS);
        let mut told = Vec::new();

        self.likes.push_back((now_ms, tally.likes));
        while self.likes.get(1).is_some_and(|(at_ms, _)| *at_ms <= now_ms - BURST_MS) {
            self.likes.pop_front();
        }
        let before = self.likes.front().map_or(0, |(_, likes)| *likes);
        let gained = tally.likes.saturating_sub(before);
        if gained >= BURST_LIKES_MIN.max(listeners.div_ceil(10)) && rested(self.burst_ms) {
            self.burst_ms = Some(now_ms);
            told.push((FloorEventType::LikeBurst, gained));
        }
        // Most of them like it as it is, until they say otherwise.
        if let Some((wish, wishes)) = majority
            && self.majority.unwrap_or(TempoWish::Perfect) != wish
            && rested(self.shift_ms)
        {
            (self.majority, self.shift_ms) = (Some(wish), Some(now_ms));
            told.push((FloorEventType::TempoShift, wishes));
        }
        told
    }
}

/// What more than half of them wish, and how many that are.
fn majority(tempo: TempoTally) -> Option<(TempoWish, u32)> {
    let all = [
        (TempoWish::Slower, tempo.slower),
        (TempoWish::Perfect, tempo.perfect),
        (TempoWish::Faster, tempo.faster),
    ];
    let wishes = all.iter().fold(0u32, |sum, (_, wishes)| sum.saturating_add(*wishes));
    all.into_iter().find(|(_, most)| wishes >= WISHES_MIN && *most > wishes / 2)
}

#[cfg(test)]
mod tests {
    use FloorEventType::{LikeBurst, TempoShift};

    use super::*;

    /// A crowd and one play after the other, with the archive's part in its tally.
    struct Story {
        crowd: Crowd,
        play: u8,
        listeners: u32,
    }

    impl Story {
        fn new(listeners: u32) -> Self {
            let mut story = Self { crowd: Crowd::default(), play: 1, listeners };
            assert_eq!(story.likes(0, 0), []);
            story
        }

        fn see(&mut self, at_s: i64, tally: Tally) -> Vec<(FloorEventType, u32)> {
            let play = PlayId::at(1, [self.play; 10]);
            self.crowd.observe(Some(play), true, tally, self.listeners, at_s * 1_000)
        }

        fn likes(&mut self, at_s: i64, likes: u32) -> Vec<(FloorEventType, u32)> {
            self.see(at_s, Tally { likes, ..Tally::default() })
        }

        fn wishes(
            &mut self,
            at_s: i64,
            (slower, perfect, faster): (u32, u32, u32),
        ) -> Vec<(FloorEventType, u32)> {
            let tempo = TempoTally { slower, perfect, faster };
            self.see(at_s, Tally { tempo, ..Tally::default() })
        }
    }

    #[test]
    fn five_likes_within_ten_seconds_are_a_burst() {
        let mut story = Story::new(0);
        assert_eq!(story.likes(1, 4), []);
        assert_eq!(story.likes(9, 6), [(LikeBurst, 6)]);
        assert_eq!(story.likes(20, 40), [], "not again so soon");
        assert_eq!(story.likes(39, 44), []);
        assert_eq!(story.likes(40, 45), [(LikeBurst, 5)]);
    }

    #[test]
    fn slowly_coming_likes_are_none() {
        let mut story = Story::new(0);
        for at_s in 1..100 {
            assert_eq!(story.likes(at_s * 3, at_s as u32), []);
        }
    }

    #[test]
    fn of_many_listeners_a_tenth_has_to_like() {
        let mut story = Story::new(101);
        assert_eq!(story.likes(1, 10), []);
        assert_eq!(story.likes(2, 11), [(LikeBurst, 11)]);
    }

    #[test]
    fn likes_from_before_have_not_just_happened() {
        let mut crowd = Crowd::default();
        let play = Some(PlayId::at(1, [1; 10]));
        let tally = |likes| Tally { likes, ..Tally::default() };
        assert_eq!(crowd.observe(play, false, tally(0), 0, 0), []);
        assert_eq!(crowd.observe(play, true, tally(50), 0, 500), []);
        assert_eq!(crowd.observe(None, false, tally(0), 0, 900), []);
        assert_eq!(crowd.observe(play, true, tally(50), 0, 1_000), []);
    }

    #[test]
    fn a_change_of_the_majority_is_told() {
        let mut story = Story::new(0);
        assert_eq!(story.wishes(1, (4, 0, 0)), [], "too few");
        assert_eq!(story.wishes(2, (4, 1, 0)), [(TempoShift, 4)]);
        assert_eq!(story.wishes(3, (4, 4, 0)), [], "no majority");
        assert_eq!(story.wishes(4, (5, 4, 0)), [], "the same one");
        assert_eq!(story.wishes(5, (4, 0, 9)), [], "not again so soon");
        assert_eq!(story.wishes(32, (4, 0, 9)), [(TempoShift, 9)]);
        story.play = 2;
        assert_eq!(story.wishes(65, (0, 5, 0)), [], "as it was");
        story.play = 3;
        assert_eq!(story.wishes(70, (0, 0, 0)), []);
        assert_eq!(story.wishes(71, (0, 0, 5)), [(TempoShift, 5)]);
    }
}
