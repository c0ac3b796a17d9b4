//! What the DJ says to the floor and asks it, what dancers answer, and what desks are asked to do.

use std::collections::HashMap;
use std::sync::LazyLock;

use protocol::{DancerId, DeskId, EventId, FloorAddress, FloorId, MessageId, Request};

use crate::engine::{Error, Store, on_engine};
use crate::pages::count;
use crate::rows::Rows;

/// What the DJ says to a floor. The newest counts, and an empty text clears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnouncementRow {
    /// That of the message that brought it.
    pub id: MessageId,
    pub floor: FloorAddress,
    pub text: String,
    pub by: Option<DeskId>,
    pub at_ms: i64,
    pub until_ms: Option<i64>,
}

/// A poll as it was asked. Asking something else on the same floor closes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollRow {
    pub id: MessageId,
    pub floor: FloorAddress,
    pub question: String,
    pub options: Vec<String>,
    pub by: Option<DeskId>,
    pub asked_ms: i64,
    /// When it closes or closed.
    pub closes_ms: Option<i64>,
}

/// What a dancer answers. The newest counts, if it was said before the poll closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteRow {
    pub floor: FloorAddress,
    pub poll_id: MessageId,
    pub dancer: DancerId,
    /// From 0.
    pub option: u8,
    pub at_ms: i64,
}

/// What a desk was asked to do from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRow {
    /// That of the message that brought it.
    pub id: MessageId,
    pub floor: FloorAddress,
    pub desk: DeskId,
    pub request: Request,
    pub at_ms: i64,
}

/// The DJ says that this is the last song of the set, or takes it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastSongRow {
    /// That of the message that brought it.
    pub id: MessageId,
    pub floor: FloorAddress,
    pub on: bool,
    pub by: Option<DeskId>,
    pub at_ms: i64,
}

/// A poll and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedPoll {
    pub id: MessageId,
    pub floor: FloorId,
    pub question: String,
    /// Each with its votes.
    pub options: Vec<(String, u32)>,
    pub asked_ms: i64,
    /// When it closes or closed.
    pub closes_ms: Option<i64>,
}

/// The poll that was asked last on a floor, as the archiver takes it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastPoll {
    pub poll: PollRow,
    /// Of each option, the votes that are counted without their dancers.
    pub folded: Vec<u32>,
}

pub(crate) const ANNOUNCE: &str = "
insert into announcements (id, event_id, floor_id, text, desk_id, at_ms, until_ms)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (id) do nothing";

pub(crate) const ASK: &str = "
insert into polls (id, event_id, floor_id, question, desk_id, asked_ms, closes_ms)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (id) do nothing";

pub(crate) const ADD_OPTION: &str = "
insert into poll_options (poll_id, position, text)
values ($1, $2, $3)";

/// Closes each poll of a floor that another one followed, at the time of that one: right whatever came first.
pub(crate) const CLOSE_FORMER: &str = "
update polls
set closes_ms = (
        select min(later.asked_ms)
        from polls later
        where later.event_id = polls.event_id
            and later.floor_id = polls.floor_id
            and later.asked_ms > polls.asked_ms)
where event_id = $1
    and floor_id = $2
    and exists (
        select 1
        from polls later
        where later.event_id = polls.event_id
            and later.floor_id = polls.floor_id
            and later.asked_ms > polls.asked_ms
            and (polls.closes_ms is null or later.asked_ms < polls.closes_ms))";

pub(crate) const CLOSE: &str = "
update polls
set closes_ms = $4
where id = $1
    and event_id = $2
    and floor_id = $3
    and (closes_ms is null or closes_ms > $4)";

/// What a vote has to fit.
pub(crate) const BALLOT: &str = "
select p.event_id, p.floor_id, p.closes_ms,
    (select count(*) from poll_options o where o.poll_id = p.id) as options
from polls p
where p.id = $1";

pub(crate) static VOTE: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "insert into poll_votes (poll_id, dancer, option, revision_ms)",
        4,
        "on conflict (poll_id, dancer) do update set
    option = excluded.option,
    revision_ms = excluded.revision_ms
where poll_votes.revision_ms < excluded.revision_ms",
    )
});

/// Counts the votes of a dancer without their rows from now on; only what was said up to `$2`.
pub(crate) const FOLD_DANCER: &str = "
update poll_options
set folded_votes = folded_votes + 1
where poll_id in (select poll_id from poll_votes where dancer = $1)
    and exists (
        select 1
        from poll_votes v
        where v.poll_id = poll_options.poll_id
            and v.dancer = $1
            and v.option = poll_options.position
            and v.revision_ms <= $2)";

pub(crate) const DROP_DANCER: &str = "
delete from poll_votes
where dancer = $1
    and revision_ms <= $2";

/// The same for all dancers, about polls that nobody votes in any more.
pub(crate) const FOLD_OLD: &str = "
update poll_options
set folded_votes = folded_votes + (
        select count(*)
        from poll_votes v
        where v.poll_id = poll_options.poll_id
            and v.option = poll_options.position
            and v.revision_ms < $1)
where poll_id in (select poll_id from poll_votes where revision_ms < $1)";

pub(crate) const DROP_OLD: &str = "
delete from poll_votes
where revision_ms < $1";

pub(crate) const REQUEST: &str = "
insert into requests (id, event_id, floor_id, desk_id, what, detail, at_ms)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (id) do nothing";

pub(crate) const LAST_SONG: &str = "
insert into last_songs (id, event_id, floor_id, desk_id, said, at_ms)
values ($1, $2, $3, $4, $5, $6)
on conflict (id) do nothing";

pub(crate) const LAST_ANNOUNCEMENT: &str = "
select id, text, desk_id, at_ms, until_ms
from announcements
where event_id = $1
    and floor_id = $2
order by at_ms desc, id desc
limit 1";

pub(crate) const LAST_POLL: &str = "
select id, question, desk_id, asked_ms, closes_ms
from polls
where event_id = $1
    and floor_id = $2
order by asked_ms desc, id desc
limit 1";

pub(crate) const OPTIONS: &str = "
select text, folded_votes
from poll_options
where poll_id = $1
order by position";

pub(crate) const VOTES: &str = "
select dancer, option, revision_ms
from poll_votes
where poll_id = $1
order by dancer
limit $2";

pub(crate) const POLLS_OF_EVENT: &str = "
select p.id, p.floor_id, p.question, p.asked_ms, p.closes_ms, o.text,
    o.folded_votes + (
        select count(*) from poll_votes v where v.poll_id = p.id and v.option = o.position) as votes
from polls p
join poll_options o on o.poll_id = p.id
where p.event_id = $1
order by p.asked_ms, p.id, o.position";

pub(crate) const VOTE_OF_DANCER: &str = "
select option
from poll_votes
where poll_id = $1
    and dancer = $2";

/// What a vote has to fit: the floor, when the poll closes, and how many options there are.
pub(crate) type Ballot = (String, String, Option<i64>, i64);

impl VoteRow {
    /// Whether it counts: said on the poll's own floor, before it closed, for an option that there is.
    pub(crate) fn fits(&self, ballots: &HashMap<MessageId, Ballot>) -> bool {
        ballots.get(&self.poll_id).is_some_and(|(event, floor, closes_ms, options)| {
            (event.as_str(), floor.as_str()) == (self.floor.event.as_str(), self.floor.floor.as_str())
                && closes_ms.is_none_or(|closes_ms| self.at_ms <= closes_ms)
                && i64::from(self.option) < *options
        })
    }
}

impl RequestRow {
    /// What it is, and the rest of it as JSON.
    pub(crate) fn columns(&self) -> (String, String) {
        let mut request = serde_json::to_value(&self.request).unwrap_or_default();
        let what = request.as_object_mut().and_then(|request| request.remove("what"));
        let what = what.as_ref().and_then(|what| what.as_str()).unwrap_or_default();
        (what.to_owned(), request.to_string())
    }
}

impl Store {
    /// What was announced last on a floor, whether or not it is over.
    pub async fn last_announcement(&self, floor: &FloorAddress) -> Result<Option<AnnouncementRow>, Error> {
        type Row = (String, String, Option<String>, i64, Option<i64>);
        let row: Option<Row> = on_engine!(&self.engine, read pool => sqlx::query_as(LAST_ANNOUNCEMENT)
            .bind(floor.event.as_str())
            .bind(floor.floor.as_str())
            .fetch_optional(pool).await)?;
        Ok(row.and_then(|(id, text, desk, at_ms, until_ms)| {
            let by = desk.and_then(|desk| desk.parse().ok());
            Some(AnnouncementRow { id: id.parse().ok()?, floor: floor.clone(), text, by, at_ms, until_ms })
        }))
    }

    /// The poll that was asked last on a floor, whether or not it is closed.
    pub async fn last_poll(&self, floor: &FloorAddress) -> Result<Option<LastPoll>, Error> {
        type Row = (String, String, Option<String>, i64, Option<i64>);
        let row: Option<Row> = on_engine!(&self.engine, read pool => sqlx::query_as(LAST_POLL)
            .bind(floor.event.as_str())
            .bind(floor.floor.as_str())
            .fetch_optional(pool).await)?;
        let Some((id, question, desk, asked_ms, closes_ms)) = row else { return Ok(None) };
        let options: Vec<(String, i64)> = on_engine!(&self.engine, read pool =>
            sqlx::query_as(OPTIONS).bind(&id).fetch_all(pool).await)?;
        let Ok(id) = id.parse() else { return Ok(None) };
        let (options, folded) = options.into_iter().map(|(text, votes)| (text, count(Some(votes)))).unzip();
        let by = desk.and_then(|desk| desk.parse().ok());
        let poll = PollRow { id, floor: floor.clone(), question, options, by, asked_ms, closes_ms };
        Ok(Some(LastPoll { poll, folded }))
    }

    /// The votes in a poll that are kept one by one, at most so many.
    pub async fn votes(&self, poll: &PollRow, max: u32) -> Result<Vec<VoteRow>, Error> {
        let rows: Vec<(String, i64, i64)> = on_engine!(&self.engine, read pool => sqlx::query_as(VOTES)
            .bind(poll.id.to_string())
            .bind(i64::from(max))
            .fetch_all(pool).await)?;
        let read = |(dancer, option, at_ms): (String, i64, i64)| {
            let (dancer, option) = (dancer.parse().ok()?, u8::try_from(option).ok()?);
            Some(VoteRow { floor: poll.floor.clone(), poll_id: poll.id, dancer, option, at_ms })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Every poll of the event and what came of it, the oldest first.
    pub async fn polls_of_event(&self, event: &EventId) -> Result<Vec<AskedPoll>, Error> {
        type Row = (String, String, String, i64, Option<i64>, String, i64);
        let rows: Vec<Row> = on_engine!(&self.engine, read pool =>
            sqlx::query_as(POLLS_OF_EVENT).bind(event.as_str()).fetch_all(pool).await)?;
        let mut polls: Vec<AskedPoll> = Vec::new();
        for (id, floor, question, asked_ms, closes_ms, text, votes) in rows {
            let (Ok(id), Ok(floor)) = (id.parse(), floor.parse()) else { continue };
            let option = (text, count(Some(votes)));
            match polls.last_mut().filter(|poll| poll.id == id) {
                Some(poll) => poll.options.push(option),
                None => {
                    polls.push(AskedPoll { id, floor, question, options: vec![option], asked_ms, closes_ms });
                }
            }
        }
        Ok(polls)
    }

    /// What a dancer answered in a poll, from 0.
    pub async fn vote_of_dancer(&self, poll: MessageId, dancer: &DancerId) -> Result<Option<u8>, Error> {
        let row: Option<(i64,)> = on_engine!(&self.engine, read pool => sqlx::query_as(VOTE_OF_DANCER)
            .bind(poll.to_string())
            .bind(dancer.as_str())
            .fetch_optional(pool).await)?;
        Ok(row.and_then(|(option,)| u8::try_from(option).ok()))
    }
}
