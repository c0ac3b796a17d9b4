//! MQTT over WebSocket.

use std::net::SocketAddr;

use broker::Settings;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::kit::{Night, V5, within};

const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01w";

pub(crate) async fn open(
    address: SocketAddr,
    path: &str,
    protocol: Option<&'static str>,
    origin: Option<&'static str>,
) -> Result<(WebSocketStream<TcpStream>, Option<HeaderValue>), String> {
    let mut request = format!("ws://{address}{path}").into_client_request().expect("a request");
    for (name, value) in [("sec-websocket-protocol", protocol), ("origin", origin)] {
        if let Some(value) = value {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    let stream = TcpStream::connect(address).await.expect("connected");
    let (socket, response) =
        within("the upgrade", client_async(request, stream)).await.map_err(|error| error.to_string())?;
    Ok((socket, response.headers().get("sec-websocket-protocol").cloned()))
}

pub(crate) async fn bytes(socket: &mut WebSocketStream<TcpStream>, len: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < len {
        match within("a frame", socket.next()).await.expect("open").expect("a frame") {
            Message::Binary(frame) => all.extend_from_slice(&frame),
            message => panic!("a binary frame expected, not {message:?}"),
        }
    }
    all
}

#[tokio::test]
async fn packets_may_span_frames_or_share_one() {
    let night = Night::open().await;
    for path in ["/ws", "/mqtt"] {
        let (mut socket, protocol) = open(night.websocket, path, Some("mqtt"), None).await.expect("open");
        assert_eq!(protocol, Some(HeaderValue::from_static("mqtt")));
        for byte in CONNECT.chunks(1) {
            socket.send(Message::binary(byte.to_vec())).await.expect("sent");
        }
        assert_eq!(bytes(&mut socket, 4).await, b"\x20\x02\x00\x00");
        let two = b"\x82\x1b\x00\x01\x00\x16pika/v1/night/main/now\x00\xc0\x00";
        socket.send(Message::binary(two.to_vec())).await.expect("sent");
        // The ping is answered by the connection itself, so it may come first.
        let answers = bytes(&mut socket, 7).await;
        assert!(answers == b"\x90\x03\x00\x01\x00\xd0\x00" || answers == b"\xd0\x00\x90\x03\x00\x01\x00");
        let mut archiver = night.service(V5, "a").await;
        archiver.confirm("pika/v1/night/main/now", &"x".repeat(150_000)).await;
        assert_eq!(bytes(&mut socket, 150_028).await.len(), 150_028);
    }
    night.close().await;
}

#[tokio::test]
async fn what_is_refused() {
    let settings =
        Settings { websocket_origins: vec!["https://pika.example".to_owned()], ..Settings::default() };
    let night = Night::with(settings).await;
    for (path, protocol, origin, expected) in [
        ("/ws", Some("mqtt"), None, None),
        ("/ws", Some("mqttv3.1"), None, None),
        ("/ws", Some("chat, mqtt"), Some("https://pika.example"), None),
        ("/other", Some("mqtt"), None, Some("404")),
        ("/ws", Some("mqtt"), Some("https://evil.example"), Some("403")),
        ("/ws", None, None, Some("400")),
        ("/ws", Some("chat"), None, Some("400")),
    ] {
        let found = open(night.websocket, path, protocol, origin).await;
        match (found, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(code)) => assert!(error.contains(code), "{path}: {error}"),
            (found, _) => panic!("{path} {protocol:?} {origin:?}: {:?}", found.map(|_| ())),
        }
    }
    let (mut socket, _) = open(night.websocket, "/mqtt", Some("mqtt"), None).await.expect("open");
    socket.send(Message::text("hello")).await.expect("sent");
    while let Some(Ok(_)) = within("the end", socket.next()).await {}
    let mut plain = TcpStream::connect(night.websocket).await.expect("connected");
    plain.write_all(CONNECT).await.expect("written");
    let mut left = Vec::new();
    _ = within("a close", plain.read_to_end(&mut left)).await;
    night.close().await;
}
