//! The last retained message of each topic, in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::message::Message;
use crate::topic;

#[derive(Debug)]
pub(crate) struct Retained {
    messages: BTreeMap<Bytes, Arc<Message>>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
}

/// The store has no room for another topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Retained {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self { messages: BTreeMap::new(), bytes: 0, messages_max, bytes_max }
    }

    /// Keeps the message in place of the topic's former one; an empty payload clears it.
    pub(crate) fn set(&mut self, message: &Arc<Message>, now_ms: i64) -> Result<(), Full> {
        if let Some(former) = self.messages.remove(&message.topic) {
            self.bytes -= former.size();
        }
        if message.payload.is_empty() {
            return Ok(());
        }
        if !self.fits(message) {
            self.sweep(now_ms);
            if !self.fits(message) {
                return Err(Full);
            }
        }
        self.bytes += message.size();
        self.messages.insert(message.topic.clone(), message.clone());
        Ok(())
    }

    pub(crate) fn matching<'a>(
        &'a self,
        filter: &'a [u8],
        now_ms: i64,
    ) -> impl Iterator<Item = &'a Arc<Message>> {
        // Only topics that begin as the filter does up to its first wildcard can match; `a/#` also means `a`.
        let wildcard = filter.iter().position(|byte| matches!(byte, b'+' | b'#'));
        let prefix = match wildcard {
            Some(at) => &filter[..at.saturating_sub(usize::from(filter[at] == b'#'))],
            None => filter,
        };
        self.messages
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(topic, _)| topic.starts_with(prefix))
            .filter(move |(topic, message)| topic::matches(filter, topic) && !message.is_expired(now_ms))
            .map(|(_, message)| message)
    }

    pub(crate) fn get(&self, topic: &[u8]) -> Option<&Arc<Message>> {
        self.messages.get(topic)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    fn fits(&self, message: &Message) -> bool {
        self.messages.len() < self.messages_max && self.bytes + message.size() <= self.bytes_max
    }

    fn sweep(&mut self, now_ms: i64) {
        self.messages.retain(|_, message| !message.is_expired(now_ms));
        self.bytes = self.messages.values().map(|message| message.size()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Properties;

    fn message(topic: &str, payload: &str, expires_ms: Option<i64>) -> Arc<Message> {
        Arc::new(Message {
            origin: 1,
            packet_id: 0,
            qos: 0,
            retain: true,
            expires_ms,
            topic: Bytes::copy_from_slice(topic.as_bytes()),
            properties: Properties::new(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            held: crate::message::Held::default(),
        })
    }

    fn topics(retained: &Retained, filter: &str) -> Vec<String> {
        let found = retained.matching(filter.as_bytes(), 0);
        found.map(|message| String::from_utf8_lossy(&message.topic).into_owned()).collect()
    }

    #[test]
    fn filters_find_their_topics() {
        let mut retained = Retained::new(10, 1000);
        for topic in ["a", "a/b", "a/b/c", "ab", "b/b", "$SYS/x"] {
            retained.set(&message(topic, "1", None), 0).expect("room");
        }
        for (filter, expected) in [
            ("a/#", &["a", "a/b", "a/b/c"][..]),
            ("+/b", &["a/b", "b/b"]),
            ("a", &["a"]),
            ("a/+/c", &["a/b/c"]),
            ("#", &["a", "a/b", "a/b/c", "ab", "b/b"]),
            ("$SYS/#", &["$SYS/x"]),
        ] {
            assert_eq!(topics(&retained, filter), expected, "{filter}");
        }
        retained.set(&message("a", "", None), 0).expect("cleared");
        assert_eq!(topics(&retained, "a"), [""; 0]);
    }

    #[test]
    fn a_full_store_makes_room_by_what_expired() {
        let mut retained = Retained::new(2, 1000);
        retained.set(&message("a", "1", Some(5)), 0).expect("room");
        retained.set(&message("b", "1", None), 0).expect("room");
        assert_eq!(retained.set(&message("c", "1", None), 4), Err(Full));
        retained.set(&message("b", "2", None), 4).expect("known topics change");
        retained.set(&message("c", "1", None), 5).expect("the first one expired");
        assert_eq!(retained.len(), 2);
    }
}
