//! HTTP: one route table, and the three steps of every handler: extract, ask, show.

mod admin;
mod api;
mod archive;
mod assets;
mod client;
mod console;
mod covers;
mod dancer;
mod desk;
mod events;
mod faults;
mod frames;
mod install;
mod limits;
mod pages;
mod pair;
mod patient;
mod people;
mod presence;
mod problem;
mod recap;
mod socket;
mod taps;
mod trace;
mod tunnel;
mod visit;
mod visitor;
mod writers;

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use config::metrics::Registry;
use config::{Lobby, Sparing, Stop};
use protocol::FloorAddress;
use tokio_util::task::TaskTracker;
use tower_http::compression::CompressionLayer;
use tower_http::csrf::{CsrfLayer, ProtectionError};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::counters::Counters;
use crate::live::covers::Covers;
use crate::live::hub::{self, Hub};
use crate::live::taps::Taps;
use crate::run::Sources;
use crate::settings::Settings;

use archive::Archive;
pub(crate) use assets::accent_path;
pub use assets::{Asset, Assets};
use client::Client;
pub(crate) use client::Peer;
pub(crate) use covers::path as cover_path;
use dancer::Dancers;
use desk::Desks;
use limits::Limits;
use pair::Pairings;
pub(crate) use patient::Patient;
use people::People;
use presence::Presence;
pub use problem::Problem;
pub(crate) use socket::at_the_door;
pub(crate) use visit::Visit;
use visitor::Visitor;
use writers::Writers;

/// What every handler can ask. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    settings: Arc<Settings>,
    address_header: HeaderName,
    hub: Hub,
    taps: Taps,
    archive: Archive,
    covers: Covers,
    dancers: Dancers,
    desks: Desks,
    pairings: Pairings,
    people: People,
    presence: Presence,
    limits: Arc<Mutex<Limits>>,
    lobby: Lobby,
    assets: Arc<Assets>,
    stop: Stop,
    /// Sockets outlive their request; a stop waits for them here.
    tasks: TaskTracker,
    writers: Writers,
    sockets: Arc<AtomicUsize>,
    tunnels: Arc<AtomicUsize>,
    counters: Arc<Counters>,
    /// What the log tells of requests that failed, and of browsers.
    failures: Arc<Sparing>,
    faults: Arc<Sparing>,
    /// Host and port of the broker, when it speaks plain TCP.
    broker: Option<Arc<(String, u16)>>,
}

impl App {
    pub(crate) fn new(
        settings: Settings,
        hub: Hub,
        taps: Taps,
        broker: Option<(String, u16)>,
        sources: Sources,
        stop: Stop,
        tasks: TaskTracker,
    ) -> anyhow::Result<Self> {
        // Without a secret of the operator's, dancers are the same until we stop.
        let random = || {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map(|()| bytes.to_vec())
        };
        let secret = settings.secret.as_ref().map(|secret| secret.reveal().as_bytes().to_vec());
        let secret = secret.map_or_else(random, Ok).context("draw a secret for cookies")?;
        let address_header = settings.address_header.parse().context("read web.address_header")?;
        let Sources { store, own_desks } = sources;
        let counters = Arc::new(Counters::of(taps.unconfirmed()));
        let writers = Writers::start(&hub, &counters, &stop, &tasks)?;
        let archive = Archive::new(store.clone());
        Ok(Self {
            address_header,
            covers: hub.covers.clone(),
            hub,
            taps,
            dancers: Dancers::new(&secret),
            pairings: Pairings::new(store.clone(), settings.event.clone(), &secret),
            people: People::new(archive.clone(), &secret),
            archive,
            desks: Desks::new(store, settings.event.clone(), own_desks, &secret),
            presence: Presence::default(),
            limits: Arc::new(Mutex::new(Limits::new(&settings))),
            lobby: Lobby::default(),
            assets: Arc::new(Assets::load()),
            stop,
            tasks,
            writers,
            sockets: Arc::default(),
            tunnels: Arc::default(),
            counters,
            failures: Arc::default(),
            faults: Arc::default(),
            broker: broker.map(Arc::new),
            settings: settings.into(),
        })
    }

    /// Who asks, behind proxies that are believed. Our listener tells the peer of every connection.
    fn client(&self, peer: Option<Peer>, headers: &HeaderMap) -> Client {
        let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0);
        client::client(peer, headers, &self.address_header, &self.settings.proxies)
    }

    /// Whether whoever is connected to us is one of the proxies that are believed.
    fn is_proxy(&self, peer: Peer) -> bool {
        self.settings.proxies.iter().any(|network| network.contains(peer.0))
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        self.counters.register(registry, &Problem::REASONS);
    }

    /// Tells the counters what is open now.
    pub(crate) fn measure(&self) {
        self.counters.sockets.set(self.sockets.load(Ordering::Relaxed) as u64);
        self.counters.tunnels.set(self.tunnels.load(Ordering::Relaxed) as u64);
    }

    /// Cancelled when sockets can no longer be served.
    pub(crate) fn broken(&self) -> Stop {
        self.writers.broken().clone()
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        // Held for a few map operations; a panic there leaves counters at most a tap off.
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest state of the floor that a path names.
    fn floor(&self, (event, floor): &(String, String)) -> Result<hub::State, Problem> {
        let address: FloorAddress = format!("{event}/{floor}").parse().map_err(|_| Problem::NotFound)?;
        self.hub.state(&address).ok_or(if self.hub.views().is_empty() {
            Problem::Starting
        } else {
            Problem::NotFound
        })
    }

    /// Addresses of all floors, in no order.
    fn floors(&self) -> Vec<FloorAddress> {
        self.hub.views().iter().map(|view| view.address.clone()).collect()
    }
}

/// Everything we answer to.
pub(crate) fn routes(app: App) -> anyhow::Result<Router> {
    let mut csrf = CsrfLayer::new();
    for origin in &app.settings.origins {
        csrf = csrf.add_trusted_origin(origin).with_context(|| format!("read `{origin}` in web.origins"))?;
    }
    let csrf = csrf.with_rejection_response(|_: ProtectionError| Problem::ForeignOrigin.into_response());
    Ok(Router::new()
        .route("/", get(pages::lobby))
        .route("/e/{event}", get(pages::event))
        .route("/e/{event}/{floor}", get(pages::floor))
        .route("/e/{event}/{floor}/fragments", get(pages::fragments))
        .route("/e/{event}/{floor}/stage", get(pages::stage))
        .route("/e/{event}/{floor}/overlay", get(pages::overlay))
        .route("/e/{event}/{floor}/play/{play}", get(recap::song))
        .route("/e/{event}/{floor}/recap", get(recap::floor))
        .route("/e/{event}/{floor}/app.webmanifest", get(install::manifest))
        .route("/e/{event}/recap", get(recap::event))
        .route("/e/{event}/set/{set}", get(recap::set))
        .route("/e/{event}/set/{set}/{file}", get(recap::file))
        .route("/join", get(pages::join))
        .route("/qr.svg", get(pages::qr))
        .route("/me", get(recap::me))
        .route("/me/{file}", get(recap::likes_file))
        .route("/dj", get(console::floors))
        .route("/dj/login", post(console::login))
        .route("/dj/logout", post(console::logout))
        .route("/dj/{floor}", get(console::console))
        .route("/dj/{floor}/let-in", post(console::let_in))
        .route("/dj/{floor}/{what}", post(console::act))
        .route("/login", get(admin::login_page).post(admin::login))
        .route("/logout", post(admin::logout))
        .route("/account", get(admin::account))
        .route("/account/{what}", post(admin::act_on_account))
        .route("/admin", get(admin::home))
        .route("/admin/{page}", get(admin::page).post(admin::act))
        .route("/ws", get(socket::open))
        .route("/mqtt", get(tunnel::open))
        .route("/api/v1/{event}/{floor}/now", get(api::now_json))
        .route("/api/v1/{event}/{floor}/now.json", get(api::now_json))
        .route("/api/v1/{event}/{floor}/now.txt", get(api::now_text))
        .route("/api/v1/{event}/{floor}/history", get(api::history))
        .route("/api/v1/{event}/{floor}/reactions", get(api::reactions))
        .route("/api/v1/{event}/{floor}/poll", get(api::poll))
        .route("/api/v1/{event}/{floor}/events", get(events::stream))
        .route("/api/v1/{event}/{floor}/like", post(taps::like))
        .route("/api/v1/{event}/{floor}/tempo", post(taps::tempo))
        .route("/api/v1/{event}/{floor}/thanks", post(taps::thanks))
        .route("/api/v1/{event}/{floor}/vote", post(taps::vote))
        .route("/api/v1/me/forget", post(taps::forget))
        .route("/api/v1/pair", post(pair::ask))
        .route("/api/v1/pair/{id}", get(pair::outcome).post(pair::reveal))
        .route("/assets/{name}", get(assets::serve))
        .route("/cover/{name}", get(covers::serve))
        .route("/client-error", post(faults::tell))
        .route("/favicon.ico", get(assets::favicon))
        .route("/sw.js", get(install::worker))
        .route("/offline", get(install::offline))
        .route("/{code}", get(pages::code))
        .fallback(pages::nowhere)
        .layer(csrf)
        .layer(middleware::from_fn(visitor::choices))
        .layer(middleware::from_fn_with_state(app.clone(), visitor::who))
        .layer(middleware::from_fn_with_state(app.clone(), trace::request))
        .with_state(app)
        .layer(CompressionLayer::new())
        .layer(set(header::CONTENT_SECURITY_POLICY, CSP))
        .layer(set(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(set(header::REFERRER_POLICY, "strict-origin-when-cross-origin"))
        .layer(set(
            HeaderName::from_static("permissions-policy"),
            "screen-wake-lock=(self), camera=(), microphone=(), geolocation=()",
        ))
        .layer(set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin")))
}

// `connect-src 'self'` covers our own WebSocket in every browser that has CSP level 3.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";

fn set(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}
