//! Exact copies of the archive and the way back: SQLite's own for the one engine, PostgreSQL's tools for the other.
//!
//! Names, places and rotation of the files are the caller's affair.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, bail, ensure};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use url::Url;

use crate::engine::{DatabaseUrl, Engine, Error, Store};

/// Every table of ours. A managed PostgreSQL has others beside them, which are none of our business.
const TABLES: &[&str] = &[
    "events",
    "floors",
    "tokens",
    "sets",
    "plays",
    "cursors",
    "reactions",
    "tallies",
    "announcements",
    "polls",
    "poll_options",
    "poll_votes",
    "requests",
    "last_songs",
    "pairings",
    "people",
    "sessions",
    "token_owners",
    "token_uses",
    "retired",
    "event_settings",
    "audit",
    "forgotten_dancers",
    "leases",
    "desks",
    "covers",
    "_sqlx_migrations",
];

/// What a file is, by how it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupFormat {
    Sqlite,
    /// `pg_dump -Fc`
    PgDump,
    /// Lines of JSON, for both engines.
    Dump,
}

impl BackupFormat {
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        let tried = || format!("read {}", path.display());
        let mut beginning = Vec::new();
        File::open(path).and_then(|file| file.take(16).read_to_end(&mut beginning)).with_context(tried)?;
        let begins = |with: &[u8]| beginning.starts_with(with);
        if begins(b"SQLite format 3\0") {
            Ok(BackupFormat::Sqlite)
        } else if begins(b"PGDMP") {
            Ok(BackupFormat::PgDump)
        } else if begins(br#"{"pika_dump":"#) {
            Ok(BackupFormat::Dump)
        } else {
            bail!(
                "{} is no backup that Pika knows: neither a SQLite file, nor from pg_dump -Fc, nor from \
                 pika export --format jsonl",
                path.display()
            )
        }
    }
}

/// Copies the SQLite database to `copy`, which is empty or missing, while others go on using it, and makes sure that
/// the copy can be read.
pub async fn copy_sqlite(database: &Path, copy: &Path) -> anyhow::Result<()> {
    let store = Store::open(&DatabaseUrl::Sqlite(database.to_owned()))?;
    let Engine::Sqlite { write, .. } = &store.engine else { bail!("this is no SQLite database") };
    let target = copy.to_str().context("the name of the copy is not text")?;
    sqlx::query("vacuum into $1").bind(target).execute(write).await.map_err(Error::from)?;
    store.close().await;
    check_sqlite(copy).await
}

/// Makes of an empty file an archive that can take the place of another: a copy of the backup, whole and up to date.
pub async fn prepare_sqlite(backup: &Path, copy: &Path) -> anyhow::Result<()> {
    ensure!(
        fs::metadata(beside(backup, "-wal")).map_or(0, |log| log.len()) == 0,
        "{} is a database at work, with changes in a file beside it; make a backup of it with `pika backup`",
        backup.display()
    );
    let copied = || -> io::Result<u64> {
        io::copy(&mut File::open(backup)?, &mut File::options().write(true).open(copy)?)
    };
    copied().with_context(|| format!("copy {} to {}", backup.display(), copy.display()))?;
    check_sqlite(copy).await.with_context(|| format!("restore {}", backup.display()))?;
    // An older one is brought up to date, a newer one is noticed, before it takes the place of anything.
    let store = Store::open(&DatabaseUrl::Sqlite(copy.to_owned()))?;
    store.migrate().await.with_context(|| format!("bring {} up to date", backup.display()))?;
    store.close().await;
    release_sqlite(copy).await
}

/// Takes the database out of use: all of it is in its one file then, and nobody has it open.
pub async fn release_sqlite(database: &Path) -> anyhow::Result<()> {
    // Leaving this mode takes the last connection there is.
    let options = SqliteConnectOptions::new().filename(database).journal_mode(SqliteJournalMode::Delete);
    let released = async { sqlx::Connection::close(options.connect().await?).await };
    match released.await.map_err(Error::from) {
        // It is no database, and about to be replaced.
        Ok(()) | Err(Error::Refused(_)) => {}
        Err(error) => {
            return Err(error).with_context(|| {
                format!("take {} out of use; stop the Pika that works with it", database.display())
            });
        }
    }
    for ending in ["-wal", "-shm"] {
        match fs::remove_file(beside(database, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}{ending}", database.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

async fn check_sqlite(path: &Path) -> anyhow::Result<()> {
    let check = async {
        let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await?;
        let faults: Vec<(String,)> =
            sqlx::query_as("pragma integrity_check").fetch_all(&mut connection).await?;
        let ours: (i64,) = sqlx::query_as(
            "
select count(*)
from sqlite_master
where name in ('events', 'plays', '_sqlx_migrations')",
        )
        .fetch_one(&mut connection)
        .await?;
        sqlx::Connection::close(connection).await?;
        Ok((faults, ours.0))
    };
    let outcome: Result<_, sqlx::Error> = check.await;
    let (faults, ours) = outcome.with_context(|| format!("check {}", path.display()))?;
    match faults.first() {
        Some((fault,)) if fault != "ok" => bail!("{} is damaged: {fault}", path.display()),
        _ => {}
    }
    ensure!(ours == 3, "{} is a SQLite database, but no archive of Pika", path.display());
    Ok(())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Writes what is ours in a PostgreSQL database to `file`, as `pg_dump -Fc` does.
pub fn pg_dump(url: &str, file: &Path) -> anyhow::Result<()> {
    let mut command = connecting("pg_dump", url)?;
    command.args(["--format=custom", "--no-owner", "--no-privileges", "--file"]).arg(file);
    for table in TABLES {
        command.args(["--table", table]);
    }
    let done = command.stdin(Stdio::null()).output().map_err(|error| missing("pg_dump", error))?;
    succeeded("pg_dump", done.status, &done.stderr)
}

/// Puts what [`pg_dump`] has written into the place of what is ours in a PostgreSQL database: all of it or nothing.
pub fn pg_restore(url: &str, file: &Path) -> anyhow::Result<()> {
    // As statements, so that dropping the old tables, newer ones too, is part of the same transaction.
    let mut restore = Command::new("pg_restore");
    restore.args(["--no-owner", "--no-privileges", "--file=-"]).arg(file);
    let mut restore = start("pg_restore", &mut restore)?;
    let mut psql = connecting("psql", url)?;
    psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"]);
    let mut psql = start("psql", &mut psql)?;
    let mut statements = restore.stdout.take().context("read from pg_restore")?;
    let mut run = psql.stdin.take().context("write to psql")?;
    // Their own client's notices about tables that are not there help nobody.
    let begin =
        format!("set client_min_messages = warning;\nbegin;\ndrop table if exists {};\n", TABLES.join(", "));
    let passed = run.write_all(begin.as_bytes()).and_then(|()| io::copy(&mut statements, &mut run));
    let restored = ended("pg_restore", restore);
    // Without this line, what was passed on until now is undone.
    let committed = match (&passed, &restored) {
        (Ok(_), Ok(())) => run.write_all(b"commit;\n"),
        _ => Ok(()),
    };
    drop(run);
    // Whoever read is told first: a writer only says that nobody reads any more.
    ended("psql", psql)?;
    passed.context("pass the backup to psql")?;
    committed.context("commit the backup")?;
    restored
}

/// A program of PostgreSQL's that connects. Everybody on the machine can read a command line, so the password goes
/// another way.
fn connecting(program: &str, url: &str) -> anyhow::Result<Command> {
    let (url, password) = without_password(url)?;
    let mut command = Command::new(program);
    command.args(["--no-password", "--dbname", &url]);
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    Ok(command)
}

/// What PostgreSQL's own tools understand; they refuse others, such as `pgbouncer`.
const PARAMETERS: &[&str] = &[
    "host",
    "port",
    "user",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "options",
    "application_name",
    "connect_timeout",
    "channel_binding",
    "target_session_attrs",
];

fn without_password(text: &str) -> anyhow::Result<(String, Option<String>)> {
    let mut url = Url::parse(text).context("read the database URL")?;
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut password = url.password().map(decoded);
    let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    url.set_query(None);
    for (name, value) in parameters {
        if name == "password" {
            password = Some(value);
        } else if PARAMETERS.contains(&name.as_str()) {
            url.query_pairs_mut().append_pair(&name, &value);
        }
    }
    // A URL without a host has no password either.
    let _ = url.set_password(None);
    Ok((url.into(), password))
}

fn start(name: &str, command: &mut Command) -> anyhow::Result<Child> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|error| missing(name, error))
}

fn ended(name: &str, child: Child) -> anyhow::Result<()> {
    let done = child.wait_with_output().with_context(|| format!("wait for {name}"))?;
    succeeded(name, done.status, &done.stderr)
}

fn missing(name: &str, error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::NotFound {
        anyhow::anyhow!(
            "{name} is not installed here: install PostgreSQL's client (Debian: postgresql-client) in the server's \
             version, or use `pika export --format jsonl` and `pika import`, which need nothing else"
        )
    } else {
        anyhow::Error::from(error).context(format!("run {name}"))
    }
}

fn succeeded(name: &str, status: ExitStatus, said: &[u8]) -> anyhow::Result<()> {
    ensure!(status.success(), "{name} failed: {}", String::from_utf8_lossy(said).trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_has_no_password() {
        for (url, stripped, password) in [
            ("postgres://pika:s%3Acr+et@h:1/d", "postgres://pika@h:1/d", Some("s:cr+et")),
            (
                "postgresql://pika@h/d?password=x%26y&sslmode=require",
                "postgresql://pika@h/d?sslmode=require",
                Some("x&y"),
            ),
            ("postgres://h/d?pgbouncer=true&statement-cache-capacity=0", "postgres://h/d", None),
        ] {
            assert_eq!(
                without_password(url).unwrap(),
                (stripped.to_owned(), password.map(str::to_owned)),
                "{url}"
            );
        }
    }
}
