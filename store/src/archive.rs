//! The night on record: sets, plays, and the cursors that say how far each producer is committed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use protocol::{CoverId, DancerId, DeskId, EventId, FloorId, Jpeg, MessageId, PlayReport};
use protocol::{Dj, FloorAddress, JournalId, PastPlay, Play, PlayId, PlayKind, ProducerId, SetId, Track};

use crate::engine::{Error, Store, on_engine};
use crate::lease::{self, Lease};
use crate::reactions::{self, ReactionRow, hash};
use crate::rows::{Distinct, Rows};
use crate::voice::{self, AnnouncementRow, Ballot, LastSongRow, PollRow, RequestRow, VoteRow};

/// One thing to remember.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    Play(Box<PlayRow>),
    Set(SetRow),
    Reaction(ReactionRow),
    /// What the dancer said up to then is deleted, and not kept if it comes late. Tallies stay what they are: they name
    /// nobody.
    Forget {
        dancer: DancerId,
        at_ms: i64,
    },
    Desk(DeskRow),
    Announcement(AnnouncementRow),
    Poll(PollRow),
    /// Closed by the DJ, if it was not before.
    ClosedPoll {
        floor: FloorAddress,
        poll_id: MessageId,
        at_ms: i64,
    },
    Vote(VoteRow),
    Request(RequestRow),
    LastSong(LastSongRow),
    Cover(CoverRow),
}

/// A desk's report of a play, as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayRow {
    pub floor: FloorAddress,
    pub desk: DeskId,
    pub report: PlayReport,
}

/// A set as its desk's state tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct SetRow {
    pub floor: FloorAddress,
    pub desk: DeskId,
    pub id: SetId,
    pub dj: Option<String>,
    pub started_ms: i64,
    pub ended_ms: Option<i64>,
}

/// A desk as it was heard last.
#[derive(Debug, Clone, PartialEq)]
pub struct DeskRow {
    pub floor: FloorAddress,
    pub desk: DeskId,
    pub source: Option<String>,
    /// Name and version of the publisher.
    pub app: String,
    /// How far its clock is ahead of ours, if that is known.
    pub skew_ms: Option<i64>,
    pub heard_ms: i64,
}

/// A picture that plays name.
#[derive(Debug, Clone, PartialEq)]
pub struct CoverRow {
    pub jpeg: Jpeg,
    pub stored_ms: i64,
}

/// How far a producer's journal is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorRow {
    pub event: EventId,
    pub producer: ProducerId,
    pub journal: JournalId,
    pub seq: u64,
    pub updated_ms: i64,
}

// A set belongs to the desk that opened it; a stranger with the same id changes nothing.
static UPSERT_SETS: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "insert into sets (id, event_id, floor_id, desk_id, dj, started_ms, ended_ms)",
        7,
        "on conflict (id) do update set
    dj = coalesce(excluded.dj, sets.dj),
    ended_ms = coalesce(excluded.ended_ms, sets.ended_ms)
where sets.event_id = excluded.event_id
    and sets.desk_id = excluded.desk_id",
    )
});

// Each report carries the whole play, so the newest one wins, whatever the order of arrival.
static UPSERT_PLAYS: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "insert into plays (
    id, event_id, floor_id, desk_id, set_id, started_ms, ended_ms, withdrawn,
    artist, title, remix, album, genre, year, bpm, musical_key, duration_ms, cover, revision_ms)",
        19,
        "on conflict (id) do update set
    started_ms = excluded.started_ms,
    ended_ms = coalesce(excluded.ended_ms, plays.ended_ms),
    withdrawn = excluded.withdrawn,
    artist = excluded.artist,
    title = excluded.title,
    remix = excluded.remix,
    album = excluded.album,
    genre = excluded.genre,
    year = excluded.year,
    bpm = excluded.bpm,
    musical_key = excluded.musical_key,
    duration_ms = excluded.duration_ms,
    cover = excluded.cover,
    revision_ms = excluded.revision_ms
where plays.event_id = excluded.event_id
    and plays.desk_id = excluded.desk_id
    and plays.revision_ms < excluded.revision_ms",
    )
});

// The same name is the same picture.
const KEEP_COVER: &str = "
insert into covers (id, jpeg, stored_ms)
values ($1, $2, $3)
on conflict (id) do nothing";

pub(crate) const COVER: &str = "
select jpeg
from covers
where id = $1";

static UPSERT_DESKS: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "insert into desks (event_id, desk_id, floor_id, source, app, skew_ms, heard_ms)",
        7,
        "on conflict (event_id, desk_id) do update set
    floor_id = excluded.floor_id,
    source = excluded.source,
    app = excluded.app,
    skew_ms = coalesce(excluded.skew_ms, desks.skew_ms),
    heard_ms = excluded.heard_ms",
    )
});

static UPSERT_CURSORS: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "insert into cursors (event_id, producer, journal, seq, updated_ms)",
        5,
        "on conflict (event_id, producer, journal) do update set
    seq = excluded.seq,
    updated_ms = excluded.updated_ms
where cursors.seq < excluded.seq",
    )
});

pub(crate) const CURSORS: &str = "
select producer, journal, seq, updated_ms
from cursors
where event_id = $1
order by updated_ms";

pub(crate) const RECENT: &str = "
select p.id, p.set_id, p.desk_id, s.dj, p.started_ms, p.ended_ms,
    p.artist, p.title, p.remix, p.album, p.genre, p.year, p.bpm, p.musical_key, p.duration_ms, p.cover
from plays p
left join sets s on s.id = p.set_id
where p.event_id = $1
    and p.floor_id = $2
    and p.withdrawn = 0
order by p.started_ms desc
limit $3";

pub(crate) const LAST_SET: &str = "
select id, desk_id, dj, started_ms, ended_ms
from sets
where event_id = $1
    and floor_id = $2
order by started_ms desc
limit 1";

pub(crate) const DESKS: &str = "
select desk_id, floor_id, source, app, skew_ms, heard_ms
from desks
where event_id = $1
order by desk_id";

#[derive(sqlx::FromRow)]
pub(crate) struct PlayColumns {
    id: String,
    set_id: String,
    desk_id: String,
    dj: Option<String>,
    started_ms: i64,
    ended_ms: Option<i64>,
    artist: Option<String>,
    title: Option<String>,
    remix: Option<String>,
    album: Option<String>,
    genre: Option<String>,
    year: Option<i64>,
    bpm: Option<f64>,
    musical_key: Option<String>,
    duration_ms: Option<i64>,
    cover: Option<String>,
}

impl Store {
    /// Writes records and cursors in one transaction: when this returns, they are on disk or nothing is.
    /// Writing the same ones again changes nothing. With a lease, only while it is in force.
    pub async fn record(
        &self,
        records: &[Record],
        cursors: &[CursorRow],
        lease: Option<&Lease>,
    ) -> Result<(), Error> {
        let rows = Sorted::of(records);
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin().await?;
            if let Some(lease) = lease {
                let beat = sqlx::query(lease::BEAT).bind(&lease.name).bind(&lease.holder).bind(lease.fence);
                if beat.execute(&mut *tx).await?.rows_affected() == 0 {
                    return Err(Error::Superseded);
                }
            }
            for (statement, sets) in rows.sets.groups().flat_map(|group| UPSERT_SETS.of(group)) {
                let mut query = sqlx::query(statement);
                for set in sets {
                    query = query
                        .bind(set.id.to_string())
                        .bind(set.floor.event.as_str())
                        .bind(set.floor.floor.as_str())
                        .bind(set.desk.as_str())
                        .bind(set.dj)
                        .bind(set.started_ms)
                        .bind(set.ended_ms);
                }
                query.execute(&mut *tx).await?;
            }
            for (statement, plays) in rows.plays.groups().flat_map(|group| UPSERT_PLAYS.of(group)) {
                let mut query = sqlx::query(statement);
                for PlayOf { floor, row, ended_ms } in plays {
                    let PlayReport { play, .. } = &row.report;
                    query = query
                        .bind(play.id.to_string())
                        .bind(row.floor.event.as_str())
                        .bind(floor.as_str())
                        .bind(row.desk.as_str())
                        .bind(row.report.set.id.to_string())
                        .bind(play.started_ms)
                        .bind(*ended_ms)
                        .bind(i64::from(row.report.kind == PlayKind::Withdrawn))
                        .bind(play.track.artist.as_deref())
                        .bind(play.track.title.as_deref())
                        .bind(play.track.remix.as_deref())
                        .bind(play.track.album.as_deref())
                        .bind(play.track.genre.as_deref())
                        .bind(play.track.year.map(i64::from))
                        .bind(play.track.bpm)
                        .bind(play.track.key.as_deref())
                        .bind(play.track.duration_ms)
                        .bind(play.track.cover.map(|cover| cover.to_string()))
                        .bind(row.report.at_ms);
                }
                query.execute(&mut *tx).await?;
            }
            for (id, row) in &rows.covers {
                let keep = sqlx::query(KEEP_COVER).bind(id.to_string());
                keep.bind(row.jpeg.base64()).bind(row.stored_ms).execute(&mut *tx).await?;
            }
            let forgotten: Vec<(String, i64)> = match rows.reactions.is_empty() && rows.votes.is_empty() {
                true => Vec::new(),
                false => sqlx::query_as(reactions::FORGOTTEN).fetch_all(&mut *tx).await?,
            };
            let forgotten = forgotten.into_iter().collect();
            let reactions = rows.reactions(&forgotten);
            for (statement, reactions) in reactions.groups().flat_map(|group| reactions::UPSERT.of(group)) {
                let mut query = sqlx::query(statement);
                for row in reactions {
                    query = query
                        .bind(row.play_id.to_string())
                        .bind(row.reaction.kind())
                        .bind(row.dancer.as_str())
                        .bind(row.reaction.value())
                        .bind(row.at_ms);
                }
                query.execute(&mut *tx).await?;
            }
            let plays: BTreeSet<PlayId> = reactions.groups().flatten().map(|row| row.play_id).collect();
            for play in plays {
                sqlx::query(reactions::RECOUNT).bind(play.to_string()).execute(&mut *tx).await?;
            }
            for row in &rows.announcements {
                let announce = sqlx::query(voice::ANNOUNCE)
                    .bind(row.id.to_string())
                    .bind(row.floor.event.as_str())
                    .bind(row.floor.floor.as_str())
                    .bind(&row.text)
                    .bind(row.by.as_ref().map(DeskId::as_str))
                    .bind(row.at_ms)
                    .bind(row.until_ms);
                announce.execute(&mut *tx).await?;
            }
            for row in &rows.polls {
                let ask = sqlx::query(voice::ASK)
                    .bind(row.id.to_string())
                    .bind(row.floor.event.as_str())
                    .bind(row.floor.floor.as_str())
                    .bind(&row.question)
                    .bind(row.by.as_ref().map(DeskId::as_str))
                    .bind(row.asked_ms)
                    .bind(row.closes_ms);
                if ask.execute(&mut *tx).await?.rows_affected() == 0 {
                    continue;
                }
                for (position, text) in (0i64..).zip(&row.options) {
                    let option = sqlx::query(voice::ADD_OPTION).bind(row.id.to_string()).bind(position);
                    option.bind(text).execute(&mut *tx).await?;
                }
                let close = sqlx::query(voice::CLOSE_FORMER);
                let close = close.bind(row.floor.event.as_str()).bind(row.floor.floor.as_str());
                close.execute(&mut *tx).await?;
            }
            for (floor, poll, at_ms) in &rows.closed {
                let close = sqlx::query(voice::CLOSE).bind(poll.to_string());
                let close = close.bind(floor.event.as_str()).bind(floor.floor.as_str()).bind(*at_ms);
                close.execute(&mut *tx).await?;
            }
            let mut ballots = HashMap::new();
            for poll in rows.votes.iter().map(|row| row.poll_id).collect::<HashSet<_>>() {
                let ballot = sqlx::query_as::<_, Ballot>(voice::BALLOT).bind(poll.to_string());
                ballots.extend(ballot.fetch_optional(&mut *tx).await?.map(|ballot| (poll, ballot)));
            }
            let votes = rows.votes(&forgotten, &ballots);
            for (statement, votes) in votes.groups().flat_map(|group| voice::VOTE.of(group)) {
                let mut query = sqlx::query(statement);
                for row in votes {
                    query = query
                        .bind(row.poll_id.to_string())
                        .bind(row.dancer.as_str())
                        .bind(i64::from(row.option))
                        .bind(row.at_ms);
                }
                query.execute(&mut *tx).await?;
            }
            for row in &rows.requests {
                let (what, detail) = row.columns();
                let request = sqlx::query(voice::REQUEST)
                    .bind(row.id.to_string())
                    .bind(row.floor.event.as_str())
                    .bind(row.floor.floor.as_str())
                    .bind(row.desk.as_str())
                    .bind(what)
                    .bind(detail)
                    .bind(row.at_ms);
                request.execute(&mut *tx).await?;
            }
            for row in &rows.last_songs {
                let last_song = sqlx::query(voice::LAST_SONG)
                    .bind(row.id.to_string())
                    .bind(row.floor.event.as_str())
                    .bind(row.floor.floor.as_str())
                    .bind(row.by.as_ref().map(DeskId::as_str))
                    .bind(i64::from(row.on))
                    .bind(row.at_ms);
                last_song.execute(&mut *tx).await?;
            }
            for (dancer, at_ms) in &rows.forgotten {
                let forget = sqlx::query(reactions::FORGET).bind(hash(dancer)).bind(*at_ms);
                forget.execute(&mut *tx).await?;
                let plays: Vec<(String,)> =
                    sqlx::query_as(reactions::PLAYS_OF_DANCER).bind(dancer.as_str()).fetch_all(&mut *tx).await?;
                for (play,) in &plays {
                    for statement in [reactions::FOLD, reactions::DROP_ROWS] {
                        let gone = sqlx::query(statement).bind(play).bind(dancer.as_str()).bind(*at_ms);
                        gone.execute(&mut *tx).await?;
                    }
                }
                for statement in [voice::FOLD_DANCER, voice::DROP_DANCER] {
                    let gone = sqlx::query(statement).bind(dancer.as_str()).bind(*at_ms);
                    gone.execute(&mut *tx).await?;
                }
            }
            for (statement, desks) in rows.desks.groups().flat_map(|group| UPSERT_DESKS.of(group)) {
                let mut query = sqlx::query(statement);
                for row in desks {
                    query = query
                        .bind(row.floor.event.as_str())
                        .bind(row.desk.as_str())
                        .bind(row.floor.floor.as_str())
                        .bind(row.source.as_deref())
                        .bind(&row.app)
                        .bind(row.skew_ms)
                        .bind(row.heard_ms);
                }
                query.execute(&mut *tx).await?;
            }
            for (statement, cursors) in UPSERT_CURSORS.of(cursors) {
                let mut query = sqlx::query(statement);
                for cursor in cursors {
                    query = query
                        .bind(cursor.event.as_str())
                        .bind(cursor.producer.as_str())
                        .bind(cursor.journal.to_string())
                        .bind(seq_to_sql(cursor.seq))
                        .bind(cursor.updated_ms);
                }
                query.execute(&mut *tx).await?;
            }
            tx.commit().await?;
        });
        Ok(())
    }

    /// Every cursor of the event, the least recently moved first.
    pub async fn cursors(&self, event: &EventId) -> Result<Vec<CursorRow>, Error> {
        let rows: Vec<(String, String, i64, i64)> = on_engine!(&self.engine, read pool =>
            sqlx::query_as(CURSORS).bind(event.as_str()).fetch_all(pool).await)?;
        Ok(rows
            .into_iter()
            .filter_map(|(producer, journal, seq, updated_ms)| {
                Some(CursorRow {
                    event: event.clone(),
                    producer: producer.parse().ok()?,
                    journal: journal.parse().ok()?,
                    seq: u64::try_from(seq).ok()?,
                    updated_ms,
                })
            })
            .collect())
    }

    /// The last plays of a floor and whose desk they were, the newest first, withdrawn ones left out.
    pub async fn recent(&self, floor: &FloorAddress, count: u32) -> Result<Vec<(DeskId, PastPlay)>, Error> {
        let rows: Vec<PlayColumns> = on_engine!(&self.engine, read pool => sqlx::query_as(RECENT)
            .bind(floor.event.as_str())
            .bind(floor.floor.as_str())
            .bind(i64::from(count))
            .fetch_all(pool).await)?;
        Ok(rows.into_iter().filter_map(past_play).collect())
    }

    /// A picture, if it has come.
    pub async fn cover(&self, cover: CoverId) -> Result<Option<Jpeg>, Error> {
        let row: Option<(String,)> = on_engine!(&self.engine, read pool =>
            sqlx::query_as(COVER).bind(cover.to_string()).fetch_optional(pool).await)?;
        Ok(row.and_then(|(jpeg,)| Jpeg::from_base64(&jpeg).ok()))
    }

    /// Every desk of the event that was ever heard.
    pub async fn desks(&self, event: &EventId) -> Result<Vec<DeskRow>, Error> {
        type Row = (String, String, Option<String>, String, Option<i64>, i64);
        let rows: Vec<Row> = on_engine!(&self.engine, read pool =>
            sqlx::query_as(DESKS).bind(event.as_str()).fetch_all(pool).await)?;
        let read = |(desk, floor, source, app, skew_ms, heard_ms): Row| {
            let floor = FloorAddress::new(event.clone(), floor.parse().ok()?);
            Some(DeskRow { floor, desk: desk.parse().ok()?, source, app, skew_ms, heard_ms })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// The set that started last on a floor.
    pub async fn last_set(&self, floor: &FloorAddress) -> Result<Option<SetRow>, Error> {
        type Row = (String, String, Option<String>, i64, Option<i64>);
        let row: Option<Row> = on_engine!(&self.engine, read pool => sqlx::query_as(LAST_SET)
            .bind(floor.event.as_str())
            .bind(floor.floor.as_str())
            .fetch_optional(pool).await)?;
        Ok(row.and_then(|(id, desk, dj, started_ms, ended_ms)| {
            Some(SetRow {
                floor: floor.clone(),
                desk: desk.parse().ok()?,
                id: id.parse().ok()?,
                dj,
                started_ms,
                ended_ms,
            })
        }))
    }
}

/// Records as they are written: by table, each row once.
struct Sorted<'a> {
    sets: Distinct<SetId, SetOf<'a>>,
    plays: Distinct<PlayId, PlayOf<'a>>,
    desks: Distinct<(&'a EventId, &'a DeskId), &'a DeskRow>,
    reactions: Vec<&'a ReactionRow>,
    forgotten: Vec<(&'a DancerId, i64)>,
    announcements: Vec<&'a AnnouncementRow>,
    polls: Vec<&'a PollRow>,
    closed: Vec<(&'a FloorAddress, MessageId, i64)>,
    votes: Vec<&'a VoteRow>,
    requests: Vec<&'a RequestRow>,
    last_songs: Vec<&'a LastSongRow>,
    covers: BTreeMap<CoverId, &'a CoverRow>,
}

/// A set as it is written.
struct SetOf<'a> {
    id: SetId,
    floor: &'a FloorAddress,
    desk: &'a DeskId,
    dj: Option<&'a str>,
    started_ms: i64,
    ended_ms: Option<i64>,
}

/// A play as it is written: its newest report, on the floor of its first one.
struct PlayOf<'a> {
    floor: &'a FloorId,
    row: &'a PlayRow,
    ended_ms: Option<i64>,
}

impl<'a> Sorted<'a> {
    fn of(records: &'a [Record]) -> Self {
        let mut sorted = Self {
            sets: Distinct::new(),
            plays: Distinct::new(),
            desks: Distinct::new(),
            reactions: Vec::new(),
            forgotten: Vec::new(),
            announcements: Vec::new(),
            polls: Vec::new(),
            closed: Vec::new(),
            votes: Vec::new(),
            requests: Vec::new(),
            last_songs: Vec::new(),
            covers: BTreeMap::new(),
        };
        for record in records {
            if let Some(set) = record.set() {
                sorted.sets.add(set.id, set, SetOf::merge);
            }
            match record {
                Record::Play(row) => {
                    let ended_ms = row.report.play.ended_ms;
                    let play = PlayOf { floor: &row.floor.floor, row, ended_ms };
                    sorted.plays.add(row.report.play.id, play, PlayOf::merge);
                }
                Record::Set(_) => {}
                Record::Desk(row) => {
                    sorted.desks.add((&row.floor.event, &row.desk), row, |old, new| {
                        *old = *new;
                        true
                    });
                }
                Record::Reaction(row) => sorted.reactions.push(row),
                Record::Forget { dancer, at_ms } => sorted.forgotten.push((dancer, *at_ms)),
                Record::Announcement(row) => sorted.announcements.push(row),
                Record::Poll(row) => sorted.polls.push(row),
                Record::ClosedPoll { floor, poll_id, at_ms } => sorted.closed.push((floor, *poll_id, *at_ms)),
                Record::Vote(row) => sorted.votes.push(row),
                Record::Request(row) => sorted.requests.push(row),
                Record::LastSong(row) => sorted.last_songs.push(row),
                Record::Cover(row) => drop(sorted.covers.insert(row.jpeg.id(), row)),
            }
        }
        sorted
    }

    /// Without those of dancers who wanted to be forgotten after they said it.
    fn reactions(&self, forgotten: &HashMap<String, i64>) -> Distinct<ReactionKey<'a>, &'a ReactionRow> {
        let mut distinct = Distinct::new();
        for row in &self.reactions {
            if !is_forgotten(forgotten, &row.dancer, row.at_ms) {
                distinct.add((row.play_id, &row.dancer, row.reaction.kind()), *row, |old, new| {
                    if old.at_ms < new.at_ms {
                        *old = *new;
                    }
                    true
                });
            }
        }
        distinct
    }

    /// Those that fit their polls, without dancers who wanted to be forgotten.
    fn votes(
        &self,
        forgotten: &HashMap<String, i64>,
        ballots: &HashMap<MessageId, Ballot>,
    ) -> Distinct<(MessageId, &'a DancerId), &'a VoteRow> {
        let mut distinct = Distinct::new();
        for row in &self.votes {
            if row.fits(ballots) && !is_forgotten(forgotten, &row.dancer, row.at_ms) {
                distinct.add((row.poll_id, &row.dancer), *row, |old, new| {
                    if old.at_ms < new.at_ms {
                        *old = *new;
                    }
                    true
                });
            }
        }
        distinct
    }
}

/// Whether a dancer wanted to be forgotten after this was said.
fn is_forgotten(forgotten: &HashMap<String, i64>, dancer: &DancerId, at_ms: i64) -> bool {
    !forgotten.is_empty() && forgotten.get(&hash(dancer)).is_some_and(|forgotten_ms| at_ms <= *forgotten_ms)
}

type ReactionKey<'a> = (PlayId, &'a DancerId, &'static str);

impl SetOf<'_> {
    /// As [`UPSERT_SETS`] would.
    fn merge(&mut self, newer: &Self) -> bool {
        let is_same = self.floor.event == newer.floor.event && self.desk == newer.desk;
        if is_same {
            self.dj = newer.dj.or(self.dj);
            self.ended_ms = newer.ended_ms.or(self.ended_ms);
        }
        is_same
    }
}

impl PlayOf<'_> {
    /// As [`UPSERT_PLAYS`] would.
    fn merge(&mut self, other: &Self) -> bool {
        let is_same = self.row.floor.event == other.row.floor.event && self.row.desk == other.row.desk;
        // The set and the floor stay those of the first report; a second one that names others is not merged.
        let is_same = is_same && self.row.report.set.id == other.row.report.set.id;
        if is_same && self.row.report.at_ms < other.row.report.at_ms {
            self.row = other.row;
            self.ended_ms = other.ended_ms.or(self.ended_ms);
        }
        is_same
    }
}

impl Record {
    /// The set that it tells of.
    fn set(&self) -> Option<SetOf<'_>> {
        match self {
            Record::Set(row) => Some(SetOf {
                id: row.id,
                floor: &row.floor,
                desk: &row.desk,
                dj: row.dj.as_deref(),
                started_ms: row.started_ms,
                ended_ms: row.ended_ms,
            }),
            Record::Play(row) => Some(SetOf {
                id: row.report.set.id,
                floor: &row.floor,
                desk: &row.desk,
                dj: row.report.set.dj.as_deref(),
                started_ms: row.report.set.started_ms,
                ended_ms: row.report.set_ended.then(|| row.report.play.ended_ms.unwrap_or(row.report.at_ms)),
            }),
            _ => None,
        }
    }
}

/// A journal counts from 1 and would need millions of years to pass 2^63.
fn seq_to_sql(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

pub(crate) fn past_play(row: PlayColumns) -> Option<(DeskId, PastPlay)> {
    let id: PlayId = row.id.parse().ok()?;
    let desk: DeskId = row.desk_id.parse().ok()?;
    let track = Track {
        artist: row.artist,
        title: row.title,
        remix: row.remix,
        album: row.album,
        genre: row.genre,
        year: row.year.and_then(|year| u16::try_from(year).ok()),
        bpm: row.bpm,
        key: row.musical_key,
        duration_ms: row.duration_ms,
        cover: row.cover.and_then(|cover| cover.parse().ok()),
    };
    let past = PastPlay {
        set_id: row.set_id.parse().ok()?,
        dj: Some(Dj { id: desk.clone(), name: row.dj.unwrap_or_else(|| desk.to_string()) }),
        play: Play { id, started_ms: row.started_ms, ended_ms: row.ended_ms, track },
    };
    Some((desk, past))
}
