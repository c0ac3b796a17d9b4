//! What pages and exports ask the archive: sets, what was played in them, and what dancers liked.

use protocol::{DancerId, EventId, FloorAddress, PastPlay, PlayId, SetId, TempoTally};

use crate::archive::{PlayColumns, SetRow, past_play};
use crate::engine::{Error, Store, on_engine};
use crate::reactions::{Reaction, ReactionRow, Tally};

/// A set and how much was played in it.
#[derive(Debug, Clone, PartialEq)]
pub struct PastSet {
    pub set: SetRow,
    /// Withdrawn ones left out.
    pub plays: u32,
}

/// A play of a set, and how dancers took it.
#[derive(Debug, Clone, PartialEq)]
pub struct SetPlay {
    pub past: PastPlay,
    pub tally: Tally,
}

/// A play that a dancer likes.
#[derive(Debug, Clone, PartialEq)]
pub struct LikedPlay {
    pub floor: FloorAddress,
    pub past: PastPlay,
    pub liked_ms: i64,
}

/// A track of an event, however often it was played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopTrack {
    pub artist: Option<String>,
    pub title: Option<String>,
    pub remix: Option<String>,
    pub likes: u32,
    pub plays: u32,
}

pub(crate) const SETS_OF_EVENT: &str = "
select s.id, s.event_id, s.floor_id, s.desk_id, s.dj, s.started_ms, s.ended_ms,
    (select count(*) from plays p where p.set_id = s.id and p.withdrawn = 0) as plays
from sets s
where s.event_id = $1
order by s.started_ms, s.id";

pub(crate) const SET: &str = "
select s.id, s.event_id, s.floor_id, s.desk_id, s.dj, s.started_ms, s.ended_ms,
    (select count(*) from plays p where p.set_id = s.id and p.withdrawn = 0) as plays
from sets s
where s.id = $1";

pub(crate) const PLAYS_OF_SET: &str = "
select p.id, p.set_id, p.desk_id, s.dj, p.started_ms, p.ended_ms,
    p.artist, p.title, p.remix, p.album, p.genre, p.year, p.bpm, p.musical_key, p.duration_ms, p.cover,
    t.likes, t.slower, t.perfect, t.faster, t.thanks
from plays p
left join sets s on s.id = p.set_id
left join tallies t on t.play_id = p.id
where p.set_id = $1
    and p.withdrawn = 0
order by p.started_ms, p.id";

pub(crate) const PLAY: &str = "
select p.id, p.set_id, p.desk_id, s.dj, p.started_ms, p.ended_ms,
    p.artist, p.title, p.remix, p.album, p.genre, p.year, p.bpm, p.musical_key, p.duration_ms, p.cover
from plays p
left join sets s on s.id = p.set_id
where p.id = $1
    and p.event_id = $2
    and p.floor_id = $3
    and p.withdrawn = 0";

/// More than anybody taps in a night; whoever does sees less on a page without its script.
const REACTIONS_MAX: i64 = 500;

pub(crate) const REACTIONS_OF_DANCER: &str = "
select play_id, kind, value, revision_ms
from reactions
where dancer = $1
    and revision_ms >= $2
limit $3";

pub(crate) const LIKES_OF_DANCER: &str = "
select p.id, p.set_id, p.desk_id, s.dj, p.started_ms, p.ended_ms,
    p.artist, p.title, p.remix, p.album, p.genre, p.year, p.bpm, p.musical_key, p.duration_ms, p.cover,
    p.event_id, p.floor_id, r.revision_ms as liked_ms
from reactions r
join plays p on p.id = r.play_id
left join sets s on s.id = p.set_id
where r.dancer = $1
    and r.kind = 'like'
    and r.value = 1
    and p.withdrawn = 0
order by r.revision_ms desc
limit $2";

// Of two with as many likes, the one that was heard first comes first.
pub(crate) const TOP_TRACKS: &str = "
select p.artist, p.title, p.remix, cast(sum(t.likes) as bigint) as likes, count(*) as plays
from plays p
join tallies t on t.play_id = p.id
where p.event_id = $1
    and p.withdrawn = 0
    and t.likes > 0
group by p.artist, p.title, p.remix
order by 4 desc, min(p.started_ms)
limit $2";

#[derive(sqlx::FromRow)]
struct SetColumns {
    id: String,
    event_id: String,
    floor_id: String,
    desk_id: String,
    dj: Option<String>,
    started_ms: i64,
    ended_ms: Option<i64>,
    plays: i64,
}

#[derive(sqlx::FromRow)]
struct SetPlayColumns {
    #[sqlx(flatten)]
    play: PlayColumns,
    likes: Option<i64>,
    slower: Option<i64>,
    perfect: Option<i64>,
    faster: Option<i64>,
    thanks: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct LikeColumns {
    #[sqlx(flatten)]
    play: PlayColumns,
    event_id: String,
    floor_id: String,
    liked_ms: i64,
}

impl Store {
    /// The sets of an event, the first one first.
    pub async fn sets_of_event(&self, event: &EventId) -> Result<Vec<PastSet>, Error> {
        let rows: Vec<SetColumns> = on_engine!(&self.engine, read pool => sqlx::query_as(SETS_OF_EVENT)
            .bind(event.as_str())
            .fetch_all(pool).await)?;
        Ok(rows.into_iter().filter_map(past_set).collect())
    }

    /// One set.
    pub async fn set(&self, set: SetId) -> Result<Option<PastSet>, Error> {
        let row: Option<SetColumns> = on_engine!(&self.engine, read pool => sqlx::query_as(SET)
            .bind(set.to_string())
            .fetch_optional(pool).await)?;
        Ok(row.and_then(past_set))
    }

    /// What was played in a set, in its order, withdrawn plays left out.
    pub async fn plays_of_set(&self, set: SetId) -> Result<Vec<SetPlay>, Error> {
        let rows: Vec<SetPlayColumns> = on_engine!(&self.engine, read pool => sqlx::query_as(PLAYS_OF_SET)
            .bind(set.to_string())
            .fetch_all(pool).await)?;
        Ok(rows.into_iter().filter_map(set_play).collect())
    }

    /// A play of that floor, unless it was withdrawn.
    pub async fn play(&self, floor: &FloorAddress, play: PlayId) -> Result<Option<PastPlay>, Error> {
        let row: Option<PlayColumns> = on_engine!(&self.engine, read pool => sqlx::query_as(PLAY)
            .bind(play.to_string())
            .bind(floor.event.as_str())
            .bind(floor.floor.as_str())
            .fetch_optional(pool).await)?;
        Ok(row.and_then(past_play).map(|(_, past)| past))
    }

    /// What a dancer said since then about any play.
    pub async fn reactions_of_dancer(
        &self,
        dancer: &DancerId,
        since_ms: i64,
    ) -> Result<Vec<ReactionRow>, Error> {
        type Row = (String, String, Option<i64>, i64);
        let rows: Vec<Row> = on_engine!(&self.engine, read pool => sqlx::query_as(REACTIONS_OF_DANCER)
            .bind(dancer.as_str())
            .bind(since_ms)
            .bind(REACTIONS_MAX)
            .fetch_all(pool).await)?;
        let read = |(play, kind, value, at_ms): Row| {
            let reaction = Reaction::read(&kind, value)?;
            Some(ReactionRow { play_id: play.parse().ok()?, dancer: dancer.clone(), reaction, at_ms })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// What a dancer likes, the newest like first; what was taken back is not there.
    pub async fn likes_of_dancer(&self, dancer: &DancerId, limit: u32) -> Result<Vec<LikedPlay>, Error> {
        let rows: Vec<LikeColumns> = on_engine!(&self.engine, read pool => sqlx::query_as(LIKES_OF_DANCER)
            .bind(dancer.as_str())
            .bind(i64::from(limit))
            .fetch_all(pool).await)?;
        Ok(rows.into_iter().filter_map(liked_play).collect())
    }

    /// The tracks of an event with the most likes, all their plays taken together.
    pub async fn top_tracks(&self, event: &EventId, limit: u32) -> Result<Vec<TopTrack>, Error> {
        type Row = (Option<String>, Option<String>, Option<String>, i64, i64);
        let rows: Vec<Row> = on_engine!(&self.engine, read pool => sqlx::query_as(TOP_TRACKS)
            .bind(event.as_str())
            .bind(i64::from(limit))
            .fetch_all(pool).await)?;
        let track = |(artist, title, remix, likes, plays)| TopTrack {
            artist,
            title,
            remix,
            likes: count(Some(likes)),
            plays: count(Some(plays)),
        };
        Ok(rows.into_iter().map(track).collect())
    }
}

/// A play that nobody reacted to has no tally.
pub(crate) fn count(value: Option<i64>) -> u32 {
    value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0)
}

fn past_set(row: SetColumns) -> Option<PastSet> {
    let set = SetRow {
        floor: FloorAddress { event: row.event_id.parse().ok()?, floor: row.floor_id.parse().ok()? },
        desk: row.desk_id.parse().ok()?,
        id: row.id.parse().ok()?,
        dj: row.dj,
        started_ms: row.started_ms,
        ended_ms: row.ended_ms,
    };
    Some(PastSet { set, plays: count(Some(row.plays)) })
}

fn set_play(row: SetPlayColumns) -> Option<SetPlay> {
    let (_, past) = past_play(row.play)?;
    let tempo =
        TempoTally { slower: count(row.slower), perfect: count(row.perfect), faster: count(row.faster) };
    Some(SetPlay { past, tally: Tally { likes: count(row.likes), tempo, thanks: count(row.thanks) } })
}

fn liked_play(row: LikeColumns) -> Option<LikedPlay> {
    let floor = FloorAddress { event: row.event_id.parse().ok()?, floor: row.floor_id.parse().ok()? };
    let (_, past) = past_play(row.play)?;
    Some(LikedPlay { floor, past, liked_ms: row.liked_ms })
}
