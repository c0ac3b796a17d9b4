//! Pages of what is on record: events, sets, songs, and what a dancer likes.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::tz::TimeZone;
use protocol::{EventId, PastPlay, PlayId, SetId};
use store::{Event, PastSet, TrackList, TrackListFormat, liked_list};

use crate::live::board::FloorView;
use crate::views::me::MePage;
use crate::views::recap::{EventPage, PastPoll, SetPage};
use crate::views::song::SongPage;
use crate::web::pages::show;
use crate::web::{App, Problem, Visitor};

const TOP_TRACKS: u32 = 20;

/// Likes on one page.
const LIKES_MAX: u32 = 1_000;

pub(super) async fn event(State(app): State<App>, visitor: Visitor, Path(event): Path<String>) -> Response {
    match event_page(&app, &visitor, &event, None).await {
        Ok(response) => response,
        Err(problem) => problem.page(visitor.skin(&app)),
    }
}

/// Sets of one floor alone.
pub(super) async fn floor(
    State(app): State<App>,
    visitor: Visitor,
    Path((event, floor)): Path<(String, String)>,
) -> Response {
    match event_page(&app, &visitor, &event, Some(&floor)).await {
        Ok(response) => response,
        Err(problem) => problem.page(visitor.skin(&app)),
    }
}

async fn event_page(
    app: &App,
    visitor: &Visitor,
    event: &str,
    floor: Option<&str>,
) -> Result<Response, Problem> {
    let event = known_event(app, event).await?;
    let store = app.archive.store();
    let mut sets = app.archive.ask(store.sets_of_event(&event.id)).await?;
    if let Some(floor) = floor {
        if !event.floors.iter().any(|known| known.id.as_str() == floor) {
            return Err(Problem::NotFound);
        }
        sets.retain(|past| past.set.floor.floor.as_str() == floor);
    }
    // A set in which nothing was played was a mistake.
    sets.retain(|past| past.plays > 0 || past.set.ended_ms.is_none());
    let (mut top, mut polls) = (Vec::new(), Vec::new());
    if floor.is_none() {
        top = app.archive.ask(store.top_tracks(&event.id, TOP_TRACKS)).await?;
        let asked = app.archive.ask(store.polls_of_event(&event.id)).await?;
        polls = asked
            .into_iter()
            .map(|poll| PastPoll { question: poll.question, options: poll.options })
            .collect();
    }
    let page =
        EventPage { time_zone: &time_zone(&event), event: &event, sets: &sets, top: &top, polls: &polls };
    Ok(show(page.document(visitor.skin(app))))
}

pub(super) async fn set(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
) -> Response {
    let shown = async {
        let (event, past) = known_set(&app, &path).await?;
        let plays = app.archive.ask(app.archive.store().plays_of_set(past.set.id)).await?;
        let page = SetPage { time_zone: &time_zone(&event), event: &event, past: &past, plays: &plays };
        Ok(show(page.document(visitor.skin(&app))))
    };
    shown.await.unwrap_or_else(|problem: Problem| problem.page(visitor.skin(&app)))
}

/// `tracklist.csv` and the other formats.
pub(super) async fn file(
    State(app): State<App>,
    visitor: Visitor,
    Path((event, set, file)): Path<(String, String, String)>,
) -> Response {
    let made = async {
        let (format, kind) = file.strip_prefix("tracklist.").and_then(format).ok_or(Problem::NotFound)?;
        let (event, past) = known_set(&app, &(event, set)).await?;
        let plays = app.archive.ask(app.archive.store().plays_of_set(past.set.id)).await?;
        let name = format!("{}-{}-{file}", event.id, past.set.floor.floor);
        Ok(download(&name, kind, TrackList { event, sets: vec![(past.set, plays)] }.render(format)))
    };
    made.await.unwrap_or_else(|problem: Problem| problem.page(visitor.skin(&app)))
}

pub(super) async fn song(
    State(app): State<App>,
    visitor: Visitor,
    Path((event, floor, play)): Path<(String, String, String)>,
) -> Response {
    let shown = async {
        let state = app.floor(&(event, floor))?;
        let play: PlayId = play.parse().map_err(|_| Problem::NotFound)?;
        let past = match on_board(&state.view, play) {
            Some(past) => past,
            None => {
                let known = app.archive.ask(app.archive.store().play(&state.view.address, play)).await?;
                known.ok_or(Problem::NotFound)?
            }
        };
        let liked = match &visitor.dancer {
            Some(dancer) => {
                app.archive.mine(&dancer.id, past.play.started_ms, None).await.likes.contains(&play)
            }
            None => false,
        };
        let page = SongPage { view: &state.view, past: &past, liked };
        let mut response = show(page.document(visitor.skin(&app)));
        visitor.remember(&app, &mut response, config::clock::now_ms());
        Ok(response)
    };
    shown.await.unwrap_or_else(|problem: Problem| problem.page(visitor.skin(&app)))
}

/// A play that the floor's page shows: no need to ask the archive.
fn on_board(view: &FloorView, play: PlayId) -> Option<PastPlay> {
    if let Some(past) = view.history.iter().find(|past| past.play.id == play) {
        return Some(past.clone());
    }
    let now = view.now.as_ref()?;
    let current = now.play.clone().filter(|current| current.id == play)?;
    Some(PastPlay { set_id: now.set_id?, dj: now.dj.clone(), play: current })
}

pub(super) async fn me(State(app): State<App>, visitor: Visitor) -> Response {
    let skin = visitor.skin(&app);
    let likes = match &visitor.dancer {
        Some(dancer) => {
            match app.archive.ask(app.archive.store().likes_of_dancer(&dancer.id, LIKES_MAX)).await {
                Ok(likes) => likes,
                Err(problem) => return problem.page(skin),
            }
        }
        None => Vec::new(),
    };
    let page = MePage { likes: &likes, time_zone: &local_zone(&app), known: visitor.dancer.is_some() };
    show(page.document(skin))
}

/// `/me/likes.csv` and the other formats.
pub(super) async fn likes_file(
    State(app): State<App>,
    visitor: Visitor,
    Path(file): Path<String>,
) -> Response {
    let made = async {
        let (format, kind) = file.strip_prefix("likes.").and_then(format).ok_or(Problem::NotFound)?;
        let dancer = visitor.dancer.as_ref().ok_or(Problem::NotFound)?;
        let likes = app.archive.ask(app.archive.store().likes_of_dancer(&dancer.id, LIKES_MAX)).await?;
        let text = liked_list(&likes, format, &local_zone(&app)).ok_or(Problem::NotFound)?;
        Ok(download(&file, kind, text))
    };
    made.await.unwrap_or_else(|problem: Problem| match problem {
        // Somebody who never liked anything followed an old link.
        Problem::NotFound if visitor.dancer.is_none() => Redirect::to("/me").into_response(),
        problem => problem.page(visitor.skin(&app)),
    })
}

fn format(extension: &str) -> Option<(TrackListFormat, &'static str)> {
    Some(match extension {
        "txt" => (TrackListFormat::Text, "text/plain; charset=utf-8"),
        "md" => (TrackListFormat::Markdown, "text/markdown; charset=utf-8"),
        "csv" => (TrackListFormat::Csv, "text/csv; charset=utf-8"),
        "json" => (TrackListFormat::Json, "application/json"),
        "jsonl" => (TrackListFormat::Jsonl, "application/jsonl"),
        "m3u8" => (TrackListFormat::M3u8, "audio/x-mpegurl"),
        "cue" => (TrackListFormat::Cue, "text/plain; charset=utf-8"),
        _ => return None,
    })
}

fn download(name: &str, kind: &'static str, text: String) -> Response {
    let mut response = ([(header::CONTENT_TYPE, kind)], text).into_response();
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    // Made of slugs and a known extension.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

async fn known_event(app: &App, event: &str) -> Result<Event, Problem> {
    let event: EventId = event.parse().map_err(|_| Problem::NotFound)?;
    let events = app.archive.ask(app.archive.store().events()).await?;
    events.into_iter().find(|known| known.id == event).ok_or(Problem::NotFound)
}

async fn known_set(app: &App, (event, set): &(String, String)) -> Result<(Event, PastSet), Problem> {
    let set: SetId = set.parse().map_err(|_| Problem::NotFound)?;
    let event = known_event(app, event).await?;
    let past = app.archive.ask(app.archive.store().set(set)).await?;
    let past = past.filter(|past| past.set.floor.event == event.id).ok_or(Problem::NotFound)?;
    Ok((event, past))
}

fn time_zone(event: &Event) -> TimeZone {
    TimeZone::get(&event.time_zone).unwrap_or(TimeZone::UTC)
}

/// Of the event whose pages these are.
fn local_zone(app: &App) -> TimeZone {
    app.hub.views().first().map_or(TimeZone::UTC, |view| view.time_zone.clone())
}
