//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use protocol::{DeskId, EventId, FloorId, PersonId, SetId};

/// Pika tells a dance floor what is playing.
#[derive(Debug, Clone, Parser)]
#[command(name = "pika", version, propagate_version = true)]
pub struct Cli {
    /// Where Pika keeps its files [default: your data folder, for example ~/.local/share/pika]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Settings; `config/pika.toml` in the source shows them all
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Broker, archiver and web app in one process, and the publisher when a DJ program is found
    Up(Up),
    /// The MQTT broker alone
    Broker,
    /// The archiver alone: decides what is on and keeps it
    Archiver,
    /// The web app alone
    Webapp,
    /// The publisher alone: reads the DJ program on this machine
    Publisher(PublisherFlags),
    /// The events of this database
    #[command(subcommand)]
    Event(EventCommand),
    /// The floors of an event
    #[command(subcommand)]
    Floor(FloorCommand),
    /// The desks of the event: DJs' laptops and their tokens
    #[command(subcommand)]
    Desk(DeskCommand),
    /// Organizers and DJs, who log in on pages with a password
    #[command(subcommand)]
    Person(PersonCommand),
    /// Who changed what, the newest last
    Audit(Audit),
    /// Logins for desks, services and integrators
    #[command(subcommand)]
    Token(TokenCommand),
    /// Writes sets as track lists, or the archive as lines of JSON that either engine reads
    Export(Export),
    /// Reads what `pika export --format jsonl` has written; again does no harm
    Import(Import),
    /// Copies the archive while it is in use; in a folder, under a dated name
    Backup(Backup),
    /// Puts a backup or a dump into the place of an empty archive
    Restore(Restore),
    /// Makes the tables and, for programs that run apart, a login for each; again does no harm
    Setup(Setup),
    /// Asks the program in this container or unit whether it is ready; exit status 0 or 1, for health checks
    Healthy,
    /// Whether what runs here is safe and complete: names each fault with its cure
    Check(Check),
    /// Prints JSON Schema of every MQTT payload
    Schema,
    /// Prints the MQTT contract as AsyncAPI 3.0
    Asyncapi,
}

impl Command {
    /// Whether it runs until it is stopped, with nobody who looks at what it says.
    pub fn is_program(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Broker | Self::Archiver | Self::Webapp | Self::Publisher(_))
    }
}

#[derive(Debug, Clone, Args)]
pub struct Up {
    /// Play a built-in set into a real VirtualDJ history and publish it
    #[arg(long)]
    pub demo: bool,
    /// Listen on this machine only
    #[arg(long)]
    pub local: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Export {
    /// The event, as in its address; without it, jsonl is the whole archive
    #[arg(
        long,
        required_if_eq_any = [
            ("format", "csv"), ("format", "json"), ("format", "m3u8"), ("format", "cue"), ("format", "txt"),
            ("format", "md"),
        ],
    )]
    pub event: Option<EventId>,
    /// One set, by its id [default: all sets of the event]
    #[arg(long, requires = "event")]
    pub set: Option<SetId>,
    #[arg(long, value_enum, required_unless_present = "list")]
    pub format: Option<Format>,
    /// Where to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Lists the sets of the event: id, start, floor, DJ, number of plays
    #[arg(long, requires = "event", conflicts_with_all = ["set", "format", "out"])]
    pub list: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for spreadsheets
    Csv,
    /// The sets with their plays
    Json,
    /// With --set a play a line; otherwise everything there is, for `pika import`
    Jsonl,
    /// A playlist without paths
    M3u8,
    /// For the recording of a set
    Cue,
    /// [03:05] Artist - Title
    Txt,
    /// A table in Markdown
    Md,
}

#[derive(Debug, Clone, Args)]
pub struct Import {
    /// What `pika export --format jsonl` has written
    pub file: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub struct Backup {
    /// The file to write, or a folder for dated ones
    #[arg(value_name = "FILE|DIR")]
    pub target: PathBuf,
    /// How many dated ones are kept in the folder
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: u32,
}

#[derive(Debug, Clone, Args)]
pub struct Restore {
    /// What `pika backup` or `pika export --format jsonl` has written
    pub file: PathBuf,
    /// Overwrite an archive that holds something
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Setup {
    /// Where the logins are kept: archiver.url and webapp.url, each for PIKA_BROKER_URL_FILE
    #[arg(long, value_name = "DIR")]
    pub logins: Option<PathBuf>,
    /// Where the programs reach the broker
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883")]
    pub broker: String,
}

#[derive(Debug, Clone, Default, Args)]
pub struct PublisherFlags {
    /// No tray icon and no settings page, as on a machine without a desktop
    #[arg(long)]
    pub headless: bool,
    /// auto, or which kind: virtualdj, mixxx, serato, djay, djuced, m3u, text and others (`docs/sources.md`); several with
    /// commas, of which the first speaks
    #[arg(long, value_name = "KIND")]
    pub source: Option<publisher::Chosen>,
    /// The DJ program's folder, or the file to read
    #[arg(long)]
    pub path: Option<PathBuf>,
    /// The broker, with desk and token: mqtt://DESK:TOKEN@HOST, or mqtts, ws, wss
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// The floor you play on
    #[arg(long)]
    pub floor: Option<FloorId>,
    /// Send what a history file of VirtualDJ holds and the archive does not, then end: a list (.m3u) or tracklist.txt.
    /// The floor does not change, and again does no harm
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "path"])]
    pub import: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum EventCommand {
    /// Adds an event, or changes the one of that id; a process serves the one that `[event] id` names
    Add {
        id: EventId,
        /// [default: the id]
        #[arg(long)]
        name: Option<String>,
        /// IANA name, for example Europe/Warsaw
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// The event's colour, for example #ff7a59
        #[arg(long, value_name = "#RRGGBB")]
        accent: Option<String>,
    },
    /// Lists events: id, name, time zone, floors
    List,
    /// Lists an event no more; its sets and plays stay
    Remove { id: EventId },
}

#[derive(Debug, Clone, Subcommand)]
pub enum FloorCommand {
    /// Adds a floor, or gives the one of that id another name
    Add {
        id: FloorId,
        /// What dancers read [default: the id]
        #[arg(long)]
        name: Option<String>,
        /// [default: the event of the settings]
        #[arg(long)]
        event: Option<EventId>,
    },
    /// Lists the floors of an event: id, name
    List {
        /// [default: the event of the settings]
        #[arg(long)]
        event: Option<EventId>,
    },
    /// Closes a floor; its sets and plays stay
    Remove {
        id: FloorId,
        /// [default: the event of the settings]
        #[arg(long)]
        event: Option<EventId>,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub enum PersonCommand {
    /// Adds somebody, and prints a password once, on the last line
    Add {
        /// What is typed to log in
        name: PersonId,
        #[arg(long, value_enum)]
        role: Role,
        /// Where the password is read from instead; `-` is standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Lists names, roles and when they were seen
    List,
    /// Gives somebody another role
    Role {
        name: PersonId,
        #[arg(value_enum)]
        role: Role,
    },
    /// Sets another password and prints it once, on the last line; the person is logged out everywhere
    Password {
        name: PersonId,
        /// Where the password is read from instead; `-` is standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Logs somebody out everywhere
    Logout { name: PersonId },
    /// Removes somebody, logs him out and revokes the tokens of his desks
    Remove { name: PersonId },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// May do everything on /admin
    Organizer,
    /// May use his own desks
    Dj,
}

#[derive(Debug, Clone, Args)]
pub struct Check {
    /// For programs: a list with item, verdict (ok, note or fault), what was found, and the cure
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Audit {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub last: u32,
}

#[derive(Debug, Clone, Subcommand)]
pub enum DeskCommand {
    /// Makes a desk's token and prints it once, on the last line
    Add {
        /// The desk's id, and the user name of its login
        name: DeskId,
        /// Limits it to one floor
        #[arg(long)]
        floor: Option<FloorId>,
        /// How long its token is good for, for example 90d or 12h
        #[arg(long, value_parser = tokens_duration)]
        expires: Option<i64>,
        /// The DJ it belongs to
        #[arg(long)]
        person: Option<PersonId>,
    },
    /// Revokes a desk's token; whoever is connected with it is disconnected
    Remove { name: DeskId },
    /// Lists desks as the archive heard them last: desk, floor, app, source, clock, last heard
    List,
    /// Lets in a DJ's laptop that asks to play here; without a code, lists those that wait
    Pair {
        /// The six digits that the DJ's laptop shows; they have to be read out by the DJ
        code: Option<pairing::Code>,
        /// Limits the desk to one floor
        #[arg(long, requires = "code")]
        floor: Option<FloorId>,
        /// How long its token is good for, for example 90d or 12h
        #[arg(long, value_parser = tokens_duration, requires = "code")]
        expires: Option<i64>,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Makes a token and prints it once, on the last line
    Add {
        /// The MQTT user name; for a desk also its id
        name: String,
        #[arg(long, value_enum)]
        kind: Kind,
        /// Limits a desk to one floor
        #[arg(long)]
        floor: Option<FloorId>,
        /// How long it is good for, for example 90d or 12h
        #[arg(long, value_parser = tokens_duration)]
        expires: Option<i64>,
    },
    /// Lists names, kinds, validity, owners and when they were used; never the tokens
    List,
    /// Makes a token useless; whoever is connected with it is disconnected
    Revoke { name: String },
    /// Writes tokens and their rights as another broker reads them, and prints how to name the files there
    Export {
        #[arg(long, value_enum)]
        format: ExportFormat,
        /// Where to write [default: a folder named after the format in the data folder]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A password file and an access file
    Mosquitto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Desk,
    Service,
    Integrator,
}

/// Milliseconds in `90d`, `12h` or `30m`.
fn tokens_duration(text: &str) -> Result<i64, String> {
    let bad = || format!("`{text}` is not a time such as 90d, 12h or 30m");
    let unit = text.chars().last().ok_or_else(bad)?;
    let unit_ms = match unit {
        'd' => 86_400_000,
        'h' => 3_600_000,
        'm' => 60_000,
        _ => return Err(bad()),
    };
    let count: u32 = text[..text.len() - 1].parse().map_err(|_| bad())?;
    if count == 0 { Err(bad()) } else { Ok(i64::from(count) * unit_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_import_reads_its_file_and_nothing_else() {
        let parse = |more: &[&str]| {
            Cli::try_parse_from([&["pika", "publisher", "--import", "2026-11-21.m3u"], more].concat())
        };
        assert!(parse(&["--server", "mqtt://booth:x@host", "--floor", "main"]).is_ok());
        assert!(parse(&["--source", "m3u"]).is_err() && parse(&["--path", "x"]).is_err());
    }

    #[test]
    fn times_are_read() {
        assert_eq!(tokens_duration("90d"), Ok(90 * 86_400_000));
        assert_eq!(tokens_duration("30m"), Ok(1_800_000));
        for bad in ["", "90", "d", "-1d", "0d", "9999999999d", "1ł"] {
            assert!(tokens_duration(bad).is_err(), "{bad}");
        }
    }
}
