//! From packets to bytes, appended to the connection's outgoing buffer.

use bytes::{BufMut, BytesMut};

use super::properties::{Properties, id};
use super::wire::{put_binary, put_varint, varint_size};
use super::{Ack, Connect, Disconnect, Packet, Publish, Version};

pub fn encode(packet: &Packet, version: Version, out: &mut BytesMut) {
    match packet {
        Packet::Connect(connect) => put_connect(connect, out),
        Packet::ConnAck(ack) => {
            header(0x20, 2 + size(&ack.properties, version), out);
            out.put_u8(ack.session_present.into());
            out.put_u8(ack.code);
            put(&ack.properties, version, out);
        }
        Packet::Publish(publish) => put_publish(publish, version, out),
        Packet::PubAck(ack) => put_ack(0x40, ack, version, out),
        Packet::PubRec(ack) => put_ack(0x50, ack, version, out),
        Packet::PubRel(ack) => put_ack(0x62, ack, version, out),
        Packet::PubComp(ack) => put_ack(0x70, ack, version, out),
        Packet::Subscribe(subscribe) => {
            let filters: usize = subscribe.filters.iter().map(|filter| 3 + filter.path.len()).sum();
            header(0x82, 2 + size(&subscribe.properties, version) + filters, out);
            out.put_u16(subscribe.packet_id);
            put(&subscribe.properties, version, out);
            for filter in &subscribe.filters {
                put_binary(out, &filter.path);
                let options = filter.qos
                    | u8::from(filter.no_local) << 2
                    | u8::from(filter.retain_as_published) << 3
                    | filter.retain_handling << 4;
                out.put_u8(options);
            }
        }
        Packet::SubAck(ack) => {
            header(0x90, 2 + size(&ack.properties, version) + ack.codes.len(), out);
            out.put_u16(ack.packet_id);
            put(&ack.properties, version, out);
            out.put_slice(&ack.codes);
        }
        Packet::Unsubscribe(unsubscribe) => {
            let filters: usize = unsubscribe.filters.iter().map(|filter| 2 + filter.len()).sum();
            header(0xa2, 2 + size(&unsubscribe.properties, version) + filters, out);
            out.put_u16(unsubscribe.packet_id);
            put(&unsubscribe.properties, version, out);
            for filter in &unsubscribe.filters {
                put_binary(out, filter);
            }
        }
        Packet::UnsubAck(ack) => {
            let codes: &[u8] = if version.is_v5() { &ack.codes } else { &[] };
            header(0xb0, 2 + size(&ack.properties, version) + codes.len(), out);
            out.put_u16(ack.packet_id);
            put(&ack.properties, version, out);
            out.put_slice(codes);
        }
        Packet::PingReq => out.put_slice(&[0xc0, 0]),
        Packet::PingResp => out.put_slice(&[0xd0, 0]),
        Packet::Disconnect(disconnect) => put_disconnect(0xe0, disconnect, version, out),
        Packet::Auth(auth) => put_disconnect(0xf0, auth, version, out),
    }
}

fn header(first: u8, len: usize, out: &mut BytesMut) {
    out.reserve(5 + len);
    out.put_u8(first);
    put_varint(out, len);
}

fn size(properties: &Properties, version: Version) -> usize {
    if version.is_v5() { properties.encoded_size() } else { 0 }
}

fn put(properties: &Properties, version: Version, out: &mut BytesMut) {
    if version.is_v5() {
        properties.write(out);
    }
}

fn put_connect(connect: &Connect, out: &mut BytesMut) {
    let version = connect.version;
    let (name, level): (&[u8], u8) = match version {
        Version::V31 => (b"MQIsdp", 3),
        Version::V311 => (b"MQTT", 4),
        Version::V5 => (b"MQTT", 5),
    };
    let field = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, |bytes| 2 + bytes.len());
    let will = connect
        .will
        .as_ref()
        .map_or(0, |will| size(&will.properties, version) + 4 + will.topic.len() + will.payload.len());
    let len = 2 + name.len() + 4 + size(&connect.properties, version) + 2 + connect.client_id.len() + will;
    header(0x10, len + field(&connect.user_name) + field(&connect.password), out);
    put_binary(out, name);
    out.put_u8(level);
    let will_flags = connect.will.as_ref().map_or(0, |will| 4 | will.qos << 3 | u8::from(will.retain) << 5);
    out.put_u8(
        u8::from(connect.clean_start) << 1
            | will_flags
            | u8::from(connect.password.is_some()) << 6
            | u8::from(connect.user_name.is_some()) << 7,
    );
    out.put_u16(connect.keep_alive_s);
    put(&connect.properties, version, out);
    put_binary(out, &connect.client_id);
    if let Some(will) = &connect.will {
        put(&will.properties, version, out);
        put_binary(out, &will.topic);
        put_binary(out, &will.payload);
    }
    for bytes in [&connect.user_name, &connect.password].into_iter().flatten() {
        put_binary(out, bytes);
    }
}

fn put_publish(publish: &Publish, version: Version, out: &mut BytesMut) {
    let id = if publish.qos > 0 { 2 } else { 0 };
    let len = 2 + publish.topic.len() + id + size(&publish.properties, version) + publish.payload.len();
    let flags = u8::from(publish.dup) << 3 | publish.qos << 1 | u8::from(publish.retain);
    header(0x30 | flags, len, out);
    put_binary(out, &publish.topic);
    if publish.qos > 0 {
        out.put_u16(publish.packet_id);
    }
    put(&publish.properties, version, out);
    out.put_slice(&publish.payload);
}

fn put_ack(first: u8, ack: &Ack, version: Version, out: &mut BytesMut) {
    if !version.is_v5() || (ack.reason == 0 && ack.properties.is_empty()) {
        header(first, 2, out);
        return out.put_u16(ack.packet_id);
    }
    header(first, 3 + ack.properties.encoded_size(), out);
    out.put_u16(ack.packet_id);
    out.put_u8(ack.reason);
    ack.properties.write(out);
}

fn put_disconnect(first: u8, disconnect: &Disconnect, version: Version, out: &mut BytesMut) {
    if !version.is_v5() || (disconnect.reason == 0 && disconnect.properties.is_empty()) {
        return header(first, 0, out);
    }
    header(first, 1 + disconnect.properties.encoded_size(), out);
    out.put_u8(disconnect.reason);
    disconnect.properties.write(out);
}

/// A message on its way to one subscriber, written without an intermediate [`Publish`].
#[derive(Debug)]
pub struct Outgoing<'a> {
    pub dup: bool,
    pub qos: u8,
    pub retain: bool,
    pub topic: &'a [u8],
    pub packet_id: u16,
    pub properties: &'a Properties,
    pub expiry_s: Option<u32>,
    pub subscription_ids: &'a [u32],
    pub payload: &'a [u8],
}

impl Outgoing<'_> {
    pub fn encoded_size(&self, version: Version) -> usize {
        let len = self.body_size(version);
        1 + varint_size(len) + len
    }

    pub fn encode(&self, version: Version, out: &mut BytesMut) {
        let flags = u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        header(0x30 | flags, self.body_size(version), out);
        put_binary(out, self.topic);
        if self.qos > 0 {
            out.put_u16(self.packet_id);
        }
        if version.is_v5() {
            put_varint(out, self.properties_size());
            out.put_slice(self.properties.as_bytes());
            if let Some(expiry_s) = self.expiry_s {
                out.put_u8(id::MESSAGE_EXPIRY);
                out.put_u32(expiry_s);
            }
            for subscription_id in self.subscription_ids {
                out.put_u8(id::SUBSCRIPTION_ID);
                put_varint(out, *subscription_id as usize);
            }
        }
        out.put_slice(self.payload);
    }

    fn body_size(&self, version: Version) -> usize {
        let properties = self.properties_size();
        let properties = if version.is_v5() { varint_size(properties) + properties } else { 0 };
        2 + self.topic.len() + if self.qos > 0 { 2 } else { 0 } + properties + self.payload.len()
    }

    fn properties_size(&self) -> usize {
        let ids: usize = self.subscription_ids.iter().map(|id| 1 + varint_size(*id as usize)).sum();
        self.properties.as_bytes().len() + if self.expiry_s.is_some() { 5 } else { 0 } + ids
    }
}
