//! Connections that come through a proxy.

use broker::Settings;
use tokio::net::TcpStream;

use crate::kit::{Client, Login, Night, V5};

fn header(last: u8) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02".to_vec();
    header.extend([last, 127, 0, 0, 1, 0, 1, 0, 2]);
    header
}

pub(crate) async fn through(night: &Night, last: u8) -> Client {
    let mut client = Client::new(TcpStream::connect(night.tcp).await.expect("connected"), V5);
    client.bytes(&header(last)).await;
    client
}

pub(crate) fn trusting(proxy: &str) -> Settings {
    Settings {
        proxy_protocol: true,
        proxies: vec![proxy.parse().expect("a network")],
        handshakes_per_address_max: 1,
        handshake_timeout_s: 60,
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_trusted_proxy_tells_who_it_is() {
    let night = Night::with(trusting("127.0.0.0/8")).await;
    // Limits count the address behind the proxy.
    let mut one = through(&night, 1).await;
    let mut two = through(&night, 2).await;
    assert_eq!(two.login(Login::new(V5, "two")).await.code, 0);
    let mut again = through(&night, 1).await;
    assert_eq!(again.ended().await, 0);
    assert_eq!(one.login(Login::new(V5, "one")).await.code, 0);
    // And anonymous clients from different places are different clients, whatever they call themselves.
    let mut other = through(&night, 3).await;
    assert_eq!(other.login(Login::new(V5, "two")).await.code, 0);
    two.ping().await;
    let mut same = through(&night, 2).await;
    assert_eq!(same.login(Login::new(V5, "two")).await.code, 0);
    assert_eq!(two.ended().await, 0x8e);
    let mut without = night.raw(V5).await;
    without.bytes(b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00").await;
    assert_eq!(without.ended().await, 0);
    night.close().await;
}

#[tokio::test]
async fn others_cannot_say_who_they_are() {
    let night = Night::with(trusting("192.0.2.0/24")).await;
    let mut liar = through(&night, 1).await;
    assert_eq!(liar.ended().await, 0);
    night.anonymous(V5, "honest").await.ping().await;
    night.close().await;
}
