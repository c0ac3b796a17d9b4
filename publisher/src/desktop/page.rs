//! The settings page on loopback: who is let in, the routes, and what a filled-in form means.
//!
//! Any page in the DJ's browser can send requests here, and any name can be made to point here. So the Host has to be ours, a
//! request that changes something has to come from our own page, and without a key from the tray nobody gets in at all.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::extract::{Form, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, extract::DefaultBodyLimit};
use maud::Markup;
use protocol::Request as Asked;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::views::{self, Shown};
use super::{Click, Desktop};
use crate::choices::{Choices, Filled};

const COOKIE: &str = "pika_settings";
const KEY_HEADER: HeaderName = HeaderName::from_static("x-pika-key");
/// Longer than any form that is filled in by hand.
const FORM_BYTES_MAX: usize = 64 * 1024;
/// Keys that were not used yet: more than anybody opens by accident. The oldest go.
const KEYS_MAX: usize = 16;
/// Browsers that are let in. The oldest go.
const SESSIONS_MAX: usize = 32;
const KEY_GOOD_FOR: Duration = Duration::from_secs(300);
/// How long the page waits for news before it asks again.
const NEWS_WITHIN: Duration = Duration::from_secs(25);
/// A server on this laptop stops and starts within this.
const CHANGED_WITHIN: Duration = Duration::from_secs(12);

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Who is let in.
#[derive(Debug)]
pub struct Keys {
    /// For a second start of the program.
    again: String,
    one_time: VecDeque<(String, Instant)>,
    sessions: VecDeque<String>,
}

impl Keys {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { again: random()?, one_time: VecDeque::new(), sessions: VecDeque::new() })
    }

    pub fn again(&self) -> String {
        self.again.clone()
    }

    /// A key that lets in one browser, once, within five minutes.
    pub fn one_time(&mut self) -> anyhow::Result<String> {
        let key = random()?;
        self.one_time.push_back((key.clone(), Instant::now()));
        if self.one_time.len() > KEYS_MAX {
            self.one_time.pop_front();
        }
        Ok(key)
    }

    /// A session for a key that was not used yet.
    fn enter(&mut self, key: &str) -> anyhow::Result<Option<String>> {
        self.one_time.retain(|(_, made)| made.elapsed() < KEY_GOOD_FOR);
        let Some(at) = self.one_time.iter().position(|(known, _)| is_same(known, key)) else {
            return Ok(None);
        };
        self.one_time.remove(at);
        let session = random()?;
        self.sessions.push_back(session.clone());
        if self.sessions.len() > SESSIONS_MAX {
            self.sessions.pop_front();
        }
        Ok(Some(session))
    }

    fn knows(&self, session: &str) -> bool {
        self.sessions.iter().any(|known| is_same(known, session))
    }
}

/// In the same time whatever the difference.
fn is_same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn random() -> anyhow::Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness for a key: {error}"))?;
    Ok(hex::encode(bytes))
}

pub(super) fn routes(desktop: Desktop) -> Router {
    let inside = Router::new()
        .route("/", get(page))
        .route("/news", get(news))
        .route("/ask", post(ask))
        .route("/choose", post(choose))
        .route("/join", post(join))
        .route("/joined", post(joined))
        .route("/leave", post(leave))
        .route("/login", post(start_at_login))
        .route("/qr.svg", get(code))
        .route_layer(middleware::from_fn_with_state(desktop.clone(), let_in));
    Router::new()
        .merge(inside)
        .route("/enter", get(enter))
        .route("/again", post(again))
        .route("/page.css", get(|| async { asset("text/css; charset=utf-8", views::STYLE) }))
        .route("/page.js", get(|| async { asset("text/javascript; charset=utf-8", views::SCRIPT) }))
        .route("/mark.svg", get(|| async { asset("image/svg+xml", views::MARK) }))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn_with_state(desktop.clone(), guard))
        .with_state(desktop)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
}

/// A status and a sentence.
fn refusal(status: StatusCode, sentence: &str) -> Response {
    (status, Html(views::refusal(sentence).into_string())).into_response()
}

/// What holds for every request: it means us, and what changes something comes from our own page.
async fn guard(State(desktop): State<Desktop>, request: Request, next: Next) -> Response {
    let address = desktop.inner.address;
    let ours = [address.to_string(), format!("localhost:{}", address.port())];
    let host = text_of(request.headers(), &header::HOST).unwrap_or_default();
    let mut response = if !ours.iter().any(|name| name == host) {
        refusal(StatusCode::MISDIRECTED_REQUEST, "This page is only there under its own address.")
    } else if request.method() != Method::GET && !comes_from_us(request.headers(), &ours) {
        refusal(StatusCode::FORBIDDEN, "Only the settings page itself may change settings.")
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer` browsers hide where a form comes from, also from ourselves.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn comes_from_us(headers: &HeaderMap, ours: &[String]) -> bool {
    match text_of(headers, &header::ORIGIN) {
        Some(origin) => ours.iter().any(|name| origin.strip_prefix("http://") == Some(name)),
        // No browser: it has to know a key of its own.
        None => headers.contains_key(KEY_HEADER),
    }
}

async fn let_in(State(desktop): State<Desktop>, request: Request, next: Next) -> Response {
    let cookies = text_of(request.headers(), &header::COOKIE).unwrap_or_default();
    let session = cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='));
    let is_known = session.is_some_and(|session| desktop.keys().knows(session));
    if !is_known {
        return refusal(
            StatusCode::FORBIDDEN,
            "Open the settings from the icon in the tray, or start Pika once more: it opens them here.",
        );
    }
    next.run(request).await
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[derive(Debug, Deserialize)]
struct Entering {
    key: String,
    #[serde(default)]
    to: String,
}

async fn enter(State(desktop): State<Desktop>, Query(entering): Query<Entering>) -> Response {
    let session = desktop.keys().enter(&entering.key);
    match session {
        Ok(Some(session)) => {
            let to = match entering.to.as_str() {
                part @ ("share" | "settings" | "log") => format!("/#{part}"),
                _ => "/".to_owned(),
            };
            let cookie = format!("{COOKIE}={session}; HttpOnly; SameSite=Strict; Path=/");
            ([(header::SET_COOKIE, cookie)], Redirect::to(&to)).into_response()
        }
        Ok(None) => refusal(
            StatusCode::FORBIDDEN,
            "This link was used already, or is too old. Open the settings from the icon in the tray once more.",
        ),
        Err(error) => {
            tracing::error!("{error:#}");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "The system gave us no randomness for a key.")
        }
    }
}

/// The program was started a second time.
async fn again(State(desktop): State<Desktop>, headers: HeaderMap) -> Response {
    let key = text_of(&headers, &KEY_HEADER).unwrap_or_default();
    if !is_same(&desktop.keys().again(), key) {
        return refusal(StatusCode::FORBIDDEN, "That key is not ours.");
    }
    match desktop.entrance() {
        Ok(url) => url.into_response(),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}")),
    }
}

async fn page(State(desktop): State<Desktop>) -> Html<String> {
    Html(whole(&desktop, None, &[]).into_string())
}

fn whole(desktop: &Desktop, typed: Option<&Filled>, faults: &[(&'static str, String)]) -> Markup {
    let inner = &desktop.inner;
    let (status, setup) = (inner.wiring.remote.status.borrow(), inner.wiring.setup.borrow());
    let (joining, nearby) = (inner.join.state(), inner.nearby.found());
    let filled = typed.cloned().unwrap_or_else(|| Filled::of(&setup));
    let (joining, nearby) = (joining.borrow(), nearby.borrow());
    let shown = Shown { status: &status, setup: &setup, joining: &joining, nearby: &nearby };
    views::page(&shown, &filled, faults, super::autostart::is_on())
}

#[derive(Debug, Deserialize)]
struct Seen {
    /// What the page shows.
    #[serde(default)]
    seen: String,
}

/// The parts that change by themselves, as soon as they are others than those that the page shows.
async fn news(State(desktop): State<Desktop>, Query(seen): Query<Seen>) -> Response {
    let mut status = desktop.inner.wiring.remote.status.clone();
    let mut setup = desktop.inner.wiring.setup.clone();
    let (mut joining, mut nearby) = (desktop.inner.join.state(), desktop.inner.nearby.found());
    let until = tokio::time::Instant::now() + NEWS_WITHIN;
    loop {
        let parts = {
            let (status, setup) = (status.borrow_and_update(), setup.borrow_and_update());
            let (joining, nearby) = (joining.borrow_and_update(), nearby.borrow_and_update());
            let shown = Shown { status: &status, setup: &setup, joining: &joining, nearby: &nearby };
            views::parts(&shown).into_string()
        };
        let tag = format!("{:08x}", crc32fast::hash(parts.as_bytes()));
        if tag != seen.seen {
            let name = HeaderName::from_static("x-seen");
            return ([(name, tag)], Html(parts)).into_response();
        }
        let changed = async {
            tokio::select! {
                changed = status.changed() => changed.is_ok(),
                changed = setup.changed() => changed.is_ok(),
                changed = joining.changed() => changed.is_ok(),
                changed = nearby.changed() => changed.is_ok(),
                () = desktop.inner.wiring.stop.cancelled() => false,
            }
        };
        match tokio::time::timeout_at(until, changed).await {
            Ok(true) => {}
            // Nothing new, or nothing any more: the page asks again.
            _ => return StatusCode::NO_CONTENT.into_response(),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Wish {
    what: String,
    /// The play or set that it is about.
    #[serde(default)]
    about: String,
}

async fn ask(State(desktop): State<Desktop>, Form(wish): Form<Wish>) -> Response {
    let request = match wish.what.as_str() {
        "go-live" => Some(Asked::GoLive),
        "end-set" => wish.about.parse().ok().map(|set_id| Asked::EndSet { set_id }),
        "undo" => wish.about.parse().ok().map(|play_id| Asked::Withdraw { play_id }),
        "hide" => wish.about.parse().ok().map(|play_id| Asked::Hide { play_id, on: true }),
        "show" => wish.about.parse().ok().map(|play_id| Asked::Hide { play_id, on: false }),
        _ => None,
    };
    let Some(request) = request else {
        return refusal(StatusCode::BAD_REQUEST, "That is nothing a desk can do.");
    };
    if desktop.inner.wiring.remote.ask(request) {
        Redirect::to("/").into_response()
    } else {
        refusal(StatusCode::SERVICE_UNAVAILABLE, "The desk does not run, or is busy. See the log.")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asking {
    /// An address as somebody typed it.
    url: String,
    /// One that was clicked.
    found: Option<String>,
    name: String,
}

async fn join(State(desktop): State<Desktop>, Form(asking): Form<Asking>) -> Response {
    let name: String = asking.name.trim().chars().filter(|c| !c.is_control()).take(60).collect();
    let url = asking.found.unwrap_or(asking.url);
    desktop.inner.join.ask(&url, Some(name).filter(|name| !name.is_empty()));
    Redirect::to("/#join").into_response()
}

async fn leave(State(desktop): State<Desktop>) -> Response {
    desktop.inner.join.leave();
    Redirect::to("/#join").into_response()
}

#[derive(Debug, Deserialize)]
struct Confirming {
    code: String,
}

/// The DJ says that it was the organizer who typed the code: the desk plays there from now on.
async fn joined(State(desktop): State<Desktop>, Form(Confirming { code }): Form<Confirming>) -> Response {
    let Some(joined) = desktop.inner.join.confirmed(&code) else {
        return refusal(StatusCode::CONFLICT, "Nobody has let this laptop in with that code.");
    };
    let mut filled = Filled::of(&desktop.inner.wiring.setup.borrow());
    filled.joined(joined);
    let response = choose(State(desktop.clone()), Form(filled)).await;
    if response.status().is_redirection() {
        desktop.inner.join.leave();
    }
    response
}

async fn choose(State(desktop): State<Desktop>, Form(filled): Form<Filled>) -> Response {
    let mut setup = desktop.inner.wiring.setup.clone();
    setup.mark_unchanged();
    match Choices::of(&filled) {
        Err(faults) => {
            let page = whole(&desktop, Some(&filled), &faults).into_string();
            (StatusCode::UNPROCESSABLE_ENTITY, Html(page)).into_response()
        }
        Ok(choices) => match desktop.inner.wiring.chosen.try_send(choices) {
            Ok(()) => {
                // The next page shows what runs then. If that takes long, it shows the rest when it comes.
                let _ = tokio::time::timeout(CHANGED_WITHIN, setup.changed()).await;
                Redirect::to("/").into_response()
            }
            Err(_) => refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "The last change is still being carried out. Try again.",
            ),
        },
    }
}

#[derive(Debug, Deserialize)]
struct Login {
    on: bool,
}

async fn start_at_login(State(desktop): State<Desktop>, Form(Login { on }): Form<Login>) -> Response {
    desktop.click(Click::StartAtLogin(on));
    Redirect::to("/#settings").into_response()
}

async fn code(State(desktop): State<Desktop>) -> Response {
    match desktop.floor_url().as_deref().and_then(views::code) {
        Some(svg) => ([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response(),
        None => refusal(StatusCode::NOT_FOUND, "There is no floor to show a code for yet."),
    }
}

impl Desktop {
    /// Puts the floor's address into the clipboard. Where there is none, the page shows it.
    pub(super) fn copy_link(&self) {
        let Some(url) = self.floor_url() else { return };
        if let Err(error) = self.inner.clipboard.copy(url).context("copy the link") {
            tracing::warn!("{error:#}; the settings page shows it");
            self.show("share");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lets_in_one_browser() {
        let mut keys = Keys::new().expect("randomness");
        let key = keys.one_time().expect("randomness");
        let session = keys.enter(&key).expect("randomness").expect("the right key");
        assert!(keys.knows(&session) && !keys.knows("") && !keys.knows(&key));
        assert_eq!(keys.enter(&key).expect("randomness"), None, "once");
        for _ in 0..=KEYS_MAX {
            keys.one_time().expect("randomness");
        }
        assert_eq!(keys.one_time.len(), KEYS_MAX);
    }
}
