//! HTTP: one route table, and the three steps of every handler: extract, ask, show.

mod api;
mod assets;
mod dancer;
mod frames;
mod pages;
mod problem;
mod socket;
mod taps;
mod tunnel;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anyhow::Context;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::{get, post};
use config::Stop;
use protocol::FloorAddress;
use tokio_util::task::TaskTracker;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::live::hub::{self, Hub};
use crate::live::taps::Taps;
use crate::settings::Settings;

pub(crate) use assets::accent_path;
pub use assets::{Asset, Assets};
use dancer::Dancers;
pub use problem::Problem;

/// What every handler can ask. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    settings: Arc<Settings>,
    hub: Hub,
    taps: Taps,
    dancers: Dancers,
    assets: Arc<Assets>,
    stop: Stop,
    /// Sockets outlive their request; a stop waits for them here.
    tasks: TaskTracker,
    sockets: Arc<AtomicUsize>,
    tunnels: Arc<AtomicUsize>,
    /// Host and port of the broker, when it speaks plain TCP.
    broker: Option<Arc<(String, u16)>>,
}

impl App {
    pub(crate) fn new(
        settings: Settings,
        hub: Hub,
        taps: Taps,
        broker: Option<(String, u16)>,
        stop: Stop,
        tasks: TaskTracker,
    ) -> anyhow::Result<Self> {
        // Without a secret of the operator's, dancers are the same until we stop.
        let random = || {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map(|()| bytes.to_vec())
        };
        let secret = settings.secret.as_ref().map(|secret| secret.reveal().as_bytes().to_vec());
        let secret = secret.map_or_else(random, Ok).context("draw a secret for dancers' cookies")?;
        Ok(Self {
            settings: settings.into(),
            hub,
            taps,
            dancers: Dancers::new(&secret),
            assets: Arc::new(Assets::load()),
            stop,
            tasks,
            sockets: Arc::default(),
            tunnels: Arc::default(),
            broker: broker.map(Arc::new),
        })
    }
}

/// The newest state of the floor that a path names.
fn floor_state(app: &App, (event, floor): (String, String)) -> Result<hub::State, Problem> {
    let address: FloorAddress = format!("{event}/{floor}").parse().map_err(|_| Problem::NotFound)?;
    app.hub.state(&address).ok_or(if app.hub.views().is_empty() {
        Problem::Starting
    } else {
        Problem::NotFound
    })
}

/// Everything we answer to.
pub(crate) fn routes(app: App) -> Router {
    Router::new()
        .route("/", get(pages::lobby))
        .route("/e/{event}", get(pages::event))
        .route("/e/{event}/{floor}", get(pages::floor))
        .route("/e/{event}/{floor}/fragments", get(pages::fragments))
        .route("/join", get(pages::join))
        .route("/qr.svg", get(pages::qr))
        .route("/ws", get(socket::open))
        .route("/mqtt", get(tunnel::open))
        .route("/api/v1/{event}/{floor}/now", get(api::now_json))
        .route("/api/v1/{event}/{floor}/now.json", get(api::now_json))
        .route("/api/v1/{event}/{floor}/now.txt", get(api::now_text))
        .route("/api/v1/{event}/{floor}/history", get(api::history))
        .route("/api/v1/{event}/{floor}/reactions", get(api::reactions))
        .route("/api/v1/{event}/{floor}/like", post(taps::like))
        .route("/api/v1/{event}/{floor}/tempo", post(taps::tempo))
        .route("/api/v1/{event}/{floor}/thanks", post(taps::thanks))
        .route("/api/v1/me/forget", post(taps::forget))
        .route("/assets/{name}", get(assets::serve))
        .route("/favicon.ico", get(assets::favicon))
        .fallback(pages::nowhere)
        .with_state(app)
        .layer(CompressionLayer::new())
        .layer(set(header::CONTENT_SECURITY_POLICY, CSP))
        .layer(set(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(set(header::REFERRER_POLICY, "strict-origin-when-cross-origin"))
        .layer(set(HeaderName::from_static("permissions-policy"), "screen-wake-lock=(self)"))
        .layer(set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
}

// `connect-src 'self'` covers our own WebSocket in every browser that has CSP level 3.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

fn set(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}
