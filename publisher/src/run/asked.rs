//! What the DJ asks of his desk, from elsewhere or at the laptop. Everything goes through the journal, like what the
//! source says.
//!
//! A request that is done twice does no harm: each names the play or the set that it is about. One that comes again after
//! others must not undo them, so the last of those that were dealt with are in the journal.

use protocol::{DeskRequest, Play, PlayId, PlayKind, Request, SetId, SetRef};

use super::{Desk, Learned, Noted, STILL_HEARD_MS, WHOLE_SECONDS_MS, now_ms, on_disk};
use crate::journal::{Draft, OpenSet, WriteError};

/// Requests remembered as dealt with: several full lists.
const ANSWERED_MAX: usize = 64;

/// Plays of the open set that can be taken back or corrected: several long nights.
const TOLD_MAX: usize = 4096;

impl Desk {
    /// Carries out what is asked, in order, and answers. While the journal cannot be written everything waits.
    pub(super) fn carry_out(&mut self) {
        if self.asked.is_empty() || !self.is_settled() || now_ms() - self.write_failed_ms < 1_000 {
            return;
        }
        let asked = std::mem::take(&mut self.asked);
        for (at, DeskRequest { id, request, .. }) in asked.iter().enumerate() {
            let known = self.memory.answered.iter().position(|answered| answered == id);
            let is_done = match known {
                // It is answered again, for an archiver that has not heard it.
                Some(known) => self.memory.answered.remove(known).is_some(),
                None => self.fulfil(request),
            };
            if !is_done || !self.is_settled() {
                self.asked = asked[at..].to_vec();
                return;
            }
            self.memory.answered.push_back(*id);
            if self.memory.answered.len() > ANSWERED_MAX {
                self.memory.answered.pop_front();
            }
        }
        // If the disk does not take it, the same requests may be carried out once more after a restart.
        self.remember();
        self.tell_state();
    }

    /// Does what the DJ clicks, in order, as soon as the journal takes it.
    pub(super) fn wish(&mut self, request: Request) {
        self.status.note(now_ms(), format!("you: {}", in_words(&request)));
        self.wishes.push_back(request);
        self.grant();
    }

    pub(super) fn grant(&mut self) {
        while self.is_settled() && now_ms() - self.write_failed_ms >= 1_000 {
            let Some(request) = self.wishes.pop_front() else { return };
            if !self.fulfil(&request) {
                self.wishes.push_front(request);
                return;
            }
        }
    }

    /// Says no if it has to be tried again.
    fn fulfil(&mut self, request: &Request) -> bool {
        tracing::info!(?request, "the DJ asks");
        match request {
            Request::Hide { play_id, on } => self.hide(*play_id, *on),
            Request::Withdraw { play_id } => self.withdraw(*play_id),
            Request::Correct { play_id, artist, title } => {
                self.correct(*play_id, artist.clone(), title.clone())
            }
            Request::EndSet { set_id } => self.end_set(*set_id),
            Request::GoLive => return self.go_live(),
        }
        true
    }

    /// Keeps the play that is on from the floor, or shows it after all. The next one is shown by itself.
    pub(crate) fn hide(&mut self, play: PlayId, on: bool) {
        let is_hidden = self.memory.hidden == Some(play);
        if on == is_hidden || (on && self.now.current() != Some(play)) {
            return;
        }
        self.memory.hidden = on.then_some(play);
        self.remember();
        self.tell_state();
    }

    /// Takes back a play of the open set, also an earlier one.
    pub(crate) fn withdraw(&mut self, play: PlayId) {
        let Some(told) = self.told_of(play) else { return };
        self.now.taken_back(play);
        self.note_again(Noted { kind: PlayKind::Withdrawn, ..told });
    }

    /// Says what a play of the open set really was. An absent artist stays what it was.
    pub(crate) fn correct(&mut self, play: PlayId, artist: Option<String>, title: String) {
        let Some(mut told) = self.told_of(play).filter(|_| !title.is_empty()) else { return };
        let track = &mut told.play.track;
        if track.title.as_deref() != Some(&*title) {
            // It was that of the other title.
            track.remix = None;
        }
        track.title = Some(title);
        track.artist = artist.or(track.artist.take());
        self.now.corrected(&told.play);
        self.note_again(Noted { kind: PlayKind::Corrected, is_corrected: true, ..told });
    }

    /// The same of a play that was told a while ago, or by an earlier process.
    pub(super) fn learn_of_told(&mut self, learned: &Learned) {
        let Some(mut told) = self.told_of(learned.play) else { return };
        told.is_named &= !told.is_corrected;
        let is_news = learned.fill(&mut told.play.track, &mut told.is_named);
        if self.skip.names(&told.play.track, learned.comment.as_deref()) {
            self.withdraw(learned.play);
        } else if is_news {
            self.note_again(Noted { kind: PlayKind::Corrected, ..told });
        }
    }

    /// Ends that set, if it is the open one. From then on the source is read and nothing is told, until the DJ goes live.
    pub(crate) fn end_set(&mut self, set: SetId) {
        if self.journal.open_set().is_none_or(|open| open.set.id != set) || self.is_closing {
            return;
        }
        let now_ms = now_ms();
        let current = self.now.current();
        let decisions = self.now.set_closed(now_ms);
        self.draft(decisions);
        tracing::info!(set.id = %set, "the set is over");
        self.close_set(current, now_ms);
    }

    /// Opens a set, if none is open. What is heard at this moment is its first play, unless it was told in the set before.
    /// Says no while the journal cannot be written.
    pub(crate) fn go_live(&mut self) -> bool {
        if self.is_closing {
            return false;
        }
        if self.journal.open_set().is_none()
            && let Err(error) = self.open_set()
        {
            self.write_failed_ms = now_ms();
            tracing::error!("cannot go live: {:#}", anyhow::Error::from(error));
            return false;
        }
        true
    }

    pub(super) fn open_set(&mut self) -> Result<(), WriteError> {
        let now_ms = now_ms();
        let set = SetRef { id: self.ids.set(now_ms), started_ms: now_ms, dj: self.dj.clone() };
        tracing::info!(set.id = %set.id, floor = %self.address, "on air");
        let open = OpenSet { floor: self.address.floor.clone(), set };
        on_disk(|| self.journal.set_opened(open))?;
        self.told.clear();
        self.ended_empty = None;
        let decisions = self.now.set_opened(now_ms, now_ms - WHOLE_SECONDS_MS);
        self.note(decisions);
        self.tell_state();
        Ok(())
    }

    /// Reports with the last play of the open set that the set is over, and closes it when that is on disk. `heard` is the
    /// play that ends just now.
    pub(super) fn close_set(&mut self, heard: Option<PlayId>, now_ms: i64) {
        let drafted: Vec<Noted> = self.unwritten.iter().map(|draft| draft.report.clone()).collect();
        let is_newest = |told: &&Noted| drafted.iter().all(|new| new.play.id != told.play.id);
        let mut all: Vec<&Noted> = self.told.iter().filter(is_newest).collect();
        all.extend(&drafted);
        // If nothing was played after all, the set is still over.
        let last = all.iter().max_by_key(|told| (told.kind != PlayKind::Withdrawn, told.play.started_ms));
        if all.iter().any(|told| told.set_ended) {
            // It was said, and the journal did not close it.
        } else if let Some(last) = last.map(|last| (*last).clone()) {
            let kind = if last.kind == PlayKind::Withdrawn { last.kind } else { PlayKind::Ended };
            let ended_ms = if heard == Some(last.play.id) { now_ms } else { ended(&last.play).min(now_ms) };
            let play = Play { ended_ms: last.play.ended_ms.or(Some(ended_ms)), ..last.play };
            let report = Noted { id: self.ids.message(now_ms), kind, play, set_ended: true, ..last };
            let said = self.unwritten.last_mut().map(|draft| &mut draft.report);
            match said.filter(|said| said.kind == kind && said.play.id == report.play.id) {
                Some(said) => *said = report,
                None => self.unwritten.push(Draft { identity: None, report }),
            }
        } else {
            self.ended_empty = self.journal.open_set().map(|open| open.set.clone());
        }
        self.is_closing = true;
        self.write();
    }

    /// What is decided is on disk.
    fn is_settled(&self) -> bool {
        self.unwritten.is_empty() && !self.is_closing
    }

    /// The newest report of a play of the open set, unless it was taken back.
    fn told_of(&self, play: PlayId) -> Option<Noted> {
        let told = self.told.iter().find(|told| told.play.id == play)?;
        let is_open =
            self.journal.open_set().is_some_and(|open| open.set.id == told.set.id) && !self.is_closing;
        (is_open && told.kind != PlayKind::Withdrawn).then(|| told.clone())
    }

    fn note_again(&mut self, told: Noted) {
        let report = Noted { id: self.ids.message(now_ms()), ..told };
        self.unwritten.push(Draft { identity: None, report });
        self.write();
    }

    /// Takes note of a report that is on disk.
    pub(super) fn tell(&mut self, report: Noted) {
        match self.told.iter_mut().find(|told| told.play.id == report.play.id) {
            Some(told) => *told = report,
            None => {
                self.told.push_back(report);
                if self.told.len() > TOLD_MAX {
                    self.told.pop_front();
                }
            }
        }
    }

    fn remember(&mut self) {
        if let Err(error) = on_disk(|| self.journal.remember(self.memory.clone())) {
            tracing::warn!("cannot write to the journal: {:#}", anyhow::Error::from(error));
        }
    }
}

fn in_words(request: &Request) -> &'static str {
    match request {
        Request::Hide { on: true, .. } => "hide this track",
        Request::Hide { on: false, .. } => "show this track after all",
        Request::Withdraw { .. } => "take a play back",
        Request::Correct { .. } => "correct a play",
        Request::EndSet { .. } => "end the set",
        Request::GoLive => "go live",
    }
}

/// When a play was over that nobody ended.
fn ended(play: &Play) -> i64 {
    let length_ms = play.track.duration_ms.unwrap_or(STILL_HEARD_MS);
    play.ended_ms.unwrap_or(play.started_ms.saturating_add(length_ms))
}
