//! The one task that owns subscriptions and retained messages, and hands every message to those who want it.
//!
//! Messages from the pipe and commands from connections pass one loop, so nothing here needs a lock, and what a client
//! gets retained and live is in the right order.

mod load;
mod sessions;
mod status;
mod subscribing;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use config::TraceId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::access::{Changes as _, Principal, Tokens};
use crate::clock::now_ms;
use crate::codec::{Subscribe, Unsubscribe, Version, Will};
use crate::counters::Counters;
use crate::journal::Journal;
use crate::message::{self, Message, SessionId};
use crate::outbox::{Delivery, Ending, Fate, Outbox, Published};
use crate::pipe::{Broken, Tap};
use crate::retained::Retained;
use crate::settings::Settings;
use crate::subscriptions::{Subscription, Subscriptions};
use load::Load;

/// Messages routed before commands get their turn.
const TURN: usize = 64;

/// Between two looks at whether ending sessions has helped.
const SHED_EVERY: Duration = Duration::from_millis(100);

/// How long sessions may take to end when the broker stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// A client as the dispatcher sees it.
#[derive(Debug)]
pub(crate) struct Recipient {
    pub id: SessionId,
    /// What its connection is called in the log. There is no span around a session: that would cost something with
    /// every delivery.
    pub connection: TraceId,
    pub client_id: Bytes,
    pub principal: Arc<Principal>,
    /// Where an anonymous client comes from; of the others it does not matter.
    pub place: Option<IpAddr>,
    pub version: Version,
    /// How long the session stays after its connection; 0: not at all.
    pub expiry_s: u32,
    pub outbox: Outbox,
    /// Bytes half read from it and half written to it.
    pub buffered: AtomicUsize,
}

impl Recipient {
    /// The connection is gone. What was promised to the client stays only if the session does.
    pub(crate) fn leave(&self, expiry_s: u32) {
        if expiry_s > 0 { self.outbox.park() } else { self.outbox.shut() }
    }
}

/// A connection on its way in.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub recipient: Arc<Recipient>,
    pub clean_start: bool,
    /// Answered, with whether a session was there, once a former connection of the same client is gone, will included.
    /// Dropped when it is not to be.
    pub attached: oneshot::Sender<bool>,
}

/// What a connection leaves behind.
#[derive(Debug)]
pub(crate) struct Leave {
    pub expiry_s: u32,
    /// A will that is to wait, and for how long. All others are published before the connection leaves.
    pub will: Option<(Box<Will>, u32)>,
}

/// What connections ask for. `after` is the last message that the connection put into the pipe: the command is carried
/// out when that has been routed, so a client's packets take effect in the order it sent them.
#[derive(Debug)]
pub(crate) enum Command {
    Attach(Newcomer),
    Detach { session: SessionId, after: u64, leave: Leave },
    Subscribe { session: SessionId, after: u64, subscribe: Subscribe },
    Unsubscribe { session: SessionId, after: u64, unsubscribe: Unsubscribe },
}

impl Command {
    fn after(&self) -> u64 {
        match self {
            Self::Attach(_) => 0,
            Self::Detach { after, .. } | Self::Subscribe { after, .. } | Self::Unsubscribe { after, .. } => {
                *after
            }
        }
    }
}

/// Sessions are known by who they are and the client id: nobody can take over a client of somebody else. Of anonymous
/// clients the address is part of who they are.
type Name = (String, Option<IpAddr>, Bytes);

#[derive(Debug)]
struct Session {
    recipient: Arc<Recipient>,
    filters: Vec<Bytes>,
    away: Option<Away>,
}

/// A session whose connection is gone.
#[derive(Debug)]
struct Away {
    until: Instant,
    will: Option<(Box<Will>, Instant)>,
}

#[derive(Debug)]
pub(crate) struct Dispatcher {
    settings: Arc<Settings>,
    counters: Arc<Counters>,
    tokens: Tokens,
    tap: Tap,
    commands: mpsc::Receiver<Command>,
    sessions: HashMap<SessionId, Session>,
    names: HashMap<Name, SessionId>,
    /// Newcomers whose name is still in use by a session that is ending.
    waiting: HashMap<Name, Newcomer>,
    /// Sessions without a connection.
    away: HashSet<SessionId>,
    subscriptions: Subscriptions,
    /// Bytes of all messages that anybody holds, the clients' queues and the store, and of what is half read or half
    /// written.
    held_bytes: Arc<AtomicUsize>,
    /// What the queues take by themselves; looked at once a second.
    queue_bytes: usize,
    /// When sessions were ended for memory last, and what was held then.
    shed: Option<(Instant, usize)>,
    retained: Retained,
    journal: Option<Journal>,
    /// The number of the last message routed.
    routed: u64,
    /// A command that has to wait for messages sent before it.
    postponed: Option<Command>,
    is_stopping: bool,
    started_at: Instant,
    load: Load,
    /// The most memory the process was seen with.
    resident_bytes_most: u64,
    /// When the broker's own topics were renewed last.
    status_at: Option<Instant>,
}

impl Dispatcher {
    pub(crate) fn new(
        settings: Arc<Settings>,
        counters: Arc<Counters>,
        tokens: Tokens,
        tap: Tap,
        commands: mpsc::Receiver<Command>,
        held_bytes: Arc<AtomicUsize>,
    ) -> Self {
        let retained = Retained::new(settings.retained_messages_max, settings.retained_bytes_max);
        Self {
            settings,
            counters,
            tokens,
            tap,
            commands,
            sessions: HashMap::new(),
            names: HashMap::new(),
            waiting: HashMap::new(),
            away: HashSet::new(),
            subscriptions: Subscriptions::default(),
            held_bytes,
            queue_bytes: 0,
            shed: None,
            retained,
            journal: None,
            routed: 0,
            postponed: None,
            is_stopping: false,
            started_at: Instant::now(),
            load: Load::new(Instant::now()),
            resident_bytes_most: 0,
            status_at: None,
        }
    }

    /// Takes what an earlier broker retained; from now on, changes are noted.
    pub(crate) fn restore(&mut self, journal: Journal, messages: &[Arc<Message>]) {
        let now_ms = now_ms();
        for message in messages {
            self.retain(message, now_ms);
        }
        self.journal = Some(journal);
    }

    /// Runs until stopped and every session has gone.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), Broken> {
        let mut tokens = self.tokens.changes();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut farewell = None;
        loop {
            tokio::select! {
                envelope = self.tap.next() => {
                    let lost = self.route_some(envelope?)?;
                    self.give_up(&lost);
                    self.shed();
                    // Connections get their turn, so that a burst flows on to those who keep up. Nobody is waited for.
                    tokio::task::yield_now().await;
                }
                Some(command) = self.commands.recv(), if self.postponed.is_none() => {
                    self.postponed = Some(command);
                }
                () = tokens.next() => self.check_tokens(),
                _ = second.tick() => {
                    self.check_tokens();
                    self.check_away(Instant::now());
                    self.load.renew(&self.counters, Instant::now());
                    self.check_status();
                    self.measure_queues();
                    self.tap.check()?;
                }
                () = stop.cancelled(), if !self.is_stopping => {
                    self.is_stopping = true;
                    farewell = Some(Instant::now() + FAREWELL);
                    self.waiting.clear();
                    self.forget_away();
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
                Command::Attach(newcomer) => self.attach(newcomer),
                Command::Detach { session, leave, .. } => self.detach(session, leave),
                Command::Subscribe { session, subscribe, .. } => self.subscribe(session, &subscribe),
                Command::Unsubscribe { session, unsubscribe, .. } => self.unsubscribe(session, &unsubscribe),
            }
        }
    }

    /// Routes this message and those already waiting behind it, a turn's worth; gives back whose queue has overflowed.
    fn route_some(&mut self, envelope: Bytes) -> Result<Vec<SessionId>, Broken> {
        let now_ms = now_ms();
        let mut lost = Vec::new();
        let mut routed = Vec::new();
        let mut next = Some(envelope);
        while let Some(envelope) = next {
            routed.extend(self.route(envelope, now_ms, &mut lost));
            next = if routed.len() >= TURN { None } else { self.tap.ready()? };
        }
        if let Some(waited) = self.tap.waited(self.routed) {
            self.counters.routed.observe(waited);
        }
        // All acknowledgements of a publisher at once: they then leave in one write.
        for same in routed.chunk_by(|(one, _), (other, _)| one == other) {
            if let Some(origin) = self.sessions.get(&same[0].0) {
                origin.recipient.outbox.acknowledge(same.iter().map(|(_, published)| *published));
            }
        }
        Ok(lost)
    }

    /// Gives back who waits for which acknowledgement.
    fn route(
        &mut self,
        envelope: Bytes,
        now_ms: i64,
        lost: &mut Vec<SessionId>,
    ) -> Option<(SessionId, Published)> {
        let seq = message::seq(&envelope).unwrap_or_default();
        let Some(message) = Message::open(envelope) else {
            tracing::error!(seq, "the pipe gave back something that is not an envelope");
            return None;
        };
        let message = Arc::new(message.counted(&self.held_bytes));
        self.counters.published.inc();
        self.hand_out(&message, now_ms, lost);
        self.routed = seq;
        let qos = if message.packet_id == 0 { 0 } else { message.qos };
        Some((message.origin, Published { packet_id: message.packet_id, qos }))
    }

    fn hand_out(&mut self, message: &Arc<Message>, now_ms: i64, lost: &mut Vec<SessionId>) {
        if message.is_expired(now_ms) {
            return;
        }
        if message.retain {
            self.retain(message, now_ms);
        }
        self.deliver(message, lost);
        self.subscriptions.chosen(&message.topic, &mut |member| {
            self.deliver_to(message, &[member], lost);
        });
    }

    fn measure_queues(&mut self) {
        let messages = self.sessions.values().map(|session| session.recipient.outbox.load().messages);
        self.queue_bytes = messages.sum::<usize>() * size_of::<Delivery>();
        self.counters.queued_bytes.set(self.queued() as u64);
        self.shed();
    }

    /// Bytes of everything that waits.
    fn queued(&self) -> usize {
        let held = self.held_bytes.load(Ordering::Relaxed);
        held.saturating_sub(self.retained.bytes()) + self.queue_bytes
    }

    /// When everything that waits is too much, ends the sessions with the most, and then sees what that helped. Queues
    /// share their messages, so ending one may free nothing: a twentieth of all that have something waiting goes, at
    /// least one. Buffers are nobody else's: when they alone take more than half of what is allowed, as many go as it
    /// takes.
    fn shed(&mut self) {
        let held = self.queued();
        let max = self.settings.queued_bytes_max;
        // What was ended frees its memory soon; whoever fills it faster than that is not waited for.
        let waits = self
            .shed
            .is_some_and(|(at, before)| at.elapsed() < SHED_EVERY && held < before.saturating_add(max / 8));
        if held <= max || waits {
            return;
        }
        self.shed = Some((Instant::now(), held));
        let mut loads: Vec<_> = self
            .sessions
            .iter()
            .map(|(id, session)| {
                let buffered = session.recipient.buffered.load(Ordering::Relaxed);
                (session.recipient.outbox.load().bytes + buffered, buffered, *id)
            })
            .filter(|(bytes, ..)| *bytes > 0)
            .collect();
        loads.sort_unstable_by_key(|(bytes, ..)| std::cmp::Reverse(*bytes));
        let buffered: usize = loads.iter().map(|(_, buffered, _)| buffered).sum();
        let mut to_free = buffered.saturating_sub(max / 2);
        let for_buffers = loads.iter().take_while(|(_, buffered, _)| {
            let is_needed = to_free > 0;
            to_free = to_free.saturating_sub(*buffered);
            is_needed && *buffered > 0
        });
        let ended = for_buffers.count().max(loads.len().div_ceil(20));
        loads.truncate(ended);
        tracing::warn!(
            held,
            sessions = loads.len(),
            "what waits from and for clients takes too much memory; those with the most are disconnected"
        );
        for (.., session) in loads {
            self.counters.shed.inc();
            if let Some(known) = self.sessions.get(&session) {
                known.recipient.outbox.end(Ending::Overflow);
            }
            self.give_up(&[session]);
        }
    }

    fn retain(&mut self, message: &Arc<Message>, now_ms: i64) {
        if self.retained.set(message, now_ms).is_err() {
            self.counters.retained_refused.inc();
            let topic = String::from_utf8_lossy(&message.topic);
            tracing::warn!(%topic, "the store of retained messages is full; the message is not kept");
        }
        self.counters.retained.set(self.retained.len() as u64);
        self.counters.retained_bytes.set(self.retained.bytes() as u64);
        // The broker's own topics are made anew each time.
        if let Some(journal) = &self.journal
            && !message.topic.starts_with(b"$")
        {
            journal.note(&message.topic, self.retained.get(&message.topic));
        }
    }

    fn deliver(&self, message: &Arc<Message>, lost: &mut Vec<SessionId>) {
        let groups = self.subscriptions.matching(&message.topic);
        if let [group] = &groups[..] {
            for subscription in group.values() {
                self.deliver_to(message, &[subscription], lost);
            }
            return;
        }
        // A client whose filters overlap gets one copy, with the highest QoS and all ids.
        let mut found: Vec<&Subscription> = groups.iter().flat_map(|group| group.values()).collect();
        found.sort_unstable_by_key(|subscription| subscription.recipient.id);
        for same in found.chunk_by(|one, other| one.recipient.id == other.recipient.id) {
            self.deliver_to(message, same, lost);
        }
    }

    fn deliver_to(&self, message: &Arc<Message>, subscriptions: &[&Subscription], lost: &mut Vec<SessionId>) {
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
            Fate::Dropped => {
                self.counters.dropped.inc();
            }
            Fate::Overflow => {
                lost.push(recipient.id);
                self.counters.overflowed.inc();
                let client = String::from_utf8_lossy(&recipient.client_id);
                let connection = recipient.connection;
                tracing::warn!(connection.id = %connection, %client, "a client reads too slowly and is disconnected");
            }
        }
    }
}
