//! `/api/v1`: what the floor's topics say, for those who speak HTTP.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::web::{App, Problem};

pub(super) async fn now_json(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<Response, Problem> {
    let state = app.floor(&path)?;
    Ok((FRESH, Json(&state.view.now)).into_response())
}

pub(super) async fn now_text(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<Response, Problem> {
    let state = app.floor(&path)?;
    let play = state.view.now.as_ref().and_then(|now| now.play.as_ref());
    let line = play.map(|play| play.track.line()).unwrap_or_default();
    Ok((FRESH, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{line}\n")).into_response())
}

pub(super) async fn history(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<Response, Problem> {
    let state = app.floor(&path)?;
    Ok((FRESH, Json(&state.view.history)).into_response())
}

pub(super) async fn reactions(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<Response, Problem> {
    let state = app.floor(&path)?;
    Ok((FRESH, Json(&state.view.reactions)).into_response())
}

pub(super) async fn poll(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<Response, Problem> {
    let state = app.floor(&path)?;
    Ok((FRESH, Json(&state.view.poll)).into_response())
}

const FRESH: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
