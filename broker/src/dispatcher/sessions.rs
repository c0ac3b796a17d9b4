//! Sessions come, go, wait for their client to come back, and end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Away, Dispatcher, Leave, Name, Newcomer, Recipient, Session};
use crate::clock::now_ms;
use crate::codec::Will;
use crate::message::{Message, SessionId};
use crate::outbox::{Delivery, Ending};

impl Dispatcher {
    pub(super) fn attach(&mut self, newcomer: Newcomer) {
        // Whoever gave up waiting must not end the session it wanted.
        if self.is_stopping || newcomer.attached.is_closed() {
            return;
        }
        let name = name(&newcomer.recipient);
        let former = self.names.get(&name).copied();
        if let Some(former) = former.and_then(|former| self.sessions.get(&former))
            && former.away.is_none()
        {
            former.recipient.outbox.end(Ending::TakenOver);
            // Of several that wait, the last one wins; the others find their answer dropped.
            self.waiting.insert(name, newcomer);
            return;
        }
        let Newcomer { recipient, clean_start, attached } = newcomer;
        let id = recipient.id;
        let mut filters = Vec::new();
        let mut is_present = false;
        if let Some(former) = former {
            let is_same = self
                .sessions
                .get(&former)
                .is_some_and(|former| *former.recipient.principal == *recipient.principal);
            if clean_start || !is_same {
                self.discard(former);
            } else if let Some(former) = self.remove(former) {
                // Its will, if it still waited, is not to be: the client is back in time.
                recipient.outbox.inherit(&former.recipient.outbox);
                self.rebind(&former, &recipient);
                filters = former.filters;
                is_present = true;
            }
        }
        let session = Session { recipient, filters, away: None };
        self.names.insert(name, id);
        self.sessions.insert(id, session);
        self.counters.connected.inc();
        self.count_sessions();
        // If nobody hears it, the connection ended this moment, and says so by its `Leaving`.
        _ = attached.send(is_present);
    }

    pub(super) fn detach(&mut self, session: SessionId, leave: Leave) {
        let is_kept = leave.expiry_s > 0 && self.has_room_for(session);
        let Some(known) = self.sessions.get_mut(&session) else { return };
        let name = name(&known.recipient);
        let now = Instant::now();
        let until = now + Duration::from_secs(leave.expiry_s.into());
        let will = leave.will.map(|(will, delay_s)| (will, now + Duration::from_secs(delay_s.into())));
        known.away = Some(Away { until, will });
        self.away.insert(session);
        if !is_kept {
            self.discard(session);
        }
        self.count_sessions();
        if let Some(newcomer) = self.waiting.remove(&name) {
            self.attach(newcomer);
        }
    }

    /// Whether a session may stay without its connection. When there are too many, those who leave later are not kept;
    /// anonymous clients can use up half of the room only.
    fn has_room_for(&mut self, session: SessionId) -> bool {
        let Some(known) = self.sessions.get(&session) else { return false };
        if self.is_stopping
            || matches!(known.recipient.outbox.ending(), Some(Ending::Overflow | Ending::NotAuthorized))
        {
            return false;
        }
        let max = self.settings.away_sessions_max;
        let max = if known.recipient.place.is_some() { max / 2 } else { max };
        if self.away.len() >= max {
            self.counters.away_dropped.inc();
            tracing::warn!(max, "too many sessions of absent clients; one more is not kept");
            return false;
        }
        true
    }

    /// Ends the session of an absent client: its subscriptions go, and a will that waited is published now.
    fn discard(&mut self, session: SessionId) {
        let Some(gone) = self.remove(session) else { return };
        gone.recipient.outbox.shut();
        for filter in &gone.filters {
            self.subscriptions.remove(filter, session);
        }
        if let Some((will, _)) = gone.away.and_then(|away| away.will) {
            self.publish_will(&gone.recipient, &will);
        }
    }

    fn remove(&mut self, session: SessionId) -> Option<Session> {
        let gone = self.sessions.remove(&session)?;
        self.away.remove(&session);
        self.names.remove(&name(&gone.recipient));
        self.count_sessions();
        Some(gone)
    }

    fn rebind(&mut self, former: &Session, recipient: &Arc<Recipient>) {
        for filter in &former.filters {
            if let Some(mut subscription) = self.subscriptions.remove(filter, former.recipient.id) {
                subscription.recipient = recipient.clone();
                self.subscriptions.insert(filter, subscription);
            }
        }
    }

    /// Absent clients whose queue overflowed have no session any more: they are told when they come back.
    pub(super) fn give_up(&mut self, lost: &[SessionId]) {
        for session in lost {
            if self.away.contains(session) {
                self.counters.away_dropped.inc();
                self.discard(*session);
            }
        }
    }

    /// Publishes wills that waited long enough, and ends sessions that did.
    pub(super) fn check_away(&mut self, now: Instant) {
        let mut wills = Vec::new();
        let mut over = Vec::new();
        let mut loads = Vec::new();
        for id in &self.away {
            let Some(session) = self.sessions.get_mut(id) else { continue };
            let Some(away) = &mut session.away else { continue };
            if away.until <= now {
                over.push(*id);
                continue;
            }
            if let Some((will, _)) = away.will.take_if(|(_, at)| *at <= now) {
                wills.push((session.recipient.clone(), will));
            }
            let load = session.recipient.outbox.load();
            loads.push((load.bytes + load.messages * size_of::<Delivery>(), *id));
        }
        for (recipient, will) in wills {
            self.publish_will(&recipient, &will);
        }
        for session in over {
            self.discard(session);
        }
        let mut bytes: usize = loads.iter().map(|(bytes, _)| bytes).sum();
        if bytes > self.settings.away_bytes_max {
            loads.sort_unstable();
            while bytes > self.settings.away_bytes_max
                && let Some((largest, id)) = loads.pop()
            {
                bytes -= largest;
                self.give_up(&[id]);
            }
            tracing::warn!(
                "the messages kept for absent clients are too many; the largest queues are given up"
            );
        }
    }

    pub(super) fn forget_away(&mut self) {
        for session in std::mem::take(&mut self.away) {
            self.remove(session);
        }
    }

    /// The dispatcher's own messages need no way through the pipe: nobody waits for their acknowledgement.
    fn publish_will(&mut self, recipient: &Recipient, will: &Will) {
        if !recipient.principal.may_publish(&will.topic) {
            self.counters.denied.inc();
            return;
        }
        let mut lost = Vec::new();
        let message = Message::of_will(will, recipient.id);
        self.hand_out(&Arc::new(message), now_ms(), &mut lost);
        self.give_up(&lost);
    }

    pub(super) fn check_tokens(&mut self) {
        let now_ms = now_ms();
        let mut allowed = HashMap::new();
        let mut revoked = Vec::new();
        for (id, session) in &self.sessions {
            let principal = &session.recipient.principal;
            let is_allowed = *allowed
                .entry(Arc::as_ptr(principal))
                .or_insert_with(|| self.tokens.still_allows(principal, now_ms));
            if is_allowed {
                continue;
            }
            if session.away.is_some() {
                revoked.push(*id);
            } else {
                session.recipient.outbox.end(Ending::NotAuthorized);
            }
        }
        for session in revoked {
            self.discard(session);
        }
    }

    fn count_sessions(&self) {
        let connected = (self.sessions.len() - self.away.len()) as u64;
        self.counters.connections.set(connected);
        let most = &self.counters.connections_most;
        most.set(most.get().max(connected));
        self.counters.away.set(self.away.len() as u64);
        self.counters.subscriptions.set(self.subscriptions.len() as u64);
    }
}

fn name(recipient: &Recipient) -> Name {
    (recipient.principal.name().to_owned(), recipient.place, recipient.client_id.clone())
}
