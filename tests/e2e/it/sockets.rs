//! `/ws` as a client sees it that is no browser: what is answered, what ends it, and what happens to those who stop
//! reading.

use std::net::{SocketAddr, TcpStream};

use kit::{Database, Desk, Pika};
use socket2::{Domain, Socket, Type};

use crate::tunnel::Raw;

const FLOOR: &str = "/ws?floor=tonight/main";

async fn up(folder: &std::path::Path) -> (Pika, Desk) {
    let database = Database::sqlite(folder);
    let settings = [("DATABASE_URL", database.url.as_str()), ("PIKA__PUBLISHER__SOURCE", "text")];
    let settings = [&settings[..], &[("PIKA__PUBLISHER__PATH", "/nonexistent")]].concat();
    let pika = Pika::up(folder, &[], &settings).await;
    pika.page().await;
    let mut desk = Desk::open(&pika, &database, "bench").await;
    assert!(desk.plays("Glass Tide"));
    pika.shows("Glass Tide").await;
    (pika, desk)
}

fn open(web: &str) -> Raw {
    open_with(web, b"")
}

fn open_with(web: &str, early: &[u8]) -> Raw {
    Raw::open_at(TcpStream::connect(web).unwrap(), FLOOR, web, "", early).0
}

/// Reads until a message contains the text.
fn sees(phone: &mut Raw, text: &str) {
    while !String::from_utf8_lossy(&phone.next().unwrap().1).contains(text) {}
}

/// The next frame that is no text.
fn answer(phone: &mut Raw) -> Option<(u8, Vec<u8>)> {
    loop {
        match phone.next() {
            Some((0x81, _)) => {}
            other => return other,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered_goodbyes_returned_and_nonsense_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let (pika, _desk) = up(folder.path()).await;
    let mut phone = open(&pika.web);
    sees(&mut phone, "Glass Tide");
    phone.send(0x81, b"nobody listens to this");
    phone.send(0x89, b"there?");
    assert_eq!(answer(&mut phone), Some((0x8a, b"there?".to_vec())));
    phone.send(0x88, &1001u16.to_be_bytes());
    assert_eq!(answer(&mut phone), Some((0x88, 1001u16.to_be_bytes().to_vec())));
    assert_eq!(answer(&mut phone), None);

    for (nonsense, code) in [
        (Raw::frame(0xc1, b"an extension"), 1002u16),
        (vec![0x81, 0x01, b'x'], 1002),
        (Raw::frame(0x81, &[b'x'; 5000]), 1009),
    ] {
        let mut phone = open(&pika.web);
        std::io::Write::write_all(&mut phone.stream, &nonsense).unwrap();
        assert_eq!(answer(&mut phone), Some((0x88, code.to_be_bytes().to_vec())));
    }

    // A frame that comes in pieces, the first of them with the handshake.
    let ping = Raw::frame(0x89, b"in pieces");
    for cut in 0..ping.len() {
        let mut phone = open_with(&pika.web, &ping[..cut]);
        sees(&mut phone, "Glass Tide");
        std::io::Write::write_all(&mut phone.stream, &ping[cut..]).unwrap();
        assert_eq!(answer(&mut phone), Some((0x8a, b"in pieces".to_vec())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_said_to_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let (mut pika, _desk) = up(folder.path()).await;
    let mut phones: Vec<Raw> = (0..20).map(|_| open(&pika.web)).collect();
    phones.iter_mut().for_each(|phone| sees(phone, "Glass Tide"));
    assert!(pika.program.stop().await.success());
    for phone in &mut phones {
        assert_eq!(answer(phone), Some((0x88, 1012u16.to_be_bytes().to_vec())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stopped_reading_and_reads_again_has_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let (pika, mut desk) = up(folder.path()).await;
    let web: SocketAddr = pika.web.parse().unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    socket.connect(&web.into()).unwrap();
    let (mut sleeper, _) = Raw::open_at(socket.into(), FLOOR, &pika.web, "", b"");
    let mut phone = open(&pika.web);
    const CHANGES: usize = 100;
    for number in 1..=CHANGES {
        let title = format!("Track {number:03}");
        assert!(desk.plays(&title));
        sees(&mut phone, &title);
    }
    let (mut seen, newest) = (0, format!("Track {CHANGES:03}"));
    let is_now = |text: &str| text.contains("id=\"now\"");
    loop {
        let (_, text) = sleeper.next().unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        seen += usize::from(is_now(&text));
        if is_now(&text) && text.contains(&newest) {
            break;
        }
    }
    assert!(seen < CHANGES, "the kernel was to be full long before: {seen} of {CHANGES}");
}
