//! Binding the broker's sockets.

use std::io;
use std::net::SocketAddr;

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Enough for a crowd that reconnects at once.
const BACKLOG: i32 = 4096;

/// The sockets a broker serves; the caller decides where they are.
#[derive(Debug)]
pub struct Listeners {
    pub tcp: TcpListener,
    pub websocket: Option<TcpListener>,
    /// The same with TLS; they need a certificate in the settings.
    pub tls: Option<TcpListener>,
    pub websocket_tls: Option<TcpListener>,
}

impl Listeners {
    /// Port 0 takes any free port; the sockets tell which.
    pub fn bind(tcp: SocketAddr, websocket: Option<SocketAddr>) -> anyhow::Result<Self> {
        Ok(Self {
            tcp: bound("MQTT", tcp)?,
            websocket: websocket.map(|address| bound("MQTT over WebSocket", address)).transpose()?,
            tls: None,
            websocket_tls: None,
        })
    }

    pub fn with_tls(
        self,
        tls: Option<SocketAddr>,
        websocket_tls: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            tls: tls.map(|address| bound("MQTT over TLS", address)).transpose()?,
            websocket_tls: websocket_tls
                .map(|address| bound("MQTT over WebSocket and TLS", address))
                .transpose()?,
            ..self
        })
    }
}

fn bound(what: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    bind(address).with_context(|| {
        format!("cannot listen for {what} on {address}; stop the program that uses this port, or choose another one")
    })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Unix it means: do not wait for old connections to time out. On Windows it would steal the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
