//! `pika export` and `pika import`: the archive in and out of files.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};
use protocol::{EventId, SetId};
use store::{DatabaseUrl, Event, PastSet, Store, TrackList, TrackListFormat, check_dump, listing};

use crate::cli::{Export, Format, Import};
use crate::files::{NewFile, Watched};
use crate::settings::Loaded;

/// `pika export`
pub async fn export(loaded: &Loaded, flags: Export) -> anyhow::Result<()> {
    let store = existing(loaded).await?;
    let event = match &flags.event {
        Some(event) => Some(known(&store, event).await?),
        None => None,
    };
    let format = match flags.format {
        Some(Format::Csv) => Some(TrackListFormat::Csv),
        Some(Format::Json) => Some(TrackListFormat::Json),
        Some(Format::Jsonl) => flags.set.map(|_| TrackListFormat::Jsonl),
        Some(Format::M3u8) => Some(TrackListFormat::M3u8),
        Some(Format::Cue) => Some(TrackListFormat::Cue),
        Some(Format::Txt) => Some(TrackListFormat::Text),
        Some(Format::Md) => Some(TrackListFormat::Markdown),
        None => None,
    };
    match (event, format) {
        (Some(event), _) if flags.list => {
            let sets = store.sets_of_event(&event.id).await?;
            print(listing(&event, &sets).as_bytes())?;
        }
        (Some(event), Some(format)) => {
            let text = track_list(&store, event, flags.set, format).await?.render(format);
            match &flags.out {
                Some(path) => {
                    let file = NewFile::beside(path)?;
                    std::fs::write(file.path(), text).with_context(|| format!("write {}", path.display()))?;
                    file.keep()?;
                }
                None => print(text.as_bytes())?,
            }
        }
        (event, _) => {
            let event = event.map(|event| event.id);
            let rows = match &flags.out {
                Some(path) => {
                    let file = NewFile::beside(path)?;
                    let out =
                        File::options().write(true).open(file.path()).context("open what was just made")?;
                    let rows = dump(&store, event.as_ref(), out).await?;
                    file.keep()?;
                    rows
                }
                None => dump(&store, event.as_ref(), io::stdout()).await?,
            };
            eprintln!(
                "{rows} rows; whoever has them has the tokens' hashes too, so keep them like a password file"
            );
        }
    }
    store.close().await;
    Ok(())
}

async fn dump(store: &Store, event: Option<&EventId>, out: impl Write + Send) -> anyhow::Result<u64> {
    store.dump(event, &mut BufWriter::new(Watched::new("writing", out, None))).await
}

fn print(text: &[u8]) -> anyhow::Result<()> {
    io::stdout().write_all(text).context("write to standard output")
}

/// One set of the event, or all of them.
async fn track_list(
    store: &Store,
    event: Event,
    set: Option<SetId>,
    format: TrackListFormat,
) -> anyhow::Result<TrackList> {
    let mut chosen = store.sets_of_event(&event.id).await?;
    if let Some(id) = set {
        chosen.retain(|past| past.set.id == id);
    }
    match (set, chosen.len()) {
        (Some(set), 0) => {
            bail!("there is no set {set} at {0}; `pika export --event {0} --list` shows them", event.id)
        }
        (None, 0) => bail!("nobody has played at {} yet", event.id),
        (None, count) if count > 1 && format == TrackListFormat::Cue => bail!(
            "a CUE sheet is for the recording of one set, and {0} has {count}; name it with --set, `pika export \
             --event {0} --list` shows them",
            event.id
        ),
        _ => {}
    }
    let mut sets = Vec::with_capacity(chosen.len());
    for PastSet { set, .. } in chosen {
        let plays = store.plays_of_set(set.id).await?;
        sets.push((set, plays));
    }
    Ok(TrackList { event, sets })
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

async fn known(store: &Store, event: &EventId) -> anyhow::Result<Event> {
    let mut events = store.events().await?;
    if let Some(at) = events.iter().position(|known| known.id == *event) {
        return Ok(events.swap_remove(at));
    }
    let ids: Vec<&str> = events.iter().map(|known| known.id.as_str()).collect();
    bail!("there is no event `{event}` in the archive; it has: {}", ids.join(", "))
}
