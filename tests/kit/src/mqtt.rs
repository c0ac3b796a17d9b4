//! Just enough MQTT 3.1.1 to load a broker: packets as bytes, and no library whose cost would be measured too.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The topic of all messages; anybody may read it from our broker, and our own programs may write it.
pub const TOPIC: &str = "pika/v1/tonight/main/event";

/// A connection, and what was read from it and not yet taken.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    bytes: Vec<u8>,
}

/// What a broker sends.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    Acknowledged,
    /// A message, and its packet id when it wants an answer.
    Message(Option<u16>),
    Other(u8),
}

impl Client {
    /// Connects from the loopback address of that number and logs in.
    pub async fn connect(
        broker: SocketAddr,
        from: u8,
        id: &str,
        login: Option<&(String, String)>,
    ) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1 + from], 0)))?;
        let stream = socket.connect(broker).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, bytes: Vec::new() };
        client.write(&connect(id, login)).await?;
        match client.read_raw().await? {
            (0x20, body) if body.get(1) == Some(&0) => Ok(client),
            other => Err(io::Error::other(format!("not let in: {other:?}"))),
        }
    }

    /// Subscribes to [`TOPIC`] with QoS 1.
    pub async fn subscribe(&mut self) -> io::Result<()> {
        self.write(&subscribe(1)).await?;
        match self.read_raw().await? {
            (0x90, body) if body.get(2).is_some_and(|code| *code < 0x80) => Ok(()),
            other => Err(io::Error::other(format!("not subscribed: {other:?}"))),
        }
    }

    /// Writes it all.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next packet.
    pub async fn read(&mut self) -> io::Result<Packet> {
        let (first, body) = self.read_raw().await?;
        Ok(understood(first, &body))
    }

    /// What has been read already.
    pub fn try_read(&mut self) -> Option<Packet> {
        self.take().map(|(first, body)| understood(first, &body))
    }

    async fn read_raw(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            if let Some(packet) = self.take() {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = *self.bytes.first()?;
        let (mut length, mut header) = (0usize, 1);
        loop {
            let byte = *self.bytes.get(header)?;
            length |= usize::from(byte & 0x7f) << (7 * (header - 1));
            header += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let body = self.bytes.get(header..header + length)?.to_vec();
        self.bytes.drain(..header + length);
        Some((first, body))
    }
}

fn understood(first: u8, body: &[u8]) -> Packet {
    match first & 0xf0 {
        0x40 => Packet::Acknowledged,
        0x30 if first & 0x06 == 0 => Packet::Message(None),
        0x30 => {
            let at = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
            Packet::Message(Some(u16::from_be_bytes([body[at], body[at + 1]])))
        }
        _ => Packet::Other(first),
    }
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let low = (length % 128) as u8;
        length /= 128;
        if length == 0 {
            packet.push(low);
            break;
        }
        packet.push(low | 0x80);
    }
    packet.extend(body);
    packet
}

/// The first packet of a connection.
pub fn connect(id: &str, login: Option<&(String, String)>) -> Vec<u8> {
    let flags = if login.is_some() { 0xc2 } else { 2 };
    // Nobody is idle for longer than this; rumqttd refuses 0, which means for ever.
    let [high, low] = 600u16.to_be_bytes();
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, flags, high, low];
    let texts = std::iter::once(id).chain(login.iter().flat_map(|(name, token)| [name.as_str(), token]));
    for text in texts {
        body.extend((text.len() as u16).to_be_bytes());
        body.extend(text.bytes());
    }
    packet(0x10, &body)
}

/// Asks for [`TOPIC`].
pub fn subscribe(qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend((TOPIC.len() as u16).to_be_bytes());
    body.extend(TOPIC.bytes());
    body.push(qos);
    packet(0x82, &body)
}

/// A retained QoS 0 message.
pub fn keep(payload: &[u8]) -> Vec<u8> {
    let mut body = (TOPIC.len() as u16).to_be_bytes().to_vec();
    body.extend(TOPIC.bytes());
    body.extend(payload);
    packet(0x31, &body)
}

/// A QoS 1 message of 300 bytes.
pub fn publish(id: u16) -> Vec<u8> {
    publish_of(id, 300)
}

/// A QoS 1 message of so many bytes.
pub fn publish_of(id: u16, bytes: usize) -> Vec<u8> {
    let mut body = (TOPIC.len() as u16).to_be_bytes().to_vec();
    body.extend(TOPIC.bytes());
    body.extend(id.to_be_bytes());
    body.resize(body.len() + bytes, b'x');
    packet(0x32, &body)
}

/// The answer to a QoS 1 message.
pub fn acknowledge(id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [0x40, 2, high, low]
}
