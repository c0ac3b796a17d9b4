//! Secrets stay secret: whatever is written, at the most talkative setting and while everything fails, holds none.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use kit::process::{self, Program, add_token, command, runtime};
use kit::{Database, Pika, http, ports, wait};
use tempfile::tempdir;

use crate::tunnel::Raw;

/// Each of them can be told from everything else.
const DATABASE: &str = "hush-database-1f9a";
const DATABASE_TOO: &str = "hush-parameter-2e8b";
const BUS: &str = "hush-bus-3d7c";
const WEB: &str = "hush-web-secret-4c6d-0123456789abcdef";
const VIRTUALDJ: &str = "hush-virtualdj-5b5e";
const ICECAST: &str = "hush-icecast-6a4f";
const HTTP: &str = "hush-http-79a3";
const JRIVER: &str = "hush-jriver-8892";
const REKORDBOX: &str = "4875736800000000000000000000000000000000000000000000000000009781";
const SENTRY: &str = "hush0sentry0a670123456789abcdef01";

const ALL: [&str; 10] =
    [DATABASE, DATABASE_TOO, BUS, WEB, VIRTUALDJ, ICECAST, HTTP, JRIVER, REKORDBOX, SENTRY];

/// Everything that a program writes in its data folder's logs, and the same in base64, as HTTP would carry it.
fn is_silent_about(text: &str, secrets: &[&str], place: &str) {
    for secret in secrets {
        let found = text.lines().find(|line| line.contains(secret));
        assert!(found.is_none(), "{place} tells {secret}: {}", found.unwrap_or_default());
    }
}

/// With every secret that there is a setting for.
fn talkative(data: &Path) -> Command {
    let mut command = command(data);
    let nobody = format!("127.0.0.1:{}", ports::free());
    command
        .env("PIKA__LOG__FILTER", "trace")
        .env("PIKA__BUS__TOKEN", BUS)
        .env("PIKA__BUS__NAME", "booth")
        .env("PIKA__WEB__SECRET", WEB)
        .env("PIKA__PUBLISHER__VIRTUALDJ_LIVE__PASSWORD", VIRTUALDJ)
        .env("PIKA__PUBLISHER__VIRTUALDJ_LIVE__URL", format!("http://{nobody}"))
        .env("PIKA__PUBLISHER__ICECAST__PASSWORD", ICECAST)
        .env("PIKA__PUBLISHER__ICECAST__PORT", ports::free().to_string())
        .env("PIKA__PUBLISHER__HTTP__TOKEN", HTTP)
        .env("PIKA__PUBLISHER__HTTP__PORT", ports::free().to_string())
        .env("PIKA__PUBLISHER__JRIVER__PASSWORD", JRIVER)
        .env("PIKA__PUBLISHER__JRIVER__USER", "dj")
        .env("PIKA__PUBLISHER__JRIVER__URL", format!("http://{nobody}"))
        .env("PIKA__PUBLISHER__REKORDBOX__KEY", REKORDBOX)
        .env("PIKA__PUBLISHER__SOURCE", "virtualdj-live,icecast,http,jriver")
        // Nobody is there to take a report.
        .env("SENTRY_DSN", format!("http://{SENTRY}@{nobody}/1"));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_used_and_attacked_tells_no_secret() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("server");
    let database = Database::sqlite(folder.path());
    let mut up = talkative(&data);
    up.args(["up", "--local"]).env("DATABASE_URL", &database.url);
    let program = Program::start(up, &data, "up");
    let runtime = runtime(&data, "runtime.json", Some(program.pid())).await;
    let address = |key: &str| runtime[key].as_str().unwrap().to_owned();
    let (web, mqtt) = (address("web"), address("mqtt"));
    let (mqtt_websocket, health) = (address("mqtt_websocket"), address("health"));
    let pika = Pika { program, data: data.clone(), web, mqtt, mqtt_websocket, health };
    pika.page().await;

    // A token is said once, alone on the last line of standard output.
    let mut add = talkative(&data);
    add.args(["token", "add", "laptop", "--kind", "desk"]).env("DATABASE_URL", &database.url);
    let added = add.output().unwrap();
    let (said, told) = (String::from_utf8(added.stdout).unwrap(), String::from_utf8(added.stderr).unwrap());
    let token = said.lines().last().unwrap().to_owned();
    assert!(added.status.success() && token.len() > 20, "{told}");
    assert_eq!(said.matches(&token).count(), 1, "{said}");
    let desk = std::fs::read_to_string(data.join("desk.token")).unwrap().trim().to_owned();
    let service = add_token(&data, &database, "archiver", &["service"]);

    // The console, with a right and with a wrong token, and with its cookie.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let login = |token: &str| {
        http::post(&pika.web, "/dj/login", &form, &format!("name=pika-desk&token={token}")).unwrap()
    };
    assert_eq!(login("hush-wrong-token").status, 403);
    let answer = login(&desk);
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let session = cookie.split_once('=').unwrap().1.to_owned();
    let console = http::get_with(&pika.web, "/dj/main", &[("Cookie", &cookie)]).unwrap();
    assert_eq!(console.status, 200);
    let said = [("Cookie", cookie.as_str()), form[0]];
    http::post(&pika.web, "/dj/main/announce", &said, "text=Hello&minutes=5").unwrap();
    let dancer = kit::Phone::comes(&pika.web);

    // MQTT by every way, right and wrong.
    let connect =
        |password: &str| kit::mqtt::connect("a-desk", Some(&("laptop".to_owned(), password.to_owned())));
    for path in ["/mqtt", "/ws"] {
        for (address, password) in
            [(&pika.mqtt_websocket, token.as_str()), (&pika.mqtt_websocket, "hush-wrong-password")]
        {
            let frame = Raw::frame(0x82, &connect(password));
            let protocol = "Sec-WebSocket-Protocol: mqtt\r\n";
            let (mut raw, _) =
                Raw::open_at(TcpStream::connect(address).unwrap(), path, address, protocol, b"");
            raw.stream.write_all(&frame).unwrap();
            // An answer, or the end.
            let _ = raw.stream.read(&mut [0; 64]);
        }
    }
    let frame = Raw::frame(0x82, &connect(&token));
    let protocol = "Sec-WebSocket-Protocol: mqtt\r\n";
    let stream = TcpStream::connect(&pika.web).unwrap();
    let (mut raw, _) = Raw::open_at(stream, "/mqtt", &pika.web, protocol, &frame);
    let _ = raw.stream.read(&mut [0; 64]);
    for password in [token.as_str(), "hush-wrong-password"] {
        let login = ("laptop".to_owned(), password.to_owned());
        let _ = kit::mqtt::Client::connect(pika.mqtt.parse().unwrap(), 0, "b", Some(&login)).await;
    }

    // Programs of their own, over WebSocket and over TCP, and a publisher with all sources.
    let programs = [
        ("archiver", format!("ws://archiver:{service}@{}/mqtt", pika.mqtt_websocket)),
        ("webapp", format!("mqtt://archiver:{BUS}@{}", pika.mqtt)),
        ("publisher", format!("ws://laptop:{token}@{}/mqtt", pika.web)),
    ];
    let mut running = Vec::new();
    for (name, url) in &programs {
        let own = folder.path().join(name);
        let mut command = talkative(&own);
        command.arg(name).env("DATABASE_URL", &database.url).env("PIKA_BROKER_URL", url);
        if *name == "publisher" {
            command.arg("--headless");
        }
        running.push(Program::start(command, &own, name));
    }
    let logs = || running.iter().map(|program| (program, program.log()));
    wait::until("all of them to speak with the broker", || async {
        for (program, log) in logs() {
            if !(log.contains("connected to the broker") || log.contains("refuses our name")) {
                return Err(format!("{}: {log}", program.log.display()));
            }
        }
        Ok(())
    })
    .await;
    // And one that is asked by a program with a password.
    let broadcast = [("Authorization", "Basic c291cmNlOmh1c2gtaWNlY2FzdC02YTRm")];
    let _ = http::get_with(&format!("127.0.0.1:{}", port_of(&running[2], "ICECAST")), "/", &broadcast);

    let dancer_cookie = dancer.cookie.split_once('=').unwrap().1.to_owned();
    let mut secrets = ALL.to_vec();
    secrets.extend([&*token, &desk, &service, &session, &dancer_cookie, "hush-wrong"]);
    secrets.push("c291cmNlOmh1c2gtaWNlY2FzdC02YTRm");
    is_silent_about(&pika.program.log(), &secrets, "the server's log");
    is_silent_about(&told, &secrets, "standard error of `token add`");
    for (program, log) in logs() {
        is_silent_about(&log, &secrets, &program.log.display().to_string());
    }
    let metrics = http::get(&pika.health, "/metrics").unwrap().text();
    is_silent_about(&metrics, &secrets, "/metrics");
    is_silent_about(&http::get(&pika.health, "/readyz").unwrap().text(), &secrets, "/readyz");
    is_silent_about(&console.text(), &secrets, "the console");
    let retained = wait::until("the event on the bus", || async {
        let retained = retained(&pika.mqtt, &service);
        if retained.contains("tonight/info") { Ok(retained) } else { Err(retained) }
    })
    .await;
    is_silent_about(&retained, &secrets, "retained messages");
    let kept = std::fs::read_dir(data.join("retained")).unwrap().flatten();
    for file in kept {
        let bytes = std::fs::read(file.path()).unwrap();
        is_silent_about(&String::from_utf8_lossy(&bytes), &secrets, &file.path().display().to_string());
    }
}

/// The port that a publisher has for a source, as it was told in its environment.
fn port_of(program: &Program, source: &str) -> String {
    let environment = std::fs::read(format!("/proc/{}/environ", program.pid())).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let prefix = format!("PIKA__PUBLISHER__{source}__PORT=");
    let mut values = environment.split('\0').filter_map(|variable| variable.strip_prefix(&prefix));
    values.next().unwrap().to_owned()
}

/// All that a broker keeps, as a service sees it.
fn retained(mqtt: &str, token: &str) -> String {
    let (host, port) = mqtt.rsplit_once(':').unwrap();
    let mut listen = Command::new("mosquitto_sub");
    listen.args(["-h", host, "-p", port, "-u", "archiver", "-P", token, "-t", "#", "-v", "-W", "3"]);
    let heard = listen.arg("--retained-only").stderr(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&heard.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_reach_nobody_tell_no_secret() {
    let folder = tempdir().unwrap();
    let nobody = || format!("127.0.0.1:{}", ports::free());
    let database = format!("postgres://pika:{DATABASE}@{}/pika?password={DATABASE_TOO}", nobody());
    let mut running = Vec::new();
    for (name, arguments, word) in [
        ("up", &["up", "--local"][..], "the database is away"),
        ("broker", &["broker"], "listening"),
        ("archiver", &["archiver"], "cannot reach the broker"),
        ("webapp", &["webapp"], "cannot reach the broker"),
        ("publisher", &["publisher", "--headless"], "cannot reach the broker"),
    ] {
        let data = folder.path().join(name);
        let mut command = talkative(&data);
        command.args(arguments).env("DATABASE_URL", &database);
        let road = if name == "webapp" { "ws" } else { "mqtt" };
        command.env("PIKA_BROKER_URL", format!("{road}://booth:{BUS}@{}", nobody()));
        running.push((Program::start(command, &data, name), word));
    }
    for (program, word) in &running {
        wait::until(&format!("{} to fail", program.log.display()), || async {
            let log = program.log();
            if log.contains(word) { Ok(()) } else { Err(log) }
        })
        .await;
    }
    for (program, _) in &running {
        is_silent_about(&program.log(), &ALL, &program.log.display().to_string());
    }
    // Settings that cannot be used are named, and a secret is not.
    for (name, value) in [
        ("DATABASE_URL", "mysql://pika:hush-mistaken@db/pika"),
        ("DATABASE_URL", "postgres://pika:hush-mistaken@[nonsense/pika"),
        ("PIKA_BROKER_URL", "http://booth:hush-mistaken@broker"),
        ("SENTRY_DSN", "hush-mistaken"),
    ] {
        let mut archiver = process::command(&folder.path().join("mistaken"));
        let output = archiver.arg("archiver").env(name, value).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name} = {value}");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        is_silent_about(&said, &["hush-mistaken"], &format!("{name} = {value}"));
    }
}
