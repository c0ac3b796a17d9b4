//! MQTT 5 properties, kept in their encoded form: checked once when read, walked when asked, copied when forwarded.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Fault;
use super::wire::{Reader, put_binary, put_varint, varint_size};

/// Property identifiers by name.
pub mod id {
    pub const PAYLOAD_FORMAT: u8 = 1;
    pub const MESSAGE_EXPIRY: u8 = 2;
    pub const CONTENT_TYPE: u8 = 3;
    pub const RESPONSE_TOPIC: u8 = 8;
    pub const CORRELATION: u8 = 9;
    pub const SUBSCRIPTION_ID: u8 = 11;
    pub const SESSION_EXPIRY: u8 = 17;
    pub const ASSIGNED_CLIENT_ID: u8 = 18;
    pub const SERVER_KEEP_ALIVE: u8 = 19;
    pub const AUTH_METHOD: u8 = 21;
    pub const AUTH_DATA: u8 = 22;
    pub const REQUEST_PROBLEM: u8 = 23;
    pub const WILL_DELAY: u8 = 24;
    pub const REQUEST_RESPONSE: u8 = 25;
    pub const RESPONSE: u8 = 26;
    pub const SERVER_REFERENCE: u8 = 28;
    pub const REASON: u8 = 31;
    pub const RECEIVE_MAXIMUM: u8 = 33;
    pub const TOPIC_ALIAS_MAXIMUM: u8 = 34;
    pub const TOPIC_ALIAS: u8 = 35;
    pub const MAXIMUM_QOS: u8 = 36;
    pub const RETAIN_AVAILABLE: u8 = 37;
    pub const USER: u8 = 38;
    pub const MAXIMUM_PACKET_SIZE: u8 = 39;
    pub const WILDCARD_AVAILABLE: u8 = 40;
    pub const SUBSCRIPTION_ID_AVAILABLE: u8 = 41;
    pub const SHARED_AVAILABLE: u8 = 42;
}

/// Where properties stand; each place allows its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Connect = 1,
    Will = 2,
    ConnAck = 4,
    Publish = 8,
    Ack = 16,
    Subscribe = 32,
    SubAck = 64,
    Unsubscribe = 128,
    Disconnect = 256,
    Auth = 512,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Number(u32),
    Bytes(Bytes),
    Pair(Bytes, Bytes),
}

#[derive(Clone, Copy)]
enum Kind {
    /// One byte that is 0 or 1.
    Flag,
    Two,
    Four,
    Varint,
    Text,
    Binary,
    Pair,
}

/// Kind of a property, where it may stand, and whether 0 is forbidden.
fn rule(property: u8) -> Option<(Kind, u16, bool)> {
    use Scope::{Ack, Auth, ConnAck, Connect, Disconnect, Publish, SubAck, Subscribe, Will};
    const ALL: u16 = 0x3ff;
    let within = |scopes: &[Scope]| scopes.iter().fold(0, |mask, scope| mask | *scope as u16);
    let message = within(&[Publish, Will]);
    let handshake = within(&[Connect, ConnAck]);
    Some(match property {
        id::PAYLOAD_FORMAT => (Kind::Flag, message, false),
        id::MESSAGE_EXPIRY => (Kind::Four, message, false),
        id::CONTENT_TYPE | id::RESPONSE_TOPIC => (Kind::Text, message, false),
        id::CORRELATION => (Kind::Binary, message, false),
        id::SUBSCRIPTION_ID => (Kind::Varint, within(&[Publish, Subscribe]), true),
        id::SESSION_EXPIRY => (Kind::Four, handshake | Disconnect as u16, false),
        id::ASSIGNED_CLIENT_ID | id::RESPONSE => (Kind::Text, ConnAck as u16, false),
        id::SERVER_KEEP_ALIVE => (Kind::Two, ConnAck as u16, false),
        id::AUTH_METHOD => (Kind::Text, handshake | Auth as u16, false),
        id::AUTH_DATA => (Kind::Binary, handshake | Auth as u16, false),
        id::REQUEST_PROBLEM | id::REQUEST_RESPONSE => (Kind::Flag, Connect as u16, false),
        id::WILL_DELAY => (Kind::Four, Will as u16, false),
        id::SERVER_REFERENCE => (Kind::Text, within(&[ConnAck, Disconnect]), false),
        // SUBACK and UNSUBACK share a scope.
        id::REASON => (Kind::Text, within(&[ConnAck, Ack, SubAck, Disconnect, Auth]), false),
        id::RECEIVE_MAXIMUM => (Kind::Two, handshake, true),
        id::TOPIC_ALIAS_MAXIMUM => (Kind::Two, handshake, false),
        id::TOPIC_ALIAS => (Kind::Two, Publish as u16, true),
        id::MAXIMUM_QOS
        | id::RETAIN_AVAILABLE
        | id::WILDCARD_AVAILABLE
        | id::SUBSCRIPTION_ID_AVAILABLE
        | id::SHARED_AVAILABLE => (Kind::Flag, ConnAck as u16, false),
        id::USER => (Kind::Pair, ALL, false),
        id::MAXIMUM_PACKET_SIZE => (Kind::Four, handshake, true),
        _ => return None,
    })
}

/// A checked list of properties without its length prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(Bytes);

impl Properties {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes that [`Properties::as_bytes`] gave.
    pub(crate) fn from_checked(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn number(&self, property: u8) -> Option<u32> {
        self.iter().find_map(|(found, value)| match value {
            Value::Number(number) if found == property => Some(number),
            _ => None,
        })
    }

    pub fn bytes(&self, property: u8) -> Option<Bytes> {
        self.iter().find_map(|(found, value)| match value {
            Value::Bytes(bytes) if found == property => Some(bytes),
            _ => None,
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = (u8, Value)> {
        let mut reader = Reader::new(self.0.clone());
        std::iter::from_fn(move || {
            let property = reader.u8().ok()?;
            let (kind, ..) = rule(property)?;
            Some((property, value(&mut reader, kind).ok()?))
        })
    }

    #[must_use]
    pub fn with_number(self, property: u8, number: u32) -> Self {
        self.with(property, &Value::Number(number))
    }

    #[must_use]
    pub fn with_bytes(self, property: u8, bytes: impl Into<Bytes>) -> Self {
        self.with(property, &Value::Bytes(bytes.into()))
    }

    #[must_use]
    pub fn with(self, property: u8, value: &Value) -> Self {
        let mut out = BytesMut::from(self.0);
        put(&mut out, property, value);
        Self(out.freeze())
    }

    /// What a subscriber may see of a publisher's properties: all but those between publisher and broker, and the
    /// expiry, which travels as a deadline.
    #[must_use]
    pub fn forwarded(&self) -> Self {
        let kept = |property| {
            !matches!(property, id::MESSAGE_EXPIRY | id::TOPIC_ALIAS | id::SUBSCRIPTION_ID | id::WILL_DELAY)
        };
        if self.iter().all(|(property, _)| kept(property)) {
            return self.clone();
        }
        let mut out = BytesMut::new();
        for (property, value) in self.iter().filter(|(property, _)| kept(*property)) {
            put(&mut out, property, &value);
        }
        Self(out.freeze())
    }

    pub(super) fn read(reader: &mut Reader, scope: Scope) -> Result<Self, Fault> {
        let len = reader.varint()?;
        let all = reader.bytes(len as usize)?;
        if all.is_empty() {
            return Ok(Self::default());
        }
        let mut seen = 0_u64;
        let mut reader = Reader::new(all.clone());
        while !reader.is_empty() {
            let property = reader.u8()?;
            let Some((kind, scopes, not_zero)) = rule(property) else {
                return Err(Fault::Malformed("unknown property"));
            };
            if scopes & scope as u16 == 0 {
                return Err(Fault::Protocol("a property that does not belong to this packet"));
            }
            let repeatable =
                property == id::USER || (property == id::SUBSCRIPTION_ID && scope == Scope::Publish);
            if !repeatable && seen & (1 << property) != 0 {
                return Err(Fault::Protocol("a property is given twice"));
            }
            seen |= 1 << property;
            match value(&mut reader, kind)? {
                Value::Number(0) if not_zero => return Err(Fault::Protocol("a property must not be 0")),
                Value::Bytes(topic)
                    if property == id::RESPONSE_TOPIC && topic.iter().any(|b| matches!(b, b'+' | b'#')) =>
                {
                    return Err(Fault::Protocol("the response topic contains a wildcard"));
                }
                _ => {}
            }
        }
        if seen & (1 << id::AUTH_DATA) != 0 && seen & (1 << id::AUTH_METHOD) == 0 {
            return Err(Fault::Protocol("authentication data without a method"));
        }
        Ok(Self(all))
    }

    pub(super) fn encoded_size(&self) -> usize {
        varint_size(self.0.len()) + self.0.len()
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        put_varint(out, self.0.len());
        out.put_slice(self.0.chunk());
    }
}

fn value(reader: &mut Reader, kind: Kind) -> Result<Value, Fault> {
    Ok(match kind {
        Kind::Flag => match reader.u8()? {
            flag @ 0..=1 => Value::Number(flag.into()),
            _ => return Err(Fault::Protocol("a property must be 0 or 1")),
        },
        Kind::Two => Value::Number(reader.u16()?.into()),
        Kind::Four => Value::Number(reader.u32()?),
        Kind::Varint => Value::Number(reader.varint()?),
        Kind::Text => Value::Bytes(reader.text()?),
        Kind::Binary => Value::Bytes(reader.binary()?),
        Kind::Pair => Value::Pair(reader.text()?, reader.text()?),
    })
}

fn put(out: &mut BytesMut, property: u8, value: &Value) {
    let Some((kind, ..)) = rule(property) else { return };
    out.put_u8(property);
    match (kind, value) {
        (Kind::Flag, Value::Number(number)) => out.put_u8(u8::from(*number != 0)),
        (Kind::Two, Value::Number(number)) => out.put_u16(u16::try_from(*number).unwrap_or(u16::MAX)),
        (Kind::Four, Value::Number(number)) => out.put_u32(*number),
        (Kind::Varint, Value::Number(number)) => put_varint(out, *number as usize),
        (Kind::Text | Kind::Binary, Value::Bytes(bytes)) => put_binary(out, bytes),
        (Kind::Pair, Value::Pair(name, value)) => {
            put_binary(out, name);
            put_binary(out, value);
        }
        // A mismatch is a mistake in our own code: leave the property out rather than write nonsense.
        _ => out.truncate(out.len() - 1),
    }
}
