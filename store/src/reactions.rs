//! What dancers said: one reaction of each kind for a dancer and a play, and what they come to.

use std::sync::LazyLock;

use protocol::{DancerId, PlayId, TempoTally, TempoWish};
use sha2::{Digest, Sha256};

use crate::engine::{Error, Store, on_engine};
use crate::rows::Rows;
use crate::voice;

/// What one dancer says about one play. The newest of a kind counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReactionRow {
    pub play_id: PlayId,
    pub dancer: DancerId,
    pub reaction: Reaction,
    /// When the dancer said it.
    pub at_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// `false` takes it back.
    Like(bool),
    /// `None` takes it back.
    Tempo(Option<TempoWish>),
    Thanks,
}

/// What all dancers together said about a play.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub likes: u32,
    pub tempo: TempoTally,
    pub thanks: u32,
}

impl Reaction {
    /// As it stands in `reactions.kind`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Like(_) => "like",
            Self::Tempo(_) => "tempo",
            Self::Thanks => "thanks",
        }
    }

    pub(crate) fn value(self) -> Option<i64> {
        match self {
            Self::Like(on) => Some(on.into()),
            Self::Tempo(wish) => wish.map(|wish| match wish {
                TempoWish::Slower => -1,
                TempoWish::Perfect => 0,
                TempoWish::Faster => 1,
            }),
            Self::Thanks => Some(1),
        }
    }

    pub(crate) fn read(kind: &str, value: Option<i64>) -> Option<Self> {
        match (kind, value) {
            ("like", Some(value)) => Some(Self::Like(value == 1)),
            ("tempo", None) => Some(Self::Tempo(None)),
            ("tempo", Some(-1)) => Some(Self::Tempo(Some(TempoWish::Slower))),
            ("tempo", Some(0)) => Some(Self::Tempo(Some(TempoWish::Perfect))),
            ("tempo", Some(1)) => Some(Self::Tempo(Some(TempoWish::Faster))),
            ("thanks", _) => Some(Self::Thanks),
            _ => None,
        }
    }
}

pub(crate) static UPSERT: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "insert into reactions (play_id, kind, dancer, value, revision_ms)",
        5,
        "on conflict (play_id, kind, dancer) do update set
    value = excluded.value,
    revision_ms = excluded.revision_ms
where reactions.revision_ms < excluded.revision_ms",
    )
});

/// Counts the rows of a play anew, so that a tally is right whatever was written before it.
pub(crate) const RECOUNT: &str = "
insert into tallies (play_id, likes, slower, perfect, faster, thanks, open, last_ms)
select
    $1,
    coalesce(sum(case when kind = 'like' and value = 1 then 1 else 0 end), 0),
    coalesce(sum(case when kind = 'tempo' and value = -1 then 1 else 0 end), 0),
    coalesce(sum(case when kind = 'tempo' and value = 0 then 1 else 0 end), 0),
    coalesce(sum(case when kind = 'tempo' and value = 1 then 1 else 0 end), 0),
    coalesce(sum(case when kind = 'thanks' then 1 else 0 end), 0),
    1,
    coalesce(max(revision_ms), 0)
from reactions
where play_id = $1
on conflict (play_id) do update set
    likes = excluded.likes + tallies.folded_likes,
    slower = excluded.slower + tallies.folded_slower,
    perfect = excluded.perfect + tallies.folded_perfect,
    faster = excluded.faster + tallies.folded_faster,
    thanks = excluded.thanks + tallies.folded_thanks,
    open = 1,
    last_ms = excluded.last_ms";

pub(crate) const TALLY: &str = "
select likes, slower, perfect, faster, thanks
from tallies
where play_id = $1";

const FOLDED: &str = "
select folded_likes, folded_slower, folded_perfect, folded_faster, folded_thanks
from tallies
where play_id = $1";

pub(crate) const OF_PLAY: &str = "
select kind, dancer, value, revision_ms
from reactions
where play_id = $1
order by kind, dancer
limit $2";

/// Dancers whose data was deleted, by their hash, and when.
pub(crate) const FORGOTTEN: &str = "
select dancer_sha256, at_ms
from forgotten_dancers";

pub(crate) const FORGET: &str = "
insert into forgotten_dancers (dancer_sha256, at_ms)
values ($1, $2)
on conflict (dancer_sha256) do update set at_ms = excluded.at_ms";

pub(crate) const PLAYS_OF_DANCER: &str = "
select distinct play_id
from reactions
where dancer = $1";

pub(crate) const TO_FOLD: &str = "
select play_id
from tallies
where open = 1
    and last_ms < $1
order by last_ms
limit $2";

/// What is folded is counted without its rows from now on. `$2` narrows it to one dancer, an empty text means all; only
/// what was said up to `$3`.
pub(crate) const FOLD: &str = "
update tallies
set folded_likes = folded_likes + (
        select count(*) from reactions
        where play_id = $1 and kind = 'like' and value = 1 and ($2 = '' or dancer = $2) and revision_ms <= $3),
    folded_slower = folded_slower + (
        select count(*) from reactions
        where play_id = $1 and kind = 'tempo' and value = -1 and ($2 = '' or dancer = $2) and revision_ms <= $3),
    folded_perfect = folded_perfect + (
        select count(*) from reactions
        where play_id = $1 and kind = 'tempo' and value = 0 and ($2 = '' or dancer = $2) and revision_ms <= $3),
    folded_faster = folded_faster + (
        select count(*) from reactions
        where play_id = $1 and kind = 'tempo' and value = 1 and ($2 = '' or dancer = $2) and revision_ms <= $3),
    folded_thanks = folded_thanks + (
        select count(*) from reactions
        where play_id = $1 and kind = 'thanks' and ($2 = '' or dancer = $2) and revision_ms <= $3)
where play_id = $1";

pub(crate) const DROP_ROWS: &str = "
delete from reactions
where play_id = $1
    and ($2 = '' or dancer = $2)
    and revision_ms <= $3";

const CLOSE: &str = "
update tallies
set open = 0
where play_id = $1";

/// Plays folded in one transaction.
const FOLDED_AT_ONCE: i64 = 200;

impl Store {
    /// What a play's reactions come to.
    pub async fn tally(&self, play: PlayId) -> Result<Tally, Error> {
        self.counted(TALLY, play).await
    }

    /// The part of a play's tally that is not kept one by one any more.
    pub async fn folded(&self, play: PlayId) -> Result<Tally, Error> {
        self.counted(FOLDED, play).await
    }

    async fn counted(&self, statement: &'static str, play: PlayId) -> Result<Tally, Error> {
        type Row = (i64, i64, i64, i64, i64);
        let row: Option<Row> = on_engine!(&self.engine, read pool => sqlx::query_as(statement)
            .bind(play.to_string())
            .fetch_optional(pool).await)?;
        let count = |number: i64| u32::try_from(number).unwrap_or_default();
        Ok(row.map_or_else(Tally::default, |(likes, slower, perfect, faster, thanks)| Tally {
            likes: count(likes),
            tempo: TempoTally { slower: count(slower), perfect: count(perfect), faster: count(faster) },
            thanks: count(thanks),
        }))
    }

    /// The reactions to a play that are kept one by one, at most so many.
    pub async fn reactions(&self, play: PlayId, max: u32) -> Result<Vec<ReactionRow>, Error> {
        type Row = (String, String, Option<i64>, i64);
        let rows: Vec<Row> = on_engine!(&self.engine, read pool => sqlx::query_as(OF_PLAY)
            .bind(play.to_string())
            .bind(i64::from(max))
            .fetch_all(pool).await)?;
        let read = |(kind, dancer, value, at_ms): Row| {
            let reaction = Reaction::read(&kind, value)?;
            Some(ReactionRow { play_id: play, dancer: dancer.parse().ok()?, reaction, at_ms })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Summarises the reactions to plays about which nobody has said anything since `before_ms`, and the votes from before:
    /// what they come to stays, who said what goes. Plays always stay. Tells how many plays it was.
    pub async fn fold_reactions(&self, before_ms: i64) -> Result<usize, Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin().await?;
            for statement in [voice::FOLD_OLD, voice::DROP_OLD] {
                sqlx::query(statement).bind(before_ms).execute(&mut *tx).await?;
            }
            tx.commit().await?;
        });
        let mut folded = 0;
        loop {
            let some = on_engine!(&self.engine, write pool => {
                let mut tx = pool.begin().await?;
                let plays: Vec<(String,)> =
                    sqlx::query_as(TO_FOLD).bind(before_ms).bind(FOLDED_AT_ONCE).fetch_all(&mut *tx).await?;
                for (play,) in &plays {
                    for statement in [FOLD, DROP_ROWS] {
                        sqlx::query(statement).bind(play).bind("").bind(before_ms).execute(&mut *tx).await?;
                    }
                    sqlx::query(CLOSE).bind(play).execute(&mut *tx).await?;
                }
                tx.commit().await?;
                plays.len()
            });
            folded += some;
            if some == 0 {
                return Ok(folded);
            }
        }
    }
}

/// How a forgotten dancer is remembered.
pub(crate) fn hash(dancer: &DancerId) -> String {
    hex::encode(Sha256::digest(dancer.as_str()))
}
