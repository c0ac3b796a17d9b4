//! `/ws`: the floor's newest state, downstream only, written straight onto the upgraded TCP stream.
//!
//! A WebSocket library keeps buffers and a state machine for each socket; a dancer needs neither. We write
//! frames that were made once for everybody, and read only enough to notice pings, goodbyes and nonsense
//! (RFC 6455).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use config::Stop;
use config::clock::now_ms;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use maud::Render;
use protocol::FloorAddress;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::live::hub::{State as FloorState, text_frame};
use crate::views::Screen;
use crate::views::floor::Clock;
use crate::web::frames::{
    ClientFrame, ClientFrames, close_frame, handshake, is_ours, pong_frame, upgrade_headers,
};
use crate::web::{App, Problem, Visitor};
use crate::words::Language;

/// A phone that hears nothing for 45 s reconnects, and proxies close after 60.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// A phone that takes nothing for this long is gone; it will come back by itself.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the kernel may hold for a phone that has stopped reading. Without it that is megabytes.
const SEND_BUFFER_BYTES: usize = 32 * 1024;

/// The longest message a client may send; ours send none.
const CLIENT_FRAME_BYTES_MAX: u64 = 4 * 1024;

/// Browsers see an empty message as a sign of life.
const HEARTBEAT_FRAME: Bytes = Bytes::from_static(&[0x81, 0]);

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    floor: Option<String>,
    screen: Option<String>,
    lang: Option<String>,
}

pub(super) async fn open(
    State(app): State<App>,
    visitor: Visitor,
    Query(which): Query<Which>,
    mut request: Request,
) -> Result<Response, Problem> {
    let accept = handshake(request.headers())?;
    if !is_ours(request.headers(), &app.settings.origins) {
        return Err(Problem::ForeignOrigin);
    }
    let floor = which.floor.ok_or(Problem::BadRequest("Say which floor: /ws?floor=event/floor"))?;
    let floor: FloorAddress = floor.parse().map_err(|_| Problem::NotFound)?;
    let screen = which.screen.as_deref().and_then(Screen::read).unwrap_or(Screen::Floor);
    let language = which.lang.as_deref().and_then(Language::read).unwrap_or_default();
    if screen == Screen::Console {
        let desk = app.desks.of(request.headers(), visitor.client.https, now_ms()).await?;
        if !desk.may_speak_for(&floor.floor) {
            return Err(Problem::NotYourDesk);
        }
    }
    let states = app.hub.watch(&floor).ok_or(Problem::NotFound)?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or(Problem::BadRequest("This connection cannot become a WebSocket."))?;
    let place = Place::take(&app.sockets, app.settings.sockets_max).ok_or(Problem::Full)?;
    // Whoever looks at a projector is no dancer.
    let (mut seat, mut present) = (None, None);
    if screen == Screen::Floor {
        if let Some(dancer) = &visitor.dancer {
            present = Some(app.presence.open(&dancer.id, visitor.client.household).ok_or(Problem::Full)?);
        }
        seat = app.hub.seat(&floor);
    }
    let hello = text_frame(Clock::now(&app.assets).render().into_string().as_bytes());
    let stop = app.stop.clone();
    app.tasks.spawn(async move {
        let _held = (place, seat, present);
        let Ok(upgraded) = upgrade.await else { return };
        // The server accepts nothing but TCP, so the stream below is what it says.
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
        let watch = Watch { states, screen, language };
        serve(parts.io.into_inner(), parts.read_buf, hello, watch, stop).await;
    });
    Ok((StatusCode::SWITCHING_PROTOCOLS, upgrade_headers(accept)).into_response())
}

/// One of a limited number of places, given back when dropped.
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

/// What somebody follows, and how he sees it.
struct Watch {
    states: watch::Receiver<FloorState>,
    screen: Screen,
    language: Language,
}

async fn serve(stream: TcpStream, early: Bytes, hello: Bytes, watch: Watch, stop: Stop) {
    // A kernel that refuses a buffer size still serves; it merely holds more for the slow.
    let _ = socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES);
    if let Err(error) = relay(stream, early, hello, watch, stop).await {
        tracing::trace!("a socket ended: {error}");
    }
}

async fn relay(
    mut stream: TcpStream,
    early: Bytes,
    hello: Bytes,
    mut watch: Watch,
    stop: Stop,
) -> io::Result<()> {
    let mut client = ClientFrames::new(CLIENT_FRAME_BYTES_MAX);
    client.take(&early);
    write(&mut stream, &hello).await?;
    let mut seen = 0;
    let mut buffer = [0u8; 256];
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let frames = {
            let state = watch.states.borrow_and_update();
            let frames = state.frames_since(seen, watch.screen, watch.language);
            seen = state.number;
            frames
        };
        if !frames.is_empty() {
            write(&mut stream, &frames).await?;
            heartbeat.reset();
        }
        loop {
            tokio::select! {
                changed = watch.states.changed() => match changed {
                    Ok(()) => break,
                    // The floor is no longer part of the event.
                    Err(_) => return write(&mut stream, &close_frame(1001)).await,
                },
                read = stream.read(&mut buffer) => {
                    let count = read?;
                    if count == 0 {
                        return Ok(());
                    }
                    client.take(&buffer[..count]);
                    while let Some(frame) = client.next() {
                        match frame {
                            // Downstream only: what a client says here is not listened to.
                            ClientFrame::Data { .. } => {}
                            ClientFrame::Ping(payload) => write(&mut stream, &pong_frame(&payload)).await?,
                            ClientFrame::Close(code) => return write(&mut stream, &close_frame(code)).await,
                        }
                    }
                }
                _ = heartbeat.tick() => write(&mut stream, &HEARTBEAT_FRAME).await?,
                // 1012: the service restarts; phones come back spread over a few seconds.
                () = stop.cancelled() => return write(&mut stream, &close_frame(1012)).await,
            }
        }
    }
}

pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    timeout(WRITE_TIMEOUT, stream.write_all(bytes))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
