//! `/login`, `/account` and `/admin`: people log in, and change what the database knows of events, desks and people. All of it
//! is plain forms; each change is on record with who made it.

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use config::clock::now_ms;
use jiff::tz::TimeZone;
use maud::Render;
use protocol::{DeskId, EventId, FloorId, MessageId, PersonId};
use serde::Deserialize;
use store::{Event, Floor, FloorSet, Kept, LetIn, ListedToken, Role, Token, TokenKind};

use crate::live::board::Accent;
use crate::views::admin::{
    AccountPage, AdminPage, Changes, Events, Page, People as PeopleView, PersonLogin, Secret, Tokens, handle,
};
use crate::web::console::{form, line_of};
use crate::web::pages::show;
use crate::web::people::LoggedIn;
use crate::web::{App, Problem, Visitor};

/// Names on pages.
const NAME_CHARS_MAX: usize = 80;

/// Changes that the page shows.
const CHANGES_SHOWN: u32 = 200;

const DAY_MS: i64 = 86_400_000;

/// Tokens of our own parts begin with it.
const OWN_PREFIX: &str = "pika-";

const INCOMPLETE: Problem = Problem::BadRequest("The form is not complete.");

pub(super) async fn login_page(State(app): State<App>, visitor: Visitor) -> Response {
    private(show(PersonLogin { problem: None }.document(visitor.skin(&app))))
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

pub(super) async fn login(State(app): State<App>, visitor: Visitor, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (https, now_ms) = (visitor.client.https, now_ms());
    let logged_in = async {
        let Login { name, password } = form(&parts.headers, body).await?;
        let name = name.trim();
        let known = app.people.knows(name, &parts.headers, https);
        let slow = app.limits().person(visitor.client.household, name, known, now_ms);
        slow.map_err(|wait| Problem::TooManyLogins(wait.seconds()))?;
        let cookies = app.people.login(name, &password, &parts.headers, https, now_ms).await?;
        if cookies.is_none() {
            tracing::warn!(person = %quoted(name), "a login was refused");
        }
        Ok::<_, Problem>(cookies)
    };
    match logged_in.await {
        Ok(Some(cookies)) => {
            // The page says where to go on: an organizer's, or a DJ's own.
            let mut response = Redirect::to("/admin").into_response();
            for cookie in cookies {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            private(response)
        }
        Ok(None) => {
            let problem = visitor.words.say("person-login-wrong");
            let mut response = show(PersonLogin { problem: Some(&problem) }.document(visitor.skin(&app)));
            *response.status_mut() = StatusCode::FORBIDDEN;
            private(response)
        }
        Err(problem) => problem.page(visitor.skin(&app)),
    }
}

pub(super) async fn logout(State(app): State<App>, visitor: Visitor, headers: HeaderMap) -> Response {
    match app.people.logout(&headers, visitor.client.https, now_ms()).await {
        Ok(cookie) => {
            let mut response = Redirect::to("/login").into_response();
            response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
            private(response)
        }
        Err(problem) => problem.page(visitor.skin(&app)),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    said: Option<String>,
    /// Changes before this one.
    before: Option<MessageId>,
}

impl Asked {
    fn outcome(&self, visitor: &Visitor) -> Option<String> {
        self.said
            .as_deref()
            .filter(|said| *said == "done")
            .map(|_| visitor.words.say("console-done").into_owned())
    }
}

/// Where `/admin` leads: an organizer to the event, a DJ to his own page.
pub(super) async fn home(State(app): State<App>, visitor: Visitor, headers: HeaderMap) -> Response {
    match app.people.of(&headers, visitor.client.https, now_ms()).await {
        Ok(person) if person.is_organizer() => private(Redirect::to("/admin/event").into_response()),
        Ok(_) => private(Redirect::to("/account").into_response()),
        Err(problem) => refused(&app, &visitor, problem),
    }
}

pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path(page): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let shown = async {
        let person = organizer(&app, &visitor, &headers).await?;
        let page = Page::read(&page).ok_or(Problem::NotFound)?;
        page_of(&app, &visitor, &person, page, &asked).await
    };
    shown.await.unwrap_or_else(|problem| refused(&app, &visitor, problem))
}

async fn page_of(
    app: &App,
    visitor: &Visitor,
    person: &LoggedIn,
    page: Page,
    asked: &Asked,
) -> Result<Response, Problem> {
    let (store, words) = (app.archive.store(), visitor.words);
    let events = app.archive.ask(store.events()).await?;
    let ours = events.iter().find(|event| event.id == app.settings.event);
    let zone = zone_of(ours);
    let content = match page {
        Page::Event => Events { events: &events, ours: &app.settings.event, words }.render(),
        Page::Desks => {
            let now_ms = now_ms();
            let mut tokens = app.archive.ask(store.listed_tokens()).await?;
            tokens.retain(|one| one.token.event == app.settings.event);
            let waiting = app.archive.ask(store.waiting_pairings(&app.settings.event, now_ms)).await?;
            let people = app.archive.ask(store.people()).await?;
            let page = Tokens {
                tokens: &tokens,
                waiting: &waiting,
                event: ours,
                people: &people,
                zone: &zone,
                now_ms,
                words,
            };
            page.render()
        }
        Page::People => {
            let people = app.archive.ask(store.people()).await?;
            PeopleView { people: &people, zone: &zone, words }.render()
        }
        Page::Log => {
            let changes = app.archive.ask(store.changes(asked.before, CHANGES_SHOWN)).await?;
            let has_more = changes.len() == CHANGES_SHOWN as usize;
            let older = changes.last().filter(|_| has_more).map(|change| change.id);
            Changes { changes: &changes, older, zone: &zone, words }.render()
        }
    };
    let outcome = asked.outcome(visitor);
    let page = AdminPage { page, person: &person.id, outcome: outcome.as_deref(), content };
    Ok(private(show(page.document(visitor.skin(app)))))
}

fn zone_of(event: Option<&Event>) -> TimeZone {
    event.and_then(|event| TimeZone::get(&event.time_zone).ok()).unwrap_or(TimeZone::UTC)
}

/// The fields of all forms; each takes what it needs.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    event: Option<EventId>,
    name: Option<String>,
    time_zone: Option<String>,
    accent: Option<String>,
    #[serde(deserialize_with = "chosen")]
    floor: Option<FloorId>,
    token: Option<DeskId>,
    kind: Option<String>,
    #[serde(deserialize_with = "chosen")]
    owner: Option<PersonId>,
    days: i64,
    code: Option<String>,
    person: Option<PersonId>,
    role: Option<String>,
    desk: Option<DeskId>,
    before: Option<String>,
    password: Option<String>,
    session: Option<String>,
}

/// A select whose first choice is empty.
fn chosen<'de, D: serde::Deserializer<'de>, T: std::str::FromStr>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| serde::de::Error::custom("no such choice"))
}

/// What a form has brought about.
enum Done {
    /// Back to the page.
    On(Page),
    /// Something to be shown this once.
    Show { name: String, secret: String, line: &'static str, is_token: bool, back: &'static str },
}

pub(super) async fn act(
    State(app): State<App>,
    visitor: Visitor,
    Path(what): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let acted = async {
        let person = organizer(&app, &visitor, &parts.headers).await?;
        let form = form(&parts.headers, body).await?;
        let done = change(&app, &visitor, &person, &what, form).await?;
        tracing::info!(person = %person.id, what, "changed on /admin");
        Ok(done)
    };
    match acted.await {
        Ok(Done::On(page)) => {
            private(Redirect::to(&format!("/admin/{}?said=done", page.as_str())).into_response())
        }
        Ok(Done::Show { name, secret, line, is_token, back }) => {
            shown_once(&app, &visitor, &name, &secret, line, is_token, back)
        }
        Err(problem) => refused(&app, &visitor, problem),
    }
}

async fn change(
    app: &App,
    visitor: &Visitor,
    person: &LoggedIn,
    what: &str,
    form: Form,
) -> Result<Done, Problem> {
    let (archive, store, now_ms) = (&app.archive, app.archive.store(), now_ms());
    let by = person.by(now_ms);
    let ours = &app.settings.event;
    let found = |is_found: bool| if is_found { Ok(()) } else { Err(Problem::NotFound) };
    match what {
        "event" => {
            let events = archive.ask(store.events()).await?;
            let before = events.into_iter().find(|event| event.id == *ours).ok_or(Problem::NotFound)?;
            let time_zone = form.time_zone.ok_or(INCOMPLETE)?;
            TimeZone::get(&time_zone).map_err(|_| Problem::NoTimeZone)?;
            let accent = form.accent.filter(|accent| !accent.is_empty());
            if accent.as_deref().is_some_and(|accent| Accent::read(accent).is_none()) {
                return Err(Problem::NoColour);
            }
            let event = Event { name: name(form.name)?, time_zone, accent, floors: Vec::new(), ..before };
            archive.ask(store.set_event(&event, &by)).await?;
            Ok(Done::On(Page::Event))
        }
        "add-event" => {
            let id = form.event.ok_or(INCOMPLETE)?;
            let main = Floor { id: "main".parse().map_err(|_| INCOMPLETE)?, name: "Main floor".to_owned() };
            let event = Event {
                id,
                name: name(form.name)?,
                time_zone: "UTC".to_owned(),
                accent: None,
                floors: vec![main],
            };
            let events = archive.ask(store.events()).await?;
            if events.iter().any(|known| known.id == event.id) {
                return Err(Problem::NameTaken);
            }
            archive.ask(store.set_event(&event, &by)).await?;
            Ok(Done::On(Page::Event))
        }
        "end-event" => {
            let event = form.event.filter(|event| event != ours).ok_or(INCOMPLETE)?;
            found(archive.ask(store.retire_event(&event, &by)).await?)?;
            Ok(Done::On(Page::Event))
        }
        "floor" => {
            let floor = Floor { id: form.floor.ok_or(INCOMPLETE)?, name: name(form.name)? };
            match archive.ask(store.set_floor(ours, &floor, &by)).await? {
                FloorSet::Done => Ok(Done::On(Page::Event)),
                FloorSet::NoEvent => Err(Problem::Starting),
                FloorSet::Full => Err(Problem::BadRequest("An event has no more floors than it has.")),
            }
        }
        "close-floor" => {
            found(archive.ask(store.retire_floor(ours, &form.floor.ok_or(INCOMPLETE)?, &by)).await?)?;
            Ok(Done::On(Page::Event))
        }
        "add-token" => {
            let kind = form.kind.as_deref().and_then(TokenKind::read).ok_or(INCOMPLETE)?;
            let name = form.token.ok_or(INCOMPLETE)?;
            let wanted =
                Wanted { name, kind, floor: form.floor, days: form.days, owner: form.owner.as_ref() };
            let line = if kind == TokenKind::Desk { "desk-secret-line" } else { "token-secret-line" };
            let (name, secret) = issue(app, wanted, person, now_ms).await?;
            Ok(Done::Show { name, secret, line, is_token: true, back: "/admin/desks" })
        }
        "revoke" => {
            found(archive.ask(store.revoke_token(form.token.ok_or(INCOMPLETE)?.as_str(), &by)).await?)?;
            Ok(Done::On(Page::Desks))
        }
        "let-in" => {
            // Whoever types codes at random is not comparing them.
            let slow = app.limits().login(visitor.client.household, person.id.as_str(), now_ms);
            slow.map_err(|wait| Problem::TooManyLogins(wait.seconds()))?;
            let code = form.code.ok_or(INCOMPLETE)?;
            match app.pairings.let_in(&code, form.floor.as_ref(), now_ms).await? {
                LetIn::Done(asks) => {
                    archive.ask(store.note(&by, "let in a laptop", asks.desk.as_str())).await?
                }
                LetIn::Nobody => return Err(Problem::NobodyWaits),
                LetIn::Several => return Err(Problem::SameCode),
            }
            Ok(Done::On(Page::Desks))
        }
        "add-person" => {
            let (name, role) = (form.person.ok_or(INCOMPLETE)?, read_role(form.role)?);
            if !archive.ask(store.add_person(&name, role, &by)).await? {
                return Err(Problem::NameTaken);
            }
            first_password(app, &name, person, now_ms).await
        }
        "password" => first_password(app, &form.person.ok_or(INCOMPLETE)?, person, now_ms).await,
        "role" => {
            let (name, role) = (form.person.ok_or(INCOMPLETE)?, read_role(form.role)?);
            kept(archive.ask(store.set_role(&name, role, &by)).await?)
        }
        "logout" => {
            archive.ask(store.end_sessions(&form.person.ok_or(INCOMPLETE)?, &by)).await?;
            Ok(Done::On(Page::People))
        }
        "remove" => kept(archive.ask(store.remove_person(&form.person.ok_or(INCOMPLETE)?, &by)).await?),
        _ => Err(Problem::NotFound),
    }
}

fn kept(outcome: Result<(), Kept>) -> Result<Done, Problem> {
    match outcome {
        Ok(()) => Ok(Done::On(Page::People)),
        Err(Kept::Nobody) => Err(Problem::NotFound),
        Err(Kept::LastOrganizer) => Err(Problem::LastOrganizer),
    }
}

fn read_role(role: Option<String>) -> Result<Role, Problem> {
    role.as_deref().and_then(Role::read).ok_or(INCOMPLETE)
}

/// A password that was made up, to be read out and changed by its owner.
async fn first_password(app: &App, name: &PersonId, by: &LoggedIn, now_ms: i64) -> Result<Done, Problem> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Problem::Busy)?;
    let secret = store::made_up_password(&random);
    // An organizer who gives himself one stays logged in here.
    let but_for = Some(&by.session).filter(|_| by.id == *name);
    app.people.set_password(name, &secret, but_for, &by.by(now_ms)).await?;
    let line = "password-secret-line";
    Ok(Done::Show { name: name.to_string(), secret, line, is_token: false, back: "/admin/people" })
}

struct Wanted<'a> {
    name: DeskId,
    kind: TokenKind,
    floor: Option<FloorId>,
    /// How long it is good for; 0: until it is revoked.
    days: i64,
    owner: Option<&'a PersonId>,
}

/// A new token, which is known this once.
async fn issue(
    app: &App,
    wanted: Wanted<'_>,
    by: &LoggedIn,
    now_ms: i64,
) -> Result<(String, String), Problem> {
    let Wanted { name, kind, floor, days, owner } = wanted;
    if name.as_str().starts_with(OWN_PREFIX) {
        return Err(Problem::NameTaken);
    }
    let (mut random, mut salt) = ([0; 32], [0; 12]);
    getrandom::fill(&mut random).map_err(|_| Problem::Busy)?;
    getrandom::fill(&mut salt).map_err(|_| Problem::Busy)?;
    let secret = hex::encode(random);
    let row = Token {
        name: name.to_string(),
        kind,
        event: app.settings.event.clone(),
        floor: floor.filter(|_| kind == TokenKind::Desk),
        sha256: Token::hash(&secret),
        expires_ms: (days > 0).then(|| now_ms.saturating_add(days.min(3_650) * DAY_MS)),
        revoked_ms: None,
    };
    let store = app.archive.store();
    let verifier = Token::verifier(&secret, &salt);
    if app.archive.ask(store.add_token(&row, &verifier, owner, &by.by(now_ms))).await? {
        Ok((row.name, secret))
    } else {
        Err(Problem::NameTaken)
    }
}

/// A person's own page.
pub(super) async fn account(
    State(app): State<App>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let shown = async {
        let person = app.people.of(&headers, visitor.client.https, now_ms()).await?;
        let store = app.archive.store();
        let events = app.archive.ask(store.events()).await?;
        let zone = zone_of(events.iter().find(|event| event.id == app.settings.event));
        let sessions = app.archive.ask(store.sessions_of(&person.id)).await?;
        let desks = own_desks(&app, &person).await?;
        let outcome = asked.outcome(&visitor);
        let page = AccountPage {
            person: &person.id,
            role: person.role,
            session: &person.session,
            sessions: &sessions,
            desks: &desks,
            outcome: outcome.as_deref(),
            zone: &zone,
        };
        Ok(private(show(page.document(visitor.skin(&app)))))
    };
    shown.await.unwrap_or_else(|problem| refused(&app, &visitor, problem))
}

/// Desks of this event that are in force and belong to the person.
async fn own_desks(app: &App, person: &LoggedIn) -> Result<Vec<ListedToken>, Problem> {
    let now_ms = now_ms();
    let mut tokens = app.archive.ask(app.archive.store().listed_tokens()).await?;
    tokens.retain(|one| {
        one.owner.as_ref() == Some(&person.id)
            && one.token.kind == TokenKind::Desk
            && one.token.event == app.settings.event
            && one.token.revoked_ms.is_none()
            && one.token.expires_ms.is_none_or(|at| now_ms < at)
    });
    Ok(tokens)
}

/// Desks that one DJ may have at a time.
const OWN_DESKS_MAX: usize = 10;

/// What a DJ makes for himself is good for so long.
const OWN_DESK_DAYS: i64 = 365;

pub(super) async fn act_on_account(
    State(app): State<App>,
    visitor: Visitor,
    Path(what): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let https = visitor.client.https;
    let acted = async {
        let now_ms = now_ms();
        let person = app.people.of(&parts.headers, https, now_ms).await?;
        let form: Form = form(&parts.headers, body).await?;
        let store = app.archive.store();
        let by = person.by(now_ms);
        let done = || private(Redirect::to("/account?said=done").into_response());
        match what.as_str() {
            "password" => {
                // Whoever sits at somebody else's browser does not know the password.
                let tries = format!("{} password", person.id);
                let slow = app.limits().person(visitor.client.household, &tries, true, now_ms);
                slow.map_err(|wait| Problem::TooManyLogins(wait.seconds()))?;
                let (before, password) = (form.before.ok_or(INCOMPLETE)?, form.password.ok_or(INCOMPLETE)?);
                if !app.people.is_password(&person.id, &before).await? {
                    return Err(Problem::WrongPassword);
                }
                app.people.set_password(&person.id, &password, Some(&person.session), &by).await?;
                Ok(done())
            }
            "end" => {
                let wanted = form.session.ok_or(INCOMPLETE)?;
                let sessions = app.archive.ask(store.sessions_of(&person.id)).await?;
                let session = sessions.iter().find(|session| handle(&session.sha256) == wanted);
                let session = session.ok_or(Problem::NotFound)?;
                app.archive.ask(store.end_session(&person.id, &session.sha256, &by)).await?;
                Ok(done())
            }
            "add-desk" => {
                if own_desks(&app, &person).await?.len() >= OWN_DESKS_MAX {
                    return Err(Problem::BadRequest("You have as many desks as anybody; revoke one first."));
                }
                let name = form.desk.ok_or(INCOMPLETE)?;
                let wanted = Wanted {
                    name,
                    kind: TokenKind::Desk,
                    floor: None,
                    days: OWN_DESK_DAYS,
                    owner: Some(&person.id),
                };
                let (name, secret) = issue(&app, wanted, &person, now_ms).await?;
                Ok(shown_once(&app, &visitor, &name, &secret, "desk-secret-line", true, "/account"))
            }
            "revoke" | "console" => {
                let wanted = form.desk.ok_or(INCOMPLETE)?;
                let desks = own_desks(&app, &person).await?;
                let desk = desks.iter().find(|one| one.token.name == wanted.as_str());
                let desk = desk.ok_or(Problem::NotYourDesk)?;
                if what == "revoke" {
                    app.archive.ask(store.revoke_token(&desk.token.name, &by)).await?;
                    return Ok(done());
                }
                let mut response = Redirect::to("/dj").into_response();
                let cookie = app.desks.lend(&desk.token, &person.session, https, now_ms);
                response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
                Ok(private(response))
            }
            _ => Err(Problem::NotFound),
        }
    };
    acted.await.unwrap_or_else(|problem| refused(&app, &visitor, problem))
}

fn shown_once(
    app: &App,
    visitor: &Visitor,
    name: &str,
    secret: &str,
    line: &str,
    is_token: bool,
    back: &str,
) -> Response {
    let server = app.settings.broker_url.clone().or_else(|| {
        let page = app.settings.public_url.as_deref()?;
        Some(format!("{}/mqtt", page.trim_end_matches('/').replacen("http", "ws", 1)))
    });
    let line = visitor.words.say(line);
    let server = server.as_deref().filter(|_| is_token);
    let page = Secret { name, secret, line: &line, server, back, words: visitor.words };
    private(show(page.document(visitor.skin(app))))
}

async fn organizer(app: &App, visitor: &Visitor, headers: &HeaderMap) -> Result<LoggedIn, Problem> {
    let person = app.people.of(headers, visitor.client.https, now_ms()).await?;
    if person.is_organizer() { Ok(person) } else { Err(Problem::NotAnOrganizer) }
}

fn refused(app: &App, visitor: &Visitor, problem: Problem) -> Response {
    match problem {
        Problem::NotLoggedIn => private(Redirect::to("/login").into_response()),
        problem => problem.page(visitor.skin(app)),
    }
}

/// Nobody finds it in a browser's memory afterwards.
fn private(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn name(text: Option<String>) -> Result<String, Problem> {
    let line = line_of(text.as_deref(), NAME_CHARS_MAX);
    if line.is_empty() || line.chars().any(char::is_control) { Err(INCOMPLETE) } else { Ok(line) }
}

fn quoted(name: &str) -> String {
    name.chars().take(48).flat_map(char::escape_debug).collect()
}
