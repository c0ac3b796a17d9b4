//! MQTT over WebSocket: the upgrade, and binary frames as a plain byte stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use config::TraceId;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::settings::Settings;

/// Held per connection for reading, so small.
const READ_BUFFER: usize = 4 << 10;

/// Larger writes are split into several frames.
const FRAME_MAX: usize = 64 << 10;

/// The packets of one connection; frames and packets need not coincide.
pub(crate) struct WebSocket<S> {
    frames: WebSocketStream<S>,
    /// The rest of a frame that was only partly read.
    rest: Bytes,
}

/// Answers the HTTP request. `None`: it was no proper WebSocket request for MQTT, and was told so.
pub(crate) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    settings: &Settings,
    connection: TraceId,
) -> Option<WebSocket<S>> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * FRAME_MAX)
        .max_message_size(Some(settings.packet_bytes_max))
        .max_frame_size(Some(settings.packet_bytes_max));
    #[expect(clippy::result_large_err, reason = "tungstenite's callback has this type")]
    let answer =
        |request: &Request, response: Response| answer(request, response, &settings.websocket_origins);
    match tokio_tungstenite::accept_hdr_async_with_config(stream, answer, Some(config)).await {
        Ok(frames) => Some(WebSocket { frames, rest: Bytes::new() }),
        Err(error) => {
            tracing::debug!(connection.id = %connection, %error, "no WebSocket");
            None
        }
    }
}

#[expect(clippy::result_large_err, reason = "tungstenite's callback has this type")]
fn answer(request: &Request, mut response: Response, origins: &[String]) -> Result<Response, ErrorResponse> {
    if !matches!(request.uri().path(), "/ws" | "/mqtt") {
        return Err(refusal(StatusCode::NOT_FOUND, "MQTT over WebSocket is at /ws and /mqtt"));
    }
    // Only browsers send an Origin, and only from browsers it means anything.
    let origin = request.headers().get(header::ORIGIN);
    if let Some(origin) = origin
        && !origins.is_empty()
        && !origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
    {
        return Err(refusal(StatusCode::FORBIDDEN, "this Origin is not allowed"));
    }
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut offered =
        offered.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let chosen = offered.find_map(|protocol| match protocol.trim() {
        "mqtt" => Some("mqtt"),
        "mqttv3.1" => Some("mqttv3.1"),
        _ => None,
    });
    let Some(chosen) = chosen else {
        return Err(refusal(StatusCode::BAD_REQUEST, "the WebSocket subprotocol must be mqtt"));
    };
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
    Ok(response)
}

fn refusal(status: StatusCode, why: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(format!("{why}\n")));
    *response.status_mut() = status;
    response
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.frames).poll_next(cx)) {
                Some(Ok(Message::Binary(frame))) => self.rest = frame,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a text frame")));
                }
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let len = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest.split_to(len));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.frames).poll_ready(cx)).map_err(io_error)?;
        let len = bytes.len().min(FRAME_MAX);
        let frame = Message::Binary(Bytes::copy_from_slice(&bytes[..len]));
        Pin::new(&mut self.frames).start_send(frame).map_err(io_error)?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.frames).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.frames).poll_close(cx).map_err(io_error)
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}
