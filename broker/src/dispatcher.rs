//! The one task that owns subscriptions and retained messages, and hands every message to those who want it.
//!
//! Messages from the pipe and commands from connections pass one loop, so nothing here needs a lock, and what a client
//! gets retained and live is in the right order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::access::{Changes as _, Principal, Tokens};
use crate::clock::now_ms;
use crate::codec::{Filter, Properties, SubAck, Subscribe, Unsubscribe, Version, id};
use crate::counters::Counters;
use crate::message::{self, Message, SessionId};
use crate::outbox::{Answer, Delivery, Ending, Fate, Outbox, Published};
use crate::pipe::{Broken, Tap};
use crate::retained::Retained;
use crate::settings::Settings;
use crate::topic;
use crate::tree::Tree;

/// Messages routed before commands get their turn.
const TURN: usize = 64;

/// A client that falls behind in a burst may hold the others up for so long in all …
const PATIENCE: Duration = Duration::from_secs(1);
/// … which it earns again at a tenth of the time that passes …
const PATIENCE_REGAINED: u32 = 10;
/// … as long as it takes something at least so often.
const STALLED: Duration = Duration::from_millis(20);

/// How long sessions may take to end when the broker stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// A client as the dispatcher sees it.
#[derive(Debug)]
pub(crate) struct Recipient {
    pub id: SessionId,
    pub client_id: Bytes,
    pub principal: Arc<Principal>,
    pub version: Version,
    pub outbox: Outbox,
}

/// What connections ask for. `after` is the last message that the connection put into the pipe: the command is carried
/// out when that has been routed, so a client's packets take effect in the order it sent them.
#[derive(Debug)]
pub(crate) enum Command {
    /// Answered once a former session of the same client is gone, will included. Dropped when it is not to be.
    Attach {
        recipient: Arc<Recipient>,
        attached: oneshot::Sender<()>,
    },
    Detach {
        session: SessionId,
        after: u64,
    },
    Subscribe {
        session: SessionId,
        after: u64,
        subscribe: Subscribe,
    },
    Unsubscribe {
        session: SessionId,
        after: u64,
        unsubscribe: Unsubscribe,
    },
}

impl Command {
    fn after(&self) -> u64 {
        match self {
            Self::Attach { .. } => 0,
            Self::Detach { after, .. } | Self::Subscribe { after, .. } | Self::Unsubscribe { after, .. } => {
                *after
            }
        }
    }
}

/// Sessions are known by who they are and the client id: nobody can take over a client of somebody else.
type Name = (String, Bytes);

#[derive(Debug)]
struct Session {
    recipient: Arc<Recipient>,
    filters: Vec<Bytes>,
    patience: Duration,
    patience_at: Instant,
}

#[derive(Debug)]
struct Subscription {
    recipient: Arc<Recipient>,
    qos: u8,
    no_local: bool,
    retain_as_published: bool,
    id: Option<u32>,
    /// Everything that matches may be read, so messages need no check.
    is_covered: bool,
}

#[derive(Debug)]
struct Newcomer {
    recipient: Arc<Recipient>,
    attached: oneshot::Sender<()>,
}

#[derive(Debug)]
pub(crate) struct Dispatcher {
    settings: Arc<Settings>,
    counters: Arc<Counters>,
    tokens: Tokens,
    tap: Tap,
    commands: mpsc::Receiver<Command>,
    /// Told by outboxes that were nearly full.
    relief: Arc<Notify>,
    sessions: HashMap<SessionId, Session>,
    names: HashMap<Name, SessionId>,
    /// Newcomers whose name is still in use by a session that is ending.
    waiting: HashMap<Name, Newcomer>,
    tree: Tree<SessionId, Subscription>,
    retained: Retained,
    /// The number of the last message routed.
    routed: u64,
    /// A command that has to wait for messages sent before it.
    postponed: Option<Command>,
    is_stopping: bool,
}

impl Dispatcher {
    pub(crate) fn new(
        settings: Arc<Settings>,
        counters: Arc<Counters>,
        tokens: Tokens,
        tap: Tap,
        commands: mpsc::Receiver<Command>,
        relief: Arc<Notify>,
    ) -> Self {
        let retained = Retained::new(settings.retained_messages_max, settings.retained_bytes_max);
        let mut dispatcher = Self {
            settings,
            counters,
            tokens,
            tap,
            commands,
            relief,
            sessions: HashMap::new(),
            names: HashMap::new(),
            waiting: HashMap::new(),
            tree: Tree::default(),
            retained,
            routed: 0,
            postponed: None,
            is_stopping: false,
        };
        dispatcher.retain(&Arc::new(version()), 0);
        dispatcher
    }

    /// Runs until stopped and every session has gone.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), Broken> {
        let mut tokens = self.tokens.changes();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut farewell = None;
        loop {
            tokio::select! {
                envelope = self.tap.next() => {
                    let behind = self.route_some(envelope?)?;
                    self.brake(behind).await;
                }
                Some(command) = self.commands.recv(), if self.postponed.is_none() => {
                    self.postponed = Some(command);
                }
                () = tokens.next() => self.check_tokens(),
                _ = second.tick() => self.check_tokens(),
                () = stop.cancelled(), if !self.is_stopping => {
                    self.is_stopping = true;
                    farewell = Some(Instant::now() + FAREWELL);
                    self.waiting.clear();
                    for session in self.sessions.values() {
                        session.recipient.outbox.end(Ending::Stopping);
                    }
                }
            }
            self.carry_out();
            if self.is_stopping
                && (self.sessions.is_empty() || farewell.is_some_and(|at| Instant::now() >= at))
            {
                return Ok(());
            }
        }
    }

    /// Carries out commands up to one that has to wait.
    fn carry_out(&mut self) {
        for _ in 0..TURN {
            let Some(command) = self.postponed.take().or_else(|| self.commands.try_recv().ok()) else {
                return;
            };
            if command.after() > self.routed {
                self.postponed = Some(command);
                return;
            }
            match command {
                Command::Attach { recipient, attached } => self.attach(Newcomer { recipient, attached }),
                Command::Detach { session, .. } => self.detach(session),
                Command::Subscribe { session, subscribe, .. } => self.subscribe(session, &subscribe),
                Command::Unsubscribe { session, unsubscribe, .. } => self.unsubscribe(session, &unsubscribe),
            }
        }
    }

    fn attach(&mut self, newcomer: Newcomer) {
        if self.is_stopping {
            return;
        }
        let name = name(&newcomer.recipient);
        if let Some(former) = self.names.get(&name).and_then(|former| self.sessions.get(former)) {
            former.recipient.outbox.end(Ending::TakenOver);
            // Of several that wait, the last one wins; the others find their answer dropped.
            self.waiting.insert(name, newcomer);
            return;
        }
        let Newcomer { recipient, attached } = newcomer;
        let id = recipient.id;
        let session =
            Session { recipient, filters: Vec::new(), patience: PATIENCE, patience_at: Instant::now() };
        if attached.send(()).is_ok() {
            self.names.insert(name, id);
            self.sessions.insert(id, session);
            self.counters.connections.set(self.sessions.len() as u64);
            self.counters.connected.add(1);
        }
    }

    fn detach(&mut self, session: SessionId) {
        let Some(gone) = self.sessions.remove(&session) else { return };
        for filter in gone.filters {
            self.tree.remove(&filter, &session);
        }
        self.counters.connections.set(self.sessions.len() as u64);
        let name = name(&gone.recipient);
        self.names.remove(&name);
        if let Some(newcomer) = self.waiting.remove(&name) {
            self.attach(newcomer);
        }
    }

    fn subscribe(&mut self, session: SessionId, subscribe: &Subscribe) {
        let Some(recipient) = self.sessions.get(&session).map(|session| session.recipient.clone()) else {
            return;
        };
        let subscription_id = subscribe.properties.number(id::SUBSCRIPTION_ID);
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        let mut fresh = Vec::new();
        for filter in &subscribe.filters {
            match self.grant(&recipient, filter, subscription_id) {
                Ok(is_new) => {
                    codes.push(filter.qos);
                    let wanted = match filter.retain_handling {
                        0 => true,
                        1 => is_new,
                        _ => false,
                    };
                    if wanted {
                        fresh.push(filter);
                    }
                }
                Err(reason) => codes.push(if recipient.version.is_v5() { reason } else { 0x80 }),
            }
        }
        let ack = SubAck { packet_id: subscribe.packet_id, properties: Properties::new(), codes };
        recipient.outbox.answer(Answer::Subscribed(ack));
        for filter in fresh {
            self.send_retained(&recipient, filter, subscription_id);
        }
    }

    /// Notes a subscription; tells whether it is new, or the reason code why not.
    fn grant(&mut self, recipient: &Arc<Recipient>, filter: &Filter, id: Option<u32>) -> Result<bool, u8> {
        let path = &filter.path;
        if path.starts_with(b"$share/") {
            return Err(0x9e);
        }
        if !topic::is_filter(path) {
            return Err(0x8f);
        }
        if !recipient.principal.may_subscribe(path) {
            if self.counters.deny(now_ms()) {
                let filter = String::from_utf8_lossy(path);
                tracing::warn!(principal = recipient.principal.name(), %filter, "denied a subscription");
            }
            return Err(0x87);
        }
        let Some(session) = self.sessions.get_mut(&recipient.id) else { return Err(0x80) };
        let is_known = session.filters.contains(path);
        if !is_known && session.filters.len() >= self.settings.subscriptions_max {
            return Err(0x97);
        }
        let subscription = Subscription {
            recipient: recipient.clone(),
            qos: filter.qos,
            no_local: filter.no_local,
            retain_as_published: filter.retain_as_published,
            id,
            is_covered: recipient.principal.may_read_all(path),
        };
        if !is_known {
            // Copied, because the filter is a part of a whole read buffer.
            session.filters.push(Bytes::copy_from_slice(path));
        }
        self.tree.insert(path, recipient.id, subscription);
        Ok(!is_known)
    }

    fn send_retained(&mut self, recipient: &Recipient, filter: &Filter, subscription_id: Option<u32>) {
        for message in self.retained.matching(&filter.path, now_ms()) {
            if !recipient.principal.may_read(&message.topic) {
                continue;
            }
            let delivery = Delivery {
                message: message.clone(),
                qos: message.qos.min(filter.qos),
                retain: true,
                is_stored: true,
                subscription_ids: subscription_id.map(|id| Box::from([id])),
            };
            match recipient.outbox.deliver(delivery) {
                Fate::Queued | Fate::NearlyFull => {}
                Fate::Dropped => self.counters.dropped.add(1),
                Fate::Overflow => self.counters.overflowed.add(1),
            }
        }
    }

    fn unsubscribe(&mut self, session: SessionId, unsubscribe: &Unsubscribe) {
        let Some(known) = self.sessions.get_mut(&session) else { return };
        let mut codes = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            known.filters.retain(|known| known != filter);
            let existed = self.tree.remove(filter, &session).is_some();
            codes.push(if existed { 0 } else { 0x11 });
        }
        let ack = SubAck { packet_id: unsubscribe.packet_id, properties: Properties::new(), codes };
        known.recipient.outbox.answer(Answer::Unsubscribed(ack));
    }

    /// Routes this message and those already waiting behind it, a turn's worth; stops at clients that fall behind.
    fn route_some(&mut self, envelope: Bytes) -> Result<Vec<SessionId>, Broken> {
        let now_ms = now_ms();
        let mut behind = Vec::new();
        let mut routed = Vec::new();
        let mut next = Some(envelope);
        while let Some(envelope) = next {
            routed.extend(self.route(envelope, now_ms, &mut behind));
            let is_enough = !behind.is_empty() || routed.len() >= TURN;
            next = if is_enough { None } else { self.tap.ready()? };
        }
        // All acknowledgements of a publisher at once: they then leave in one write.
        for same in routed.chunk_by(|(one, _), (other, _)| one == other) {
            if let Some(origin) = self.sessions.get(&same[0].0) {
                origin.recipient.outbox.acknowledge(same.iter().map(|(_, published)| *published));
            }
        }
        Ok(behind)
    }

    /// Gives back who waits for which acknowledgement.
    fn route(
        &mut self,
        envelope: Bytes,
        now_ms: i64,
        behind: &mut Vec<SessionId>,
    ) -> Option<(SessionId, Published)> {
        let seq = message::seq(&envelope).unwrap_or_default();
        let Some(message) = Message::open(envelope) else {
            tracing::error!(seq, "the pipe gave back something that is not an envelope");
            return None;
        };
        let message = Arc::new(message);
        self.counters.published.add(1);
        if !message.is_expired(now_ms) {
            if message.retain {
                self.retain(&message, now_ms);
            }
            self.deliver(&message, behind);
        }
        self.routed = seq;
        let qos = if message.packet_id == 0 { 0 } else { message.qos };
        Some((message.origin, Published { packet_id: message.packet_id, qos }))
    }

    fn retain(&mut self, message: &Arc<Message>, now_ms: i64) {
        if self.retained.set(message, now_ms).is_err() {
            self.counters.dropped.add(1);
            let topic = String::from_utf8_lossy(&message.topic);
            tracing::warn!(%topic, "the store of retained messages is full; the message is not kept");
        }
        self.counters.retained.set(self.retained.len() as u64);
    }

    fn deliver(&self, message: &Arc<Message>, behind: &mut Vec<SessionId>) {
        let mut groups = Vec::new();
        self.tree.matching(&message.topic, &mut |group| groups.push(group));
        if let [group] = &groups[..] {
            for subscription in group.values() {
                self.deliver_to(message, &[subscription], behind);
            }
            return;
        }
        // A client whose filters overlap gets one copy, with the highest QoS and all ids.
        let mut found: Vec<&Subscription> = groups.iter().flat_map(|group| group.values()).collect();
        found.sort_unstable_by_key(|subscription| subscription.recipient.id);
        for same in found.chunk_by(|one, other| one.recipient.id == other.recipient.id) {
            self.deliver_to(message, same, behind);
        }
    }

    fn deliver_to(
        &self,
        message: &Arc<Message>,
        subscriptions: &[&Subscription],
        behind: &mut Vec<SessionId>,
    ) {
        let mut qos = None;
        let mut retain = false;
        let mut ids = Vec::new();
        let mut is_covered = false;
        for subscription in subscriptions {
            if subscription.no_local && subscription.recipient.id == message.origin {
                continue;
            }
            qos = qos.max(Some(subscription.qos));
            retain |= subscription.retain_as_published && message.retain;
            is_covered |= subscription.is_covered;
            ids.extend(subscription.id);
        }
        let (Some(qos), Some(first)) = (qos, subscriptions.first()) else { return };
        let recipient = &first.recipient;
        if !is_covered && !recipient.principal.may_read(&message.topic) {
            return;
        }
        let delivery = Delivery {
            message: message.clone(),
            qos: qos.min(message.qos),
            retain,
            is_stored: false,
            subscription_ids: (!ids.is_empty()).then(|| ids.into_boxed_slice()),
        };
        match recipient.outbox.deliver(delivery) {
            Fate::Queued => {}
            Fate::NearlyFull => behind.push(recipient.id),
            Fate::Dropped => self.counters.dropped.add(1),
            Fate::Overflow => {
                self.counters.overflowed.add(1);
                let client = String::from_utf8_lossy(&recipient.client_id);
                tracing::warn!(%client, "a client reads too slowly and is disconnected");
            }
        }
    }

    /// Lets clients that fell behind catch up before more is routed, so that a burst from a fast publisher is not lost
    /// to a healthy subscriber. Bounded by each client's patience: one that stalls delays the others hardly at all.
    async fn brake(&mut self, mut behind: Vec<SessionId>) {
        if behind.is_empty() {
            return;
        }
        let start = Instant::now();
        behind.retain(|id| self.sessions.get_mut(id).is_some_and(|session| session.has_patience(start)));
        let asked = behind.clone();
        let (mut taken, mut progress_at) = (0, start);
        let mut is_stalled = false;
        while !behind.is_empty() && !is_stalled {
            _ = tokio::time::timeout(STALLED / 4, self.relief.notified()).await;
            let now = Instant::now();
            let mut total: u64 = 0;
            behind.retain(|id| {
                let Some(session) = self.sessions.get(id) else { return false };
                let (is_nearly_full, taken) = session.recipient.outbox.pressure();
                total += taken;
                is_nearly_full && session.patience > now - start
            });
            if total != taken {
                (taken, progress_at) = (total, now);
            }
            is_stalled = now - progress_at >= STALLED;
        }
        let spent = start.elapsed();
        for id in asked {
            if let Some(session) = self.sessions.get_mut(&id) {
                let is_stalled = is_stalled && behind.contains(&id);
                session.patience =
                    if is_stalled { Duration::ZERO } else { session.patience.saturating_sub(spent) };
            }
        }
    }

    fn check_tokens(&self) {
        let now_ms = now_ms();
        for session in self.sessions.values() {
            if !self.tokens.still_allows(&session.recipient.principal, now_ms) {
                session.recipient.outbox.end(Ending::NotAuthorized);
            }
        }
    }
}

impl Session {
    /// Regains patience for the time since last asked; true if it is worth starting to wait.
    fn has_patience(&mut self, now: Instant) -> bool {
        self.patience = (self.patience + (now - self.patience_at) / PATIENCE_REGAINED).min(PATIENCE);
        self.patience_at = now;
        self.patience > STALLED * 5
    }
}

fn name(recipient: &Recipient) -> Name {
    (recipient.principal.name().to_owned(), recipient.client_id.clone())
}

/// The first of the broker's own topics.
fn version() -> Message {
    Message {
        origin: 0,
        packet_id: 0,
        qos: 0,
        retain: true,
        expires_ms: None,
        topic: Bytes::from_static(b"$SYS/broker/version"),
        properties: Properties::new(),
        payload: Bytes::from_static(concat!("pika ", env!("CARGO_PKG_VERSION")).as_bytes()),
    }
}
