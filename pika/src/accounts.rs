//! `pika event`, `floor`, `person` and `audit`: what `/admin` does, for whoever has a shell on the server.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use config::clock::now_ms;
use jiff::tz::TimeZone;
use protocol::{EventId, PersonId};
use store::{Event, Floor, FloorSet, Kept, PASSWORD_CHARS_MAX, PasswordHash, Store};

use crate::archive::opened;
use crate::cli::{EventCommand, FloorCommand, PersonCommand, Role};
use crate::settings::Loaded;
use crate::tokens::{by, random, time};

/// As long as a name on a page may be.
const NAME_CHARS_MAX: usize = 80;

/// `pika event`
pub async fn event(loaded: &Loaded, command: EventCommand) -> anyhow::Result<()> {
    let store = opened(loaded).await?;
    match command {
        EventCommand::Add { id, name, time_zone, accent } => {
            let before = store.every_event().await?.into_iter().find(|known| known.id == id);
            let before = before.unwrap_or_else(|| Event {
                name: id.to_string(),
                time_zone: "UTC".to_owned(),
                accent: None,
                // Without a floor nobody can play.
                floors: vec![Floor { id: MAIN.parse().expect("a slug"), name: "Main floor".to_owned() }],
                id: id.clone(),
            });
            if let Some(zone) = &time_zone {
                TimeZone::get(zone).with_context(|| format!("there is no time zone `{zone}`"))?;
            }
            if let Some(accent) = &accent {
                ensure!(
                    webapp::live::board::Accent::read(accent).is_some(),
                    "`{accent}` is no colour; write it like #ff7a59"
                );
            }
            let event = Event {
                name: name.map(|name| one_line(&name)).transpose()?.unwrap_or(before.name),
                time_zone: time_zone.unwrap_or(before.time_zone),
                accent: accent.or(before.accent),
                floors: before.floors,
                id,
            };
            store.set_event(&event, &by()).await?;
            eprintln!("{} is {}; a Pika with [event] id = \"{}\" serves it", event.id, event.name, event.id);
        }
        EventCommand::List => {
            for event in store.events().await? {
                let floors: Vec<&str> = event.floors.iter().map(|floor| floor.id.as_str()).collect();
                say(&format!("{}\t{}\t{}\t{}", event.id, event.name, event.time_zone, floors.join(",")))?;
            }
        }
        EventCommand::Remove { id } => {
            ensure!(store.retire_event(&id, &by()).await?, "there is no event `{id}`; see `pika event list`");
            eprintln!(
                "{id} is not listed any more; its sets and plays stay, `pika event add {id}` brings it back"
            );
        }
    }
    store.close().await;
    Ok(())
}

/// The one floor of an event that nobody gave another.
const MAIN: &str = "main";

/// `pika floor`
pub async fn floor(loaded: &Loaded, command: FloorCommand) -> anyhow::Result<()> {
    let settings = loaded.settings.section::<archiver::EventSettings>("event")?;
    let ours = settings.id.clone();
    let store = opened(loaded).await?;
    // Before the first start nobody has entered it.
    if store.every_event().await?.iter().all(|event| event.id != ours) {
        store.add_event(&settings.directory(), now_ms()).await?;
    }
    match command {
        FloorCommand::Add { id, name, event } => {
            let event = event.unwrap_or(ours);
            let name = name.map_or_else(|| Ok(id.to_string()), |name| one_line(&name))?;
            match store.set_floor(&event, &Floor { id: id.clone(), name }, &by()).await? {
                FloorSet::Done => eprintln!("{event}/{id} is there; pages show it within seconds"),
                FloorSet::NoEvent => {
                    bail!("there is no event `{event}`; add it with `pika event add {event}`")
                }
                FloorSet::Full => {
                    bail!("{event} has {} floors, and no event may have more", store::FLOORS_MAX)
                }
            }
        }
        FloorCommand::List { event } => {
            let event = known(&store, event.unwrap_or(ours)).await?;
            for floor in event.floors {
                say(&format!("{}\t{}", floor.id, floor.name))?;
            }
        }
        FloorCommand::Remove { id, event } => {
            let event = known(&store, event.unwrap_or(ours)).await?;
            ensure!(
                store.retire_floor(&event.id, &id, &by()).await?,
                "{} has no floor `{id}`, or it is the last one; see `pika floor list`",
                event.id
            );
            eprintln!("{}/{id} is closed; its sets and plays stay", event.id);
        }
    }
    store.close().await;
    Ok(())
}

async fn known(store: &Store, id: EventId) -> anyhow::Result<Event> {
    let event = store.events().await?.into_iter().find(|known| known.id == id);
    event.with_context(|| format!("there is no event `{id}`; see `pika event list`"))
}

/// `pika person`
pub async fn person(loaded: &Loaded, command: PersonCommand) -> anyhow::Result<()> {
    let store = opened(loaded).await?;
    match command {
        PersonCommand::Add { name, role, password_file } => {
            // Before anything is changed: a password that is refused leaves nobody behind.
            let (password, hash) = password(password_file.as_deref())?;
            let role = stored(role);
            ensure!(
                store.add_person(&name, role, &by()).await?,
                "there is a person `{name}` already; `pika person password {name}` sets another password"
            );
            store.set_password(&name, &hash, None, &by()).await?;
            eprintln!("`{name}` may log in as {}", role.as_str());
            show_once(password)?;
        }
        PersonCommand::List => {
            for person in store.people().await? {
                let seen = person
                    .seen_ms
                    .map_or_else(|| "not logged in".to_owned(), |at| format!("seen {}", time(at)));
                say(&format!("{}\t{}\t{seen}", person.id, person.role.as_str()))?;
            }
        }
        PersonCommand::Role { name, role } => {
            let role = stored(role);
            kept(&name, store.set_role(&name, role, &by()).await?)?;
            eprintln!("`{name}` is {}", role.as_str());
        }
        PersonCommand::Password { name, password_file } => {
            let (password, hash) = password(password_file.as_deref())?;
            ensure!(
                store.set_password(&name, &hash, None, &by()).await?,
                "there is no person `{name}`; see `pika person list`"
            );
            eprintln!("`{name}` has another password, and is logged out everywhere");
            show_once(password)?;
        }
        PersonCommand::Logout { name } => {
            let ended = store.end_sessions(&name, &by()).await?;
            eprintln!("`{name}` was logged in with {ended} browsers, and is not any more");
        }
        PersonCommand::Remove { name } => {
            kept(&name, store.remove_person(&name, &by()).await?)?;
            eprintln!("`{name}` is gone, logged out everywhere, and the tokens of his desks are revoked");
        }
    }
    store.close().await;
    Ok(())
}

/// `pika audit`
pub async fn audit(loaded: &Loaded, last: u32) -> anyhow::Result<()> {
    let store = opened(loaded).await?;
    let changes = store.changes(None, last).await?;
    store.close().await;
    for change in changes.iter().rev() {
        say(&format!("{}\t{}\t{}\t{}", time(change.at_ms), change.who, change.what, change.about))?;
    }
    if changes.is_empty() {
        eprintln!("nobody has changed anything yet");
    }
    Ok(())
}

fn kept(name: &PersonId, outcome: Result<(), Kept>) -> anyhow::Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(Kept::Nobody) => bail!("there is no person `{name}`; see `pika person list`"),
        Err(Kept::LastOrganizer) => {
            bail!(
                "`{name}` is the only organizer; make somebody else one first, with `pika person role NAME organizer`"
            )
        }
    }
}

fn stored(role: Role) -> store::Role {
    match role {
        Role::Organizer => store::Role::Organizer,
        Role::Dj => store::Role::Dj,
    }
}

/// A password and its hash. One that we have made up is returned, to be shown once.
fn password(file: Option<&Path>) -> anyhow::Result<(Option<String>, PasswordHash)> {
    let (shown, password) = match file {
        Some(file) => (None, read_password(file)?),
        None => {
            let made = store::made_up_password(&random::<16>()?);
            (Some(made.clone()), made)
        }
    };
    let hash = PasswordHash::of(&password, &random()?)?;
    Ok((shown, hash))
}

/// The first line of a file.
fn read_password(file: &Path) -> anyhow::Result<String> {
    let tried = || format!("read the password from {}", file.display());
    let mut text = String::new();
    let bytes_max = 4 * PASSWORD_CHARS_MAX as u64 + 2;
    if file == Path::new("-") {
        std::io::stdin().take(bytes_max).read_to_string(&mut text).with_context(tried)?;
    } else {
        File::open(file)
            .and_then(|file| file.take(bytes_max).read_to_string(&mut text))
            .with_context(tried)?;
    }
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn show_once(password: Option<String>) -> anyhow::Result<()> {
    if let Some(password) = password {
        eprintln!("the password is shown only now:");
        say(&password)?;
    }
    Ok(())
}

/// What people read on a page: one line, and not a long one.
fn one_line(text: &str) -> anyhow::Result<String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(
        (1..=NAME_CHARS_MAX).contains(&line.chars().count()) && !line.chars().any(char::is_control),
        "a name has 1 to {NAME_CHARS_MAX} characters"
    );
    Ok(line)
}

/// A line on standard output. A reader that has seen enough is no fault.
fn say(line: &str) -> anyhow::Result<()> {
    // What stands in the database must not command the terminal.
    let line = line.replace(|character: char| character.is_control() && character != '\t', " ");
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("write to standard output")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_line() {
        assert_eq!(one_line("  Great\n hall ").unwrap(), "Great hall");
        assert!(
            one_line(" \n ").is_err()
                && one_line(&"x".repeat(81)).is_err()
                && one_line("a\u{1b}[2J").is_err()
        );
    }
}
