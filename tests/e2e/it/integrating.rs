//! docs/integrating.md is true: its examples run as they stand there, its payloads can be read, and every topic
//! it names exists.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kit::{Database, Dj, Pika, wait};
use protocol::{FloorEventType, Message, Topic};
use serde_json::Value;

use crate::road::up;

/// A block of code, and what the comment before it says is to be done with it: `run`, `check` or `payload`.
struct Example {
    what: String,
    name: String,
    code: String,
}

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/integrating.md");
    fs::read_to_string(&path).unwrap()
}

fn examples() -> Vec<Example> {
    let document = document();
    let mut found = Vec::new();
    for part in document.split("<!-- ").skip(1) {
        let (comment, rest) = part.split_once(" -->\n```").unwrap();
        let (what, name) = comment.split_once(": ").unwrap();
        let code = rest.split_once('\n').unwrap().1.split("\n```").next().unwrap();
        found.push(Example { what: what.to_owned(), name: name.to_owned(), code: format!("{code}\n") });
    }
    found
}

fn example(name: &str) -> Example {
    let found = examples().into_iter().find(|example| example.name == name);
    found.unwrap_or_else(|| panic!("docs/integrating.md has no example `{name}`"))
}

/// Libraries that examples import.
fn clients() -> PathBuf {
    let folder = std::env::var_os("PIKA_TEST_CLIENTS");
    folder
        .expect("PIKA_TEST_CLIENTS is not set: run the tests by `cargo xtask test`, which installs them")
        .into()
}

/// A running example; killed when dropped.
struct Running(Child, PathBuf);

impl Drop for Running {
    fn drop(&mut self) {
        // The shell runs it as a child in the same group.
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Runs an example against this server: its addresses are the only thing that is changed.
    fn start(name: &str, pika: &Pika, folder: &Path) -> Self {
        let Example { what, code, .. } = example(name);
        assert_eq!(what, "run", "{name}");
        let port = pika.mqtt.rsplit_once(':').unwrap().1;
        let code = code
            .replace("192.168.1.20:1883", &pika.mqtt)
            .replace("192.168.1.20:3002", &pika.web)
            .replace("-h 192.168.1.20 -p 1883", &format!("-h 127.0.0.1 -p {port}"))
            .replace("\"192.168.1.20\", 1883", &format!("\"127.0.0.1\", {port}"));
        assert!(!code.contains("192.168"), "{code}");
        let program = match () {
            () if name.starts_with("mosquitto") => "sh",
            () if name.starts_with("mqtt.js") => "node",
            () => "python3",
        };
        let file = folder.join("example");
        fs::write(&file, code).unwrap();
        let out = folder.join("example.out");
        let log = File::create(&out).unwrap();
        let mut command = Command::new(program);
        command.arg(&file).env("NODE_PATH", clients().join("node_modules"));
        command.env("PYTHONPATH", clients().join("python")).stdin(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self(child, out)
    }

    async fn prints(&self, line: &str) {
        wait::until(&format!("the example to print {line}"), || async {
            let printed = fs::read_to_string(&self.1).unwrap();
            if printed.lines().any(|printed| printed == line) { Ok(()) } else { Err(printed) }
        })
        .await;
    }
}

/// What was on when the example came, and what comes after.
async fn follows(name: &str, first: &str, second: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &[]).await;
    dj.plays("Glass Tide");
    pika.shows("Glass Tide").await;
    let running = Running::start(name, &pika, folder.path());
    running.prints(first).await;
    dj.plays("Half Life");
    running.prints(second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_sub_prints_the_song() {
    follows("mosquitto_sub", "Nova Harbor – Glass Tide", "Nova Harbor – Half Life").await;
    let [first, second] =
        ["Glass Tide", "Half Life"].map(|title| format!("pika/v1/tonight/main/now/title {title}"));
    follows("mosquitto_sub, several topics", &first, &second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_js_follows_over_tcp() {
    follows("mqtt.js", "playing Glass Tide", "playing Half Life").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_js_follows_through_the_web_port() {
    let name = "mqtt.js over websocket";
    follows(name, "main Nova Harbor – Glass Tide", "main Nova Harbor – Half Life").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_follows() {
    follows("paho-mqtt", "playing Glass Tide", "playing Half Life").await;
}

#[test]
fn every_example_has_its_test() {
    let names: Vec<String> = examples().into_iter().map(|it| format!("{}: {}", it.what, it.name)).collect();
    let tested = [
        "payload: pika/v1/tonight/main/now",
        "payload: pika/v1/tonight/main/event",
        "payload: pika/v1/tonight/main/announcement",
        "payload: pika/v1/tonight/main/poll",
        "run: mosquitto_sub",
        "run: mosquitto_sub, several topics",
        "check: home assistant",
        "check: node-red",
        "check: esphome",
        "run: mqtt.js",
        "run: mqtt.js over websocket",
        "run: paho-mqtt",
    ];
    assert_eq!(names, tested);
}

#[test]
fn every_payload_is_one() {
    for Example { name, code, .. } in examples().into_iter().filter(|example| example.what == "payload") {
        let topic: Topic = name.parse().unwrap();
        Message::read(&topic, code.as_bytes()).unwrap_or_else(|error| panic!("{topic}: {error}"));
        // Nothing in it is overlooked when it is read.
        let value: Value = serde_json::from_str(&code).unwrap();
        let again = match Message::read(&topic, code.as_bytes()).unwrap() {
            Message::Now(now) => serde_json::to_value(now),
            Message::Event(event) => serde_json::to_value(event),
            Message::Announcement(said) => serde_json::to_value(said),
            Message::Poll(poll) => serde_json::to_value(poll),
            other => panic!("{other:?}"),
        };
        assert_eq!(again.unwrap(), value);
    }
}

#[test]
fn every_topic_exists_and_is_public() {
    let document = document();
    let ends = |c: char| !(c.is_ascii_alphanumeric() || "/+-_".contains(c));
    let mut topics = BTreeSet::new();
    for (at, _) in document.match_indices("pika/v1/") {
        topics.insert(document[at..].split(ends).next().unwrap().to_owned());
    }
    topics.remove("pika/v1/"); // "all below"
    assert!(topics.len() >= 7, "{topics:?}");
    for text in topics {
        // `+` stands for a floor and for a field.
        let levels: Vec<&str> = text.split('/').collect();
        let named = levels.iter().enumerate().map(|(at, level)| match (*level, at) {
            ("+", 3) => "main",
            ("+", 5) => "title",
            (level, _) => level,
        });
        let topic: Topic = named.collect::<Vec<_>>().join("/").parse().unwrap();
        assert!(topic.is_public(), "{topic}");
    }
}

/// YAML as Python reads it.
fn yaml(name: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("example.yaml");
    fs::write(&file, example(name).code).unwrap();
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let mut python = Command::new("python3");
    let read = python.args(["-c", script]).arg(&file).env("PYTHONPATH", clients().join("python"));
    let read = read.output().unwrap();
    assert!(read.status.success(), "{name}: {}", String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice(&read.stdout).unwrap()
}

/// Every value of this key, however deep.
fn all<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key).and_then(Value::as_str));
            map.values().for_each(|value| all(value, key, found));
        }
        Value::Array(list) => list.iter().for_each(|value| all(value, key, found)),
        _ => {}
    }
}

#[test]
fn home_assistants_entities_follow_topics_that_exist() {
    let value = yaml("home assistant");
    let (mut topics, mut ids) = (Vec::new(), Vec::new());
    for key in ["state_topic", "json_attributes_topic", "topic"] {
        all(&value, key, &mut topics);
    }
    all(&value, "unique_id", &mut ids);
    assert_eq!((topics.len(), ids.len()), (6, 4));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "ids are unique");
    for topic in topics {
        assert!(topic.parse::<Topic>().is_ok(), "{topic}");
    }
    // Home Assistant passes over kinds that are not in the list, so it is whole.
    let kinds: Vec<FloorEventType> =
        serde_json::from_value(value["mqtt"]["event"][0]["event_types"].clone()).unwrap();
    assert!(kinds.len() == 9 && !kinds.contains(&FloorEventType::Unknown), "{kinds:?}");
}

#[test]
fn esphomes_sensors_follow_topics_that_exist() {
    let value = yaml("esphome");
    let mut topics = Vec::new();
    all(&value, "topic", &mut topics);
    assert_eq!(topics.len(), 3);
    for topic in topics {
        assert!(topic.parse::<Topic>().is_ok(), "{topic}");
    }
}

#[test]
fn node_reds_flow_is_whole() {
    let flow: Value = serde_json::from_str(&example("node-red").code).unwrap();
    let nodes = flow.as_array().unwrap();
    let ids: Vec<&str> = nodes.iter().map(|node| node["id"].as_str().unwrap()).collect();
    for node in nodes {
        for wire in node["wires"].as_array().into_iter().flatten().flat_map(|out| out.as_array().unwrap()) {
            assert!(ids.contains(&wire.as_str().unwrap()), "{wire}");
        }
        if node["type"] == "mqtt in" {
            assert!(node["topic"].as_str().unwrap().parse::<Topic>().is_ok());
            assert!(ids.contains(&node["broker"].as_str().unwrap()));
        }
    }
    // The function does what the text promises.
    let function = nodes.iter().find(|node| node["type"] == "function").unwrap();
    let event =
        examples().into_iter().find(|it| it.name.ends_with("/event") && it.what == "payload").unwrap();
    let script = format!(
        "const f = new Function('msg', {}); console.log(JSON.stringify(f({{ payload: {} }})));",
        function["func"], event.code
    );
    let ran = Command::new("node").args(["-e", &script]).output().unwrap();
    let answer: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(answer, serde_json::json!({ "topic": "Downhearted Blues", "payload": 92.5 }));
}
