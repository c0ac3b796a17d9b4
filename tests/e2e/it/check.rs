//! `pika check`: what it finds of a server that is well, and of one in which everything is wrong.

use std::path::Path;

use kit::{Database, Pika, http, process, wait};
use serde_json::Value;

/// What it says, and whether it ends well.
fn check(data: &Path, database: &Database, more: &[(&str, &str)]) -> (Vec<Value>, String, bool) {
    let mut command = process::command(data);
    // Dancers of the other tests are quicker than people.
    command.env_remove("PIKA__WEB__TAPS_PER_MINUTE").env("PIKA__WEB__SOCKETS_MAX", "100");
    command.args(["check", "--json"]).env("DATABASE_URL", &database.url).envs(more.iter().copied());
    let ran = command.output().unwrap();
    let findings = serde_json::from_slice(&ran.stdout);
    let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
    (findings.unwrap_or_else(|error| panic!("{error}: {stderr}")), stderr, ran.status.success())
}

fn of<'a>(findings: &'a [Value], verdict: &str) -> Vec<&'a str> {
    let with = findings.iter().filter(|finding| finding["verdict"] == verdict);
    with.filter_map(|finding| finding["item"].as_str()).collect()
}

fn run(data: &Path, database: &Database, arguments: &[&str]) {
    let ran = process::command(data).args(arguments).env("DATABASE_URL", &database.url).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_laptop_that_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::sqlite(folder.path());
    let (findings, says, is_well) = check(folder.path(), &database, &[]);
    assert!(!is_well && says.contains("local network: there is 1 fault"), "{says}");
    assert_eq!(of(&findings, "fault"), ["database"], "nothing was ever started: {findings:#?}");
    assert_eq!(of(&findings, "note"), ["programs", "HTTPS"], "{findings:#?}");

    let mut pika = Pika::up(folder.path(), &[], &[("DATABASE_URL", database.url.as_str())]).await;
    pika.page().await;
    wait::until("everything to be ready", || async {
        let answer = http::get(&pika.health, "/readyz")?;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    let (findings, says, is_well) = check(folder.path(), &database, &[]);
    assert!(is_well && says.contains("nothing is wrong"), "{says} {findings:#?}");
    assert_eq!(of(&findings, "note"), ["HTTPS", "backup"], "a laptop needs neither");
    assert!(of(&findings, "ok").contains(&"programs"));
    // Each thing worth a word has a cure.
    for finding in &findings {
        assert_eq!(finding["verdict"] == "ok", finding["cure"].is_null(), "{finding}");
    }
    let backups = folder.path().join("backups");
    std::fs::create_dir(&backups).unwrap();
    run(folder.path(), &database, &["backup", backups.to_str().unwrap()]);
    assert_eq!(of(&check(folder.path(), &database, &[]).0, "note"), ["HTTPS"]);

    pika.program.kill();
    let (findings, _, is_well) = check(folder.path(), &database, &[]);
    assert!(!is_well);
    assert_eq!(of(&findings, "fault"), ["programs"], "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_which_everything_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::postgres();
    run(folder.path(), &database, &["token", "list"]);
    std::fs::write(folder.path().join("web.key"), "a secret that others may read\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(folder.path(), mode(0o755)).unwrap();
    std::fs::set_permissions(folder.path().join("web.key"), mode(0o644)).unwrap();
    let wrong = [
        ("PIKA__WEB__PUBLIC_URL", "https://pika.invalid"),
        ("PIKA__WEB__BROKER_URL", "ws://pika.invalid/ws"),
        ("PIKA__WEB__ORIGINS", "[\"http://elsewhere.example\"]"),
        ("PIKA__WEB__SECRET", "changeme"),
        ("PIKA__WEB__TAPS_PER_MINUTE", "1000000"),
        ("PIKA__BROKER__PROXIES", "[\"0.0.0.0/0\"]"),
        ("PIKA__BROKER__FAILED_LOGINS_PER_ADDRESS_MAX", "0"),
        ("PIKA__MQTT__HOST", "203.0.113.7"),
        ("PIKA__HEALTH__HOST", "203.0.113.7"),
    ];
    let (findings, says, is_well) = check(folder.path(), &database, &wrong);
    assert!(!is_well && says.contains("on the internet"), "{says}");
    let mut faults = of(&findings, "fault");
    faults.dedup();
    let expected = ["HTTPS", "origins", "proxies", "limits", "secrets", "ports", "readers", "backup"];
    assert_eq!(faults, expected, "{findings:#?}");
    let text = serde_json::to_string(&findings).unwrap();
    for part in [
        "cannot be reached at their public address",
        "ws://pika.invalid/ws, which is not encrypted",
        "`http://elsewhere.example` may use",
        "no proxy is named",
        "`0.0.0.0/0` in [broker] believes half the world",
        "taps_per_minute is 1000000",
        "failed_logins_per_address_max is 0",
        "cookies can be forged",
        "web.key",
        "MQTT without encryption",
        "health and metrics are open",
        "without a token",
        "there was never one",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("changeme") && !says.contains("changeme"), "a secret is said");
    // The organizers' page is worth a word, and so is that nothing runs here.
    assert_eq!(of(&findings, "note"), ["programs", "people"], "{findings:#?}");

    // Made right, one by one.
    run(folder.path(), &database, &["person", "add", "ada", "--role", "organizer"]);
    std::fs::set_permissions(folder.path().join("web.key"), mode(0o600)).unwrap();
    let right = [
        ("PIKA__WEB__PUBLIC_URL", "https://pika.invalid"),
        ("PIKA__WEB__BROKER_URL", "wss://pika.invalid/ws"),
        ("PIKA__WEB__PROXIES", "[\"127.0.0.1\"]"),
        ("PIKA__WEB__SECRET", "0123456789abcdef0123456789abcdef"),
        ("PIKA__BROKER__ANONYMOUS_READ", "false"),
        ("PIKA__CHECK__BACKUPS_ELSEWHERE", "true"),
    ];
    let (findings, _, is_well) = check(folder.path(), &database, &right);
    assert_eq!((of(&findings, "fault"), is_well), (vec!["HTTPS"], false), "{findings:#?}");

    // A database of an older release, and one that is away.
    let store = database.store();
    store.close().await;
    let away = [("DATABASE_URL", "postgres://pika:cupola-lantern@127.0.0.1:1/pika")];
    let (findings, _, _) = check(folder.path(), &database, &[&right[..], &away].concat());
    assert_eq!(of(&findings, "fault"), ["HTTPS", "database"], "{findings:#?}");
    let text =
        String::from_utf8(process::command(folder.path()).arg("check").output().unwrap().stdout).unwrap();
    assert!(text.contains("FAULT database") && text.contains("→ look at DATABASE_URL"), "{text}");
}
