//! How the database is: what an operator wants to know of it.

use sqlx::Row as _;

use crate::engine::{Engine, Error, Store, migrator};

/// What the database said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    pub size_bytes: u64,
    /// Changes of the tables that this version knows and that were not made.
    pub migrations_missing: u64,
}

/// This process's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    pub open: u64,
    pub idle: u64,
    pub max: u64,
}

const SIZE_SQLITE: &str = "select page_count * page_size from pragma_page_count(), pragma_page_size()";
const SIZE_POSTGRES: &str = "select pg_database_size(current_database())";
const MIGRATIONS: &str = "select count(*) from _sqlx_migrations where success";

impl Store {
    /// Asks it.
    pub async fn condition(&self) -> Result<Condition, Error> {
        let known =
            migrator().iter().filter(|migration| !migration.migration_type.is_down_migration()).count();
        let (size, made) = match &self.engine {
            Engine::Sqlite { read, .. } => {
                let size: i64 = sqlx::query(SIZE_SQLITE).fetch_one(read).await?.try_get(0)?;
                let made = sqlx::query(MIGRATIONS).fetch_one(read).await.map(|row| row.try_get::<i64, _>(0));
                (size, made)
            }
            Engine::Postgres(pool) => {
                let size: i64 = sqlx::query(SIZE_POSTGRES).fetch_one(pool).await?.try_get(0)?;
                let made = sqlx::query(MIGRATIONS).fetch_one(pool).await.map(|row| row.try_get::<i64, _>(0));
                (size, made)
            }
        };
        let made = match made.map_err(Error::from) {
            Ok(made) => made?,
            // There are no tables at all yet.
            Err(Error::Refused(_)) => 0,
            Err(away) => return Err(away),
        };
        let missing = known.saturating_sub(usize::try_from(made).unwrap_or_default());
        Ok(Condition { size_bytes: size.unsigned_abs(), migrations_missing: missing as u64 })
    }

    /// Looks at the connections, without asking anybody.
    pub fn connections(&self) -> Connections {
        let of = |open: u32, idle: usize, max: u32| Connections {
            open: open.into(),
            idle: idle as u64,
            max: max.into(),
        };
        match &self.engine {
            Engine::Sqlite { read, write, .. } => of(
                read.size() + write.size(),
                read.num_idle() + write.num_idle(),
                read.options().get_max_connections() + write.options().get_max_connections(),
            ),
            Engine::Postgres(postgres) => {
                let (open, idle, max) = postgres.connections();
                of(open, idle, max)
            }
        }
    }
}
