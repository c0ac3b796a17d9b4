//! Servers in this machine's network (mDNS and DNS-SD, RFC 6762 and 6763), looked for while somebody looks at the settings page.
//! Whoever is in the network can say anything here, so it is a hint and nothing more: who is who, the pairing finds out.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent};
use tokio::sync::watch;

/// What servers are called there.
const SERVICE: &str = "_pika._tcp.local.";
/// More than any network has. Others are not shown.
const SERVERS_MAX: usize = 16;
const NAME_CHARS_MAX: usize = 48;
/// Without anybody looking at the page for this long, nobody listens.
const WANTED_FOR: Duration = Duration::from_secs(60);

/// A server that says it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    name: String,
    /// The event, as it says.
    pub event: String,
    /// Where its pages are.
    pub url: String,
}

/// Looks for servers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Nearby {
    wanted: Arc<Mutex<Option<Instant>>>,
    found: watch::Sender<Vec<Found>>,
}

impl Default for Nearby {
    fn default() -> Self {
        Self { wanted: Arc::default(), found: watch::Sender::new(Vec::new()) }
    }
}

impl Nearby {
    /// What was found so far. Somebody looks: the search goes on. Must be called inside a tokio runtime.
    pub fn found(&self) -> watch::Receiver<Vec<Found>> {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.replace(Instant::now()).is_none() {
            let nearby = self.clone();
            tokio::spawn(async move {
                if let Err(error) = nearby.search().await {
                    tracing::warn!("cannot look for servers in this network: {error:#}");
                }
                nearby.found.send_replace(Vec::new());
                *nearby.wanted.lock().unwrap_or_else(PoisonError::into_inner) = None;
            });
        }
        self.found.subscribe()
    }

    async fn search(&self) -> anyhow::Result<()> {
        let daemon = ServiceDaemon::new().context("open a socket for mDNS")?;
        let events = daemon.browse(SERVICE).context("ask who is there")?;
        let is_wanted = || {
            let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.is_some_and(|at| at.elapsed() < WANTED_FOR)
        };
        while is_wanted() {
            match tokio::time::timeout(WANTED_FOR / 10, events.recv_async()).await {
                Ok(Ok(ServiceEvent::ServiceResolved(service))) => {
                    if let Some(server) = server(&service) {
                        self.found.send_if_modified(|found| add(found, server));
                    }
                }
                Ok(Ok(ServiceEvent::ServiceRemoved(_, name))) => {
                    self.found.send_if_modified(|found| {
                        let before = found.len();
                        found.retain(|server| server.name != name);
                        found.len() != before
                    });
                }
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(_)) => anyhow::bail!("the search broke off"),
            }
        }
        let _ = daemon.shutdown();
        Ok(())
    }
}

fn server(service: &ResolvedService) -> Option<Found> {
    // IPv4 is what phones and QR codes speak in such networks; link-local addresses need a zone that an address in a browser cannot have.
    let v4 = service.get_addresses_v4().into_iter().min().map(IpAddr::V4);
    let v6 = || {
        let all = service.get_addresses().iter().map(|address| address.to_ip_addr());
        all.filter(|ip| matches!(ip, IpAddr::V6(ip) if !ip.is_unicast_link_local() && !ip.is_multicast()))
            .min()
    };
    let address = std::net::SocketAddr::new(v4.or_else(v6)?, service.get_port());
    let event = service.get_property_val_str("event").unwrap_or_default();
    let event: String = event.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    Some(Found { name: service.get_fullname().to_owned(), event, url: format!("http://{address}") })
}

/// Whether that is news.
fn add(found: &mut Vec<Found>, server: Found) -> bool {
    match found.iter().position(|known| known.name == server.name) {
        Some(at) if found[at] == server => return false,
        Some(at) => found[at] = server,
        None if found.len() < SERVERS_MAX => found.push(server),
        None => return false,
    }
    found.sort_by(|a, b| (&a.event, &a.url).cmp(&(&b.event, &b.url)));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, url: &str) -> Found {
        Found { name: name.into(), event: "tonight".into(), url: url.into() }
    }

    #[test]
    fn a_list_has_an_end_and_each_server_once() {
        let mut all = Vec::new();
        assert!(add(&mut all, found("a", "http://10.0.0.2:3002")));
        assert!(!add(&mut all, found("a", "http://10.0.0.2:3002")), "nothing new");
        assert!(add(&mut all, found("a", "http://10.0.0.1:3002")), "it has moved");
        for n in 0..100 {
            add(&mut all, found(&format!("s{n}"), "http://10.0.0.9:3002"));
        }
        assert_eq!(all.len(), SERVERS_MAX);
        assert_eq!(all[0].url, "http://10.0.0.1:3002");
    }
}
