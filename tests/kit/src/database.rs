//! A fresh database for one test, on either engine.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use protocol::PastPlay;
use store::{DatabaseUrl, Store};

static MADE: AtomicU32 = AtomicU32::new(0);

/// An empty database; the programs migrate it.
#[derive(Debug)]
pub struct Database {
    pub url: String,
}

impl Database {
    /// A SQLite file in `folder`.
    pub fn sqlite(folder: &Path) -> Self {
        Self { url: format!("sqlite://{}", folder.join("archive.db").display()) }
    }

    /// A database of its own on the server that `cargo xtask test` has started.
    ///
    /// # Panics
    /// There is no such server. A test that needs PostgreSQL is never skipped.
    pub fn postgres() -> Self {
        let server = postgres_server();
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("pika_{}_{nanos}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let made =
            Command::new("psql").args([&server, "-qc", &format!("create database {name}")]).output().unwrap();
        assert!(made.status.success(), "create database: {}", String::from_utf8_lossy(&made.stderr));
        let (base, _) = server.rsplit_once('/').unwrap();
        Self { url: format!("{base}/{name}") }
    }

    /// The same, by way of the PgBouncer that `cargo xtask test` has started.
    ///
    /// # Panics
    /// There is none.
    pub fn pgbouncer() -> Self {
        let pgbouncer = of_xtask("PIKA_TEST_PGBOUNCER");
        let (base, _) = pgbouncer.rsplit_once('/').unwrap();
        let direct = Self::postgres().url;
        let (_, name) = direct.rsplit_once('/').unwrap();
        Self { url: format!("{base}/{name}?pgbouncer=true") }
    }

    /// Access of our own, to look at what the programs stored.
    pub fn store(&self) -> Store {
        let url: DatabaseUrl = self.url.parse().unwrap();
        Store::open(&if url.sign_of_pooler().is_some() { url.pooled() } else { url }).unwrap()
    }

    /// The plays of `tonight/main` in the order of their start.
    pub async fn plays(&self) -> Result<Vec<PastPlay>, String> {
        let store = self.store();
        let floor = "tonight/main".parse().unwrap();
        let plays = store.recent(&floor, 100_000).await.map_err(|error| error.to_string());
        store.close().await;
        Ok(plays?.into_iter().rev().map(|(_, play)| play).collect())
    }
}

/// The maintenance URL of the PostgreSQL server for tests.
pub fn postgres_server() -> String {
    of_xtask("PIKA_TEST_POSTGRES")
}

/// What `cargo xtask test` says about the servers it has started.
///
/// # Panics
/// The tests run without it.
pub fn of_xtask(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests by `cargo xtask test`, which starts a PostgreSQL")
    })
}
