//! What a watcher sees: alive, ready, and the metrics of every limit.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use kit::http;
use kit::mqtt;
use kit::process::{Pika, Program, command, runtime};
use kit::wait;
use tempfile::tempdir;

/// The value of one line of metrics.
fn metric(address: &str, name: &str) -> Option<u64> {
    let text = http::get(address, "/metrics").unwrap().text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

async fn until_ready(address: &str) {
    wait::until("readiness", || async {
        let answer = http::get(address, "/readyz")?;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

#[tokio::test]
async fn a_watcher_sees_one_process_become_ready_and_count() {
    let data = tempdir().unwrap();
    let pika = Pika::up(data.path(), &[], &[]).await;
    assert_eq!(http::get(&pika.health, "/healthz").unwrap().text(), "alive\n");
    until_ready(&pika.health).await;
    // The archiver and the web app.
    assert_eq!(metric(&pika.health, "pika_broker_connections"), Some(2));
    assert_eq!(metric(&pika.health, "pika_broker_refused_total{reason=\"bad_login\"}"), Some(0));
    assert!(metric(&pika.health, "process_resident_memory_bytes") > Some(5_000_000));

    let wrong = ("nobody".to_owned(), "guess".to_owned());
    assert!(mqtt::Client::connect(pika.mqtt.parse().unwrap(), 0, "x", Some(&wrong)).await.is_err());
    assert_eq!(metric(&pika.health, "pika_broker_refused_total{reason=\"bad_login\"}"), Some(1));
    assert_eq!(metric(&pika.health, "pika_broker_failed_logins_total"), Some(1));

    let metrics = http::get(&pika.health, "/metrics").unwrap();
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(metrics.text().ends_with("# EOF\n"));
    assert_eq!(http::get(&pika.health, "/secret").unwrap().status, 404);
    let post =
        http::raw(&pika.health, b"POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn a_program_says_what_it_lacks() {
    let data = tempdir().unwrap();
    let mut archiver = command(data.path());
    // Nobody listens there.
    archiver.arg("archiver").env("PIKA_BROKER_URL", format!("mqtt://127.0.0.1:{}", kit::ports::free()));
    let archiver = Program::start(archiver, data.path(), "archiver");
    let health =
        runtime(data.path(), "runtime-archiver.json", None).await["health"].as_str().unwrap().to_owned();
    wait::until("the database alone to be there", || async {
        let answer = http::get(&health, "/readyz")?;
        let text = answer.text();
        let is_so = answer.status == 503 && text.contains("broker") && !text.contains("database");
        if is_so { Ok(()) } else { Err(text) }
    })
    .await;
    assert_eq!(http::get(&health, "/healthz").unwrap().status, 200);
    drop(archiver);
}

#[tokio::test]
async fn watchers_that_say_nothing_keep_nobody_out() {
    let data = tempdir().unwrap();
    let pika = Pika::up(data.path(), &[], &[]).await;
    let crowd: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(&pika.health).unwrap();
            stream.write_all(b"GET /metrics HTT").unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            stream
        })
        .collect();
    // Its answer takes as long as the crowd is given to speak, and comes.
    wait::until("an answer beside the crowd", || async { http::get(&pika.health, "/healthz").map(drop) })
        .await;
    for mut stream in crowd {
        let mut rest = Vec::new();
        _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "sent away");
    }
}

#[tokio::test]
async fn the_usual_port_may_be_taken_but_not_the_one_asked_for() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let data = tempdir().unwrap();
    let mut refused = command(data.path());
    refused.args(["up", "--local"]);
    refused.env("PIKA__HEALTH__PORT", taken.local_addr().unwrap().port().to_string());
    let output = refused.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("PIKA__HEALTH__PORT"), "{said}");

    // Whoever has 9090 now, a test beside this one or the next line, the second process finds another port.
    let _usual = std::net::TcpListener::bind("127.0.0.1:9090");
    let mut found = command(data.path());
    found.args(["up", "--local"]).env_remove("PIKA__HEALTH__PORT");
    let found = Program::start(found, data.path(), "up");
    let runtime = runtime(data.path(), "runtime.json", Some(found.pid())).await;
    let health = runtime["health"].as_str().unwrap();
    assert_ne!(health, "127.0.0.1:9090");
    until_ready(health).await;
}
