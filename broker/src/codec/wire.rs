//! The primitive fields of MQTT: integers, variable integers, strings. Reading checks, writing does not.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Fault;

/// Consumes one packet's body; asking for more than is there is a malformed packet.
pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) fn new(body: Bytes) -> Self {
        Self(body)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        self.has(1)?;
        Ok(self.0.get_u8())
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        self.has(2)?;
        Ok(self.0.get_u16())
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.has(4)?;
        Ok(self.0.get_u32())
    }

    pub(super) fn varint(&mut self) -> Result<u32, Fault> {
        match varint(&self.0)? {
            Some((value, size)) => {
                self.0.advance(size);
                Ok(value)
            }
            None => Err(Fault::Malformed("the packet ends within a field")),
        }
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<Bytes, Fault> {
        self.has(len)?;
        Ok(self.0.split_to(len))
    }

    pub(super) fn binary(&mut self) -> Result<Bytes, Fault> {
        let len = self.u16()?;
        self.bytes(len.into())
    }

    pub(super) fn text(&mut self) -> Result<Bytes, Fault> {
        let text = self.binary()?;
        if std::str::from_utf8(&text).is_err() {
            return Err(Fault::Malformed("a string is not UTF-8"));
        }
        if text.contains(&0) {
            return Err(Fault::Malformed("a string contains NUL"));
        }
        Ok(text)
    }

    pub(super) fn packet_id(&mut self) -> Result<u16, Fault> {
        match self.u16()? {
            0 => Err(Fault::Protocol("packet id 0")),
            id => Ok(id),
        }
    }

    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Fault::Malformed("bytes are left at the end of the packet"))
        }
    }

    fn has(&self, len: usize) -> Result<(), Fault> {
        if self.0.len() >= len { Ok(()) } else { Err(Fault::Malformed("the packet ends within a field")) }
    }
}

/// A variable byte integer at the start of `bytes` and its size, or `None` when more bytes are needed.
pub(super) fn varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, Fault> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if *byte == 0 && index > 0 {
                return Err(Fault::Malformed("a variable integer is longer than needed"));
            }
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() >= 4 {
        Err(Fault::Malformed("a variable integer is longer than four bytes"))
    } else {
        Ok(None)
    }
}

pub(super) fn varint_size(value: usize) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

pub(super) fn put_varint(out: &mut BytesMut, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.put_u8(low);
        }
        out.put_u8(low | 0x80);
    }
}

/// Callers hold strings that came off the wire or are short, so the length always fits; a longer one is cut.
pub(super) fn put_binary(out: &mut BytesMut, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.put_u16(len);
    out.put_slice(&bytes[..usize::from(len)]);
}
