//! Who looks at a page: language, light, address, and the dancer if we know one.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::views::{Look, Skin};
use crate::web::App;
use crate::web::client::Client;
use crate::web::dancer::{Dancer, Dancers, cookies, set_cookie};
use crate::web::trace::RequestId;
use crate::words::{Language, Words};

const LANGUAGE_COOKIE: &str = "pika_language";
const LOOK_COOKIE: &str = "pika_look";
const CHOICE_MAX_AGE_S: u64 = 366 * 86_400;

/// Whoever asks for a page or a form.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) client: Client,
    pub(super) words: Words,
    pub(super) look: Look,
    pub(super) dancer: Option<Dancer>,
    pub(super) request: RequestId,
}

impl Visitor {
    pub(super) fn of(app: &App, headers: &HeaderMap, client: Client, request: RequestId) -> Self {
        let chosen =
            |wanted: &str| cookies(headers).find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let language = chosen(LANGUAGE_COOKIE).and_then(Language::read);
        let language = language.unwrap_or_else(|| Language::negotiate(accepted.unwrap_or_default()));
        Self {
            client,
            words: Words::of(language),
            look: chosen(LOOK_COOKIE).and_then(Look::read).unwrap_or_default(),
            dancer: app.dancers.known(headers, client.https),
            request,
        }
    }

    pub(super) fn skin<'a>(&'a self, app: &'a App) -> Skin<'a> {
        let request = Some(self.request.as_str());
        Skin { assets: &app.assets, words: self.words, look: self.look, request }
    }

    /// From now on this browser is one dancer, so that a tap sent twice is not one of two.
    pub(super) fn remember(&self, app: &App, response: &mut Response, now_ms: i64) {
        if self.dancer.is_some() {
            return;
        }
        // Too many from there: the page is whole without a cookie, and taps have to wait.
        if app.limits().newcomer(self.client.household, now_ms).is_err() {
            return;
        }
        let cookie = app.dancers.new_one(now_ms).and_then(|new| app.dancers.cookie(&new, self.client.https));
        if let Some(cookie) = cookie {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }

    /// Lets the browser forget who it was.
    pub(super) fn forget(&self, response: &mut Response) {
        if let Some(cookie) = Dancers::forget(self.client.https) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let request = parts.extensions.get::<RequestId>().cloned();
        let request = request.expect("`trace::request` has put it there, around everything else");
        Ok(Self::of(app, &parts.headers, client(parts), request))
    }
}

fn client(parts: &Parts) -> Client {
    *parts.extensions.get().expect("`who` has put it there, around everything else")
}

/// Finds out who asks, once for every layer and handler. Where pages come over HTTPS once, they do so for ever.
pub(super) async fn who(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let client = app.client(request.extensions().get().copied(), request.headers());
    request.extensions_mut().insert(client);
    let mut response = next.run(request).await;
    if client.https {
        let value = HeaderValue::from_static("max-age=31536000");
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    response
}

/// `?lang=pl` and `?look=light` on any page are kept in a cookie, and the page is shown again without them.
pub(super) async fn choices(request: Request, next: Next) -> Response {
    let is_page = request.method() == Method::GET;
    let query = request.uri().query().unwrap_or_default();
    if !is_page || !(query.contains("lang=") || query.contains("look=")) || is_socket(request.uri().path()) {
        return next.run(request).await;
    }
    let (parts, _) = request.into_parts();
    let https = client(&parts).https;
    let mut rest = Vec::new();
    let mut chosen: Vec<HeaderValue> = Vec::new();
    for pair in parts.uri.query().unwrap_or_default().split('&') {
        let cookie = match pair.split_once('=') {
            Some(("lang", value)) => Some((LANGUAGE_COOKIE, Language::read(value).map(Language::code))),
            Some(("look", value)) => Some((LOOK_COOKIE, Look::read(value).map(Look::as_str))),
            _ => None,
        };
        match cookie {
            Some((name, Some(value))) => chosen.extend(set_cookie(name, value, CHOICE_MAX_AGE_S, https)),
            // What we do not know is left out.
            Some((_, None)) => {}
            None => rest.push(pair),
        }
    }
    // Two slashes at the beginning would lead to another host, and to a browser these are slashes too.
    let path = format!("/{}", parts.uri.path().trim_start_matches(['/', '\\']));
    let again = if rest.is_empty() { path } else { format!("{path}?{}", rest.join("&")) };
    let Ok(again) = HeaderValue::from_str(&again) else { return StatusCode::BAD_REQUEST.into_response() };
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, again);
    for cookie in chosen {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// There a language is meant for the socket alone.
fn is_socket(path: &str) -> bool {
    matches!(path, "/ws" | "/mqtt") || path.starts_with("/api/") || path.ends_with("/fragments")
}
