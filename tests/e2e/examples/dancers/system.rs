//! The systems that are compared, and how each of them is told something new.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use kit::brokers::program;
use kit::process::Program;
use kit::{Database, Desk, Pika, mqtt, ports, wait};
use tokio::runtime::Runtime;

use crate::crowd::Manners;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Pika,
    /// See `limit.rs`.
    Limit,
    /// mosquitto over WebSocket.
    Mosquitto,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Pika, Self::Limit, Self::Mosquitto];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pika => "pika",
            Self::Limit => "limit",
            Self::Mosquitto => "mosquitto-ws",
        }
    }
}

/// A running server.
pub struct System<'a> {
    pub kind: Kind,
    runtime: &'a Runtime,
    address: SocketAddr,
    speaker: Speaker,
    /// What a message of the others has, so that all write as much as we do.
    message_bytes: usize,
    said: u32,
}

enum Speaker {
    Pika(Box<(Pika, Desk)>),
    Other(Program, TcpStream),
}

/// Sockets, sets and nothing else are limited here: one machine plays everybody.
const SETTINGS: [(&str, &str); 6] = [
    ("PIKA__BROKER__CLIENT_PACKETS_PER_S", "1000000"),
    ("PIKA__BROKER__TOKEN_PUBLISHES_PER_S", "1000000"),
    ("PIKA__WEB__TAPS_PER_MINUTE", "1000000"),
    ("PIKA__WEB__FIRST_TAP_AFTER_S", "0"),
    ("PIKA__WEB__FLOOR_TAPS_PER_S", "1000000"),
    ("PIKA__PUBLISHER__SOURCE", "text"),
];

impl<'a> System<'a> {
    pub fn start(kind: Kind, folder: &Path, runtime: &'a Runtime, message_bytes: usize) -> Self {
        let folder = folder.join(kind.name());
        fs::create_dir_all(&folder).unwrap();
        let free = || SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let (address, speaker) = match kind {
            Kind::Pika => {
                let database = Database::sqlite(&folder);
                let settings = [&SETTINGS[..], &[("PIKA__PUBLISHER__PATH", "/nonexistent")]].concat();
                let settings = [&settings[..], &[("DATABASE_URL", &database.url)]].concat();
                runtime.block_on(async {
                    let pika = Pika::up(&folder, &[], &settings).await;
                    pika.page().await;
                    let desk = Desk::open(&pika, &database, "bench").await;
                    (pika.web.parse().unwrap(), Speaker::Pika(Box::new((pika, desk))))
                })
            }
            Kind::Limit => {
                let address = free();
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["limit", &address.to_string()]);
                let program = Program::start(command, &folder, "limit");
                (address, Speaker::Other(program, connect(runtime, address)))
            }
            Kind::Mosquitto => {
                let (address, tcp) = (free(), free());
                let config = folder.join("mosquitto.conf");
                let lines = format!(
                    "user root\nallow_anonymous true\nset_tcp_nodelay true\nlistener {} 127.0.0.1\n\
                     listener {} 127.0.0.1\nprotocol websockets\n",
                    tcp.port(),
                    address.port()
                );
                fs::write(&config, lines).unwrap();
                let mut command = Command::new(program("mosquitto"));
                command.arg("-c").arg(config);
                let program = Program::start(command, &folder, "mosquitto");
                let mut stream = connect(runtime, tcp);
                stream.write_all(&mqtt::connect("bench", None)).unwrap();
                (address, Speaker::Other(program, stream))
            }
        };
        System { kind, runtime, address, speaker, message_bytes, said: 0 }
    }

    pub fn program(&self) -> &Program {
        match &self.speaker {
            Speaker::Pika(pika) => &pika.0.program,
            Speaker::Other(program, _) => program,
        }
    }

    /// Microseconds of processor time so far, in steps of the kernel's 10 ms.
    pub fn cpu_us(&self) -> f64 {
        self.program().cpu_us()
    }

    /// How a phone becomes a listener.
    pub fn manners(&self) -> Manners {
        let (path, more) = match self.kind {
            Kind::Pika => ("/ws?floor=tonight/main", ""),
            Kind::Limit => ("/", ""),
            Kind::Mosquitto => ("/mqtt", "Sec-WebSocket-Protocol: mqtt\r\n"),
        };
        let login = match self.kind {
            // The same name for nobody: an empty one asks the broker for one.
            Kind::Mosquitto => [mqtt::connect("", None), mqtt::subscribe(0)]
                .iter()
                .flat_map(|packet| masked(packet))
                .collect(),
            _ => Vec::new(),
        };
        Manners {
            server: self.address,
            page: None,
            handshake: format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}",
                self.address
            )
            .into_bytes(),
            login,
            receive_bytes: None,
        }
    }

    /// The request for the page of the floor, up to its last header line.
    pub fn page(&self) -> Vec<u8> {
        let path = "/e/tonight/main";
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept-Encoding: gzip\r\n",
            self.address
        )
        .into_bytes()
    }

    /// Waits until newcomers are told this text.
    pub fn shows(&self, text: &str) {
        match &self.speaker {
            Speaker::Pika(pika) => self.runtime.block_on(pika.0.shows(text)),
            // The others say it to whoever comes after it was written, and nobody has come yet.
            Speaker::Other(..) => self.runtime.block_on(wait::moment(100)),
        }
    }

    /// What the next message will contain, and nothing else does.
    pub fn next_text(&mut self) -> String {
        self.said += 1;
        format!("beat{:06}beat", self.said)
    }

    /// Says it, and returns at once.
    pub fn say(&mut self, text: &str) {
        match &mut self.speaker {
            Speaker::Pika(pika) => {
                let desk = &mut pika.1;
                // Full is a matter of a moment.
                self.runtime.block_on(wait::until_some("room to say it", || desk.plays(text).then_some(())));
            }
            Speaker::Other(_, stream) => {
                let mut payload = text.as_bytes().to_vec();
                match self.kind {
                    Kind::Mosquitto => {
                        // The topic stands beside it.
                        payload.resize(
                            self.message_bytes.saturating_sub(mqtt::TOPIC.len() + 9).max(payload.len()),
                            b'x',
                        );
                        stream.write_all(&mqtt::keep(&payload)).unwrap();
                    }
                    _ => {
                        payload.resize(self.message_bytes.saturating_sub(4).max(payload.len()), b'x');
                        let mut frame = vec![0x81, 126];
                        frame.extend((payload.len() as u16).to_be_bytes());
                        frame.extend(payload);
                        let length = (frame.len() as u32).to_be_bytes();
                        stream.write_all(&[&length[..], &frame].concat()).unwrap();
                    }
                }
            }
        }
    }
}

fn connect(runtime: &Runtime, address: SocketAddr) -> TcpStream {
    let stream = runtime
        .block_on(wait::until_some(&format!("{address} to listen"), || TcpStream::connect(address).ok()));
    stream.set_nodelay(true).unwrap();
    stream
}

/// A client's binary message. A mask of nothing is a mask, too.
fn masked(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}
