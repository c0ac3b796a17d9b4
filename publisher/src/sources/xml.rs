//! XML of other programs, read as it comes: bytes that are no UTF-8, tags that were never closed and a stray `&` spoil nothing
//! but themselves, and nothing is expanded. What the elements mean is decided elsewhere.

use std::io::{self, BufRead, BufReader, Read};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{decode, playlist};

/// A longer tag or text ends the reading: no program writes one, and a hostile one must not cost memory.
const EVENT_BYTES_MAX: usize = 1024 * 1024;
const BUFFER_BYTES: usize = 1 << 16;

/// Elements one after the other.
pub(super) struct Elements<R> {
    reader: Reader<Limited<BufReader<Utf8<R>>>>,
    buffer: Vec<u8>,
}

impl<R: Read> Elements<R> {
    pub fn of(xml: R) -> Self {
        let bytes = BufReader::with_capacity(BUFFER_BYTES, Utf8 { bytes: xml, cut: Vec::new() });
        let mut reader = Reader::from_reader(Limited { bytes, left: 0 });
        let config = reader.config_mut();
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = true;
        Self { reader, buffer: Vec::new() }
    }

    /// The next event and where it begins; nothing when the text ends or stops making sense.
    pub fn next(&mut self) -> Option<(u64, Event<'_>)> {
        let at = self.reader.buffer_position();
        self.buffer.clear();
        self.reader.get_mut().left = EVENT_BYTES_MAX;
        match self.reader.read_event_into(&mut self.buffer) {
            Ok(Event::Eof) | Err(_) => None,
            Ok(event) => Some((at, event)),
        }
    }
}

/// What stands in a tag, with the five named entities decoded.
pub(super) fn values(tag: &BytesStart<'_>) -> Vec<(String, String)> {
    let mut attributes = tag.attributes();
    let readable = attributes.with_checks(false).flatten();
    readable
        .map(|attribute| {
            let value = playlist::unescaped(&decode::line(attribute.value.as_bytes()));
            (attribute.key.as_ref().to_owned(), value)
        })
        .collect()
}

/// Bytes of which only so many may be read before somebody asks for more.
struct Limited<B> {
    bytes: B,
    left: usize,
}

impl<B: BufRead> Read for Limited<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

impl<B: BufRead> BufRead for Limited<B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(io::Error::other("an element without end"));
        }
        self.bytes.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount);
        self.bytes.consume(amount);
    }
}

/// Bytes with all that is not UTF-8 replaced, one for one: a single bad tag would end the reading of a whole library,
/// and offsets must stay true.
struct Utf8<R> {
    bytes: R,
    /// The start of a character whose rest is still to be read.
    cut: Vec<u8>,
}

impl<R: Read> Read for Utf8<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let cut = self.cut.len();
            if buffer.len() <= cut {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            }
            buffer[..cut].copy_from_slice(&self.cut);
            let read = self.bytes.read(&mut buffer[cut..])?;
            self.cut.clear();
            let mut length = cut + read;
            let mut checked = 0;
            while let Err(error) = std::str::from_utf8(&buffer[checked..length]) {
                let bad = checked + error.valid_up_to();
                match error.error_len() {
                    Some(bytes) => {
                        buffer[bad..bad + bytes].fill(b'?');
                        checked = bad + bytes;
                    }
                    None if read == 0 => buffer[bad..length].fill(b'?'),
                    None => {
                        self.cut.extend_from_slice(&buffer[bad..length]);
                        length = bad;
                    }
                }
            }
            if length > 0 || read == 0 {
                return Ok(length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the tags that are read.
    fn names(xml: impl Read) -> String {
        let mut elements = Elements::of(xml);
        let mut names = Vec::new();
        while let Some((_, event)) = elements.next() {
            if let Event::Start(tag) | Event::Empty(tag) = event {
                names.push(tag.name().as_ref().to_owned());
            }
        }
        names.join(" ")
    }

    #[test]
    fn what_makes_no_sense_spoils_nothing_but_itself() {
        assert_eq!(names("<a x=1 y='2' z><b></c>&<d/></a></a>&who;<e>".as_bytes()), "a b d e");
        assert_eq!(names(&b"<a x=\"\xF6\xFF\"/><b/>"[..]), "a b");
        assert_eq!(names("<a/><b x=\"".as_bytes()), "a");
    }

    #[test]
    fn an_element_without_end_costs_no_memory() {
        let endless = "<a/><b x=\"".as_bytes().chain(io::repeat(b'x'));
        assert_eq!(names(endless), "a");
        let endless = "<a/>".as_bytes().chain(io::repeat(b'x'));
        assert_eq!(names(endless), "a");
        let doctype = "<a/><!DOCTYPE b [".as_bytes().chain(io::repeat(b'<'));
        assert_eq!(names(doctype), "a");
    }

    #[test]
    fn nothing_is_expanded() {
        let bomb = "<!DOCTYPE a [<!ENTITY a \"&b;&b;\"><!ENTITY b \"x\">]><a x=\"&a;&amp;\"/>";
        let mut elements = Elements::of(bomb.as_bytes());
        let mut all = Vec::new();
        while let Some((_, event)) = elements.next() {
            if let Event::Empty(tag) = event {
                all.extend(values(&tag));
            }
        }
        assert_eq!(all, [("x".to_owned(), "&a;&".to_owned())]);
    }
}
