//! Which archiver may write for an event. There is a row for it in the database, whose `fence` rises with each new
//! holder, and every transaction of the archive asks for it: who lost it, stores nothing any more.
//!
//! Whether a holder still lives is known without comparing clocks. In PostgreSQL it moves `beat`, and who sees it stand
//! still for long enough, by its own clock, may take over. With SQLite all programs are on one machine: there the
//! operating system holds a lock on a file for as long as the holder's process lives.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::{Engine, Error, Store, on_engine};

/// A holder that does not show itself for so long has lost its lease.
pub const LEASE_LASTS: Duration = Duration::from_millis(1_200);

/// The right to write, until somebody else has taken it.
#[derive(Debug, Clone)]
pub struct Lease {
    pub name: String,
    pub holder: String,
    /// Higher than that of every holder before.
    pub fence: i64,
    lock: Option<Arc<File>>,
}

/// What somebody who waits for a lease has seen of its holder.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Option<(i64, i64, Instant)>,
}

const INSERT: &str = "
insert into leases (name, holder, fence, beat)
values ($1, '', 0, 0)
on conflict (name) do nothing";

const LOOK: &str = "
select holder, fence, beat
from leases
where name = $1";

const TAKE: &str = "
update leases
set holder = $2, fence = fence + 1, beat = 0
where name = $1
    and fence = $3
    and beat = $4";

pub(crate) const BEAT: &str = "
update leases
set beat = beat + 1
where name = $1
    and holder = $2
    and fence = $3";

const RELEASE: &str = "
update leases
set holder = ''
where name = $1
    and holder = $2
    and fence = $3";

impl Store {
    /// Takes the lease if nobody has it, or if its holder has not shown itself for [`LEASE_LASTS`] while we watched.
    /// `holder` has to be different for each process.
    pub async fn try_lease(
        &self,
        name: &str,
        holder: &str,
        watch: &mut Watch,
        now: Instant,
    ) -> Result<Option<Lease>, Error> {
        let lock = match &self.engine {
            Engine::Sqlite { path, .. } => match lock(path, name) {
                Ok(lock) => Some(Arc::new(lock)),
                Err(TryLockError::WouldBlock) => return Ok(None),
                // Where a file cannot be locked, the database cannot be written either, and says so better.
                Err(TryLockError::Error(error)) => {
                    tracing::debug!(%error, "cannot lock the lease's file");
                    None
                }
            },
            Engine::Postgres(_) => None,
        };
        let seen: Option<(String, i64, i64)> = on_engine!(&self.engine, write pool => {
            let seen = sqlx::query_as(LOOK).bind(name).fetch_optional(pool).await?;
            if seen.is_none() {
                sqlx::query(INSERT).bind(name).execute(pool).await?;
            }
            seen
        });
        let (held_by, fence, beat) = seen.unwrap_or_default();
        if lock.is_none() && !held_by.is_empty() && !watch.is_over(fence, beat, now) {
            return Ok(None);
        }
        let taken = on_engine!(&self.engine, write pool => sqlx::query(TAKE)
            .bind(name)
            .bind(holder)
            .bind(fence)
            .bind(beat)
            .execute(pool).await?
            .rows_affected());
        let lease = Lease { name: name.to_owned(), holder: holder.to_owned(), fence: fence + 1, lock };
        Ok((taken == 1).then_some(lease))
    }

    /// Shows that the holder lives. False: somebody else has the lease.
    pub async fn renew(&self, lease: &Lease) -> Result<bool, Error> {
        if lease.lock.is_some() {
            return Ok(true);
        }
        let moved = on_engine!(&self.engine, write pool => sqlx::query(BEAT)
            .bind(&lease.name)
            .bind(&lease.holder)
            .bind(lease.fence)
            .execute(pool).await?
            .rows_affected());
        Ok(moved == 1)
    }

    /// Gives it back, so that whoever waits need not wait for long.
    pub async fn release(&self, lease: Lease) -> Result<(), Error> {
        on_engine!(&self.engine, write pool => sqlx::query(RELEASE)
            .bind(&lease.name)
            .bind(&lease.holder)
            .bind(lease.fence)
            .execute(pool).await.map(drop))?;
        Ok(())
    }
}

impl Lease {
    /// Whether the operating system itself sees to it that nobody else has it.
    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// As if its process had died: the row stays, the operating system's lock goes.
    #[doc(hidden)]
    pub fn let_go_of_lock(&mut self) {
        self.lock = None;
    }
}

impl Watch {
    fn is_over(&mut self, fence: i64, beat: i64, now: Instant) -> bool {
        match self.seen {
            Some((seen_fence, seen_beat, since)) if (seen_fence, seen_beat) == (fence, beat) => {
                now.saturating_duration_since(since) >= LEASE_LASTS
            }
            _ => {
                self.seen = Some((fence, beat, now));
                false
            }
        }
    }
}

/// The lock beside the database.
fn lock(database: &Path, name: &str) -> Result<File, TryLockError> {
    let mut path = database.as_os_str().to_owned();
    path.push(format!("-{name}.lease"));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_moves_lives() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert!(!watch.is_over(1, 5, start));
        assert!(!watch.is_over(1, 5, after(1_199)));
        assert!(!watch.is_over(1, 6, after(1_200)), "it moved");
        assert!(!watch.is_over(1, 6, after(2_399)));
        assert!(watch.is_over(1, 6, after(2_400)));
        assert!(!watch.is_over(2, 0, after(2_500)), "somebody else was quicker");
    }
}
