//! Who changed what: accounts, tokens, events. A change and the note of it are one transaction.

use protocol::{IdSource, MessageId};

use crate::engine::{Error, Store, on_engine};

/// Notes older than this go when a new one is written.
const KEPT_MS: i64 = 400 * 86_400_000;

/// Who changes something, and when.
#[derive(Debug, Clone)]
pub struct By {
    /// For people to read: `ada`, `the command line`, `desk booth`.
    pub who: String,
    pub at_ms: i64,
    /// Of the note.
    pub id: MessageId,
}

impl By {
    /// The seed is the caller's randomness, another one each time.
    pub fn at(who: impl Into<String>, at_ms: i64, seed: u64) -> Self {
        Self { who: who.into(), at_ms, id: IdSource::seeded(seed).message(at_ms) }
    }
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub id: MessageId,
    pub at_ms: i64,
    pub who: String,
    /// For example `added a token`.
    pub what: String,
    /// Which one.
    pub about: String,
}

pub(crate) const NOTE: &str = "
insert into audit (id, at_ms, who, what, about)
values ($1, $2, $3, $4, $5)";

pub(crate) const FORGET: &str = "
delete from audit
where at_ms < $1";

// Ids begin with their time, so they are in its order.
pub(crate) const NEWEST: &str = "
select id, at_ms, who, what, about
from audit
where id < $1
order by id desc
limit $2";

const LAST: &str = "
select id, at_ms, who, what, about
from audit
where what = $1
order by id desc
limit 1";

/// Writes the note beside the change, in its transaction.
macro_rules! note {
    ($tx:expr, $by:expr, $what:expr, $about:expr) => {{
        let by: &$crate::audit::By = $by;
        let (what, about): (&str, &str) = ($what, $about);
        sqlx::query($crate::audit::FORGET).bind($crate::audit::kept_from(by)).execute(&mut *$tx).await?;
        sqlx::query($crate::audit::NOTE)
            .bind(by.id.to_string())
            .bind(by.at_ms)
            .bind(&by.who)
            .bind(what)
            .bind(about)
            .execute(&mut *$tx)
            .await?;
    }};
}
pub(crate) use note;

pub(crate) fn kept_from(by: &By) -> i64 {
    by.at_ms.saturating_sub(KEPT_MS)
}

type Row = (String, i64, String, String, String);

fn change((id, at_ms, who, what, about): Row) -> Option<Change> {
    Some(Change { id: id.parse().ok()?, at_ms, who, what, about })
}

impl Store {
    /// The newest changes, or the newest of those before that one, the last one first.
    pub async fn changes(&self, before: Option<MessageId>, limit: u32) -> Result<Vec<Change>, Error> {
        // No digit of an id comes behind it.
        let before = before.map_or_else(|| "z".to_owned(), |id| id.to_string());
        let rows: Vec<Row> = on_engine!(&self.engine, read pool => sqlx::query_as(NEWEST)
            .bind(&before)
            .bind(i64::from(limit))
            .fetch_all(pool).await)?;
        Ok(rows.into_iter().filter_map(change).collect())
    }

    /// The last change of a kind.
    pub async fn last_change(&self, what: &str) -> Result<Option<Change>, Error> {
        let row: Option<Row> = on_engine!(&self.engine, read pool => sqlx::query_as(LAST)
            .bind(what)
            .fetch_optional(pool).await)?;
        Ok(row.and_then(change))
    }

    /// Notes something that changed nothing in the database, such as a backup or a login.
    pub async fn note(&self, by: &By, what: &str, about: &str) -> Result<(), Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            note!(tx, by, what, about);
            tx.commit().await?;
        });
        Ok(())
    }
}
