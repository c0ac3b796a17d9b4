//! MQTT 3.1, 3.1.1 and 5 on the wire, strict and in both directions. No I/O: bytes in, packets out, and back.
//!
//! Both directions, because the tests speak to the broker through the same code from the client's side.

mod decode;
mod encode;
mod properties;
mod wire;

use bytes::Bytes;

pub use decode::{decode, decode_connect};
pub use encode::{Outgoing, encode};
pub use properties::{Properties, Scope, Value, id};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1, protocol name `MQIsdp`.
    V31,
    V311,
    V5,
}

impl Version {
    pub fn is_v5(self) -> bool {
        self == Self::V5
    }
}

/// Why bytes are not MQTT. The receiver closes the connection, in MQTT 5 after saying [`Fault::reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    #[error("topic name is invalid")]
    TopicInvalid,
    #[error("packet of {0} bytes is larger than allowed")]
    TooLarge(usize),
    #[error("protocol level {0} is not supported")]
    UnsupportedVersion(u8),
}

impl Fault {
    /// The MQTT 5 reason code.
    pub fn reason(self) -> u8 {
        match self {
            Self::Malformed(_) => 0x81,
            Self::Protocol(_) => 0x82,
            Self::UnsupportedVersion(_) => 0x84,
            Self::TopicInvalid => 0x90,
            Self::TooLarge(_) => 0x95,
        }
    }
}

/// Text fields stay `Bytes`: they are checked to be UTF-8 without NUL when decoded, and then mostly compared or copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    Connect(Box<Connect>),
    ConnAck(ConnAck),
    Publish(Publish),
    PubAck(Ack),
    PubRec(Ack),
    PubRel(Ack),
    PubComp(Ack),
    Subscribe(Subscribe),
    SubAck(SubAck),
    Unsubscribe(Unsubscribe),
    UnsubAck(SubAck),
    PingReq,
    PingResp,
    Disconnect(Disconnect),
    Auth(Disconnect),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    pub version: Version,
    pub clean_start: bool,
    pub keep_alive_s: u16,
    pub properties: Properties,
    pub client_id: Bytes,
    pub will: Option<Will>,
    pub user_name: Option<Bytes>,
    pub password: Option<Bytes>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    pub topic: Bytes,
    pub payload: Bytes,
    pub qos: u8,
    pub retain: bool,
    pub properties: Properties,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    pub session_present: bool,
    pub code: u8,
    pub properties: Properties,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    pub dup: bool,
    pub qos: u8,
    pub retain: bool,
    pub topic: Bytes,
    /// 0 with QoS 0.
    pub packet_id: u16,
    pub properties: Properties,
    pub payload: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    pub packet_id: u16,
    pub reason: u8,
    pub properties: Properties,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    pub packet_id: u16,
    pub properties: Properties,
    pub filters: Vec<Filter>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub path: Bytes,
    pub qos: u8,
    pub no_local: bool,
    pub retain_as_published: bool,
    /// 0: always, 1: only if the subscription is new, 2: never.
    pub retain_handling: u8,
}

/// SUBACK and UNSUBACK; a version 3 UNSUBACK has no codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubAck {
    pub packet_id: u16,
    pub properties: Properties,
    pub codes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    pub packet_id: u16,
    pub properties: Properties,
    pub filters: Vec<Bytes>,
}

/// DISCONNECT and AUTH: a reason and properties; version 3 has neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    pub reason: u8,
    pub properties: Properties,
}

#[cfg(test)]
mod tests;
