//! Memory, executable, first load and the time to the first page. Run by `cargo xtask bench size`.

#![allow(clippy::unwrap_used, reason = "a benchmark that does not work fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use kit::{Database, Pika, http, process, wait};

const PHONES: usize = 1_000;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::sqlite(folder.path());
    let started = Instant::now();
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("PIKA__DEMO__EVERY_MS", "2000"),
        ("PIKA__DEMO__TRACKS", "3"),
    ];
    let pika = Pika::up(folder.path(), &["--demo"], &settings).await;
    pika.page().await;
    println!("start → first page: {} ms (must: 1,000; aim: 250)", started.elapsed().as_millis());
    pika.shows("West End Blues").await;
    println!("`pika up`, publisher included, RSS: {} (must: 40 MB; aim: 20)", mb(pika.program.rss_kib()));
    let executable = std::fs::metadata(process::executable()).unwrap().len();
    println!("executable: {:.1} MB (must: 35; aim: 20)", executable as f64 / 1e6);

    let page = pika.page().await;
    let mut bytes = 0;
    for path in
        std::iter::once("/e/tonight/main").chain(page.split('"').filter(|part| part.starts_with("/assets/")))
    {
        bytes += http::get_with(&pika.web, path, &[("Accept-Encoding", "gzip")]).unwrap().body.len();
    }
    println!("first load, compressed: {:.1} kB (must: 30; aim: 15)", bytes as f64 / 1e3);

    let phones: Vec<TcpStream> = (0..PHONES).map(|_| phone(&pika.web)).collect();
    wait::until_some("the phones to be counted", || {
        let now = http::get(&pika.web, "/e/tonight/main").ok()?;
        now.text().contains(&format!("{PHONES} here")).then_some(())
    })
    .await;
    println!("with {PHONES} phones, RSS: {} (must: 100 MB; aim: 45)", mb(pika.program.rss_kib()));
    drop(phones);
}

fn mb(kib: u64) -> String {
    format!("{:.1} MB", kib as f64 * 1024.0 / 1e6)
}

/// An open socket that has its first state.
fn phone(web: &str) -> TcpStream {
    let mut stream = TcpStream::connect(web).unwrap();
    let request = format!(
        "GET /ws?floor=tonight/main HTTP/1.1\r\nHost: {web}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains("id=\"history\"")
        && !String::from_utf8_lossy(&seen).contains("history\" id")
    {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
    stream
}
