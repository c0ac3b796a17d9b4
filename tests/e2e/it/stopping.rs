//! What a stop is: everybody is told, nobody is waited for longer than a supervisor waits, and what was confirmed is what is stored.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use kit::mosquitto::Subscriber;
use kit::{Apart, Database, Dj, Program, http, mqtt, wait};
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
    let mut it = Apart::start(folder, &database).await;
    let (address, web) = (it.mqtt.clone(), it.web.clone());
    let mut dj = Dj::new(folder);
    let mut laptop = it.publisher(&dj.home);
    it.command("lights", "integrator");

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
    let login = ("lights".to_owned(), it.token("lights").to_owned());
    let mut deaf = mqtt::Client::connect(address.parse().unwrap(), 0, "lights", Some(&login)).await.unwrap();
    deaf.subscribe().await.unwrap();

    stops("the web app", &mut it.webapp).await;
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
    stops("the archiver", &mut it.archiver).await;
    let cursors = database.store().cursors(&"tonight".parse().unwrap()).await.unwrap();
    assert!(!cursors.is_empty());
    for cursor in cursors {
        let topic = format!("pika/v1/tonight/cursor/{}", cursor.producer);
        let user = ["-u", "archiver", "-P", it.token("archiver"), "-t", &topic];
        let said: Value =
            serde_json::from_str(&Subscriber::start(&address, &user).prints("seq").await).unwrap();
        assert_eq!(said["seq"].as_u64(), Some(cursor.seq), "{said}");
    }

    dj.plays("Nobody stores this yet");
    wait::until_some("the play to be noted", || laptop.log().contains("Nobody stores").then_some(())).await;
    stops("the broker", &mut it.broker).await;
    let gone = tokio::time::timeout(wait::PATIENCE, async { while deaf.read().await.is_ok() {} });
    gone.await.expect("the lights to be disconnected");
    stops("the publisher", &mut laptop).await;

    // And what waited comes through when they are back.
    it.again();
    let _laptop = it.publisher(&dj.home);
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
