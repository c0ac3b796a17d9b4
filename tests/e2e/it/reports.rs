//! What Sentry is told, looked at by a server that keeps it: the error, and nothing of anybody.

use std::fs::File;

use kit::process::{Program, command};
use kit::sink::Received;
use kit::{Pika, Sink};
use serde_json::Value;
use tempfile::tempdir;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn dsn(sink: &Sink) -> String {
    format!("http://{KEY}@{}/42", sink.address)
}

/// The event of an envelope: lines of JSON, the last one being what it holds.
fn event(received: &Received) -> Value {
    assert!(received.head.starts_with("POST /api/42/envelope/ HTTP/1.1\r\n"), "{}", received.head);
    assert!(received.head.contains(KEY), "whose report it is stands in the header");
    let lines: Vec<&str> = received.body.lines().collect();
    assert_eq!(lines.len(), 3, "{}", received.body);
    let item: Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!(item["type"], "event");
    serde_json::from_str(lines[2]).unwrap()
}

/// Whether anything in there tells of a machine, a person or a secret; `more` is what this test knows of.
fn tells_of_nobody(received: &Received, more: &[&str]) {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let temporary = std::env::temp_dir().display().to_string();
    let mut foreign = vec!["127.0.0.1", "localhost:", "://", "?", host.trim(), &temporary];
    foreign.extend_from_slice(more);
    let body = received.body.to_lowercase();
    for word in foreign.iter().filter(|word| !word.is_empty()) {
        assert!(!body.contains(&word.to_lowercase()), "{word} in {}", received.body);
    }
    let event = event(received);
    for absent in ["server_name", "user", "request", "breadcrumbs", "modules", "contexts", "threads"] {
        assert!(event[absent].is_null(), "{absent} in {event}");
    }
    assert_eq!(event["release"], concat!("pika@", env!("CARGO_PKG_VERSION")));
    assert_eq!(event["environment"], "rehearsal");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_told_without_address_name_or_token() {
    let (data, other, sink) = (tempdir().unwrap(), tempdir().unwrap(), Sink::start());
    let pika = Pika::up(data.path(), &[], &[]).await;
    pika.page().await;
    // Somebody whose token was revoked, say: his archiver says so, as an error.
    let mut archiver = command(other.path());
    archiver.arg("archiver").env("SENTRY_DSN", dsn(&sink)).env("PIKA__SENTRY__ENVIRONMENT", "rehearsal");
    let url = format!("mqtt://annas-laptop:s3cret-of-the-bus@{}/?for=anna", pika.mqtt);
    archiver.env("PIKA_BROKER_URL", url).env("HOSTNAME", "booth-pc");
    let mut archiver = Program::start(archiver, other.path(), "archiver");
    let told = sink.next("a report");
    tells_of_nobody(&told, &["anna", "s3cret", "booth-pc", pika.mqtt.rsplit(':').next().unwrap()]);
    let event = event(&told);
    let message = event["message"].as_str().unwrap();
    assert!(message.starts_with("the broker refuses our name or token"), "{event}");
    assert_eq!(event["logger"], "pika_bus::session");
    // It tries again and again, and that is no news.
    archiver.stop().await;
    assert!(archiver.log().matches("the broker refuses our name or token").count() >= 1);
    assert_eq!(sink.rest().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_told_with_its_place() {
    let (data, sink) = (tempdir().unwrap(), Sink::start());
    let mut up = command(data.path());
    up.args(["up", "--local"]).env("SENTRY_DSN", dsn(&sink)).env("PIKA__SENTRY__ENVIRONMENT", "rehearsal");
    // A disk that is full: what a program writes to its standard output, as the greeting, is a panic of Rust's own.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let log = data.path().join("panic.log");
    up.stdout(full).stderr(File::create(&log).unwrap());
    let status = up.status().unwrap();
    assert_eq!(status.code(), Some(101));
    let told = sink.next("a report");
    tells_of_nobody(&told, &["/src/", "library/std"]);
    let event = event(&told);
    let exception = &event["exception"]["values"][0];
    assert_eq!((&event["level"], &exception["type"]), (&"fatal".into(), &"panic".into()), "{event}");
    let value = exception["value"].as_str().unwrap();
    assert!(
        value.starts_with("panicked at stdio.rs:") && value.contains("No space left on device"),
        "{value}"
    );
    // The log has it as well.
    assert!(std::fs::read_to_string(log).unwrap().contains("panicked at"));
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_program_ends_is_told_and_what_a_person_typed_is_not() {
    let (data, sink) = (tempdir().unwrap(), Sink::start());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let environment = [("SENTRY_DSN", dsn(&sink)), ("PIKA__SENTRY__ENVIRONMENT", "rehearsal".to_owned())];
    let mut typed = command(data.path());
    typed.args(["token", "revoke", "nobody"]).envs(environment.clone());
    assert_eq!(typed.status().unwrap().code(), Some(1));
    let mut up = command(data.path());
    let port = taken.local_addr().unwrap().port().to_string();
    up.args(["up", "--local"]).envs(environment).env("PIKA__WEB__PORT", &port);
    assert_eq!(up.status().unwrap().code(), Some(1));
    let told = sink.next("a report");
    tells_of_nobody(&told, &[&port]);
    let event = event(&told);
    assert_eq!(event["level"], "fatal");
    assert!(event["message"].as_str().unwrap().starts_with("cannot serve pages on […]"), "{event}");
    assert_eq!(sink.rest().len(), 0, "one report, and none of what was typed");
}

#[test]
fn a_dsn_that_is_none_is_said_without_it() {
    let data = tempdir().unwrap();
    let mut up = command(data.path());
    up.args(["up", "--local"]).env("SENTRY_DSN", "https://s3cret-key@example.org");
    let output = up.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("SENTRY_DSN"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}
