//! The floor page and its two parts that change by themselves.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, PreEscaped, Render, html};
use protocol::{NowState, PastPlay, Play, PlayId, Track};

use crate::live::board::{FloorView, Signal};
use crate::views::layout::Document;
use crate::web::Assets;

/// The page a dancer joins by the code on the wall.
#[derive(Debug)]
pub struct FloorPage<'a> {
    pub view: &'a FloorView,
    /// The state's number, so that the script knows what it has.
    pub number: u64,
}

impl<'a> FloorPage<'a> {
    /// The whole page.
    pub fn document(&self, assets: &'a Assets) -> Document<'a> {
        let view = self.view;
        let title = match playing(view) {
            Some(play) => format!("{} · {}", play.track.line(), view.floor_name),
            None => format!("{} · {}", view.floor_name, view.event_name),
        };
        Document {
            assets,
            title,
            accent: view.accent,
            place: Some((&view.event_name, &view.floor_name)),
            live: Some(view.address.to_string()),
            refresh_s: Some(15),
            class: "floor",
            content: html! {
                (Clock::now(assets))
                (NowCard(view))
                (HistoryList(view))
                p.links {
                    a href={ "/join?floor=" (view.address) } { "Show the code to a friend" }
                }
                p #offline .offline hidden { "Connection lost. Trying again…" }
            },
        }
    }
}

/// Tells the script the server's time and build; shows nothing.
#[derive(Debug)]
pub struct Clock<'a> {
    now_ms: i64,
    build: &'a str,
}

impl<'a> Clock<'a> {
    /// At this moment.
    pub fn now(assets: &'a Assets) -> Self {
        Self { now_ms: config::clock::now_ms(), build: assets.build() }
    }
}

impl Render for Clock<'_> {
    fn render(&self) -> Markup {
        html! { data #clock value=(self.now_ms) data-build=(self.build) hidden {} }
    }
}

/// What is on, or why nothing is.
#[derive(Debug)]
pub struct NowCard<'a>(pub &'a FloorView);

impl Render for NowCard<'_> {
    fn render(&self) -> Markup {
        let view = self.0;
        let now = view.now.as_ref();
        let state = now.map_or(NowState::Idle, |now| now.state);
        let lost = view.signal == Signal::Lost;
        html! {
            section #now .now .lost[lost] data-state=(if lost { "lost" } else { state.as_str() }) aria-label="Now playing" {
                @if let Some(said) = &view.announcement {
                    p.said role="status" { (said) }
                }
                @if lost {
                    p.signal { span.dot {} "No signal from the DJ" }
                } @else if matches!(state, NowState::Playing | NowState::Hidden) {
                    p.signal.live { span.dot {} "Now playing" }
                }
                @match playing(view) {
                    Some(play) => (Song { play, view }),
                    None => (quiet(state, lost)),
                }
            }
        }
    }
}

fn playing(view: &FloorView) -> Option<&Play> {
    view.now.as_ref().and_then(|now| now.play.as_ref())
}

fn quiet(state: NowState, lost: bool) -> Markup {
    let (title, line) = match state {
        _ if lost => ("Hold on", "We do not hear the DJ at the moment. Nothing is lost."),
        NowState::Hidden => ("A secret", "The DJ keeps this one to himself. Just dance."),
        NowState::Ended => ("That was it", "The set is over. Thank you for dancing."),
        _ => ("Soon", "Nothing is playing yet. The first song will show up here by itself."),
    };
    html! {
        div.words {
            h1.title { (title) }
            p.line { (line) }
        }
    }
}

struct Song<'a> {
    play: &'a Play,
    view: &'a FloorView,
}

impl Render for Song<'_> {
    fn render(&self) -> Markup {
        let track = &self.play.track;
        let title = track.title.as_deref().or(track.artist.as_deref()).unwrap_or("Unknown song");
        let artist = track.artist.as_deref().filter(|_| track.title.is_some());
        let dj = self.view.now.as_ref().and_then(|now| now.dj.as_ref());
        html! {
            (Record { id: self.play.id })
            div.words aria-live="polite" aria-atomic="true" {
                h1.title .long[title.chars().count() > 28] { (title) }
                @if let Some(remix) = remix(track) { p.remix { (remix) } }
                @if let Some(artist) = artist { p.artist { (artist) } }
            }
            ul.facts {
                @if let Some(bpm) = track.bpm { li { b { (bpm.round()) } " BPM" } }
                @if let Some(key) = &track.key { li { "Key " b { (key) } } }
                li { time.since data-since=(self.play.started_ms) { "since " (clock_time(self.play.started_ms, &self.view.time_zone)) } }
                @if let Some(dj) = dj { li { "with " b { (dj.name) } } }
                @if self.view.listeners > 1 { li { (self.view.listeners) " here" } }
            }
        }
    }
}

/// The remix, unless the title says it already.
fn remix(track: &Track) -> Option<&str> {
    let title = track.title.as_deref().unwrap_or_default().to_lowercase();
    track.remix.as_deref().filter(|remix| !title.contains(&remix.to_lowercase()))
}

/// A record drawn for the play: its grooves and angle come from the id, so each song has its own.
struct Record {
    id: PlayId,
}

impl Render for Record {
    fn render(&self) -> Markup {
        let bytes = self.id.uuid().into_bytes();
        let turn = u16::from(bytes[0]) * 360 / 256;
        html! {
            svg.record viewBox="0 0 100 100" aria-hidden="true" {
                circle.disc cx="50" cy="50" r="49";
                g.grooves transform=(format!("rotate({turn} 50 50)")) {
                    @for (ring, byte) in bytes.iter().enumerate().skip(1).take(7) {
                        @let radius = 20.0 + ring as f64 * 3.8;
                        @let round = 2.0 * std::f64::consts::PI * radius;
                        @let gap = round * (0.12 + f64::from(*byte) / 640.0);
                        circle cx="50" cy="50" r=(format!("{radius:.1}"))
                            stroke-dasharray=(format!("{:.1} {:.1}", round - gap, gap))
                            stroke-dashoffset=(format!("{:.1}", round * f64::from(bytes[ring + 8]) / 256.0));
                    }
                }
                circle.label cx="50" cy="50" r="16";
                circle.hole cx="50" cy="50" r="2.4";
            }
        }
    }
}

/// What was on before.
#[derive(Debug)]
pub struct HistoryList<'a>(pub &'a FloorView);

impl Render for HistoryList<'_> {
    fn render(&self) -> Markup {
        let view = self.0;
        html! {
            section #history .history aria-label="Played before" {
                @if !view.history.is_empty() {
                    h2 { "Played before" }
                    ol reversed {
                        @for past in &view.history { (row(past, &view.time_zone)) }
                    }
                }
            }
        }
    }
}

fn row(past: &PastPlay, zone: &TimeZone) -> Markup {
    let track = &past.play.track;
    html! {
        li {
            time datetime=(Timestamp::from_millisecond(past.play.started_ms).unwrap_or_default()) {
                (clock_time(past.play.started_ms, zone))
            }
            span.song {
                span.title { (track.display_title()) }
                @if let Some(artist) = &track.artist { span.artist { (artist) } }
            }
            @if let Some(bpm) = track.bpm { span.bpm { (bpm.round()) } }
        }
    }
}

/// The time of day in the event's zone.
fn clock_time(at_ms: i64, zone: &TimeZone) -> PreEscaped<String> {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default().to_zoned(zone.clone());
    PreEscaped(at.strftime("%H:%M").to_string())
}
