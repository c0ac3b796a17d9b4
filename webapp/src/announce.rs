//! Tells the network that this machine is in where the pages are (mDNS, RFC 6762, and DNS-SD, RFC 6763), so that a DJ's laptop finds
//! them without an address being typed. Whoever finds us knows no more than whoever scans the QR code.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use mdns_sd::{ServiceDaemon, ServiceInfo};

use crate::settings::Settings;

/// What we are called there; the publisher looks for it.
const SERVICE: &str = "_pika._tcp.local.";

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(300);

/// We are announced until this is dropped.
pub(crate) struct Announced {
    daemon: ServiceDaemon,
    name: String,
}

impl Announced {
    /// Announces pages that are served there. `None`: the settings are against it, or nobody else could reach them.
    ///
    /// # Errors
    /// The system does not let us listen for questions.
    pub(crate) fn start(settings: &Settings, pages: SocketAddr) -> anyhow::Result<Option<Self>> {
        if !settings.announce || pages.ip().is_loopback() {
            return Ok(None);
        }
        // Not the name of this machine: that is nobody's business, and two events may be on one network.
        let mut random = [0; 4];
        getrandom::fill(&mut random).context("draw a name to be announced under")?;
        let instance = format!("{}-{:08x}", settings.event, u32::from_be_bytes(random));
        let host = format!("pika-{:08x}.local.", u32::from_be_bytes(random));
        let properties = [("v", "1"), ("event", settings.event.as_str())];
        let daemon = ServiceDaemon::new().context("open a socket for mDNS")?;
        let info = match pages.ip() {
            ip if ip.is_unspecified() => {
                ServiceInfo::new(SERVICE, &instance, &host, (), pages.port(), &properties[..])
                    .map(ServiceInfo::enable_addr_auto)
            }
            ip => ServiceInfo::new(SERVICE, &instance, &host, ip, pages.port(), &properties[..]),
        };
        let info = info.context("write down what is announced")?;
        let name = info.get_fullname().to_owned();
        daemon.register(info).context("announce the pages")?;
        tracing::info!(instance, port = pages.port(), "announced to this network (mDNS)");
        Ok(Some(Self { daemon, name }))
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // Those who listen take us off their lists at once. When it fails, our entry grows old by itself.
        if let Ok(gone) = self.daemon.unregister(&self.name) {
            let _ = gone.recv_timeout(GOODBYE);
        }
        let _ = self.daemon.shutdown();
    }
}
