//! Pages for people.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::Render;
use protocol::FloorAddress;
use serde::Deserialize;

use crate::views;
use crate::views::layout::Document;
use crate::web::{App, Problem, floor_state};

pub(super) async fn lobby(State(app): State<App>) -> Response {
    floors(&app, None)
}

pub(super) async fn event(State(app): State<App>, Path(event): Path<String>) -> Response {
    floors(&app, Some(&event))
}

/// The list of floors, or the floor itself when there is just one.
fn floors(app: &App, event: Option<&str>) -> Response {
    let mut views = app.hub.views();
    if views.is_empty() {
        return Problem::Starting.page(&app.assets);
    }
    views.retain(|view| event.is_none_or(|event| view.address.event.as_str() == event));
    views.sort_by(|a, b| a.floor_name.cmp(&b.floor_name));
    match views.as_slice() {
        [] => Problem::NotFound.page(&app.assets),
        [only] => Redirect::to(&format!("/e/{}", only.address)).into_response(),
        all => show(views::lobby::Lobby { floors: all }.document(&app.assets)),
    }
}

pub(super) async fn floor(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    match floor_state(&app, path) {
        Ok(state) => {
            let page = views::floor::FloorPage { view: &state.view, number: state.number };
            let mut response = show(page.document(&app.assets));
            // From now on this browser is one dancer, so that a tap sent twice is not one of two.
            if let Some(dancer) = app.dancers.of(&headers) {
                dancer.remember(&mut response);
            }
            response
        }
        Err(problem) => problem.page(&app.assets),
    }
}

/// The parts of the floor page that change, for phones whose network lets no WebSocket through.
pub(super) async fn fragments(
    State(app): State<App>,
    Path((event, floor)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let state = match floor_state(&app, (event, floor)) {
        Ok(state) => state,
        Err(problem) => return problem.plain(),
    };
    let tag = format!("\"{}-{}\"", app.assets.build(), state.number);
    let same = headers.get(header::IF_NONE_MATCH).is_some_and(|seen| seen.as_bytes() == tag.as_bytes());
    let kept = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if same {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    let html: String = state.fragments.iter().map(|fragment| &*fragment.html).collect();
    let html = format!("{}{html}", views::floor::Clock::now(&app.assets).render().into_string());
    (kept, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
}

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    /// `event/floor`; the only floor when it is absent.
    floor: Option<String>,
}

pub(super) async fn join(
    State(app): State<App>,
    Query(which): Query<Which>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let Some(address) = which_floor(&app, &which) else { return floors(&app, None) };
    let Some(state) = app.hub.state(&address) else { return Problem::NotFound.page(&app.assets) };
    let url = format!("{}/e/{address}", base_url(&app, &headers, &uri));
    show(views::join::JoinPage { view: &state.view, url: &url }.document(&app.assets))
}

pub(super) async fn qr(
    State(app): State<App>,
    Query(which): Query<Which>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let address = match which_floor(&app, &which) {
        Some(address) if app.hub.state(&address).is_some() => address,
        _ => return Problem::NotFound.plain(),
    };
    let url = format!("{}/e/{address}", base_url(&app, &headers, &uri));
    match views::join::qr_svg(&url) {
        Some(svg) => ([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response(),
        None => Problem::BadRequest("This address does not fit into a QR code.").plain(),
    }
}

pub(super) async fn nowhere(State(app): State<App>) -> Response {
    Problem::NotFound.page(&app.assets)
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

/// What a dancer's phone can reach: as configured, or else by the name under which we were asked.
fn base_url(app: &App, headers: &HeaderMap, uri: &Uri) -> String {
    if let Some(url) = &app.settings.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or(uri.authority().map(|authority| authority.as_str())).unwrap_or("localhost");
    // The name goes into a QR code and a page: only what a host and port are made of.
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    format!("http://{}", if plain { host } else { "localhost" })
}

fn show(document: Document<'_>) -> Response {
    ([(header::CACHE_CONTROL, "no-cache")], document.render()).into_response()
}
