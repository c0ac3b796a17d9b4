//! The one executable: it reads the command line and the settings, and calls the programs.

mod accounts;
mod archive;
mod backup;
mod check;
mod cli;
mod contract;
mod database;
mod demo;
mod desk;
mod desks;
mod files;
mod health;
mod mosquitto;
mod network;
mod parts;
mod reports;
mod settings;
mod setup;
mod tokens;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use config::logfile::LogFile;

use cli::{Cli, Command, DeskCommand};
use reports::Reports;
use settings::Loaded;

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(arguments()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors.
            let status = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pika: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// An application that is clicked gets no arguments: then it is the DJ who wants his publisher.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.len() == 1 && publisher::desktop::is_clicked() {
        arguments.push("publisher".into());
    }
    arguments
}

fn run(cli: Cli) -> anyhow::Result<()> {
    // What needs no settings needs no runtime either.
    match &cli.command {
        Command::Schema => return contract::print_schema(),
        Command::Asyncapi => return contract::print_asyncapi(),
        _ => {}
    }
    let demo = matches!(&cli.command, Command::Up(up) if up.demo);
    let loaded = Loaded::read(&cli, demo)?;
    let reports = Reports::start(&loaded.settings.section("sentry")?)?;
    // Whoever looks at a tray icon sees no log, unless it is there afterwards.
    let is_unseen = matches!(&cli.command, Command::Publisher(flags) if flags.has_desktop());
    let (file, fault) = match is_unseen.then(|| LogFile::open(&loaded.data.join("publisher.log"))).transpose()
    {
        Ok(file) => (file, None),
        Err(error) => (None, Some(error)),
    };
    config::logging::start(&loaded.log, file, reports.as_ref().map(Reports::listener))?;
    if let Some(error) = fault {
        tracing::warn!("what the publisher says is not kept in {}: {error}", loaded.data.display());
    }
    let _last_words = Reports::last_words(reports.as_ref());
    // What a person typed wrong is nobody else's business.
    let is_program = cli.command.is_program();
    let outcome = carry_out(cli, loaded);
    if let (Err(error), Some(reports), true) = (&outcome, &reports, is_program) {
        reports.failed(error);
    }
    outcome
}

fn carry_out(cli: Cli, loaded: Loaded) -> anyhow::Result<()> {
    // A phone is a file descriptor, and many systems begin with a thousand.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!("cannot raise the number of connections that the system allows: {error}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Command::Publisher(flags) = &cli.command
        && flags.has_desktop()
    {
        #[cfg(windows)]
        publisher::desktop::leave_console();
        return desk::desktop(&cli, flags, loaded, &runtime);
    }
    runtime.block_on(async {
        match cli.command {
            Command::Up(up) => parts::up(loaded, up).await,
            Command::Broker => parts::broker(loaded).await,
            Command::Archiver => parts::archiver(loaded).await,
            Command::Webapp => parts::webapp(loaded).await,
            Command::Publisher(flags) => desk::headless(loaded, flags).await,
            Command::Event(command) => accounts::event(&loaded, command).await,
            Command::Floor(command) => accounts::floor(&loaded, command).await,
            Command::Person(command) => accounts::person(&loaded, command).await,
            Command::Audit(flags) => accounts::audit(&loaded, flags.last).await,
            Command::Desk(DeskCommand::Add { name, floor, expires, person }) => {
                let wanted = tokens::Wanted {
                    name: name.to_string(),
                    kind: store::TokenKind::Desk,
                    floor,
                    expires_in_ms: expires,
                    owner: person,
                };
                tokens::add(&loaded, wanted).await
            }
            Command::Desk(DeskCommand::Remove { name }) => tokens::revoke(&loaded, name.as_str()).await,
            Command::Desk(DeskCommand::List) => desks::list(&loaded).await,
            Command::Desk(DeskCommand::Pair { code: None, .. }) => desks::waiting(&loaded).await,
            Command::Desk(DeskCommand::Pair { code: Some(code), floor, expires }) => {
                desks::pair(&loaded, code, floor, expires).await
            }
            Command::Check(flags) => check::run(&loaded, flags).await,
            Command::Token(command) => tokens::run(&loaded, command).await,
            Command::Export(flags) => archive::export(&loaded, flags).await,
            Command::Import(flags) => archive::import(&loaded, flags).await,
            Command::Backup(flags) => backup::backup(&loaded, flags).await,
            Command::Restore(flags) => backup::restore(&loaded, flags).await,
            Command::Setup(flags) => setup::run(&loaded, flags).await,
            Command::Healthy => health::ask(&loaded.settings.section("health")?).await,
            Command::Schema | Command::Asyncapi => Ok(()),
        }
    })
}
