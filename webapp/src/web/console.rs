//! `/dj`: a DJ logs in with the token of his desk, sees what the floor says, and says something back. What he says goes
//! over the bus to the archive like a dancer's tap.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use config::clock::{now_ms, seed};
use protocol::{IdSource, Input, MessageId, PlayId, Request as Asked, SetId};
use serde::Deserialize;
use tokio::time::timeout;

use crate::live::board::FloorView;
use crate::live::taps::Tap;
use crate::views::console::{ConsolePage, FloorsPage, LoginPage};
use crate::web::desk::{Desk, Desks};
use crate::web::pages::show;
use crate::web::patient::whole;
use crate::web::taps::{accepts_json, has_type};
use crate::web::{App, Problem, Visitor};
use crate::words::Words;

const BODY_BYTES_MAX: usize = 4 * 1024;

/// How long the console waits for the archive before it says that the wish is on its way.
const STORED_WITHIN: Duration = Duration::from_secs(3);

/// Nothing is announced for longer than a day.
const MINUTES_MAX: i64 = 24 * 60;

const TEXT_CHARS_MAX: usize = 200;

pub(super) async fn floors(State(app): State<App>, visitor: Visitor, headers: HeaderMap) -> Response {
    let skin = visitor.skin(&app);
    let desk = match app.desks.of(&headers, visitor.client.https, now_ms()).await {
        Ok(desk) => desk,
        Err(Problem::NoDesk) => return show(LoginPage { problem: None }.document(skin)),
        Err(problem) => return problem.page(skin),
    };
    let mut views = app.hub.views();
    if views.is_empty() {
        return Problem::Starting.page(skin);
    }
    views.retain(|view| desk.may_speak_for(&view.address.floor));
    views.sort_by(|a, b| a.floor_name.cmp(&b.floor_name));
    match views.as_slice() {
        [] => Problem::NotYourDesk.page(skin),
        [only] => Redirect::to(&format!("/dj/{}", only.address.floor)).into_response(),
        all => show(FloorsPage { floors: all }.document(skin)),
    }
}

#[derive(Debug, Deserialize)]
struct Login {
    name: String,
    token: String,
}

pub(super) async fn login(State(app): State<App>, visitor: Visitor, request: Request) -> Response {
    let skin = visitor.skin(&app);
    let (parts, body) = request.into_parts();
    let Ok(login) = form::<Login>(&parts.headers, body).await else {
        return Problem::BadRequest("Send name and token as a form.").page(skin);
    };
    let (name, now_ms) = (login.name.trim().to_owned(), now_ms());
    let slow = app.limits().login(visitor.client.household, &name, now_ms);
    if let Err(wait) = slow {
        return Problem::TooManyLogins(wait.seconds()).page(skin);
    }
    match app.desks.login(&name, &login.token, visitor.client.https, now_ms).await {
        Ok(Some(cookie)) => {
            tracing::info!(desk = %name, "logged in to the console");
            let mut response = Redirect::to("/dj").into_response();
            response.headers_mut().append(header::SET_COOKIE, cookie);
            response
        }
        Ok(None) => {
            tracing::warn!(desk = %name.chars().take(48).flat_map(char::escape_debug).collect::<String>(), "a login to the console was refused");
            let problem = visitor.words.say("login-wrong");
            let mut response = show(LoginPage { problem: Some(&problem) }.document(skin));
            *response.status_mut() = axum::http::StatusCode::FORBIDDEN;
            response
        }
        Err(problem) => problem.page(skin),
    }
}

pub(super) async fn logout(visitor: Visitor) -> Response {
    let mut response = Redirect::to("/dj").into_response();
    if let Some(cookie) = Desks::logout(visitor.client.https) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

#[derive(Debug, Deserialize)]
pub(super) struct Outcome {
    said: Option<String>,
}

pub(super) async fn console(
    State(app): State<App>,
    visitor: Visitor,
    Path(floor): Path<String>,
    Query(outcome): Query<Outcome>,
    headers: HeaderMap,
) -> Response {
    let skin = visitor.skin(&app);
    match allowed(&app, &visitor, &floor, &headers).await {
        Ok((desk, view)) => {
            let outcome = outcome.said.as_deref().map(|said| spoken(said == "done", visitor.words));
            show(
                ConsolePage {
                    view: &view,
                    desk: &desk.id,
                    lets_in: desk.is_host && app.settings.pairing,
                    outcome: outcome.as_deref(),
                }
                .document(skin),
            )
        }
        Err(Problem::NoDesk) => Redirect::to("/dj").into_response(),
        Err(problem) => problem.page(skin),
    }
}

fn spoken(done: bool, words: Words) -> std::borrow::Cow<'static, str> {
    if done { words.say("console-done") } else { words.say("console-sent") }
}

/// Who is logged in, and the floor as it is now.
async fn allowed(
    app: &App,
    visitor: &Visitor,
    floor: &str,
    headers: &HeaderMap,
) -> Result<(Desk, std::sync::Arc<FloorView>), Problem> {
    let desk = app.desks.of(headers, visitor.client.https, now_ms()).await?;
    let state = app.floor(&(app.settings.event.to_string(), floor.to_owned()))?;
    if desk.may_speak_for(&state.view.address.floor) {
        Ok((desk, state.view))
    } else {
        Err(Problem::NotYourDesk)
    }
}

/// The fields of all forms of the console; each takes what it needs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Form {
    text: Option<String>,
    minutes: i64,
    question: Option<String>,
    /// One answer a line.
    options: Option<String>,
    poll_id: Option<MessageId>,
    play_id: Option<PlayId>,
    set_id: Option<SetId>,
    title: Option<String>,
    artist: Option<String>,
    on: bool,
}

pub(super) async fn act(
    State(app): State<App>,
    visitor: Visitor,
    Path((floor, what)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let is_script = accepts_json(&parts.headers);
    let acted = async {
        let (desk, view) = allowed(&app, &visitor, &floor, &parts.headers).await?;
        let form = form(&parts.headers, body).await?;
        let now_ms = now_ms();
        let input = input(&what, form, &desk, &view, now_ms)?;
        let stored = app
            .taps
            .send(Tap { floor: view.address.clone(), input, at_ms: now_ms })
            .map_err(|_| Problem::Busy)?;
        tracing::info!(desk = %desk.id, floor = %view.address, what, "said on the console");
        match timeout(STORED_WITHIN, stored).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(_)) => Err(Problem::Busy),
            // It is sent again until the archive has it.
            Err(_) => Ok(false),
        }
    };
    answer(&app, &visitor, &floor, is_script, acted.await)
}

/// What became of a form: a sentence for the script, a page for whoever has none.
fn answer(
    app: &App,
    visitor: &Visitor,
    floor: &str,
    is_script: bool,
    outcome: Result<bool, Problem>,
) -> Response {
    match outcome {
        Ok(done) if is_script => {
            let mut response = spoken(done, visitor.words).into_owned().into_response();
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Ok(done) => {
            Redirect::to(&format!("/dj/{floor}?said={}", if done { "done" } else { "sent" })).into_response()
        }
        Err(problem) if is_script => problem.plain_in(visitor.words),
        Err(Problem::NoDesk) => Redirect::to("/dj").into_response(),
        Err(problem) => problem.page(visitor.skin(app)),
    }
}

#[derive(Debug, Deserialize)]
struct LetIn {
    code: String,
}

/// Another DJ's laptop may play here: it shows the same six digits.
pub(super) async fn let_in(
    State(app): State<App>,
    visitor: Visitor,
    Path(floor): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let done = async {
        let (desk, _) = allowed(&app, &visitor, &floor, &parts.headers).await?;
        if !desk.is_host || !app.settings.pairing {
            return Err(Problem::NotYourDesk);
        }
        let LetIn { code } = form(&parts.headers, body).await?;
        let now_ms = now_ms();
        // Whoever types codes at random is not comparing them.
        let slow = app.limits().login(visitor.client.household, desk.id.as_str(), now_ms);
        slow.map_err(|wait| Problem::TooManyLogins(wait.seconds()))?;
        match app.pairings.let_in(&code, None, now_ms).await? {
            store::LetIn::Done(asks) => {
                tracing::info!(by = %desk.id, desk = %asks.desk, "another desk was let in");
                Ok(true)
            }
            store::LetIn::Nobody => Err(Problem::NobodyWaits),
            store::LetIn::Several => Err(Problem::SameCode),
        }
    };
    answer(&app, &visitor, &floor, accepts_json(&parts.headers), done.await)
}

pub(super) async fn form<T: for<'de> Deserialize<'de>>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    const NOT_A_FORM: Problem = Problem::BadRequest("This is not what the console's forms send.");
    if !has_type(headers, "application/x-www-form-urlencoded") {
        return Err(Problem::WrongType);
    }
    let bytes = whole(body, BODY_BYTES_MAX).await.ok_or(NOT_A_FORM)?;
    serde_urlencoded::from_bytes(&bytes).map_err(|_| NOT_A_FORM)
}

/// What a form says, as it goes over the bus.
fn input(what: &str, form: Form, desk: &Desk, view: &FloorView, now_ms: i64) -> Result<Input, Problem> {
    const INCOMPLETE: Problem = Problem::BadRequest("The form is not complete.");
    let until_ms = (form.minutes > 0).then(|| now_ms + form.minutes.min(MINUTES_MAX) * 60_000);
    let by = Some(desk.id.clone());
    let request = |request| Input::Request { desk: desk.id.clone(), request };
    // What is about a play or a set, the desk that speaks for the floor does, and no other one.
    let speaks = view.now.as_ref().and_then(|now| now.dj.as_ref()).is_some_and(|dj| dj.id == desk.id);
    if ["hide", "withdraw", "correct", "end-set", "last-song"].contains(&what) && !speaks {
        return Err(Problem::NotYourDesk);
    }
    Ok(match what {
        "announce" => Input::Announce { text: line(form.text.as_deref()), until_ms, by },
        "poll" => {
            let question = line(form.question.as_deref());
            let options = form.options.unwrap_or_default();
            let mut options: Vec<String> = options.lines().map(|option| line(Some(option))).collect();
            options.retain(|option| !option.is_empty());
            if question.is_empty() || !(2..=6).contains(&options.len()) {
                return Err(Problem::BadRequest("A poll has a question and two to six answers, one a line."));
            }
            let poll_id = IdSource::seeded(seed()).message(now_ms);
            Input::AskPoll { poll_id, question, options, closes_ms: until_ms, by }
        }
        "close-poll" => Input::ClosePoll { poll_id: form.poll_id.ok_or(INCOMPLETE)? },
        "last-song" => Input::LastSong { on: form.on, by },
        "hide" => request(Asked::Hide { play_id: form.play_id.ok_or(INCOMPLETE)?, on: form.on }),
        "withdraw" => request(Asked::Withdraw { play_id: form.play_id.ok_or(INCOMPLETE)? }),
        "correct" => {
            let (title, artist) = (line(form.title.as_deref()), line(form.artist.as_deref()));
            if title.is_empty() {
                return Err(INCOMPLETE);
            }
            let artist = Some(artist).filter(|artist| !artist.is_empty());
            request(Asked::Correct { play_id: form.play_id.ok_or(INCOMPLETE)?, artist, title })
        }
        "end-set" => request(Asked::EndSet { set_id: form.set_id.ok_or(INCOMPLETE)? }),
        "go-live" => request(Asked::GoLive),
        _ => return Err(Problem::NotFound),
    })
}

/// One line of text, not longer than the contract allows.
fn line(text: Option<&str>) -> String {
    line_of(text, TEXT_CHARS_MAX)
}

pub(super) fn line_of(text: Option<&str>, chars_max: usize) -> String {
    let words: Vec<&str> = text.unwrap_or_default().split_whitespace().collect();
    words.join(" ").chars().take(chars_max).collect()
}
