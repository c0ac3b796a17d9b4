//! What a stop is: everybody is told, nobody is waited for longer than a supervisor waits, and what was confirmed is what is stored.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use kit::mosquitto::Subscriber;
use kit::process::{self, Program, runtime};
use kit::{Database, Dj, http, mqtt, wait};
use serde_json::Value;

use crate::road::archived;
use crate::tunnel::Raw;

/// SIGTERM; it has to go by itself, and to say so.
async fn stops(name: &str, program: &mut Program) {
    let since = Instant::now();
    assert!(program.stop().await.success(), "{name}");
    println!("{name} stopped within {} ms", since.elapsed().as_millis());
    let log = program.log();
    // What the drain ends by force was not drained.
    assert!(!log.contains("did not end in time") && !log.contains("panicked"), "{name}: {log}");
}

async fn each_program_stops_with_everybody_there(folder: &Path, database: Database) {
    let token = |name, kind| process::add_token(folder, &database, name, &[kind]);
    let tokens = BTreeMap::from([
        ("archiver", token("archiver", "service")),
        ("webapp", token("webapp", "service")),
        ("laptop", token("laptop", "desk")),
        ("lights", token("lights", "integrator")),
    ]);
    let mut broker = process::command(&folder.join("broker"));
    broker.arg("broker").env("DATABASE_URL", &database.url);
    let mut broker = Program::start(broker, &folder.join("broker"), "broker");
    let said = runtime(&folder.join("broker"), "runtime-broker.json", None).await;
    let address = said["mqtt"].as_str().unwrap().to_owned();
    let command = |name: &str| {
        let mut command = process::command(&folder.join(name));
        command.env("PIKA_BROKER_URL", format!("mqtt://{name}:{}@{address}", tokens[name]));
        command
    };
    let mut archiver = command("archiver");
    archiver.arg("archiver").env("DATABASE_URL", &database.url);
    let mut archiver = Program::start(archiver, &folder.join("archiver"), "archiver");
    let mut webapp = command("webapp");
    webapp.arg("webapp").env("DATABASE_URL", &database.url);
    let mut webapp = Program::start(webapp, &folder.join("webapp"), "webapp");
    let said = runtime(&folder.join("webapp"), "runtime-webapp.json", None).await;
    let web = said["web"].as_str().unwrap().to_owned();
    let mut dj = Dj::new(folder);
    let mut publisher = command("laptop");
    publisher.args(["publisher", "--headless", "--source", "virtualdj", "--path"]).arg(&dj.home);
    let mut publisher = Program::start(publisher, &folder.join("laptop"), "publisher");

    // Everybody is there, those who do not listen too.
    dj.plays("Glass Tide");
    wait::until("the page", || async {
        let page = http::get(&web, "/e/tonight/main")?.text();
        if page.contains("Glass Tide") { Ok(()) } else { Err(page) }
    })
    .await;
    let phone =
        |_| Raw::open_at(TcpStream::connect(&web).unwrap(), "/ws?floor=tonight/main", &web, "", b"").0;
    let mut phones: Vec<Raw> = (0..20).map(phone).collect();
    let begun = |what: &str| {
        let mut stream = TcpStream::connect(&web).unwrap();
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        stream.write_all(what.as_bytes()).unwrap();
        stream
    };
    let half = begun("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    let form = begun("POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\nname=");
    let silent = begun("");
    let mut events = begun("GET /api/v1/tonight/main/events HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(events.read(&mut [0; 12]).unwrap(), 12);
    let display = Subscriber::start(&address, &["-V", "5", "-v", "-t", "pika/v1/tonight/main/now"]);
    display.prints("Glass Tide").await;
    let login = ("lights".to_owned(), tokens["lights"].clone());
    let mut deaf = mqtt::Client::connect(address.parse().unwrap(), 0, "lights", Some(&login)).await.unwrap();
    deaf.subscribe().await.unwrap();

    stops("the web app", &mut webapp).await;
    for phone in &mut phones {
        let end = std::iter::from_fn(|| phone.next()).find(|(kind, _)| *kind == 0x88);
        assert_eq!(end, Some((0x88, 1012u16.to_be_bytes().to_vec())));
    }
    for mut stream in [half, form, silent, events] {
        // Closed or reset, and not left hanging.
        let ended = stream.read_to_end(&mut Vec::new());
        let is_timeout = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!ended.as_ref().is_err_and(is_timeout), "{ended:?}");
    }

    // Right behind a play, whose cursor may or may not be out yet: whatever is on record is confirmed.
    dj.plays("Half Life");
    display.prints("Half Life").await;
    stops("the archiver", &mut archiver).await;
    let cursors = database.store().cursors(&"tonight".parse().unwrap()).await.unwrap();
    assert!(!cursors.is_empty());
    for cursor in cursors {
        let topic = format!("pika/v1/tonight/cursor/{}", cursor.producer);
        let user = ["-u", "archiver", "-P", &tokens["archiver"], "-t", &topic];
        let said: Value =
            serde_json::from_str(&Subscriber::start(&address, &user).prints("seq").await).unwrap();
        assert_eq!(said["seq"].as_u64(), Some(cursor.seq), "{said}");
    }

    dj.plays("Nobody stores this yet");
    wait::until_some("the play to be noted", || publisher.log().contains("Nobody stores").then_some(()))
        .await;
    stops("the broker", &mut broker).await;
    let gone = tokio::time::timeout(wait::PATIENCE, async { while deaf.read().await.is_ok() {} });
    gone.await.expect("the lights to be disconnected");
    stops("the publisher", &mut publisher).await;

    // And what waited comes through when they are back.
    let port = address.rsplit_once(':').unwrap().1;
    let mut again = process::command(&folder.join("broker"));
    again.arg("broker").env("DATABASE_URL", &database.url).env("PIKA__MQTT__PORT", port);
    let _broker = Program::start(again, &folder.join("broker"), "again");
    let mut again = command("archiver");
    again.arg("archiver").env("DATABASE_URL", &database.url);
    let _archiver = Program::start(again, &folder.join("archiver"), "again");
    let mut again = command("laptop");
    again.args(["publisher", "--headless", "--source", "virtualdj", "--path"]).arg(&dj.home);
    let _publisher = Program::start(again, &folder.join("laptop"), "again");
    archived(&database, &dj).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_program_stops_with_everybody_there_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    each_program_stops_with_everybody_there(folder.path(), Database::sqlite(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_program_stops_with_everybody_there_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    each_program_stops_with_everybody_there(folder.path(), Database::postgres()).await;
}
