//! Who subscribed to what, alone or as a member of a group (`$share/group/filter`).

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::dispatcher::Recipient;
use crate::message::SessionId;
use crate::topic;
use crate::tree::Tree;

#[derive(Debug)]
pub(crate) struct Subscription {
    pub recipient: Arc<Recipient>,
    pub qos: u8,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub id: Option<u32>,
    /// Everything that matches may be read, so messages need no check.
    pub is_covered: bool,
}

/// Of a group, one member gets each message.
#[derive(Debug, Default)]
struct Group {
    members: Vec<Subscription>,
    /// Whose turn it is.
    turn: Cell<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    plain: Tree<SessionId, Subscription>,
    groups: Tree<Bytes, Group>,
    count: usize,
}

impl Subscription {
    pub(crate) fn may_read(&self, topic: &[u8]) -> bool {
        self.is_covered || self.recipient.principal.may_read(topic)
    }
}

impl Subscriptions {
    /// `path` is valid, and may name a group.
    pub(crate) fn insert(&mut self, path: &[u8], subscription: Subscription) {
        let session = subscription.recipient.id;
        let Some((group, filter)) = topic::shared(path) else {
            let former = self.plain.insert(path, session, subscription);
            self.count += usize::from(former.is_none());
            return;
        };
        let group = self.groups.entry(filter, Bytes::copy_from_slice(group));
        match group.members.iter_mut().find(|member| member.recipient.id == session) {
            Some(member) => *member = subscription,
            None => {
                group.members.push(subscription);
                self.count += 1;
            }
        }
    }

    pub(crate) fn remove(&mut self, path: &[u8], session: SessionId) -> Option<Subscription> {
        let removed = match topic::shared(path) {
            None => self.plain.remove(path, &session),
            Some((name, filter)) => {
                let name = Bytes::copy_from_slice(name);
                let group = self.groups.get_mut(filter, &name)?;
                let at = group.members.iter().position(|member| member.recipient.id == session)?;
                let removed = group.members.remove(at);
                if group.members.is_empty() {
                    self.groups.remove(filter, &name);
                }
                Some(removed)
            }
        };
        self.count -= usize::from(removed.is_some());
        removed
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Whether any filter begins with this level.
    pub(crate) fn has_branch(&self, level: &[u8]) -> bool {
        self.plain.has_branch(level) || self.groups.has_branch(level)
    }

    /// Whose own filters match, one group per filter; a subscriber is in a group at most once.
    pub(crate) fn matching(&self, topic: &[u8]) -> Vec<&HashMap<SessionId, Subscription>> {
        let mut found = Vec::new();
        self.plain.matching(topic, &mut |members| found.push(members));
        found
    }

    /// The member of each matching group whose turn it is: the next one with access and room, or, if all are busy,
    /// the next one with access.
    pub(crate) fn chosen(&self, topic: &[u8], chosen: &mut impl FnMut(&Subscription)) {
        self.groups.matching(topic, &mut |groups| {
            for group in groups.values() {
                if let Some(member) = group.next(topic) {
                    chosen(member);
                }
            }
        });
    }
}

impl Group {
    fn next(&self, topic: &[u8]) -> Option<&Subscription> {
        let count = self.members.len();
        let mut busy = None;
        for at in (0..count).map(|step| (self.turn.get() + step) % count) {
            let member = &self.members[at];
            if !member.may_read(topic) {
                continue;
            }
            if member.recipient.outbox.has_room() {
                self.turn.set(at + 1);
                return Some(member);
            }
            busy.get_or_insert(at);
        }
        let at = busy?;
        self.turn.set(at + 1);
        Some(&self.members[at])
    }
}
