//! What cannot work is answered: with what was tried, with what, and the cure.

use std::fs;
use std::process::Output;

use kit::mosquitto::{Subscriber, publish};
use kit::process::{self, Program};
use kit::{Database, Dj, Pika, wait};

use crate::road::{archived, up};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_broken_key_is_named_with_its_place_and_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pika.toml");
    fs::write(&file, "[web]\n\nprot = 80\n").unwrap();
    let output = process::command(folder.path())
        .args(["up", "--config"])
        .arg(&file)
        .env_remove("PORT")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(said.contains("`web.prot`") && said.contains("line 3") && said.contains("`web.port`"), "{said}");
}

#[test]
fn the_sample_settings_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/pika.toml");
    // The command reads every section it knows and refuses strangers.
    let output =
        process::command(folder.path()).args(["token", "list", "--config", sample]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn wrong_usage_is_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let output = process::command(folder.path()).arg("upp").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("up"), "{}", said(&output));
}

#[test]
fn a_token_needs_a_name_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let add = |name: &str| {
        let output =
            process::command(folder.path()).args(["token", "add", name, "--kind", "desk"]).output().unwrap();
        (output.status.code(), said(&output))
    };
    assert_eq!(add("booth").0, Some(0));
    let (status, said) = add("booth");
    assert!(status == Some(1) && said.contains("already"), "{said}");
    let (status, said) = add("pika-desk");
    assert!(status == Some(1) && said.contains("take another one"), "{said}");
    let (status, said) = add("Booth/1");
    assert!(status == Some(1) && said.contains("a-z"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for variable in ["PIKA__MQTT__PORT", "PIKA__WEB__PORT"] {
        let mut command = process::command(folder.path());
        let output = command.args(["up", "--local"]).env(variable, &port).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = said(&output);
        assert!(said.contains(&port) && said.contains("stop the program that uses this port"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_database_is_said_and_phones_stay_live() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let database = Database { url: "postgres://pika@127.0.0.1:9/nowhere".into() };
    let pika = up(folder.path(), &database, &dj, &[]).await;
    dj.plays("Live Anyway");
    pika.shows("Live Anyway").await;
    wait::until_some("the log to say so", || {
        pika.program.log().contains("the database is away").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_broker_is_said_and_plays_wait() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let mut command = process::command(folder.path());
    command
        .args(["publisher", "--source", "virtualdj", "--path"])
        .arg(&dj.home)
        .args(["--server", "mqtt://laptop:x@127.0.0.1:9"]);
    let publisher = Program::start(command, folder.path(), "publisher");
    wait::until_some("the log to say so", || {
        publisher.log().contains("cannot reach the broker").then_some(())
    })
    .await;
    dj.plays("Waits");
    let journal = folder.path().join("desk/laptop/plays.journal");
    wait::until_some("the play in the journal", || {
        fs::read_to_string(&journal).ok().filter(|text| text.contains("Waits"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_history_folder_is_said_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let database = Database::sqlite(folder.path());
    let pika = up(folder.path(), &database, &dj, &[]).await;
    dj.plays("Before");
    pika.shows("Before").await;
    let away = folder.path().join("unplugged");
    fs::rename(&dj.home, &away).unwrap();
    wait::until_some("the log to say so", || pika.program.log().contains("looking again").then_some(()))
        .await;
    pika.shows("Before").await;
    fs::rename(&away, &dj.home).unwrap();
    dj.plays("After");
    pika.shows("After").await;
    archived(&database, &dj).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_entry_is_no_song() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let database = Database::sqlite(folder.path());
    let pika = up(folder.path(), &database, &dj, &[]).await;
    dj.plays("Whole");
    pika.shows("Whole").await;
    let entry = dj.entry("Half And Half");
    let (first, second) = entry.split_at(entry.find(" And Half").unwrap());
    let append = |text: &str| {
        let mut list = fs::OpenOptions::new().append(true).open(dj.list()).unwrap();
        std::io::Write::write_all(&mut list, text.as_bytes()).unwrap();
    };
    append(first);
    // Long enough to be read several times; what was read must not have become a song.
    wait::moment(1500).await;
    let page = pika.page().await;
    assert!(page.contains("Whole") && !page.contains("Half"), "{page}");
    append(second);
    pika.shows("Half And Half").await;
    archived(&database, &dj).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_is_not_json_is_said_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let database = Database::sqlite(folder.path());
    let pika = up(folder.path(), &database, &dj, &[]).await;
    let added = process::command(folder.path())
        .args(["token", "add", "rogue", "--kind", "desk"])
        .env("DATABASE_URL", &database.url)
        .output()
        .unwrap();
    let token = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    let login = ["-u", "rogue", "-P", &token, "-q", "1"];
    wait::until("the token to be known", || async {
        let topic = "pika/v1/tonight/main/desk/rogue/play";
        let (done, said) =
            publish(&pika.mqtt, &[&login[..], &["-t", topic, "-m", "{not json"]].concat()).await;
        if done { Ok(()) } else { Err(said) }
    })
    .await;
    wait::until_some("the log to say so", || {
        let log = pika.program.log();
        log.lines()
            .find(|line| line.contains("ignoring a message") && line.contains("desk/rogue/play"))
            .map(str::to_owned)
    })
    .await;
    dj.plays("Unharmed");
    pika.shows("Unharmed").await;
    archived(&database, &dj).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_what_is_not_his() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let database = Database::sqlite(folder.path());
    let pika = up(folder.path(), &database, &dj, &[]).await;
    dj.plays("Mine");
    pika.shows("Mine").await;
    let watching = Subscriber::start(&pika.mqtt, &["-t", "pika/v1/tonight/main/#", "-v", "-V", "5"]);
    watching.prints("now/title Mine").await;
    let now = "pika/v1/tonight/main/now/title";
    let (_, said) = publish(&pika.mqtt, &["-t", now, "-m", "Stolen", "-q", "1", "-r", "-V", "5"]).await;
    assert!(said.contains("Not authorized") || said.contains("not authori"), "{said}");
    // 3.1.1 has no way to say no to a publish: it is acknowledged and goes nowhere.
    publish(&pika.mqtt, &["-t", now, "-m", "Stolen", "-q", "1", "-r"]).await;
    let (done, said) = publish(&pika.mqtt, &["-u", "nobody", "-P", "wrong", "-t", now, "-m", "Stolen"]).await;
    assert!(!done && said.to_lowercase().contains("refused"), "{said}");
    dj.plays("Still Mine");
    let line = watching.prints("now/title Still").await;
    assert_eq!(line, "pika/v1/tonight/main/now/title Still Mine");
    pika.shows("Still Mine").await;
    assert!(!pika.page().await.contains("Stolen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_do_not_share_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    let dj = Dj::new(folder.path());
    let command = || {
        let mut command = process::command(folder.path());
        command
            .args(["publisher", "--source", "virtualdj", "--path"])
            .arg(&dj.home)
            .args(["--server", "mqtt://laptop:x@127.0.0.1:9"]);
        command
    };
    let first = Program::start(command(), folder.path(), "first");
    wait::until_some("the first to be on air", || first.log().contains("on air").then_some(())).await;
    let mut second = Program::start(command(), folder.path(), "second");
    let status = second.ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(second.log().contains("another publisher uses the journal"), "{}", second.log());
}

/// What was played on a floor that is none is said, kept, and holds up nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_floor_that_is_none_is_named_and_plays_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (mut dj, database) = (Dj::new(folder.path()), kit::Database::sqlite(folder.path()));
    let attic = [("PIKA__PUBLISHER__FLOOR", "attic")];
    let pika = crate::road::up(folder.path(), &database, &dj, &attic).await;
    wait::until_some("the floor to be named", || {
        pika.program.log().contains("no floor `attic`, so nobody sees what you play; name one").then_some(())
    })
    .await;
    dj.plays("Unseen");
    let store = database.store();
    wait::until("the play to be kept", || async {
        let plays = store.recent(&"tonight/attic".parse().unwrap(), 10).await;
        let plays = plays.map_err(|error| error.to_string())?;
        if plays.len() == 1 { Ok(()) } else { Err(format!("{plays:?}")) }
    })
    .await;
    store.close().await;
    drop(pika);
    let pika = crate::road::up(folder.path(), &database, &dj, &[]).await;
    dj.plays("Seen");
    pika.shows("Seen").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_without_a_desk_is_told_how() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        process::command(folder.path()).args(["publisher", "--server", "mqtt://127.0.0.1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("mqtt://DESK:TOKEN@HOST"), "{}", said(&output));
    let output =
        process::command(folder.path()).args(["publisher", "--server", "http://127.0.0.1"]).output().unwrap();
    assert!(said(&output).contains("mqtt://"), "{}", said(&output));
    drop(Pika::up(folder.path(), &[], &[]).await);
}
