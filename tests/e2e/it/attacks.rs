//! What people try who mean no good, on every listener: they get an answer or a closed door, and those who came for the music notice
//! nothing. What concerns one part alone is tested there: `accounts` (roles, sessions, forms of other sites), `cheating` (taps),
//! `hostile` (the broker's crowds), `console`, `tunnel`, and `access` of the broker.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use kit::{Pika, http, wait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::health::metric;

async fn night(folder: &Path, more: &[(&str, &str)]) -> Pika {
    let pika = Pika::up(folder, &["--demo"], more).await;
    pika.page().await;
    pika
}

/// A page is still there for whoever asks for it.
fn serves(pika: &Pika) {
    let page = http::get(&pika.web, "/e/tonight/main").unwrap();
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(http::get(&pika.health, "/healthz").unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_lead_nowhere_but_to_pages() {
    let folder = tempfile::tempdir().unwrap();
    let pika = night(folder.path(), &[]).await;
    let secret = std::fs::read_to_string(folder.path().join("web.key")).unwrap();
    for path in [
        "/assets/../web.key",
        "/assets/..%2fweb.key",
        "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..\\..\\web.key",
        "/assets//etc/passwd",
        "/assets/live.js%00.css",
        "/cover/..%2f..%2fweb.key",
        "/cover/0000.jpg/../../web.key",
        "/e/../web.key",
        "/e/tonight/..%2f..%2fweb.key/recap",
        "/e/tonight/set/..%2f..%2fpika.db/csv",
        "/me/..%2fpika.db",
        "/web.key",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/.env",
        "/pika.db",
    ] {
        for listener in [&pika.web, &pika.health] {
            let answer = http::get(listener, path).unwrap();
            // A file of one's own likes is not there for a stranger, who is led to the page that says so.
            let is_elsewhere = answer.status == 303 && answer.header("location") == Some("/me");
            assert!(
                matches!(answer.status, 400 | 404) || is_elsewhere,
                "{listener} {path}: {}",
                answer.status
            );
            let text = answer.text();
            assert!(!text.contains("root:") && !text.contains(secret.trim()), "{path}: {text}");
        }
    }
    serves(&pika);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_not_ours_to_be_written_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let pika = night(folder.path(), &[]).await;
    // What is taken over into an answer: a redirect, a cookie, a file's name.
    for path in [
        "/e/tonight/main?lang=pl%0d%0aSet-Cookie:%20evil=1",
        "/e/tonight/main?look=light%0d%0aX-Evil:%201",
        "/join?lang=en&next=%0d%0aX-Evil:%201",
        "//evil.example/?lang=pl",
        "/\\evil.example/?lang=pl",
        "/dj/main?said=%0d%0aX-Evil:%201",
    ] {
        let answer = http::get(&pika.web, path).unwrap();
        for (name, value) in &answer.headers {
            assert!(name != "x-evil" && !value.contains("evil=1"), "{path}: {name}: {value}");
        }
        let to = answer.header("location").unwrap_or("/");
        assert!(to.starts_with('/') && !to.starts_with("//") && !to.starts_with("/\\"), "{path}: {to}");
    }
    // A foreign host is not believed for cookies' sake, nor said back as one's own without a proxy.
    for (name, value) in [
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=1.2.3.4;host=evil.example;proto=https"),
        ("X-Forwarded-For", "1.2.3.4"),
    ] {
        let answer = http::get_with(&pika.web, "/e/tonight/main", &[(name, value)]).unwrap();
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(answer.header("strict-transport-security"), None, "{name} of a stranger is believed");
        assert!(!answer.text().contains("evil.example"), "{name}");
    }
    // Two answers to what looks like two requests to a proxy would be a way around it.
    for smuggled in [
        "POST /api/v1/me/forget HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin/log HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /api/v1/me/forget HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET /\r\nX: y HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\r\nA\0B: c\r\n\r\n",
    ] {
        let answer = raw(&pika.web, smuggled.as_bytes());
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 1, "{smuggled:?}: {answer}");
        assert!(
            answer.is_empty() || !answer.contains("200 OK") || smuggled.contains("chunked, id"),
            "{smuggled:?}: {answer}"
        );
    }
    serves(&pika);
}

/// Everything that comes back.
fn raw(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // It may have been shown out before it has said everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_fits_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pika = night(folder.path(), &[]).await;
    let before = pika.program.rss_kib();
    let long = "x".repeat(1 << 20);
    for listener in [&pika.web, &pika.health, &pika.mqtt_websocket] {
        for request in [
            format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-Many: 1\r\n".repeat(10_000)),
            format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "pika_dancer=x; ".repeat(50_000)),
            long.clone(),
        ] {
            let answer = raw(listener, request.as_bytes());
            let status = answer.split(' ').nth(1).unwrap_or("closed").to_owned();
            assert!(
                matches!(status.as_str(), "closed" | "400" | "404" | "405" | "413" | "414" | "431"),
                "{listener}: {answer}"
            );
        }
    }
    for path in [
        "/login",
        "/dj/login",
        "/api/v1/pair",
        "/api/v1/tonight/main/like",
        "/admin/floor",
        "/account/password",
    ] {
        let headers = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close";
        let whole = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\nContent-Length: {}\r\n\r\n{long}",
            long.len()
        );
        let answer = raw(&pika.web, whole.as_bytes());
        let status: u16 = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(400);
        assert!((300..500).contains(&status), "{path}: {answer}");
    }
    serves(&pika);
    let grown = pika.program.rss_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "it took {grown} KiB");
}

/// One of a crowd that comes from twenty addresses.
fn stranger(number: usize) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 2, 1 + (number % 20) as u8], 0)))?;
    Ok(socket)
}

async fn connect(address: SocketAddr, number: usize) -> std::io::Result<tokio::net::TcpStream> {
    stranger(number)?.connect(address).await
}

/// Ten thousand that begin to ask and never finish, some of them drop by drop.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_that_never_finish_asking_for_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let pika = night(folder.path(), &[("PIKA__WEB__CONNECTIONS_MAX", "1000")]).await;
    let (before, memory_before) = (pika.program.holds(), pika.program.rss_kib());
    let address: SocketAddr = pika.web.parse().unwrap();
    let mut crowd = Vec::new();
    for number in 0..10_000 {
        let Ok(mut one) = connect(address, number).await else { continue };
        let begun: &[u8] = match number % 4 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
            2 => b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 900\r\n\r\nname=",
            _ => b"GET /ws?floor=tonight/main HTTP/1.1\r\nHost: x\r\nUpgrade: websock",
        };
        // Who was shown out already is none of the crowd.
        if one.write_all(begun).await.is_ok() {
            crowd.push(one);
        }
        if number % 1_000 == 999 {
            serves(&pika);
        }
    }
    let grown = pika.program.rss_kib().saturating_sub(memory_before);
    println!("{} strangers took {grown} KiB", crowd.len());
    assert!(grown < 80 << 10, "{} strangers took {grown} KiB", crowd.len());
    let evicted = metric(&pika.health, "pika_web_evicted_total").expect("a counter");
    assert!(evicted >= 7_000, "only {evicted} had to go");
    // One drop more does not buy more time.
    let mut left = crowd.len();
    for one in crowd {
        let (mut read, mut write) = one.into_split();
        let _ = write.write_all(b"a").await;
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(wait::PATIENCE, read.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "somebody is still waited for, with {left} left");
        left -= 1;
    }
    serves(&pika);
    wait::until("everything to be given back", || async {
        let now = pika.program.holds();
        if now.is_like(before) { Ok(()) } else { Err(format!("{now:?} after {before:?}")) }
    })
    .await;
    assert!(!pika.program.log().contains("panicked"));
}

/// They ask and ask, and read nothing of what they are told.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_answer_makes_room_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let pika = night(folder.path(), &[("PIKA__WEB__CONNECTIONS_MAX", "200")]).await;
    let before = pika.program.rss_kib();
    let address: SocketAddr = pika.web.parse().unwrap();
    let questions = "GET /e/tonight/main HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400);
    let mut crowd = Vec::new();
    for number in 0..1_000 {
        let socket = stranger(number).unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        let mut one = socket.connect(address).await.unwrap();
        // Somebody who was shown out cannot go on asking.
        let _ = one.write_all(questions.as_bytes()).await;
        crowd.push(one);
        if number % 100 == 99 {
            serves(&pika);
        }
    }
    wait::until("most of them to be shown out", || async {
        let evicted = metric(&pika.health, "pika_web_evicted_total").unwrap_or_default();
        if evicted >= 700 { Ok(()) } else { Err(format!("{evicted} had to go")) }
    })
    .await;
    serves(&pika);
    let grown = pika.program.rss_kib().saturating_sub(before);
    println!("{} who take nothing took {grown} KiB", crowd.len());
    assert!(grown < 64 << 10, "they took {grown} KiB");
}

/// Health and metrics have few places, and none of them for ever.
#[tokio::test(flavor = "multi_thread")]
async fn watchers_that_never_ask_do_not_keep_others_out() {
    let folder = tempfile::tempdir().unwrap();
    let pika = night(folder.path(), &[]).await;
    let address: SocketAddr = pika.health.parse().unwrap();
    let mut crowd = Vec::new();
    for number in 0..200 {
        let mut one = connect(address, number).await.unwrap();
        one.write_all(b"GET /metr").await.unwrap();
        crowd.push(one);
    }
    wait::until("a place for whoever asks", || async {
        let answer = http::get(&pika.health, "/readyz")?;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    serves(&pika);
}

/// Pages of other sites can open no socket, with whatever they say.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_other_sites_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let own = [("PIKA__BROKER__WEBSOCKET_ORIGINS", "[\"https://lights.example\"]")];
    let pika = night(folder.path(), &own).await;
    let status = |listener: &str, path: &str, origin: &str| {
        let handshake = format!(
            "GET {path} HTTP/1.1\r\nHost: {listener}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        // A browser waits for the answer, and who has hung up gets none.
        let mut stream = TcpStream::connect(listener).unwrap();
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        stream.write_all(handshake.as_bytes()).unwrap();
        let mut answer = [0; 12];
        let answered = stream.read_exact(&mut answer);
        assert!(answered.is_ok(), "{listener} {origin}: {answered:?}");
        String::from_utf8_lossy(&answer[9..]).into_owned()
    };
    let home = format!("http://{}", pika.web);
    assert_eq!(status(&pika.web, "/ws?floor=tonight/main", &home), "101");
    assert_eq!(status(&pika.mqtt_websocket, "/ws", "https://lights.example"), "101");
    for origin in
        ["https://evil.example", "null", "http://127.0.0.1:1", "https://lights.example.evil.example"]
    {
        assert_eq!(status(&pika.web, "/ws?floor=tonight/main", origin), "403", "{origin}");
        assert_eq!(status(&pika.web, "/mqtt", origin), "403", "{origin}");
        assert_eq!(status(&pika.mqtt_websocket, "/ws", origin), "403", "{origin}");
    }
}
