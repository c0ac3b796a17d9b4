//! What a sender of a broadcast asks for, and the body of its request. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config::Secret;
use subtle::ConstantTimeEq;

use crate::sources::decode;

/// A longer head is no sender's.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// The head of a request.
#[derive(Debug, PartialEq)]
pub struct Request {
    pub wish: Wish,
    /// The path without what follows the question mark.
    pub path: String,
    /// "HTTP/1.0" senders are answered as such.
    pub is_newer: bool,
    pub expects_continue: bool,
    pub is_chunked: bool,
    /// A browser sent it for a page; any page that the DJ has open could.
    pub is_from_a_page: bool,
    /// How the program calls itself.
    pub agent: Option<String>,
    password: Option<Secret>,
}

#[derive(Debug, PartialEq)]
pub enum Wish {
    /// To send a broadcast.
    Broadcast,
    /// To tell of a track; the rest of the address says of which.
    Update(Vec<u8>),
    /// To know what we can do.
    Options,
    Other,
}

impl Request {
    /// Reads a head, and says how many bytes it has; nothing as long as it is not complete.
    ///
    /// # Errors
    /// It is no request.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, httparse::Error> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(head_bytes) = head.parse(bytes)? else { return Ok(None) };
        let target = head.path.unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let value = |name: &str| {
            let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            Some(decode::line(header.value))
        };
        let says = |name: &str, word: &str| {
            value(name).is_some_and(|value| value.to_ascii_lowercase().contains(word))
        };
        let wish = match head.method.unwrap_or_default() {
            "SOURCE" | "PUT" => Wish::Broadcast,
            "GET" if path == "/admin/metadata" => Wish::Update(query.as_bytes().to_vec()),
            "OPTIONS" => Wish::Options,
            _ => Wish::Other,
        };
        let request = Self {
            wish,
            path: path.to_owned(),
            is_newer: head.version == Some(1),
            expects_continue: says("expect", "100-continue"),
            is_from_a_page: value("origin").or(value("sec-fetch-site")).is_some(),
            is_chunked: says("transfer-encoding", "chunked"),
            agent: value("user-agent").and_then(|agent| decode::field(&agent)),
            password: value("authorization").and_then(|value| password(&value)),
        };
        Ok(Some((request, head_bytes)))
    }

    /// Whether the sender may: without a password everybody may.
    pub fn may(&self, password: Option<&Secret>) -> bool {
        let Some(wanted) = password else { return true };
        self.password
            .as_ref()
            .is_some_and(|given| given.reveal().as_bytes().ct_eq(wanted.reveal().as_bytes()).into())
    }
}

/// The password of `Basic dXNlcjpwYXNzd29yZA==`, whoever the user is.
fn password(authorization: &str) -> Option<Secret> {
    let (scheme, login) = authorization.trim().split_once(' ')?;
    let login = STANDARD.decode(login.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (_, password) = std::str::from_utf8(&login).ok()?.split_once(':')?;
    Some(Secret::new(password))
}

/// The body of a broadcast, which some senders cut into chunks with their lengths between them.
#[derive(Debug)]
pub enum Body {
    Plain,
    Chunked(Chunk),
}

/// Where in the chunks we are.
#[derive(Debug)]
pub enum Chunk {
    /// In the line with the length; the digits so far.
    Length(String),
    /// So many bytes are still to come, and then the end of the line.
    Bytes(usize),
    /// Behind the last one, or lost.
    Over,
}

impl Body {
    pub fn of(request: &Request) -> Self {
        if request.is_chunked { Self::Chunked(Chunk::Length(String::new())) } else { Self::Plain }
    }

    /// What the next bytes hold of the broadcast.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Self::Chunked(chunk) = self else { return bytes.to_vec() };
        let (mut body, mut rest) = (Vec::new(), bytes);
        while let Some((&byte, after)) = rest.split_first() {
            match chunk {
                Chunk::Length(line) if byte == b'\n' => {
                    let digits = line.split([';', '\r']).next().unwrap_or_default().trim();
                    *chunk = match usize::from_str_radix(digits, 16) {
                        Ok(length) if length > 0 => Chunk::Bytes(length),
                        // Between two chunks there is an empty line.
                        _ if digits.is_empty() => Chunk::Length(String::new()),
                        _ => Chunk::Over,
                    };
                    rest = after;
                }
                Chunk::Length(line) if line.len() < 64 => {
                    line.push(char::from(byte));
                    rest = after;
                }
                Chunk::Bytes(left) => {
                    let (part, after) = rest.split_at((*left).min(rest.len()));
                    body.extend_from_slice(part);
                    *left -= part.len();
                    rest = after;
                    if *left == 0 {
                        *chunk = Chunk::Length(String::new());
                    }
                }
                Chunk::Length(_) | Chunk::Over => {
                    *chunk = Chunk::Over;
                    break;
                }
            }
        }
        body
    }

    /// Whether nothing more can come.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Chunked(Chunk::Over))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn parsed(head: &str) -> Request {
        let (request, bytes) = Request::parse(head.as_bytes()).expect("a request").expect("a whole one");
        assert_eq!(bytes, head.len());
        request
    }

    #[test]
    fn senders() {
        let old = parsed(
            "SOURCE /live HTTP/1.0\r\nUser-Agent: Deck/1\r\nContent-Type: application/ogg\r\nice-name: x\r\n\r\n",
        );
        assert_eq!((old.wish, old.path.as_str(), old.is_newer), (Wish::Broadcast, "/live", false));
        assert_eq!(old.agent.as_deref(), Some("Deck/1"));
        let new =
            parsed("PUT /m HTTP/1.1\r\nExpect: 100-continue\r\nAuthorization: Basic c291cmNlOnB3\r\n\r\n");
        assert!(new.expects_continue && new.is_newer && !new.is_chunked);
        assert!(new.may(None) && new.may(Some(&Secret::new("pw"))) && !new.may(Some(&Secret::new("other"))));
        let update = parsed("GET /admin/metadata?mode=updinfo&song=a HTTP/1.0\r\n\r\n");
        assert_eq!(update.wish, Wish::Update(b"mode=updinfo&song=a".to_vec()));
        assert!(!update.may(Some(&Secret::new("pw"))));
        assert_eq!(parsed("GET / HTTP/1.1\r\n\r\n").wish, Wish::Other);
        assert_eq!(Request::parse(b"SOURCE /live HTTP/1.0\r\nHost"), Ok(None));
        assert!(Request::parse(b"\x16\x03\x01 this is TLS\r\n\r\n").is_err());
    }

    const CHUNKS: &[u8] = b"5\r\nNova \r\n6;more=x\r\nHarbor\r\n0\r\n\r\nrest";

    proptest! {
        #[test]
        fn chunks_in_any_slices(cut in 1_usize..12) {
            let mut body = Body::Chunked(Chunk::Length(String::new()));
            let whole: Vec<u8> = CHUNKS.chunks(cut).flat_map(|slice| body.read(slice)).collect();
            prop_assert_eq!(whole, b"Nova Harbor");
            prop_assert!(body.is_over());
        }

        #[test]
        fn nothing_breaks_it(bytes in vec(any::<u8>(), 0..400)) {
            let _ = Request::parse(&bytes);
            Body::Chunked(Chunk::Length(String::new())).read(&bytes);
        }
    }
}
