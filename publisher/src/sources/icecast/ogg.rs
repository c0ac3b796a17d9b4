//! Comments in an Ogg stream: pages out of arbitrary slices, packets out of pages, tags out of comment packets. Pure.
//!
//! Everything else in the stream, the audio above all, is dropped as it comes.

use protocol::Track;

use super::metadata::Tags;

/// A longer packet is dropped: comments with a large picture in them, or no comments at all.
pub const PACKET_BYTES_MAX: usize = 1024 * 1024;
/// Of more streams at once than these, the oldest is forgotten.
const STREAMS_MAX: usize = 8;

const CAPTURE: &[u8] = b"OggS";
const HEADER_BYTES: usize = 27;
const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;
const VORBIS: &[u8] = b"\x03vorbis";
const OPUS: &[u8] = b"OpusTags";
const FLAC_STREAM: &[u8] = b"\x7fFLAC";
const FLAC_COMMENTS: u8 = 4;
/// So many bytes tell what a packet is.
const KIND_BYTES: usize = 8;

/// The reader of one Ogg stream, which may be several streams at once or one after the other.
#[derive(Debug, Default)]
pub struct Ogg {
    /// The start of a page; never more than the largest page.
    page: Vec<u8>,
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    serial: u32,
    next_page: u32,
    is_flac: bool,
    packet: Packet,
}

/// What is known of a packet that has begun.
#[derive(Debug, PartialEq)]
enum Packet {
    None,
    Begun(Vec<u8>),
    /// Audio, or too long.
    Dropped,
}

impl Ogg {
    /// Takes in the next bytes and gives the tracks that comments in them name, oldest first.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Track> {
        let mut tracks = Vec::new();
        while !bytes.is_empty() {
            // By pieces, so that the buffer is bounded however much comes at once.
            let (piece, rest) = bytes.split_at(bytes.len().min(16 * 1024));
            self.page.extend_from_slice(piece);
            bytes = rest;
            self.read_pages(&mut tracks);
        }
        tracks
    }

    fn read_pages(&mut self, tracks: &mut Vec<Track>) {
        let buffer = std::mem::take(&mut self.page);
        let mut at = 0;
        loop {
            let rest = &buffer[at..];
            match next_page(rest) {
                Next::Skip(0) => break,
                Next::Skip(bytes) => at += bytes,
                Next::Page(page) => {
                    self.read_page(&page, tracks);
                    at += page.bytes;
                }
            }
        }
        self.page = buffer[at..].to_vec();
    }

    fn read_page(&mut self, page: &Page<'_>, tracks: &mut Vec<Track>) {
        let index = self.stream_of(page);
        let Some(stream) = self.streams.get_mut(index) else { return };
        let is_continued = page.flags & CONTINUED != 0;
        if !is_continued || page.number != stream.next_page {
            stream.packet = Packet::None;
        }
        stream.next_page = page.number.wrapping_add(1);
        // The rest of a packet whose start was lost.
        let mut is_lost = is_continued && stream.packet == Packet::None;
        let mut body = page.body;
        for &length in page.lacing {
            let (segment, rest) = body.split_at(usize::from(length).min(body.len()));
            body = rest;
            let is_end = length < 255;
            if !is_lost {
                stream.take(segment);
                if is_end {
                    tracks.extend(stream.end());
                }
            }
            is_lost = is_lost && !is_end;
        }
        if page.flags & LAST != 0 {
            self.streams.remove(index);
        }
    }

    fn stream_of(&mut self, page: &Page<'_>) -> usize {
        let known = self.streams.iter().position(|stream| stream.serial == page.serial);
        if let Some(index) = known {
            if page.flags & FIRST == 0 {
                return index;
            }
            self.streams.remove(index);
        }
        if self.streams.len() >= STREAMS_MAX {
            self.streams.remove(0);
        }
        self.streams.push(Stream {
            serial: page.serial,
            next_page: page.number,
            is_flac: false,
            packet: Packet::None,
        });
        self.streams.len() - 1
    }
}

impl Stream {
    fn take(&mut self, segment: &[u8]) {
        if self.packet == Packet::None {
            self.packet = Packet::Begun(Vec::new());
        }
        let Packet::Begun(packet) = &mut self.packet else { return };
        packet.extend_from_slice(segment);
        let is_wanted = packet.len() < KIND_BYTES || comments(packet, self.is_flac).is_some();
        let is_flac_stream = packet.starts_with(FLAC_STREAM);
        if (!is_wanted && !is_flac_stream) || packet.len() > PACKET_BYTES_MAX {
            self.packet = Packet::Dropped;
        }
    }

    fn end(&mut self) -> Option<Track> {
        let Packet::Begun(packet) = std::mem::replace(&mut self.packet, Packet::None) else { return None };
        self.is_flac |= packet.starts_with(FLAC_STREAM);
        read_comments(comments(&packet, self.is_flac)?)
    }
}

/// What follows the name of a comment packet, if it is one.
fn comments(packet: &[u8], is_flac: bool) -> Option<&[u8]> {
    let named = packet.strip_prefix(VORBIS).or_else(|| packet.strip_prefix(OPUS));
    if named.is_some() {
        return named;
    }
    let kind = packet.first().filter(|_| is_flac)? & 0x7F;
    packet.get(4..).filter(|_| kind == FLAC_COMMENTS)
}

/// The tags of a comment block, as far as it goes; nothing when they name no track.
pub fn read_comments(block: &[u8]) -> Option<Track> {
    let mut rest = block;
    sized(&mut rest)?;
    let count = number(&mut rest)?;
    let mut tags = Tags::default();
    for _ in 0..count {
        let Some(comment) = sized(&mut rest) else { break };
        if let Some(equals) = comment.iter().position(|&byte| byte == b'=') {
            let (name, value) = comment.split_at(equals);
            tags.add(&String::from_utf8_lossy(name), &crate::sources::decode::line(&value[1..]));
        }
    }
    tags.track()
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_le_bytes(*number))
}

fn sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (sized, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(sized)
}

struct Page<'a> {
    flags: u8,
    serial: u32,
    number: u32,
    lacing: &'a [u8],
    body: &'a [u8],
    bytes: usize,
}

enum Next<'a> {
    /// So many bytes are no page. None: more must come.
    Skip(usize),
    Page(Page<'a>),
}

fn next_page(rest: &[u8]) -> Next<'_> {
    let is_capture = |at: usize| {
        let seen = &rest[at..rest.len().min(at + CAPTURE.len())];
        CAPTURE.starts_with(seen)
    };
    match (0..rest.len()).find(|&at| is_capture(at)) {
        Some(0) => {}
        Some(garbage) => return Next::Skip(garbage),
        None => return Next::Skip(rest.len()),
    }
    let Some(header) = rest.first_chunk::<HEADER_BYTES>() else { return Next::Skip(0) };
    // What cannot be a page is not waited for.
    if header[4] != 0 || header[5] > CONTINUED | FIRST | LAST {
        return Next::Skip(1);
    }
    let Some(lacing) = rest.get(HEADER_BYTES..HEADER_BYTES + usize::from(header[26])) else {
        return Next::Skip(0);
    };
    let start = HEADER_BYTES + lacing.len();
    let body_bytes: usize = lacing.iter().map(|&length| usize::from(length)).sum();
    let Some(body) = rest.get(start..start + body_bytes) else { return Next::Skip(0) };
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    // The letters may stand in the audio by chance; the checksum does not. No fuzzer would guess it.
    if !cfg!(fuzzing) && word(22) != checksum(header, lacing, body) {
        return Next::Skip(1);
    }
    Next::Page(Page {
        flags: header[5],
        serial: word(14),
        number: word(18),
        lacing,
        body,
        bytes: start + body_bytes,
    })
}

/// The page's checksum, counted with zeros in its own place.
fn checksum(header: &[u8; HEADER_BYTES], lacing: &[u8], body: &[u8]) -> u32 {
    let add = |sum: u32, byte: u8| (sum << 8) ^ SUMS[usize::from((sum >> 24) as u8 ^ byte)];
    let header = header.iter().enumerate().map(|(at, &byte)| if (22..26).contains(&at) { 0 } else { byte });
    header.chain(lacing.iter().copied()).chain(body.iter().copied()).fold(0, add)
}

const SUMS: [u32; 256] = {
    let mut sums = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 0x8000_0000 == 0 { sum << 1 } else { (sum << 1) ^ 0x04C1_1DB7 };
            bit += 1;
        }
        sums[byte] = sum;
        byte += 1;
    }
    sums
};

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn block(comments: &[&str]) -> Vec<u8> {
        let mut block = b"\x04\0\0\0test".to_vec();
        block.extend((comments.len() as u32).to_le_bytes());
        for comment in comments {
            block.extend((comment.len() as u32).to_le_bytes());
            block.extend(comment.as_bytes());
        }
        block
    }

    /// One page with one part of a packet.
    fn page(flags: u8, serial: u32, number: u32, part: &[u8], is_end: bool) -> Vec<u8> {
        let mut lacing = vec![255; part.len() / 255];
        if is_end {
            lacing.push((part.len() % 255) as u8);
        }
        let mut page = b"OggS\0".to_vec();
        page.push(flags);
        page.extend([0; 8]);
        page.extend(serial.to_le_bytes());
        page.extend(number.to_le_bytes());
        page.extend([0; 4]);
        page.push(lacing.len() as u8);
        let header = *page.first_chunk::<HEADER_BYTES>().expect("27 bytes");
        page[22..26].copy_from_slice(&checksum(&header, &lacing, part).to_le_bytes());
        page.extend(lacing);
        page.extend(part);
        page
    }

    fn packet(name: &[u8], comments: &[&str]) -> Vec<u8> {
        [name.to_vec(), block(comments)].concat()
    }

    /// Two songs of chained Vorbis streams, garbage between them, and a third whose comments take two pages.
    fn night() -> Vec<u8> {
        let long = "x".repeat(510);
        let third = packet(VORBIS, &[&format!("COMMENT={long}"), "TITLE=Third"]);
        let (start, end) = third.split_at(510);
        [
            page(FIRST, 1, 0, b"\x01vorbis-and-so-on", true),
            page(0, 1, 1, &packet(VORBIS, &["ARTIST=Nova Harbor", "title=Glass Tide"]), true),
            page(0, 1, 2, b"OggS audio OggS", true),
            page(LAST, 1, 3, b"more audio", true),
            b"OggS garbage OggS\0 that is no page".to_vec(),
            page(FIRST, 2, 0, b"\x01vorbis-and-so-on", true),
            page(0, 2, 1, &packet(VORBIS, &["ARTIST=Ana Ruiz", "ARTIST=Kilo", "TITLE=Night"]), true),
            page(0, 2, 2, start, false),
            page(CONTINUED, 2, 3, end, true),
        ]
        .concat()
    }

    fn lines(tracks: &[Track]) -> Vec<String> {
        tracks.iter().map(Track::line).collect()
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &[&str]) {
        assert_eq!(lines(&Ogg::default().push(bytes)), expected);
    }

    #[test]
    fn songs_one_after_the_other() {
        check(&night(), &["Nova Harbor – Glass Tide", "Ana Ruiz, Kilo – Night", "Third"]);
    }

    #[test]
    fn every_codec() {
        let tags = ["ARTIST=Nova Harbor", "TITLE=Glass Tide"];
        check(&page(0, 1, 1, &packet(OPUS, &tags), true), &["Nova Harbor – Glass Tide"]);
        let flac = [
            page(FIRST, 1, 0, b"\x7fFLAC\x01\0\0\x01fLaC", true),
            page(0, 1, 1, &packet(b"\x84\0\0\x40", &tags), true),
        ];
        check(&flac.concat(), &["Nova Harbor – Glass Tide"]);
        // The same bytes where no FLAC was announced are audio.
        check(&flac[1], &[]);
    }

    #[test]
    fn what_names_no_track_is_none() {
        check(&page(0, 1, 1, &packet(VORBIS, &["ENCODER=x", "TITLE= "]), true), &[]);
        check(&page(0, 1, 1, b"\x03vorbis\xff\xff\xff\xff", true), &[]);
    }

    #[test]
    fn a_lost_page_takes_its_packet_with_it() {
        let third = packet(VORBIS, &[&format!("COMMENT={}", "x".repeat(510)), "TITLE=Third"]);
        let (start, end) = third.split_at(510);
        let lost = [page(0, 2, 2, start, false), page(CONTINUED, 2, 4, end, true)].concat();
        check(&lost, &[]);
        check(&page(CONTINUED, 2, 3, end, true), &[]);
    }

    #[test]
    fn a_packet_without_end_costs_no_memory() {
        let mut ogg = Ogg::default();
        let start = packet(VORBIS, &["TITLE=Never"]);
        let part = [start, vec![0; 255 * 255]].concat();
        let part = &part[..255 * 255];
        for number in 0..40 {
            ogg.push(&page(if number == 0 { 0 } else { CONTINUED }, 1, number, part, false));
        }
        assert_eq!(ogg.streams[0].packet, Packet::Dropped);
        assert!(ogg.page.is_empty());
    }

    proptest! {
        #[test]
        fn slices_do_not_matter(cuts in vec(1_usize..400, 1..64), noise in vec(any::<u8>(), 0..64)) {
            let stream = [noise, night()].concat();
            let whole = Ogg::default().push(&stream);
            let (mut ogg, mut tracks, mut rest) = (Ogg::default(), Vec::new(), stream.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (slice, after) = rest.split_at((*cut).min(rest.len()));
                tracks.extend(ogg.push(slice));
                rest = after;
            }
            prop_assert_eq!(tracks, whole);
        }

        #[test]
        fn nothing_breaks_it(bytes in vec(any::<u8>(), 0..2000), block in vec(any::<u8>(), 0..300)) {
            let mut ogg = Ogg::default();
            ogg.push(&bytes);
            ogg.push(&page(FIRST, 1, 0, &[VORBIS, block.as_slice()].concat(), true));
            ogg.push(&bytes);
        }
    }
}
