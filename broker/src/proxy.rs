//! PROXY protocol version 2: a proxy we trust tells where a connection really comes from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Addresses, and whatever else a proxy may tell.
const BODY_MAX: usize = 2048;

/// An address, or a network such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither an address nor a network such as 10.0.0.0/8")]
pub struct BadNetwork(String);

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differs = network.to_bits() ^ address.to_bits();
                differs.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differs = network.to_bits() ^ address.to_bits();
                differs.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(all);
        if bits > all { Err(bad()) } else { Ok(Self { address, bits }) }
    }
}

impl TryFrom<String> for Network {
    type Error = BadNetwork;

    fn try_from(text: String) -> Result<Self, BadNetwork> {
        text.parse()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Reads the header and not a byte more. `None`: it is not one. Without an address in it, as in the proxy's own
/// checks, the connection counts as the proxy's.
pub(crate) async fn source<S: AsyncRead + Unpin>(stream: &mut S, peer: IpAddr) -> Option<IpAddr> {
    let mut head = [0; 16];
    // In two steps, so that what is no header is refused even if it is shorter.
    stream.read_exact(&mut head[..12]).await.ok()?;
    if &head[..12] != SIGNATURE {
        return None;
    }
    stream.read_exact(&mut head[12..]).await.ok()?;
    let len = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if len > BODY_MAX {
        return None;
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.ok()?;
    match (head[12], head[13] >> 4) {
        (0x20, _) | (0x21, 0 | 3) => Some(peer),
        (0x21, 1) => {
            let address: [u8; 4] = body.get(..12)?[..4].try_into().ok()?;
            Some(Ipv4Addr::from(address).into())
        }
        (0x21, 2) => {
            let address: [u8; 16] = body.get(..36)?[..16].try_into().ok()?;
            Some(Ipv6Addr::from(address).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.8", false),
            ("fd00::/8", "fd12::1", true),
            ("::/0", "1.2.3.4", false),
            ("::1", "::1", true),
        ] {
            let network: Network = network.parse().expect("a network");
            assert_eq!(
                network.contains(address.parse().expect("an address")),
                expected,
                "{network} {address}"
            );
        }
        for bad in ["", "10.0.0.0/33", "10.0.0", "::/129", "a/8", "10.0.0.0/"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn headers() {
        let proxy: IpAddr = "10.0.0.1".parse().expect("an address");
        let header = |command: u8, family: u8, body: &[u8]| {
            let mut bytes = SIGNATURE.to_vec();
            bytes.extend([command, family, 0, u8::try_from(body.len()).expect("short")]);
            bytes.extend(body);
            bytes
        };
        let four = [&[192, 0, 2, 7, 10, 0, 0, 1][..], &[0; 4]].concat();
        let mut six = Ipv6Addr::LOCALHOST.octets().to_vec();
        six.extend([0; 20]);
        for (bytes, expected) in [
            (header(0x21, 0x11, &four), Some("192.0.2.7")),
            (header(0x21, 0x11, &[&four[..], b"more"].concat()), Some("192.0.2.7")),
            (header(0x21, 0x21, &six), Some("::1")),
            (header(0x20, 0, &[]), Some("10.0.0.1")),
            (header(0x21, 0, &[]), Some("10.0.0.1")),
            (header(0x21, 0x11, &four[..8]), None),
            (header(0x11, 0x11, &four), None),
            (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00".to_vec(), None),
            (SIGNATURE[..5].to_vec(), None),
        ] {
            let found = source(&mut &bytes[..], proxy).await;
            assert_eq!(found, expected.map(|address| address.parse().expect("an address")), "{bytes:?}");
        }
    }
}
