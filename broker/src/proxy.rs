//! PROXY protocol version 2: a proxy we trust tells where a connection really comes from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Addresses, and whatever else a proxy may tell.
const BODY_MAX: usize = 2048;

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
