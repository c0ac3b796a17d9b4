//! What a watcher sees: alive, ready, and the metrics of every limit.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use kit::Database;
use kit::http;
use kit::mqtt;
use kit::postgres::Postgres;
use kit::process::{Pika, Program, add_token, command, runtime};
use kit::proxy::Proxy;
use kit::wait;
use tempfile::tempdir;

/// The value of one line of metrics.
pub fn metric(address: &str, name: &str) -> Option<u64> {
    let text = http::get(address, "/metrics").unwrap().text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

async fn until_ready(address: &str) {
    says(address, "/readyz", 200, "ready").await;
}

/// Waits for an answer of that status, with these words in it.
async fn says(address: &str, path: &str, status: u16, words: &str) {
    wait::until(&format!("{path} to be {status} {words}"), || async {
        let answer = http::get(address, path)?;
        let text = answer.text();
        let is_so = answer.status == status && text.contains(words);
        if is_so { Ok(()) } else { Err(format!("{} {text}", answer.status)) }
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

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_the_archiver_is_not_ready_and_phones_are_served() {
    let (data, cluster) = (tempdir().unwrap(), tempdir().unwrap());
    let mut postgres = Postgres::start_in(cluster.path()).await;
    let url = format!("postgres://pika@{}/postgres", postgres.address());
    let pika = Pika::up(data.path(), &[], &[("DATABASE_URL", &url)]).await;
    says(&pika.health, "/readyz", 200, "ready\n").await;
    pika.page().await;
    assert_eq!(metric(&pika.health, "pika_database_up"), Some(1));
    assert_eq!(metric(&pika.health, "pika_database_migrations_missing"), Some(0));
    assert!(metric(&pika.health, "pika_database_size_bytes") > Some(100_000));

    postgres.stop();
    // Nothing happens on the floor, and it is noticed all the same.
    says(&pika.health, "/readyz", 503, "archiver to database: ").await;
    says(&pika.health, "/readyz/archiver", 503, "archiver's database: ").await;
    says(&pika.health, "/readyz/webapp", 200, "not all is well\nweb app to database: ").await;
    says(&pika.health, "/readyz/broker", 200, "not all is well\nbroker to database: ").await;
    assert_eq!(metric(&pika.health, "pika_database_up"), Some(0));
    assert_eq!(metric(&pika.health, "pika_ready{part=\"archiver to database\"}"), Some(0));
    assert_eq!(http::get(&pika.web, "/e/tonight/main").unwrap().status, 200);
    assert_eq!(http::get(&pika.health, "/healthz").unwrap().status, 200);

    postgres.start().await;
    says(&pika.health, "/readyz", 200, "ready\n").await;
    says(&pika.health, "/readyz/webapp", 200, "ready\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_broker_or_the_lease_nobody_is_ready() {
    let folder = tempdir().unwrap();
    let database = Database::sqlite(folder.path());
    let first = Pika::up(&folder.path().join("first"), &[], &[("DATABASE_URL", &database.url)]).await;
    until_ready(&first.health).await;
    let cable = Proxy::to(&first.mqtt).await;
    let program = |name: &'static str| {
        let (data, database, cable) = (folder.path().join(name), database.url.clone(), cable.address.clone());
        let first = first.data.clone();
        async move {
            let database = Database { url: database };
            let token = add_token(&first, &database, name, &["service"]);
            let mut command = command(&data);
            command.arg(name).env("DATABASE_URL", &database.url);
            command.env("PIKA_BROKER_URL", format!("mqtt://{name}:{token}@{cable}"));
            command.env("PIKA__WEB__NAME", "second").env("PIKA__WEB__ANNOUNCE", "false");
            let program = Program::start(command, &data, name);
            let runtime = runtime(&data, &format!("runtime-{name}.json"), None).await;
            (program, runtime["health"].as_str().unwrap().to_owned())
        }
    };
    let (_archiver, archiver) = program("archiver").await;
    let (_webapp, webapp) = program("webapp").await;
    says(&webapp, "/readyz", 200, "ready").await;
    says(&archiver, "/readyz", 503, "archiver's lease: another archiver has it").await;
    assert_eq!(metric(&archiver, "pika_archiver_lease"), Some(0));
    assert_eq!(metric(&first.health, "pika_archiver_lease"), Some(1));

    cable.cut();
    says(&webapp, "/readyz", 503, "web app to broker: ").await;
    says(&archiver, "/readyz", 503, "archiver to broker: ").await;
    cable.mend();
    says(&webapp, "/readyz", 200, "ready").await;
    drop(first);
    says(&archiver, "/readyz/broker", 200, "ready").await;
    wait::until("the second archiver to have the lease", || async {
        match metric(&archiver, "pika_archiver_lease") {
            Some(1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
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
