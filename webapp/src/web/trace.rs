//! What is told of each request: an id that stands on its answer and on every line about it, how long it took, and what
//! was refused.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use config::TraceId;
use config::clock::now_ms;
use tracing::Instrument;

use crate::counters::Class;
use crate::web::{App, Peer, Problem};

pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Lines about failed requests in a minute; the counters have them all.
const FAILURES_TOLD_PER_MINUTE: u32 = 30;

/// What a request is called in the log, and by whoever complains about its answer.
#[derive(Debug, Clone)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    /// That of a proxy in front of us, if it is one that is believed and it says something sensible; otherwise another one
    /// each time.
    pub(super) fn of(app: &App, peer: Option<Peer>, headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).and_then(|value| value.to_str().ok());
        let given = given.filter(|id| is_sane(id) && peer.is_some_and(|peer| app.is_proxy(peer)));
        Self(given.map_or_else(|| TraceId::next().to_string().into(), Into::into))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// As a header of the answer.
    pub(super) fn value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What proxies make up: a UUID, hex digits, base64 for URLs.
fn is_sane(id: &str) -> bool {
    (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Around everything else.
pub(super) async fn request(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let peer = request.extensions().get().copied();
    let id = RequestId::of(&app, peer, request.headers());
    // The path may name a person's song or a pairing; the route names neither.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let class = Class::of(route, request.method() == Method::POST);
    let client = app.client(peer, request.headers()).household.surroundings();
    let span = tracing::info_span!("request", request.id = %id);
    let method = request.method().clone();
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).instrument(span.clone()).await;

    let (status, took) = (response.status(), began.elapsed());
    app.counters.answered(class, status.as_u16(), took);
    let problem = response.extensions().get::<Problem>().copied();
    if let Some(reason) = problem.and_then(Problem::reason) {
        app.counters.refuse(reason);
    }
    if let Some(id) = id.value() {
        response.headers_mut().insert(HEADER, id);
    }
    let _line = span.enter();
    let (status, took_us) = (status.as_u16(), took.as_micros() as u64);
    let route = route.unwrap_or("none");
    if status >= 500 && app.failures.allows(FAILURES_TOLD_PER_MINUTE, now_ms()) {
        tracing::warn!(%method, route, status, took_us, %client, ?problem, "a request failed");
    } else {
        tracing::debug!(%method, route, status, took_us, %client, ?problem, "answered");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_calls_a_request_has_to_make_sense() {
        for (id, expected) in [
            ("7f3c2a90-5b1e-4d57-9c1b-0a1b2c3d4e5f", true),
            ("0123456789abcdef", true),
            ("short", false),
            ("with space and more", false),
            ("line\nfeed1234", false),
            ("<script>alert(1)</script>", false),
            (&"a".repeat(65), false),
        ] {
            assert_eq!(is_sane(id), expected, "{id:?}");
        }
    }
}
