//! The DJ's console: what the floor says, and what the DJ says to it.

use maud::{Markup, Render, html};
use protocol::{DeskId, NowState};

use crate::live::board::{DeskView, FloorView, Signal};
use crate::views::floor::{Bar, Clock, is_last_song, share, total};
use crate::views::layout::{Document, Live};
use crate::views::{Screen, Skin, times};
use crate::words::Words;

/// Where a DJ says who he is.
#[derive(Debug)]
pub struct LoginPage<'a> {
    /// Why he is asked again.
    pub problem: Option<&'a str>,
}

impl LoginPage<'_> {
    /// The whole page.
    pub fn document<'a>(&self, skin: Skin<'a>) -> Document<'a> {
        let words = skin.words;
        Document::plain(
            skin,
            "login",
            words.say("console").into_owned(),
            html! {
                h1.title { (words.say("console")) }
                p.line { (words.say("login-line")) }
                @if let Some(problem) = self.problem { p.said role="alert" { (problem) } }
                form.fields method="post" action="/dj/login" {
                    label for="name" { (words.say("desk-name")) }
                    input #name name="name" required maxlength="48" autocomplete="username" autocapitalize="none" spellcheck="false";
                    label for="token" { (words.say("desk-token")) }
                    input #token name="token" type="password" required maxlength="200" autocomplete="current-password";
                    button { (words.say("log-in")) }
                }
                p.links { a href="/login" { (words.say("login-with-password")) } }
            },
        )
    }
}

/// Which floor the DJ wants to see, when there are several.
#[derive(Debug)]
pub struct FloorsPage<'a> {
    pub floors: &'a [std::sync::Arc<FloorView>],
}

impl<'a> FloorsPage<'a> {
    /// The whole page.
    pub fn document(&self, skin: Skin<'a>) -> Document<'a> {
        let words = skin.words;
        Document::plain(
            skin,
            "lobby",
            words.say("console").into_owned(),
            html! {
                h1.title { (words.say("which-floor")) }
                ul.floors {
                    @for view in self.floors {
                        li { a href={ "/dj/" (view.address.floor) } { span.floor { (view.floor_name) } } }
                    }
                }
                (Logout { words })
            },
        )
    }
}

struct Logout {
    words: Words,
}

impl Render for Logout {
    fn render(&self) -> Markup {
        html! { form method="post" action="/dj/logout" { button.quiet { (self.words.say("log-out")) } } }
    }
}

/// The console of one desk on one floor.
#[derive(Debug)]
pub struct ConsolePage<'a> {
    pub view: &'a FloorView,
    pub desk: &'a DeskId,
    /// Whether it is for this DJ to let other laptops in.
    pub lets_in: bool,
    /// What became of the last form.
    pub outcome: Option<&'a str>,
}

/// How long an announcement or a poll lasts, in minutes.
const MINUTES: [u32; 4] = [1, 5, 15, 60];

impl<'a> ConsolePage<'a> {
    /// The whole page.
    pub fn document(&self, skin: Skin<'a>) -> Document<'a> {
        let Self { view, desk, lets_in, outcome } = *self;
        let words = skin.words;
        Document {
            accent: view.accent,
            place: Some((&view.event_name, &view.floor_name)),
            live: Some(Live { floor: view.address.to_string(), screen: Screen::Console }),
            data: vec![("desk", desk.to_string())],
            refresh_s: Some(15),
            ..Document::plain(
                skin,
                "console",
                format!("{} · {}", words.say("console"), view.floor_name),
                html! {
                    (Clock::now(skin.assets))
                    h1.spoken { (words.say("console")) " · " (view.floor_name) }
                    p #outcome .outcome role="status" { (outcome.unwrap_or_default()) }
                    div.deck {
                        (Crowd { view, words })
                        (OnAir { view, words, desk: Some(desk) })
                    }
                    div.deck {
                        (Said { view, words })
                        (Announce { view, words })
                        (Ask { view, words })
                    }
                    @if lets_in { (LetIn { view, words }) }
                    (Logout { words })
                    div.notes role="status" { p #offline hidden { (words.say("offline")) } }
                },
            )
        }
    }
}

fn action(view: &FloorView, what: &str) -> String {
    format!("/dj/{}/{what}", view.address.floor)
}

/// What is on, and what the DJ can do about it.
#[derive(Debug)]
pub struct OnAir<'a> {
    pub view: &'a FloorView,
    pub words: Words,
    /// Whose console it is. In what goes out to everybody nobody's: the script then shows the buttons to the one whose
    /// set it is, and the server lets nobody else use them.
    pub desk: Option<&'a DeskId>,
}

impl OnAir<'_> {
    /// The desk that speaks for the floor.
    fn speaker(&self) -> Option<(&DeskId, &DeskView)> {
        let named = self.view.now.as_ref().and_then(|now| now.dj.as_ref()).map(|dj| &dj.id);
        named.and_then(|id| self.view.desks.get_key_value(id)).filter(|(_, desk)| desk.on_air)
    }
}

impl Render for OnAir<'_> {
    fn render(&self) -> Markup {
        let Self { view, words, desk } = *self;
        let now = view.now.as_ref();
        let state = now.map_or(NowState::Idle, |now| now.state);
        let speaker = self.speaker();
        html! {
            section #onair .card aria-label=(words.say("on-air")) {
                h2 {
                    (words.say("on-air"))
                    @if let Some(dj) = now.and_then(|now| now.dj.as_ref()).filter(|_| state != NowState::Ended) { " · " (dj.name) }
                }
                @match (view.playing(), state) {
                    (Some(play), _) => {
                        p.big { (play.track.display_title()) }
                        @if let Some(artist) = &play.track.artist { p { (artist) } }
                        p.small { (words.with("since", [("time", times::clock(play.started_ms, &view.time_zone).into())])) }
                    }
                    (None, NowState::Hidden) => p.big { (words.say("hidden-now")) },
                    (None, NowState::Ended) => p.big { (words.say("set-over")) },
                    _ => p.big { (words.say("nothing-on")) },
                }
                @if view.signal == Signal::Lost || speaker.is_some_and(|(_, desk)| !desk.online) {
                    p.said { (words.say("desk-away")) }
                }
                @if let Some((id, state)) = speaker {
                    div.mine data-of=(id) hidden[desk.is_some_and(|desk| desk != id)] { (self.buttons(state)) }
                }
                @if state == NowState::Ended || speaker.is_none() {
                    // Whoever is logged in may go live with his own desk.
                    form method="post" action=(action(view, "go-live")) data-send="1" { button { (words.say("go-live")) } }
                }
            }
        }
    }
}

impl OnAir<'_> {
    fn buttons(&self, state: &DeskView) -> Markup {
        let Self { view, words, .. } = *self;
        let play = state.play_id;
        let title = view.playing().map(|play| play.track.title.clone().unwrap_or_default());
        let artist = view.playing().and_then(|play| play.track.artist.clone());
        html! {
            @if state.asked > 0 { p.small { (words.say("desk-asked")) } }
            div.row {
                @if let Some(play) = play {
                    form method="post" action=(action(view, "hide")) data-send="1" {
                        input type="hidden" name="play_id" value=(play);
                        button.quiet name="on" value=(!state.hidden) aria-pressed=(state.hidden) { (words.say(if state.hidden { "show-it" } else { "hide-it" })) }
                    }
                    form method="post" action=(action(view, "withdraw")) data-send="1" {
                        input type="hidden" name="play_id" value=(play);
                        button.quiet { (words.say("undo")) }
                    }
                }
                form method="post" action=(action(view, "last-song")) data-send="1" {
                    button.quiet name="on" value=(!is_last_song(view)) aria-pressed=(is_last_song(view)) { (words.say("say-last-song")) }
                }
            }
            @if let (Some(play), Some(title)) = (play, title) {
                details {
                    summary { (words.say("correct")) }
                    form.fields method="post" action=(action(view, "correct")) data-send="1" {
                        input type="hidden" name="play_id" value=(play);
                        label for="correct-title" { (words.say("song-title")) }
                        input #correct-title name="title" value=(title) required maxlength="200";
                        label for="correct-artist" { (words.say("song-artist")) }
                        input #correct-artist name="artist" value=(artist.unwrap_or_default()) maxlength="200";
                        button { (words.say("correct")) }
                    }
                }
            }
            @if let Some(set) = state.set_id {
                details {
                    summary { (words.say("end-set")) }
                    form method="post" action=(action(view, "end-set")) data-send="1" {
                        input type="hidden" name="set_id" value=(set);
                        p { (words.say("end-set-line")) }
                        button.danger { (words.say("end-set")) }
                    }
                }
            }
        }
    }
}

/// What dancers say about the play that is on.
#[derive(Debug)]
pub struct Crowd<'a> {
    pub view: &'a FloorView,
    pub words: Words,
}

impl Render for Crowd<'_> {
    fn render(&self) -> Markup {
        let Self { view, words } = *self;
        let (likes, thanks, tempo) =
            view.tally().map_or_else(Default::default, |tally| (tally.likes, tally.thanks, tally.tempo));
        let wishes = [("slower", tempo.slower), ("perfect", tempo.perfect), ("faster", tempo.faster)];
        let all = wishes.iter().fold(0u32, |sum, (_, count)| sum.saturating_add(*count));
        html! {
            section #crowd .card aria-label=(words.say("crowd")) {
                dl.counts {
                    div { dt { (words.say("count-likes")) } dd { (likes) } }
                    div { dt { (words.say("count-thanks")) } dd { (thanks) } }
                    div { dt { (words.say("count-here")) } dd { (view.listeners) } }
                }
                h2 { (words.say("tempo")) }
                @for (key, count) in wishes {
                    p class={ "answer " (key) } {
                        (Bar { text: &words.say(key), part: count, of: all, count: &count.to_string() })
                    }
                }
            }
        }
    }
}

/// What the DJ has said and asked, and how to take it back.
#[derive(Debug)]
pub struct Said<'a> {
    pub view: &'a FloorView,
    pub words: Words,
}

impl Render for Said<'_> {
    fn render(&self) -> Markup {
        let Self { view, words } = *self;
        html! {
            section #said .card hidden[view.announcement.is_none() && view.poll.is_none()] aria-label=(words.say("shown-now")) {
                h2 { (words.say("shown-now")) }
                @if let Some(said) = &view.announcement {
                    p.said { (said.text) }
                    @if let Some(until) = said.until_ms { p.small { (words.with("until", [("time", times::clock(until, &view.time_zone).into())])) } }
                    form method="post" action=(action(view, "announce")) data-send="1" {
                        input type="hidden" name="text" value="";
                        button.quiet { (words.say("take-down")) }
                    }
                }
                @if let Some(poll) = &view.poll {
                    h3 { (poll.question) }
                    @for option in &poll.options {
                        @let count = format!("{} · {}", option.votes, share(option.votes, total(poll), words));
                        p.answer { (Bar { text: &option.text, part: option.votes, of: total(poll), count: &count }) }
                    }
                    @if !poll.closed {
                        form method="post" action=(action(view, "close-poll")) data-send="1" {
                            input type="hidden" name="poll_id" value=(poll.poll_id);
                            button.quiet { (words.say("close-poll")) }
                        }
                    }
                }
            }
        }
    }
}

/// The select that says how long something lasts.
struct Lasts {
    id: &'static str,
    minutes: u32,
    words: Words,
}

impl Render for Lasts {
    fn render(&self) -> Markup {
        let Self { id, minutes, words } = *self;
        html! {
            label for=(id) { (words.say("lasts")) }
            select id=(id) name="minutes" {
                @for choice in MINUTES {
                    option value=(choice) selected[choice == minutes] { (words.with("minutes", [("count", choice.into())])) }
                }
                option value="0" { (words.say("until-taken-down")) }
            }
        }
    }
}

struct Announce<'a> {
    view: &'a FloorView,
    words: Words,
}

impl Render for Announce<'_> {
    fn render(&self) -> Markup {
        let Self { view, words } = *self;
        let presets = ["preset-water", "preset-break", "preset-partners", "preset-photo", "preset-last-call"];
        html! {
            section.card {
                h2 { (words.say("announce")) }
                form.fields method="post" action=(action(view, "announce")) data-send="1" {
                    label for="text" { (words.say("announce-text")) }
                    input #text name="text" required maxlength="200" list="presets" autocomplete="off";
                    datalist #presets { @for preset in presets { option value=(words.say(preset)) {} } }
                    (Lasts { id: "announce-minutes", minutes: 5, words })
                    button { (words.say("announce")) }
                }
                // One tap, without typing.
                form.row method="post" action=(action(view, "announce")) data-send="1" {
                    input type="hidden" name="minutes" value="5";
                    @for preset in presets { button.quiet name="text" value=(words.say(preset)) { (words.say(preset)) } }
                }
            }
        }
    }
}

/// Lets another DJ's laptop in, by the digits that it shows.
struct LetIn<'a> {
    view: &'a FloorView,
    words: Words,
}

impl Render for LetIn<'_> {
    fn render(&self) -> Markup {
        let Self { view, words } = *self;
        html! {
            section.card {
                h2 { (words.say("let-in")) }
                p { (words.say("let-in-line")) }
                form.fields method="post" action=(action(view, "let-in")) data-send="1" {
                    label for="code" { (words.say("let-in-code")) }
                    input #code name="code" required maxlength="12" inputmode="numeric" autocomplete="off" placeholder="123 456";
                    button { (words.say("let-in-button")) }
                }
            }
        }
    }
}

struct Ask<'a> {
    view: &'a FloorView,
    words: Words,
}

impl Render for Ask<'_> {
    fn render(&self) -> Markup {
        let Self { view, words } = *self;
        let presets = [
            ("poll-mood", ["poll-mood-a", "poll-mood-b", "poll-mood-c"]),
            ("poll-tempo", ["slower", "perfect", "faster"]),
            ("poll-longer", ["poll-longer-a", "poll-longer-b", "poll-longer-c"]),
        ];
        html! {
            section.card {
                h2 { (words.say("ask")) }
                form.fields method="post" action=(action(view, "poll")) data-send="1" {
                    label for="question" { (words.say("question")) }
                    input #question name="question" required maxlength="200" autocomplete="off";
                    label for="options" { (words.say("options")) }
                    textarea #options name="options" required rows="3" maxlength="600" {}
                    (Lasts { id: "poll-minutes", minutes: 5, words })
                    button { (words.say("ask")) }
                }
                @for (question, options) in presets {
                    form.row method="post" action=(action(view, "poll")) data-send="1" {
                        input type="hidden" name="question" value=(words.say(question));
                        input type="hidden" name="minutes" value="5";
                        button.quiet name="options" value=(options.map(|option| words.say(option)).join("\n")) { (words.say(question)) }
                    }
                }
            }
        }
    }
}
