//! Listening, and the address that a phone on the same WiFi can reach.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use config::network::bind;
use tokio::net::TcpListener;

/// Listens for pages.
pub fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    bind(address).with_context(|| {
        format!("cannot serve pages on {address}; stop the program that uses this port, or set PORT to another one")
    })
}

/// The address of this machine on the venue's network: private IPv4 first, since that is what WiFi hands out.
pub fn lan_address() -> Option<IpAddr> {
    lan_addresses().first().map(|(_, ip)| *ip)
}

/// Addresses of this machine that a phone could reach, with the names of their interfaces, the most likely first.
pub fn lan_addresses() -> Vec<(String, IpAddr)> {
    let mut found: Vec<(String, IpAddr)> = if_addrs::get_if_addrs()
        .inspect_err(|error| tracing::warn!("cannot list network interfaces: {error}"))
        .unwrap_or_default()
        .into_iter()
        // Bridges of containers and virtual machines lead to no phone.
        .filter(|interface| {
            !["docker", "br-", "veth", "virbr", "vmnet"].iter().any(|p| interface.name.starts_with(p))
        })
        .filter(|interface| !interface.ip().is_loopback())
        .map(|interface| (interface.name.clone(), interface.ip()))
        .collect();
    found.sort_by_key(|(_, ip)| match ip {
        IpAddr::V4(v4) if v4.is_private() => 0,
        IpAddr::V4(v4) if !v4.is_link_local() => 1,
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 3,
    });
    found
}

/// `http://host:port`
pub fn http_url(ip: IpAddr, port: u16) -> String {
    format!("http://{}", SocketAddr::new(ip, port))
}

/// The QR code as text for a terminal, dark on light.
pub fn terminal_qr(url: &str) -> Option<String> {
    let code = fast_qr::QRBuilder::new(url).ecl(fast_qr::ECL::L).build().ok()?;
    Some(code.to_str())
}
