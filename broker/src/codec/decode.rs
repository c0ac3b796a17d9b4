//! From bytes to packets. Whatever the standard forbids is a [`Fault`]; a packet not yet complete is `None`.

use bytes::{Buf, Bytes, BytesMut};

use super::properties::{Properties, Scope, id};
use super::wire::{Reader, varint};
use super::{
    Ack, ConnAck, Connect, Disconnect, Fault, Filter, Packet, Publish, SubAck, Subscribe, Unsubscribe,
    Version, Will,
};
use crate::topic;

/// Takes the next packet from `buffer`, once it is there as a whole. `size_max` counts the header too.
pub fn decode(buffer: &mut BytesMut, version: Version, size_max: usize) -> Result<Option<Packet>, Fault> {
    let Some((first, body)) = frame(buffer, size_max)? else { return Ok(None) };
    packet(first, body, version).map(Some)
}

/// The same for the first packet of a connection, which must be CONNECT and tells the version.
pub fn decode_connect(buffer: &mut BytesMut, size_max: usize) -> Result<Option<Box<Connect>>, Fault> {
    if buffer.first().is_some_and(|first| *first != 0x10) {
        return Err(Fault::Protocol("the first packet is not CONNECT"));
    }
    let Some((_, body)) = frame(buffer, size_max)? else { return Ok(None) };
    connect(Reader::new(body)).map(Some)
}

fn frame(buffer: &mut BytesMut, size_max: usize) -> Result<Option<(u8, Bytes)>, Fault> {
    let Some(&first) = buffer.first() else { return Ok(None) };
    // Flags first: a stream that is not MQTT should not make us wait for its "length".
    let flags_fit = match first >> 4 {
        0 => false,
        3 => true,
        6 | 8 | 10 => first & 0x0f == 2,
        _ => first & 0x0f == 0,
    };
    if !flags_fit {
        return Err(Fault::Malformed("wrong packet type or flags"));
    }
    let Some((len, digits)) = varint(&buffer[1..])? else { return Ok(None) };
    let size = 1 + digits + len as usize;
    if size > size_max {
        return Err(Fault::TooLarge(size));
    }
    if buffer.len() < size {
        return Ok(None);
    }
    let mut packet = buffer.split_to(size).freeze();
    packet.advance(1 + digits);
    Ok(Some((first, packet)))
}

fn packet(first: u8, body: Bytes, version: Version) -> Result<Packet, Fault> {
    let mut reader = Reader::new(body);
    let packet = match first >> 4 {
        1 => return connect(reader).map(Packet::Connect),
        2 => Packet::ConnAck(connack(&mut reader, version)?),
        3 => Packet::Publish(publish(first, &mut reader, version)?),
        4 => Packet::PubAck(ack(&mut reader, version)?),
        5 => Packet::PubRec(ack(&mut reader, version)?),
        6 => Packet::PubRel(ack(&mut reader, version)?),
        7 => Packet::PubComp(ack(&mut reader, version)?),
        8 => Packet::Subscribe(subscribe(&mut reader, version)?),
        9 => Packet::SubAck(suback(&mut reader, version)?),
        10 => Packet::Unsubscribe(unsubscribe(&mut reader, version)?),
        11 => Packet::UnsubAck(unsuback(&mut reader, version)?),
        12 => Packet::PingReq,
        13 => Packet::PingResp,
        14 => Packet::Disconnect(disconnect(&mut reader, version, Scope::Disconnect)?),
        15 if version.is_v5() => Packet::Auth(disconnect(&mut reader, version, Scope::Auth)?),
        _ => return Err(Fault::Malformed("wrong packet type or flags")),
    };
    reader.end()?;
    Ok(packet)
}

fn properties(reader: &mut Reader, version: Version, scope: Scope) -> Result<Properties, Fault> {
    if version.is_v5() { Properties::read(reader, scope) } else { Ok(Properties::default()) }
}

fn connect(mut reader: Reader) -> Result<Box<Connect>, Fault> {
    let name = reader.text()?;
    let level = reader.u8()?;
    let version = match (&*name, level) {
        (b"MQTT", 4) => Version::V311,
        (b"MQTT", 5) => Version::V5,
        (b"MQIsdp", 3) => Version::V31,
        (b"MQTT" | b"MQIsdp", _) => return Err(Fault::UnsupportedVersion(level)),
        _ => return Err(Fault::Malformed("the protocol name is not MQTT")),
    };
    let flags = reader.u8()?;
    let (user, password, will) = (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x04 != 0);
    let (will_retain, will_qos) = (flags & 0x20 != 0, flags >> 3 & 3);
    if flags & 1 != 0 {
        return Err(Fault::Malformed("a reserved flag of CONNECT is set"));
    }
    if will_qos == 3 || (!will && (will_retain || will_qos != 0)) {
        return Err(Fault::Malformed("the will flags of CONNECT contradict each other"));
    }
    if password && !user && !version.is_v5() {
        return Err(Fault::Malformed("a password without a user name"));
    }
    let keep_alive_s = reader.u16()?;
    let properties = properties(&mut reader, version, Scope::Connect)?;
    let client_id = reader.text()?;
    let will = if will {
        let properties = self::properties(&mut reader, version, Scope::Will)?;
        let topic = reader.text()?;
        if !topic::is_name(&topic) {
            return Err(Fault::TopicInvalid);
        }
        Some(Will { topic, payload: reader.binary()?, qos: will_qos, retain: will_retain, properties })
    } else {
        None
    };
    let user_name = user.then(|| reader.text()).transpose()?;
    let password = password.then(|| reader.binary()).transpose()?;
    reader.end()?;
    let clean_start = flags & 2 != 0;
    Ok(Box::new(Connect {
        version,
        clean_start,
        keep_alive_s,
        properties,
        client_id,
        will,
        user_name,
        password,
    }))
}

fn connack(reader: &mut Reader, version: Version) -> Result<ConnAck, Fault> {
    let flags = reader.u8()?;
    if flags > 1 {
        return Err(Fault::Malformed("a reserved flag of CONNACK is set"));
    }
    let code = reader.u8()?;
    Ok(ConnAck {
        session_present: flags == 1,
        code,
        properties: properties(reader, version, Scope::ConnAck)?,
    })
}

fn publish(first: u8, reader: &mut Reader, version: Version) -> Result<Publish, Fault> {
    let (dup, qos, retain) = (first & 8 != 0, first >> 1 & 3, first & 1 != 0);
    if qos == 3 || (qos == 0 && dup) {
        return Err(Fault::Malformed("wrong flags of PUBLISH"));
    }
    let topic = reader.text()?;
    let packet_id = if qos > 0 { reader.packet_id()? } else { 0 };
    let properties = properties(reader, version, Scope::Publish)?;
    let aliased = topic.is_empty() && properties.number(id::TOPIC_ALIAS).is_some();
    if !aliased && !topic::is_name(&topic) {
        return Err(Fault::TopicInvalid);
    }
    Ok(Publish { dup, qos, retain, topic, packet_id, properties, payload: reader.rest() })
}

fn ack(reader: &mut Reader, version: Version) -> Result<Ack, Fault> {
    let packet_id = reader.packet_id()?;
    let (reason, properties) = reason(reader, version, Scope::Ack)?;
    Ok(Ack { packet_id, reason, properties })
}

fn disconnect(reader: &mut Reader, version: Version, scope: Scope) -> Result<Disconnect, Fault> {
    let (reason, properties) = reason(reader, version, scope)?;
    Ok(Disconnect { reason, properties })
}

/// A reason code and properties, each of which version 5 allows to leave out.
fn reason(reader: &mut Reader, version: Version, scope: Scope) -> Result<(u8, Properties), Fault> {
    if !version.is_v5() || reader.is_empty() {
        return Ok((0, Properties::default()));
    }
    let reason = reader.u8()?;
    let properties = if reader.is_empty() { Properties::default() } else { Properties::read(reader, scope)? };
    Ok((reason, properties))
}

fn subscribe(reader: &mut Reader, version: Version) -> Result<Subscribe, Fault> {
    let packet_id = reader.packet_id()?;
    let properties = properties(reader, version, Scope::Subscribe)?;
    let mut filters = Vec::new();
    while !reader.is_empty() {
        let path = reader.text()?;
        let options = reader.u8()?;
        let reserved = if version.is_v5() { 0xc0 } else { 0xfc };
        if options & reserved != 0 || options & 3 == 3 || options & 0x30 == 0x30 {
            return Err(Fault::Malformed("wrong subscription options"));
        }
        filters.push(Filter {
            path,
            qos: options & 3,
            no_local: options & 4 != 0,
            retain_as_published: options & 8 != 0,
            retain_handling: options >> 4 & 3,
        });
    }
    if filters.is_empty() {
        return Err(Fault::Protocol("SUBSCRIBE without a filter"));
    }
    Ok(Subscribe { packet_id, properties, filters })
}

fn suback(reader: &mut Reader, version: Version) -> Result<SubAck, Fault> {
    let packet_id = reader.packet_id()?;
    let properties = properties(reader, version, Scope::SubAck)?;
    Ok(SubAck { packet_id, properties, codes: reader.rest().to_vec() })
}

/// As SUBACK, but version 3 says nothing of the single filters.
fn unsuback(reader: &mut Reader, version: Version) -> Result<SubAck, Fault> {
    if version.is_v5() {
        return suback(reader, version);
    }
    Ok(SubAck { packet_id: reader.packet_id()?, properties: Properties::new(), codes: Vec::new() })
}

fn unsubscribe(reader: &mut Reader, version: Version) -> Result<Unsubscribe, Fault> {
    let packet_id = reader.packet_id()?;
    let properties = properties(reader, version, Scope::Unsubscribe)?;
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(reader.text()?);
    }
    if filters.is_empty() {
        return Err(Fault::Protocol("UNSUBSCRIBE without a filter"));
    }
    Ok(Unsubscribe { packet_id, properties, filters })
}
