//! What SUBSCRIBE and UNSUBSCRIBE do.

use std::sync::Arc;

use bytes::Bytes;

use super::{Dispatcher, Recipient};
use crate::clock::now_ms;
use crate::codec::{Filter, Properties, SubAck, Subscribe, Unsubscribe, id};
use crate::message::SessionId;
use crate::outbox::{Answer, Delivery, Fate};
use crate::subscriptions::Subscription;
use crate::topic;

impl Dispatcher {
    pub(super) fn subscribe(&mut self, session: SessionId, subscribe: &Subscribe) {
        let Some(recipient) = self.sessions.get(&session).map(|session| session.recipient.clone()) else {
            return;
        };
        if subscribe.filters.iter().any(|filter| filter.path.starts_with(b"$SYS")) {
            self.freshen_status();
        }
        let subscription_id = subscribe.properties.number(id::SUBSCRIPTION_ID);
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        let mut fresh = Vec::new();
        for filter in &subscribe.filters {
            match self.grant(&recipient, filter, subscription_id) {
                Ok(is_new) => {
                    codes.push(filter.qos);
                    let wanted = match filter.retain_handling {
                        // What is kept goes to everybody, which is not what a group is for.
                        _ if topic::shared(&filter.path).is_some() => false,
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
        self.counters.subscriptions.set(self.subscriptions.len() as u64);
        recipient.outbox.answer(Answer::Subscribed(ack));
        for filter in fresh {
            self.send_retained(&recipient, filter, subscription_id);
        }
    }

    /// Notes a subscription; tells whether it is new, or the reason code why not.
    fn grant(&mut self, recipient: &Arc<Recipient>, asked: &Filter, id: Option<u32>) -> Result<bool, u8> {
        let path = &asked.path;
        let (group, filter) = match topic::shared(path) {
            Some((group, filter)) => (Some(group), filter),
            None => (None, &path[..]),
        };
        if !topic::is_filter(filter) || group.is_some_and(|group| !topic::is_name(group)) {
            return Err(0x8f);
        }
        if !recipient.principal.may_subscribe(filter) {
            if self.counters.deny(now_ms()) {
                let filter = String::from_utf8_lossy(path);
                let (connection, principal) = (recipient.connection, recipient.principal.name());
                tracing::warn!(connection.id = %connection, principal, %filter, "denied a subscription");
            }
            return Err(0x87);
        }
        let Some(session) = self.sessions.get_mut(&recipient.id) else { return Err(0x80) };
        let is_known = session.filters.contains(path);
        if !is_known && session.filters.len() >= self.settings.subscriptions_max {
            self.counters.subscriptions_refused.inc();
            return Err(0x97);
        }
        let subscription = Subscription {
            recipient: recipient.clone(),
            qos: asked.qos,
            no_local: asked.no_local,
            retain_as_published: asked.retain_as_published,
            id,
            is_covered: recipient.principal.may_read_all(filter),
        };
        if !is_known {
            // Copied, because the filter is a part of a whole read buffer.
            session.filters.push(Bytes::copy_from_slice(path));
        }
        self.subscriptions.insert(path, subscription);
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
                Fate::Queued => {}
                Fate::Dropped => {
                    self.counters.dropped.inc();
                }
                Fate::Overflow => {
                    self.counters.overflowed.inc();
                }
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, session: SessionId, unsubscribe: &Unsubscribe) {
        let Some(known) = self.sessions.get_mut(&session) else { return };
        let mut codes = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            known.filters.retain(|known| known != filter);
            let existed = self.subscriptions.remove(filter, session).is_some();
            codes.push(if existed { 0 } else { 0x11 });
        }
        let ack = SubAck { packet_id: unsubscribe.packet_id, properties: Properties::new(), codes };
        self.counters.subscriptions.set(self.subscriptions.len() as u64);
        known.recipient.outbox.answer(Answer::Unsubscribed(ack));
    }
}
