//! A place on this machine where any program can tell what it plays, by a web request (`/v1/input`).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use config::clock::now_ms;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::Track;
use serde_json::Value;
use subtle::ConstantTimeEq;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::SourceEvent;
use super::decode;
use super::live::{Ears, Sound, Voice, listener};
use crate::settings::Input;

/// Programs that tell. A connection beyond these is closed at once.
const CONNECTIONS_MAX: usize = 16;
/// When so many wait, requests wait with them.
const TOLD_MAX: usize = 16;
const BODY_BYTES_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(10);
/// When no connection can be accepted, as with too many files open.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens until dropped.
pub(super) async fn run(settings: Input, mut voice: Voice, mut ears: Ears) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port));
    let cure = "end the program that does, or choose another port";
    let listener = listener(&mut voice, address, cure).await;
    let place = format!("http://{}/v1/input", listener.local_addr().unwrap_or(address));
    voice.waiting(place.clone(), "no program has told anything (yet)").await;
    let (teller, mut told) = mpsc::channel(TOLD_MAX);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(said) = told.recv() => {
                voice.found(place.clone(), "a program tells what it plays").await;
                match said {
                    Said::Track(track) => {
                        ears.hear(now_ms(), 0, Some(Sound::of(*track)));
                        if let Some(event) = ears.news(now_ms()) {
                            voice.say(event).await;
                        }
                    }
                    Said::Stopped => {
                        ears.forget();
                        voice.say(SourceEvent::Stopped).await;
                    }
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    let (settings, teller) = (settings.clone(), teller.clone());
                    connections.spawn(async move {
                        let serve = service_fn(|request| answer(request, &settings, &teller));
                        let mut server = http1::Builder::new();
                        server.timer(TokioTimer::new()).header_read_timeout(TIMEOUT).max_buf_size(16 * 1024);
                        if let Err(error) = server.serve_connection(TokioIo::new(stream), serve).await {
                            tracing::debug!("a program that tells has left: {error}");
                        }
                    });
                }
                Ok(_) => tracing::warn!("more connections than programs that tell; closed one"),
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    sleep(PAUSE).await;
                }
            },
        }
    }
}

/// What a program tells.
#[derive(Debug, PartialEq)]
pub enum Said {
    Track(Box<Track>),
    Stopped,
}

/// Why a request is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this is no JSON object")]
    NoObject,
    #[error("an artist or a title is needed, or state=stopped")]
    NoTrack,
}

/// Reads fields, from a form or the address, or from a JSON object.
///
/// # Errors
/// They name no track.
pub fn read(content_type: &str, query: &[u8], body: &[u8]) -> Result<Said, Refusal> {
    let mut fields = BTreeMap::new();
    let mut add = |name: String, value: Option<String>| {
        if fields.len() < FIELDS_MAX
            && let Some(value) = value
        {
            fields.entry(name.to_ascii_lowercase()).or_insert(value);
        }
    };
    let is_json = content_type.contains("json") || body.trim_ascii_start().starts_with(b"{");
    if is_json {
        let Ok(Value::Object(object)) = serde_json::from_slice(body) else { return Err(Refusal::NoObject) };
        for (name, value) in object {
            let text = match value {
                Value::String(text) => decode::field(&text),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            };
            add(name, text);
        }
    }
    for form in [query, if is_json { b"" } else { body }] {
        for (name, value) in decode::form(form) {
            add(decode::line(&name), decode::field(&decode::line(&value)));
        }
    }
    let number = |name: &str| fields.get(name).and_then(|text| text.replace(',', ".").parse::<f64>().ok());
    let text = |name: &str| fields.get(name).cloned();
    if text("state").is_some_and(|state| state.eq_ignore_ascii_case("stopped")) {
        return Ok(Said::Stopped);
    }
    let track = Track {
        artist: text("artist"),
        title: text("title"),
        remix: text("remix"),
        album: text("album"),
        genre: text("genre"),
        year: text("year").and_then(|year| decode::year(&year)),
        bpm: number("bpm"),
        key: text("key"),
        duration_ms: number("duration_ms").or(number("duration_s").map(|s| s * 1000.0)).map(|ms| ms as i64),
        cover: None,
    };
    let is_named = track.artist.is_some() || track.title.is_some();
    is_named.then(|| Said::Track(Box::new(track))).ok_or(Refusal::NoTrack)
}

async fn answer(
    request: Request<Incoming>,
    settings: &Input,
    teller: &mpsc::Sender<Said>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, sentence) = take(request, settings, teller).await;
    let mut response = Response::new(Full::from(format!("{sentence}\n")));
    *response.status_mut() = status;
    Ok(response)
}

async fn take(
    request: Request<Incoming>,
    settings: &Input,
    teller: &mpsc::Sender<Said>,
) -> (StatusCode, String) {
    let (head, body) = request.into_parts();
    let refuse = |status, sentence: &str| (status, sentence.to_owned());
    if head.uri.path() != "/v1/input" {
        return refuse(StatusCode::NOT_FOUND, "there is only /v1/input here");
    }
    if head.method != Method::GET && head.method != Method::POST {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "send GET or POST");
    }
    if is_from_a_page(&head.headers) {
        return refuse(StatusCode::FORBIDDEN, "web pages may not tell what is played");
    }
    let query = head.uri.query().unwrap_or_default().as_bytes();
    if !may(settings, &head.headers, query) {
        return refuse(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
    }
    let body = match timeout(TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is broken, or longer than 64 KiB");
        }
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come"),
    };
    let content_type =
        head.headers.get(CONTENT_TYPE).map(|value| decode::line(value.as_bytes())).unwrap_or_default();
    match read(&content_type, query, &body) {
        Ok(said) => {
            let sentence = match &said {
                Said::Track(track) => format!("heard {}", track.line()),
                Said::Stopped => "heard that nothing is played".to_owned(),
            };
            match teller.send(said).await {
                Ok(()) => (StatusCode::OK, sentence),
                Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the publisher is stopping"),
            }
        }
        Err(refusal) => (StatusCode::BAD_REQUEST, refusal.to_string()),
    }
}

/// Any page that the DJ has open could send requests to this machine; only browsers say so.
fn is_from_a_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    headers.contains_key(ORIGIN) || site.is_some_and(|site| site.as_bytes() != b"none")
}

/// Whether the token is right: that of the header, or of the address where a program can set no header.
fn may(settings: &Input, headers: &HeaderMap, query: &[u8]) -> bool {
    let Some(wanted) = &settings.token else { return true };
    let header = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let query = decode::form(query).into_iter().find(|(name, _)| name == b"token").map(|(_, value)| value);
    let given = header.map(<[u8]>::to_vec).or(query);
    given.is_some_and(|given| given.as_slice().ct_eq(wanted.reveal().as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(content_type: &str, query: &str, body: &str, expected: &str) {
        let said = match read(content_type, query.as_bytes(), body.as_bytes()) {
            Ok(Said::Track(track)) => format!("{} {}", track.line(), track.bpm.unwrap_or_default()),
            Ok(Said::Stopped) => "stopped".to_owned(),
            Err(refusal) => refusal.to_string(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn as_a_query_a_form_or_json() {
        check("", "artist=Nova+Harbor&title=Glass%20Tide&bpm=124,5", "", "Nova Harbor – Glass Tide 124.5");
        let form = "application/x-www-form-urlencoded";
        check(form, "", "title=B%C3%B8lge", "Bølge 0");
        check(
            "application/json",
            "token=x",
            r#"{"title":"Night","artist":"Ana","bpm":124,"x":[]}"#,
            "Ana – Night 124",
        );
        check("", "", r#" {"state":"stopped"}"#, "stopped");
        check("application/json", "", "[1]", "this is no JSON object");
        check("", "album=x", "", "an artist or a title is needed, or state=stopped");
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(query in vec(any::<u8>(), 0..100), body in vec(any::<u8>(), 0..100)) {
            let _ = read("application/json", &query, &body);
            let _ = read("", &query, &body);
        }
    }
}
