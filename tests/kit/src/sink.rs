//! A server that keeps what is sent to it: what stands in for Sentry, and records what it gets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::wait::PATIENCE;

/// Listens until the test is over.
#[derive(Debug)]
pub struct Sink {
    /// `host:port`
    pub address: String,
    received: Receiver<Received>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Received {
    /// The first line and the header lines.
    pub head: String,
    pub body: String,
}

impl Sink {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, received) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                std::thread::spawn(move || serve(stream, |request| sender.send(request).is_ok()));
            }
        });
        Self { address, received }
    }

    /// The next request that was received.
    ///
    /// # Panics
    /// There is none for a long time.
    pub fn next(&self, what: &str) -> Received {
        self.received.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    /// What has come and was not looked at.
    pub fn rest(&self) -> Vec<Received> {
        self.received.try_iter().collect()
    }
}

fn serve(stream: TcpStream, mut keep: impl FnMut(Received) -> bool) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut reader = BufReader::new(&stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !matches!(reader.read_line(&mut head), Ok(count) if count > 0) {
                return;
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let mut body = vec![0; length.unwrap_or_default()];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        let answered = (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        if !keep(Received { head, body }) || answered.is_err() {
            return;
        }
    }
}
