//! One client after its CONNECT: a single task that reads, answers and writes, and waits for nobody but its own client.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, timeout};

use crate::access;
use crate::clock::now_ms;
use crate::codec::{
    Ack, Disconnect, Fault, Filter, Outgoing, Packet, Properties, Publish, Will, decode, encode, id,
};
use crate::dispatcher::{Command, Leave, Recipient};
use crate::gate::Gate;
use crate::leaving::Leaving;
use crate::limits::{Bucket, Held, lock};
use crate::message::{Message, expires_ms};
use crate::outbox::{Answer, Delivery, Ending, Next, Published};

pub(crate) const TOPIC_ALIAS_MAX: u32 = 16;

/// Messages a client may have under way to us, QoS 1 and 2 together. A version 3 client cannot be told, so there only
/// QoS 2 counts, which has to be remembered. Beyond it, the session ends.
pub(crate) const RECEIVE_MAX: usize = 1024;

/// A subscription may make us look through everything that is retained, so it costs its client as much as so many other
/// packets.
const SUBSCRIBE_COST: usize = 10;

/// "Packet identifier not found": harmless, and said only because version 5 can.
const UNKNOWN: u8 = 0x92;

/// Bytes read at once, on the stack: an idle connection holds no buffer.
const READ_MAX: usize = 16 << 10;

/// With so much waiting to be written, no more is encoded, and nothing is read: a client has to take its answers first.
const OUT_FULL: usize = 64 << 10;

/// What the handshake found out about a client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) recipient: Arc<Recipient>,
    pub(crate) will: Option<Box<Will>>,
    pub(crate) keep_alive_s: Option<u16>,
    /// Largest packet we take and it takes.
    pub(crate) packet_bytes_max: usize,
    pub(crate) client_packet_bytes_max: usize,
    /// How fast it may send; `None`: as fast as it can.
    pub(crate) rate: Option<Bucket>,
    /// How fast it may publish together with the others of its token.
    pub(crate) shared_rate: Option<Arc<Mutex<Bucket>>>,
    pub(crate) _places: Places,
    /// What came after CONNECT already, and what is to be sent first.
    pub(crate) input: BytesMut,
    pub(crate) out: BytesMut,
}

/// The connection's places among those of its address and of its token, for as long as it lasts.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) address: Option<Held<IpAddr>>,
    pub(crate) token: Option<Held<String>>,
}

/// How a session ends, and what a version 5 client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client said goodbye: no will.
    Clean,
    /// It said goodbye and wants its will published, or is just gone.
    Gone,
    /// We end it, with this reason.
    Told(u8),
    Stopping,
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Told(fault.reason())
    }
}

enum Turn {
    Received,
    Progress,
    Timer,
}

struct Session<S> {
    stream: S,
    client: Client,
    gate: Arc<Gate>,
    /// QoS 1 messages it has published that are not acknowledged yet.
    unacknowledged: usize,
    /// Topics by alias, as the client defined them.
    aliases: Vec<Bytes>,
    /// Number of the last message this client put into the pipe.
    sent: u64,
    /// It sent too fast, and is not read until then.
    paused_until: Option<Instant>,
    /// How long the session stays after the connection.
    expiry_s: u32,
    received_at: Instant,
    /// When what is to be written began to wait.
    stuck_at: Option<Instant>,
    buffered: Buffered,
}

/// What the buffers of a connection hold, counted for all together and for itself.
struct Buffered {
    total: Arc<AtomicUsize>,
    recipient: Arc<Recipient>,
    bytes: usize,
}

impl Buffered {
    fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            // Wraps around on its way, and is right in the end.
            self.total.fetch_add(bytes.wrapping_sub(self.bytes), Ordering::Relaxed);
            self.recipient.buffered.store(bytes, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        self.set(0);
    }
}

pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    client: Client,
    leaving: Leaving,
    gate: Arc<Gate>,
) {
    let buffered = Buffered { total: gate.held_bytes.clone(), recipient: client.recipient.clone(), bytes: 0 };
    let mut session = Session {
        buffered,
        expiry_s: client.recipient.expiry_s,
        stream,
        client,
        gate,
        unacknowledged: 0,
        aliases: Vec::new(),
        sent: 0,
        paused_until: None,
        received_at: Instant::now(),
        stuck_at: None,
    };
    let Err(end) = session.talk().await;
    tracing::debug!(connection.id = %session.client.recipient.connection, ?end, "a client has gone");
    let expiry_s = session.expiry_s;
    session.client.recipient.leave(expiry_s);
    let mut will = None;
    if !matches!(end, End::Clean | End::Stopping) {
        will = session.publish_will().await;
    }
    leaving.now(session.sent, Leave { expiry_s, will }).await;
    _ = timeout(Duration::from_secs(1), session.farewell(end)).await;
}

enum Never {}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn talk(&mut self) -> Result<Never, End> {
        let mut timer = pin!(tokio::time::sleep_until(self.deadline()));
        self.take_input(timer.as_mut()).await?;
        loop {
            self.fill()?;
            self.buffered.set(self.client.input.capacity() + self.client.out.capacity());
            let may_read = self.paused_until.is_none();
            match self.turn(may_read, timer.as_mut()).await.map_err(|_| End::Gone)? {
                Turn::Received => self.take_input(timer.as_mut()).await?,
                Turn::Progress => {}
                Turn::Timer => {
                    self.check_time(timer.as_mut())?;
                    if !may_read && self.paused_until.is_none() {
                        self.take_input(timer.as_mut()).await?;
                    }
                }
            }
        }
    }

    /// Waits for the client or for something to tell it. Writes meanwhile.
    async fn turn(&mut self, may_read: bool, mut timer: Pin<&mut Sleep>) -> io::Result<Turn> {
        poll_fn(|cx| {
            let out = &mut self.client.out;
            let mut is_stuck = false;
            let mut wrote = false;
            while !out.is_empty() && !is_stuck {
                match Pin::new(&mut self.stream).poll_write(cx, out) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(len)) => {
                        self.gate.counters.bytes_sent.inc_by(len as u64);
                        out.advance(len);
                        wrote = true;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => is_stuck = true,
                }
            }
            if !is_stuck && (wrote || self.stuck_at.is_some()) {
                is_stuck = Pin::new(&mut self.stream).poll_flush(cx)?.is_pending();
            }
            if !is_stuck {
                self.stuck_at = None;
            } else if wrote || self.stuck_at.is_none() {
                let now = Instant::now();
                self.stuck_at = Some(now);
                let at = now + Duration::from_secs(self.gate.settings.write_timeout_s);
                if timer.deadline() > at {
                    timer.as_mut().reset(at);
                }
            }
            let room = out.len() < OUT_FULL;
            if may_read && room {
                let mut bytes = [MaybeUninit::uninit(); READ_MAX];
                let mut bytes = ReadBuf::uninit(&mut bytes);
                if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, &mut bytes) {
                    read?;
                    if bytes.filled().is_empty() {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                    self.gate.counters.bytes_received.inc_by(bytes.filled().len() as u64);
                    self.client.input.extend_from_slice(bytes.filled());
                    return Poll::Ready(Ok(Turn::Received));
                }
            }
            if self.client.recipient.outbox.poll(cx, room).is_ready() {
                return Poll::Ready(Ok(Turn::Progress));
            }
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(Turn::Timer));
            }
            // Nothing to do: give the memory back.
            if out.is_empty() && out.capacity() > 0 {
                *out = BytesMut::new();
            }
            if self.client.input.is_empty() && self.client.input.capacity() > 0 {
                self.client.input = BytesMut::new();
            }
            Poll::Pending
        })
        .await
    }

    /// Encodes what waits for the client, so that one write takes it all.
    fn fill(&mut self) -> Result<(), End> {
        let recipient = self.client.recipient.clone();
        if let Some(ending) = recipient.outbox.ending() {
            return Err(match ending {
                Ending::TakenOver => End::Told(0x8e),
                Ending::Stopping => End::Stopping,
                Ending::NotAuthorized => End::Told(0x87),
                Ending::Overflow => End::Told(0x97),
            });
        }
        while self.client.out.len() < OUT_FULL
            && let Some(answer) = recipient.outbox.next_answer()
        {
            let packet = match answer {
                Answer::Published(Published { packet_id, qos: 2 }) => Packet::PubRec(ack(packet_id, 0)),
                Answer::Published(Published { packet_id, .. }) => {
                    self.unacknowledged = self.unacknowledged.saturating_sub(1);
                    Packet::PubAck(ack(packet_id, 0))
                }
                Answer::Subscribed(ack) => Packet::SubAck(ack),
                Answer::Unsubscribed(ack) => Packet::UnsubAck(ack),
            };
            self.reply(&packet);
        }
        let mut now = None;
        while self.client.out.len() < OUT_FULL
            && let Some(next) = recipient.outbox.next()
        {
            match next {
                Next::Publish { delivery, packet_id, is_again } => {
                    let now_ms = *now.get_or_insert_with(now_ms);
                    if !self.deliver(&delivery, packet_id, is_again, now_ms) {
                        self.gate.counters.dropped.inc();
                        recipient.outbox.settle(packet_id);
                    }
                }
                Next::Release(packet_id) => {
                    self.reply(&Packet::PubRel(ack(packet_id, 0)));
                }
            }
        }
        Ok(())
    }

    /// False if the message is too old or too large for the client.
    fn deliver(&mut self, delivery: &Delivery, packet_id: u16, is_again: bool, now_ms: i64) -> bool {
        let message = &delivery.message;
        // Once begun, a delivery goes on.
        if !is_again && message.is_expired(now_ms) {
            return false;
        }
        let expiry_s =
            message.expires_ms.map(|at| u32::try_from((at - now_ms + 999).max(0) / 1000).unwrap_or(u32::MAX));
        let outgoing = Outgoing {
            dup: is_again,
            qos: delivery.qos,
            retain: delivery.retain,
            topic: &message.topic,
            packet_id,
            properties: &message.properties,
            expiry_s,
            subscription_ids: delivery.subscription_ids.as_deref().unwrap_or_default(),
            payload: &message.payload,
        };
        let version = self.client.recipient.version;
        if self.client.client_packet_bytes_max < usize::MAX
            && outgoing.encoded_size(version) > self.client.client_packet_bytes_max
        {
            return false;
        }
        outgoing.encode(version, &mut self.client.out);
        self.gate.counters.packets_sent.inc();
        self.gate.counters.delivered.inc();
        true
    }

    /// Takes all complete packets; what they publish goes into the pipe as one batch.
    async fn take_input(&mut self, mut timer: Pin<&mut Sleep>) -> Result<(), End> {
        let version = self.client.recipient.version;
        let mut batch = Vec::new();
        while self.paused_until.is_none() {
            let packet = match decode(&mut self.client.input, version, self.client.packet_bytes_max) {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(fault) => {
                    self.send(&mut batch, timer.as_mut()).await?;
                    self.complain(&fault);
                    return Err(fault.into());
                }
            };
            self.received_at = Instant::now();
            self.gate.counters.packets_received.inc();
            self.count(&packet, timer.as_mut());
            if let Packet::Publish(publish) = packet {
                match self.publish(publish) {
                    Ok(Some(envelope)) => batch.push(envelope),
                    Ok(None) => {}
                    Err(end) => {
                        self.send(&mut batch, timer.as_mut()).await?;
                        return Err(end);
                    }
                }
                continue;
            }
            self.send(&mut batch, timer.as_mut()).await?;
            self.take(packet).await?;
        }
        self.send(&mut batch, timer).await
    }

    /// Who sends too fast is not read for a while: TCP slows it down, and nothing is lost.
    fn count(&mut self, packet: &Packet, mut timer: Pin<&mut Sleep>) {
        let Some(own) = &mut self.client.rate else { return };
        let cost = match packet {
            // We make it send these, as many as there are messages for it. Those we did not make it send cost little.
            Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_) => return,
            Packet::Subscribe(subscribe) => subscribe.filters.len() * SUBSCRIBE_COST,
            Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.len(),
            _ => 1,
        };
        let (settings, now) = (&self.gate.settings, std::time::Instant::now());
        let mut pause = own.take(cost, settings.client_packets_per_s, now);
        if let (Packet::Publish(_), Some(shared)) = (packet, &self.client.shared_rate) {
            pause = pause.max(lock(shared).take(1, settings.token_publishes_per_s, now));
        }
        if let Some(pause) = pause {
            self.gate.counters.throttled.inc();
            self.paused_until = Some(Instant::now() + pause);
            timer.as_mut().reset(self.deadline());
        }
    }

    async fn take(&mut self, packet: Packet) -> Result<(), End> {
        let session = self.client.recipient.id;
        match packet {
            Packet::PubAck(ack) | Packet::PubComp(ack) => {
                self.client.recipient.outbox.settle(ack.packet_id);
                Ok(())
            }
            Packet::PubRec(rec) => {
                self.release(&rec);
                Ok(())
            }
            Packet::PubRel(rel) => {
                let reason = if self.client.recipient.outbox.complete(rel.packet_id) { 0 } else { UNKNOWN };
                self.reply(&Packet::PubComp(ack(rel.packet_id, reason)));
                Ok(())
            }
            Packet::Subscribe(subscribe) => {
                let is_shared = |filter: &Filter| filter.path.starts_with(b"$share/");
                if subscribe.filters.iter().any(|filter| filter.no_local && is_shared(filter)) {
                    return Err(End::Told(0x82));
                }
                self.command(Command::Subscribe { session, after: self.sent, subscribe }).await
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.command(Command::Unsubscribe { session, after: self.sent, unsubscribe }).await
            }
            Packet::PingReq => {
                self.reply(&Packet::PingResp);
                Ok(())
            }
            Packet::Disconnect(disconnect) => Err(self.goodbye(&disconnect)),
            Packet::Auth(_) => Err(End::Told(0x8c)),
            _ => {
                let fault = Fault::Protocol("a packet that a client does not send, or not twice");
                self.complain(&fault);
                Err(fault.into())
            }
        }
    }

    /// A published message as an envelope, unless it is not allowed.
    fn publish(&mut self, publish: Publish) -> Result<Option<BytesMut>, End> {
        let properties = &publish.properties;
        let mut topic = publish.topic;
        if !properties.is_empty() {
            if properties.number(id::SUBSCRIPTION_ID).is_some() {
                return Err(End::Told(0x82));
            }
            if let Some(alias) = properties.number(id::TOPIC_ALIAS) {
                topic = self.resolve(alias, topic)?;
            }
        }
        if !self.client.recipient.principal.may_publish(&topic) {
            self.deny(&topic);
            self.refuse(publish.qos, publish.packet_id, 0x87)?;
            return Ok(None);
        }
        if publish.payload.len() > access::payload_bytes_max(&topic) {
            self.deny(&topic);
            self.refuse(publish.qos, publish.packet_id, 0x97)?;
            return Ok(None);
        }
        if publish.qos == 2 && !self.receive(publish.packet_id)? {
            // Sent again after a reconnect: the message is there already.
            self.reply(&Packet::PubRec(ack(publish.packet_id, 0)));
            return Ok(None);
        }
        if publish.qos == 1 {
            self.unacknowledged += 1;
            if self.client.recipient.version.is_v5() && self.unacknowledged > RECEIVE_MAX {
                return Err(self.flooded());
            }
        }
        let message = Message {
            origin: self.client.recipient.id,
            packet_id: publish.packet_id,
            qos: publish.qos,
            retain: publish.retain,
            expires_ms: expires_ms(properties),
            topic,
            properties: properties.forwarded(),
            payload: publish.payload,
            held: crate::message::Held::default(),
        };
        Ok(Some(message.envelope()))
    }

    /// Answers a publish that is not allowed. Version 3 has no word for it, and a close would make clients come back and
    /// try again: there the handshake goes on as if all were well.
    fn refuse(&mut self, qos: u8, packet_id: u16, reason: u8) -> Result<(), End> {
        match qos {
            0 => {}
            1 => self.reply(&Packet::PubAck(ack(packet_id, reason))),
            _ => {
                if !self.client.recipient.version.is_v5() {
                    self.receive(packet_id)?;
                }
                self.reply(&Packet::PubRec(ack(packet_id, reason)));
            }
        }
        Ok(())
    }

    /// Notes a QoS 2 message until its PUBREL; false if it was there before.
    fn receive(&mut self, packet_id: u16) -> Result<bool, End> {
        let (is_new, open) = self.client.recipient.outbox.receive(packet_id);
        if open > RECEIVE_MAX { Err(self.flooded()) } else { Ok(is_new) }
    }

    fn flooded(&self) -> End {
        self.gate.counters.flooded.inc();
        End::Told(0x93)
    }

    fn release(&mut self, rec: &Ack) {
        let outbox = &self.client.recipient.outbox;
        if rec.reason >= 0x80 {
            return outbox.settle(rec.packet_id);
        }
        let reason = if outbox.release(rec.packet_id) { 0 } else { UNKNOWN };
        self.reply(&Packet::PubRel(ack(rec.packet_id, reason)));
    }

    fn reply(&mut self, packet: &Packet) {
        self.gate.counters.packets_sent.inc();
        encode(packet, self.client.recipient.version, &mut self.client.out);
    }

    fn resolve(&mut self, alias: u32, topic: Bytes) -> Result<Bytes, End> {
        if alias > TOPIC_ALIAS_MAX {
            return Err(End::Told(0x94));
        }
        let slot = alias as usize - 1;
        if topic.is_empty() {
            let known = self.aliases.get(slot).filter(|known| !known.is_empty());
            return known.cloned().ok_or(End::Told(0x82));
        }
        if self.aliases.len() <= slot {
            self.aliases.resize(slot + 1, Bytes::new());
        }
        self.aliases[slot] = Bytes::copy_from_slice(&topic);
        Ok(topic)
    }

    /// Puts a batch into the pipe. While the pipe is full, the client is still written to, but not read.
    async fn send(&mut self, batch: &mut Vec<BytesMut>, mut timer: Pin<&mut Sleep>) -> Result<(), End> {
        if batch.is_empty() {
            return Ok(());
        }
        let ingress = self.gate.ingress.clone();
        let mut sending = pin!(ingress.send(batch));
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => {
                    self.sent = sent.map_err(|_| End::Stopping)?;
                    return Ok(());
                }
                turn = self.turn(false, timer.as_mut()) => match turn.map_err(|_| End::Gone)? {
                    Turn::Received | Turn::Progress => {}
                    Turn::Timer => self.check_time(timer.as_mut())?,
                },
            }
            self.fill()?;
        }
    }

    fn goodbye(&mut self, disconnect: &Disconnect) -> End {
        if let Some(wanted) = disconnect.properties.number(id::SESSION_EXPIRY) {
            // A session that was to end with its connection cannot be kept in the end.
            if self.client.recipient.expiry_s == 0 && wanted > 0 {
                return End::Told(0x82);
            }
            self.expiry_s = wanted.min(self.gate.settings.session_expiry_max_s);
        }
        if disconnect.reason == 0x04 { End::Gone } else { End::Clean }
    }

    async fn command(&self, command: Command) -> Result<(), End> {
        self.gate.commands.send(command).await.map_err(|_| End::Stopping)
    }

    /// When to look at the time next. It is not moved for every packet, only looked at again.
    fn deadline(&self) -> Instant {
        let silent = self.client.keep_alive_s.map(|seconds| self.received_at + keep_alive(seconds));
        let stuck = self.stuck_at.map(|since| since + self.write_timeout());
        let far = Instant::now() + Duration::from_secs(3600);
        // While it is not read, it cannot be blamed for being silent.
        let next = self.paused_until.or(silent);
        next.unwrap_or(far).min(stuck.unwrap_or(far))
    }

    fn write_timeout(&self) -> Duration {
        Duration::from_secs(self.gate.settings.write_timeout_s)
    }

    fn check_time(&mut self, mut timer: Pin<&mut Sleep>) -> Result<(), End> {
        let now = Instant::now();
        if self.paused_until.is_some() {
            self.received_at = now;
            self.paused_until.take_if(|until| now >= *until);
        }
        let is_silent =
            self.client.keep_alive_s.is_some_and(|seconds| now >= self.received_at + keep_alive(seconds));
        if is_silent {
            self.gate.counters.silent.inc();
            return Err(End::Told(0x8d));
        }
        if self.stuck_at.is_some_and(|since| now >= since + self.write_timeout()) {
            self.gate.counters.stuck.inc();
            return Err(End::Gone);
        }
        timer.as_mut().reset(self.deadline());
        Ok(())
    }

    /// Publishes the will, or gives it back if it is to wait.
    async fn publish_will(&mut self) -> Option<(Box<Will>, u32)> {
        let will = self.client.will.take()?;
        let delay_s = will.properties.number(id::WILL_DELAY).unwrap_or(0).min(self.expiry_s);
        if delay_s > 0 {
            return Some((will, delay_s));
        }
        if !self.client.recipient.principal.may_publish(&will.topic) {
            self.deny(&will.topic);
            return None;
        }
        let message = Message::of_will(&will, self.client.recipient.id);
        if let Ok(sent) = self.gate.ingress.send(&mut vec![message.envelope()]).await {
            self.sent = sent;
        }
        None
    }

    /// Writes what is left and the reason, and gives the client a moment to read it: closing a socket with unread
    /// bytes would take the reason back.
    async fn farewell(&mut self, end: End) -> io::Result<()> {
        let version = self.client.recipient.version;
        let reason = match end {
            End::Told(reason) => Some(reason),
            End::Stopping => Some(0x8b),
            End::Clean | End::Gone => None,
        };
        let Some(reason) = reason else { return Ok(()) };
        let mut out = std::mem::take(&mut self.client.out);
        if version.is_v5() {
            let goodbye = Disconnect { reason, properties: Properties::new() };
            encode(&Packet::Disconnect(goodbye), version, &mut out);
        }
        self.stream.write_all(&out).await?;
        self.stream.flush().await?;
        self.stream.shutdown().await?;
        let mut left = vec![0; 4096];
        for _ in 0..256 {
            if self.stream.read(&mut left).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    fn deny(&self, topic: &[u8]) {
        if self.gate.counters.deny(now_ms()) {
            let topic = String::from_utf8_lossy(topic);
            let client = String::from_utf8_lossy(&self.client.recipient.client_id);
            let principal = self.client.recipient.principal.name();
            let connection = self.client.recipient.connection;
            tracing::warn!(connection.id = %connection, %topic, %client, principal, "denied a publish");
        }
    }

    fn complain(&self, fault: &Fault) {
        self.gate.counters.complain(fault);
        let client = String::from_utf8_lossy(&self.client.recipient.client_id);
        let connection = self.client.recipient.connection;
        tracing::debug!(connection.id = %connection, %fault, %client, "disconnecting a client");
    }
}

/// Half as long again as promised is too long.
fn keep_alive(seconds: u16) -> Duration {
    Duration::from_millis(u64::from(seconds) * 1500)
}

fn ack(packet_id: u16, reason: u8) -> Ack {
    Ack { packet_id, reason, properties: Properties::new() }
}
