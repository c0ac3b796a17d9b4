//! `pika backup` and `pika restore`: where backups lie, how many are kept, and what may be overwritten.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use config::clock::now_ms;
use store::{BackupFormat, DatabaseUrl, Store};

use crate::archive::{existing, load, opened};
use crate::cli::{Backup, Restore};
use crate::files::{NewFile, PART, Progress};
use crate::settings::Loaded;
use crate::tokens::by;

/// A part that nobody has touched for so long was left by a process that was killed.
const PART_AGE_MAX: Duration = Duration::from_secs(86_400);

/// `pika backup`
pub async fn backup(loaded: &Loaded, flags: Backup) -> anyhow::Result<()> {
    let url = loaded.database()?;
    let ending = match &url {
        DatabaseUrl::Sqlite(_) => ".db",
        DatabaseUrl::Postgres { .. } => ".pgdump",
    };
    refuse_pooler(&url)?;
    let in_folder = flags.target.is_dir();
    // Or a folder that is not mounted just now would become a file.
    ensure!(
        in_folder || !flags.target.as_os_str().to_string_lossy().ends_with(std::path::is_separator),
        "there is no folder {}; make it first",
        flags.target.display()
    );
    let target = if in_folder { flags.target.join(dated_name(now_ms(), ending)?) } else { flags.target };
    let file = NewFile::beside(&target)?;
    match &url {
        DatabaseUrl::Sqlite(path) => {
            ensure!(path.is_file(), "there is no archive at {}", path.display());
            let same = |one: &Path, two: &Path| fs::canonicalize(one).ok() == fs::canonicalize(two).ok();
            ensure!(!same(path, &target), "{} is the archive itself; name another file", target.display());
            let of = fs::metadata(path).ok().map(|archive| archive.len());
            growing(file.path(), of, store::copy_sqlite(path, file.path())).await?;
        }
        DatabaseUrl::Postgres { url: address, .. } => {
            let (address, path) = (address.clone(), file.path().to_owned());
            let dumped = tokio::task::spawn_blocking(move || store::pg_dump(&address, &path));
            growing(file.path(), None, dumped).await.context("pg_dump broke off")??;
        }
    }
    file.keep()?;
    if in_folder {
        rotate(target.parent().context("a backup lies in a folder")?, ending, flags.keep)?;
    }
    note(&url, &target).await;
    eprintln!("{} holds the archive of {url}; keep it like a password file", target.display());
    Ok(())
}

/// How a backup stands in the list of changes, where `pika check` looks for the last one.
pub const NOTE: &str = "made a backup";

/// The backup is there whether it is on record or not.
async fn note(url: &DatabaseUrl, target: &Path) {
    let file_name = target.file_name().unwrap_or_default();
    let noted = async {
        let store = Store::open(url)?;
        store.note(&by(), NOTE, &file_name.to_string_lossy()).await?;
        store.close().await;
        Ok::<_, store::Error>(())
    };
    if let Err(error) = noted.await {
        tracing::warn!("the backup is not on record: {:#}", anyhow::Error::from(error));
    }
}

/// Shows on a terminal how a file grows while somebody writes it.
async fn growing<T>(path: &Path, of: Option<u64>, work: impl Future<Output = T>) -> T {
    let mut progress = Progress::new("copied");
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = tick.tick() => {
                let bytes = fs::metadata(path).map_or(0, |file| file.len());
                progress.show(of.map_or(bytes, |of| bytes.min(of)), of);
            }
        }
    }
}

/// PostgreSQL's own tools change settings of their session, which such a pooler gives to others.
fn refuse_pooler(url: &DatabaseUrl) -> anyhow::Result<()> {
    if matches!(url, DatabaseUrl::Postgres { pooled: true, .. }) {
        bail!(
            "pg_dump and pg_restore do not work through a pooler in transaction mode: give this command the direct \
             address of the database (DATABASE_URL, with PIKA__DATABASE__POOLER=none), or use `pika export --format \
             jsonl` and `pika import`"
        );
    }
    Ok(())
}

/// `pika-20261231T235959Z.db`: sorted by name, they are sorted by time.
fn dated_name(at_ms: i64, ending: &str) -> anyhow::Result<String> {
    let at = jiff::Timestamp::from_millisecond(at_ms).context("read the clock")?;
    Ok(format!("{}{ending}", at.strftime("pika-%Y%m%dT%H%M%SZ")))
}

/// Whether the name is one that [`dated_name`] makes. No other file in the folder is ours to remove.
fn is_ours(name: &str, ending: &str) -> bool {
    let Some(date) = name.strip_prefix("pika-").and_then(|rest| rest.strip_suffix(ending)) else {
        return false;
    };
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "00000000T000000Z"
}

/// The same while it was not complete: `pika-20261231T235959Z.db.1234.part`.
fn is_our_part(name: &str, ending: &str) -> bool {
    let whole = name.strip_suffix(PART).and_then(|rest| rest.rsplit_once('.'));
    whole.is_some_and(|(whole, id)| is_ours(whole, ending) && id.bytes().all(|b| b.is_ascii_digit()))
}

/// All but the newest `keep` of our backups.
fn superfluous(names: &[String], ending: &str, keep: usize) -> Vec<String> {
    let mut ours: Vec<&String> = names.iter().filter(|name| is_ours(name, ending)).collect();
    ours.sort();
    ours.iter().rev().skip(keep).map(|name| (*name).clone()).collect()
}

fn rotate(folder: &Path, ending: &str, keep: u32) -> anyhow::Result<()> {
    let tried = || format!("look through {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(tried)? {
        // A name that is not text is none of ours.
        names.extend(entry.with_context(tried)?.file_name().into_string());
    }
    let is_old = |name: &String| {
        let changed = fs::metadata(folder.join(name)).and_then(|part| part.modified());
        let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
        age.is_some_and(|age| age > PART_AGE_MAX)
    };
    let left = names.iter().filter(|name| is_our_part(name, ending) && is_old(name)).cloned();
    for name in left.chain(superfluous(&names, ending, keep as usize)) {
        let path = folder.join(name);
        fs::remove_file(&path).with_context(|| format!("remove the old backup {}", path.display()))?;
    }
    Ok(())
}

/// `pika restore`
pub async fn restore(loaded: &Loaded, flags: Restore) -> anyhow::Result<()> {
    let url = loaded.database()?;
    let format = BackupFormat::of(&flags.file)?;
    match (format, &url) {
        (BackupFormat::Sqlite, DatabaseUrl::Postgres { .. })
        | (BackupFormat::PgDump, DatabaseUrl::Sqlite(_)) => {
            bail!(
                "{} is of the other engine, and {url} cannot take it; restore it where it fits, then move the archive \
             with `pika export --format jsonl` and `pika import`",
                flags.file.display()
            )
        }
        _ => {}
    }
    if format == BackupFormat::PgDump {
        refuse_pooler(&url)?;
    }
    if !flags.force {
        refuse_to_overwrite(loaded).await?;
    }
    match (format, &url) {
        (BackupFormat::Dump, _) => {
            ensure!(
                !flags.force,
                "a dump is added to what is there and overwrites nothing; use `pika import`"
            );
            let store = opened(loaded).await?;
            load(&store, &flags.file).await?;
            store.close().await;
        }
        (_, DatabaseUrl::Sqlite(path)) => restore_sqlite(&flags.file, path).await?,
        (_, DatabaseUrl::Postgres { url: address, .. }) => {
            store::pg_restore(address, &flags.file)?;
            // An older one is brought up to date.
            opened(loaded).await?.close().await;
        }
    }
    eprintln!("{url} is as it was in {}", flags.file.display());
    Ok(())
}

async fn refuse_to_overwrite(loaded: &Loaded) -> anyhow::Result<()> {
    let url = loaded.database()?;
    if matches!(&url, DatabaseUrl::Sqlite(path) if !path.exists()) {
        return Ok(());
    }
    let store = existing(loaded).await?;
    let is_empty = store.is_empty().await?;
    store.close().await;
    ensure!(
        is_empty,
        "{url} holds an archive already; make a backup of it and say --force to put this one in its place"
    );
    Ok(())
}

async fn restore_sqlite(backup: &Path, path: &Path) -> anyhow::Result<()> {
    let copy = NewFile::beside(path)?;
    store::prepare_sqlite(backup, copy.path()).await?;
    if path.exists() {
        store::release_sqlite(path).await?;
    }
    copy.keep()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_nothing_else_does() {
        let names: Vec<String> = [
            "pika-20260101T000000Z.db",
            "pika-20261231T235959Z.db",
            "pika-20260102T000000Z.db",
            "pika-20260101T000000Z.pgdump",
            "pika-20250101T000000Z.db.bak",
            "pika-mine.db",
            "pika.db",
            "aaa",
        ]
        .map(str::to_owned)
        .to_vec();
        assert_eq!(superfluous(&names, ".db", 1), ["pika-20260102T000000Z.db", "pika-20260101T000000Z.db"]);
        assert!(superfluous(&names, ".db", 14).is_empty());
        assert!(is_our_part("pika-20260101T000000Z.db.17.part", ".db"));
        assert!(!is_our_part("pika-20260101T000000Z.db.part", ".db") && !is_our_part("x.db.17.part", ".db"));
        let name = dated_name(1_798_761_599_000, ".db").unwrap();
        assert_eq!(name, "pika-20261231T235959Z.db");
        assert!(is_ours(&name, ".db"));
    }
}
