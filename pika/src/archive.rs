//! `pika export` and `pika import`: the archive in and out of files.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};
use protocol::EventId;
use store::{DatabaseUrl, Store, check_dump};

use crate::cli::{Export, Import};
use crate::files::{NewFile, Watched};
use crate::settings::Loaded;

/// `pika export`
pub async fn export(loaded: &Loaded, flags: Export) -> anyhow::Result<()> {
    let store = existing(loaded).await?;
    if let Some(event) = &flags.event {
        known(&store, event).await?;
    }
    let rows = match &flags.out {
        Some(path) => {
            let file = NewFile::beside(path)?;
            let out = File::options().write(true).open(file.path()).context("open what was just made")?;
            let rows = dump(&store, flags.event.as_ref(), out).await?;
            file.keep()?;
            rows
        }
        None => dump(&store, flags.event.as_ref(), io::stdout()).await?,
    };
    store.close().await;
    eprintln!("{rows} rows; whoever has them has the tokens' hashes too, so keep them like a password file");
    Ok(())
}

async fn dump(store: &Store, event: Option<&EventId>, out: impl Write + Send) -> anyhow::Result<u64> {
    store.dump(event, &mut BufWriter::new(Watched::new("writing", out, None))).await
}

/// `pika import`
pub async fn import(loaded: &Loaded, flags: Import) -> anyhow::Result<()> {
    let store = opened(loaded).await?;
    let rows = load(&store, &flags.file).await?;
    store.close().await;
    eprintln!("{rows} rows are in {}", loaded.database()?);
    Ok(())
}

/// All of a dump, or an error before the first row is written when any line of it is damaged.
pub async fn load(store: &Store, path: &Path) -> anyhow::Result<u64> {
    let open = |what| -> anyhow::Result<BufReader<Watched<File>>> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let bytes = file.metadata().with_context(|| format!("look at {}", path.display()))?.len();
        Ok(BufReader::new(Watched::new(what, file, Some(bytes))))
    };
    let tried = || format!("read {}", path.display());
    check_dump(&mut open("checking")?).with_context(tried)?;
    store.load(&mut open("importing")?).await.with_context(tried)
}

/// The archive, which has to be there: SQLite would make an empty one.
pub async fn existing(loaded: &Loaded) -> anyhow::Result<Store> {
    if let DatabaseUrl::Sqlite(path) = loaded.database()?
        && !path.is_file()
    {
        bail!(
            "there is no archive at {}; --data names its folder, or DATABASE_URL the database",
            path.display()
        );
    }
    opened(loaded).await
}

pub async fn opened(loaded: &Loaded) -> anyhow::Result<Store> {
    let url = loaded.database()?;
    let store = Store::open(&url)?;
    store.migrate().await.with_context(|| format!("open the database {url}"))?;
    Ok(store)
}

async fn known(store: &Store, event: &EventId) -> anyhow::Result<()> {
    let events = store.events().await?;
    if events.iter().any(|known| known.id == *event) {
        return Ok(());
    }
    let ids: Vec<&str> = events.iter().map(|known| known.id.as_str()).collect();
    bail!("there is no event `{event}` in the archive; it has: {}", ids.join(", "))
}
