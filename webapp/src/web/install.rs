//! What makes the page an app on the phone's home screen, where it comes over HTTPS: manifest and service worker.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use maud::html;
use serde_json::json;

use crate::views::layout::Document;
use crate::web::pages::show;
use crate::web::{App, Asset, Problem, Visitor};

/// Web app manifest of a floor (<https://www.w3.org/TR/appmanifest/>).
pub(super) async fn manifest(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
) -> Result<Response, Problem> {
    let state = app.floor(&path)?;
    let view = &state.view;
    let page = format!("/e/{}", view.address);
    let icon = |asset, size: &str, kind: &str| json!({ "src": app.assets.path(asset), "sizes": size, "type": kind, "purpose": "any" });
    let manifest = json!({
        "id": page,
        "start_url": page,
        "scope": "/",
        "name": format!("{} · {}", view.event_name, view.floor_name),
        "short_name": view.event_name,
        "lang": visitor.words.language().code(),
        "display": "standalone",
        "background_color": "#0d0b10",
        "theme_color": "#0d0b10",
        "icons": [
            icon(Asset::Icon192, "192x192", "image/png"),
            icon(Asset::Icon512, "512x512", "image/png"),
            icon(Asset::Mark, "any", "image/svg+xml"),
        ],
    });
    let kinds =
        [(header::CONTENT_TYPE, "application/manifest+json"), (header::CACHE_CONTROL, "private, no-cache")];
    Ok((kinds, manifest.to_string()).into_response())
}

/// The service worker, at an address that never changes; its content names the build, so a new one replaces it.
pub(super) async fn worker(State(app): State<App>) -> Response {
    let shell = json!([
        app.assets.path(Asset::Style),
        app.assets.path(Asset::Script),
        app.assets.path(Asset::Mark),
        "/offline"
    ]);
    let script = app.assets.worker().replace("\"{build}\"", &json!(app.assets.build()).to_string());
    let script = script.replace("\"{shell}\"", &shell.to_string());
    let mut response = script.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// What the worker shows when there is no network and no page was kept.
pub(super) async fn offline(State(app): State<App>, visitor: Visitor) -> Response {
    let words = visitor.words;
    let content = html! {
        h1.title { (words.say("one-moment")) }
        p.line { (words.say("offline")) }
    };
    let plain = Document::plain(visitor.skin(&app), "problem", "Pika".to_owned(), content);
    show(Document { refresh_s: Some(5), ..plain })
}
