//! Desks that ask to play at an event, until somebody lets them in.

use protocol::{DeskId, EventId, FloorId};

use crate::engine::{Error, Store, on_engine};

/// So long a desk waits to be let in.
pub const PAIRING_LASTS_MS: i64 = 10 * 60_000;

/// So long it may fetch what it was given.
const KEPT_MS: i64 = 60 * 60_000;

/// Desks that wait at one event. More would make it likelier that two have the same six digits, and no event has so many at once.
const WAITING_MAX: i64 = 32;

/// A desk that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairing {
    pub id: String,
    pub event: EventId,
    /// What it would like to be called.
    pub desk: DeskId,
    pub name: Option<String>,
    pub commitment: String,
    /// Known once it was revealed.
    pub desk_key: Option<String>,
    pub created_ms: i64,
    pub granted: Option<Grant>,
    /// The token it was given.
    pub token_name: Option<String>,
}

/// What it was let in for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub at_ms: i64,
    /// The only floor it may play on.
    pub floor: Option<FloorId>,
    /// How long its token is good for.
    pub expires_ms: Option<i64>,
}

/// What came of letting somebody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetIn {
    Done(Box<Pairing>),
    /// No desk has these six digits.
    Nobody,
    /// Two have, and nobody can say which one is meant.
    Several,
}

type Row = (
    String,
    String,
    String,
    Option<String>,
    String,
    Option<String>,
    i64,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<String>,
);

/// Whole rows, as `pairing` reads them.
macro_rules! pairings {
    ($which:literal) => {
        concat!(
            "
select
    id, event_id, desk_id, name, commitment, desk_key, created_ms, granted_ms, floor_id, expires_ms, token_name
from pairings",
            $which
        )
    };
}

const FORGET: &str = "
delete from pairings
where created_ms < $1 or created_ms > $2";

const COUNT: &str = "
select count(*)
from pairings
where event_id = $1 and granted_ms is null and created_ms > $2";

const ADD: &str = "
insert into pairings (id, event_id, desk_id, name, commitment, created_ms)
values ($1, $2, $3, $4, $5, $6)
on conflict (id) do nothing";

const ONE: &str = pairings!(
    "
where id = $1"
);

const WAITING: &str = pairings!(
    "
where event_id = $1 and granted_ms is null and created_ms > $2
order by created_ms, id"
);

const OF_CODE: &str = pairings!(
    "
where event_id = $1 and code = $2 and granted_ms is null and created_ms > $3
order by created_ms, id"
);

const REVEAL: &str = "
update pairings
set desk_key = $2, code = $3
where id = $1 and desk_key is null and granted_ms is null";

const GRANT: &str = "
update pairings
set granted_ms = $2, floor_id = $3, expires_ms = $4
where id = $1 and granted_ms is null";

const NAME: &str = "
update pairings
set token_name = $2
where id = $1";

const DROP: &str = "
delete from pairings
where id = $1";

impl Store {
    /// Notes that a desk asks. `false` when as many wait as may.
    pub async fn ask_pairing(&self, pairing: &Pairing, now_ms: i64) -> Result<bool, Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            // Also what is from the future: a clock was wrong.
            sqlx::query(FORGET)
                .bind(now_ms - KEPT_MS)
                .bind(now_ms + KEPT_MS)
                .execute(&mut *tx).await?;
            let (waiting,): (i64,) = sqlx::query_as(COUNT)
                .bind(pairing.event.as_str())
                .bind(now_ms - PAIRING_LASTS_MS)
                .fetch_one(&mut *tx).await?;
            let has_room = waiting < WAITING_MAX;
            if has_room {
                sqlx::query(ADD)
                    .bind(&pairing.id)
                    .bind(pairing.event.as_str())
                    .bind(pairing.desk.as_str())
                    .bind(pairing.name.as_deref())
                    .bind(&pairing.commitment)
                    .bind(now_ms)
                    .execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(has_room)
        })
    }

    /// The desk that asked under this id, as long as it is remembered.
    pub async fn pairing(&self, id: &str) -> Result<Option<Pairing>, Error> {
        let row: Option<Row> = on_engine!(&self.engine, read pool => sqlx::query_as(ONE)
            .bind(id)
            .fetch_optional(pool).await)?;
        Ok(row.and_then(pairing))
    }

    /// Desks that wait to be let in, the first one first.
    pub async fn waiting_pairings(&self, event: &EventId, now_ms: i64) -> Result<Vec<Pairing>, Error> {
        let rows: Vec<Row> = on_engine!(&self.engine, read pool => sqlx::query_as(WAITING)
            .bind(event.as_str())
            .bind(now_ms - PAIRING_LASTS_MS)
            .fetch_all(pool).await)?;
        Ok(rows.into_iter().filter_map(pairing).collect())
    }

    /// Notes the desk's key and the digits that both sides see. `false` when it was revealed before.
    pub async fn reveal_pairing(&self, id: &str, desk_key: &str, code: &str) -> Result<bool, Error> {
        let revealed = on_engine!(&self.engine, write pool => sqlx::query(REVEAL)
            .bind(id)
            .bind(desk_key)
            .bind(code)
            .execute(pool).await.map(|done| done.rows_affected()))?;
        Ok(revealed == 1)
    }

    /// Lets in the desk with these six digits.
    pub async fn let_in(
        &self,
        event: &EventId,
        code: &str,
        floor: Option<&FloorId>,
        expires_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<LetIn, Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            let rows: Vec<Row> = sqlx::query_as(OF_CODE)
                .bind(event.as_str())
                .bind(code)
                .bind(now_ms - PAIRING_LASTS_MS)
                .fetch_all(&mut *tx).await?;
            let mut found: Vec<Pairing> = rows.into_iter().filter_map(pairing).collect();
            let Some(mut asks) = found.pop() else { return Ok(LetIn::Nobody) };
            if !found.is_empty() {
                return Ok(LetIn::Several);
            }
            let granted = sqlx::query(GRANT)
                .bind(&asks.id)
                .bind(now_ms)
                .bind(floor.map(FloorId::as_str))
                .bind(expires_ms)
                .execute(&mut *tx).await?;
            tx.commit().await?;
            // Somebody else has let it in at the same moment.
            if granted.rows_affected() == 0 {
                return Ok(LetIn::Nobody);
            }
            asks.granted = Some(Grant { at_ms: now_ms, floor: floor.cloned(), expires_ms });
            Ok(LetIn::Done(Box::new(asks)))
        })
    }

    /// Notes which token the desk was given.
    pub async fn name_pairing(&self, id: &str, token_name: &str) -> Result<(), Error> {
        on_engine!(&self.engine, write pool => sqlx::query(NAME)
            .bind(id)
            .bind(token_name)
            .execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Forgets a desk that asked.
    pub async fn drop_pairing(&self, id: &str) -> Result<(), Error> {
        on_engine!(&self.engine, write pool => sqlx::query(DROP)
            .bind(id)
            .execute(pool).await.map(drop))?;
        Ok(())
    }
}

/// A row that cannot be read lets nobody in.
fn pairing(row: Row) -> Option<Pairing> {
    let (id, event, desk, name, commitment, desk_key, created_ms, granted_ms, floor, expires_ms, token_name) =
        row;
    let floor = floor.map(|floor| floor.parse()).transpose().ok()?;
    Some(Pairing {
        event: event.parse().ok()?,
        desk: desk.parse().ok()?,
        granted: granted_ms.map(|at_ms| Grant { at_ms, floor, expires_ms }),
        id,
        name,
        commitment,
        desk_key,
        created_ms,
        token_name,
    })
}
