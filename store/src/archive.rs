//! The night on record: sets, plays, and the cursors that say how far each producer is committed.

use protocol::{DeskId, EventId, PlayReport};
use protocol::{Dj, FloorAddress, JournalId, PastPlay, Play, PlayId, PlayKind, ProducerId, SetId, Track};

use crate::engine::{Error, Store, on_engine};

/// One thing to remember.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    Play(Box<PlayRow>),
    Set(SetRow),
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
const UPSERT_SET: &str = "
insert into sets (id, event_id, floor_id, desk_id, dj, started_ms, ended_ms)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (id) do update set
    dj = coalesce(excluded.dj, sets.dj),
    ended_ms = coalesce(excluded.ended_ms, sets.ended_ms)
where sets.event_id = excluded.event_id
    and sets.desk_id = excluded.desk_id";

// Each report carries the whole play, so the newest one wins, whatever the order of arrival.
const UPSERT_PLAY: &str = "
insert into plays (
    id, event_id, floor_id, desk_id, set_id, started_ms, ended_ms, withdrawn,
    artist, title, remix, album, genre, year, bpm, musical_key, duration_ms, revision_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
on conflict (id) do update set
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
    revision_ms = excluded.revision_ms
where plays.event_id = excluded.event_id
    and plays.desk_id = excluded.desk_id
    and plays.revision_ms < excluded.revision_ms";

const UPSERT_CURSOR: &str = "
insert into cursors (event_id, producer, journal, seq, updated_ms)
values ($1, $2, $3, $4, $5)
on conflict (event_id, producer, journal) do update set
    seq = excluded.seq,
    updated_ms = excluded.updated_ms
where cursors.seq < excluded.seq";

const CURSORS: &str = "
select producer, journal, seq, updated_ms
from cursors
where event_id = $1
order by updated_ms";

const RECENT: &str = "
select p.id, p.set_id, p.desk_id, s.dj, p.started_ms, p.ended_ms,
    p.artist, p.title, p.remix, p.album, p.genre, p.year, p.bpm, p.musical_key, p.duration_ms
from plays p
left join sets s on s.id = p.set_id
where p.event_id = $1
    and p.floor_id = $2
    and p.withdrawn = 0
order by p.started_ms desc
limit $3";

const LAST_SET: &str = "
select id, desk_id, dj, started_ms, ended_ms
from sets
where event_id = $1
    and floor_id = $2
order by started_ms desc
limit 1";

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
}

impl Store {
    /// Writes records and cursors in one transaction: when this returns, they are on disk or nothing is.
    /// Writing the same ones again changes nothing.
    pub async fn record(&self, records: &[Record], cursors: &[CursorRow]) -> Result<(), Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin().await?;
            for record in records {
                let set = record.set();
                sqlx::query(UPSERT_SET)
                    .bind(set.id.to_string())
                    .bind(set.floor.event.as_str())
                    .bind(set.floor.floor.as_str())
                    .bind(set.desk.as_str())
                    .bind(set.dj)
                    .bind(set.started_ms)
                    .bind(set.ended_ms)
                    .execute(&mut *tx).await?;
                let Record::Play(row) = record else { continue };
                let PlayReport { play, .. } = &row.report;
                sqlx::query(UPSERT_PLAY)
                    .bind(play.id.to_string())
                    .bind(row.floor.event.as_str())
                    .bind(row.floor.floor.as_str())
                    .bind(row.desk.as_str())
                    .bind(row.report.set.id.to_string())
                    .bind(play.started_ms)
                    .bind(play.ended_ms)
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
                    .bind(row.report.at_ms)
                    .execute(&mut *tx).await?;
            }
            for cursor in cursors {
                sqlx::query(UPSERT_CURSOR)
                    .bind(cursor.event.as_str())
                    .bind(cursor.producer.as_str())
                    .bind(cursor.journal.to_string())
                    .bind(seq_to_sql(cursor.seq))
                    .bind(cursor.updated_ms)
                    .execute(&mut *tx).await?;
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

/// A set as it is written.
struct SetOf<'a> {
    id: SetId,
    floor: &'a FloorAddress,
    desk: &'a DeskId,
    dj: Option<&'a str>,
    started_ms: i64,
    ended_ms: Option<i64>,
}

impl Record {
    fn set(&self) -> SetOf<'_> {
        match self {
            Record::Set(row) => SetOf {
                id: row.id,
                floor: &row.floor,
                desk: &row.desk,
                dj: row.dj.as_deref(),
                started_ms: row.started_ms,
                ended_ms: row.ended_ms,
            },
            Record::Play(row) => SetOf {
                id: row.report.set.id,
                floor: &row.floor,
                desk: &row.desk,
                dj: row.report.set.dj.as_deref(),
                started_ms: row.report.set.started_ms,
                ended_ms: row.report.set_ended.then(|| row.report.play.ended_ms.unwrap_or(row.report.at_ms)),
            },
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
    };
    let past = PastPlay {
        set_id: row.set_id.parse().ok()?,
        dj: Some(Dj { id: desk.clone(), name: row.dj.unwrap_or_else(|| desk.to_string()) }),
        play: Play { id, started_ms: row.started_ms, ended_ms: row.ended_ms, track },
    };
    Some((desk, past))
}
