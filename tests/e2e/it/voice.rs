//! What the DJ's console and the dancers' polls say, as any MQTT client sees it: announcements, polls, the last song,
//! bursts of likes, and what a desk is asked from elsewhere.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use kit::mosquitto::{Subscriber, publish};
use kit::process::{self, Program};
use kit::proxy::Proxy;
use kit::{Apart, Database, Dj, Pika, wait};
use protocol::{IdSource, JournalId, MessageId, PlayId};
use serde_json::{Value, json};

use crate::reactions::on;
use crate::road::up;

/// A program with a service token that sends inputs as a web app does.
struct Console {
    mqtt: String,
    token: String,
    ids: IdSource,
    journal: JournalId,
    seq: u64,
    /// What is stored of it.
    cursor: Option<Subscriber>,
}

impl Console {
    async fn open(pika: &Pika, database: &Database) -> Self {
        Self::open_at(&pika.mqtt, &pika.data, database).await
    }

    async fn open_at(mqtt: &str, data: &Path, database: &Database) -> Self {
        let token = process::add_token(data, database, "console", &["service"]);
        let mut ids = IdSource::seeded(7);
        let journal = ids.journal(now_ms());
        let mut console = Self { mqtt: String::new(), token, ids, journal, seq: 0, cursor: None };
        console.connects_to(mqtt).await;
        console
    }

    /// Finds the broker, and is let in.
    async fn connects(&mut self, pika: &Pika) {
        self.connects_to(&pika.mqtt).await;
    }

    async fn connects_to(&mut self, mqtt: &str) {
        self.mqtt = mqtt.to_owned();
        let audience = json!({"v": 1, "id": self.id(), "at_ms": now_ms(), "sockets": {}});
        self.publishes("pika/v1/tonight/audience/console", &audience, true).await;
        self.cursor = Some(self.hears("pika/v1/tonight/cursor/console"));
    }

    fn id(&mut self) -> MessageId {
        self.ids.message(now_ms())
    }

    async fn publishes(&self, topic: &str, payload: &Value, retained: bool) {
        let payload = payload.to_string();
        let mut arguments = vec!["-u", "console", "-P", &self.token, "-q", "1", "-t", topic, "-m", &payload];
        arguments.extend(retained.then_some("-r"));
        // A token is known to the broker a moment after it was made.
        wait::until("the console's message to be taken", || async {
            match publish(&self.mqtt, &arguments).await {
                (true, _) => Ok(()),
                (false, error) => Err(error),
            }
        })
        .await;
    }

    /// Says it once; nothing tells whether anybody has heard it.
    async fn sends(&mut self, at_ms: i64, input: Value) -> Value {
        self.seq += 1;
        let report = json!({
            "v": 1, "id": self.id(), "at_ms": at_ms, "journal": self.journal, "seq": self.seq, "held_from": self.seq,
            "input": input,
        });
        self.repeats(&report).await;
        report
    }

    async fn repeats(&self, report: &Value) {
        self.publishes("pika/v1/tonight/main/in/console", report, false).await;
    }

    /// Sends it again until it is stored, as a web app does: an archiver that is being started does not hear it.
    async fn is_stored(&self, report: &Value) {
        let expected = format!("\"seq\":{}}}", report["seq"]);
        let tries = AtomicUsize::new(1);
        wait::until("an input to be stored", || async {
            if tries.fetch_add(1, Ordering::Relaxed).is_multiple_of(50) {
                self.repeats(report).await;
            }
            let lines = self.cursor.as_ref().map(Subscriber::lines).unwrap_or_default();
            if lines.iter().any(|line| line.contains(&expected)) { Ok(()) } else { Err(lines.join("\n")) }
        })
        .await;
    }

    async fn says_at(&mut self, at_ms: i64, input: Value) -> Value {
        let report = self.sends(at_ms, input).await;
        self.is_stored(&report).await;
        report
    }

    async fn says(&mut self, input: Value) -> Value {
        self.says_at(now_ms(), input).await
    }

    /// What is said on a topic of the floor's desks and programs.
    fn hears(&self, topic: &str) -> Subscriber {
        Subscriber::start(&self.mqtt, &["-u", "console", "-P", &self.token, "-v", "-t", topic])
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis() as i64
}

/// What anybody in the room hears.
fn floor(pika: &Pika, about: &str) -> Subscriber {
    Subscriber::start(&pika.mqtt, &["-v", "-t", &format!("pika/v1/tonight/main/{about}")])
}

/// What happens on the floor, heard from when this returns: nobody is told again what has happened before.
async fn happenings(pika: &Pika) -> Subscriber {
    let (event, info) = ("pika/v1/tonight/main/event", "pika/v1/tonight/info");
    let subscriber = Subscriber::start(&pika.mqtt, &["-v", "-t", event, "-t", info]);
    subscriber.prints(info).await;
    subscriber
}

/// The payload on a line of `mosquitto_sub -v`.
fn payload(line: &str) -> Value {
    serde_json::from_str(line.split_once(' ').unwrap().1).unwrap()
}

/// Waits until the last that was said is that there is nothing.
async fn is_cleared(heard: &Subscriber) {
    wait::until("the topic to be cleared", || async {
        let lines = heard.lines();
        if lines.last().is_some_and(|line| line.ends_with("(null)")) { Ok(()) } else { Err(lines.join("\n")) }
    })
    .await;
}

async fn an_announcement_comes_and_goes(database: Database, folder: &Path) {
    let dj = Dj::new(folder);
    let pika = up(folder, &database, &dj, &[]).await;
    pika.page().await;
    let mut console = Console::open(&pika, &database).await;
    let (event, said) = (happenings(&pika).await, floor(&pika, "announcement"));
    let start_ms = now_ms();
    console
        .says_at(start_ms, json!({"kind": "announce", "text": " Taxi\u{202e} at  two ", "by": "laptop"}))
        .await;
    said.prints(r#""text":"Taxi at two""#).await;
    event.prints("announcement").await;
    // An older one that comes late changes nothing; the next one and a restart do what they do.
    console.says_at(start_ms - 60_000, json!({"kind": "announce", "text": "Welcome"})).await;
    drop(pika);
    let pika = up(folder, &database, &dj, &[]).await;
    let said = floor(&pika, "announcement");
    said.prints("Taxi at two").await;
    console.connects(&pika).await;
    let until_ms = now_ms() + 1_500;
    console.says(json!({"kind": "announce", "text": "Last bus", "until_ms": until_ms})).await;
    said.prints("Last bus").await;
    is_cleared(&said).await;
    assert!(now_ms() >= until_ms);
    assert!(!said.lines().iter().any(|line| line.contains("Welcome")));
    console.says(json!({"kind": "announce", "text": "Once more"})).await;
    said.prints("Once more").await;
    console.says(json!({"kind": "announce", "text": "\u{200b}"})).await;
    is_cleared(&said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_comes_and_goes_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    an_announcement_comes_and_goes(Database::sqlite(folder.path()), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_comes_and_goes_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    an_announcement_comes_and_goes(Database::postgres(), folder.path()).await;
}

/// Waits until the poll reads so, and returns it.
async fn poll_is(poll: &Subscriber, closed: bool, votes: [u64; 2]) -> Value {
    wait::until("the poll", || async {
        let lines = poll.lines();
        let last = lines.last().filter(|line| !line.ends_with("(null)")).map(|line| payload(line));
        let last = last.ok_or_else(|| lines.join("\n"))?;
        let is = last["closed"] == closed && [0, 1].iter().all(|n| last["options"][*n]["votes"] == votes[*n]);
        if is { Ok(last) } else { Err(lines.join("\n")) }
    })
    .await
}

async fn a_poll_is_answered(database: Database, folder: &Path) {
    let dj = Dj::new(folder);
    let pika = up(folder, &database, &dj, &[]).await;
    pika.page().await;
    let mut console = Console::open(&pika, &database).await;
    let poll = floor(&pika, "poll");
    let poll_id = console.id();
    let ask = |options: &[&str]| json!({"kind": "ask_poll", "poll_id": poll_id, "question": "What next?", "options": options});
    for options in [&["Alone"][..], &["1", "2", "3", "4", "5", "6", "7"], &["Bachata", " "]] {
        console.says(ask(options)).await;
    }
    console.says(ask(&["Bachata", "Salsa"])).await;
    let vote = |dancer: &str, option: u8| json!({"kind": "vote", "poll_id": poll_id, "dancer": dancer, "option": option});
    for (dancer, option) in [("one", 0), ("two", 0), ("one", 1), ("three", 2), ("four", 200)] {
        console.says(vote(dancer, option)).await;
    }
    let unknown = console.id();
    console.says(json!({"kind": "vote", "poll_id": unknown, "dancer": "one", "option": 0})).await;
    let open = poll_is(&poll, false, [1, 1]).await;
    assert_eq!((&open["poll_id"], &open["question"]), (&json!(poll_id), &json!("What next?")));
    let log = pika.program.log();
    assert!(log.contains("an input is left out: a poll has two to six options"), "{log}");

    // After a restart the counts are those of the store, and dancers are known again.
    drop(pika);
    let pika = up(folder, &database, &dj, &[]).await;
    console.connects(&pika).await;
    let poll = floor(&pika, "poll");
    poll_is(&poll, false, [1, 1]).await;
    console.says(vote("two", 1)).await;
    poll_is(&poll, false, [0, 2]).await;
    console.says(json!({"kind": "forget", "dancer": "two"})).await;
    let in_time_ms = now_ms();
    console.says(json!({"kind": "close_poll", "poll_id": poll_id})).await;
    poll_is(&poll, true, [0, 2]).await;
    console.says(vote("five", 0)).await;
    console.says_at(in_time_ms, vote("six", 0)).await;
    poll_is(&poll, true, [1, 2]).await;
    let store = database.store();
    let event = "tonight".parse().unwrap();
    let asked = store.polls_of_event(&event).await.unwrap();
    let options: Vec<(&str, u32)> =
        asked[0].options.iter().map(|(text, votes)| (text.as_str(), *votes)).collect();
    assert_eq!((asked.len(), options), (1, vec![("Bachata", 1), ("Salsa", 2)]));
    for (dancer, expected) in [("one", Some(1)), ("two", None), ("five", None), ("six", Some(0))] {
        let vote = store.vote_of_dancer(poll_id, &dancer.parse().unwrap()).await.unwrap();
        assert_eq!(vote, expected, "{dancer}");
    }

    // Another one takes its place.
    let next = console.id();
    console
        .says(json!({"kind": "ask_poll", "poll_id": next, "question": "And now?", "options": ["A", "B"]}))
        .await;
    let open = poll_is(&poll, false, [0, 0]).await;
    assert_eq!(open["poll_id"], json!(next));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_is_answered_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    a_poll_is_answered(Database::sqlite(folder.path()), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_is_answered_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    a_poll_is_answered(Database::postgres(), folder.path()).await;
}

/// A broker that stays, and an archiver whose way to the database can be cut.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_goes_on_while_the_database_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("server");
    std::fs::create_dir_all(&data).unwrap();
    let database = Database::postgres();
    let mut broker = process::command(&data);
    broker.arg("broker").env("DATABASE_URL", &database.url);
    let _broker = Program::start(broker, &data, "broker");
    let runtime = process::runtime(&data, "runtime-broker.json", None).await;
    let mqtt = runtime["mqtt"].as_str().unwrap().to_owned();
    let mut console = Console::open_at(&mqtt, &data, &database).await;

    let server = database.url.split('@').nth(1).unwrap().split('/').next().unwrap();
    let cable = Proxy::to(server).await;
    let (url, login) = (database.url.replace(server, &cable.address), format!("console:{}", console.token));
    let archiver = |name: &str| {
        let data = folder.path().join(name);
        let mut archiver = process::command(&data);
        archiver.arg("archiver").env("DATABASE_URL", &url);
        archiver.env("PIKA_BROKER_URL", format!("mqtt://{login}@{mqtt}"));
        Program::start(archiver, &data, "archiver")
    };
    let mut first = archiver("first");
    let public =
        |about: &str| Subscriber::start(&mqtt, &["-v", "-t", &format!("pika/v1/tonight/main/{about}")]);
    let (said, poll) = (public("announcement"), public("poll"));
    let poll_id = console.id();
    console
        .says(json!({"kind": "ask_poll", "poll_id": poll_id, "question": "Again?", "options": ["Yes", "No"]}))
        .await;
    let vote = |dancer: &str, option: u8| json!({"kind": "vote", "poll_id": poll_id, "dancer": dancer, "option": option});
    console.says(vote("one", 0)).await;
    poll_is(&poll, false, [1, 0]).await;

    // The database goes; who is there counts on, and says what is new.
    cable.cut();
    let mut waiting = vec![console.sends(now_ms(), vote("two", 1)).await];
    poll_is(&poll, false, [1, 1]).await;
    let until_ms = now_ms() + 6_000;
    let text = json!({"kind": "announce", "text": "Lost: one shoe", "until_ms": until_ms});
    waiting.push(console.sends(now_ms(), text).await);
    said.prints("Lost: one shoe").await;

    // Who comes then has nothing but what was published: it is shown on, taken away when it is over, and counted on.
    first.kill();
    let second = archiver("second");
    wait::until_some("it to find no database", || {
        second.log().contains("the database is away").then_some(())
    })
    .await;
    let now = public("now");
    now.prints("\"state\":\"idle\"").await;
    waiting.push(console.sends(now_ms(), vote("three", 1)).await);
    poll_is(&poll, false, [1, 2]).await;
    is_cleared(&said).await;
    assert!(now_ms() >= until_ms, "{:?}", said.lines());

    // It is back, and nothing is lost or counted twice.
    cable.mend();
    for report in &waiting {
        console.repeats(report).await;
        console.is_stored(report).await;
    }
    poll_is(&poll, false, [1, 2]).await;
    let store = database.store();
    let asked = store.polls_of_event(&"tonight".parse().unwrap()).await.unwrap();
    assert_eq!(asked[0].options, [("Yes".into(), 1), ("No".into(), 2)]);
    let last = store.last_announcement(&"tonight/main".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((last.text.as_str(), last.until_ms), ("Lost: one shoe", Some(until_ms)));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lights_hear_of_the_last_song_and_of_the_crowd() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::sqlite(folder.path());
    let mut dj = Dj::new(folder.path());
    let mut pika = up(folder.path(), &database, &dj, &[]).await;
    pika.page().await;
    dj.plays("Glass Tide");
    let play: PlayId = on(&pika, "Glass Tide").await;
    let mut console = Console::open(&pika, &database).await;
    let (event, now) = (happenings(&pika).await, floor(&pika, "now"));
    // The archive's part of the tally is there: what comes now is new.
    let reactions = floor(&pika, "reactions");
    reactions.prints(&play.to_string()).await;
    console.says(json!({"kind": "like", "play_id": play, "dancer": "d0", "on": true})).await;
    reactions.prints("\"likes\":1").await;
    for n in 1..=6 {
        let dancer = format!("d{n}");
        console.says(json!({"kind": "like", "play_id": play, "dancer": dancer, "on": true})).await;
        console.says(json!({"kind": "tempo", "play_id": play, "dancer": dancer, "wish": "slower"})).await;
    }
    let burst = payload(&event.prints("like_burst").await);
    assert!(burst["count"].as_u64().unwrap() >= 5 && burst["play"]["id"] == json!(play), "{burst}");
    let shift = payload(&event.prints("tempo_shift").await);
    assert!(shift["count"].as_u64().unwrap() >= 5, "{shift}");

    console.says(json!({"kind": "last_song", "on": true})).await;
    now.prints("\"last_song\":true").await;
    event.prints("\"event_type\":\"last_song\"").await;
    assert!(pika.program.stop().await.success());
    let pika = up(folder.path(), &database, &dj, &[]).await;
    console.connects(&pika).await;
    let now = floor(&pika, "now");
    wait::until("the last song after a restart", || async {
        let lines = now.lines();
        let last = lines.last().map(|line| payload(line)).unwrap_or_default();
        let is = last["last_song"] == true && last["state"] == "playing";
        if is { Ok(()) } else { Err(lines.join("\n")) }
    })
    .await;
    console.says(json!({"kind": "last_song", "on": false})).await;
    wait::until("not to be the last song", || async {
        let lines = now.lines();
        let last = lines.last().map(|line| payload(line)).unwrap_or_default();
        if last["last_song"].is_null() { Ok(()) } else { Err(lines.join("\n")) }
    })
    .await;
    let store = database.store();
    wait::until("both words of it in the archive", || async {
        let mut dump = Vec::new();
        store.dump(None, &mut dump).await.unwrap();
        let dump = String::from_utf8(dump).unwrap();
        let rows = dump.lines().filter(|line| line.starts_with("{\"last_songs\"")).count();
        if rows == 2 { Ok(()) } else { Err(dump) }
    })
    .await;
    store.close().await;
}

/// The last line of a topic as JSON, once it is as expected.
async fn last(heard: &Subscriber, what: &str, expected: impl Fn(&Value) -> bool) -> Value {
    wait::until(what, || async {
        let lines = heard.lines();
        let last = lines.last().filter(|line| !line.ends_with("(null)")).map(|line| payload(line));
        last.filter(&expected).ok_or_else(|| lines.join("\n"))
    })
    .await
}

fn titles(history: &Value) -> Vec<&str> {
    let plays = history["plays"].as_array().unwrap();
    plays.iter().map(|play| play["track"]["title"].as_str().unwrap()).collect()
}

fn is_on(title: &str) -> impl Fn(&Value) -> bool {
    move |now| now["state"] == "playing" && now["play"]["track"]["title"] == title
}

/// By an archiver that was killed when it had stored it, and before anybody was told.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_stored_and_not_passed_on_is_passed_on_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::sqlite(folder.path());
    let mut it = Apart::start(folder.path(), &database).await;
    let mut console = Console::open_at(&it.mqtt, &folder.path().join("broker"), &database).await;
    let topic = "pika/v1/tonight/main/desk/away/requests";
    let asked =
        console.says(json!({"kind": "request", "desk": "away", "request": {"what": "go_live"}})).await;
    let is_asked = |list: &Value| list["requests"][0]["id"] == asked["id"];
    last(&console.hears(topic), "the request", is_asked).await;
    it.archiver.kill();
    let login = ["-u", "console", "-P", &console.token];
    let (cleared, error) =
        publish(&it.mqtt, &[&login[..], &["-q", "1", "-t", topic, "-r", "-n"]].concat()).await;
    assert!(cleared, "{error}");
    it.archiver_again();
    wait::until_some("its turn", || it.archiver.log().contains("ours to write").then_some(())).await;
    let waiting = console.hears(topic);
    wait::until("the request to be passed on", || async {
        // As a web app that has not heard the cursor.
        console.repeats(&asked).await;
        let lines = waiting.lines();
        let listed = lines.last().filter(|line| !line.ends_with("(null)")).map(|line| payload(line));
        if listed.as_ref().is_some_and(is_asked) { Ok(()) } else { Err(lines.join("\n")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_does_not_speak_for_dancers() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::sqlite(folder.path());
    let mut dj = Dj::new(folder.path());
    let pika = up(folder.path(), &database, &dj, &[]).await;
    pika.page().await;
    dj.plays("Glass Tide");
    let play: PlayId = on(&pika, "Glass Tide").await;
    let mut console = Console::open(&pika, &database).await;
    let reactions = floor(&pika, "reactions");
    reactions.prints(&play.to_string()).await;
    let cursor = console.hears("pika/v1/tonight/cursor/pika-desk");
    for seq in 1..=5 {
        let report = json!({
            "v": 1, "id": console.id(), "at_ms": now_ms(), "journal": console.journal, "seq": seq, "held_from": 1,
            "input": {"kind": "like", "play_id": play, "dancer": format!("made-up-{seq}"), "on": true},
        });
        console.publishes("pika/v1/tonight/main/in/pika-desk", &report, false).await;
    }
    // Confirmed, since nothing would become of it later either.
    cursor.prints(&format!("{}\",\"seq\":5}}", console.journal)).await;
    assert!(pika.program.log().contains("a desk does not speak for dancers"), "{}", pika.program.log());
    // One who is there is the only one who counts, on the floor and in the archive.
    console.says(json!({"kind": "like", "play_id": play, "dancer": "there", "on": true})).await;
    reactions.prints("\"likes\":1").await;
    assert!(reactions.lines().iter().all(|line| !line.contains("\"likes\":6")));
    let store = database.store();
    let mut dump = Vec::new();
    store.dump(None, &mut dump).await.unwrap();
    let dump = String::from_utf8(dump).unwrap();
    assert!(!dump.contains("made-up") && dump.contains("\"there\""), "{dump}");
    store.close().await;
}

async fn a_desk_does_what_it_is_asked(database: Database, folder: &Path) {
    let mut dj = Dj::new(folder);
    let mut pika = up(folder, &database, &dj, &[]).await;
    pika.page().await;
    let mut console = Console::open(&pika, &database).await;
    let ask = |request: Value| json!({"kind": "request", "desk": "pika-desk", "request": request});
    let (now, history) = (floor(&pika, "now"), floor(&pika, "history"));
    let requests = console.hears("pika/v1/tonight/main/desk/pika-desk/requests");
    let state = console.hears("pika/v1/tonight/main/desk/pika-desk/state");

    // A hidden play is nowhere while it is on; the next one is shown by itself.
    dj.plays("Secret");
    let secret = on(&pika, "Secret").await;
    let hide = console.says(ask(json!({"what": "hide", "play_id": secret, "on": true}))).await;
    last(&now, "the play to be hidden", |now| now["state"] == "hidden" && now["play"].is_null()).await;
    last(&state, "the answer", |state| state["answered"] == hide["id"] && state["hidden"] == true).await;
    requests.prints("(null)").await;
    assert!(history.lines().iter().all(|line| !line.contains("Secret")));
    console.says(ask(json!({"what": "hide", "play_id": secret, "on": false}))).await;
    last(&now, "the play to be shown", is_on("Secret")).await;
    console.says(ask(json!({"what": "hide", "play_id": secret, "on": true}))).await;
    last(&now, "the play to be hidden again", |now| now["state"] == "hidden").await;
    dj.plays("Mislabelled");
    last(&now, "the next play", is_on("Mislabelled")).await;
    let play = on(&pika, "Mislabelled").await;
    last(&history, "the first in the history", |history| titles(history) == ["Secret"]).await;

    // Taken back, and corrected. What is about another play changes nothing.
    console.says(ask(json!({"what": "correct", "play_id": play, "title": "Right"}))).await;
    last(&now, "the right title", is_on("Right")).await;
    console.says(ask(json!({"what": "withdraw", "play_id": secret}))).await;
    last(&history, "the first to be gone", |history| titles(history).is_empty()).await;
    console.says(ask(json!({"what": "hide", "play_id": secret, "on": true}))).await;
    let unknown = PlayId::at(1, [1; 10]);
    let withdraw = console.says(ask(json!({"what": "withdraw", "play_id": unknown}))).await;
    last(&state, "the answer", |state| state["answered"] == withdraw["id"]).await;
    // Another desk may not ask, and what a desk that is away is asked waits.
    let report = json!({
        "v": 1, "id": console.id(), "at_ms": now_ms(), "journal": console.journal, "seq": 1, "held_from": 1,
        "input": ask(json!({"what": "withdraw", "play_id": play})),
    });
    console.publishes("pika/v1/tonight/main/in/rogue", &report, false).await;
    wait::until_some("the refusal", || pika.program.log().contains("only the desk itself").then_some(()))
        .await;
    let away = console.says(json!({"kind": "request", "desk": "away", "request": {"what": "go_live"}})).await;
    let waiting = console.hears("pika/v1/tonight/main/desk/away/requests");
    last(&waiting, "the request to wait", |asked| asked["requests"][0]["id"] == away["id"]).await;

    // All of it is so after a restart.
    assert!(pika.program.stop().await.success());
    let pika = up(folder, &database, &dj, &[]).await;
    console.connects(&pika).await;
    let (now, history) = (floor(&pika, "now"), floor(&pika, "history"));
    let state = console.hears("pika/v1/tonight/main/desk/pika-desk/state");
    last(&now, "the right title after a restart", is_on("Right")).await;
    let told = last(&state, "the state", |state| state["answered"] == withdraw["id"]).await;
    let waiting = console.hears("pika/v1/tonight/main/desk/away/requests");
    last(&waiting, "the request to wait still", |asked| asked["requests"][0]["id"] == away["id"]).await;

    // The set ends and another one begins; what is played in between is told by neither.
    let set = told["set"]["id"].clone();
    console.says(ask(json!({"what": "end_set", "set_id": set}))).await;
    last(&now, "the end", |now| now["state"] == "ended").await;
    last(&state, "the desk to be off air", |state| state["on_air"] == false && state["queue_depth"] == 0)
        .await;
    let end = console.says(ask(json!({"what": "end_set", "set_id": set}))).await;
    last(&state, "the answer", |state| state["answered"] == end["id"]).await;
    dj.plays("Off air");
    console.says(ask(json!({"what": "go_live"}))).await;
    last(&now, "what is heard now", is_on("Off air")).await;
    let told =
        last(&state, "another set", |state| state["on_air"] == true && state["set"]["id"] != set).await;
    assert_eq!(told["hidden"], false);
    console.says(ask(json!({"what": "go_live"}))).await;
    let end = console.says(ask(json!({"what": "end_set", "set_id": set}))).await;
    let told_again = last(&state, "the answer", |state| state["answered"] == end["id"]).await;
    assert_eq!(told_again["set"], told["set"], "one is open, and it is not the one to end");
    last(&history, "the history", |history| titles(history) == ["Right"]).await;

    let store = database.store();
    let sets = store.sets_of_event(&"tonight".parse().unwrap()).await.unwrap();
    let ended: Vec<(u32, bool)> = sets.iter().map(|past| (past.plays, past.set.ended_ms.is_some())).collect();
    assert_eq!(ended, [(1, true), (1, false)]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_does_what_it_is_asked_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    a_desk_does_what_it_is_asked(Database::sqlite(folder.path()), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_does_what_it_is_asked_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    a_desk_does_what_it_is_asked(Database::postgres(), folder.path()).await;
}
