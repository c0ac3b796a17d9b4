//! Pages of a floor as it is now.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use config::clock::now_ms;
use maud::Render;
use protocol::FloorAddress;
use serde::Deserialize;

use crate::live::board::FloorView;
use crate::live::code;
use crate::views::floor::{Clock, FloorPage, Mine};
use crate::views::join::{JoinPage, qr_svg};
use crate::views::layout::Document;
use crate::views::lobby::Lobby;
use crate::views::overlay::{Fields, OverlayPage};
use crate::views::stage::StagePage;
use crate::views::{Screen, Skin};
use crate::web::{App, Problem, Visitor};
use crate::words::Language;

/// Reactions are as old as the play they are about, by clocks that may differ.
const CLOCKS_DIFFER_MS: i64 = 6 * 3_600_000;

/// No video is later than that.
const DELAY_S_MAX: u32 = 120;

pub(super) async fn lobby(State(app): State<App>, visitor: Visitor) -> Response {
    floors(&app, &visitor, None)
}

pub(super) async fn event(State(app): State<App>, visitor: Visitor, Path(event): Path<String>) -> Response {
    floors(&app, &visitor, Some(&event))
}

/// The list of floors, or the floor itself when there is just one.
fn floors(app: &App, visitor: &Visitor, event: Option<&str>) -> Response {
    let skin = visitor.skin(app);
    let mut views = app.hub.views();
    if views.is_empty() {
        return Problem::Starting.page(skin);
    }
    views.retain(|view| event.is_none_or(|event| view.address.event.as_str() == event));
    views.sort_by(|a, b| a.floor_name.cmp(&b.floor_name));
    match views.as_slice() {
        [] => Problem::NotFound.page(skin),
        [only] => Redirect::to(&format!("/e/{}", only.address)).into_response(),
        all => show(Lobby { floors: all }.document(skin)),
    }
}

pub(super) async fn floor(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
) -> Response {
    let skin = visitor.skin(&app);
    let state = match app.floor(&path) {
        Ok(state) => state,
        Err(problem) => return problem.page(skin),
    };
    let mine = mine(&app, &visitor, &state.view).await;
    let page = FloorPage { view: &state.view, mine: mine.as_ref() };
    let mut response = show(page.document(skin));
    visitor.remember(&app, &mut response, now_ms());
    response
}

/// What a dancer whom we know said about what this page shows.
pub(super) async fn mine(app: &App, visitor: &Visitor, view: &FloorView) -> Option<Mine> {
    let dancer = visitor.dancer.as_ref()?;
    let shown = view.history.iter().map(|past| past.play.started_ms);
    let oldest_ms = shown.chain(view.playing().map(|play| play.started_ms)).min()?;
    let poll = view.poll.as_ref().map(|poll| poll.poll_id);
    Some(app.archive.mine(&dancer.id, oldest_ms - CLOCKS_DIFFER_MS, poll).await)
}

pub(super) async fn stage(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let skin = visitor.skin(&app);
    match app.floor(&path) {
        Ok(state) => {
            let url = short_url(&app, &visitor, &state.view.address, &headers, &uri);
            show(StagePage { view: &state.view, url: &url }.document(skin))
        }
        Err(problem) => problem.page(skin),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct OverlayChoice {
    fields: Option<String>,
    delay: Option<u32>,
    theme: Option<String>,
}

pub(super) async fn overlay(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
    Query(choice): Query<OverlayChoice>,
) -> Response {
    let look = choice.theme.as_deref().and_then(crate::views::Look::read).unwrap_or_default();
    let skin = Skin { look, ..visitor.skin(&app) };
    match app.floor(&path) {
        Ok(state) => {
            let fields = Fields::read(choice.fields.as_deref());
            let delay_s = choice.delay.unwrap_or(0).min(DELAY_S_MAX);
            show(OverlayPage { view: &state.view, fields, delay_s }.document(skin))
        }
        Err(problem) => problem.page(skin),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    screen: Option<String>,
    lang: Option<String>,
}

impl Wanted {
    /// The screen and language that a script asks for; nobody gets a console this way.
    pub(super) fn read(&self) -> (Screen, Language) {
        let screen = self.screen.as_deref().and_then(Screen::read).unwrap_or(Screen::Floor);
        (screen, self.lang.as_deref().and_then(Language::read).unwrap_or_default())
    }
}

/// The parts of a page that change, for phones whose network lets no WebSocket through.
pub(super) async fn fragments(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    let state = match app.floor(&path) {
        Ok(state) => state,
        Err(problem) => return problem.plain(),
    };
    let (screen, language) = wanted.read();
    if screen == Screen::Console
        && let Err(problem) = app.desks.of(&headers, visitor.client.https, now_ms()).await
    {
        return problem.plain();
    }
    let tag = format!("\"{}-{}-{}-{}\"", app.assets.build(), state.number, screen.as_str(), language.code());
    let same = headers.get(header::IF_NONE_MATCH).is_some_and(|seen| seen.as_bytes() == tag.as_bytes());
    let kept = [(header::ETAG, tag), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    if same {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    let html: String = state.parts(screen, language).iter().map(|fragment| &*fragment.html).collect();
    let html = format!("{}{html}", Clock::now(&app.assets).render().into_string());
    (kept, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
}

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    /// `event/floor`; the only floor when it is absent.
    floor: Option<String>,
}

pub(super) async fn join(
    State(app): State<App>,
    visitor: Visitor,
    Query(which): Query<Which>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let skin = visitor.skin(&app);
    let Some(address) = which_floor(&app, &which) else { return floors(&app, &visitor, None) };
    let Some(state) = app.hub.state(&address) else { return Problem::NotFound.page(skin) };
    let url = floor_url(&app, &visitor, &address, &headers, &uri);
    let short = short_url(&app, &visitor, &address, &headers, &uri);
    show(JoinPage { view: &state.view, url: &url, short: &short }.document(skin))
}

pub(super) async fn qr(
    State(app): State<App>,
    visitor: Visitor,
    Query(which): Query<Which>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let address = match which_floor(&app, &which) {
        Some(address) if app.hub.state(&address).is_some() => address,
        _ => return Problem::NotFound.plain(),
    };
    match qr_svg(&floor_url(&app, &visitor, &address, &headers, &uri)) {
        Some(svg) => ([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response(),
        None => Problem::BadRequest("This address does not fit into a QR code.").plain(),
    }
}

/// A floor by its short code.
pub(super) async fn code(State(app): State<App>, visitor: Visitor, Path(typed): Path<String>) -> Response {
    match code::find(&typed, &app.floors()) {
        Some(floor) => Redirect::to(&format!("/e/{floor}")).into_response(),
        None if app.hub.views().is_empty() => Problem::Starting.page(visitor.skin(&app)),
        None => Problem::NotFound.page(visitor.skin(&app)),
    }
}

pub(super) async fn nowhere(State(app): State<App>, visitor: Visitor) -> Response {
    Problem::NotFound.page(visitor.skin(&app))
}

fn which_floor(app: &App, which: &Which) -> Option<FloorAddress> {
    match &which.floor {
        Some(floor) => floor.parse().ok(),
        None => match app.hub.views().as_slice() {
            [only] => Some(only.address.clone()),
            _ => None,
        },
    }
}

fn floor_url(app: &App, visitor: &Visitor, floor: &FloorAddress, headers: &HeaderMap, uri: &Uri) -> String {
    format!("{}/e/{floor}", base_url(app, visitor, headers, uri))
}

fn short_url(app: &App, visitor: &Visitor, floor: &FloorAddress, headers: &HeaderMap, uri: &Uri) -> String {
    format!("{}/{}", base_url(app, visitor, headers, uri), code::of(floor, &app.floors()))
}

/// What a dancer's phone can reach: as configured, or else by the name under which we were asked.
fn base_url(app: &App, visitor: &Visitor, headers: &HeaderMap, uri: &Uri) -> String {
    if let Some(url) = &app.settings.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or(uri.authority().map(|authority| authority.as_str())).unwrap_or("localhost");
    // The name goes into a QR code and a page: only what a host and port are made of.
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    let scheme = if visitor.client.https { "https" } else { "http" };
    format!("{scheme}://{}", if plain { host } else { "localhost" })
}

/// A page is somebody's: in his language, with what he likes.
pub(super) fn show(document: Document<'_>) -> Response {
    let mut response = document.render().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("cookie, accept-language"));
    response
}
