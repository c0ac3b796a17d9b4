//! Ten thousand phones in one thread: sockets over epoll, one `read` for a delivery and no task, timer or buffer each,
//! since the crowd runs on the cores of the server that it measures.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections come from so many loopback addresses: one of them has 28,000 ports.
const ADDRESSES: usize = 20;

/// So many connections are begun before answers are looked at again.
const AT_ONCE: usize = 64;

/// What Linux answers to a `connect` that goes on by itself; the standard library has no stable name for it.
const IN_PROGRESS: i32 = 115;

/// Everything that a phone says and hears to become a listener.
#[derive(Debug, Clone)]
pub struct Manners {
    pub server: SocketAddr,
    /// A page that is loaded first, if any, over a connection of its own.
    pub page: Option<Vec<u8>>,
    /// The handshake, up to its last header line.
    pub handshake: Vec<u8>,
    /// What is said once the WebSocket is open.
    pub login: Vec<u8>,
    /// What the kernel takes for a phone that does not read; its own choice unless set.
    pub receive_bytes: Option<usize>,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Connecting, or waiting for the page.
    Page,
    /// Connecting, or waiting for the answer to the handshake.
    Answer,
    Live,
    /// Open, and never read.
    Stopped,
    Gone,
}

#[derive(Debug)]
struct Phone {
    stream: Option<TcpStream>,
    stage: Stage,
    /// The request is written.
    has_asked: bool,
    /// The number of what it has seen last of that which was awaited.
    has: u32,
    /// The beginning of a frame or of a header; empty as a rule.
    rest: Vec<u8>,
    cookie: Vec<u8>,
}

/// What came to all together.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Arrivals: what was read at once, at least a whole message.
    pub deliveries: u64,
    pub frames: u64,
    pub bytes: u64,
}

impl Counts {
    pub fn since(self, before: Self) -> Self {
        Self {
            deliveries: self.deliveries - before.deliveries,
            frames: self.frames - before.frames,
            bytes: self.bytes - before.bytes,
        }
    }
}

pub struct Crowd {
    manners: Manners,
    poll: Poll,
    phones: Vec<Phone>,
    buffer: Vec<u8>,
    awaited: Finder<'static>,
    /// Grows with each text that is awaited.
    number: u32,
    since: Instant,
    pub counts: Counts,
    /// How long it took to reach each of those who have it, in µs.
    pub times_us: Vec<f64>,
    /// Why phones were turned away or lost.
    pub failures: Vec<String>,
}

impl Crowd {
    pub fn new(manners: Manners) -> Self {
        Self {
            manners,
            poll: Poll::new().unwrap(),
            phones: Vec::new(),
            buffer: vec![0; 256 * 1024],
            awaited: Finder::new("nothing yet").into_owned(),
            number: 0,
            since: Instant::now(),
            counts: Counts::default(),
            times_us: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// From now on, times are taken until this text arrives.
    pub fn await_text(&mut self, text: &str) {
        self.awaited = Finder::new(text).into_owned();
        self.number += 1;
        self.times_us.clear();
        self.since = Instant::now();
    }

    /// So many more come at once, and each waits for the text that is awaited.
    pub fn join(&mut self, count: usize) {
        for _ in 0..count {
            self.phones.push(Phone {
                stream: None,
                stage: Stage::Gone,
                has_asked: false,
                has: 0,
                rest: Vec::new(),
                cookie: Vec::new(),
            });
            let at = self.phones.len() - 1;
            let first = if self.manners.page.is_some() { Stage::Page } else { Stage::Answer };
            self.connect(at, first);
            if at.is_multiple_of(AT_ONCE) {
                self.turn(Duration::ZERO);
            }
        }
    }

    /// Everybody loads the page again and opens the socket again.
    pub fn reload(&mut self, text: &str, page: Vec<u8>) {
        self.manners.page = Some(page);
        self.await_text(text);
        for at in 0..self.phones.len() {
            self.connect(at, Stage::Page);
            if at.is_multiple_of(AT_ONCE) {
                self.turn(Duration::ZERO);
            }
        }
    }

    /// Those who are there and read.
    pub fn listening(&self) -> usize {
        self.phones.iter().filter(|phone| !matches!(phone.stage, Stage::Gone | Stage::Stopped)).count()
    }

    /// Those of them who have what is awaited.
    pub fn reached(&self) -> usize {
        self.times_us.len()
    }

    /// Reads until everybody who listens has what is awaited; how long the last one waited, in milliseconds, or
    /// nothing when it did not come in time.
    pub fn all_reached(&mut self, within: Duration) -> Option<f64> {
        while self.reached() < self.listening() {
            if self.since.elapsed() > within {
                return None;
            }
            self.turn(Duration::from_millis(10));
        }
        Some(self.times_us.last().copied().unwrap_or(0.0) / 1e3)
    }

    /// Reads for so long.
    pub fn linger(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.turn(left);
        }
    }

    /// One of so many stops reading for good.
    pub fn stop_one_of(&mut self, of: usize) -> usize {
        let mut stopped = 0;
        for phone in self.phones.iter_mut().step_by(of).filter(|phone| phone.stage == Stage::Live) {
            if let Some(stream) = &mut phone.stream {
                self.poll.registry().deregister(stream).unwrap();
                phone.stage = Stage::Stopped;
                stopped += 1;
            }
        }
        stopped
    }

    /// They read again.
    pub fn go_on(&mut self) {
        for at in 0..self.phones.len() {
            let phone = &mut self.phones[at];
            if phone.stage == Stage::Stopped
                && let Some(stream) = &mut phone.stream
            {
                self.poll.registry().register(stream, Token(at), Interest::READABLE).unwrap();
                phone.stage = Stage::Live;
            }
        }
    }

    fn connect(&mut self, at: usize, stage: Stage) {
        let phone = &mut self.phones[at];
        phone.stream = None;
        phone.rest = Vec::new();
        phone.has_asked = false;
        phone.stage = stage;
        let from = SocketAddr::from((Ipv4Addr::new(127, 0, 2, 1 + (at % ADDRESSES) as u8), 0));
        let connected = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.bind(&from.into())?;
            if let Some(bytes) = self.manners.receive_bytes {
                socket.set_recv_buffer_size(bytes)?;
            }
            match socket.connect(&self.manners.server.into()) {
                Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => Err(error),
                _ => Ok(TcpStream::from_std(socket.into())),
            }
        });
        match connected {
            Ok(mut stream) => {
                let interest = Interest::READABLE | Interest::WRITABLE;
                self.poll.registry().register(&mut stream, Token(at), interest).unwrap();
                phone.stream = Some(stream);
            }
            Err(error) => self.lose(at, &format!("connect: {error}")),
        }
    }

    fn lose(&mut self, at: usize, why: &str) {
        let phone = &mut self.phones[at];
        self.failures.push(format!("{:?}: {why}", phone.stage));
        phone.stage = Stage::Gone;
        phone.stream = None;
        phone.rest = Vec::new();
    }

    /// Reads what is there, or what comes within that time.
    pub fn turn(&mut self, wait: Duration) {
        let mut events = Events::with_capacity(2048);
        match self.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            done => done.unwrap(),
        }
        for event in &events {
            let at = event.token().0;
            if event.is_writable() && !self.phones[at].has_asked {
                self.ask(at);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.read(at, event.is_read_closed());
            }
        }
    }

    fn ask(&mut self, at: usize) {
        let phone = &mut self.phones[at];
        let Some(stream) = &mut phone.stream else { return };
        let mut request = match (&phone.stage, &self.manners.page) {
            (Stage::Page, Some(page)) => page.clone(),
            _ => self.manners.handshake.clone(),
        };
        if !phone.cookie.is_empty() {
            request.extend_from_slice(b"Cookie: ");
            request.extend_from_slice(&phone.cookie);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        match stream.write(&request) {
            Ok(count) if count == request.len() => phone.has_asked = true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => self.lose(at, &format!("ask: {other:?}")),
        }
    }

    fn read(&mut self, at: usize, to_the_end: bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Phone { stream: Some(stream), stage: Stage::Page | Stage::Answer | Stage::Live, .. } =
            &mut self.phones[at]
        {
            match stream.read(&mut buffer) {
                Ok(0) => {
                    self.closed(at);
                    break;
                }
                Ok(count) => {
                    self.take(at, &buffer[..count]);
                    // Less than what was asked for means that no more is there, and epoll says so when it is.
                    if count < buffer.len() && !to_the_end {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.lose(at, &format!("read: {error}"));
                    break;
                }
            }
        }
        self.buffer = buffer;
    }

    /// The server has ended the connection.
    fn closed(&mut self, at: usize) {
        let phone = &mut self.phones[at];
        if phone.stage == Stage::Page && phone.rest.starts_with(b"HTTP/1.1 200") {
            if let Some(cookie) = set_cookie(&phone.rest) {
                phone.cookie = cookie;
            }
            self.connect(at, Stage::Answer);
        } else {
            let said = String::from_utf8_lossy(&phone.rest[..phone.rest.len().min(40)]).into_owned();
            self.lose(at, &format!("closed after {said:?}"));
        }
    }

    fn take(&mut self, at: usize, bytes: &[u8]) {
        let phone = &mut self.phones[at];
        if phone.stage != Stage::Live {
            phone.rest.extend_from_slice(bytes);
            if phone.stage == Stage::Answer {
                self.answered(at);
            }
            return;
        }
        if phone.rest.is_empty() {
            self.deliver(at, bytes);
            return;
        }
        let mut whole = std::mem::take(&mut phone.rest);
        whole.extend_from_slice(bytes);
        self.deliver(at, &whole);
    }

    fn answered(&mut self, at: usize) {
        let phone = &mut self.phones[at];
        let Some(end) = memchr::memmem::find(&phone.rest, b"\r\n\r\n") else { return };
        let bytes = std::mem::take(&mut phone.rest);
        if !bytes.starts_with(b"HTTP/1.1 101") {
            let said = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
            self.lose(at, &format!("answered {said:?}"));
            return;
        }
        phone.stage = Stage::Live;
        if !self.manners.login.is_empty()
            && let Some(stream) = &mut phone.stream
        {
            // A fresh socket takes this much.
            let _ = stream.write(&self.manners.login);
        }
        self.deliver(at, &bytes[end + 4..]);
    }

    /// Bytes from the beginning of a frame on.
    fn deliver(&mut self, at: usize, bytes: &[u8]) {
        let mut end = 0;
        let mut frames = 0;
        while let Some(length) = frame_bytes(&bytes[end..]).filter(|length| end + length <= bytes.len()) {
            end += length;
            frames += 1;
        }
        let phone = &mut self.phones[at];
        phone.rest.extend_from_slice(&bytes[end..]);
        if frames == 0 {
            return;
        }
        self.counts.deliveries += 1;
        self.counts.frames += frames;
        self.counts.bytes += end as u64;
        if phone.has != self.number && self.awaited.find(&bytes[..end]).is_some() {
            phone.has = self.number;
            self.times_us.push(self.since.elapsed().as_secs_f64() * 1e6);
        }
    }
}

/// The length of the server's frame that begins there, header and all (RFC 6455 section 5.2).
fn frame_bytes(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? & 0x7f {
        126 => Some(4 + usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => Some(10 + u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        short => Some(2 + usize::from(short)),
    }
}

fn set_cookie(answer: &[u8]) -> Option<Vec<u8>> {
    let at = memchr::memmem::find(answer, b"set-cookie: ")? + 12;
    answer[at..].split(|byte| b";\r".contains(byte)).next().map(<[u8]>::to_vec)
}
