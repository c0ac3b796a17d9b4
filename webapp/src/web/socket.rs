//! `/ws`: the floor's newest state, downstream only. A socket is opened here, and then belongs to one of the
//! [writers](crate::web::writers), who write straight onto the upgraded TCP stream.

use std::future::poll_fn;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use config::TraceId;
use config::clock::now_ms;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use maud::Render;
use protocol::FloorAddress;
use serde::Deserialize;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::live::hub::{Seat, State as FloorState, text_frame};
use crate::views::Screen;
use crate::views::floor::Clock;
use crate::web::frames::{handshake, is_ours, upgrade_headers};
use crate::web::patient::Patient;
use crate::web::presence::Open;
use crate::web::trace::{self, RequestId};
use crate::web::writers::Newcomer;
use crate::web::{App, Peer, Problem, Visitor};
use crate::words::Language;

/// A longer handshake takes the long road.
const HANDSHAKE_BYTES_MAX: usize = 2 * 1024;

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    floor: Option<String>,
    screen: Option<String>,
    lang: Option<String>,
}

/// What a handshake leads to that we say yes to.
struct Opening {
    accept: String,
    connection: TraceId,
    hello: Bytes,
    states: watch::Receiver<FloorState>,
    screen: Screen,
    language: Language,
    held: Held,
}

impl Opening {
    async fn of(app: &App, visitor: &Visitor, which: &Which, headers: &HeaderMap) -> Result<Self, Problem> {
        let accept = handshake(headers)?;
        if !is_ours(headers, &app.settings.origins) {
            return Err(Problem::ForeignOrigin);
        }
        let floor = which.floor.as_deref();
        let floor = floor.ok_or(Problem::BadRequest("Say which floor: /ws?floor=event/floor"))?;
        let floor: FloorAddress = floor.parse().map_err(|_| Problem::NotFound)?;
        let screen = which.screen.as_deref().and_then(Screen::read).unwrap_or(Screen::Floor);
        let language = which.lang.as_deref().and_then(Language::read).unwrap_or_default();
        if screen == Screen::Console {
            let desk = app.desks.of(headers, visitor.client.https, now_ms()).await?;
            if !desk.may_speak_for(&floor.floor) {
                return Err(Problem::NotYourDesk);
            }
        }
        let states = app.hub.watch(&floor).ok_or(Problem::NotFound)?;
        let place = Place::take(&app.sockets, app.settings.sockets_max).ok_or(Problem::Full)?;
        // Whoever looks at a projector is no dancer.
        let (mut seat, mut present) = (None, None);
        if screen == Screen::Floor {
            if let Some(dancer) = &visitor.dancer {
                let open = app.presence.open(&dancer.id, visitor.client.household);
                present = Some(open.ok_or(Problem::Full)?);
            }
            seat = app.hub.seat(&floor);
        }
        let hello = text_frame(Clock::now(&app.assets).render().into_string().as_bytes());
        let held = Held { _place: place, _seat: seat, _present: present };
        let (connection, client) = (TraceId::next(), visitor.client.household.surroundings());
        tracing::debug!(request.id = %visitor.request, connection.id = %connection, %floor, ?screen, %client, "a socket opens");
        Ok(Self { accept, connection, hello, states, screen, language, held })
    }

    fn newcomer(self, stream: std::net::TcpStream, early: Bytes) -> Newcomer {
        let Self { accept: _, connection, hello, states, screen, language, held } = self;
        Newcomer { stream, early, connection, hello, states, screen, language, held }
    }
}

/// The road of every request. It is the long one: most handshakes are answered [at the door](at_the_door).
pub(super) async fn open(
    State(app): State<App>,
    visitor: Visitor,
    Query(which): Query<Which>,
    mut request: Request,
) -> Result<Response, Problem> {
    let mut opening = Opening::of(&app, &visitor, &which, request.headers()).await?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or(Problem::BadRequest("This connection cannot become a WebSocket."))?;
    let accept = std::mem::take(&mut opening.accept);
    let writers = app.writers.clone();
    app.tasks.spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        // The server accepts nothing but TCP, so the stream below is what it says.
        let Ok(parts) = upgraded.downcast::<TokioIo<Patient<TcpStream>>>() else { return };
        let Ok(stream) = parts.io.into_inner().into_inner().into_std() else { return };
        writers.take(opening.newcomer(stream, parts.read_buf));
    });
    Ok((StatusCode::SWITCHING_PROTOCOLS, upgrade_headers(accept)).into_response())
}

/// Answers a connection that begins with a handshake for `/ws`, all of it and nothing to object to; gives back any
/// other as it came. When a server comes back so do all phones at once, and the HTTP server with all that it
/// prepares for a page costs more than the socket itself.
pub(crate) async fn at_the_door(app: &App, stream: TcpStream, peer: Peer) -> Option<TcpStream> {
    // The buffer is no part of the task, which waits here for as long as a browser keeps a connection in reserve.
    let asked = poll_fn(|context| {
        let mut bytes = [0; HANDSHAKE_BYTES_MAX];
        let mut bytes = ReadBuf::new(&mut bytes);
        stream.poll_peek(context, &mut bytes).map_ok(|_| Asked::read(bytes.filled()))
    });
    let Ok(Some(asked)) = asked.await else { return Some(stream) };
    let request = RequestId::of(app, Some(peer), &asked.headers);
    let visitor = Visitor::of(app, &asked.headers, app.client(Some(peer), &asked.headers), request);
    let Ok(mut opening) = Box::pin(Opening::of(app, &visitor, &asked.which, &asked.headers)).await else {
        return Some(stream);
    };
    let mut answer = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
    for (name, value) in upgrade_headers(std::mem::take(&mut opening.accept)) {
        answer.extend([name.as_str(), ": ", &value, "\r\n"].concat().into_bytes());
    }
    answer.extend([trace::HEADER.as_str(), ": ", visitor.request.as_str(), "\r\n\r\n"].concat().into_bytes());
    // It goes out with the first state, in one write.
    opening.hello = [&answer[..], &opening.hello].concat().into();
    let Ok(stream) = stream.into_std() else { return None };
    // What was looked at is there.
    let mut bytes = [0; HANDSHAKE_BYTES_MAX];
    (&stream).read_exact(&mut bytes[..asked.bytes]).ok()?;
    app.writers.take(opening.newcomer(stream, Bytes::new()));
    None
}

/// A whole handshake for `/ws`.
struct Asked {
    which: Which,
    headers: HeaderMap,
    /// How long it is.
    bytes: usize,
}

impl Asked {
    fn read(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(b"GET /ws?") {
            return None;
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let bytes = match request.parse(bytes) {
            Ok(httparse::Status::Complete(bytes)) if request.version == Some(1) => bytes,
            _ => return None,
        };
        let uri: Uri = request.path?.parse().ok()?;
        let Query(which) = Query::try_from_uri(&uri).ok()?;
        let headers: Option<HeaderMap> = request
            .headers
            .iter()
            .map(|header| Some((header.name.parse().ok()?, HeaderValue::from_bytes(header.value).ok()?)))
            .collect();
        Some(Self { which, headers: headers?, bytes })
    }
}

/// What is given back when the socket ends.
#[derive(Debug)]
pub(super) struct Held {
    _place: Place,
    _seat: Option<Seat>,
    _present: Option<Open>,
}

#[cfg(test)]
impl Held {
    pub(super) fn only(place: Place) -> Self {
        Self { _place: place, _seat: None, _present: None }
    }
}

/// One of a limited number of places, given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    pub(super) fn take(taken: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let take = |n| (n < max).then_some(n + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Self(taken.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
