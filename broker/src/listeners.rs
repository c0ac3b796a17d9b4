//! Binding the broker's sockets.

use std::net::SocketAddr;

use anyhow::Context;
use config::network::bind;
use tokio::net::TcpListener;

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
