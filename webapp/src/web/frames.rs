//! WebSocket as both of our sockets need it (RFC 6455): the handshake, whose page may ask, and frames.

use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::web::Problem;

/// The answer to the client's key (RFC 6455 section 4.2.2), if this is a WebSocket handshake.
pub(super) fn handshake(headers: &HeaderMap) -> Result<String, Problem> {
    let says = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let fits = says(header::CONNECTION, "upgrade")
        && says(header::UPGRADE, "websocket")
        && says(header::SEC_WEBSOCKET_VERSION, "13");
    match key {
        Some(key) if fits => {
            let mut hash = Sha1::new();
            hash.update(key.as_bytes());
            hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
            Ok(STANDARD.encode(hash.finalize()))
        }
        _ => Err(Problem::BadRequest("This address speaks WebSocket, version 13.")),
    }
}

/// Browsers say which page asks; another site's page may not. Programs say nothing, and read what is public.
pub(super) fn is_ours(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let asking = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    (asking.is_some() && asking == host) || allowed.iter().any(|allowed| allowed == origin)
}

/// The headers of the answer that makes it a WebSocket.
pub(super) fn upgrade_headers(accept: String) -> [(HeaderName, String); 3] {
    [
        (header::CONNECTION, "upgrade".to_owned()),
        (header::UPGRADE, "websocket".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ]
}

fn control_frame(head: u8, payload: &[u8]) -> Vec<u8> {
    debug_assert!(payload.len() <= 125);
    let mut frame = vec![head, payload.len() as u8];
    frame.extend_from_slice(payload);
    frame
}

pub(super) fn close_frame(code: u16) -> Vec<u8> {
    control_frame(0x88, &code.to_be_bytes())
}

/// The answer to a ping of at most 125 bytes.
pub(super) fn pong_frame(payload: &[u8]) -> Vec<u8> {
    control_frame(0x8a, payload)
}

/// What a client's frame asks of us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientFrame {
    /// A piece of a message, no larger than what was read at once.
    Data {
        text: bool,
        bytes: Vec<u8>,
    },
    Ping(Vec<u8>),
    /// Goodbye, theirs (echoed) or ours with the reason.
    Close(u16),
}

/// Takes a client's bytes apart. It keeps one frame's header or one control frame; data is handed on in the
/// pieces in which it came.
#[derive(Debug)]
pub(super) struct ClientFrames {
    bytes: Vec<u8>,
    /// The data frame that is coming in.
    piece: Option<Piece>,
    /// The kind of the message that is under way, which may have several frames.
    text: Option<bool>,
    frame_bytes_max: u64,
}

#[derive(Debug)]
struct Piece {
    left: u64,
    mask: [u8; 4],
    last: bool,
}

impl ClientFrames {
    /// Data frames that are longer than that end the connection.
    pub(super) fn new(frame_bytes_max: u64) -> Self {
        Self { bytes: Vec::new(), piece: None, text: None, frame_bytes_max }
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Nothing has begun that has not ended.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.piece.is_none() && self.text.is_none()
    }

    pub(super) fn next(&mut self) -> Option<ClientFrame> {
        loop {
            if let Some(piece) = &mut self.piece {
                let here = piece.left.min(self.bytes.len() as u64) as usize;
                let text = self.text == Some(true);
                let mut bytes: Vec<u8> = self.bytes.drain(..here).collect();
                unmask(&mut bytes, piece.mask);
                piece.left -= here as u64;
                piece.mask.rotate_left(here % 4);
                if piece.left == 0 {
                    if piece.last {
                        self.text = None;
                    }
                    self.piece = None;
                }
                if bytes.is_empty() && self.piece.is_some() {
                    return None;
                }
                if bytes.is_empty() {
                    continue;
                }
                return Some(ClientFrame::Data { text, bytes });
            }
            let [first, second, ..] = *self.bytes.as_slice() else { return None };
            let (opcode, masked) = (first & 0x0f, second & 0x80 != 0);
            // Reserved bits mean an extension, and we agreed on none; a client must mask.
            if first & 0x70 != 0 || !masked {
                return Some(ClientFrame::Close(1002));
            }
            let (length, header) = match second & 0x7f {
                126 => (self.number::<2>()?, 4),
                127 => (self.number::<8>()?, 10),
                short => (u64::from(short), 2),
            };
            let is_last = first & 0x80 != 0;
            match opcode {
                // A control frame is short and whole.
                0x8.. if length > 125 || !is_last => return Some(ClientFrame::Close(1002)),
                0x0..=0x2 if length > self.frame_bytes_max => return Some(ClientFrame::Close(1009)),
                // What goes on must have begun, and what has begun must end before the next begins.
                0x0..=0x2 if (opcode == 0) != self.text.is_some() => return Some(ClientFrame::Close(1002)),
                0x0..=0x2 => {
                    let mask = *self.bytes.get(header..)?.first_chunk()?;
                    self.bytes.drain(..header + 4);
                    self.text.get_or_insert(opcode == 0x1);
                    self.piece = Some(Piece { left: length, mask, last: is_last });
                }
                0x8..=0xa => {
                    let total = header + 4 + length as usize;
                    let frame = self.bytes.get(..total)?;
                    let mask = *frame[header..].first_chunk()?;
                    let mut payload = frame[header + 4..].to_vec();
                    unmask(&mut payload, mask);
                    self.bytes.drain(..total);
                    match opcode {
                        0x8 => {
                            let code = payload.first_chunk().map_or(1000, |code| u16::from_be_bytes(*code));
                            return Some(ClientFrame::Close(code));
                        }
                        0x9 => return Some(ClientFrame::Ping(payload)),
                        _ => {} // a pong that nobody asked for
                    }
                }
                _ => return Some(ClientFrame::Close(1002)),
            }
        }
    }

    fn number<const N: usize>(&self) -> Option<u64> {
        let bytes = self.bytes.get(2..2 + N)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    for (byte, mask) in bytes.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            long => {
                frame.push(0x80 | 126);
                frame.extend((long as u16).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    /// Every way to cut the bytes in two gives the same frames.
    fn check(bytes: &[u8], expected: &[ClientFrame]) {
        for cut in 0..=bytes.len() {
            let mut frames = ClientFrames::new(4096);
            let mut found: Vec<ClientFrame> = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                frames.take(part);
                while let Some(frame) = frames.next() {
                    let last = matches!(frame, ClientFrame::Close(_));
                    // In how many pieces data comes depends on the cut.
                    match (frame, found.last_mut()) {
                        (
                            ClientFrame::Data { text, bytes },
                            Some(ClientFrame::Data { text: same, bytes: before }),
                        ) if text == *same => before.extend(bytes),
                        (frame, _) => found.push(frame),
                    }
                    if last {
                        break;
                    }
                }
            }
            found.truncate(expected.len().max(1));
            assert_eq!(found, expected, "cut at {cut}");
        }
    }

    fn data(text: bool, bytes: &[u8]) -> ClientFrame {
        ClientFrame::Data { text, bytes: bytes.to_vec() }
    }

    fn ping(payload: &[u8]) -> ClientFrame {
        ClientFrame::Ping(payload.to_vec())
    }

    #[test]
    fn talk_and_pings_in_their_order() {
        let mut bytes = masked(0x81, b"hello");
        bytes.extend(masked(0x89, b"you there"));
        bytes.extend(masked(0x82, &[7; 300]));
        bytes.extend(masked(0x8a, b""));
        bytes.extend(masked(0x82, b""));
        bytes.extend(masked(0x89, b""));
        check(&bytes, &[data(true, b"hello"), ping(b"you there"), data(false, &[7; 300]), ping(b"")]);
    }

    #[test]
    fn a_message_in_several_frames_with_a_ping_between() {
        let mut bytes = masked(0x02, b"one ");
        bytes.extend(masked(0x89, b"?"));
        bytes.extend(masked(0x00, b"two "));
        bytes.extend(masked(0x80, b"three"));
        check(&bytes, &[data(false, b"one "), ping(b"?"), data(false, b"two three")]);
        // The middle without a beginning, and a beginning in the middle.
        check(&masked(0x80, b"x"), &[ClientFrame::Close(1002)]);
        let twice = [masked(0x02, b"x"), masked(0x82, b"y")].concat();
        check(&twice, &[data(false, b"x"), ClientFrame::Close(1002)]);
    }

    #[test]
    fn goodbyes_and_nonsense_end_it() {
        check(&masked(0x88, &1001u16.to_be_bytes()), &[ClientFrame::Close(1001)]);
        check(&masked(0x88, b""), &[ClientFrame::Close(1000)]);
        check(&[0x81, 0x01, b'x'], &[ClientFrame::Close(1002)]); // not masked
        check(&masked(0xc1, b"x"), &[ClientFrame::Close(1002)]); // a reserved bit
        check(&masked(0x83, b"x"), &[ClientFrame::Close(1002)]); // a reserved opcode
        check(&masked(0x89, &[0; 126]), &[ClientFrame::Close(1002)]); // a long ping
        check(&masked(0x82, &[0; 5000]), &[ClientFrame::Close(1009)]);
        check(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[ClientFrame::Close(1009)]);
    }

    #[test]
    fn the_handshake_of_the_specification() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        assert_eq!(handshake(&headers).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        headers.remove("upgrade");
        assert!(handshake(&headers).is_err());
    }

    #[test]
    fn another_sites_page_is_turned_away() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "10.0.0.5:3002".parse().unwrap());
        assert!(is_ours(&headers, &[]));
        headers.insert("origin", "http://10.0.0.5:3002".parse().unwrap());
        assert!(is_ours(&headers, &[]));
        headers.insert("origin", "https://evil.example".parse().unwrap());
        assert!(!is_ours(&headers, &[]));
        assert!(is_ours(&headers, &["https://evil.example".to_owned()]));
        headers.insert("origin", "null".parse().unwrap());
        assert!(!is_ours(&headers, &[]));
    }
}
