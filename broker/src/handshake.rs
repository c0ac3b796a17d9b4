//! From an accepted byte stream to a session: the CONNECT packet, the login, the answer.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use config::{Surroundings, TraceId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;

use crate::access::{Principal, Refused};
use crate::clock::now_ms;
use crate::codec::{ConnAck, Connect, Fault, Packet, Properties, Version, Will, decode_connect, encode, id};
use crate::counters::Refusal;
use crate::dispatcher::{Command, Newcomer, Recipient};
use crate::gate::Gate;
use crate::leaving::Leaving;
use crate::limits::Bucket;
use crate::outbox::{Limits, Load, Outbox};
use crate::session::{Client, Places, RECEIVE_MAX, TOPIC_ALIAS_MAX};

/// Largest CONNECT packet: before we know who it is, and largest packet from those who may only read.
pub(crate) const SMALL_PACKET: usize = 16 << 10;

const CLIENT_ID_BYTES_MAX: usize = 256;

/// Messages under way to one client without acknowledgement, if it allows so many.
const WINDOW_MAX: u16 = 64;

/// The refusals of CONNACK: in version 3, in version 5, and in our counters.
#[derive(Debug, Clone, Copy)]
struct Code(u8, u8, Refusal);

const BAD_VERSION: Code = Code(1, 0x84, Refusal::Unsupported);
const BAD_CLIENT_ID: Code = Code(2, 0x85, Refusal::Unsupported);
const UNAVAILABLE: Code = Code(3, 0x88, Refusal::NotReady);
const FULL: Code = Code(3, 0x97, Refusal::Full);
const CROWDED: Code = Code(3, 0x97, Refusal::Crowded);
const BAD_LOGIN: Code = Code(4, 0x86, Refusal::BadLogin);
const NOT_AUTHORIZED: Code = Code(5, 0x87, Refusal::NoLogin);
const BAD_AUTH_METHOD: Code = Code(5, 0x8c, Refusal::Unsupported);

/// Reads CONNECT and lets the client in. `None`: it was refused, answered as far as it can be understood.
pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    (connection, address): (TraceId, IpAddr),
    gate: &Arc<Gate>,
) -> Option<(Client, Leaving)> {
    let mut input = BytesMut::new();
    let connect = loop {
        match decode_connect(&mut input, SMALL_PACKET) {
            Ok(Some(connect)) => break connect,
            Ok(None) => {
                if stream.read_buf(&mut input).await.ok()? == 0 {
                    return None;
                }
            }
            Err(fault) => {
                gate.counters.complain(&fault);
                tracing::debug!(connection.id = %connection, %fault, "no CONNECT");
                refuse_fault(stream, fault).await;
                return None;
            }
        }
    };
    match admit(&connect, (connection, address), gate).await {
        Ok(Admitted { leaving, recipient, properties, session_present, places }) => {
            let name = String::from_utf8_lossy(&recipient.client_id);
            let (principal, from) = (recipient.principal.name(), Surroundings::of(address));
            tracing::debug!(connection.id = %connection, %from, client = %name, principal, "a client is connected");
            let mut out = BytesMut::new();
            let ack = ConnAck { session_present, code: 0, properties };
            encode(&Packet::ConnAck(ack), connect.version, &mut out);
            Some((client(&connect, recipient, places, input, out, gate), leaving))
        }
        Err(Some(code)) => {
            gate.refuse(code.2, connection, address);
            refuse(stream, connect.version, code).await;
            None
        }
        Err(None) => None,
    }
}

struct Admitted {
    leaving: Leaving,
    recipient: Arc<Recipient>,
    properties: Properties,
    session_present: bool,
    places: Places,
}

/// Decides about a CONNECT and attaches the session. An error without a code means: close without a word.
async fn admit(
    connect: &Connect,
    (connection, address): (TraceId, IpAddr),
    gate: &Arc<Gate>,
) -> Result<Admitted, Option<Code>> {
    let version = connect.version;
    if connect.properties.bytes(id::AUTH_METHOD).is_some() {
        return Err(Some(BAD_AUTH_METHOD));
    }
    if connect.client_id.len() > CLIENT_ID_BYTES_MAX {
        return Err(Some(BAD_CLIENT_ID));
    }
    let (user, password) = (connect.user_name.as_deref(), connect.password.as_deref());
    let principal = match gate.tokens.login(user, password, gate.anonymous.as_ref(), now_ms()) {
        Ok(principal) => principal,
        Err(Refused::NotReady) => return Err(Some(UNAVAILABLE)),
        Err(Refused::NoLogin) => return Err(Some(NOT_AUTHORIZED)),
        Err(Refused::BadLogin) => {
            gate.counters.failed_logins.inc();
            let max = gate.settings.failed_logins_per_address_max;
            let Some(delay) = gate.failures.add(place(address), max, Instant::now()) else {
                gate.refuse(Refusal::BadLogin, connection, address);
                return Err(None);
            };
            tokio::time::sleep(delay).await;
            return Err(Some(BAD_LOGIN));
        }
    };
    if gate.counters.connections.get() >= gate.settings.connections_max as u64 {
        return Err(Some(FULL));
    }
    let Some(places) = places(address, &principal, gate) else {
        return Err(Some(CROWDED));
    };
    let expiry_s = match connect.properties.number(id::SESSION_EXPIRY) {
        Some(wanted) if version.is_v5() => wanted,
        None if !version.is_v5() && !connect.clean_start => u32::MAX,
        _ => 0,
    };
    let expiry_s = expiry_s.min(gate.settings.session_expiry_max_s);
    let mut properties = Properties::new();
    let mut client_id = Bytes::copy_from_slice(&connect.client_id);
    if client_id.is_empty() {
        if !version.is_v5() && !connect.clean_start {
            return Err(Some(BAD_CLIENT_ID));
        }
        client_id = Bytes::from(format!("pika-{:016x}", RandomState::new().build_hasher().finish()));
        properties = properties.with_bytes(id::ASSIGNED_CLIENT_ID, client_id.clone());
    }
    if version.is_v5() {
        let packet_bytes_max = u32::try_from(gate.packet_bytes_max(&principal)).unwrap_or(u32::MAX);
        properties = properties
            .with_number(id::RECEIVE_MAXIMUM, RECEIVE_MAX as u32)
            .with_number(id::MAXIMUM_PACKET_SIZE, packet_bytes_max)
            .with_number(id::TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS_MAX);
        if connect.keep_alive_s == 0 {
            properties = properties.with_number(id::SERVER_KEEP_ALIVE, gate.settings.keep_alive_s.into());
        }
        if connect.properties.number(id::SESSION_EXPIRY).is_some_and(|wanted| wanted != expiry_s) {
            properties = properties.with_number(id::SESSION_EXPIRY, expiry_s);
        }
    }
    let settings = &gate.settings;
    let window = connect.properties.number(id::RECEIVE_MAXIMUM).and_then(|max| u16::try_from(max).ok());
    let window = window.unwrap_or(WINDOW_MAX);
    let limits = Limits {
        live: Load { messages: settings.queue_messages_max, bytes: settings.queue_bytes_max },
        stored: Load { messages: settings.retained_messages_max, bytes: settings.retained_bytes_max },
        window: window.min(WINDOW_MAX),
        is_kept: expiry_s > 0,
    };
    let outbox = Outbox::new(limits);
    let place = principal.name().is_empty().then(|| place(address));
    let id = gate.next_session();
    let recipient = Arc::new(Recipient {
        id,
        connection,
        client_id,
        principal,
        place,
        version,
        expiry_s,
        outbox,
        buffered: AtomicUsize::new(0),
    });
    let leaving = Leaving::of(recipient.clone(), gate);
    let (attached, is_attached) = oneshot::channel();
    let newcomer = Newcomer { recipient: recipient.clone(), clean_start: connect.clean_start, attached };
    gate.commands.send(Command::Attach(newcomer)).await.map_err(|_| None)?;
    let is_present = is_attached.await.map_err(|_| None)?;
    // Version 3.1 has no word for it.
    let session_present = is_present && version != Version::V31;
    Ok(Admitted { leaving, recipient, properties, session_present, places })
}

/// The connection's places, if there are any left.
fn places(address: IpAddr, principal: &Principal, gate: &Gate) -> Option<Places> {
    let (settings, mut places) = (&gate.settings, Places::default());
    if !address.to_canonical().is_loopback() {
        places.address = Some(gate.by_address.hold(place(address), settings.connections_per_address_max)?);
    }
    if !principal.name().is_empty() {
        let name = principal.name().to_owned();
        places.token = Some(gate.by_token.hold(name, settings.connections_per_token_max)?);
    }
    Some(places)
}

/// Whom we count as one place: an address, of IPv6 the network that a household has.
pub(crate) fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}

fn client(
    connect: &Connect,
    recipient: Arc<Recipient>,
    places: Places,
    input: BytesMut,
    out: BytesMut,
    gate: &Gate,
) -> Client {
    let version = connect.version;
    let number = |property| connect.properties.number(property);
    let keep_alive_s = match connect.keep_alive_s {
        // In version 3 we cannot ask for one; the kernel's keep-alive finds hosts that vanished.
        0 if !version.is_v5() => None,
        0 => Some(gate.settings.keep_alive_s),
        seconds => Some(seconds),
    };
    let principal = &recipient.principal;
    // Our own programs carry the whole night, and are not limited.
    let is_limited = !principal.is_service();
    let (settings, now) = (&gate.settings, Instant::now());
    let rate = is_limited.then(|| Bucket::new(settings.client_packets_per_s, now));
    let shared_rate = (is_limited && principal.may_publish_anything())
        .then(|| gate.rates.of(principal.name(), settings.token_publishes_per_s, now));
    Client {
        packet_bytes_max: gate.packet_bytes_max(&recipient.principal),
        client_packet_bytes_max: number(id::MAXIMUM_PACKET_SIZE).map_or(usize::MAX, |max| max as usize),
        recipient,
        // Copied out of the read buffer, which it would keep alive as a whole.
        will: connect.will.clone().map(|will| {
            Box::new(Will {
                topic: Bytes::copy_from_slice(&will.topic),
                payload: Bytes::copy_from_slice(&will.payload),
                properties: Properties::from_checked(Bytes::copy_from_slice(will.properties.as_bytes())),
                ..will
            })
        }),
        keep_alive_s,
        rate,
        shared_rate,
        _places: places,
        input,
        out,
    }
}

async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S, version: Version, Code(v3, v5, _): Code) {
    let code = if version.is_v5() { v5 } else { v3 };
    let mut out = BytesMut::new();
    let ack = ConnAck { session_present: false, code, properties: Properties::new() };
    encode(&Packet::ConnAck(ack), version, &mut out);
    _ = stream.write_all(&out).await;
    _ = stream.shutdown().await;
}

/// What is not a CONNECT of a version we know gets an answer only if it asks for a version to come.
async fn refuse_fault<S: AsyncWrite + Unpin>(stream: &mut S, fault: Fault) {
    if let Fault::UnsupportedVersion(level) = fault {
        let version = if level > 5 { Version::V5 } else { Version::V311 };
        refuse(stream, version, BAD_VERSION).await;
    }
}
