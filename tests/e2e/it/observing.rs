//! What an operator observes: ids in the log, and a dashboard and rules that speak of metrics which are there.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use kit::{Database, Dj, Phone, Pika, http, mqtt, wait};
use serde_json::Value;
use tempfile::tempdir;

use crate::reactions::on;
use crate::road::up;
use crate::tunnel::Raw;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap()
}

/// Everything in PromQL that can only be one of our metrics.
fn metrics_in(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("pika_") || word.starts_with("process_")).collect()
}

/// Labels that it wants to have one of several values, as `label="value"`; not those that Prometheus adds.
fn labels_in(expression: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for selector in expression.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
        for label in selector.split(", ").filter_map(|label| label.split_once('=')) {
            let (name, values) = (label.0, label.1.trim_start_matches('~').trim_matches('"'));
            if name != "job" {
                labels.extend(values.split('|').map(|value| format!("{name}=\"{value}\"")));
            }
        }
    }
    labels
}

/// Every expression of the dashboard and of the rules, and where it stands.
fn expressions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("docker/grafana/pika.json")).unwrap();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.push((panel["title"].to_string(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["query"]["query"].as_str() {
            all.push((variable["name"].to_string(), query.to_owned()));
        }
    }
    let rules = read("docker/prometheus/pika.rules.yml");
    for line in rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")) {
        all.push(("rules".to_owned(), line.trim_matches('\'').to_owned()));
    }
    assert!(all.len() > 80, "{}", all.len());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dashboard_and_rules_speak_of_is_there() {
    let folder = tempdir().unwrap();
    let (mut dj, database) = (Dj::new(folder.path()), Database::sqlite(folder.path()));
    let pika = up(folder.path(), &database, &dj, &[]).await;
    pika.page().await;
    dj.plays("Glass Tide");
    let play = on(&pika, "Glass Tide").await;
    assert_eq!(Phone::comes(&pika.web).taps("like", &format!("{{\"play_id\":\"{play}\"}}")).status, 200);
    let expressions = expressions();
    wait::until("every metric of dashboard and rules", || async {
        let text = http::get(&pika.health, "/metrics")?.text();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let there: BTreeSet<&str> = samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
        for (place, expression) in &expressions {
            if let Some(missing) = metrics_in(expression).iter().find(|name| !there.contains(*name)) {
                return Err(format!("{place} wants {missing}"));
            }
            if let Some(missing) = labels_in(expression).iter().find(|label| !text.contains(label.as_str())) {
                return Err(format!("{place} wants {missing}"));
            }
        }
        Ok(())
    })
    .await;

    // And what was done is what is counted.
    let text = http::get(&pika.health, "/metrics").unwrap().text();
    let at_least_one = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<f64>().ok()).is_some_and(|value| value >= 1.0)
    };
    for name in [
        "pika_web_request_seconds_count{class=\"page\"}",
        "pika_web_request_seconds_count{class=\"tap\"}",
        "pika_web_answers_total{status=\"2xx\"}",
        "pika_web_tap_stored_seconds_count",
        "pika_archiver_stored_after_seconds_count",
        "pika_archiver_transaction_seconds_count",
        "pika_archiver_records_stored_total",
        "pika_archiver_last_commit_timestamp_seconds",
        "pika_archiver_desks_online",
        "pika_broker_routed_seconds_count",
        "pika_broker_delivered_total",
        "pika_database_up",
        "pika_database_answer_seconds_count",
        "process_cpu_seconds_total",
    ] {
        assert!(at_least_one(name) || name == "process_cpu_seconds_total", "{name} in {text}");
    }
    assert!(text.contains("pika_archiver_desk_queue_messages{desk=\"main/pika-desk\"} "), "{text}");
    assert!(text.contains("pika_archiver_behind_messages{producer=\"pika-desk\"} "), "{text}");
    assert!(text.contains(concat!("pika_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")));
}

#[test]
fn rules_are_right_and_each_alert_has_a_cure() {
    let promtool = |arguments: &[&str]| {
        let folder = repository().join("docker/prometheus");
        let told = Command::new("promtool").args(arguments).current_dir(folder).output().unwrap();
        let said = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
        assert!(told.status.success(), "promtool {}: {said}", arguments.join(" "));
    };
    promtool(&["check", "rules", "pika.rules.yml"]);
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["test", "rules", "pika.rules.test.yml"]);

    let (rules, tests) =
        (read("docker/prometheus/pika.rules.yml"), read("docker/prometheus/pika.rules.test.yml"));
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        let field =
            |key: &str| alert.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap_or_default();
        assert!(field("summary: ").len() > 20, "{name} has no summary");
        assert!(["now", "soon"].contains(&field("severity: ")), "{name} has no severity");
        // A rule that is tested only when all is well could be silent for ever.
        let named = format!("alertname: {name}\n");
        assert_eq!(tests.matches(&named).count(), 2, "{name} is tested when it is there and when it is not");
        let (file, anchor) = field("cure: ").split_once('#').unwrap_or_default();
        let text = read(file);
        let headings = text.lines().filter_map(|line| line.strip_prefix("### "));
        let mut anchors = headings.map(|heading| heading.to_lowercase().replace(' ', "-"));
        assert!(anchors.any(|heading| heading == anchor), "{name}: no heading {anchor} in {file}");
    }
}

/// Lines of a log in JSON.
fn lines(pika: &Pika) -> Vec<Value> {
    let log = pika.program.log();
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

async fn line(pika: &Pika, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    wait::until(&format!("a line about {what}"), || async {
        lines(pika).into_iter().find(|line| is_it(line)).ok_or_else(|| pika.program.log())
    })
    .await
}

const CLOSELY: (&str, &str) = ("PIKA__LOG__FILTER", "info,pika_webapp=debug,pika_broker=debug");

#[tokio::test(flavor = "multi_thread")]
async fn an_id_leads_from_an_answer_to_its_lines() {
    let data = tempdir().unwrap();
    let settings = [CLOSELY, ("PIKA__LOG__FORMAT", "json"), ("PIKA__WEB__PROXIES", "[\"127.0.0.1\"]")];
    let pika = Pika::up(data.path(), &[], &settings).await;
    pika.page().await;
    let lost = http::get_with(&pika.web, "/nowhere/at/all?who=anna", &[("X-Forwarded-For", "203.0.113.77")]);
    let lost = lost.unwrap();
    let id = lost.header("x-request-id").unwrap().to_owned();
    assert!(lost.status == 404 && lost.text().contains(&format!("<code>{id}</code>")), "{}", lost.text());
    let told = line(&pika, "the request", |line| line["span"]["request.id"] == *id).await;
    assert_eq!((&told["status"], &told["client"]), (&404.into(), &"203.0.113.0/24".into()), "{told}");
    let other = http::get(&pika.web, "/assets/none").unwrap();
    assert_ne!(other.header("x-request-id").unwrap(), id);

    // A proxy that is believed may call a request as it likes, within reason.
    for (given, is_kept) in [("7f3c2a90-5b1e-4d57", true), ("short", false), ("with+odd/letters=", false)] {
        let answer = http::get_with(&pika.web, "/", &[("X-Request-Id", given)]).unwrap();
        assert_eq!(answer.header("x-request-id") == Some(given), is_kept, "{given}");
    }
    let log = pika.program.log();
    assert!(!log.contains("203.0.113.77") && !log.contains("who=anna"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_names_our_requests() {
    let data = tempdir().unwrap();
    let pika = Pika::up(data.path(), &[], &[]).await;
    let answer = http::get_with(&pika.web, "/", &[("X-Request-Id", "7f3c2a90-5b1e-4d57")]).unwrap();
    let id = answer.header("x-request-id").unwrap();
    assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_one_id_from_beginning_to_end() {
    let data = tempdir().unwrap();
    let pika = Pika::up(data.path(), &[], &[CLOSELY, ("PIKA__LOG__FORMAT", "json")]).await;
    pika.page().await;
    let stream = TcpStream::connect(&pika.web).unwrap();
    let (socket, head) = Raw::open_at(stream, "/ws?floor=tonight/main", &pika.web, "", b"");
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap().to_owned();
    let opened = line(&pika, "the socket", |line| line["request.id"] == *id).await;
    drop(socket);
    let closed = |line: &Value| {
        line["message"] == "a socket is closed" && line["connection.id"] == opened["connection.id"]
    };
    line(&pika, "its end", closed).await;

    let client = mqtt::Client::connect(pika.mqtt.parse().unwrap(), 0, "a-lamp", None).await.unwrap();
    let came = line(&pika, "the lamp", |line| line["client"] == "a-lamp").await;
    assert_eq!((&came["message"], &came["from"]), (&"a client is connected".into(), &"127.0.0.0/24".into()));
    drop(client);
    let gone = |line: &Value| {
        line["message"] == "a client has gone" && line["connection.id"] == came["connection.id"]
    };
    line(&pika, "its end", gone).await;
    let wrong = ("nobody".to_owned(), "guess".to_owned());
    assert!(mqtt::Client::connect(pika.mqtt.parse().unwrap(), 0, "x", Some(&wrong)).await.is_err());
    line(&pika, "the refusal", |line| line["refusal"] == "BadLogin" && line["connection.id"].is_string())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_in_browsers_is_told_in_one_line_each() {
    let data = tempdir().unwrap();
    let pika = Pika::up(data.path(), &[], &[]).await;
    pika.page().await;
    let tell = |said: &str| http::post(&pika.web, "/client-error", &[], said).unwrap().status;
    assert_eq!(tell("TypeError: x is null live.js:12:7\nforged line anna@example.org"), 204);
    assert_eq!(tell(&"x".repeat(3_000)), 400);
    let foreign = [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://example.org")];
    assert_eq!(http::post(&pika.web, "/client-error", &foreign, "x").unwrap().status, 403);
    let log = pika.program.log();
    assert!(log.contains("a browser says: TypeError: x is null live.js:12:7 forged line\n"), "{log}");
    let answers: Vec<u16> = (0..100).map(|n| tell(&format!("Error {n}"))).collect();
    assert!(answers.contains(&204) && answers.ends_with(&[429]), "{answers:?}");
    let told = pika.program.log().matches("a browser says").count();
    assert!(told <= 40, "at most twenty lines in each of two minutes, and there were {told}");
    let counted = crate::health::metric(&pika.health, "pika_web_client_errors_total");
    assert!(counted.is_some_and(|counted| counted as usize > answers.len() / 2), "{counted:?}");
}
