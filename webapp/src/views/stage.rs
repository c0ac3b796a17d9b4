//! The big screen: read from the other end of the room, with the code to join in its corner.

use maud::{Markup, Render, html};
use protocol::NowState;

use crate::live::board::{FloorView, Signal};
use crate::views::floor::{Bar, Clock, Sleeve, Title, said, share, total};
use crate::views::layout::{Document, Live};
use crate::views::{Screen, Skin};
use crate::words::Words;

/// The page for a projector.
#[derive(Debug)]
pub struct StagePage<'a> {
    pub view: &'a FloorView,
    /// What the code in the corner holds.
    pub url: &'a str,
}

impl<'a> StagePage<'a> {
    /// The whole page.
    pub fn document(&self, skin: Skin<'a>) -> Document<'a> {
        let (view, words) = (self.view, skin.words);
        let short = self.url.trim_start_matches("https://").trim_start_matches("http://");
        Document {
            accent: view.accent,
            live: Some(Live { floor: view.address.to_string(), screen: Screen::Stage }),
            refresh_s: Some(10),
            ..Document::plain(
                skin,
                "stage",
                format!("{} · {}", view.floor_name, view.event_name),
                html! {
                    (Clock::now(skin.assets))
                    (Banner { view, words })
                    (Playing { view, words })
                    (Foot { view, words })
                    aside.corner {
                        img.qr src={ "/qr.svg?floor=" (view.address) } alt=(words.with("code-of", [("url", self.url.into())])) width="320" height="320";
                        p { (words.say("scan")) br; b { (short) } }
                    }
                },
            )
        }
    }
}

/// Announcement, last song, poll.
#[derive(Debug)]
pub struct Banner<'a> {
    pub view: &'a FloorView,
    pub words: Words,
}

impl Render for Banner<'_> {
    fn render(&self) -> Markup {
        let Self { view, words } = *self;
        html! {
            div #notices .notices {
                (said(view, words))
                @if let Some(poll) = &view.poll {
                    div.poll {
                        h2 { (poll.question) }
                        @for option in &poll.options {
                            @let count = share(option.votes, total(poll), words);
                            p.answer { (Bar { text: &option.text, part: option.votes, of: total(poll), count: &count }) }
                        }
                    }
                }
            }
        }
    }
}

/// What is on.
#[derive(Debug)]
pub struct Playing<'a> {
    pub view: &'a FloorView,
    pub words: Words,
}

impl Render for Playing<'_> {
    fn render(&self) -> Markup {
        let Self { view, words } = *self;
        let state = view.now.as_ref().map_or(NowState::Idle, |now| now.state);
        let lost = view.signal == Signal::Lost;
        let title = match state {
            _ if lost && view.playing().is_none() => "hold-on",
            NowState::Hidden => "secret",
            NowState::Ended => "ended",
            _ => "soon",
        };
        html! {
            section #now .now .lost[lost] data-state=(if lost { "lost" } else { state.as_str() }) aria-label=(words.say("now-playing")) {
                @if let Some(play) = view.playing() {
                    (Sleeve { play: play.id, track: &play.track })
                    div.words {
                        (Title { track: &play.track, words })
                        ul.facts {
                            @if lost { li { (words.say("no-signal")) } }
                            @if let Some(bpm) = play.track.bpm { li { b { (bpm.round()) } " BPM" } }
                            @if let Some(key) = &play.track.key { li { b { (key) } } }
                            @if let Some(dj) = view.now.as_ref().and_then(|now| now.dj.as_ref()) { li.dj { (words.say("with")) " " b { (dj.name) } } }
                        }
                    }
                } @else {
                    div.words { h1.title { (words.say(title)) } }
                }
            }
        }
    }
}

/// What was on before, in one line, and how many like what is on.
#[derive(Debug)]
pub struct Foot<'a> {
    pub view: &'a FloorView,
    pub words: Words,
}

impl Render for Foot<'_> {
    fn render(&self) -> Markup {
        let Self { view, words } = *self;
        let likes = view.tally().map_or(0, |tally| tally.likes);
        html! {
            div #foot .before {
                @if likes > 0 { p.pulse { (words.with("likes", [("count", likes.into())])) } }
                @if let Some(past) = view.history.first() {
                    p { span.small { (words.say("before")) } " " (past.play.track.line()) }
                }
            }
        }
    }
}
