//! The two engines behind one set of statements: connecting, migrating, and telling "away" from "refused".

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use url::Url;

use crate::postgres::Postgres;

/// Each time, another program may have done one migration more.
const MIGRATE_TRIES: u32 = 20;

/// Waiting longer than this for a connection counts as the database being away.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages of a large archive that the writer keeps in memory: a night's reactions touch a few thousand.
const WRITE_CACHE_KIB: &str = "-16384";

/// Where the archive is: `sqlite:///path/to/file` or `postgres://user:password@host/name`.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    Sqlite(PathBuf),
    Postgres {
        url: String,
        /// There is a pooler between, which lends another server connection for each transaction.
        pooled: bool,
    },
}

impl DatabaseUrl {
    /// The same database, by way of a pooler in transaction mode.
    pub fn pooled(self) -> Self {
        match self {
            DatabaseUrl::Postgres { url, .. } => DatabaseUrl::Postgres { url, pooled: true },
            sqlite => sqlite,
        }
    }

    /// The same database with this password, unless the URL has one itself. `None`: there is no place for it in the URL.
    pub fn with_password(self, password: &str) -> Option<Self> {
        let DatabaseUrl::Postgres { url, pooled } = self else { return Some(self) };
        let mut parsed = Url::parse(&url).ok()?;
        if parsed.password().is_none() {
            parsed.set_password(Some(password)).ok()?;
        }
        Some(DatabaseUrl::Postgres { url: parsed.into(), pooled })
    }

    /// The password in the URL.
    pub fn password(&self) -> Option<String> {
        let DatabaseUrl::Postgres { url, .. } = self else { return None };
        let url = Url::parse(url).ok()?;
        let password = percent_encoding::percent_decode_str(url.password()?).decode_utf8().ok()?;
        Some(password.into_owned())
    }

    /// What in the URL tells of a pooler in transaction mode, as those who rent out databases write it.
    pub fn sign_of_pooler(&self) -> Option<&'static str> {
        let DatabaseUrl::Postgres { url, .. } = self else { return None };
        let url = Url::parse(url).ok()?;
        if url.port() == Some(6543) {
            Some("port 6543")
        } else if url.host_str().is_some_and(|host| host.contains("-pooler.")) {
            Some("`-pooler.` in the host")
        } else if url.query_pairs().any(|(name, value)| name == "pgbouncer" && value == "true") {
            Some("`pgbouncer=true`")
        } else {
            None
        }
    }
}

/// The text is no database URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a database URL starts with `sqlite://` and a path, or with `postgres://`")]
pub struct BadDatabaseUrl;

impl FromStr for DatabaseUrl {
    type Err = BadDatabaseUrl;
    fn from_str(text: &str) -> Result<Self, BadDatabaseUrl> {
        if let Some(path) = text.strip_prefix("sqlite://").filter(|path| !path.is_empty()) {
            Ok(DatabaseUrl::Sqlite(path.into()))
        } else if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            Ok(DatabaseUrl::Postgres { url: text.to_owned(), pooled: false })
        } else {
            Err(BadDatabaseUrl)
        }
    }
}

/// Without the login, and without parameters, where a password may stand as well: this is for logs.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseUrl::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            DatabaseUrl::Postgres { url, .. } => match Url::parse(url) {
                Ok(url) => {
                    let login = if url.username().is_empty() { "" } else { "…@" };
                    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                    let host = url.host_str().unwrap_or_default();
                    write!(f, "{}://{login}{host}{port}{}", url.scheme(), url.path())
                }
                Err(_) => f.write_str("postgres://…"),
            },
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the caller can do about it: wait, or give up on this statement.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is wrong with the statement; the same one will succeed when the database is back.
    #[error("the database is away")]
    Away(#[source] sqlx::Error),
    /// The database answered no, and will again.
    #[error("the database refused")]
    Refused(#[source] sqlx::Error),
    /// Another archiver has taken over; nothing was written.
    #[error("another archiver has taken over")]
    Superseded,
    /// The schema could not be brought up to date.
    #[error("migrate the database")]
    Migration(#[source] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let refused = match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                let postgres_away =
                    ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class) && code.len() == 5);
                let retry = ["40001", "40P01", "25006"].contains(&&*code);
                // SQLite primary result codes 5 busy, 6 locked, 8 readonly, 10 ioerr, 13 full, 14 cantopen.
                let sqlite_away = code.len() < 5
                    && code.parse::<i32>().is_ok_and(|code| [5, 6, 8, 10, 13, 14].contains(&(code & 0xff)));
                !(postgres_away || retry || sqlite_away)
            }
            sqlx::Error::RowNotFound
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::Configuration(_) => true,
            _ => false,
        };
        if refused { Error::Refused(error) } else { Error::Away(error) }
    }
}

/// An open database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) engine: Engine,
}

#[derive(Debug, Clone)]
pub(crate) enum Engine {
    /// One connection that writes, some that only read: SQLite has a single writer anyway, and waiting
    /// in our own queue is cheaper than being told "busy".
    Sqlite {
        path: PathBuf,
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(Postgres),
}

impl Engine {
    /// Begins a transaction that reads first and then writes what follows from it. SQLite's own kind would find out only when it
    /// writes that another program has written meanwhile, and could but give up.
    pub(crate) fn change(&self) -> &'static str {
        match self {
            Engine::Sqlite { .. } => "begin immediate",
            Engine::Postgres(_) => crate::postgres::BEGIN,
        }
    }

    /// Begins a transaction that sees the database as it is at one moment.
    pub(crate) fn snapshot(&self) -> &'static str {
        match self {
            Engine::Sqlite { .. } => "begin",
            // Whoever reads slowly what we write does not make us a program that is frozen.
            Engine::Postgres(_) => {
                "begin isolation level repeatable read, read only; set local idle_in_transaction_session_timeout = 0"
            }
        }
    }
}

/// Repeats `body` with `$pool` bound to the pool of whichever engine it is.
macro_rules! on_engine {
    ($engine:expr, read $pool:ident => $body:expr) => {
        match $engine {
            $crate::engine::Engine::Sqlite { read: $pool, .. } => $body,
            $crate::engine::Engine::Postgres($pool) => $body,
        }
    };
    ($engine:expr, write $pool:ident => $body:expr) => {
        match $engine {
            $crate::engine::Engine::Sqlite { write: $pool, .. } => $body,
            $crate::engine::Engine::Postgres($pool) => $body,
        }
    };
}
pub(crate) use on_engine;

impl Store {
    /// Prepares access without connecting yet: the first statement connects, and says so if it cannot.
    /// A SQLite file is made if it is missing, its folder is not.
    pub fn open(url: &DatabaseUrl) -> Result<Store, Error> {
        let engine = match url {
            DatabaseUrl::Sqlite(path) => sqlite(path),
            DatabaseUrl::Postgres { url, pooled } => Engine::Postgres(Postgres::open(url, *pooled)?),
        };
        Ok(Store { engine })
    }

    /// Brings the schema up to date. Safe to call from several programs at once.
    pub async fn migrate(&self) -> Result<(), Error> {
        let migrator = migrator();
        self.reach().await?;
        let migrated = match &self.engine {
            Engine::Sqlite { write, .. } => migrate_sqlite(write, &migrator).await,
            Engine::Postgres(postgres) => postgres.migrate(&migrator).await,
        };
        migrated.map_err(|error| match error {
            MigrateError::Execute(error) => match Error::from(error) {
                Error::Refused(error) => Error::Migration(error.into()),
                away => away,
            },
            other => Error::Migration(other),
        })
    }

    /// Connects, so that an absent server is told apart from a bad migration. While another program makes a new SQLite
    /// file ready, nobody is let in, and nobody can wait in line.
    async fn reach(&self) -> Result<(), Error> {
        let mut tries = 1;
        loop {
            match self.ping().await {
                Err(Error::Away(error)) if is_busy(&error) && tries < MIGRATE_TRIES => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                reached => return reached,
            }
        }
    }

    /// Migrations of this release that the database does not have yet.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, Error> {
        let done: Result<Vec<(i64,)>, sqlx::Error> = on_engine!(&self.engine, read pool =>
            sqlx::query_as("select version from _sqlx_migrations").fetch_all(pool).await);
        let done = match done.map_err(Error::from) {
            Ok(done) => done,
            // An empty database has no such table.
            Err(Error::Refused(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let migrator = sqlx::migrate!("./migrations");
        let pending = migrator.iter().filter(|one| done.iter().all(|(version,)| *version != one.version));
        Ok(pending.map(|one| format!("{} {}", one.version, one.description)).collect())
    }

    /// What time it is for the database. Nothing: it has no clock but ours.
    pub async fn server_clock_ms(&self) -> Result<Option<i64>, Error> {
        let Engine::Postgres(pool) = &self.engine else { return Ok(None) };
        let now = "select cast(extract(epoch from clock_timestamp()) * 1000 as bigint)";
        let (now_ms,): (i64,) = sqlx::query_as(now).fetch_one(pool).await?;
        Ok(Some(now_ms))
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        on_engine!(&self.engine, write pool => sqlx::query("select 1").execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Lets the database look at what is in there, so that it finds the right ways. It does so by itself, too, in time.
    pub async fn analyze(&self) -> Result<(), Error> {
        on_engine!(&self.engine, write pool => sqlx::query("analyze").execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Closes all connections; statements after this fail.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite { write, read, .. } => {
                read.close().await;
                write.close().await;
            }
            Engine::Postgres(pool) => pool.close().await,
        }
    }
}

/// All changes of the tables that this version knows.
pub(crate) fn migrator() -> Migrator {
    sqlx::migrate!("./migrations")
}

/// SQLite's primary result code 5: somebody else uses the file in a way that allows nobody beside.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == 5)
}

/// Of two programs that begin at the same moment one is refused what the other has just done, and finds it done when it
/// looks again.
async fn migrate_sqlite(write: &SqlitePool, migrator: &Migrator) -> Result<(), MigrateError> {
    let mut tries = 1;
    loop {
        let Err(error) = migrator.run(write).await else { return Ok(()) };
        if tries == MIGRATE_TRIES {
            return Err(error);
        }
        tries += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn sqlite(path: &Path) -> Engine {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // The cursor tells a desk to forget its copy, so a commit must survive power loss.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(ACQUIRE_TIMEOUT)
        // PostgreSQL's name for the order of the bytes, so that one text can ask both for it.
        .collation("C", |one, two| one.cmp(two))
        .foreign_keys(true);
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // When the disk is full, SQLite may end a transaction by itself, and sqlx goes on counting it as open: what
        // is written after that would be inside it, and never be committed.
        .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_lazy_with(options.clone().pragma("cache_size", WRITE_CACHE_KIB));
    let read = SqlitePoolOptions::new()
        .max_connections(4)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options.pragma("query_only", "1"));
    Engine::Sqlite { path: path.to_owned(), write, read }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_engine() {
        assert_eq!("sqlite:///a/b.db".parse(), Ok(DatabaseUrl::Sqlite("/a/b.db".into())));
        assert!(matches!("postgres://u:p@h/d".parse(), Ok(DatabaseUrl::Postgres { pooled: false, .. })));
        for bad in ["", "sqlite://", "mysql://x", "/a/b.db"] {
            assert_eq!(bad.parse::<DatabaseUrl>(), Err(BadDatabaseUrl), "{bad}");
        }
    }

    #[test]
    fn a_password_gets_into_the_url() {
        let with = |url: &str| match url.parse::<DatabaseUrl>().unwrap().with_password("a@b/c d%") {
            Some(DatabaseUrl::Postgres { url, .. }) => Some(url),
            _ => None,
        };
        let expected = "postgres://pika:a%40b%2Fc%20d%@postgres/pika";
        assert_eq!(with("postgres://pika@postgres/pika").as_deref(), Some(expected));
        let own = "postgres://pika:own@postgres/pika?sslmode=verify-full";
        assert_eq!(with(own).as_deref(), Some(own), "what the URL says counts");
        assert_eq!(with("postgres:///pika"), None);
        let sqlite: DatabaseUrl = "sqlite:///data/pika.db".parse().unwrap();
        assert_eq!(sqlite.clone().with_password("x"), Some(sqlite));
    }

    #[test]
    fn a_pooler_shows_in_the_url() {
        let sign = |url: &str| url.parse::<DatabaseUrl>().unwrap().sign_of_pooler();
        assert_eq!(sign("postgres://u:p@aws-0.pooler.example.com:6543/postgres"), Some("port 6543"));
        assert_eq!(sign("postgres://u:p@ep-x-pooler.eu.example.com/d"), Some("`-pooler.` in the host"));
        assert_eq!(sign("postgresql://u:p@h/d?sslmode=require&pgbouncer=true"), Some("`pgbouncer=true`"));
        for direct in
            ["postgres://u:p@h:5432/d", "postgres://pooler.example.com/d?pgbouncer=false", "sqlite:///6543"]
        {
            assert_eq!(sign(direct), None, "{direct}");
        }
    }

    #[test]
    fn a_url_in_a_log_has_no_password() {
        let url: DatabaseUrl = "postgres://pika:s3cret@db.example.org/pika".parse().unwrap();
        assert_eq!(
            format!("{url:?} {url}"),
            "postgres://…@db.example.org/pika postgres://…@db.example.org/pika"
        );
        for (url, shown) in [
            ("postgres://db.example.org:5433/pika?password=s3cret", "postgres://db.example.org:5433/pika"),
            ("postgresql://pika:s3@cret@h/d?sslmode=require", "postgresql://…@h/d"),
            ("postgres://pika:s3cret@[h/d", "postgres://…"),
        ] {
            assert_eq!(url.parse::<DatabaseUrl>().unwrap().to_string(), shown);
        }
    }
}
