//! A desk without a token asks a server for one: what it has to say, who has to agree, and what nobody gets.

use std::path::Path;

use kit::process::{self, add_token};
use kit::{Browser, Database, Dj, Pika, http, mosquitto};
use pairing::{Agreement, Answer, Ask, DeskSide, Granted, Outcome};
use serde::Serialize;

use crate::export::pika;
use crate::road::up;

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn post(pika: &Pika, path: &str, message: &impl Serialize) -> http::Answer {
    http::post(&pika.web, path, &[JSON], &serde_json::to_string(message).unwrap()).unwrap()
}

/// A desk that has asked, and what it goes on with.
struct Asking {
    desk: DeskSide,
    answer: Answer,
    agreed: Agreement,
}

impl Asking {
    fn at(pika: &Pika, random: u8, name: &str) -> Self {
        let desk = DeskSide::new([random; 32], name.parse().unwrap(), Some(format!("DJ {name}")));
        let asked = post(pika, "/api/v1/pair", desk.ask());
        assert_eq!(asked.status, 201, "{}", asked.text());
        let answer: Answer = serde_json::from_str(&asked.text()).unwrap();
        let agreed = desk.agree(&answer).unwrap();
        Self { desk, answer, agreed }
    }

    fn path(&self) -> String {
        format!("/api/v1/pair/{}", self.answer.id)
    }

    fn reveals(self, pika: &Pika) -> Self {
        assert_eq!(post(pika, &self.path(), &self.desk.reveal()).status, 204);
        self
    }

    fn outcome(&self, pika: &Pika) -> Outcome {
        let answer = http::get(&pika.web, &self.path()).unwrap();
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (200, Some("no-store")),
            "{}",
            answer.text()
        );
        serde_json::from_str(&answer.text()).unwrap()
    }

    fn granted(&self, pika: &Pika) -> Granted {
        match self.outcome(pika) {
            Outcome::Granted { sealed } => self.agreed.open(&sealed).unwrap(),
            Outcome::Waiting => panic!("nobody has let it in"),
        }
    }
}

/// The organizer types a code that nobody shows.
fn refused(data: &Path, code: &str, database: &Database) {
    let mut command = process::command(data);
    let done = command.args(["desk", "pair", code]).env("DATABASE_URL", &database.url).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.code() == Some(1) && said.contains("no desk with the code"), "{said}");
}

async fn pairs(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let settings = [("DATABASE_URL", database.url.as_str())];
    let server = up(data, &database, &Dj::new(data), &[]).await;
    server.page().await;
    // The name is taken: it gets another one.
    add_token(data, &database, "ada", &["desk"]);
    let asking = Asking::at(&server, 1, "ada");
    assert_eq!((asking.answer.event.as_str(), asking.answer.event_name.as_str()), ("tonight", "Tonight"));
    let code = asking.agreed.code().to_string();
    // It has not shown its key yet.
    refused(data, &code, &database);
    let asking = asking.reveals(&server);
    assert_eq!(asking.outcome(&server), Outcome::Waiting);

    // The organizer sees who waits, but not the code: that is for the DJ to read out.
    let (waiting, _) = pika(data, &["desk", "pair"], &settings);
    assert!(waiting.starts_with("ada\tDJ ada\tfor ") && !waiting.contains(&code), "{waiting}");
    let wrong = if code == "000 000" { "000001" } else { "000000" };
    refused(data, wrong, &database);
    assert_eq!(asking.outcome(&server), Outcome::Waiting);

    // Typed without the space, and for one floor only.
    let typed = code.replace(' ', "");
    let let_in = std::thread::spawn({
        let (data, url) = (data.to_owned(), database.url.clone());
        move || {
            let arguments = ["desk", "pair", &typed, "--floor", "main", "--expires", "90d"];
            pika(&data, &arguments, &[("DATABASE_URL", &url)])
        }
    });
    let granted = kit::wait::until("the desk to be let in", || async {
        match asking.outcome(&server) {
            Outcome::Granted { sealed } => Ok(asking.agreed.open(&sealed).unwrap()),
            Outcome::Waiting => Err("waiting".to_owned()),
        }
    })
    .await;
    let (_, said) = let_in.join().unwrap();
    assert!(said.contains("`ada` (DJ ada) may play") && said.contains("called `ada-2`"), "{said}");
    assert!(!said.contains(&granted.token));
    assert_eq!((granted.desk.as_str(), granted.floor.as_ref().unwrap().as_str()), ("ada-2", "main"));
    assert_eq!(granted.floors[0].name, "Main floor");
    // An answer that was lost can be had again, and is the same.
    assert_eq!(asking.granted(&server), granted);
    let (tokens, _) = pika(data, &["token", "list"], &settings);
    let lines: Vec<&str> = tokens.lines().filter(|line| line.starts_with("ada")).collect();
    assert!(lines.len() == 2 && lines[1].contains("ada-2\tdesk\ttonight\tmain\tuntil "), "{tokens}");
    // Once let in, never again with the same code.
    refused(data, &code, &database);

    // The token is good for this desk, and for no other.
    let status = |desk: &str| {
        let topic = format!("pika/v1/tonight/main/desk/{desk}/status");
        let (mqtt, token) = (server.mqtt.clone(), granted.token.clone());
        async move {
            let arguments = ["-V", "5", "-q", "1", "-t", &topic, "-m", "online", "-u", "ada-2", "-P", &token];
            mosquitto::publish(&mqtt, &arguments).await
        }
    };
    kit::wait::until("the broker to know the token", || async {
        let (is_sent, why) = status("ada-2").await;
        if is_sent && why.is_empty() { Ok(()) } else { Err(why) }
    })
    .await;
    let (_, why) = status("ada").await;
    assert!(why.contains("Not authorized"), "another one's desk: {why}");
    // Nothing secret is in the database or the log.
    let log = server.program.log();
    assert!(!log.contains(&granted.token) && !log.contains(&code), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_is_let_in_by_its_six_digits_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    pairs(Database::sqlite(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_is_let_in_by_its_six_digits_on_postgres() {
    pairs(Database::postgres()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let (data, database) = (folder.path(), Database::sqlite(folder.path()));
    let server = up(data, &database, &Dj::new(data), &[]).await;
    server.page().await;
    // Somebody in between shows another key than the desk has committed to: it is over.
    let asking = Asking::at(&server, 1, "ada");
    let other = DeskSide::new([9; 32], "ada".parse().unwrap(), None);
    let answer = post(&server, &asking.path(), &other.reveal());
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(post(&server, &asking.path(), &asking.desk.reveal()).status, 404);
    assert_eq!(http::get(&server.web, &asking.path()).unwrap().status, 404);
    // A key is shown once; the same again does no harm, and another one is too late.
    let asking = Asking::at(&server, 2, "ada").reveals(&server).reveals(&server);
    assert_eq!(post(&server, &asking.path(), &other.reveal()).status, 400);

    for (path, message, status) in [
        ("/api/v1/pair", "{}", 400),
        ("/api/v1/pair", "nonsense", 400),
        ("/api/v1/pair/nonsense", r#"{"v":1,"key":"00"}"#, 400),
        (
            "/api/v1/pair/00000000-0000-4000-8000-000000000000",
            &*serde_json::to_string(&other.reveal()).unwrap(),
            404,
        ),
    ] {
        let answer = http::post(&server.web, path, &[JSON], message).unwrap();
        assert_eq!(answer.status, status, "{path} {message}: {}", answer.text());
    }
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(http::post(&server.web, "/api/v1/pair", &form, "v=1").unwrap().status, 415);
    assert_eq!(http::post(&server.web, "/api/v1/pair", &[JSON], &"x".repeat(100_000)).unwrap().status, 400);
    // Another site's page may not ask in a DJ's name.
    let foreign = [JSON, ("Origin", "https://evil.example")];
    let ask = serde_json::to_string(other.ask()).unwrap();
    assert_eq!(http::post(&server.web, "/api/v1/pair", &foreign, &ask).unwrap().status, 403);
    let own = Ask { desk: "pika-desk".parse().unwrap(), ..other.ask().clone() };
    assert_eq!(post(&server, "/api/v1/pair", &own).status, 400);

    // One address has so many tries, and waits after them.
    let last = kit::wait::until("the address to be slowed down", || async {
        let answer = post(&server, "/api/v1/pair", other.ask());
        if answer.status == 429 { Ok(answer) } else { Err(answer.status.to_string()) }
    })
    .await;
    assert!(last.header("retry-after").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_let_nobody_ask() {
    let folder = tempfile::tempdir().unwrap();
    let (data, database) = (folder.path(), Database::sqlite(folder.path()));
    let server = up(data, &database, &Dj::new(data), &[("PIKA__WEB__PAIRING", "false")]).await;
    server.page().await;
    let desk = DeskSide::new([1; 32], "ada".parse().unwrap(), None);
    assert_eq!(post(&server, "/api/v1/pair", desk.ask()).status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_laptop_that_is_the_server_lets_others_in_on_its_console() {
    let folder = tempfile::tempdir().unwrap();
    let (data, database) = (folder.path(), Database::sqlite(folder.path()));
    let server = up(data, &database, &Dj::new(data), &[]).await;
    server.page().await;
    let token = add_token(data, &database, "guest", &["desk"]);
    let asking = Asking::at(&server, 3, "bo").reveals(&server);
    let code = asking.agreed.code().to_string();
    let console = Browser::open(1280, 1000).await;
    let log_in = async |name: &str, token: &str| {
        console.goto(&format!("http://{}/dj", server.web)).await;
        console.types("#name", name).await;
        console.types("#token", token).await;
        console.clicks("form.fields button").await;
        console.sees("#onair h2", "ON AIR").await;
    };
    // A guest does not let in guests.
    log_in("guest", &token).await;
    console.holds("no such form", "return !document.querySelector('form[action$=let-in]')").await;
    console.clicks("form[action$=logout] button").await;
    let own = std::fs::read_to_string(data.join("desk.token")).unwrap();
    log_in("pika-desk", own.trim()).await;
    console.types("#code", if code == "000 000" { "000001" } else { "000000" }).await;
    console.clicks("form[action$=let-in] button").await;
    console.sees("#outcome", "No laptop with these digits").await;
    assert_eq!(asking.outcome(&server), Outcome::Waiting);
    console.types("#code", &code).await;
    console.clicks("form[action$=let-in] button").await;
    console.sees("#outcome", "Done.").await;
    assert_eq!(asking.granted(&server).desk.as_str(), "bo");
    let barriers = console.barriers().await;
    assert!(barriers.is_empty(), "{barriers:#?}");
    console.keeps_picture("console-let-in").await;
    console.close().await;
    // Nor does a script in the guest's name.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let session = http::post(&server.web, "/dj/login", &form, &format!("name=guest&token={token}")).unwrap();
    let cookie = session.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let headers = [form[0], ("Cookie", cookie.as_str()), ("Accept", "application/json")];
    assert_eq!(http::post(&server.web, "/dj/main/let-in", &headers, "code=123456").unwrap().status, 403);
}
