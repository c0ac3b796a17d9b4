//! The way in: accept loops, limits before login, and what every connection needs to know.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use config::lobby::Seat;
use config::{Lobby, Surroundings, TraceId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Principal, Tokens};
use crate::counters::{Counters, Refusal};
use crate::dispatcher::Command;
use crate::handshake::{self, SMALL_PACKET, place};
use crate::limits::{Failures, Held, Rates, Tallies};
use crate::message::SessionId;
use crate::pipe::Ingress;
use crate::proxy;
use crate::session;
use crate::settings::Settings;
use crate::tls::Certificate;
use crate::websocket;

/// What the system may hold for a client that does not read; its own default is megabytes. It counts twice as much,
/// with its own bookkeeping.
const SEND_BUFFER: usize = 64 << 10;

/// Shared by all connections.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) settings: Arc<Settings>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tokens: Tokens,
    pub(crate) ingress: Ingress,
    /// Bounded; when full, connections wait with their next SUBSCRIBE, and with reading.
    pub(crate) commands: mpsc::Sender<Command>,
    /// `None` when anonymous clients are not let in.
    pub(crate) anonymous: Option<Arc<Principal>>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) sessions: AtomicU64,
    pub(crate) lobby: Lobby,
    pub(crate) handshakes: Tallies<IpAddr>,
    pub(crate) by_address: Tallies<IpAddr>,
    pub(crate) by_token: Tallies<String>,
    pub(crate) failures: Failures<IpAddr>,
    pub(crate) rates: Rates,
    /// Bytes of everything that waits, from clients and for them.
    pub(crate) held_bytes: Arc<AtomicUsize>,
}

/// What is spoken on a listener.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    pub(crate) tls: Option<Arc<Certificate>>,
    pub(crate) is_websocket: bool,
}

impl Gate {
    pub(crate) fn next_session(&self) -> SessionId {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a connection that does not become a session, and says so to whoever looks closely: a crowd of them must
    /// not fill the log.
    pub(crate) fn refuse(&self, refusal: Refusal, connection: TraceId, from: IpAddr) {
        self.counters.refuse(refusal);
        tracing::debug!(connection.id = %connection, from = %Surroundings::of(from), ?refusal, "no session");
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        self.settings.proxy_protocol && self.settings.proxies.iter().any(|proxy| proxy.contains(peer))
    }

    /// Who may only read has nothing large to say.
    pub(crate) fn packet_bytes_max(&self, principal: &Principal) -> usize {
        if principal.may_publish_anything() { self.settings.packet_bytes_max } else { SMALL_PACKET }
    }
}

/// Accepts until stopped. It never waits for a client: everything else happens in the connection's own task.
pub(crate) async fn accept(gate: Arc<Gate>, listener: std::net::TcpListener, transport: Transport) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "cannot serve a listener; the broker stops");
            return gate.stop.cancel();
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = gate.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                gate.counters.accepted.inc();
                let peer = peer.ip();
                let entrance = if gate.is_proxy(peer) {
                    // Whom it counts for, only its header will tell.
                    Entrance::Proxy(peer)
                } else if let Some(handshake) = Handshake::begin(&gate, peer) {
                    Entrance::Direct(handshake)
                } else {
                    continue;
                };
                gate.tasks.spawn(serve(gate.clone(), stream, transport.clone(), entrance));
            }
            Err(error) => {
                // Most likely too many open files; those waiting stay in the listen queue meanwhile.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(gate: Arc<Gate>, mut stream: TcpStream, transport: Transport, entrance: Entrance) {
    let deadline = Instant::now() + Duration::from_secs(gate.settings.handshake_timeout_s);
    _ = stream.set_nodelay(true);
    let keep_alive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(300));
    let socket = socket2::SockRef::from(&stream);
    _ = socket.set_tcp_keepalive(&keep_alive);
    _ = socket.set_send_buffer_size(SEND_BUFFER);
    let handshake = match entrance {
        Entrance::Direct(handshake) => handshake,
        Entrance::Proxy(peer) => {
            let connection = TraceId::next();
            let source = proxy::source(&mut stream, peer);
            let source = in_time(&gate, &gate.stop, deadline, (connection, peer), source).await;
            let Some(source) = source else { return };
            let Some(source) = source else { return gate.refuse(Refusal::Proxy, connection, peer) };
            let Some(handshake) = Handshake::begin(&gate, source) else { return };
            handshake
        }
    };
    match transport.tls {
        None => enter(gate, stream, transport.is_websocket, deadline, handshake).await,
        Some(certificate) => {
            // Boxed, because handshakes need far more room than the connection afterwards.
            let accept = Box::pin(certificate.accept(stream));
            match in_time(&gate, &handshake.until, deadline, handshake.who(), accept).await {
                Some(Ok(stream)) => enter(gate, stream, transport.is_websocket, deadline, handshake).await,
                Some(Err(error)) => {
                    gate.refuse(Refusal::Tls, handshake.connection, handshake.address);
                    tracing::debug!(connection.id = %handshake.connection, %error, "no TLS");
                }
                None => {}
            }
        }
    }
}

async fn enter<S: AsyncRead + AsyncWrite + Unpin>(
    gate: Arc<Gate>,
    stream: S,
    is_websocket: bool,
    deadline: Instant,
    handshake: Handshake,
) {
    if !is_websocket {
        return talk(gate, stream, deadline, handshake).await;
    }
    let upgrade = Box::pin(websocket::upgrade(stream, &gate.settings, handshake.connection));
    match in_time(&gate, &handshake.until, deadline, handshake.who(), upgrade).await {
        Some(Some(stream)) => talk(gate, stream, deadline, handshake).await,
        Some(None) => gate.refuse(Refusal::WebSocket, handshake.connection, handshake.address),
        None => {}
    }
}

/// `None`: it took too long, its place is needed for others, or the broker stops.
async fn in_time<T>(
    gate: &Gate,
    until: &CancellationToken,
    deadline: Instant,
    (connection, from): (TraceId, IpAddr),
    step: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        done = timeout_at(deadline, step) => match done {
            Ok(done) => Some(done),
            Err(_) => {
                gate.refuse(Refusal::Slow, connection, from);
                None
            }
        },
        () = until.cancelled() => None,
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    gate: Arc<Gate>,
    mut stream: S,
    deadline: Instant,
    handshake: Handshake,
) {
    let who = handshake.who();
    let connect = Box::pin(handshake::connect(&mut stream, who, &gate));
    let client = in_time(&gate, &handshake.until, deadline, who, connect).await;
    drop(handshake);
    if let Some(Some((client, leaving))) = client {
        session::run(stream, client, leaving, gate).await;
    }
}

/// How a connection came.
enum Entrance {
    Direct(Handshake),
    /// By a proxy that tells where it comes from.
    Proxy(IpAddr),
}

/// A connection that has not sent CONNECT yet, counted for its address.
struct Handshake {
    connection: TraceId,
    address: IpAddr,
    until: CancellationToken,
    _held: Held<IpAddr>,
    _seat: Seat,
}

impl Handshake {
    fn begin(gate: &Gate, address: IpAddr) -> Option<Self> {
        let connection = TraceId::next();
        let max = gate.settings.handshakes_per_address_max;
        let Some(held) = gate.handshakes.hold(place(address), max) else {
            gate.refuse(Refusal::Handshakes, connection, address);
            return None;
        };
        let until = gate.stop.child_token();
        let (seat, has_evicted) = gate.lobby.enter(until.clone(), gate.settings.handshakes_max);
        if has_evicted {
            gate.counters.refuse(Refusal::Evicted);
        }
        Some(Self { connection, address, until, _held: held, _seat: seat })
    }

    /// What it is called in the log, and where it comes from.
    fn who(&self) -> (TraceId, IpAddr) {
        (self.connection, self.address)
    }
}
