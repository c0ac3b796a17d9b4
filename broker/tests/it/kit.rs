//! A real broker on free ports, and a small MQTT client that can also misbehave.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use broker::access::Tokens;
use broker::codec::{
    Ack, ConnAck, Connect, Filter, Packet, Properties, Publish, Subscribe, Unsubscribe, Version, Will,
    decode, encode,
};
use broker::{Broker, Counters, Listeners, Settings};
use bytes::{Bytes, BytesMut};
use config::Health;
use store::{Token, TokenKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use Version::{V5, V311};

/// Everything a test waits for comes within this time, or the test has failed.
pub(crate) const IN_TIME: Duration = Duration::from_secs(20);

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    patiently(IN_TIME, what, future).await
}

/// The same where the test knows how long to wait.
pub(crate) async fn patiently<T>(patience: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(patience, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// Between two looks at a condition.
pub(crate) async fn tick() {
    tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>()).await.ok();
}

pub(crate) struct Night {
    pub(crate) tcp: SocketAddr,
    pub(crate) websocket: SocketAddr,
    /// With TLS, if the settings name a certificate.
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) websocket_tls: Option<SocketAddr>,
    pub(crate) tokens: Tokens,
    pub(crate) counters: Arc<Counters>,
    pub(crate) fault: Arc<broker::Fault>,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

pub(crate) fn token(name: &str, kind: TokenKind, floor: Option<&str>) -> Token {
    Token {
        name: name.to_owned(),
        kind,
        event: "night".parse().expect("an event id"),
        floor: floor.map(|floor| floor.parse().expect("a floor id")),
        sha256: Token::hash("secret"),
        expires_ms: None,
        revoked_ms: None,
    }
}

pub(crate) fn everybody() -> Vec<Token> {
    vec![
        token("archiver", TokenKind::Service, None),
        token("webapp", TokenKind::Service, None),
        token("anna", TokenKind::Desk, Some("main")),
        token("bert", TokenKind::Desk, None),
        token("lights", TokenKind::Integrator, None),
    ]
}

impl Night {
    pub(crate) async fn open() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let with_tls = settings.tls.certificate.is_some().then_some(local);
        let listeners = Listeners::bind(local, Some(local)).expect("free ports");
        let listeners = listeners.with_tls(with_tls, with_tls).expect("free ports");
        let address =
            |listener: &Option<TcpListener>| listener.as_ref().map(|one| one.local_addr().expect("bound"));
        let (tls, websocket_tls) = (address(&listeners.tls), address(&listeners.websocket_tls));
        let tcp = listeners.tcp.local_addr().expect("bound");
        let websocket = listeners.websocket.as_ref().expect("asked for").local_addr().expect("bound");
        let tokens = Tokens::new();
        tokens.replace(everybody());
        let broker = Broker::new(settings, tokens.clone(), &Health::new());
        let (counters, fault) = (broker.counters(), broker.fault());
        let stop = CancellationToken::new();
        let task = tokio::spawn(broker.run(listeners, stop.clone()));
        Self { tcp, websocket, tls, websocket_tls, tokens, counters, fault, stop, task }
    }

    pub(crate) fn begin_to_stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the counters say so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Counters) -> bool) {
        within(what, async {
            while !is_so(&self.counters) {
                tick().await;
            }
        })
        .await;
    }

    pub(crate) async fn close(self) {
        self.stop.cancel();
        within("the broker to stop", self.task).await.expect("no panic").expect("no error");
    }

    /// The archiver: may publish what the whole floor sees and read everything of its event.
    pub(crate) async fn service(&self, version: Version, client_id: &str) -> Client {
        self.client(Login { user: Some("archiver"), ..Login::new(version, client_id) }).await
    }

    pub(crate) async fn desk(&self, version: Version, name: &'static str) -> Client {
        self.client(Login { user: Some(name), ..Login::new(version, name) }).await
    }

    pub(crate) async fn anonymous(&self, version: Version, client_id: &str) -> Client {
        self.client(Login::new(version, client_id)).await
    }

    pub(crate) async fn client(&self, login: Login<'_>) -> Client {
        let mut client = self.raw(login.version).await;
        let ack = client.login(login).await;
        assert_eq!(ack.code, 0, "let in");
        client
    }

    pub(crate) async fn raw(&self, version: Version) -> Client {
        let stream = within("a connection", TcpStream::connect(self.tcp)).await.expect("connected");
        stream.set_nodelay(true).expect("an open socket");
        Client::new(stream, version)
    }
}

pub(crate) struct Login<'a> {
    pub(crate) version: Version,
    pub(crate) client_id: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) password: &'a str,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) will: Option<Will>,
    pub(crate) properties: Properties,
}

impl<'a> Login<'a> {
    pub(crate) fn new(version: Version, client_id: &'a str) -> Self {
        Self {
            version,
            client_id,
            user: None,
            password: "secret",
            clean: true,
            keep_alive_s: 60,
            will: None,
            properties: Properties::new(),
        }
    }
}

pub(crate) fn will(topic: &str, payload: &str) -> Option<Will> {
    Some(Will {
        topic: text(topic),
        payload: text(payload),
        qos: 1,
        retain: true,
        properties: Properties::new(),
    })
}

pub(crate) fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

pub(crate) struct Client {
    stream: Pin<Box<dyn Stream>>,
    version: Version,
    input: BytesMut,
    /// Read already, while something else was waited for.
    ahead: VecDeque<Packet>,
    last_id: u16,
    /// How long it waits for whatever it waits for.
    patience: Duration,
}

impl Client {
    pub(crate) fn new(stream: impl Stream + 'static, version: Version) -> Self {
        let (stream, input, ahead) = (Box::pin(stream), BytesMut::new(), VecDeque::new());
        Self { stream, version, input, ahead, last_id: 0, patience: IN_TIME }
    }

    pub(crate) fn wait_at_most(&mut self, patience: Duration) {
        self.patience = patience;
    }

    pub(crate) async fn login(&mut self, login: Login<'_>) -> ConnAck {
        self.connect(login).await;
        match self.next("CONNACK").await {
            Packet::ConnAck(ack) => ack,
            packet => panic!("CONNACK expected, not {packet:?}"),
        }
    }

    pub(crate) async fn connect(&mut self, login: Login<'_>) {
        self.send(&Packet::Connect(Box::new(Connect {
            version: login.version,
            clean_start: login.clean,
            keep_alive_s: login.keep_alive_s,
            properties: login.properties,
            client_id: text(login.client_id),
            will: login.will,
            user_name: login.user.map(text),
            password: login.user.map(|_| text(login.password)),
        })))
        .await;
    }

    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        patiently(self.patience, "a write", self.stream.write_all(bytes)).await.expect("an open connection");
        patiently(self.patience, "a flush", self.stream.flush()).await.expect("an open connection");
    }

    /// As [`Client::bytes`], for what the broker may answer with a close before it has read all.
    pub(crate) async fn try_bytes(&mut self, bytes: &[u8]) {
        _ = patiently(self.patience, "a write", self.stream.write_all(bytes)).await;
    }

    pub(crate) async fn send(&mut self, packet: &Packet) {
        let mut out = BytesMut::new();
        encode(packet, self.version, &mut out);
        self.bytes(&out).await;
    }

    /// So many bytes as they come.
    pub(crate) async fn read(&mut self, len: usize) -> Vec<u8> {
        while self.input.len() < len {
            let read = patiently(self.patience, "more bytes", self.stream.read_buf(&mut self.input)).await;
            assert!(read.is_ok_and(|read| read > 0), "closed after {:?}", self.input);
        }
        self.input.split_to(len).to_vec()
    }

    /// All bytes until the broker closes the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while patiently(self.patience, "a close", self.stream.read_buf(&mut self.input))
            .await
            .is_ok_and(|read| read > 0)
        {}
        self.input.split().to_vec()
    }

    /// `None`: the broker closed the connection.
    pub(crate) async fn next_or_end(&mut self, what: &str) -> Option<Packet> {
        if let Some(packet) = self.ahead.pop_front() {
            return Some(packet);
        }
        loop {
            if let Some(packet) = decode(&mut self.input, self.version, 1 << 24).expect("valid packets") {
                return Some(packet);
            }
            match patiently(self.patience, what, self.stream.read_buf(&mut self.input)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn next(&mut self, what: &str) -> Packet {
        self.next_or_end(what).await.unwrap_or_else(|| panic!("closed instead of {what}"))
    }

    /// The reason of the broker's DISCONNECT, 0 for a close without one.
    pub(crate) async fn ended(&mut self) -> u8 {
        let mut reason = 0;
        while let Some(packet) = self.next_or_end("the end").await {
            if let Packet::Disconnect(disconnect) = packet {
                reason = disconnect.reason;
            }
        }
        reason
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: u8) -> u8 {
        self.subscribe_with(Properties::new(), plain(filter, qos)).await
    }

    pub(crate) async fn subscribe_with(&mut self, properties: Properties, filter: Filter) -> u8 {
        let packet_id = self.id();
        self.send(&Packet::Subscribe(Subscribe { packet_id, properties, filters: vec![filter] })).await;
        match self.next("SUBACK").await {
            Packet::SubAck(ack) if ack.packet_id == packet_id => ack.codes[0],
            packet => panic!("SUBACK expected, not {packet:?}"),
        }
    }

    pub(crate) async fn unsubscribe(&mut self, filters: &[&str]) -> Vec<u8> {
        let packet_id = self.id();
        let filters = filters.iter().map(|filter| text(filter)).collect();
        let properties = Properties::new();
        self.send(&Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters })).await;
        match self.next("UNSUBACK").await {
            Packet::UnsubAck(ack) if ack.packet_id == packet_id => ack.codes,
            packet => panic!("UNSUBACK expected, not {packet:?}"),
        }
    }

    pub(crate) async fn publish(&mut self, topic: &str, payload: &str) {
        let packet = self.packet(topic, payload, 0, false);
        self.send(&Packet::Publish(packet)).await;
    }

    pub(crate) async fn retain(&mut self, topic: &str, payload: &str) {
        let packet = self.packet(topic, payload, 1, true);
        assert_eq!(self.confirmed(packet).await, 0);
    }

    /// Publishes with QoS 1; gives the reason code of the PUBACK.
    pub(crate) async fn confirm(&mut self, topic: &str, payload: &str) -> u8 {
        let packet = self.packet(topic, payload, 1, false);
        self.confirmed(packet).await
    }

    pub(crate) async fn confirmed(&mut self, publish: Publish) -> u8 {
        let packet_id = publish.packet_id;
        self.send(&Packet::Publish(publish)).await;
        match self.next("PUBACK").await {
            Packet::PubAck(ack) if ack.packet_id == packet_id => ack.reason,
            packet => panic!("PUBACK expected, not {packet:?}"),
        }
    }

    /// Publishes with QoS 2, to the end of the handshake.
    pub(crate) async fn once(&mut self, publish: Publish) {
        let packet_id = publish.packet_id;
        self.send(&Packet::Publish(publish)).await;
        assert_eq!(self.next("PUBREC").await, Packet::PubRec(ack(packet_id)));
        self.send(&Packet::PubRel(ack(packet_id))).await;
        assert_eq!(self.next("PUBCOMP").await, Packet::PubComp(ack(packet_id)));
    }

    pub(crate) fn packet(&mut self, topic: &str, payload: &str, qos: u8, retain: bool) -> Publish {
        let packet_id = if qos > 0 { self.id() } else { 0 };
        let (topic, payload) = (text(topic), text(payload));
        Publish { dup: false, qos, retain, topic, packet_id, properties: Properties::new(), payload }
    }

    pub(crate) async fn ack(&mut self, packet_id: u16) {
        self.send(&Packet::PubAck(ack(packet_id))).await;
    }

    /// The next message, acknowledged.
    pub(crate) async fn message(&mut self) -> Publish {
        let publish = self.unacknowledged().await;
        match publish.qos {
            0 => {}
            1 => self.ack(publish.packet_id).await,
            _ => {
                self.send(&Packet::PubRec(ack(publish.packet_id))).await;
                // More messages may come before it.
                let mut ahead = VecDeque::new();
                loop {
                    match self.next("PUBREL").await {
                        Packet::PubRel(released) => break assert_eq!(released, ack(publish.packet_id)),
                        packet => ahead.push_back(packet),
                    }
                }
                self.ahead.append(&mut ahead);
                self.send(&Packet::PubComp(ack(publish.packet_id))).await;
            }
        }
        publish
    }

    pub(crate) async fn unacknowledged(&mut self) -> Publish {
        match self.next("a message").await {
            Packet::Publish(publish) => publish,
            packet => panic!("a message expected, not {packet:?}"),
        }
    }

    /// The next message, as `topic payload`.
    pub(crate) async fn hears(&mut self) -> String {
        let message = self.message().await;
        format!("{} {}", String::from_utf8_lossy(&message.topic), String::from_utf8_lossy(&message.payload))
    }

    pub(crate) async fn ping(&mut self) {
        self.send(&Packet::PingReq).await;
        assert_eq!(self.next("PINGRESP").await, Packet::PingResp);
    }

    fn id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

pub(crate) fn ack(packet_id: u16) -> Ack {
    Ack { packet_id, reason: 0, properties: Properties::new() }
}

pub(crate) fn plain(filter: &str, qos: u8) -> Filter {
    Filter { path: text(filter), qos, no_local: false, retain_as_published: false, retain_handling: 0 }
}
