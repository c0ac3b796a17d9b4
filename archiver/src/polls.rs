//! The poll of one floor and its votes, counted in memory, so that the counts live on while the database is away. Pure.
//!
//! A vote counts if it was said before the poll closed, however late it comes; on the floor it shows as long as the result
//! is shown, in the archive always.

use std::collections::HashMap;

use protocol::{DancerId, MessageId, Poll, PollOption};
use store::{LastPoll, PollRow, VoteRow};

/// How long a closed poll stays to be read.
pub const RESULT_SHOWN_MS: i64 = 60_000;

/// Dancers of one poll. What more of them say is stored, and counted here after a restart only.
const DANCERS_MAX: usize = 20_000;

/// Votes that [`Polls::load`] is to be given.
pub const VOTES_MAX: u32 = DANCERS_MAX as u32;

/// The poll that was asked last.
#[derive(Debug, Default)]
pub struct Polls {
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    id: MessageId,
    question: String,
    options: Vec<String>,
    asked_ms: i64,
    /// When it closes or closed.
    closes_ms: Option<i64>,
    /// When we heard that the DJ closed it: the result is shown from then on, however late that came.
    closed_heard_ms: Option<i64>,
    votes: HashMap<DancerId, (u8, i64)>,
    counted: Vec<u32>,
    /// Votes of which we do not know whose they are.
    folded: Vec<u32>,
    /// `folded` is what the archive says; before that it is what was published when we came.
    is_loaded: bool,
}

/// A poll as it is published.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub poll_id: MessageId,
    pub question: String,
    pub options: Vec<PollOption>,
    pub closes_ms: Option<i64>,
    pub closed: bool,
}

impl Polls {
    /// A new poll takes the place of the one before. An older one that comes late does not.
    pub fn ask(&mut self, row: &PollRow) {
        match &mut self.asked {
            Some(asked) if asked.id == row.id => {
                asked.asked_ms = row.asked_ms;
                asked.close(row.closes_ms);
                // It was published and never stored, and neither were its votes: they come again.
                if !std::mem::replace(&mut asked.is_loaded, true) {
                    asked.folded.fill(0);
                }
            }
            Some(asked) if (asked.asked_ms, asked.id) > (row.asked_ms, row.id) => {}
            _ => self.asked = Some(Asked::new(row, true)),
        }
    }

    /// The DJ closes it, if it was not closed before that.
    pub fn close(&mut self, poll: MessageId, at_ms: i64, now_ms: i64) {
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.id == poll) {
            if !asked.is_closed(now_ms) {
                asked.closed_heard_ms = Some(now_ms);
            }
            asked.close(Some(at_ms));
        }
    }

    /// Hears one vote; one that is older than what the dancer said since changes nothing.
    pub fn hear(&mut self, row: &VoteRow) {
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.id == row.poll_id) {
            asked.hear(row);
        }
    }

    /// Forgets who said it; it stays counted.
    pub fn forget(&mut self, dancer: &DancerId) {
        if let Some(asked) = &mut self.asked {
            asked.votes.remove(dancer);
        }
    }

    /// Takes over what the archive knows.
    pub fn load(&mut self, last: &LastPoll, rows: &[VoteRow]) {
        let LastPoll { poll, folded } = last;
        let is_known = self.asked.as_ref().is_some_and(|asked| asked.id == poll.id);
        let is_older = self.asked.as_ref().is_some_and(|asked| asked.asked_ms > poll.asked_ms);
        if is_older && !is_known {
            return;
        }
        if !is_known {
            self.asked = Some(Asked::new(poll, true));
        }
        if let Some(asked) = &mut self.asked {
            asked.asked_ms = poll.asked_ms;
            asked.close(poll.closes_ms);
            asked.folded = (0..asked.options.len()).map(|at| folded.get(at).copied().unwrap_or(0)).collect();
            asked.is_loaded = true;
            rows.iter().for_each(|row| asked.hear(row));
        }
    }

    /// Takes up what was published before we came, for the case that the database is away.
    pub fn resume(&mut self, poll: Poll) {
        if self.asked.as_ref().is_some_and(|asked| asked.id == poll.poll_id || asked.asked_ms > poll.at_ms) {
            return;
        }
        let (options, folded): (Vec<String>, Vec<u32>) =
            poll.options.into_iter().map(|option| (option.text, option.votes)).unzip();
        self.asked = Some(Asked {
            id: poll.poll_id,
            question: poll.question,
            asked_ms: poll.at_ms,
            closes_ms: poll.closes_ms,
            closed_heard_ms: None,
            votes: HashMap::new(),
            counted: vec![0; options.len()],
            folded,
            options,
            is_loaded: false,
        });
    }

    /// What is to be read on the floor.
    pub fn shown(&self, now_ms: i64) -> Option<Shown> {
        let asked = self.asked.as_ref()?;
        let closed_ms =
            asked.closes_ms.map(|closes_ms| closes_ms.max(asked.closed_heard_ms.unwrap_or(i64::MIN)));
        if closed_ms.is_some_and(|closed_ms| closed_ms.saturating_add(RESULT_SHOWN_MS) <= now_ms) {
            return None;
        }
        let votes = asked.counted.iter().zip(&asked.folded).map(|(one, other)| one.saturating_add(*other));
        let option = |(text, votes): (&String, u32)| PollOption { text: text.clone(), votes };
        Some(Shown {
            poll_id: asked.id,
            question: asked.question.clone(),
            options: asked.options.iter().zip(votes).map(option).collect(),
            closes_ms: asked.closes_ms,
            closed: asked.is_closed(now_ms),
        })
    }
}

impl Asked {
    fn new(row: &PollRow, is_loaded: bool) -> Self {
        Self {
            id: row.id,
            question: row.question.clone(),
            options: row.options.clone(),
            asked_ms: row.asked_ms,
            closes_ms: row.closes_ms,
            closed_heard_ms: None,
            votes: HashMap::new(),
            counted: vec![0; row.options.len()],
            folded: vec![0; row.options.len()],
            is_loaded,
        }
    }

    fn is_closed(&self, now_ms: i64) -> bool {
        self.closes_ms.is_some_and(|closes_ms| closes_ms <= now_ms)
    }

    /// The earliest time counts.
    fn close(&mut self, at_ms: Option<i64>) {
        self.closes_ms = [self.closes_ms, at_ms].into_iter().flatten().min();
    }

    fn hear(&mut self, row: &VoteRow) {
        let is_in_time = self.closes_ms.is_none_or(|closes_ms| row.at_ms <= closes_ms);
        let is_room = self.votes.len() < DANCERS_MAX || self.votes.contains_key(&row.dancer);
        if !is_in_time || !is_room || usize::from(row.option) >= self.options.len() {
            return;
        }
        let before = self.votes.get(&row.dancer).copied();
        if before.is_some_and(|(_, at_ms)| at_ms >= row.at_ms) {
            return;
        }
        self.votes.insert(row.dancer.clone(), (row.option, row.at_ms));
        if let Some(number) = before.and_then(|(option, _)| self.counted.get_mut(usize::from(option))) {
            *number = number.saturating_sub(1);
        }
        if let Some(number) = self.counted.get_mut(usize::from(row.option)) {
            *number = number.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::V1;

    use super::*;

    fn id(n: u8) -> MessageId {
        MessageId::at(i64::from(n), [n; 10])
    }

    fn row(n: u8, asked_ms: i64, closes_ms: Option<i64>) -> PollRow {
        PollRow {
            id: id(n),
            floor: "tonight/main".parse().unwrap(),
            question: "What next?".into(),
            options: vec!["Bachata".into(), "Salsa".into()],
            by: None,
            asked_ms,
            closes_ms,
        }
    }

    fn vote(n: u8, dancer: &str, option: u8, at_ms: i64) -> VoteRow {
        let floor = "tonight/main".parse().unwrap();
        VoteRow { floor, poll_id: id(n), dancer: dancer.parse().unwrap(), option, at_ms }
    }

    fn asked(closes_ms: Option<i64>) -> Polls {
        let mut polls = Polls::default();
        polls.ask(&row(1, 10, closes_ms));
        polls
    }

    /// Which poll is shown, its counts, and whether it is closed.
    fn shown(polls: &Polls, now_ms: i64) -> Option<(MessageId, u32, u32, bool)> {
        let shown = polls.shown(now_ms)?;
        Some((shown.poll_id, shown.options[0].votes, shown.options[1].votes, shown.closed))
    }

    #[test]
    fn a_dancer_counts_once_and_the_last_vote_counts() {
        let mut polls = asked(None);
        let votes =
            [vote(1, "one", 0, 20), vote(1, "one", 1, 30), vote(1, "one", 0, 25), vote(1, "two", 1, 20)];
        votes.iter().for_each(|vote| polls.hear(vote));
        assert_eq!(shown(&polls, 40), Some((id(1), 0, 2, false)));
        polls.hear(&vote(1, "three", 2, 20));
        polls.hear(&vote(2, "three", 0, 20));
        assert_eq!(shown(&polls, 40), Some((id(1), 0, 2, false)), "no such option, no such poll");
    }

    #[test]
    fn a_closed_poll_shows_its_result_and_goes() {
        let mut polls = asked(Some(100));
        polls.hear(&vote(1, "one", 0, 100));
        polls.hear(&vote(1, "two", 0, 101));
        assert_eq!(shown(&polls, 99), Some((id(1), 1, 0, false)));
        polls.close(id(2), 50, 60);
        polls.close(id(1), 60, 60);
        polls.close(id(1), 70, 80);
        assert_eq!(shown(&polls, 99), Some((id(1), 1, 0, true)));
        polls.hear(&vote(1, "three", 1, 60));
        assert_eq!(shown(&polls, 60 + RESULT_SHOWN_MS - 1), Some((id(1), 1, 1, true)), "said in time");
        assert_eq!(shown(&polls, 60 + RESULT_SHOWN_MS), None);
    }

    #[test]
    fn a_result_is_shown_however_late_the_closing_comes() {
        let mut polls = asked(None);
        let late_ms = 60 + 10 * RESULT_SHOWN_MS;
        polls.close(id(1), 60, late_ms);
        assert_eq!(shown(&polls, late_ms + RESULT_SHOWN_MS - 1), Some((id(1), 0, 0, true)));
        polls.close(id(1), 60, late_ms + RESULT_SHOWN_MS);
        assert_eq!(shown(&polls, late_ms + RESULT_SHOWN_MS), None, "closed once");
    }

    #[test]
    fn a_new_poll_takes_the_place_and_an_old_one_does_not() {
        let mut polls = asked(None);
        polls.ask(&row(2, 20, None));
        polls.ask(&row(1, 10, None));
        polls.hear(&vote(2, "one", 0, 30));
        polls.ask(&row(2, 20, None));
        assert_eq!(shown(&polls, 40), Some((id(2), 1, 0, false)));
    }

    fn published(votes: u32) -> Poll {
        let option = |text: &str| PollOption { text: text.into(), votes };
        Poll {
            v: V1,
            id: id(9),
            at_ms: 30,
            poll_id: id(1),
            question: "What next?".into(),
            options: vec![option("Bachata"), option("Salsa")],
            closes_ms: None,
            closed: false,
        }
    }

    #[test]
    fn what_was_published_counts_until_the_archive_is_there() {
        let mut polls = Polls::default();
        polls.resume(published(3));
        polls.hear(&vote(1, "one", 0, 40));
        assert_eq!(shown(&polls, 50), Some((id(1), 4, 3, false)));
        let last = LastPoll { poll: row(1, 10, None), folded: vec![1, 0] };
        polls.load(&last, &[vote(1, "one", 1, 20), vote(1, "two", 1, 20)]);
        assert_eq!(shown(&polls, 50), Some((id(1), 2, 1, false)));
        polls.resume(published(7));
        assert_eq!(shown(&polls, 50), Some((id(1), 2, 1, false)), "our own words change nothing");
        polls.load(&LastPoll { poll: row(2, 5, None), folded: vec![9, 9] }, &[]);
        assert_eq!(shown(&polls, 50), Some((id(1), 2, 1, false)), "neither does an older poll");
    }

    #[test]
    fn what_was_published_and_never_stored_comes_again() {
        let mut polls = Polls::default();
        polls.resume(published(1));
        polls.ask(&row(1, 10, None));
        polls.hear(&vote(1, "one", 0, 20));
        assert_eq!(shown(&polls, 50), Some((id(1), 1, 0, false)));
    }

    #[test]
    fn a_forgotten_dancer_stays_counted_and_dancers_do_not_fill_the_memory() {
        let mut polls = asked(None);
        polls.hear(&vote(1, "one", 0, 20));
        polls.forget(&"one".parse().unwrap());
        for n in 0..=DANCERS_MAX {
            polls.hear(&vote(1, &format!("d{n}"), 1, 20));
        }
        assert_eq!(shown(&polls, 50), Some((id(1), 1, DANCERS_MAX as u32, false)));
    }
}
