//! `/mqtt`: MQTT over WebSocket on the port of the pages, for networks that let nothing else through. Bytes are
//! passed on to the broker as they are. Who may do what is the broker's business, and so is who has been idle
//! for too long.

use std::io;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use config::Stop;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::web::frames::{
    ClientFrame, ClientFrames, close_frame, handshake, is_ours, pong_frame, upgrade_headers,
};
use crate::web::patient::Patient;
use crate::web::socket::Place;
use crate::web::trace::RequestId;
use crate::web::{App, Problem};

/// A broker beside us answers at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the broker may take to notice that a client has gone.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A client that takes nothing for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Held for each direction of each client. When one side does not take what is in it, the other is not read.
const BUFFER_BYTES: usize = 4 * 1024;

/// Pongs and goodbyes that wait behind what the broker says. Beyond it the client is not read.
const ANSWERS: usize = 4;

pub(super) async fn open(State(app): State<App>, mut request: Request) -> Result<Response, Problem> {
    let accept = handshake(request.headers())?;
    if !is_ours(request.headers(), &app.settings.origins) {
        return Err(Problem::ForeignOrigin);
    }
    let protocol = subprotocol(request.headers())
        .ok_or(Problem::BadRequest("The WebSocket subprotocol must be mqtt."))?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or(Problem::BadRequest("This connection cannot become a WebSocket."))?;
    let place = Place::take(&app.tunnels, app.settings.tunnels_max).ok_or(Problem::TunnelsFull)?;
    let (host, port) = app.broker.as_deref().ok_or(Problem::NoTunnel)?;
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), *port))).await;
    let Ok(Ok(broker)) = connected else {
        tracing::warn!(broker = %format!("{host}:{port}"), "an MQTT client was turned away: the broker does not answer");
        return Err(Problem::BrokerAway);
    };
    let stop = app.stop.clone();
    let id = request.extensions_mut().remove::<RequestId>();
    app.tasks.spawn(async move {
        let _held = place;
        let Ok(upgraded) = upgrade.await else { return };
        // The server accepts nothing but TCP, so the stream below is what it says.
        let Ok(parts) = upgraded.downcast::<TokioIo<Patient<TcpStream>>>() else { return };
        if let Err(error) = pipe(parts.io.into_inner().into_inner(), parts.read_buf, broker, stop).await {
            // No span around it: that would cost something with every message.
            let id = id.as_ref().map(RequestId::as_str);
            tracing::debug!(request.id = id, "a tunnel ended: {error}");
        }
    });
    let chosen = [(header::SEC_WEBSOCKET_PROTOCOL, protocol)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, upgrade_headers(accept), chosen).into_response())
}

/// The first that is offered of those which mean MQTT.
fn subprotocol(headers: &HeaderMap) -> Option<&'static str> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut offered = offered.iter().filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(','));
    offered.find_map(|name| match name.trim() {
        "mqtt" => Some("mqtt"),
        "mqttv3.1" => Some("mqttv3.1"),
        _ => None,
    })
}

async fn pipe(client: TcpStream, early: Bytes, broker: TcpStream, stop: Stop) -> io::Result<()> {
    broker.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let (answer, answers) = mpsc::channel(ANSWERS);
    let mut down = std::pin::pin!(downstream(from_broker, to_client, answers, stop));
    tokio::select! {
        ended = upstream(from_client, &early, to_broker, answer) => {
            // The broker has been told. What it still says goes out, and then it hangs up.
            ended?;
            timeout(LAST_WORDS, down).await.unwrap_or(Ok(()))
        }
        ended = &mut down => ended,
    }
}

/// From the client's frames to the broker, until either has gone. Ends our side of the broker's connection.
async fn upstream(
    mut client: OwnedReadHalf,
    early: &[u8],
    mut broker: OwnedWriteHalf,
    answer: mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    // Messages of any length: they pass through in pieces, and the broker knows how much is too much.
    let mut frames = ClientFrames::new(u64::MAX);
    frames.take(early);
    let mut buffer = [0u8; BUFFER_BYTES];
    loop {
        while let Some(frame) = frames.next() {
            let reply = match frame {
                ClientFrame::Data { text: false, bytes } => {
                    broker.write_all(&bytes).await?;
                    continue;
                }
                ClientFrame::Ping(payload) => pong_frame(&payload),
                // 1003: MQTT is no text.
                ClientFrame::Data { text: true, .. } => close_frame(1003),
                ClientFrame::Close(code) => close_frame(code),
            };
            let is_goodbye = reply[0] == 0x88;
            // It fails when the other direction has ended, and that ends this one too.
            let _ = answer.send(reply).await;
            if is_goodbye {
                return broker.shutdown().await;
            }
        }
        let count = client.read(&mut buffer).await?;
        if count == 0 {
            return broker.shutdown().await;
        }
        frames.take(&buffer[..count]);
    }
}

/// From the broker to the client, a frame for whatever was there at once.
async fn downstream(
    mut broker: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    mut answers: mpsc::Receiver<Vec<u8>>,
    stop: Stop,
) -> io::Result<()> {
    // The frame's header stands before what was read, so that both go out in one write.
    const HEADER: usize = 4;
    let mut buffer = [0u8; HEADER + BUFFER_BYTES];
    loop {
        tokio::select! {
            // Our goodbye before the broker's end: the broker may have ended because of what ours is about.
            biased;
            // 1012: the service restarts.
            () = stop.cancelled() => return write(&mut client, &close_frame(1012)).await,
            Some(reply) = answers.recv() => {
                write(&mut client, &reply).await?;
                if reply[0] == 0x88 {
                    return Ok(());
                }
            }
            read = broker.read(&mut buffer[HEADER..]) => {
                let count = read?;
                if count == 0 {
                    return write(&mut client, &close_frame(1000)).await;
                }
                let start = match count {
                    0..=125 => {
                        buffer[2..HEADER].copy_from_slice(&[0x82, count as u8]);
                        2
                    }
                    _ => {
                        let [high, low] = (count as u16).to_be_bytes();
                        buffer[..HEADER].copy_from_slice(&[0x82, 126, high, low]);
                        0
                    }
                };
                write(&mut client, &buffer[start..HEADER + count]).await?;
            }
        }
    }
}

async fn write(client: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
    timeout(WRITE_TIMEOUT, client.write_all(bytes))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
