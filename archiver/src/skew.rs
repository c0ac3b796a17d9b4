//! How far a desk's clock is from ours, as far as its messages tell. Pure.

/// How long an observation counts, at most twice.
const WINDOW_MS: i64 = 10 * 60_000;

/// A message is never early, only late: the one that seems to come from the furthest ahead was on its way for the
/// shortest time, and tells best.
#[derive(Debug, Clone, Copy, Default)]
pub struct Skew {
    since_ms: i64,
    now: Option<i64>,
    before: Option<i64>,
}

impl Skew {
    /// A message that the desk dated `at_ms` came now. What waited somewhere does no harm.
    pub fn observe(&mut self, at_ms: i64, now_ms: i64) {
        if now_ms.saturating_sub(self.since_ms) >= WINDOW_MS {
            self.before = self.now.take();
            self.since_ms = now_ms;
        }
        let ahead = at_ms.saturating_sub(now_ms);
        self.now = Some(self.now.map_or(ahead, |known| known.max(ahead)));
    }

    /// Milliseconds that the desk's clock is ahead of ours; behind if negative. `None`: not known.
    pub fn ahead_ms(&self) -> Option<i64> {
        self.now.max(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_291_000_000;

    #[test]
    fn what_was_late_does_not_look_like_a_slow_clock() {
        let mut skew = Skew::default();
        assert_eq!(skew.ahead_ms(), None);
        // Two minutes ahead; the first message waited for an hour.
        for (late_ms, at) in [(3_600_000, START), (40, START + 1_000), (900, START + 2_000)] {
            skew.observe(at + 120_000 - late_ms, at);
        }
        assert_eq!(skew.ahead_ms(), Some(119_960));
    }

    #[test]
    fn a_clock_that_was_set_right_is_right_after_a_while() {
        let mut skew = Skew::default();
        skew.observe(START + 60_000, START);
        for minute in 1..=21 {
            let now_ms = START + minute * 60_000;
            skew.observe(now_ms - 30, now_ms);
        }
        assert_eq!(skew.ahead_ms(), Some(-30));
    }

    #[test]
    fn numbers_from_outside_cannot_overflow() {
        let mut skew = Skew::default();
        skew.observe(i64::MAX, START);
        skew.observe(i64::MIN, -START);
        assert!(skew.ahead_ms().is_some());
    }
}
