//! `pika publisher`: the desk at the DJ's laptop, with a tray icon and a settings page where there is a desktop, and with the
//! server beside it if the DJ wants that (LAN mode).

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use archiver::EventSettings;
use bus::BrokerUrl;
use config::{Stop, stop};
use publisher::choices::Choices;
use publisher::controls::{Controls, controls};
use publisher::desktop::{self, Desktop, Instance, Server, Setup, Start, Wiring};
use publisher::secrets::{self, Kept};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::cli::{Cli, PublisherFlags};
use crate::files::Progress;
use crate::network;
use crate::parts::{self, Parts};
use crate::settings::{BusSettings, Loaded};

/// What has stopped is started again after this.
const AGAIN: Duration = Duration::from_secs(10);
/// How often the addresses of this machine are looked at: the laptop may have joined another WiFi.
const ADDRESSES_EVERY: Duration = Duration::from_secs(5);

impl PublisherFlags {
    /// Whether the DJ is to see a tray icon and a settings page.
    pub fn has_desktop(&self) -> bool {
        !self.headless && self.import.is_none() && desktop::is_there()
    }
}

/// The publisher without a desktop: it ends when something keeps it from running.
pub async fn headless(loaded: Loaded, flags: PublisherFlags) -> anyhow::Result<()> {
    if let Some(file) = &flags.import {
        let settings = settings(&loaded, &flags)?;
        let event = loaded.settings.section::<EventSettings>("event")?.id;
        let home = publisher::Home { event, journal: loaded.data.join("desk") };
        let mut line = Progress::new("importing");
        let confirmed = |done, of| line.show(done as u64, Some(of as u64));
        let broker = broker(&loaded, &flags)?;
        let outcome =
            publisher::import(&settings, home, broker, file.clone(), stop::on_signal(), confirmed).await;
        // An error stands on a line of its own, too.
        drop(line);
        println!("{}", outcome?);
        return Ok(());
    }
    let (_, controls) = controls();
    let mut parts = Parts::new();
    let setup = start(&loaded, &flags, controls, &mut parts)?;
    if let Some(url) = &setup.page_url {
        println!("\n  The floor is at {url}\n");
    }
    parts.run().await
}

/// The publisher with a tray icon. A second start opens the settings page of the first.
pub fn desktop(cli: &Cli, flags: &PublisherFlags, loaded: Loaded, runtime: &Runtime) -> anyhow::Result<()> {
    let instance = match Instance::start(&loaded.data)? {
        Start::First(instance) => instance,
        Start::Again(here) => {
            let url = here.entrance()?;
            println!("Pika runs already; its settings are at {url}");
            let _ = desktop::browse(&url).join();
            return Ok(());
        }
    };
    let (remote, controls) = controls();
    let (show, setup) = watch::channel(Setup::default());
    // One waits at most: the next choice is made on the page that shows this one.
    let (chosen, choices) = mpsc::channel(1);
    let stop = Stop::new();
    let wiring = Wiring { data: loaded.data.clone(), remote, setup, chosen, stop: stop.clone() };
    let desktop = runtime.block_on(Desktop::open(wiring, instance))?;
    runtime.block_on(async {
        let signal = stop::on_signal();
        let stop = stop.clone();
        tokio::spawn(async move {
            signal.cancelled().await;
            stop.cancel();
        });
    });
    let (cli, flags) = (cli.clone(), flags.clone());
    let (running, opened) = (stop.clone(), desktop.clone());
    let supervised = runtime.spawn(async move {
        let desk = Supervised { cli, flags, show, choices, controls, stop: running };
        desk.run(loaded, opened).await;
    });
    let shown = desktop::run_tray(desktop.clone(), runtime.handle());
    if let Err(error) = &shown {
        tracing::warn!("{error:#}; the settings page is opened instead");
        desktop.show("");
        // Without an icon the page is all there is.
        runtime.block_on(stop.cancelled());
    }
    stop.cancel();
    runtime.block_on(supervised).context("the desk broke off")
}

/// A desk that is started anew when the DJ chooses something else, or when it has stopped.
struct Supervised {
    cli: Cli,
    flags: PublisherFlags,
    show: watch::Sender<Setup>,
    choices: mpsc::Receiver<Choices>,
    controls: Controls,
    stop: Stop,
}

impl Supervised {
    async fn run(mut self, loaded: Loaded, desktop: Desktop) {
        let data = loaded.data.clone();
        let mut loaded = Ok(loaded);
        let mut fault: Option<anyhow::Error> = None;
        let mut is_first = true;
        loop {
            let mut parts = Parts::new();
            let started = match (fault.take(), &loaded) {
                (None, Ok(loaded)) => start(loaded, &self.flags, self.controls.clone(), &mut parts),
                (Some(error), _) => Err(error),
                (None, Err(error)) => Err(anyhow::anyhow!("{error:#}")),
            };
            let addresses = network::lan_addresses();
            let mut setup = started.unwrap_or_else(|error| {
                tracing::error!("{error:#}; trying again");
                // What can be shown is shown, so that it can be changed.
                let settings = loaded.as_ref().ok().and_then(|loaded| settings(loaded, &self.flags).ok());
                let server = loaded.as_ref().ok().and_then(|loaded| server(loaded, &self.flags).ok());
                Setup {
                    settings: settings.unwrap_or_default(),
                    server: server.unwrap_or_default(),
                    fault: Some(format!("{error:#}")),
                    ..Setup::default()
                }
            });
            setup.addresses.clone_from(&addresses);
            let (is_unset, is_broken) = (setup.server == Server::Unset, setup.fault.is_some());
            let follows_addresses = matches!(setup.server, Server::Here { .. }) && !is_broken;
            self.show.send_replace(setup);
            if std::mem::take(&mut is_first) && is_unset {
                desktop.show("settings");
            }
            fault = tokio::select! {
                () = self.stop.cancelled() => return parts.stop().await,
                Some(choices) = self.choices.recv() => {
                    let bus = loaded.as_ref().ok().and_then(|loaded| loaded.settings.section::<BusSettings>("bus").ok());
                    // A keyring that is locked waits for the DJ.
                    tokio::task::block_in_place(|| self.keep(choices, &data, bus.is_some_and(|bus| bus.keyring))).err()
                }
                error = parts.broken() => Some(error),
                () = addresses_change(&addresses), if follows_addresses => {
                    tracing::info!("the addresses of this machine have changed; the server starts anew with them");
                    None
                }
                () = tokio::time::sleep(AGAIN), if is_broken => None,
            };
            parts.stop().await;
            loaded = Loaded::read(&self.cli, false);
        }
    }

    fn keep(&self, mut choices: Choices, data: &std::path::Path, was_in_keyring: bool) -> anyhow::Result<()> {
        choices.bus.keyring = match &choices.token {
            Some(token) => secrets::keep(data, token)? == Kept::InKeyring,
            None => was_in_keyring,
        };
        choices.keep(data)
    }
}

async fn addresses_change(known: &[(String, IpAddr)]) {
    loop {
        tokio::time::sleep(ADDRESSES_EVERY).await;
        let now = tokio::task::spawn_blocking(network::lan_addresses).await.unwrap_or_default();
        // A cable that is out takes its address along; there is nothing to start anew with.
        if now.iter().any(|address| !known.contains(address)) {
            return;
        }
    }
}

/// Starts what the settings ask for.
fn start(
    loaded: &Loaded,
    flags: &PublisherFlags,
    controls: Controls,
    parts: &mut Parts,
) -> anyhow::Result<Setup> {
    let mut settings = settings(loaded, flags)?;
    let event = loaded.settings.section::<EventSettings>("event")?;
    let shown = settings.clone();
    let home = publisher::Home { event: event.id.clone(), journal: loaded.data.join("desk") };
    let is_set = server(loaded, flags)?;
    let (broker, page_url) = match &is_set {
        Server::Unset => return Ok(Setup { settings, event: Some(event.id), ..Setup::default() }),
        Server::Here { .. } => {
            let hall = parts::hall(loaded, false, settings.interface, parts)?;
            settings.dj.get_or_insert_with(|| "the DJ".to_owned());
            (hall.desk_url, Some(hall.page_url))
        }
        Server::Remote { .. } => (broker(loaded, flags)?, None),
    };
    parts.start("publisher", |stop| publisher::run(settings, home, broker, controls, stop));
    Ok(Setup {
        settings: shown,
        event: Some(event.id),
        server: is_set,
        page_url,
        addresses: Vec::new(),
        fault: None,
    })
}

fn settings(loaded: &Loaded, flags: &PublisherFlags) -> anyhow::Result<publisher::Settings> {
    let mut settings: publisher::Settings = loaded.settings.section("publisher")?;
    if let Some(source) = &flags.source {
        settings.source = source.clone();
    }
    settings.path = flags.path.clone().or(settings.path);
    settings.floor = flags.floor.clone().unwrap_or(settings.floor);
    Ok(settings)
}

/// Where plays go, as flags and settings say.
fn server(loaded: &Loaded, flags: &PublisherFlags) -> anyhow::Result<Server> {
    let settings: publisher::Settings = loaded.settings.section("publisher")?;
    let bus: BusSettings = loaded.settings.section("bus")?;
    if settings.lan && flags.server.is_none() {
        return Ok(Server::Here { console_token_file: loaded.data.join("desk.token") });
    }
    // Without a desktop, the broker of this machine is meant.
    if flags.server.is_none() && bus.url.is_none() && flags.has_desktop() {
        return Ok(Server::Unset);
    }
    let url = broker(loaded, flags)?;
    Ok(Server::Remote { url: url.without_login(), desk: url.login_name().unwrap_or_default() })
}

fn broker(loaded: &Loaded, flags: &PublisherFlags) -> anyhow::Result<BrokerUrl> {
    match &flags.server {
        Some(url) => url.parse::<BrokerUrl>().context("read --server"),
        None => loaded.broker(),
    }
}
