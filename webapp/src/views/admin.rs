//! Pages for organizers, and for people with an account of their own. No part of them is live, and all work without the script.

use jiff::tz::TimeZone;
use maud::{Markup, Render, html};
use protocol::{EventId, MessageId, PersonId};
use store::{
    Change, Event, ListedToken, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, Pairing, Person, Role, Session,
    TokenKind,
};

use crate::views::layout::Document;
use crate::views::{Skin, times};
use crate::words::Words;

/// Which page of an organizer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    Event,
    Desks,
    People,
    Log,
}

impl Page {
    pub const ALL: [Page; 4] = [Page::Event, Page::Desks, Page::People, Page::Log];

    /// As in addresses, below `/admin/`.
    pub fn as_str(self) -> &'static str {
        match self {
            Page::Event => "event",
            Page::Desks => "desks",
            Page::People => "people",
            Page::Log => "log",
        }
    }

    pub fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.as_str() == text)
    }

    fn title(self, words: Words) -> std::borrow::Cow<'static, str> {
        words.say(match self {
            Page::Event => "admin-event",
            Page::Desks => "admin-desks",
            Page::People => "admin-people",
            Page::Log => "admin-log",
        })
    }
}

/// Where a person says who she is.
#[derive(Debug)]
pub struct PersonLogin<'a> {
    /// Why she is asked again.
    pub problem: Option<&'a str>,
}

impl PersonLogin<'_> {
    /// The whole page.
    pub fn document<'a>(&self, skin: Skin<'a>) -> Document<'a> {
        let words = skin.words;
        let content = html! {
            h1.title { (words.say("log-in")) }
            p.line { (words.say("person-login-line")) }
            @if let Some(problem) = self.problem { p.said role="alert" { (problem) } }
            form.fields method="post" action="/login" {
                label for="name" { (words.say("person-name")) }
                input #name name="name" required maxlength="48" autocomplete="username" autocapitalize="none" spellcheck="false";
                label for="password" { (words.say("password")) }
                input #password name="password" type="password" required maxlength=(PASSWORD_CHARS_MAX) autocomplete="current-password";
                button { (words.say("log-in")) }
            }
            p.links { a href="/dj" { (words.say("login-with-token")) } }
        };
        Document::plain(skin, "login", words.say("log-in").into_owned(), content)
    }
}

/// What surrounds the content of an organizer's page.
#[derive(Debug)]
pub struct AdminPage<'a, C> {
    pub page: Page,
    pub person: &'a PersonId,
    /// What became of the last form.
    pub outcome: Option<&'a str>,
    pub content: C,
}

impl<C: Render> AdminPage<'_, C> {
    /// The whole page.
    pub fn document<'a>(&self, skin: Skin<'a>) -> Document<'a> {
        let words = skin.words;
        let content = html! {
            nav.links aria-label=(words.say("admin")) {
                @for page in Page::ALL {
                    a href={ "/admin/" (page.as_str()) } aria-current=[(page == self.page).then_some("page")] { (page.title(words)) }
                }
                a href="/account" { (self.person) }
            }
            h1.spoken { (words.say("admin")) " · " (self.page.title(words)) }
            p.outcome role="status" { (self.outcome.unwrap_or_default()) }
            (self.content)
        };
        Document::plain(
            skin,
            "admin",
            format!("{} · {}", words.say("admin"), self.page.title(words)),
            content,
        )
    }
}

/// A form with one button, for what needs no more than a name.
struct Act<'a> {
    action: &'a str,
    field: &'a str,
    value: &'a str,
    button: &'a str,
    is_dangerous: bool,
}

impl Render for Act<'_> {
    fn render(&self) -> Markup {
        html! {
            form method="post" action=(self.action) {
                input type="hidden" name=(self.field) value=(self.value);
                button.quiet.danger[self.is_dangerous] aria-label={ (self.button) ": " (self.value) } { (self.button) }
            }
        }
    }
}

/// The event that is served, its floors, and the other events.
#[derive(Debug)]
pub struct Events<'a> {
    pub events: &'a [Event],
    pub ours: &'a EventId,
    pub words: Words,
}

impl Render for Events<'_> {
    fn render(&self) -> Markup {
        let Self { events, ours, words } = *self;
        let others = events.iter().filter(|event| event.id != *ours);
        html! {
            @if let Some(event) = events.iter().find(|event| event.id == *ours) {
                section.card {
                    h2 { (event.name) }
                    form.fields method="post" action="/admin/event" {
                        label for="event-name" { (words.say("event-name")) }
                        input #event-name name="name" value=(event.name) required maxlength="80";
                        label for="time-zone" { (words.say("time-zone")) }
                        input #time-zone name="time_zone" value=(event.time_zone) required maxlength="64" spellcheck="false";
                        label for="accent" { (words.say("accent")) }
                        input #accent name="accent" value=(event.accent.as_deref().unwrap_or_default()) maxlength="7" placeholder="#ff7a59" spellcheck="false";
                        button { (words.say("save")) }
                    }
                }
                section.card {
                    h2 { (words.say("admin-floors")) }
                    ul.rows {
                        @for floor in &event.floors {
                            li {
                                form.row method="post" action="/admin/floor" {
                                    input type="hidden" name="floor" value=(floor.id);
                                    code { (floor.id) }
                                    input name="name" value=(floor.name) required maxlength="80" aria-label={ (words.say("floor-name")) " " (floor.id) };
                                    button.quiet aria-label={ (words.say("rename")) ": " (floor.id) } { (words.say("rename")) }
                                }
                                @if event.floors.len() > 1 {
                                    (Act { action: "/admin/close-floor", field: "floor", value: floor.id.as_str(), button: &words.say("close-floor"), is_dangerous: true })
                                }
                            }
                        }
                    }
                    form.fields method="post" action="/admin/floor" {
                        h3 { (words.say("add-floor")) }
                        label for="floor-id" { (words.say("floor-id")) }
                        input #floor-id name="floor" required maxlength="48" pattern="[a-z0-9\\-]+" autocapitalize="none" spellcheck="false";
                        label for="floor-name" { (words.say("floor-name")) }
                        input #floor-name name="name" required maxlength="80";
                        button { (words.say("add-floor")) }
                    }
                }
            }
            section.card {
                h2 { (words.say("other-events")) }
                p.small { (words.say("other-events-line")) }
                ul.rows {
                    @for event in others {
                        li {
                            span { (event.name) " " code { (event.id) } }
                            a href={ "/e/" (event.id) "/recap" } { (words.say("recap")) }
                            (Act { action: "/admin/end-event", field: "event", value: event.id.as_str(), button: &words.say("end-event"), is_dangerous: true })
                        }
                    }
                }
                form.fields method="post" action="/admin/add-event" {
                    h3 { (words.say("add-event")) }
                    label for="event-id" { (words.say("event-id")) }
                    input #event-id name="event" required maxlength="48" pattern="[a-z0-9\\-]+" autocapitalize="none" spellcheck="false";
                    label for="new-event-name" { (words.say("event-name")) }
                    input #new-event-name name="name" required maxlength="80";
                    button { (words.say("add-event")) }
                }
            }
        }
    }
}

/// Desks, integrators and services, and laptops that wait to be let in.
#[derive(Debug)]
pub struct Tokens<'a> {
    pub tokens: &'a [ListedToken],
    pub waiting: &'a [Pairing],
    pub event: Option<&'a Event>,
    pub people: &'a [Person],
    pub zone: &'a TimeZone,
    pub now_ms: i64,
    pub words: Words,
}

impl Render for Tokens<'_> {
    fn render(&self) -> Markup {
        let Self { tokens, waiting, event, people, zone, now_ms, words } = *self;
        let is_over = |one: &&ListedToken| {
            one.token.revoked_ms.is_some() || one.token.expires_ms.is_some_and(|at| at <= now_ms)
        };
        let (over, in_force): (Vec<_>, Vec<_>) = tokens.iter().partition(is_over);
        let floors = event.map(|event| event.floors.as_slice()).unwrap_or_default();
        html! {
            section.card {
                h2 { (words.say("in-force")) }
                div.scroll {
                    table {
                        thead { tr {
                            @for key in ["token-name", "token-kind", "token-floor", "token-owner", "token-used", "token-until"] { th scope="col" { (words.say(key)) } }
                            th { span.spoken { (words.say("revoke")) } }
                        } }
                        tbody {
                            @for one in &in_force {
                                tr {
                                    th scope="row" { (one.token.name) }
                                    td { (words.say(kind(one.token.kind))) }
                                    td { @if let Some(floor) = &one.token.floor { (floor) } @else if one.token.kind == TokenKind::Desk { (words.say("all-floors")) } }
                                    td { @if let Some(owner) = &one.owner { (owner) } }
                                    td { (when(one.used_ms, zone, words)) }
                                    td { @if let Some(until) = one.token.expires_ms { (times::stamp(until, zone)) } }
                                    td { (Act { action: "/admin/revoke", field: "token", value: &one.token.name, button: &words.say("revoke"), is_dangerous: true }) }
                                }
                            }
                        }
                    }
                }
                @if in_force.is_empty() { p { (words.say("no-tokens")) } }
                @if !over.is_empty() {
                    details {
                        summary { (words.say("revoked")) }
                        ul.rows { @for one in &over { li { span { (one.token.name) " · " (words.say(kind(one.token.kind))) } } } }
                    }
                }
            }
            section.card {
                h2 { (words.say("let-in")) }
                p { (words.say("let-in-line")) }
                @for asks in waiting {
                    p.said { (asks.desk) @if let Some(name) = &asks.name { " · " (name) } }
                }
                form.fields method="post" action="/admin/let-in" {
                    label for="code" { (words.say("let-in-code")) }
                    input #code name="code" required maxlength="12" inputmode="numeric" autocomplete="off" placeholder="123 456";
                    (FloorChoice { id: "let-in-floor", floors, words })
                    button { (words.say("let-in-button")) }
                }
            }
            section.card {
                h2 { (words.say("add-token")) }
                p.small { (words.say("add-token-line")) }
                form.fields method="post" action="/admin/add-token" {
                    label for="token" { (words.say("token-name")) }
                    input #token name="token" required maxlength="48" pattern="[a-z0-9\\-]+" autocomplete="off" autocapitalize="none" spellcheck="false";
                    label for="kind" { (words.say("token-kind")) }
                    select #kind name="kind" {
                        @for one in [TokenKind::Desk, TokenKind::Integrator, TokenKind::Service] { option value=(one.as_str()) { (words.say(kind(one))) } }
                    }
                    (FloorChoice { id: "token-floor", floors, words })
                    label for="owner" { (words.say("token-owner")) }
                    select #owner name="owner" {
                        option value="" { (words.say("nobodys")) }
                        @for person in people { option value=(person.id) { (person.id) } }
                    }
                    (Days { id: "days", words })
                    button { (words.say("add-token")) }
                }
            }
        }
    }
}

fn kind(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Desk => "kind-desk",
        TokenKind::Service => "kind-service",
        TokenKind::Integrator => "kind-integrator",
    }
}

fn when(at_ms: Option<i64>, zone: &TimeZone, words: Words) -> String {
    at_ms.map_or_else(|| words.say("never").into_owned(), |at| times::stamp(at, zone))
}

struct FloorChoice<'a> {
    id: &'static str,
    floors: &'a [store::Floor],
    words: Words,
}

impl Render for FloorChoice<'_> {
    fn render(&self) -> Markup {
        html! {
            label for=(self.id) { (self.words.say("token-floor")) }
            select id=(self.id) name="floor" {
                option value="" { (self.words.say("all-floors")) }
                @for floor in self.floors { option value=(floor.id) { (floor.name) } }
            }
        }
    }
}

/// How long a token is good for.
struct Days {
    id: &'static str,
    words: Words,
}

impl Render for Days {
    fn render(&self) -> Markup {
        html! {
            label for=(self.id) { (self.words.say("token-until")) }
            select id=(self.id) name="days" {
                @for days in [1, 3, 30, 90, 365] { option value=(days) selected[days == 90] { (self.words.with("days", [("count", days.into())])) } }
                option value="0" { (self.words.say("until-revoked")) }
            }
        }
    }
}

/// Something that is shown this once: a token, or a password that was made up.
#[derive(Debug)]
pub struct Secret<'a> {
    /// Whose it is.
    pub name: &'a str,
    pub secret: &'a str,
    /// What to do with it.
    pub line: &'a str,
    /// Where a desk or an integrator reaches the broker.
    pub server: Option<&'a str>,
    /// Where to go on.
    pub back: &'a str,
    pub words: Words,
}

impl Secret<'_> {
    /// The whole page.
    pub fn document<'a>(&self, skin: Skin<'a>) -> Document<'a> {
        let words = self.words;
        let content = html! {
            h1.title { (self.name) }
            p.line { (self.line) }
            dl.card {
                dt { (words.say("secret-name")) } dd { code { (self.name) } }
                dt { (words.say("secret-itself")) } dd { code #secret { (self.secret) } }
                @if let Some(server) = self.server { dt { (words.say("secret-server")) } dd { code { (server) } } }
            }
            p.links { a href=(self.back) { (words.say("written-down")) } }
        };
        Document::plain(skin, "admin", self.name.to_owned(), content)
    }
}

/// Organizers and DJs.
#[derive(Debug)]
pub struct People<'a> {
    pub people: &'a [Person],
    pub zone: &'a TimeZone,
    pub words: Words,
}

impl Render for People<'_> {
    fn render(&self) -> Markup {
        let Self { people, zone, words } = *self;
        html! {
            section.card {
                h2 { (words.say("admin-people")) }
                ul.rows {
                    @for person in people {
                        li {
                            span { b { (person.id) } " · " (words.say(role(person.role))) br; span.small { (words.say("seen")) " " (when(person.seen_ms, zone, words)) } }
                            div.row {
                                form method="post" action="/admin/role" {
                                    input type="hidden" name="person" value=(person.id);
                                    @let other = if person.role == Role::Dj { Role::Organizer } else { Role::Dj };
                                    button.quiet name="role" value=(other.as_str()) aria-label={ (words.say(make(other))) ": " (person.id) } { (words.say(make(other))) }
                                }
                                (Act { action: "/admin/password", field: "person", value: person.id.as_str(), button: &words.say("new-password"), is_dangerous: false })
                                (Act { action: "/admin/logout", field: "person", value: person.id.as_str(), button: &words.say("log-out-everywhere"), is_dangerous: false })
                                (Act { action: "/admin/remove", field: "person", value: person.id.as_str(), button: &words.say("remove"), is_dangerous: true })
                            }
                        }
                    }
                }
            }
            section.card {
                h2 { (words.say("add-person")) }
                p.small { (words.say("add-person-line")) }
                form.fields method="post" action="/admin/add-person" {
                    label for="person" { (words.say("person-name")) }
                    input #person name="person" required maxlength="48" pattern="[a-z0-9\\-]+" autocomplete="off" autocapitalize="none" spellcheck="false";
                    label for="role" { (words.say("role")) }
                    select #role name="role" { @for one in [Role::Dj, Role::Organizer] { option value=(one.as_str()) { (words.say(role(one))) } } }
                    button { (words.say("add-person")) }
                }
            }
        }
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Organizer => "role-organizer",
        Role::Dj => "role-dj",
    }
}

fn make(role: Role) -> &'static str {
    match role {
        Role::Organizer => "make-organizer",
        Role::Dj => "make-dj",
    }
}

/// Who changed what.
#[derive(Debug)]
pub struct Changes<'a> {
    pub changes: &'a [Change],
    /// There are more, before this one.
    pub older: Option<MessageId>,
    pub zone: &'a TimeZone,
    pub words: Words,
}

impl Render for Changes<'_> {
    fn render(&self) -> Markup {
        html! {
            section.card {
                h2 { (self.words.say("admin-log")) }
                div.scroll {
                    table lang="en" {
                        tbody {
                            @for change in self.changes {
                                tr { td { (times::stamp(change.at_ms, self.zone)) } td { (change.who) } td { (change.what) } td { (change.about) } }
                            }
                        }
                    }
                }
                @if let Some(older) = self.older {
                    p.links { a href={ "/admin/log?before=" (older) } { (self.words.say("older-changes")) } }
                }
            }
        }
    }
}

/// A person's own page: password, browsers, desks.
#[derive(Debug)]
pub struct AccountPage<'a> {
    pub person: &'a PersonId,
    pub role: Role,
    pub session: &'a [u8; 32],
    pub sessions: &'a [Session],
    /// In force, and her own.
    pub desks: &'a [ListedToken],
    pub outcome: Option<&'a str>,
    pub zone: &'a TimeZone,
}

impl AccountPage<'_> {
    /// The whole page.
    pub fn document<'a>(&self, skin: Skin<'a>) -> Document<'a> {
        let words = skin.words;
        let Self { person, role, session, sessions, desks, outcome, zone } = *self;
        let content = html! {
            nav.links aria-label=(words.say("admin")) {
                @if role == Role::Organizer { a href="/admin" { (words.say("admin")) } }
                a href="/account" aria-current="page" { (person) }
            }
            h1.spoken { (words.say("account")) " · " (person) }
            p.outcome role="status" { (outcome.unwrap_or_default()) }
            section.card {
                h2 { (words.say("my-desks")) }
                p.small { (words.say("my-desks-line")) }
                ul.rows {
                    @for one in desks {
                        li {
                            span { b { (one.token.name) } br; span.small { (words.say("token-used")) " " (when(one.used_ms, zone, words)) } }
                            div.row {
                                (Act { action: "/account/console", field: "desk", value: &one.token.name, button: &words.say("console"), is_dangerous: false })
                                (Act { action: "/account/revoke", field: "desk", value: &one.token.name, button: &words.say("revoke"), is_dangerous: true })
                            }
                        }
                    }
                }
                form.fields method="post" action="/account/add-desk" {
                    label for="desk" { (words.say("desk-name")) }
                    input #desk name="desk" required maxlength="48" pattern="[a-z0-9\\-]+" autocomplete="off" autocapitalize="none" spellcheck="false";
                    button { (words.say("add-desk")) }
                }
            }
            section.card {
                h2 { (words.say("new-password")) }
                form.fields method="post" action="/account/password" {
                    input type="hidden" name="username" value=(person) autocomplete="username";
                    label for="before" { (words.say("password-now")) }
                    input #before name="before" type="password" required maxlength=(PASSWORD_CHARS_MAX) autocomplete="current-password";
                    label for="password" { (words.say("password-next")) }
                    input #password name="password" type="password" required minlength=(PASSWORD_CHARS_MIN) maxlength=(PASSWORD_CHARS_MAX) autocomplete="new-password";
                    button { (words.say("save")) }
                }
            }
            section.card {
                h2 { (words.say("my-browsers")) }
                ul.rows {
                    @for one in sessions {
                        li {
                            span { (one.browser) @if one.sha256 == *session { " · " (words.say("this-browser")) } br; span.small { (words.say("seen")) " " (times::stamp(one.seen_ms, zone)) } }
                            form method="post" action="/account/end" {
                                input type="hidden" name="session" value=(handle(&one.sha256));
                                button.quiet { (words.say("log-out")) }
                            }
                        }
                    }
                }
                form method="post" action="/logout" { button.quiet { (words.say("log-out")) } }
            }
        };
        Document::plain(skin, "admin", words.say("account").into_owned(), content)
    }
}

/// What a form calls a session: enough of a hash to tell it from the person's others, and of no use to anybody else.
pub fn handle(sha256: &[u8; 32]) -> String {
    hex::encode(&sha256[..8])
}
