//! The least that a server can do, to compare with: sockets, one frame that was made beforehand, and a `write` to each of
//! them in a plain loop. No runtime, no HTTP library, no queue. It runs as a process of its own, so that its processor
//! time is its own.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

const LISTENER: Token = Token(usize::MAX);

/// The answer to the one key that our crowd sends.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct Guest {
    stream: TcpStream,
    is_open: bool,
}

/// Serves for ever. A guest who does not begin with GET says what all others are told: a length of four bytes, and the
/// frame. The last frame is also what newcomers are told.
pub fn serve(address: SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(4096).unwrap();
    let mut listener = TcpListener::from_std(socket.into());
    let mut poll = Poll::new().unwrap();
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).unwrap();
    let mut guests: Vec<Option<Guest>> = Vec::new();
    let mut free = Vec::new();
    let mut newest = ANSWER.to_vec();
    let mut buffer = vec![0; 128 * 1024];
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            done => done.unwrap(),
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.set_nodelay(true);
                    let at = free.pop().unwrap_or(guests.len());
                    poll.registry().register(&mut stream, Token(at), Interest::READABLE).unwrap();
                    guests.resize_with(guests.len().max(at + 1), || None);
                    guests[at] = Some(Guest { stream, is_open: false });
                }
                continue;
            }
            let at = event.token().0;
            let Some(guest) = guests[at].as_mut() else { continue };
            match guest.stream.read(&mut buffer) {
                Ok(count) if count > 0 && !buffer.starts_with(b"GET") => {
                    let frame = whole(&mut guest.stream, &mut buffer, count);
                    newest.truncate(ANSWER.len());
                    newest.extend_from_slice(frame);
                    for guest in guests.iter_mut().flatten().filter(|guest| guest.is_open) {
                        let _ = guest.stream.write(frame);
                    }
                }
                Ok(count) if count > 0 => {
                    guest.is_open = guest.stream.write(&newest).is_ok();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => {
                    guests[at] = None;
                    free.push(at);
                }
            }
        }
    }
}

/// The frame of which so many bytes are here.
fn whole<'a>(stream: &mut TcpStream, buffer: &'a mut [u8], mut count: usize) -> &'a [u8] {
    loop {
        if let Some(length) = buffer[..count].first_chunk() {
            let end = 4 + u32::from_be_bytes(*length) as usize;
            if count >= end {
                return &buffer[4..end];
            }
        }
        count += stream.read(&mut buffer[count..]).unwrap_or(0);
    }
}
