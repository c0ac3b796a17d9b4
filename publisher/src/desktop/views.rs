//! The settings page, in the dress of the dancers' pages.

mod join;
mod programs;

use fast_qr::convert::Builder;
use fast_qr::convert::svg::SvgBuilder;
use fast_qr::{ECL, QRBuilder};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, html};

use super::join::Joining;
use super::menu::headline;
use super::nearby::Found;
use super::{Server, Setup};
use crate::choices::Filled;
use crate::controls::{Standing, Status};
use crate::sources::SourceState;
use crate::sources::observation::SourceKind;

pub const STYLE: &str = concat!(include_str!("../../../webapp/assets/pika.css"), include_str!("page.css"));
pub const SCRIPT: &str = include_str!("page.js");
pub const MARK: &str = include_str!("../../../webapp/assets/mark.svg");

/// What the parts that change by themselves show.
#[derive(Debug)]
pub struct Shown<'a> {
    pub status: &'a Status,
    pub setup: &'a Setup,
    pub joining: &'a Joining,
    pub nearby: &'a [Found],
}

type Faults<'a> = &'a [(&'static str, String)];

/// The whole page.
pub fn page(shown: &Shown<'_>, filled: &Filled, faults: Faults<'_>, starts_at_login: bool) -> Markup {
    let Shown { status, setup, joining, nearby } = *shown;
    document(
        "Pika on this laptop",
        html! {
            (now(status, setup))
            @if let Some(url) = setup.floor_url(status) { (share(status, setup, &url)) }
            (join(setup, filled, joining, nearby))
            (form(setup, status, filled, faults))
            form.login #login method="post" action="/login" {
                button.quiet name="on" value=(!starts_at_login) aria-pressed=(starts_at_login) { "Start at login" }
            }
            section.found-box { h2 { "What was found" } (found(status)) }
            section.log-box #log {
                h2 { "What it saw" }
                (log(status))
                noscript { p.small { a href="/" { "Load again" } " to see what is new." } }
            }
        },
    )
}

/// Why nobody gets further.
pub fn refusal(sentence: &str) -> Markup {
    document("Pika", html! { section.problem { h1 { "Not like this" } p { (sentence) } } })
}

fn document(title: &str, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="dark";
                title { (title) }
                link rel="icon" type="image/svg+xml" href="/mark.svg";
                link rel="stylesheet" href="/page.css";
                script src="/page.js" defer {}
            }
            body.desk {
                header.top { span.brand { img.mark src="/mark.svg" alt="" width="44" height="44"; "Pika" } span.place { "this laptop" } }
                main { (content) }
            }
        }
    }
}

/// The parts that change by themselves, as they are now.
pub fn parts(shown: &Shown<'_>) -> Markup {
    let Shown { status, setup, joining, nearby } = *shown;
    html! {
        (now(status, setup))
        (join::joining(joining))
        (join::nearby(nearby))
        (found(status))
        (log(status))
    }
}

fn now(status: &Status, setup: &Setup) -> Markup {
    let ask = |what: &str, label: &str, about: Option<String>, class: &str| {
        html! {
            form method="post" action="/ask" {
                @if let Some(about) = &about { input type="hidden" name="about" value=(about); }
                button class=(class) name="what" value=(what) { (label) }
            }
        }
    };
    let runs = setup.server != Server::Unset && setup.fault.is_none();
    html! {
        section.stand #now data-standing=(status.standing.as_str()) {
            p.signal.live[status.standing == Standing::Live] { span.dot {} (standing(status, setup)) }
            h1.title.long { (headline(status, setup)) }
            @if let Some(why) = setup.fault.as_ref().or(status.why.as_ref()) { p.why role="alert" { (why) } }
            @if let Some(now) = &status.now {
                p.facts {
                    @if let Some(bpm) = now.track.bpm { span { b { (format!("{bpm:.0}")) } " BPM" } }
                    @if let Some(key) = &now.track.key { span { b { (key) } } }
                    span { "since " (clock(now.started_ms)) }
                }
            }
            @if status.waiting > 0 { p.small { (status.waiting) " waiting for the archive; nothing is lost" } }
            @if runs {
                div.acts-row {
                    @match status.set {
                        Some(set) => { (ask("end-set", "End set", Some(set.to_string()), "danger")) }
                        None => { (ask("go-live", "Go live", None, "go")) }
                    }
                    @if let Some(now) = &status.now {
                        @if status.is_hidden { (ask("show", "Show it after all", Some(now.play.to_string()), "")) }
                        @else { (ask("hide", "Hide this track", Some(now.play.to_string()), "")) }
                    }
                    @if let Some((play, line)) = &status.last {
                        (ask("undo", &format!("Undo “{line}”"), Some(play.to_string()), "quiet"))
                    }
                }
            }
        }
    }
}

fn standing(status: &Status, setup: &Setup) -> &'static str {
    if setup.fault.is_some() {
        return "not running";
    }
    if setup.server == Server::Unset {
        return "not set up";
    }
    match status.standing {
        Standing::Idle => "not live",
        Standing::Live => "live",
        Standing::Hidden => "hidden",
        Standing::Queueing => "waiting for the server",
        Standing::Error => "look here",
    }
}

fn share(status: &Status, setup: &Setup, url: &str) -> Markup {
    html! {
        section.share #share {
            h2 { "For the dancers" }
            img.qr src="/qr.svg" alt={ "QR code of " (url) } width="320" height="320";
            p.link { a href=(url) { (url) } }
            p { button.quiet type="button" data-copy=(url) hidden { "Copy link" } }
            @if matches!(setup.server, Server::Here { .. }) {
                p.small { "Phones have to be on the same WiFi as this laptop. If nobody gets through, the WiFi keeps its guests apart: use a router of your own, or another network." }
            }
            @if let Some(console) = setup.console_url(status) {
                p { a.button href=(console) { "Open the console" } }
                @if let Server::Here { console_token_file } = &setup.server {
                    p.small { "It asks for a token: the one in " code { (console_token_file.display()) } }
                }
            }
        }
    }
}

/// Asks a server for a token instead of having one typed.
fn join(setup: &Setup, filled: &Filled, joining: &Joining, nearby: &[Found]) -> Markup {
    // While digits are compared, nothing else is.
    let is_open = matches!(joining, Joining::Failed { .. })
        || (*joining == Joining::No && setup.server == Server::Unset);
    html! {
        section.join #join {
            h2 { "Play at an event" }
            (join::joining(joining))
            details open[is_open] {
                summary { "Join a server" }
                form.fields method="post" action="/join" {
                    label for="join-name" { "Your name" }
                    input #join-name name="name" value=(filled.dj) autocomplete="off" spellcheck="false" maxlength="60";
                    label for="join-url" { "Address of its pages" }
                    input #join-url name="url" placeholder="app.example.org" autocomplete="off" autocapitalize="none" spellcheck="false";
                    button { "Ask to join" }
                    h3 { "In this network" }
                    (join::nearby(nearby))
                }
            }
        }
    }
}

/// Fields of the form, with what is wrong beside them.
struct Fields<'a> {
    faults: Faults<'a>,
}

impl Fields<'_> {
    fn fault(&self, name: &str) -> Markup {
        let fault = self.faults.iter().find(|(field, _)| *field == name);
        html! { @if let Some((_, sentence)) = fault { span.fault id={ "fault-" (name) } role="alert" { (sentence) } } }
    }

    fn is_wrong(&self, name: &str) -> bool {
        self.faults.iter().any(|(field, _)| *field == name)
    }

    fn is_any_wrong(&self, beginning: &str) -> bool {
        self.faults.iter().any(|(field, _)| field.starts_with(beginning))
    }

    fn text(&self, name: &str, label: &str, value: &str, hint: &str) -> Markup {
        self.input("text", name, label, value, hint)
    }

    /// What is kept is in it, so that it can be seen by those who want to, and emptied.
    fn password(&self, name: &str, label: &str, value: &str) -> Markup {
        self.input("password", name, label, value, "")
    }

    fn input(&self, kind: &str, name: &str, label: &str, value: &str, hint: &str) -> Markup {
        let is_wrong = self.is_wrong(name);
        html! {
            label for=(name) { (label) }
            input id=(name) name=(name) type=(kind) value=(value) aria-invalid=[is_wrong.then_some("true")]
                aria-describedby=[is_wrong.then(|| format!("fault-{name}"))] autocomplete="off" spellcheck="false";
            @if !hint.is_empty() { span.small { (hint) } }
            (self.fault(name))
        }
    }

    fn lines(&self, name: &str, label: &str, value: &str) -> Markup {
        html! {
            label for=(name) { (label) }
            textarea id=(name) name=(name) rows="2" spellcheck="false" { (value) }
            (self.fault(name))
        }
    }
}

fn form(setup: &Setup, status: &Status, filled: &Filled, faults: Faults<'_>) -> Markup {
    let fields = Fields { faults };
    let floors = status.info.as_ref().map(|info| info.floors.as_slice()).unwrap_or_default();
    html! {
        form.settings #settings method="post" action="/choose" {
            h2 { "Settings" }
            fieldset {
                legend { "Where is the server?" }
                label.choice { input type="radio" name="server" value="here" checked[filled.server == "here"]; span { b { "On this laptop" } " · dancers scan the code on your screen, and no internet is needed" } }
                label.choice { input type="radio" name="server" value="remote" checked[filled.server == "remote"]; span { b { "Somewhere else" } " · the organizer gave you an address and a token" } }
                (fields.fault("server"))
                div.only-here {
                    label for="interface" { "Address that the code holds" }
                    select id="interface" name="interface" {
                        option value="" { "the best one" }
                        @for (name, ip) in &setup.addresses {
                            option value=(ip) selected[filled.interface == ip.to_string()] { (ip) " · " (name) }
                        }
                    }
                    (fields.fault("interface"))
                }
                div.only-remote {
                    (fields.text("url", "Address", &filled.url, "wss://api.example.org/ws"))
                    (fields.text("desk", "Desk", &filled.desk, ""))
                    label for="token" { "Token" }
                    input id="token" name="token" type="password" autocomplete="off" placeholder=[(filled.server == "remote").then_some("kept; type only to change it")];
                }
            }
            fieldset {
                legend { "The night" }
                (fields.text("dj", "Your name, as dancers see it", &filled.dj, ""))
                (fields.text("event", "Event", &filled.event, ""))
                label for="floor" { "Floor" }
                @if floors.is_empty() {
                    input id="floor" name="floor" value=(filled.floor) autocomplete="off" spellcheck="false";
                } @else {
                    select id="floor" name="floor" {
                        @for floor in floors { option value=(floor.id) selected[floor.id.as_str() == filled.floor] { (floor.name) } }
                        @if floors.iter().all(|floor| floor.id.as_str() != filled.floor) { option value=(filled.floor) selected { (filled.floor) " (not at this event)" } }
                    }
                }
                (fields.fault("floor"))
            }
            fieldset {
                legend { "What you play with" }
                label for="source" { "Program" }
                input id="source" name="source" value=(filled.source) list="sources" autocomplete="off" spellcheck="false";
                datalist id="sources" {
                    option value="auto" { "whatever is found" }
                    @for kind in SourceKind::ALL { option value=(kind) { (kind.program()) } }
                }
                span.small { "auto, or several with commas: the first one speaks" }
                (fields.fault("source"))
                (fields.text("path", "Folder or file, if it is not found by itself", &filled.path, ""))
                label.choice { input type="checkbox" name="force_polling" value="on" checked[filled.force_polling]; span { "It is on a network drive: look again and again" } }
                (programs::programs(&fields, filled))
            }
            fieldset {
                legend { "What dancers see" }
                (fields.text("delay_s", "Wait before a new track is shown, in seconds", &filled.delay_s, "What you change within it is never shown."))
                (fields.text("min_play_s", "Shortest play that counts, in seconds", &filled.min_play_s, ""))
                label.choice { input type="checkbox" name="covers" value="on" checked[filled.covers]; span { "The cover, from the file of a track" } }
                (fields.lines("skip_genres", "Never show these genres, one a line", &filled.skip_genres))
                (fields.lines("skip_comments", "Never show tracks with this in the comment", &filled.skip_comments))
                (fields.lines("skip_texts", "Never show tracks with this in artist or title", &filled.skip_texts))
                (fields.lines("skip_patterns", "The same, as regular expressions", &filled.skip_patterns))
            }
            button.go { "Save and use" }
        }
    }
}

fn found(status: &Status) -> Markup {
    html! {
        ul.found #found {
            @if status.sources.is_empty() { li { "Nothing is being read." } }
            @for (kind, state) in &status.sources {
                @let speaks = status.speaker == Some(*kind);
                @match state {
                    SourceState::Found { what, why } => {
                        li.ok { b { (kind.program()) } @if speaks { " · speaks" } span.small { (what) " · " (why) } }
                    }
                    SourceState::Waiting { what, why } => {
                        li.waits { b { (kind.program()) } " · waits" span.small { (what) " · " (why) } }
                    }
                    SourceState::Missing { what, why } => {
                        li.lacks { b { (kind.program()) } span.small { (what) " · " (why) } }
                    }
                }
            }
        }
    }
}

fn log(status: &Status) -> Markup {
    html! {
        ol.log #lines {
            @for line in status.log.iter().rev() {
                li { time { (clock(line.at_ms)) } " " (line.text) }
            }
        }
    }
}

/// The time on this laptop's clock.
fn clock(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms)
        .map_or_else(|_| String::new(), |at| at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string())
}

/// A QR code, dark on light with a quiet zone of four modules; none if the text is too long for one.
pub fn code(text: &str) -> Option<String> {
    let code = QRBuilder::new(text).ecl(ECL::Q).build().ok()?;
    Some(SvgBuilder::default().margin(4).to_str(&code))
}
