//! Whose request it is: the address behind proxies that we trust, and nobody else's word for it.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, HeaderName};
use config::{Network, Surroundings};

/// Where a connection comes from; put into each request by the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Those who share a limit: an IPv4 address, or a household's IPv6 network of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Household(IpAddr);

impl Household {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(six) => {
                let network = six.to_bits() >> 64 << 64;
                Self(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
            four => Self(four),
        }
    }

    /// As much of it as a log may have.
    pub(super) fn surroundings(self) -> Surroundings {
        Surroundings::of(self.0)
    }
}

/// What is known of who asks, before any cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) household: Household,
    /// The browser speaks HTTPS with the proxy in front of us.
    pub(super) https: bool,
}

/// A proxy that we do not trust was told of once.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Reads the client's address. `header` names the one in which the proxies put it, `x-forwarded-for` as a rule.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, header: &HeaderName, proxies: &[Network]) -> Client {
    let is_trusted = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        if headers.contains_key(header) && !TOLD.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                peer = %Surroundings::of(peer),
                "a proxy that is not among [web] proxies says for whom it asks; it is not believed, so limits count all \
                 of its dancers as one address"
            );
        }
        return Client { household: Household::of(peer), https: false };
    }
    // Each proxy appends whom it heard from. From the right, the first that is no proxy of ours is the client; what
    // stands left of it, anybody may have written.
    let told = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    let told: Vec<&str> = told.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut address = peer;
    for hop in told.iter().rev() {
        let Some(hop) = hop_address(hop) else { break };
        address = hop;
        if !is_trusted(hop) {
            break;
        }
    }
    let proto = headers.get_all("x-forwarded-proto").iter().next_back();
    let https = proto.is_some_and(|proto| {
        proto.as_bytes().rsplit(|b| *b == b',').next().unwrap_or_default().trim_ascii() == b"https"
    });
    Client { household: Household::of(address), https }
}

/// With or without a port.
fn hop_address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_matches('"').trim_start_matches('[');
    let bare = bare.split(']').next().unwrap_or_default();
    bare.parse().ok().or_else(|| bare.rsplit_once(':').and_then(|(address, _)| address.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, forwarded: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let proxies: Vec<Network> =
            ["127.0.0.1", "10.0.0.0/8"].map(|network| network.parse().unwrap()).into();
        let header = HeaderName::from_static("x-forwarded-for");
        let found = client(peer.parse().unwrap(), &headers, &header, &proxies);
        assert_eq!(found.household, Household::of(expected.parse().unwrap()), "{peer} {forwarded:?}");
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_as_far_as_it_knows() {
        check("203.0.113.5", &["198.51.100.1"], "203.0.113.5");
        check("127.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("127.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1");
        check("127.0.0.1", &["1.1.1.1", "198.51.100.1, 10.1.2.3"], "198.51.100.1");
        check("127.0.0.1", &["1.1.1.1, rubbish, 10.1.2.3"], "10.1.2.3");
        check("127.0.0.1", &["rubbish"], "127.0.0.1");
        check("127.0.0.1", &[], "127.0.0.1");
        check("10.9.9.9", &["10.1.1.1"], "10.1.1.1");
        check("::ffff:127.0.0.1", &["198.51.100.1:4711"], "198.51.100.1");
        check("127.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::1");
    }

    #[test]
    fn https_is_what_the_nearest_proxy_says() {
        let read = |peer: &str, proto: &str| {
            let headers =
                HeaderMap::from_iter([("x-forwarded-proto".parse().unwrap(), proto.parse().unwrap())]);
            let header = HeaderName::from_static("x-forwarded-for");
            client(peer.parse().unwrap(), &headers, &header, &["127.0.0.1".parse().unwrap()]).https
        };
        assert!(read("127.0.0.1", "https") && read("127.0.0.1", "http, https"));
        assert!(!read("127.0.0.1", "https, http") && !read("203.0.113.5", "https"));
    }
}
