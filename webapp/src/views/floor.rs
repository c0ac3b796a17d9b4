//! The floor page and its parts that change by themselves.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::f64::consts::TAU;
use std::fmt::Write;

use maud::{Markup, PreEscaped, Render, html};
use protocol::{FloorAddress, MessageId, NowState, PastPlay, Play, PlayId, Poll, TempoWish, Track};

use crate::live::board::{FloorView, Signal};
use crate::views::layout::{Document, Live};
use crate::views::{Screen, Skin, times};
use crate::web::{Assets, cover_path};
use crate::words::Words;

/// The page a dancer joins by the code on the wall.
#[derive(Debug)]
pub struct FloorPage<'a> {
    pub view: &'a FloorView,
    pub mine: Option<&'a Mine>,
}

/// What one dancer said about what the page shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mine {
    pub likes: HashSet<PlayId>,
    pub tempo: HashMap<PlayId, TempoWish>,
    pub thanks: HashSet<PlayId>,
    pub vote: Option<(MessageId, u8)>,
}

impl<'a> FloorPage<'a> {
    /// The whole page.
    pub fn document(&self, skin: Skin<'a>) -> Document<'a> {
        let (view, mine, words) = (self.view, self.mine, skin.words);
        let title = match view.playing() {
            Some(play) => format!("{} · {}", play.track.line(), view.floor_name),
            None => format!("{} · {}", view.floor_name, view.event_name),
        };
        Document {
            about: Some(
                words
                    .with(
                        "about-floor",
                        [
                            ("floor", view.floor_name.as_str().into()),
                            ("event", view.event_name.as_str().into()),
                        ],
                    )
                    .into_owned(),
            ),
            accent: view.accent,
            place: Some((&view.event_name, &view.floor_name)),
            live: Some(Live { floor: view.address.to_string(), screen: Screen::Floor }),
            manifest: Some(format!("/e/{}/app.webmanifest", view.address)),
            refresh_s: Some(15),
            ..Document::plain(
                skin,
                "floor",
                title,
                html! {
                    (Clock::now(skin.assets))
                    (Shapes)
                    p #spoken .spoken aria-live="polite" {}
                    (Notices { view, words })
                    (NowCard { view, words, mine })
                    (Pulse { view, words })
                    (PollCard { view, words, mine })
                    (HistoryList { view, words, mine })
                    p.links {
                        a href={ "/join?floor=" (view.address) } { (words.say("show-code")) }
                        a href={ "/e/" (view.address.event) "/recap" } { (words.say("whole-event")) }
                    }
                    (Notes { words })
                },
            )
        }
    }
}

/// What only the script shows: that the server is out of reach, and that a tap waits.
#[derive(Debug)]
pub struct Notes {
    pub words: Words,
}

impl Render for Notes {
    fn render(&self) -> Markup {
        let words = self.words;
        html! {
            div.notes role="status" {
                p #offline hidden { (words.say("offline")) }
                p #unsent hidden { (words.say("unsent")) }
                p #refused hidden data-busy=(words.say("too-many-taps")) data-no=(words.say("tap-refused")) {}
            }
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

/// What the DJ says to everybody.
#[derive(Debug)]
pub struct Notices<'a> {
    pub view: &'a FloorView,
    pub words: Words,
}

impl Render for Notices<'_> {
    fn render(&self) -> Markup {
        html! {
            div #notices .notices { (said(self.view, self.words)) }
        }
    }
}

/// The announcement, and that this is the last song.
pub(super) fn said(view: &FloorView, words: Words) -> Markup {
    html! {
        @if let Some(said) = &view.announcement { p.said { (said.text) } }
        @if is_last_song(view) { p.said.last { (words.say("last-song")) } }
    }
}

pub(super) fn is_last_song(view: &FloorView) -> bool {
    view.now.as_ref().is_some_and(|now| now.last_song && now.state != NowState::Ended)
}

/// What is on, or why nothing is.
#[derive(Debug)]
pub struct NowCard<'a> {
    pub view: &'a FloorView,
    pub words: Words,
    pub mine: Option<&'a Mine>,
}

impl Render for NowCard<'_> {
    fn render(&self) -> Markup {
        let Self { view, words, mine } = *self;
        let state = view.now.as_ref().map_or(NowState::Idle, |now| now.state);
        let lost = view.signal == Signal::Lost;
        html! {
            section #now .now .lost[lost] data-state=(if lost { "lost" } else { state.as_str() }) aria-label=(words.say("now-playing")) {
                @if lost {
                    p.signal { span.dot {} (words.say("no-signal")) }
                } @else if matches!(state, NowState::Playing | NowState::Hidden) {
                    p.signal.live { span.dot {} (words.say("now-playing")) }
                } @else if state == NowState::Paused {
                    p.signal { span.dot {} (words.say("paused")) }
                }
                @match view.playing() {
                    Some(play) => (Song { play, view, words, mine }),
                    None => (quiet(view, state, lost, words)),
                }
            }
        }
    }
}

fn quiet(view: &FloorView, state: NowState, lost: bool, words: Words) -> Markup {
    let (title, line) = match state {
        _ if lost => ("hold-on", "hold-on-line"),
        NowState::Hidden => ("secret", "secret-line"),
        NowState::Ended => ("ended", "ended-line"),
        _ => ("soon", "soon-line"),
    };
    let set = view.now.as_ref().and_then(|now| now.set_id).filter(|_| state == NowState::Ended);
    html! {
        div.words {
            h1.title { (words.say(title)) }
            p.line { (words.say(line)) }
        }
        @if let Some(set) = set {
            p.after { a.button href={ "/e/" (view.address.event) "/set/" (set) } { (words.say("see-set")) } }
        }
    }
}

struct Song<'a> {
    play: &'a Play,
    view: &'a FloorView,
    words: Words,
    mine: Option<&'a Mine>,
}

impl Render for Song<'_> {
    fn render(&self) -> Markup {
        let Self { play, view, words, mine } = *self;
        let track = &play.track;
        let dj = view.now.as_ref().and_then(|now| now.dj.as_ref());
        // Nobody knows how long it has been on since the DJ was heard last, so nothing counts on.
        let counts = (view.signal == Signal::Live).then_some(play.started_ms);
        html! {
            (Sleeve { play: play.id, track })
            div.words { (Title { track, words }) }
            ul.facts {
                @if let Some(bpm) = track.bpm { li { b { (bpm.round()) } " BPM" } }
                @if let Some(key) = &track.key { li { (words.say("key")) " " b { (key) } } }
                li {
                    time.since datetime=(times::machine(play.started_ms)) data-since=[counts] data-words=(words.say("on-for")) {
                        (words.with("since", [("time", times::clock(play.started_ms, &view.time_zone).into())]))
                    }
                }
                @if let Some(dj) = dj { li.dj { (words.say("with")) " " b { (dj.name) } } }
            }
            (Acts { floor: &view.address, play: play.id, words, mine })
        }
    }
}

/// A track's title, remix and artist.
pub(super) struct Title<'a> {
    pub track: &'a Track,
    pub words: Words,
}

impl Render for Title<'_> {
    fn render(&self) -> Markup {
        let track = self.track;
        let unknown = self.words.say("unknown-song");
        let title = track.title.as_deref().or(track.artist.as_deref()).unwrap_or(&unknown);
        let artist = track.artist.as_deref().filter(|_| track.title.is_some());
        html! {
            h1.title .long[title.chars().count() > 28] { (title) }
            @if let Some(remix) = remix(track) { p.remix { (remix) } }
            @if let Some(artist) = artist { p.artist { (artist) } }
        }
    }
}

/// The remix, unless the title says it already.
fn remix(track: &Track) -> Option<&str> {
    let title = track.title.as_deref().unwrap_or_default().to_lowercase();
    track.remix.as_deref().filter(|remix| !title.contains(&remix.to_lowercase()))
}

/// Where a form of a floor is sent.
fn action(floor: &FloorAddress, what: &str) -> String {
    format!("/api/v1/{floor}/{what}")
}

/// What a dancer can say about a play. One form: the buttons say where it goes.
struct Acts<'a> {
    floor: &'a FloorAddress,
    play: PlayId,
    words: Words,
    mine: Option<&'a Mine>,
}

impl Render for Acts<'_> {
    fn render(&self) -> Markup {
        let Self { floor, play, words, mine } = *self;
        let wish = mine.and_then(|mine| mine.tempo.get(&play)).copied();
        let kinds =
            [(TempoWish::Slower, "slower"), (TempoWish::Perfect, "perfect"), (TempoWish::Faster, "faster")];
        html! {
            form.acts method="post" action=(action(floor, "like")) {
                input type="hidden" name="play_id" value=(play);
                (Like { words, on: mine.is_some_and(|mine| mine.likes.contains(&play)) })
                div.tempo role="group" aria-label=(words.say("tempo")) {
                    @for (kind, key) in kinds {
                        @let on = wish == Some(kind);
                        // Tapped again, it takes the wish back.
                        button id=(key) formaction=(action(floor, "tempo")) data-tap="tempo" data-value=(key)
                            name="wish" value=(if on { "" } else { key }) aria-pressed=(on) { (words.say(key)) }
                    }
                }
                div.more {
                    button #thanks .quiet formaction=(action(floor, "thanks")) data-tap="thanks"
                        aria-pressed=(mine.is_some_and(|mine| mine.thanks.contains(&play))) { (words.say("thanks")) }
                    a.button.quiet href={ "/e/" (floor) "/play/" (play) } { (words.say("find-song")) }
                }
            }
        }
    }
}

/// The heart of the play that the form around it names. Tapped again, it takes the like back.
struct Like {
    words: Words,
    on: bool,
}

impl Render for Like {
    fn render(&self) -> Markup {
        html! {
            button #like data-tap="like" name="on" value=(!self.on) aria-pressed=(self.on) { (Heart) (self.words.say("like")) }
        }
    }
}

/// A form that likes one play and nothing else.
pub(super) struct LikeForm<'a> {
    pub floor: &'a FloorAddress,
    pub play: PlayId,
    pub words: Words,
    pub on: bool,
}

impl Render for LikeForm<'_> {
    fn render(&self) -> Markup {
        html! {
            form.acts method="post" action=(action(self.floor, "like")) {
                input type="hidden" name="play_id" value=(self.play);
                (Like { words: self.words, on: self.on })
            }
        }
    }
}

struct Heart;

impl Render for Heart {
    fn render(&self) -> Markup {
        html! { svg.heart aria-hidden="true" { use href="#heart" {} } }
    }
}

/// What [`Heart`] refers to, once a page.
pub(super) struct Shapes;

impl Render for Shapes {
    fn render(&self) -> Markup {
        html! {
            svg.shapes aria-hidden="true" {
                symbol #heart viewBox="0 0 24 24" {
                    path d="M12 20.5 4.2 12.7a5 5 0 0 1 7-7.1l.8.8.8-.8a5 5 0 0 1 7 7.1z" {}
                }
            }
        }
    }
}

/// What all dancers together say; changes often, so it is a part of its own.
#[derive(Debug)]
pub struct Pulse<'a> {
    pub view: &'a FloorView,
    pub words: Words,
}

impl Render for Pulse<'_> {
    fn render(&self) -> Markup {
        let Self { view, words } = *self;
        let tally = view.tally();
        let count = |number: u32, key| (number > 0).then(|| words.with(key, [("count", number.into())]));
        html! {
            p #pulse .pulse data-likes=(tally.map_or(0, |tally| tally.likes)) {
                @if let Some(likes) = count(tally.map_or(0, |tally| tally.likes), "likes") { span.likes { (Heart) (likes) } }
                @if let Some(thanks) = count(tally.map_or(0, |tally| tally.thanks), "thanks-said") { span { (thanks) } }
                @if view.listeners > 1 { span { (words.with("here", [("count", view.listeners.into())])) } }
            }
        }
    }
}

/// The DJ's question, and how it stands.
#[derive(Debug)]
pub struct PollCard<'a> {
    pub view: &'a FloorView,
    pub words: Words,
    pub mine: Option<&'a Mine>,
}

impl Render for PollCard<'_> {
    fn render(&self) -> Markup {
        let Self { view, words, mine } = *self;
        html! {
            section #poll .poll aria-label=(words.say("poll")) {
                @if let Some(poll) = &view.poll {
                    @let vote = mine.and_then(|mine| mine.vote).filter(|(id, _)| *id == poll.poll_id).map(|(_, option)| option);
                    h2 { (poll.question) }
                    form method="post" action=(action(&view.address, "vote")) {
                        input type="hidden" name="poll_id" value=(poll.poll_id);
                        div.answers role="group" aria-label=(poll.question) { (Answers { poll, words, vote }) }
                    }
                    p.small {
                        @if poll.closed { (words.say("poll-closed")) " " }
                        (words.with("votes", [("count", total(poll).into())]))
                    }
                }
            }
        }
    }
}

pub(super) fn total(poll: &Poll) -> u32 {
    poll.options.iter().fold(0, |sum, option| sum.saturating_add(option.votes))
}

struct Answers<'a> {
    poll: &'a Poll,
    words: Words,
    vote: Option<u8>,
}

impl Render for Answers<'_> {
    fn render(&self) -> Markup {
        let Self { poll, words, vote } = *self;
        let total = total(poll);
        html! {
            @for (place, option) in (0u8..).zip(&poll.options) {
                button.answer id={ "vote-" (place) } data-tap="vote" data-value=(place) name="option" value=(place) aria-pressed=(vote == Some(place)) disabled[poll.closed] {
                    (Bar { text: &option.text, part: option.votes, of: total, count: &share(option.votes, total, words) })
                }
            }
        }
    }
}

/// A part of a whole: its name, a bar and a number.
pub(super) struct Bar<'a> {
    pub text: &'a str,
    pub part: u32,
    pub of: u32,
    pub count: &'a str,
}

impl Render for Bar<'_> {
    fn render(&self) -> Markup {
        let Self { text, part, of, count } = *self;
        html! {
            span.text { (text) }
            progress max=(of.max(1)) value=(part) aria-hidden="true" {}
            span.count { (count) }
        }
    }
}

/// `26 %`
pub(super) fn share(part: u32, of: u32, words: Words) -> Cow<'static, str> {
    words.with("percent", [("percent", percent(part, of).into())])
}

fn percent(part: u32, of: u32) -> u64 {
    (u64::from(part) * 100 + u64::from(of) / 2) / u64::from(of.max(1))
}

/// A record drawn for the play: its grooves and angle come from the id, so each song has its own.
pub(super) struct Record {
    pub id: PlayId,
}

impl Render for Record {
    fn render(&self) -> Markup {
        let bytes = self.id.uuid().into_bytes();
        let mut grooves = String::new();
        for (ring, byte) in bytes.iter().enumerate().skip(1).take(7) {
            let radius = 20.0 + ring as f64 * 3.8;
            let start = f64::from(bytes[ring + 8]) / 256.0 * TAU;
            let end = start + TAU * (0.5 + f64::from(*byte) / 640.0);
            let at = |angle: f64| (50.0 + radius * angle.cos(), 50.0 + radius * angle.sin());
            let ((x1, y1), (x2, y2)) = (at(start), at(end));
            let _ = write!(grooves, "M{x1:.0} {y1:.0}A{radius:.1} {radius:.1} 0 1 1 {x2:.0} {y2:.0}");
        }
        html! {
            svg.record viewBox="0 0 100 100" aria-hidden="true" {
                circle.disc cx="50" cy="50" r="49" {}
                path.grooves d=(PreEscaped(grooves)) {}
                circle.label cx="50" cy="50" r="16" {}
                circle.hole cx="50" cy="50" r="2.4" {}
            }
        }
    }
}

/// The square in which a song is seen: its record, and its cover over it when there is one. The record stays where it is, so
/// nothing moves when the picture comes, and nothing is missing when it does not.
pub(super) struct Sleeve<'a> {
    pub play: PlayId,
    pub track: &'a Track,
}

impl Render for Sleeve<'_> {
    fn render(&self) -> Markup {
        html! {
            div.sleeve {
                (Record { id: self.play })
                @if let Some(cover) = self.track.cover {
                    img.cover src=(cover_path(cover)) alt="" width="500" height="500" decoding="async";
                }
            }
        }
    }
}

/// What was on before.
#[derive(Debug)]
pub struct HistoryList<'a> {
    pub view: &'a FloorView,
    pub words: Words,
    pub mine: Option<&'a Mine>,
}

impl Render for HistoryList<'_> {
    fn render(&self) -> Markup {
        let Self { view, words, mine } = *self;
        html! {
            section #history .history aria-label=(words.say("played-before")) {
                h2 { (words.say("played-before")) }
                form method="post" action=(action(&view.address, "like")) {
                    ol { @for past in &view.history { (Row { view, past, words, mine }) } }
                }
                (Order { view })
            }
        }
    }
}

/// One play of the history.
#[derive(Debug)]
pub struct Row<'a> {
    pub view: &'a FloorView,
    pub past: &'a PastPlay,
    pub words: Words,
    pub mine: Option<&'a Mine>,
}

impl Render for Row<'_> {
    fn render(&self) -> Markup {
        let Self { view, past, words, mine } = *self;
        let (play, track) = (past.play.id, &past.play.track);
        let on = mine.is_some_and(|mine| mine.likes.contains(&play));
        let title = track.display_title();
        html! {
            li id=(row_id(play)) {
                time { (times::clock(past.play.started_ms, &view.time_zone)) }
                a.song href={ "/e/" (view.address) "/play/" (play) } {
                    span.title { (title) }
                    @if let Some(artist) = &track.artist { span.artist { (artist) } }
                }
                span.bpm { @if let Some(bpm) = track.bpm { (bpm.round()) } }
                // The form is around the list, so the button names the play.
                button.icon id={ "like-" (row_id(play)) } data-tap="like" data-play=(play) name=(if on { "unlike" } else { "play_id" })
                    value=(play) aria-pressed=(on) aria-label=(words.with("like-this", [("song", title.as_str().into())])) { (Heart) }
            }
        }
    }
}

/// Tells the script which rows there are, newest first; shows nothing.
#[derive(Debug)]
pub struct Order<'a> {
    pub view: &'a FloorView,
}

impl Render for Order<'_> {
    fn render(&self) -> Markup {
        let rows: Vec<String> = self.view.history.iter().map(|past| row_id(past.play.id)).collect();
        html! { data #order value=(rows.join(" ")) hidden {} }
    }
}

/// A part of the play's id is enough to tell twenty apart: it is made of a hash, or of random bits at its end.
fn row_id(play: PlayId) -> String {
    format!("p{}", hex::encode(&play.uuid().as_bytes()[11..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The id decides where the grooves are; none may break the drawing.
    #[test]
    fn every_play_has_a_record() {
        for byte in 0..=255u8 {
            let id = PlayId::new(protocol::JournalId::at(0, [byte; 10]).uuid());
            assert_eq!(Record { id }.render().into_string().matches("A2").count(), 2);
        }
        let id = "ffffffff-ffff-ffff-ffff-ffffffffffff".parse().unwrap();
        assert_eq!(Record { id }.render().into_string().matches(" 0 1 1 ").count(), 7);
    }

    #[test]
    fn shares_are_rounded_and_nobody_is_no_share() {
        assert_eq!([percent(1, 3), percent(2, 3), percent(0, 0), percent(5, 5)], [33, 67, 0, 100]);
    }
}
