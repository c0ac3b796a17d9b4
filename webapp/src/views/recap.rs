//! What a set was, and what an event was: afterwards, and while it goes on.

use jiff::tz::TimeZone;
use maud::{Markup, Render, html};
use protocol::EventId;
use store::{Event, PastSet, SetPlay, TopTrack};

use crate::live::board::Accent;
use crate::views::curve::Curve;
use crate::views::layout::Document;
use crate::views::song::path;
use crate::views::{Skin, times};
use crate::words::Words;

/// Formats that a set can be taken along in.
pub const FORMATS: [&str; 7] = ["txt", "md", "csv", "json", "jsonl", "m3u8", "cue"];

/// All of an event.
#[derive(Debug)]
pub struct EventPage<'a> {
    pub event: &'a Event,
    pub time_zone: &'a TimeZone,
    pub sets: &'a [PastSet],
    pub top: &'a [TopTrack],
    pub polls: &'a [PastPoll],
}

/// A question that was asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastPoll {
    pub question: String,
    pub options: Vec<(String, u32)>,
}

impl<'a> EventPage<'a> {
    /// The whole page.
    pub fn document(&self, skin: Skin<'a>) -> Document<'a> {
        let Self { event, time_zone, sets, top, polls } = *self;
        let words = skin.words;
        let plays = sets.iter().fold(0u32, |sum, set| sum.saturating_add(set.plays));
        Document {
            accent: accent(event),
            place: Some((&event.name, "")),
            about: Some(words.with("played-so-far", [("count", plays.into())]).into_owned()),
            ..Document::plain(
                skin,
                "recap",
                event.name.clone(),
                html! {
                    h1.title { (event.name) }
                    p.line { (words.with("played-so-far", [("count", plays.into())])) }
                    @if !top.is_empty() {
                        section.top-tracks {
                            h2 { (words.say("most-liked")) }
                            ol {
                                @for track in top {
                                    li {
                                        span.song {
                                            span.title { (track.title.as_deref().unwrap_or_default()) @if let Some(remix) = &track.remix { " (" (remix) ")" } }
                                            @if let Some(artist) = &track.artist { span.artist { (artist) } }
                                        }
                                        span.likes { (words.with("likes", [("count", track.likes.into())])) }
                                    }
                                }
                            }
                        }
                    }
                    section.sets {
                        h2 { (words.say("sets")) }
                        @if sets.is_empty() { p.line { (words.say("nobody-yet")) } }
                        ul.floors {
                            @for past in sets {
                                li {
                                    a href=(set_path(&event.id, past)) {
                                        span.floor { (dj(past)) }
                                        span.line { (when(past, time_zone, words)) " · " (floor_name(event, past)) }
                                        span.small { (words.with("songs", [("count", past.plays.into())])) }
                                    }
                                }
                            }
                        }
                    }
                    @if !polls.is_empty() {
                        section.polls {
                            h2 { (words.say("polls")) }
                            @for poll in polls {
                                h3 { (poll.question) }
                                ul { @for (text, votes) in &poll.options { li { (text) " · " (words.with("votes", [("count", (*votes).into())])) } } }
                            }
                        }
                    }
                },
            )
        }
    }
}

/// One set.
#[derive(Debug)]
pub struct SetPage<'a> {
    pub event: &'a Event,
    pub time_zone: &'a TimeZone,
    pub past: &'a PastSet,
    pub plays: &'a [SetPlay],
}

impl<'a> SetPage<'a> {
    /// The whole page.
    pub fn document(&self, skin: Skin<'a>) -> Document<'a> {
        let Self { event, time_zone, past, plays } = *self;
        let words = skin.words;
        let title = words.with("set-of", [("dj", dj(past).into())]).into_owned();
        let likes = plays.iter().fold(0u32, |sum, play| sum.saturating_add(play.tally.likes));
        let thanks = plays.iter().fold(0u32, |sum, play| sum.saturating_add(play.tally.thanks));
        let base = set_path(&event.id, past);
        Document {
            accent: accent(event),
            place: Some((&event.name, floor_name(event, past))),
            about: Some(format!(
                "{} · {}",
                when(past, time_zone, words),
                words.with("songs", [("count", plays.len().into())])
            )),
            ..Document::plain(
                skin,
                "recap",
                format!("{title} · {}", event.name),
                html! {
                    h1.title { (title) }
                    p.line { (when(past, time_zone, words)) }
                    ul.facts {
                        li { (words.with("songs", [("count", plays.len().into())])) }
                        @if likes > 0 { li { (words.with("likes", [("count", likes.into())])) } }
                        @if thanks > 0 { li { (words.with("thanks-said", [("count", thanks.into())])) } }
                        @if let Some(best) = best(plays) { li { (words.say("favourite")) " " b { (best.past.play.track.line()) } } }
                    }
                    (Curve { started_ms: past.set.started_ms, plays, label: &words.say("curve") })
                    (PlayList { past, plays, time_zone, words })
                    nav.exports aria-label=(words.say("take-along")) {
                        span { (words.say("take-along")) }
                        @for format in FORMATS { a.button.quiet href={ (base) "/tracklist." (format) } { (format) } }
                    }
                    p.links {
                        a href={ "/e/" (event.id) "/recap" } { (words.say("whole-event")) }
                        a href={ "/e/" (past.set.floor) } { (words.say("back-to-floor")) }
                    }
                },
            )
        }
    }
}

struct PlayList<'a> {
    past: &'a PastSet,
    plays: &'a [SetPlay],
    time_zone: &'a TimeZone,
    words: Words,
}

impl Render for PlayList<'_> {
    fn render(&self) -> Markup {
        let Self { past, plays, time_zone, words } = *self;
        html! {
            @if plays.is_empty() { p.line { (words.say("nothing-played")) } }
            ol.plays {
                @for play in plays {
                    @let track = &play.past.play.track;
                    li {
                        time datetime=(times::machine(play.past.play.started_ms)) {
                            (times::clock(play.past.play.started_ms, time_zone))
                            span.small { (times::length(play.past.play.started_ms - past.set.started_ms)) }
                        }
                        a.song href=(path(&past.set.floor, &play.past)) {
                            span.title { (track.display_title()) }
                            @if let Some(artist) = &track.artist { span.artist { (artist) } }
                        }
                        span.bpm { @if let Some(bpm) = track.bpm { (bpm.round()) } }
                        span.said-of {
                            @if play.tally.likes > 0 { span.likes { (words.with("likes", [("count", play.tally.likes.into())])) } }
                            (Wishes { play, words })
                        }
                    }
                }
            }
        }
    }
}

/// Tempo wishes as one bar of three shares.
struct Wishes<'a> {
    play: &'a SetPlay,
    words: Words,
}

impl Render for Wishes<'_> {
    fn render(&self) -> Markup {
        let tempo = self.play.tally.tempo;
        let kinds = [("slower", tempo.slower), ("perfect", tempo.perfect), ("faster", tempo.faster)];
        let all: u64 = kinds.iter().map(|(_, count)| u64::from(*count)).sum();
        if all == 0 {
            return html! {};
        }
        let label = self.words.with(
            "wishes",
            [
                ("slower", tempo.slower.into()),
                ("perfect", tempo.perfect.into()),
                ("faster", tempo.faster.into()),
            ],
        );
        let mut x = 0.0;
        html! {
            svg.wishes viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=(label) {
                title { (label) }
                @for (class, count) in kinds {
                    @let width = f64::from(count) * 100.0 / all as f64;
                    rect class=(class) x=(format!("{x:.1}")) y="0" width=(format!("{width:.1}")) height="8" {}
                    @let () = x += width;
                }
            }
        }
    }
}

fn best(plays: &[SetPlay]) -> Option<&SetPlay> {
    // Of two with as many likes, the earlier one.
    plays.iter().rev().max_by_key(|play| play.tally.likes).filter(|play| play.tally.likes > 0)
}

fn accent(event: &Event) -> Option<Accent> {
    event.accent.as_deref().and_then(Accent::read)
}

fn dj(past: &PastSet) -> &str {
    past.set.dj.as_deref().unwrap_or(past.set.desk.as_str())
}

fn floor_name<'a>(event: &'a Event, past: &'a PastSet) -> &'a str {
    let floor = event.floors.iter().find(|floor| floor.id == past.set.floor.floor);
    floor.map_or(past.set.floor.floor.as_str(), |floor| floor.name.as_str())
}

/// Where the page of a set is.
fn set_path(event: &EventId, past: &PastSet) -> String {
    format!("/e/{event}/set/{}", past.set.id)
}

/// `2026-12-31, 22:00–23:30`
fn when(past: &PastSet, zone: &TimeZone, words: Words) -> String {
    let (start, day) = (times::clock(past.set.started_ms, zone), times::day(past.set.started_ms, zone));
    match past.set.ended_ms {
        Some(end) => format!("{day}, {start}–{}", times::clock(end, zone)),
        None => format!("{day}, {start}, {}", words.say("still-on")),
    }
}
