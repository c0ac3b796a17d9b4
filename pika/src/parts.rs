//! Which programs run in this process, and how they start and stop together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use archiver::EventSettings;
use broker::Listeners;
use broker::access::Tokens;
use bus::BrokerUrl;
use config::secret::write_private;
use config::{Health, Secret, Stop, stop};
use serde_json::json;
use store::{Store, Token, TokenKind};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cli::Up;
use crate::settings::{DemoSettings, Loaded, MqttSettings};
use crate::tokens::random_token;
use crate::{database, demo, health, network};

/// How long programs may take to stop together.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// How often tokens are read again: a revoked one is useless after this.
const TOKENS_EVERY: Duration = Duration::from_secs(2);

/// How often it is noted which tokens were used.
const USES_EVERY: Duration = Duration::from_secs(10);

/// The desk of the publisher that runs in the same process.
const OWN_DESK: &str = "pika-desk";

/// Programs of this process. The first one to fail stops them all.
pub struct Parts {
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
    /// In the order of starting.
    stops: Vec<Stop>,
}

impl Parts {
    pub fn new() -> Self {
        Self { tasks: JoinSet::new(), stops: Vec::new() }
    }

    pub fn start<F>(&mut self, name: &'static str, program: impl FnOnce(Stop) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = Stop::new();
        let running = program(stop.clone());
        self.stops.push(stop);
        self.tasks.spawn(async move { (name, running.await) });
    }

    /// Until the signal, or until a program ends by itself, which none should.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let signal = stop::on_signal();
        let outcome = tokio::select! {
            () = signal.cancelled() => Ok(()),
            error = self.broken() => Err(error),
        };
        self.stop().await;
        outcome
    }

    /// Waits until a program ends by itself, and says why. Without any program it waits for ever.
    pub async fn broken(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok((name, Ok(())))) => anyhow::anyhow!("the {name} has stopped"),
            Some(Ok((name, Err(error)))) => error.context(format!("the {name} has stopped")),
            Some(Err(panic)) => anyhow::Error::from(panic).context("a program broke off"),
            None => std::future::pending().await,
        }
    }

    /// Stops all, and waits for them, but not for long.
    pub async fn stop(mut self) {
        let all = async {
            // Last started, first stopped: whoever still has something to say finds the others there.
            for stop in self.stops.iter().rev() {
                stop.cancel();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            while let Some(ended) = self.tasks.join_next().await {
                if let Ok((name, Err(error))) = ended {
                    tracing::error!("the {name} did not stop cleanly: {error:#}");
                }
            }
        };
        if tokio::time::timeout(STOP_WITHIN, all).await.is_err() {
            tracing::warn!("leaving programs behind that did not stop in time");
        }
    }
}

/// Broker, archiver and web app in this process, as the publisher beside them and its DJ need to know them.
pub struct Hall {
    pub desk_url: BrokerUrl,
    pub page_url: String,
    pub console_token_file: PathBuf,
    pub event: EventSettings,
}

/// Starts the same `run` functions as the single programs do, over loopback MQTT. `address` is the one that phones are given.
pub fn hall(
    loaded: &Loaded,
    local: bool,
    address: Option<IpAddr>,
    parts: &mut Parts,
) -> anyhow::Result<Hall> {
    let event: EventSettings = loaded.settings.section("event")?;
    let archiver_settings: archiver::Settings = loaded.settings.section("archiver")?;
    let broker_settings = broker_settings(loaded)?;
    let mqtt: MqttSettings = loaded.settings.section("mqtt")?;
    let mut web = web_settings(loaded)?;
    let store = Store::open(&loaded.database()?)?;

    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mqtt_host = if local { loopback } else { mqtt.host };
    let listeners = mqtt_listeners(mqtt_host, &mqtt, &broker_settings)?;
    let pages = network::listen(SocketAddr::new(if local { loopback } else { web.host }, web.port))?;
    let watched = health::listen(&loaded.settings.section("health")?)?;
    let addresses = Addresses::of(&listeners, &pages, &watched)?;
    web.event = event.id.clone();
    let page_url = match &web.public_url {
        Some(url) => url.clone(),
        None => {
            let ip = address.filter(|_| addresses.web.ip().is_unspecified());
            network::http_url(ip.unwrap_or_else(|| reachable(addresses.web.ip())), addresses.web.port())
        }
    };
    web.public_url.get_or_insert_with(|| page_url.clone());
    write_runtime(&loaded.data, &addresses, &page_url)?;

    let console_token_file = loaded.data.join("desk.token");
    let mut logins = Logins::new(&event);
    let archiver_url = logins.add("pika-archiver", TokenKind::Service, addresses.mqtt)?;
    let webapp_url = logins.add("pika-webapp", TokenKind::Service, addresses.mqtt)?;
    let console_token = kept_secret(&console_token_file)?;
    let desk_url = logins.add_known(OWN_DESK, TokenKind::Desk, console_token.reveal(), addresses.mqtt)?;
    let own_desks = logins.tokens.iter().filter(|token| token.kind == TokenKind::Desk).cloned().collect();
    let pages_of = webapp::Sources { store: store.clone(), own_desks };
    let tokens = Tokens::new();
    tokens.replace(logins.tokens.clone());

    let health = Health::new();
    parts.start("health listener", |stop| health::run(watched, health.clone(), stop));
    parts.start("token list", |stop| follow_tokens(store.clone(), tokens.clone(), logins.tokens, stop));
    let looked_after = vec![
        health.part("archiver's database"),
        health.help("web app to database"),
        health.help("broker to database"),
    ];
    parts.start("database watch", |stop| database::watch(store.clone(), health.clone(), looked_after, stop));
    parts.start("broker", |stop| broker::run(broker_settings, listeners, tokens, health.clone(), stop));
    // Without the operator's word, displays find covers where phones find the pages.
    let web_url = event.web_url.clone().or_else(|| Some(page_url.clone()));
    let of_archive = EventSettings { web_url, ..event.clone() };
    parts.start("archiver", |stop| {
        archiver::run(of_archive, archiver_settings, store, archiver_url, health.clone(), stop)
    });
    parts.start("web app", |stop| webapp::run(web, pages, webapp_url, pages_of, health.clone(), stop));
    Ok(Hall { desk_url, page_url, console_token_file, event })
}

/// `pika up`
pub async fn up(loaded: Loaded, flags: Up) -> anyhow::Result<()> {
    let demo_settings: DemoSettings = loaded.settings.section("demo")?;
    let mut desk: publisher::Settings = loaded.settings.section("publisher")?;
    let mut parts = Parts::new();
    let hall = hall(&loaded, flags.local, desk.interface, &mut parts)?;

    // Its desk's name would tell dancers nothing.
    desk.dj.get_or_insert_with(|| if flags.demo { "the house band" } else { "the DJ" }.to_owned());
    if flags.demo {
        let home = demo::prepare(&loaded.data)?;
        desk.source = publisher::SourceKind::VirtualDj.into();
        desk.path = Some(home.clone());
        parts.start("demo", |stop| demo::play(home, demo_settings, stop));
    }
    if flags.demo || publisher::is_source_here(&desk) {
        let home = publisher::Home { event: hall.event.id.clone(), journal: loaded.data.join("desk") };
        let (_, controls) = publisher::controls::controls();
        parts.start("publisher", |stop| publisher::run(desk, home, hall.desk_url, controls, stop));
    } else {
        tracing::info!("no DJ program found here; start one, or connect a publisher from the DJ's laptop");
    }
    greet(&hall.page_url, flags.local, &hall.console_token_file);
    parts.run().await
}

/// `pika broker`
pub async fn broker(loaded: Loaded) -> anyhow::Result<()> {
    let settings = broker_settings(&loaded)?;
    let mqtt: MqttSettings = loaded.settings.section("mqtt")?;
    let store = Store::open(&loaded.database()?)?;
    let listeners = mqtt_listeners(mqtt.host, &mqtt, &settings)?;
    let (mut parts, health, watched) = watched_parts(&loaded)?;
    write_broker_runtime(&loaded.data, &listeners, watched)?;
    let tokens = Tokens::new();
    let help = vec![health.help("broker to database")];
    parts.start("database watch", |stop| database::watch(store.clone(), health.clone(), help, stop));
    parts.start("token list", |stop| follow_tokens(store, tokens.clone(), Vec::new(), stop));
    parts.start("broker", |stop| broker::run(settings, listeners, tokens, health, stop));
    parts.run().await
}

/// `pika archiver`
pub async fn archiver(loaded: Loaded) -> anyhow::Result<()> {
    let event: EventSettings = loaded.settings.section("event")?;
    let settings: archiver::Settings = loaded.settings.section("archiver")?;
    let store = Store::open(&loaded.database()?)?;
    let broker = loaded.broker()?;
    let (mut parts, health, watched) = watched_parts(&loaded)?;
    write_json(&loaded.data, "runtime-archiver.json", &json!({ "health": watched.to_string() }))?;
    let needed = vec![health.part("archiver's database")];
    parts.start("database watch", |stop| database::watch(store.clone(), health.clone(), needed, stop));
    parts.start("archiver", |stop| archiver::run(event, settings, store, broker, health, stop));
    parts.run().await
}

/// `pika webapp`
pub async fn webapp(loaded: Loaded) -> anyhow::Result<()> {
    let settings = web_settings(&loaded)?;
    let broker = loaded.broker()?;
    let pages = network::listen(SocketAddr::new(settings.host, settings.port))?;
    let address = pages.local_addr().context("read the address of the pages")?;
    let (mut parts, health, watched) = watched_parts(&loaded)?;
    let value = json!({ "web": address.to_string(), "health": watched.to_string() });
    write_json(&loaded.data, "runtime-webapp.json", &value)?;
    tracing::info!(%address, "serving pages");
    let store = Store::open(&loaded.database()?)?;
    let help = vec![health.help("web app to database")];
    parts.start("database watch", |stop| database::watch(store.clone(), health.clone(), help, stop));
    let sources = webapp::Sources { store, own_desks: Vec::new() };
    parts.start("web app", |stop| webapp::run(settings, pages, broker, sources, health, stop));
    parts.run().await
}

/// Parts of one program, with the listener for health and metrics among them, and where that is.
fn watched_parts(loaded: &Loaded) -> anyhow::Result<(Parts, Health, SocketAddr)> {
    let listener = health::listen(&loaded.settings.section("health")?)?;
    let address = listener.local_addr().context("read the address of health and metrics")?;
    let health = Health::new();
    let mut parts = Parts::new();
    parts.start("health listener", |stop| health::run(listener, health.clone(), stop));
    Ok((parts, health, address))
}

/// The broker keeps its retained messages beside everything else that we keep.
fn broker_settings(loaded: &Loaded) -> anyhow::Result<broker::Settings> {
    let mut settings: broker::Settings = loaded.settings.section("broker")?;
    settings.retained_directory.get_or_insert_with(|| loaded.data.join("retained"));
    Ok(settings)
}

/// Dancers stay who they are across restarts.
fn web_settings(loaded: &Loaded) -> anyhow::Result<webapp::Settings> {
    let mut settings: webapp::Settings = loaded.settings.section("web")?;
    if settings.secret.is_none() {
        settings.secret = Some(kept_secret(&loaded.data.join("web.key"))?);
    }
    // What has an address on the Internet is not looked for in a club's network.
    settings.announce &= settings.public_url.is_none();
    Ok(settings)
}

/// A secret of our own in a private file, made when it is missing.
fn kept_secret(path: &Path) -> anyhow::Result<Secret> {
    let read = || match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(Some(Secret::new(text.trim()))),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    };
    if let Some(secret) = read()? {
        return Ok(secret);
    }
    write_private(path, &random_token()?)?;
    read()?.with_context(|| format!("{} is empty", path.display()))
}

/// Without a certificate there is nothing to listen for on the ports with TLS.
fn mqtt_listeners(
    host: IpAddr,
    mqtt: &MqttSettings,
    settings: &broker::Settings,
) -> anyhow::Result<Listeners> {
    let at = |port| SocketAddr::new(host, port);
    let listeners = Listeners::bind(at(mqtt.port), Some(at(mqtt.websocket_port)))?;
    match settings.tls.certificate {
        Some(_) => listeners.with_tls(Some(at(mqtt.tls_port)), mqtt.websocket_tls_port.map(at)),
        None => Ok(listeners),
    }
}

/// Logins that live as long as this process.
struct Logins {
    event: protocol::EventId,
    tokens: Vec<Token>,
}

impl Logins {
    fn new(event: &EventSettings) -> Self {
        Self { event: event.id.clone(), tokens: Vec::new() }
    }

    fn add(&mut self, name: &str, kind: TokenKind, broker: SocketAddr) -> anyhow::Result<BrokerUrl> {
        let token = random_token()?;
        self.add_known(name, kind, &token, broker)
    }

    fn add_known(
        &mut self,
        name: &str,
        kind: TokenKind,
        token: &str,
        broker: SocketAddr,
    ) -> anyhow::Result<BrokerUrl> {
        self.tokens.push(Token {
            name: name.to_owned(),
            kind,
            event: self.event.clone(),
            floor: None,
            sha256: Token::hash(token),
            expires_ms: None,
            revoked_ms: None,
        });
        // A listener on all addresses is reached over loopback.
        let ip = if broker.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { broker.ip() };
        let url: BrokerUrl = format!("mqtt://{}", SocketAddr::new(ip, broker.port())).parse()?;
        Ok(url.with_login(name, token))
    }
}

/// Reads tokens again and again, so that added and revoked ones count without a restart. While the database
/// is away, the last ones known stay in force.
async fn follow_tokens(store: Store, tokens: Tokens, own: Vec<Token>, stop: Stop) -> anyhow::Result<()> {
    let mut known: Option<Vec<Token>> = None;
    let mut away = false;
    let mut noted = Instant::now();
    while !stop.is_cancelled() {
        match store.tokens().await {
            Ok(mut all) => {
                // Nobody can take the name of a part of this process.
                all.retain(|token| own.iter().all(|own| own.name != token.name));
                all.extend(own.iter().cloned());
                if known.as_ref() != Some(&all) {
                    tokens.replace(all.clone());
                    known = Some(all);
                }
                away = false;
                if noted.elapsed() > USES_EVERY {
                    noted = Instant::now();
                    note_uses(&store, &tokens, &own).await;
                }
            }
            Err(error) => {
                // At the very first start the archiver has not made the tables yet.
                if !away && known.is_some() {
                    tracing::warn!(
                        "tokens cannot be read: {:#}; the known ones stay in force",
                        anyhow::Error::from(error)
                    );
                }
                away = true;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(if known.is_none() { Duration::from_millis(500) } else { TOKENS_EVERY }) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

/// People see on /admin which tokens are in use. One that cannot be noted now is used again.
async fn note_uses(store: &Store, tokens: &Tokens, own: &[Token]) {
    let mut used = tokens.take_used();
    used.retain(|name, _| own.iter().all(|own| own.name != *name));
    if !used.is_empty()
        && let Err(error) = store.use_tokens(&used).await
    {
        tracing::info!("when tokens were used cannot be noted: {:#}", anyhow::Error::from(error));
    }
}

struct Addresses {
    web: SocketAddr,
    mqtt: SocketAddr,
    mqtt_websocket: Option<SocketAddr>,
    health: SocketAddr,
}

impl Addresses {
    fn of(listeners: &Listeners, pages: &TcpListener, watched: &TcpListener) -> anyhow::Result<Self> {
        let read = |address: std::io::Result<SocketAddr>| address.context("read a listener's address");
        Ok(Self {
            web: read(pages.local_addr())?,
            health: read(watched.local_addr())?,
            mqtt: read(listeners.tcp.local_addr())?,
            mqtt_websocket: listeners
                .websocket
                .as_ref()
                .map(|socket| read(socket.local_addr()))
                .transpose()?,
        })
    }
}

fn write_runtime(data: &Path, addresses: &Addresses, page_url: &str) -> anyhow::Result<()> {
    tracing::info!(web = %addresses.web, mqtt = %addresses.mqtt, mqtt_websocket = ?addresses.mqtt_websocket, data = %data.display(), "listening");
    write_json(
        data,
        "runtime.json",
        &json!({
            "web": addresses.web.to_string(),
            "mqtt": addresses.mqtt.to_string(),
            "mqtt_websocket": addresses.mqtt_websocket.map(|address| address.to_string()),
            "health": addresses.health.to_string(),
            "page": page_url,
            "pid": std::process::id(),
        }),
    )
}

fn write_broker_runtime(data: &Path, listeners: &Listeners, health: SocketAddr) -> anyhow::Result<()> {
    let mqtt = listeners.tcp.local_addr().context("read a listener's address")?;
    let websocket = listeners.websocket.as_ref().and_then(|socket| socket.local_addr().ok());
    tracing::info!(%mqtt, mqtt_websocket = ?websocket, "listening");
    let value = json!({
        "mqtt": mqtt.to_string(),
        "mqtt_websocket": websocket.map(|address| address.to_string()),
        "health": health.to_string(),
    });
    write_json(data, "runtime-broker.json", &value)
}

/// Whole or not at all: readers wait for the file to appear.
fn write_json(data: &Path, name: &str, value: &serde_json::Value) -> anyhow::Result<()> {
    let (path, new) = (data.join(name), data.join(format!("{name}.new")));
    std::fs::write(&new, format!("{value:#}\n")).with_context(|| format!("write {}", new.display()))?;
    std::fs::rename(&new, &path).with_context(|| format!("write {}", path.display()))
}

/// What a phone on the same WiFi can type.
fn reachable(ip: IpAddr) -> IpAddr {
    if !ip.is_unspecified() {
        return ip;
    }
    network::lan_address().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// The one thing a newcomer needs, on standard output.
fn greet(page_url: &str, local: bool, desk_token: &Path) {
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
    println!("\n  The floor is at {page_url}");
    println!("  The DJ's console is at {page_url}/dj: desk {OWN_DESK}, token in {}\n", desk_token.display());
    if terminal
        && !local
        && let Some(code) = network::terminal_qr(page_url)
    {
        println!("{code}");
        println!("  Phones on the same WiFi: scan it, or open {page_url}/join on a screen.\n");
    }
}
