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
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use config::Stop;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use maud::Render;
use protocol::FloorAddress;
use serde::Deserialize;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::live::hub::{State as FloorState, text_frame};
use crate::views::floor::Clock;
use crate::web::{App, Problem};

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
}

pub(super) async fn open(
    State(app): State<App>,
    Query(which): Query<Which>,
    mut request: Request,
) -> Result<Response, Problem> {
    let accept = handshake(request.headers())?;
    if !is_ours(request.headers(), &app.settings.origins) {
        return Err(Problem::ForeignOrigin);
    }
    let floor = which.floor.ok_or(Problem::BadRequest("Say which floor: /ws?floor=event/floor"))?;
    let floor: FloorAddress = floor.parse().map_err(|_| Problem::NotFound)?;
    let watch = app.hub.watch(&floor).ok_or(Problem::NotFound)?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or(Problem::BadRequest("This connection cannot become a WebSocket."))?;
    let place = Place::take(&app.sockets, app.settings.sockets_max).ok_or(Problem::Full)?;
    let seat = app.hub.seat(&floor);
    let hello = text_frame(Clock::now(&app.assets).render().into_string().as_bytes());
    let stop = app.stop.clone();
    app.tasks.spawn(async move {
        let _held = (place, seat);
        let Ok(upgraded) = upgrade.await else { return };
        // The server accepts nothing but TCP, so the stream below is what it says.
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
        serve(parts.io.into_inner(), parts.read_buf, hello, watch, stop).await;
    });
    let headers = [
        (header::CONNECTION, "upgrade".to_owned()),
        (header::UPGRADE, "websocket".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

/// One of `sockets_max` places, given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
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

/// The answer to the client's key (RFC 6455 section 4.2.2), if this is a WebSocket handshake.
fn handshake(headers: &HeaderMap) -> Result<String, Problem> {
    let says = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let fits = says(header::CONNECTION, "upgrade")
        && says(header::UPGRADE, "websocket")
        && says(header::SEC_WEBSOCKET_VERSION, "13");
    match key {
        Some(key) if fits => {
            let mut hash = Sha1::new();
            hash.update(key.as_bytes());
            hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
            Ok(STANDARD.encode(hash.finalize()))
        }
        _ => Err(Problem::BadRequest("This address speaks WebSocket, version 13.")),
    }
}

/// Browsers say which page asks; another site's page may not. Programs say nothing, and read what is public.
fn is_ours(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let asking = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    (asking.is_some() && asking == host) || allowed.iter().any(|allowed| allowed == origin)
}

async fn serve(
    stream: TcpStream,
    early: Bytes,
    hello: Bytes,
    watch: watch::Receiver<FloorState>,
    stop: Stop,
) {
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
    mut watch: watch::Receiver<FloorState>,
    stop: Stop,
) -> io::Result<()> {
    let mut client = ClientFrames::default();
    client.take(&early);
    write(&mut stream, &hello).await?;
    let mut seen = 0;
    let mut buffer = [0u8; 256];
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let frames = {
            let state = watch.borrow_and_update();
            let frames = state.frames_since(seen);
            seen = state.number;
            frames
        };
        if !frames.is_empty() {
            write(&mut stream, &frames).await?;
            heartbeat.reset();
        }
        loop {
            tokio::select! {
                changed = watch.changed() => match changed {
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
                            ClientFrame::Ping(payload) => write(&mut stream, &control_frame(0x8a, &payload)).await?,
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

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    timeout(WRITE_TIMEOUT, stream.write_all(bytes))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn control_frame(head: u8, payload: &[u8]) -> Vec<u8> {
    debug_assert!(payload.len() <= 125);
    let mut frame = vec![head, payload.len() as u8];
    frame.extend_from_slice(payload);
    frame
}

fn close_frame(code: u16) -> Vec<u8> {
    control_frame(0x88, &code.to_be_bytes())
}

/// What a client's frame asks of us.
#[derive(Debug, PartialEq, Eq)]
enum ClientFrame {
    Ping(Vec<u8>),
    /// Goodbye, theirs (echoed) or ours with the reason.
    Close(u16),
}

/// Takes a client's bytes apart, keeping no more than one control frame.
#[derive(Debug, Default)]
struct ClientFrames {
    bytes: Vec<u8>,
    /// Bytes of a data frame still to be thrown away.
    skip: u64,
}

impl ClientFrames {
    fn take(&mut self, bytes: &[u8]) {
        let thrown = self.skip.min(bytes.len() as u64) as usize;
        self.skip -= thrown as u64;
        self.bytes.extend_from_slice(&bytes[thrown..]);
    }

    fn next(&mut self) -> Option<ClientFrame> {
        loop {
            let [first, second, ..] = *self.bytes.as_slice() else { return None };
            let (opcode, masked) = (first & 0x0f, second & 0x80 != 0);
            // Reserved bits mean an extension, and we agreed on none; a client must mask.
            if first & 0x70 != 0 || !masked {
                return Some(ClientFrame::Close(1002));
            }
            let (length, header) = match second & 0x7f {
                126 => (self.number::<2>()?, 4),
                127 => (self.number::<8>()?, 10),
                short => (u64::from(short), 2),
            };
            let is_control = opcode & 0x8 != 0;
            match opcode {
                _ if is_control && (length > 125 || first & 0x80 == 0) => {
                    return Some(ClientFrame::Close(1002));
                }
                0x0..=0x2 if length > CLIENT_FRAME_BYTES_MAX => return Some(ClientFrame::Close(1009)),
                0x0..=0x2 => {
                    // Downstream only: what a client says here is not listened to.
                    let total = header as u64 + 4 + length;
                    let here = total.min(self.bytes.len() as u64) as usize;
                    self.bytes.drain(..here);
                    self.skip = total - here as u64;
                }
                0x8..=0xa => {
                    let total = header + 4 + length as usize;
                    let frame = self.bytes.get(..total)?;
                    let (mask, payload) = frame[header..].split_at(4);
                    let payload: Vec<u8> =
                        payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
                    self.bytes.drain(..total);
                    match opcode {
                        0x8 => {
                            let code = payload.first_chunk().map_or(1000, |code| u16::from_be_bytes(*code));
                            return Some(ClientFrame::Close(code));
                        }
                        0x9 => return Some(ClientFrame::Ping(payload)),
                        _ => {} // a pong that nobody asked for
                    }
                }
                _ => return Some(ClientFrame::Close(1002)),
            }
        }
    }

    fn number<const N: usize>(&self) -> Option<u64> {
        let bytes = self.bytes.get(2..2 + N)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            long => {
                frame.push(0x80 | 126);
                frame.extend((long as u16).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    /// Every way to cut the bytes in two gives the same frames.
    fn check(bytes: &[u8], expected: &[ClientFrame]) {
        for cut in 0..=bytes.len() {
            let mut frames = ClientFrames::default();
            let mut found = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                frames.take(part);
                while let Some(frame) = frames.next() {
                    let last = matches!(frame, ClientFrame::Close(_));
                    found.push(frame);
                    if last {
                        break;
                    }
                }
            }
            found.truncate(expected.len().max(1));
            assert_eq!(found, expected, "cut at {cut}");
        }
    }

    #[test]
    fn pings_are_answered_and_talk_is_passed_over() {
        let mut bytes = masked(0x81, b"hello");
        bytes.extend(masked(0x89, b"you there"));
        bytes.extend(masked(0x82, &[7; 300]));
        bytes.extend(masked(0x8a, b""));
        bytes.extend(masked(0x89, b""));
        check(&bytes, &[ClientFrame::Ping(b"you there".to_vec()), ClientFrame::Ping(Vec::new())]);
    }

    #[test]
    fn goodbyes_and_nonsense_end_it() {
        check(&masked(0x88, &1001u16.to_be_bytes()), &[ClientFrame::Close(1001)]);
        check(&masked(0x88, b""), &[ClientFrame::Close(1000)]);
        check(&[0x81, 0x01, b'x'], &[ClientFrame::Close(1002)]); // not masked
        check(&masked(0xc1, b"x"), &[ClientFrame::Close(1002)]); // a reserved bit
        check(&masked(0x83, b"x"), &[ClientFrame::Close(1002)]); // a reserved opcode
        check(&masked(0x89, &[0; 126]), &[ClientFrame::Close(1002)]); // a long ping
        check(&masked(0x82, &[0; 5000]), &[ClientFrame::Close(1009)]);
        check(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[ClientFrame::Close(1009)]);
    }

    #[test]
    fn the_handshake_of_the_specification() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        assert_eq!(handshake(&headers).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        headers.remove("upgrade");
        assert!(handshake(&headers).is_err());
    }

    #[test]
    fn another_sites_page_is_turned_away() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "10.0.0.5:3002".parse().unwrap());
        assert!(is_ours(&headers, &[]));
        headers.insert("origin", "http://10.0.0.5:3002".parse().unwrap());
        assert!(is_ours(&headers, &[]));
        headers.insert("origin", "https://evil.example".parse().unwrap());
        assert!(!is_ours(&headers, &[]));
        assert!(is_ours(&headers, &["https://evil.example".to_owned()]));
        headers.insert("origin", "null".parse().unwrap());
        assert!(!is_ours(&headers, &[]));
    }
}
