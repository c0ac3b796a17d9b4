//! What the DJ's console and the dancers' polls say: from an input to what the floor shows, and to the record of it.

use std::time::Instant;

use protocol::{
    Announcement, DeskRequest, DeskRequests, DeskTopic, FloorAddress, FloorTopic, Input, InputReport,
};
use protocol::{FloorEventType, Message, Poll, ProducerId, V1, message};
use store::{AnnouncementRow, LastSongRow, PollRow, Record, RequestRow, VoteRow};

use super::{Archiver, Taken, reaction};
use crate::requests::Added;

/// What is dated further ahead of our clock is dated anew: a wrong clock must not make one thing the newest for hours.
const AHEAD_MS: i64 = 60_000;

/// As many as fit on a phone.
const OPTIONS: std::ops::RangeInclusive<usize> = 2..=6;

impl Archiver {
    /// The record of an input, if it is to be kept; or why it is refused.
    pub(super) fn understood(
        &self,
        address: &FloorAddress,
        producer: &ProducerId,
        report: &InputReport,
        now_ms: i64,
    ) -> Result<Option<Record>, &'static str> {
        // A DJ could like his own plays, as whoever he likes.
        if report.input.dancer().is_some() && self.is_desk(producer) {
            return Err("a desk does not speak for dancers");
        }
        if let Some(row) = reaction(report) {
            return Ok(Some(Record::Reaction(row)));
        }
        if let Input::Forget { dancer } = &report.input {
            return Ok(Some(Record::Forget { dancer: dancer.clone(), at_ms: report.at_ms }));
        }
        if !self.floors.contains_key(address) {
            return Err("this event has no such floor");
        }
        let floor = address.clone();
        let at_ms = dated(report, now_ms);
        Ok(Some(match report.input.clone() {
            Input::Announce { text, until_ms, by } => {
                Record::Announcement(AnnouncementRow { id: report.id, floor, text, by, at_ms, until_ms })
            }
            Input::AskPoll { poll_id, question, options, closes_ms, by } => {
                if !OPTIONS.contains(&options.len()) {
                    return Err("a poll has two to six options");
                }
                if question.is_empty() || options.iter().any(String::is_empty) {
                    return Err("a poll has a question, and each option a text");
                }
                Record::Poll(PollRow {
                    id: poll_id,
                    floor,
                    question,
                    options,
                    by,
                    asked_ms: at_ms,
                    closes_ms,
                })
            }
            Input::ClosePoll { poll_id } => Record::ClosedPoll { floor, poll_id, at_ms },
            Input::Vote { poll_id, dancer, option } => {
                if usize::from(option) >= *OPTIONS.end() {
                    return Err("no poll has that option");
                }
                Record::Vote(VoteRow { floor, poll_id, dancer, option, at_ms: report.at_ms })
            }
            Input::Request { desk, request } => {
                // A desk says what it likes to its own `in`: what another one should do is for web apps to pass on, which
                // know who asks.
                if producer.as_str() != desk.as_str() && !self.is_webapp(producer) {
                    return Err("only the desk itself, or a web app, may ask that of a desk");
                }
                Record::Request(RequestRow { id: report.id, floor, desk, request, at_ms })
            }
            Input::LastSong { on, by } => {
                Record::LastSong(LastSongRow { id: report.id, floor, on, by, at_ms })
            }
            _ => return Ok(None),
        }))
    }

    /// Only web apps tell of an audience.
    fn is_webapp(&self, producer: &ProducerId) -> bool {
        self.audiences.contains_key(producer)
    }

    /// Whether it has spoken as a desk, and not as a web app.
    fn is_desk(&self, producer: &ProducerId) -> bool {
        !self.is_webapp(producer) && self.desks.keys().any(|(_, desk)| desk.as_str() == producer.as_str())
    }

    pub(super) fn refuse(&mut self, producer: &ProducerId, report: &InputReport, why: &str, now_ms: i64) {
        if now_ms - self.refused_logged_ms > 1_000 {
            self.refused_logged_ms = now_ms;
            tracing::warn!(%producer, seq = report.seq, id = %report.id, "an input is left out: {why}");
        }
    }

    /// Lets the floor hear what was understood. Hearing it twice changes nothing.
    pub(super) fn hear(&mut self, address: &FloorAddress, record: &Record, taken: Taken, now_ms: i64) {
        if let Record::Forget { dancer, .. } = record {
            for live in self.floors.values_mut() {
                live.voices.forget(dancer);
                live.polls.forget(dancer);
            }
        }
        let Some(live) = self.floors.get_mut(address) else { return };
        match record {
            Record::Reaction(row) => live.voices.hear(row),
            Record::Announcement(AnnouncementRow { id, text, at_ms, until_ms, .. }) => {
                let (id, at_ms, text, until_ms) = (*id, *at_ms, text.clone(), *until_ms);
                if taken != Taken::Before
                    && live.announced.say(Announcement { v: V1, id, at_ms, text, until_ms })
                {
                    let is_shown = live.announced.current(now_ms).is_some();
                    let told = is_shown.then(|| live.floor.now().tells(FloorEventType::Announcement));
                    self.changed.entry(address.clone()).or_default().extend(told);
                }
            }
            // Its votes are only stored behind it: one that is sent again later is asked then.
            Record::Poll(row) if taken == Taken::New => live.polls.ask(row),
            Record::ClosedPoll { poll_id, at_ms, .. } => live.polls.close(*poll_id, *at_ms, now_ms),
            Record::Vote(row) => live.polls.hear(row),
            Record::LastSong(row) => {
                let happenings = live.floor.last_song(row.on, row.at_ms, now_ms);
                self.changed.entry(address.clone()).or_default().extend(happenings);
            }
            // Stored before or not: an archiver that was killed may have stored it and told nobody. A desk answers again what it
            // has done.
            Record::Request(RequestRow { id, desk, request, at_ms, .. }) => {
                let request = DeskRequest { id: *id, at_ms: *at_ms, request: request.clone() };
                self.changed.entry(address.clone()).or_default();
                match live.requests.add(desk, request) {
                    Added::Added | Added::Known => {}
                    Added::Crowded => {
                        tracing::warn!(%desk, "the desk has answered nothing for long; its oldest request is left out");
                    }
                    Added::Refused => {
                        tracing::warn!(%desk, "too many desks are asked for something; a request is left out");
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes up what an archiver before us has published.
    pub(super) fn take_up_published(&mut self, address: &FloorAddress, about: FloorTopic, message: Message) {
        let Some(live) = self.floors.get_mut(address) else { return };
        match (about, message) {
            (FloorTopic::Announcement, Message::Announcement(said)) => {
                live.announced.say(said);
            }
            (FloorTopic::Poll, Message::Poll(poll)) => live.polls.resume(poll),
            (FloorTopic::Desk(desk, DeskTopic::Requests), Message::DeskRequests(asked)) => {
                live.requests.resume(&desk, asked.requests);
            }
            _ => return,
        }
        self.changed.entry(address.clone()).or_default();
    }

    /// Says the announcement, when it is another one or over.
    pub(super) fn publish_announcement(&mut self, address: &FloorAddress, now_ms: i64) {
        let Some(live) = self.floors.get_mut(address) else { return };
        let said = live.announced.current(now_ms);
        let id = said.map(|said| said.id);
        if live.announcement_told != Some(id) {
            let payload = said.map(message::write).unwrap_or_default();
            self.bus.keep(address.topic(FloorTopic::Announcement), payload);
            live.announcement_told = Some(id);
        }
    }

    /// Says what each desk is asked, when it changed.
    pub(super) fn publish_requests(&mut self, address: &FloorAddress, now_ms: i64) {
        let Some(live) = self.floors.get_mut(address) else { return };
        for (desk, answered) in live.floor.answers() {
            live.requests.answered(&desk, answered);
        }
        for (desk, requests) in live.requests.take_changed() {
            let topic = address.topic(FloorTopic::Desk(desk, DeskTopic::Requests));
            if requests.is_empty() {
                self.bus.keep(topic, "");
                continue;
            }
            let asked = DeskRequests { v: V1, id: self.ids.message(now_ms), at_ms: now_ms, requests };
            self.bus.keep(topic, message::write(&asked));
        }
    }

    /// Says the poll and its counts, when they changed: as often as the tick comes and no more, and the last value always.
    pub(super) fn publish_poll(&mut self, address: &FloorAddress, now_ms: i64) {
        let Some(live) = self.floors.get_mut(address) else { return };
        if live.now.is_none() || !self.standing.speaks(Instant::now()) {
            return;
        }
        let shown = live.polls.shown(now_ms);
        if live.poll_told.as_ref() == Some(&shown) {
            return;
        }
        let payload = shown.clone().map(|shown| {
            message::write(&Poll {
                v: V1,
                id: self.ids.message(now_ms),
                at_ms: now_ms,
                poll_id: shown.poll_id,
                question: shown.question,
                options: shown.options,
                closes_ms: shown.closes_ms,
                closed: shown.closed,
            })
        });
        self.bus.keep(address.topic(FloorTopic::Poll), payload.unwrap_or_default());
        live.poll_told = Some(shown);
    }
}

fn dated(report: &InputReport, now_ms: i64) -> i64 {
    if report.at_ms.saturating_sub(now_ms) > AHEAD_MS { now_ms } else { report.at_ms }
}
