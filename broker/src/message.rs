//! One published message on its way through the broker, and the binary envelope it travels in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::clock::now_ms;
use crate::codec::{Properties, Will, id};

/// Who sent it; numbers are never used twice while the process lives. 0 is the broker itself.
pub(crate) type SessionId = u64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub origin: SessionId,
    /// The publisher's packet id, which it waits to have acknowledged; 0 with QoS 0.
    pub packet_id: u16,
    pub qos: u8,
    pub retain: bool,
    pub expires_ms: Option<i64>,
    pub topic: Bytes,
    /// What MQTT 5 subscribers get to see; without expiry, alias and subscription ids.
    pub properties: Properties,
    pub payload: Bytes,
    pub held: Held,
}

/// Counts a message's bytes as long as anybody holds it.
#[derive(Debug, Default)]
pub(crate) struct Held(Option<(Arc<AtomicUsize>, usize)>);

impl Held {
    fn new(total: &Arc<AtomicUsize>, bytes: usize) -> Self {
        total.fetch_add(bytes, Ordering::Relaxed);
        Self(Some((total.clone(), bytes)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((total, bytes)) = &self.0 {
            total.fetch_sub(*bytes, Ordering::Relaxed);
        }
    }
}

impl Clone for Held {
    /// A copy shares its bytes with the original, so they are not counted again.
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Held {}

// version 1 | seq 8 | origin 8 | packet id 2 | flags 1 | expires 8 | topic 2+n | properties 4+n | payload
const LAYOUT: u8 = 1;
const HEAD: usize = 1 + 8 + 8 + 2 + 1 + 8;

impl Message {
    /// The envelope, with the sequence number still 0: the pipe gives it.
    pub(crate) fn envelope(&self) -> BytesMut {
        let properties = self.properties.as_bytes();
        let mut out =
            BytesMut::with_capacity(HEAD + 6 + self.topic.len() + properties.len() + self.payload.len());
        out.put_u8(LAYOUT);
        out.put_u64(0);
        out.put_u64(self.origin);
        out.put_u16(self.packet_id);
        out.put_u8(self.qos | u8::from(self.retain) << 2);
        out.put_i64(self.expires_ms.unwrap_or(0));
        out.put_u16(u16::try_from(self.topic.len()).unwrap_or(u16::MAX));
        out.put_slice(&self.topic);
        out.put_u32(u32::try_from(properties.len()).unwrap_or(u32::MAX));
        out.put_slice(properties);
        out.put_slice(&self.payload);
        out
    }

    /// `None` means that the bytes are not an envelope of ours.
    pub(crate) fn open(mut envelope: Bytes) -> Option<Self> {
        if envelope.len() < HEAD + 2 || envelope.get_u8() != LAYOUT {
            return None;
        }
        envelope.advance(8);
        let origin = envelope.get_u64();
        let packet_id = envelope.get_u16();
        let flags = envelope.get_u8();
        let expires_ms = Some(envelope.get_i64()).filter(|at| *at != 0);
        let len = usize::from(envelope.get_u16());
        if envelope.len() < len + 4 {
            return None;
        }
        let topic = envelope.split_to(len);
        let len = envelope.get_u32() as usize;
        if envelope.len() < len {
            return None;
        }
        let properties = Properties::from_checked(envelope.split_to(len));
        Some(Self {
            origin,
            packet_id,
            qos: flags & 3,
            retain: flags & 4 != 0,
            expires_ms,
            topic,
            properties,
            payload: envelope,
            held: Held::default(),
        })
    }

    pub(crate) fn of_will(will: &Will, origin: SessionId) -> Self {
        Self {
            origin,
            packet_id: 0,
            qos: will.qos,
            retain: will.retain,
            expires_ms: expires_ms(&will.properties),
            topic: will.topic.clone(),
            properties: will.properties.forwarded(),
            payload: will.payload.clone(),
            held: Held::default(),
        }
    }

    /// The message, counted in `total` from now on.
    pub(crate) fn counted(mut self, total: &Arc<AtomicUsize>) -> Self {
        self.held = Held::new(total, self.size());
        self
    }

    pub(crate) fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_ms.is_some_and(|at| at <= now_ms)
    }

    /// What it counts for in queues: its bytes.
    pub(crate) fn size(&self) -> usize {
        self.topic.len() + self.properties.as_bytes().len() + self.payload.len()
    }
}

/// When a message with these properties is too old.
pub(crate) fn expires_ms(properties: &Properties) -> Option<i64> {
    if properties.is_empty() {
        return None;
    }
    properties.number(id::MESSAGE_EXPIRY).map(|seconds| now_ms() + i64::from(seconds) * 1000)
}

/// The sequence number in an envelope.
pub(crate) fn seq(envelope: &[u8]) -> Option<u64> {
    envelope.get(1..9).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes)
}

pub(crate) fn set_seq(envelope: &mut [u8], seq: u64) {
    envelope[1..9].copy_from_slice(&seq.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_gives_back_the_message() {
        let message = Message {
            origin: 7,
            packet_id: 9,
            qos: 1,
            retain: true,
            expires_ms: Some(1_700_000_000_000),
            topic: Bytes::from("étoile/x"),
            properties: Properties::new().with_bytes(3, "text/plain"),
            payload: Bytes::from_static(b"\0\xff"),
            held: Held::default(),
        };
        let mut envelope = message.envelope();
        set_seq(&mut envelope, 42);
        assert_eq!(seq(&envelope), Some(42));
        let envelope = envelope.freeze();
        assert_eq!(Message::open(envelope.clone()), Some(message));
        for cut in 0..HEAD + 2 {
            assert_eq!(Message::open(envelope.slice(..cut)), None);
        }
    }
}
