//! What a producer has said and the archive has not confirmed: sent in order, resent until the cursor
//! has passed it. Pure; the caller brings the clock and does the sending.

use std::collections::VecDeque;

/// Sent and unconfirmed at once. More waits here until the cursor moves: the archive sets the pace.
const WINDOW: usize = 256;

/// How long the cursor may stand still before everything unconfirmed is sent again.
const RETRY_AFTER_MS: i64 = 3_000;

/// The bound when the archive stays silent: each retry waits twice as long as the one before.
const RETRY_AFTER_MS_MAX: i64 = 30_000;

/// Unconfirmed entries in the order of their `seq`. Its bound is that of the journal behind it, which
/// refuses new entries when it is full.
#[derive(Debug, Clone)]
pub struct Outbox<T> {
    entries: VecDeque<(u64, T)>,
    /// How many of `entries`, from the front, were handed out since the last rewind.
    sent: usize,
    /// When something was last sent or confirmed.
    moved_ms: i64,
    retry_after_ms: i64,
    /// Whose turn it is to archive, as the event's `info` said last.
    term: Option<u64>,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), sent: 0, moved_ms: 0, retry_after_ms: RETRY_AFTER_MS, term: None }
    }
}

impl<T> Outbox<T> {
    /// Adds an entry. `seq` must be greater than any before it.
    pub fn push(&mut self, seq: u64, entry: T) {
        debug_assert!(self.entries.back().is_none_or(|(last, _)| *last < seq));
        self.entries.push_back((seq, entry));
    }

    /// The next entry to send, with its `seq` and the lowest one still held. `None` when all are sent or
    /// the window is full. The caller says [`Outbox::sent`] when it is on its way.
    pub fn next(&self) -> Option<(u64, u64, &T)> {
        if self.sent >= WINDOW {
            return None;
        }
        let held_from = self.entries.front()?.0;
        self.entries.get(self.sent).map(|(seq, entry)| (*seq, held_from, entry))
    }

    /// The entry from [`Outbox::next`] is on its way.
    pub fn sent(&mut self, now_ms: i64) {
        self.sent = (self.sent + 1).min(self.entries.len());
        self.moved_ms = now_ms;
    }

    /// Everything up to `seq` is committed. Returns whether that was news.
    pub fn confirm(&mut self, seq: u64, now_ms: i64) -> bool {
        let before = self.entries.len();
        while self.entries.front().is_some_and(|(first, _)| *first <= seq) {
            self.entries.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
        let news = self.entries.len() < before;
        if news {
            self.moved_ms = now_ms;
            self.retry_after_ms = RETRY_AFTER_MS;
        }
        news
    }

    /// Starts over from the lowest unconfirmed entry: after a reconnect, or when another archiver begins.
    pub fn rewind(&mut self) {
        self.sent = 0;
        self.retry_after_ms = RETRY_AFTER_MS;
    }

    /// Starts over when another archiver begins: what the one before had not stored is gone with it. Returns whether it did.
    pub fn archived_by(&mut self, term: Option<u64>) -> bool {
        let is_another = self.term != term;
        if is_another {
            self.term = term;
            self.rewind();
        }
        is_another
    }

    /// Starts over if the cursor has stood still for too long. Returns whether it did.
    pub fn rewind_if_stuck(&mut self, now_ms: i64) -> bool {
        let stuck = self.sent > 0 && now_ms - self.moved_ms >= self.retry_after_ms;
        if stuck {
            self.sent = 0;
            self.moved_ms = now_ms;
            self.retry_after_ms = (self.retry_after_ms * 2).min(RETRY_AFTER_MS_MAX);
        }
        stuck
    }

    /// Whether nothing comes after the next entry.
    pub fn is_last(&self) -> bool {
        self.sent + 1 >= self.entries.len()
    }

    /// Entries not confirmed yet.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether everything is confirmed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox<char>, now_ms: i64) -> Vec<(u64, u64, char)> {
        let mut out = Vec::new();
        while let Some((seq, held_from, entry)) = outbox.next() {
            out.push((seq, held_from, *entry));
            outbox.sent(now_ms);
        }
        out
    }

    fn filled() -> Outbox<char> {
        let mut outbox = Outbox::default();
        for (seq, c) in (1..).zip("abc".chars()) {
            outbox.push(seq, c);
        }
        outbox
    }

    #[test]
    fn in_order_once_until_confirmed() {
        let mut outbox = filled();
        assert_eq!(drain(&mut outbox, 0), [(1, 1, 'a'), (2, 1, 'b'), (3, 1, 'c')]);
        assert_eq!(drain(&mut outbox, 0), []);
        assert!(outbox.confirm(2, 0));
        assert!(!outbox.confirm(2, 0));
        outbox.push(4, 'd');
        assert_eq!(drain(&mut outbox, 0), [(4, 3, 'd')]);
    }

    #[test]
    fn a_reconnect_sends_all_that_is_unconfirmed() {
        let mut outbox = filled();
        drain(&mut outbox, 0);
        outbox.confirm(1, 0);
        outbox.rewind();
        assert_eq!(drain(&mut outbox, 0), [(2, 2, 'b'), (3, 2, 'c')]);
    }

    #[test]
    fn a_cursor_that_stands_still_is_asked_again_ever_more_slowly() {
        let mut outbox = filled();
        assert!(!outbox.rewind_if_stuck(1_000_000), "nothing was sent");
        drain(&mut outbox, 1_000_000);
        assert!(!outbox.rewind_if_stuck(1_002_999));
        assert!(outbox.rewind_if_stuck(1_003_000));
        assert_eq!(drain(&mut outbox, 1_003_000).len(), 3);
        assert!(!outbox.rewind_if_stuck(1_008_999));
        assert!(outbox.rewind_if_stuck(1_009_000));
        outbox.rewind();
        drain(&mut outbox, 1_010_000);
        assert!(outbox.rewind_if_stuck(1_013_000), "who begins anew is asked as soon as at first");
        drain(&mut outbox, 1_013_000);
        assert!(outbox.confirm(1, 1_014_000));
        drain(&mut outbox, 1_014_000);
        assert!(outbox.rewind_if_stuck(1_017_000), "a confirmation makes it quick again");
    }

    #[test]
    fn another_archiver_is_sent_all_that_is_unconfirmed_once() {
        let mut outbox = filled();
        outbox.archived_by(Some(1));
        drain(&mut outbox, 0);
        outbox.archived_by(Some(1));
        assert_eq!(drain(&mut outbox, 0), []);
        outbox.archived_by(Some(2));
        assert_eq!(drain(&mut outbox, 0).len(), 3);
    }

    #[test]
    fn the_archive_sets_the_pace() {
        let mut outbox = Outbox::default();
        for seq in 1..=1000 {
            outbox.push(seq, 'x');
        }
        assert_eq!(drain(&mut outbox, 0).len(), WINDOW);
        outbox.confirm(10, 0);
        assert_eq!(drain(&mut outbox, 0).len(), 10);
    }

    #[test]
    fn a_confirmation_from_the_future_empties_it() {
        let mut outbox = filled();
        outbox.confirm(99, 0);
        assert!(outbox.is_empty() && outbox.next().is_none());
    }
}
