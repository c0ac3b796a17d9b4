//! PostgreSQL, directly or through a pooler that lends another server connection for each transaction.
//!
//! sqlx prepares statements by name and uses them again. Behind such a pooler the name is unknown where the next
//! transaction runs, or stands for somebody else's statement. There, every statement has to run in a transaction
//! and without a name. Doing so is what these types are for, so that no query has to think of it.

use std::ops::{Deref, DerefMut};
use std::str::FromStr;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use sqlx::error::BoxDynError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{
    PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo,
};
use sqlx::{Describe, Either, Execute, Executor, SqlStr};

use crate::engine::{ACQUIRE_TIMEOUT, Error};

/// Connections to PostgreSQL; a statement runs on any of them.
#[derive(Debug, Clone)]
pub(crate) struct Postgres {
    pool: PgPool,
    pooled: bool,
}

/// Statements that count together or not at all.
#[derive(Debug)]
pub(crate) struct Transaction(Inside);

/// What statements of a transaction run on: `&mut *tx`.
#[derive(Debug)]
pub(crate) struct Inside {
    tx: sqlx::Transaction<'static, sqlx::Postgres>,
    pooled: bool,
}

// A program that is frozen in the middle of a transaction must not hold up its successor.
pub(crate) const BEGIN: &str = "begin; set local idle_in_transaction_session_timeout = '3s'";

impl Postgres {
    /// Prepares access without connecting yet. `pooled` says that there is a pooler between.
    pub fn open(url: &str, pooled: bool) -> Result<Self, Error> {
        let mut options = PgConnectOptions::from_str(url)?.application_name("pika");
        if pooled {
            // A setting of the session, which PgBouncer refuses. Numbers travel in binary anyway.
            options = options.extra_float_digits(None);
        }
        let pool = PgPoolOptions::new()
            .max_connections(5)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Ok(Self { pool, pooled })
    }

    pub async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        self.begin_with(BEGIN).await
    }

    /// With a `begin` of one's own.
    pub async fn begin_with(&self, begin: &'static str) -> Result<Transaction, sqlx::Error> {
        Ok(Transaction(Inside { tx: self.pool.begin_with(begin).await?, pooled: self.pooled }))
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// How many are open, how many of these nobody uses, and how many there may be.
    pub fn connections(&self) -> (u32, usize, u32) {
        (self.pool.size(), self.pool.num_idle(), self.pool.options().get_max_connections())
    }
}

impl Transaction {
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.0.tx.commit().await
    }

    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        self.0.tx.rollback().await
    }
}

impl Deref for Transaction {
    type Target = Inside;
    fn deref(&self) -> &Inside {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Inside {
        &mut self.0
    }
}

/// A statement that gets a name on the server, or none.
struct Named<E> {
    query: E,
    named: bool,
}

impl<'q, E: Execute<'q, sqlx::Postgres>> Execute<'q, sqlx::Postgres> for Named<E> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.named && self.query.persistent()
    }
}

type Step = Either<PgQueryResult, PgRow>;

impl<'c> Executor<'c> for &'c mut Inside {
    type Database = sqlx::Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, sqlx::Postgres>,
    {
        (&mut *self.tx).fetch_many(Named { query, named: !self.pooled })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, sqlx::Postgres>,
    {
        (&mut *self.tx).fetch_optional(Named { query, named: !self.pooled })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        (&mut *self.tx).prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<sqlx::Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        (&mut *self.tx).describe(sql)
    }
}

impl<'c> Executor<'c> for &'c Postgres {
    type Database = sqlx::Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, sqlx::Postgres>,
    {
        if !self.pooled {
            return (&self.pool).fetch_many(query);
        }
        let steps = async move {
            let mut tx = self.begin().await?;
            let steps: Vec<Step> = tx.fetch_many(query).try_collect().await?;
            tx.commit().await?;
            Ok::<_, sqlx::Error>(stream::iter(steps).map(Ok))
        };
        stream::once(steps).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, sqlx::Postgres>,
    {
        if !self.pooled {
            return (&self.pool).fetch_optional(query);
        }
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let row = tx.fetch_optional(query).await?;
            tx.commit().await?;
            Ok(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        (&self.pool).prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<sqlx::Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        (&self.pool).describe(sql)
    }
}

// Any number will do, as long as every release of Pika takes the same. A lock of the transaction goes with it, where
// one of the session would stay behind on a connection that a pooler lends to others.
const LOCK: &str = "
select pg_advisory_xact_lock(7379361)";

// The table of sqlx's own migrator, which SQLite has.
const MAKE_MIGRATIONS: &str = "
create table if not exists _sqlx_migrations (
    version bigint primary key,
    description text not null,
    installed_on timestamptz not null default now(),
    success boolean not null,
    checksum bytea not null,
    execution_time bigint not null
)";

const MIGRATIONS: &str = "
select version, checksum
from _sqlx_migrations
order by version";

const ADD_MIGRATION: &str = "
insert into _sqlx_migrations (version, description, success, checksum, execution_time)
values ($1, $2, true, $3, -1)";

impl Postgres {
    /// Does what is missing, in one transaction.
    pub async fn migrate(&self, migrator: &Migrator) -> Result<(), MigrateError> {
        let mut tx = self.begin().await?;
        sqlx::query(LOCK).execute(&mut *tx).await?;
        sqlx::query(MAKE_MIGRATIONS).execute(&mut *tx).await?;
        let done: Vec<(i64, Vec<u8>)> = sqlx::query_as(MIGRATIONS).fetch_all(&mut *tx).await?;
        if let Some((version, _)) = done.iter().find(|(version, _)| !migrator.version_exists(*version)) {
            return Err(MigrateError::VersionMissing(*version));
        }
        for migration in migrator.iter() {
            let version = migration.version;
            match done.iter().find(|(done, _)| *done == version) {
                Some((_, checksum)) if *checksum != *migration.checksum => {
                    return Err(MigrateError::VersionMismatch(version));
                }
                Some(_) => {}
                None => {
                    let applied = tx.execute(migration.sql.clone()).await;
                    applied.map_err(|error| MigrateError::ExecuteMigration(error, version))?;
                    sqlx::query(ADD_MIGRATION)
                        .bind(version)
                        .bind(&*migration.description)
                        .bind(&*migration.checksum)
                        .execute(&mut *tx)
                        .await?;
                }
            }
        }
        tx.commit().await?;
        Ok(())
    }
}
