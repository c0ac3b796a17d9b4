//! What dancers can do: like, wish for another tempo, say thanks. Each is answered when it is stored, so a phone that
//! got its answer may forget it.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use config::clock::now_ms;
use protocol::{FloorAddress, Input, PlayId, TempoWish};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use crate::live::taps::Tap;
use crate::web::dancer::{Dancer, FORGET_COOKIE};
use crate::web::frames::is_ours;
use crate::web::{App, Problem, floor_state};

const BODY_BYTES_MAX: usize = 1_024;

/// How long an answer waits for the archive. After it, the phone keeps the tap and sends it again.
const STORED_WITHIN: Duration = Duration::from_secs(3);

/// A tap that a phone has kept for longer counts as tapped now.
const KEPT_MS_MAX: i64 = 86_400_000;

/// The fields of all forms; each kind takes what it needs.
#[derive(Debug, Deserialize)]
struct Form {
    play_id: PlayId,
    /// A like may be taken back.
    #[serde(default = "yes")]
    on: bool,
    /// Absent: taken back.
    #[serde(default)]
    wish: Option<TempoWish>,
    /// Another one for each tap, the same when the phone sends it again: a UUID. Version 7 holds the time of the tap.
    #[serde(default)]
    key: Option<String>,
}

fn yes() -> bool {
    true
}

pub(super) async fn like(app: State<App>, path: Path<(String, String)>, request: Request) -> Response {
    tap(app, path, request, |form, dancer| Input::Like { play_id: form.play_id, dancer, on: form.on }).await
}

pub(super) async fn tempo(app: State<App>, path: Path<(String, String)>, request: Request) -> Response {
    tap(app, path, request, |form, dancer| Input::Tempo { play_id: form.play_id, dancer, wish: form.wish })
        .await
}

pub(super) async fn thanks(app: State<App>, path: Path<(String, String)>, request: Request) -> Response {
    tap(app, path, request, |form, dancer| Input::Thanks { play_id: form.play_id, dancer }).await
}

/// Deletes what the dancer said, and lets the browser be somebody new.
pub(super) async fn forget(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    if !is_ours(&headers, &app.settings.origins) {
        return Err(Problem::ForeignOrigin);
    }
    let Some(dancer) = app.dancers.known(&headers) else { return Err(Problem::NotFound) };
    // It is about no floor in particular, but has to travel on one.
    let floor = app.hub.views().first().map(|view| view.address.clone()).ok_or(Problem::Starting)?;
    let tap = Tap { floor, input: Input::Forget { dancer }, at_ms: now_ms() };
    let stored = app.taps.send(tap).map_err(|_| Problem::Busy)?;
    match timeout(STORED_WITHIN, stored).await {
        Ok(Ok(())) => {
            let headers = [(header::SET_COOKIE, FORGET_COOKIE), (header::CACHE_CONTROL, "no-store")];
            Ok((headers, Json(json!({ "stored": true }))).into_response())
        }
        // The cookie stays, so that it can be tried again.
        _ => Err(Problem::Busy),
    }
}

async fn tap(
    State(app): State<App>,
    Path((event, floor)): Path<(String, String)>,
    request: Request,
    input: impl FnOnce(&Form, protocol::DancerId) -> Input,
) -> Response {
    let (parts, body) = request.into_parts();
    // A form in a page without our script wants a page again.
    let is_form = has_type(&parts.headers, "application/x-www-form-urlencoded");
    let wants_page = is_form && !accepts_json(&parts.headers);
    let outcome = tapped(&app, &parts.headers, body, (event, floor), input).await;
    match outcome {
        Ok((address, dancer, stored)) => {
            let mut response = if wants_page {
                Redirect::to(&format!("/e/{address}")).into_response()
            } else {
                let status = if stored { StatusCode::OK } else { StatusCode::ACCEPTED };
                (status, Json(json!({ "stored": stored }))).into_response()
            };
            let no_store = header::HeaderValue::from_static("no-store");
            response.headers_mut().insert(header::CACHE_CONTROL, no_store);
            dancer.remember(&mut response);
            response
        }
        Err(problem) if wants_page => problem.page(&app.assets),
        Err(problem) => problem.plain(),
    }
}

async fn tapped(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    path: (String, String),
    input: impl FnOnce(&Form, protocol::DancerId) -> Input,
) -> Result<(FloorAddress, Dancer, bool), Problem> {
    // Another site's page must not tap in a dancer's name.
    if !is_ours(headers, &app.settings.origins) {
        return Err(Problem::ForeignOrigin);
    }
    let state = floor_state(app, path)?;
    let form = read(headers, body).await?;
    if !app.hub.has_played(&state.view.address, form.play_id) {
        return Err(Problem::UnknownPlay);
    }
    let dancer = app.dancers.of(headers).ok_or(Problem::Busy)?;
    let address = state.view.address.clone();
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).or(form.key.as_deref());
    let at_ms = tapped_ms(key, now_ms());
    let tap = Tap { floor: address.clone(), input: input(&form, dancer.id.clone()), at_ms };
    let stored = app.taps.send(tap).map_err(|_| Problem::Busy)?;
    match timeout(STORED_WITHIN, stored).await {
        Ok(Ok(())) => Ok((address, dancer, true)),
        // We are stopping.
        Ok(Err(_)) => Err(Problem::Busy),
        Err(_) => Ok((address, dancer, false)),
    }
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Form, Problem> {
    const NOT_A_TAP: Problem = Problem::BadRequest("Say which play: play_id, as JSON or as a form.");
    let bytes = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| NOT_A_TAP)?;
    if has_type(headers, "application/json") {
        return serde_json::from_slice(&bytes).map_err(|_| NOT_A_TAP);
    }
    if has_type(headers, "application/x-www-form-urlencoded") {
        return serde_urlencoded::from_bytes(&bytes).map_err(|_| NOT_A_TAP);
    }
    Err(Problem::WrongType)
}

fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.contains("application/json")
}

/// When the dancer tapped: a key of UUID version 7 says so, so that a tap sent again does not undo a later one.
fn tapped_ms(key: Option<&str>, now_ms: i64) -> i64 {
    let in_key = key.and_then(|key| {
        let hex: String = key.chars().filter(|c| *c != '-').collect();
        let is_v7 = hex.len() == 32 && hex.as_bytes().get(12) == Some(&b'7');
        is_v7.then(|| i64::from_str_radix(&hex[..12], 16).ok()).flatten()
    });
    in_key.filter(|at| (now_ms - KEPT_MS_MAX..=now_ms).contains(at)).unwrap_or(now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_the_time_of_the_tap() {
        // 2026-11-21 20:00 UTC and a little.
        let key = "01a2fe3f-9400-7123-8000-000000000000";
        let at = i64::from_str_radix("01a2fe3f9400", 16).unwrap();
        assert_eq!(tapped_ms(Some(key), at + 5_000), at);
        assert_eq!(tapped_ms(Some(key), at - 1), at - 1, "nobody taps in the future");
        assert_eq!(tapped_ms(Some(key), at + KEPT_MS_MAX + 1), at + KEPT_MS_MAX + 1);
        for other in [
            None,
            Some(""),
            Some("x"),
            Some("01a2fe3f-9400-4123-8000-000000000000"),
            Some("łłłłłłłłłłłłłłłł"),
        ] {
            assert_eq!(tapped_ms(other, 7), 7, "{other:?}");
        }
    }
}
