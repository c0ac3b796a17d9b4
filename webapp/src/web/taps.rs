//! What dancers can do: like, wish for another tempo, say thanks, vote. Each is answered when it is stored, so a phone
//! that got its answer may forget it.

use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use config::clock::now_ms;
use maud::Render;
use protocol::{DancerId, FloorAddress, Input, MessageId, PlayId, TempoWish};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use tokio::time::timeout;

use crate::live::board::FloorView;
use crate::live::taps::Tap;
use crate::views::me::ForgottenPage;
use crate::web::limits::{TapRefused, Tapper};
use crate::web::patient::whole;
use crate::web::{App, Problem, Visitor};

const BODY_BYTES_MAX: usize = 1_024;

/// How long an answer waits for the archive. After it, the phone keeps the tap and sends it again.
const STORED_WITHIN: Duration = Duration::from_secs(3);

/// A tap that a phone has kept for longer counts as tapped now.
const KEPT_MS_MAX: i64 = 86_400_000;

/// The fields of all forms; each kind takes what it needs.
#[derive(Debug, Deserialize)]
struct Form {
    #[serde(default)]
    play_id: Option<PlayId>,
    /// Takes the like of this play back: what a button in a list of plays says.
    #[serde(default)]
    unlike: Option<PlayId>,
    /// A like may be taken back.
    #[serde(default = "yes")]
    on: bool,
    /// Absent or empty: taken back.
    #[serde(default, deserialize_with = "wish")]
    wish: Option<TempoWish>,
    #[serde(default)]
    poll_id: Option<MessageId>,
    #[serde(default, deserialize_with = "place")]
    option: Option<u8>,
    /// Another one for each tap, the same when the phone sends it again: a UUID. Version 7 holds the time of the tap.
    #[serde(default)]
    key: Option<String>,
}

fn yes() -> bool {
    true
}

/// A form says nothing with an empty text, JSON with null.
fn wish<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TempoWish>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some("slower") => Ok(Some(TempoWish::Slower)),
        Some("perfect") => Ok(Some(TempoWish::Perfect)),
        Some("faster") => Ok(Some(TempoWish::Faster)),
        Some(_) => Err(serde::de::Error::custom("a wish is slower, perfect or faster")),
    }
}

/// A number in JSON, a text in a form.
fn place<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Place {
        Number(u8),
        Text(String),
    }
    match Place::deserialize(deserializer)? {
        Place::Number(place) => Ok(Some(place)),
        Place::Text(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

pub(super) async fn like(
    app: State<App>,
    visitor: Visitor,
    path: Path<(String, String)>,
    request: Request,
) -> Response {
    tap(app, visitor, path, request, |form, dancer| {
        let on = form.on && form.unlike.is_none();
        Some(Input::Like { play_id: form.unlike.or(form.play_id)?, dancer, on })
    })
    .await
}

pub(super) async fn tempo(
    app: State<App>,
    visitor: Visitor,
    path: Path<(String, String)>,
    request: Request,
) -> Response {
    tap(app, visitor, path, request, |form, dancer| {
        Some(Input::Tempo { play_id: form.play_id?, dancer, wish: form.wish })
    })
    .await
}

pub(super) async fn thanks(
    app: State<App>,
    visitor: Visitor,
    path: Path<(String, String)>,
    request: Request,
) -> Response {
    tap(app, visitor, path, request, |form, dancer| Some(Input::Thanks { play_id: form.play_id?, dancer }))
        .await
}

pub(super) async fn vote(
    app: State<App>,
    visitor: Visitor,
    path: Path<(String, String)>,
    request: Request,
) -> Response {
    tap(app, visitor, path, request, |form, dancer| {
        Some(Input::Vote { poll_id: form.poll_id?, dancer, option: form.option? })
    })
    .await
}

/// Deletes what the dancer said, and lets the browser be somebody new.
pub(super) async fn forget(State(app): State<App>, visitor: Visitor, headers: HeaderMap) -> Response {
    let wants_page = has_type(&headers, "application/x-www-form-urlencoded") && !accepts_json(&headers);
    let forgotten = async {
        let dancer = visitor.dancer.clone().ok_or(Problem::NotFound)?.id;
        // It is about no floor in particular, but has to travel on one.
        let floor = app.hub.views().first().map(|view| view.address.clone()).ok_or(Problem::Starting)?;
        let tap = Tap { floor, input: Input::Forget { dancer }, at_ms: now_ms() };
        let stored = app.taps.send(tap).map_err(|_| Problem::Busy)?;
        match timeout(STORED_WITHIN, stored).await {
            Ok(Ok(())) => Ok(()),
            // The cookie stays, so that it can be tried again.
            _ => Err(Problem::Busy),
        }
    };
    match forgotten.await {
        Ok(()) => {
            let mut response = match wants_page {
                true => ForgottenPage.document(visitor.skin(&app)).render().into_response(),
                false => Json(json!({ "stored": true })).into_response(),
            };
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
            visitor.forget(&mut response);
            response
        }
        Err(problem) if wants_page => problem.page(visitor.skin(&app)),
        Err(problem) => problem.plain(),
    }
}

async fn tap(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
    request: Request,
    input: impl FnOnce(&Form, DancerId) -> Option<Input>,
) -> Response {
    let (parts, body) = request.into_parts();
    // A form in a page without our script wants a page again.
    let wants_page =
        has_type(&parts.headers, "application/x-www-form-urlencoded") && !accepts_json(&parts.headers);
    let outcome = tapped(&app, &visitor, &parts.headers, body, path, input).await;
    match outcome {
        Ok((address, stored)) => {
            let mut response = if wants_page {
                Redirect::to(&page_before(&parts.headers, &address)).into_response()
            } else {
                let status = if stored { StatusCode::OK } else { StatusCode::ACCEPTED };
                (status, Json(json!({ "stored": stored }))).into_response()
            };
            let no_store = header::HeaderValue::from_static("no-store");
            response.headers_mut().insert(header::CACHE_CONTROL, no_store);
            response
        }
        Err(problem) if wants_page => problem.page(visitor.skin(&app)),
        Err(problem) => problem.plain(),
    }
}

async fn tapped(
    app: &App,
    visitor: &Visitor,
    headers: &HeaderMap,
    body: Body,
    path: (String, String),
    input: impl FnOnce(&Form, DancerId) -> Option<Input>,
) -> Result<(FloorAddress, bool), Problem> {
    let state = app.floor(&path)?;
    let form = read(headers, body).await?;
    let now_ms = now_ms();
    let household = visitor.client.household;
    let Some(dancer) = &visitor.dancer else {
        app.limits().stranger(household, now_ms)?;
        return Err(Problem::NoCookie);
    };
    let input = input(&form, dancer.id.clone()).ok_or(INCOMPLETE)?;
    let address = state.view.address.clone();
    if !is_about_this_floor(app, &state.view, &input).await? {
        // Trying out what was played costs as much as tapping.
        app.limits().stranger(household, now_ms)?;
        return Err(Problem::UnknownPlay);
    }
    let tapper = Tapper {
        dancer: dancer.id.clone(),
        since_ms: dancer.since_ms,
        household,
        is_here: app.presence.is_here(&dancer.id, now_ms),
        dancers_there: app.presence.dancers_at(household),
    };
    app.limits().tap(&tapper, &address.floor, now_ms).map_err(|refused| match refused {
        TapRefused::TooSoon(wait) => Problem::TooSoon(wait.seconds()),
        TapRefused::TooMany(wait) => wait.into(),
    })?;
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).or(form.key.as_deref());
    let tap = Tap { floor: address.clone(), input, at_ms: tapped_ms(key, now_ms) };
    let sent = Instant::now();
    let stored = app.taps.send(tap).map_err(|_| Problem::Busy)?;
    match timeout(STORED_WITHIN, stored).await {
        Ok(Ok(())) => {
            app.counters.tap_stored.observe(sent.elapsed());
            Ok((address, true))
        }
        // We are stopping.
        Ok(Err(_)) => Err(Problem::Busy),
        Err(_) => {
            app.counters.taps_late.inc();
            Ok((address, false))
        }
    }
}

/// A like of a play that was on another floor, or on none, counts nowhere.
async fn is_about_this_floor(app: &App, view: &FloorView, input: &Input) -> Result<bool, Problem> {
    Ok(match input {
        Input::Like { play_id, .. } | Input::Tempo { play_id, .. } | Input::Thanks { play_id, .. } => {
            app.hub.has_played(&view.address, *play_id)
                || app.archive.has_played(&view.address, *play_id).await?
        }
        Input::Vote { poll_id, option, .. } => {
            let poll = view.poll.as_ref().filter(|poll| poll.poll_id == *poll_id && !poll.closed);
            poll.is_some_and(|poll| usize::from(*option) < poll.options.len())
        }
        _ => false,
    })
}

/// Where a form without our script was: the page of a song or of the floor.
fn page_before(headers: &HeaderMap, floor: &FloorAddress) -> String {
    let page = format!("/e/{floor}");
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let before = || {
        let (referer, host) = (text(header::REFERER)?, text(header::HOST)?);
        let rest = referer.strip_prefix("http://").or_else(|| referer.strip_prefix("https://"))?;
        let path = rest.strip_prefix(host)?;
        (path.starts_with(&page) && !path.contains(['\r', '\n'])).then(|| path.to_owned())
    };
    before().unwrap_or(page)
}

const INCOMPLETE: Problem = Problem::BadRequest("Say which play: play_id, as JSON or as a form.");

async fn read(headers: &HeaderMap, body: Body) -> Result<Form, Problem> {
    let bytes = whole(body, BODY_BYTES_MAX).await.ok_or(INCOMPLETE)?;
    if has_type(headers, "application/json") {
        return serde_json::from_slice(&bytes).map_err(|_| INCOMPLETE);
    }
    if has_type(headers, "application/x-www-form-urlencoded") {
        return serde_urlencoded::from_bytes(&bytes).map_err(|_| INCOMPLETE);
    }
    Err(Problem::WrongType)
}

pub(super) fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}

pub(super) fn accepts_json(headers: &HeaderMap) -> bool {
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

    #[test]
    fn a_form_and_json_say_the_same() {
        let play = "play_id=5f0c1b6e-53a4-5c55-9d0e-2f4e3b1a9c77";
        let form = |text: &str| serde_urlencoded::from_str::<Form>(&format!("{play}&{text}"));
        assert_eq!(form("wish=faster").unwrap().wish, Some(TempoWish::Faster));
        assert_eq!((form("wish=").unwrap().wish, form("").unwrap().wish), (None, None));
        assert!(form("wish=louder").is_err() && form("option=300").is_err() && form("option=").is_err());
        assert_eq!(form("option=3").unwrap().option, Some(3));
        let json = |text: &str| serde_json::from_str::<Form>(text);
        assert_eq!(json(r#"{"wish":null,"option":2}"#).unwrap().option, Some(2));
        assert_eq!(json(r#"{"wish":"slower"}"#).unwrap().wish, Some(TempoWish::Slower));
        assert!(json(r#"{"option":-1}"#).is_err() && json(r#"{"play_id":"x"}"#).is_err());
    }

    #[test]
    fn a_form_goes_back_to_its_page_and_nowhere_else() {
        let floor: FloorAddress = "tonight/main".parse().unwrap();
        let back = |referer: &str| {
            let headers = HeaderMap::from_iter([
                (header::HOST, "10.0.0.5:3002".parse().unwrap()),
                (header::REFERER, referer.parse().unwrap()),
            ]);
            page_before(&headers, &floor)
        };
        assert_eq!(back("http://10.0.0.5:3002/e/tonight/main/play/x"), "/e/tonight/main/play/x");
        for other in
            ["http://10.0.0.5:3002.evil.example/e/tonight/main", "https://evil.example/e/tonight/main", "x"]
        {
            assert_eq!(back(other), "/e/tonight/main");
        }
    }
}
