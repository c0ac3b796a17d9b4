//! Every payload ever shipped, as files in `samples/`: each must be read, and written back the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use pika_protocol::{Message, Topic, message, schema};
use serde_json::{Value, json};

fn samples() -> Vec<(String, Topic, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/samples");
    let mut samples = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut sample: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let topic = sample["topic"].as_str().unwrap().parse().unwrap();
        samples.push((name, topic, sample["payload"].take()));
    }
    samples
}

fn written(message: &Message) -> Vec<u8> {
    match message {
        Message::Info(p) => message::write(p),
        Message::Cursor(p) => message::write(p),
        Message::Audience(p) => message::write(p),
        Message::DeskState(p) => message::write(p),
        Message::Play(p) => message::write(p),
        Message::Cover(p) => message::write(p),
        Message::DeskRequests(p) => message::write(p),
        Message::Now(p) => message::write(p),
        Message::History(p) => message::write(p),
        Message::Reactions(p) => message::write(p),
        Message::Event(p) => message::write(p),
        Message::Announcement(p) => message::write(p),
        Message::Poll(p) => message::write(p),
        Message::In(p) => message::write(p),
        Message::DeskStatus(_) | Message::NowField(_) | Message::Cleared => panic!("no sample is plain text"),
    }
}

#[test]
fn every_sample_is_read_and_written_back() {
    let samples = samples();
    assert!(samples.len() >= 26, "only {} samples", samples.len());
    for (name, topic, payload) in samples {
        let message =
            Message::read(&topic, payload.to_string().as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let again: Value = serde_json::from_slice(&written(&message)).unwrap();
        assert_eq!(again, payload, "{name}");
    }
}

#[test]
fn a_newer_writer_may_add_fields() {
    for (name, topic, mut payload) in samples() {
        payload["a_field_of_next_year"] = true.into();
        assert!(Message::read(&topic, payload.to_string().as_bytes()).is_ok(), "{name}");
    }
}

#[test]
fn texts_of_the_console_come_out_clean() {
    let poll_id = "0195ad2c-7a10-7160-8000-000000000160";
    let asked = json!({"kind": "ask_poll", "poll_id": poll_id, "question": "A\nb", "options": ["\t", "c "]});
    let play_id = "5f0c1b6e-53a4-5c55-9d0e-2f4e3b1a9c77";
    let correct = json!({"what": "correct", "play_id": play_id, "artist": " ", "title": " x"});
    for (input, expected) in [
        (json!({"kind": "announce", "text": " Taxi\u{0}at \u{202e}two "}), json!({"text": "Taxi at two"})),
        (json!({"kind": "announce", "text": "\u{200b}"}), json!({"text": ""})),
        (json!({"kind": "announce", "text": "ż".repeat(500)}), json!({"text": "ż".repeat(200)})),
        (asked, json!({"question": "A b", "options": ["", "c"]})),
        (
            json!({"kind": "request", "desk": "booth", "request": correct}),
            json!({"request": {"what": "correct", "play_id": play_id, "title": "x"}}),
        ),
    ] {
        let (_, topic, mut payload) = samples().into_iter().find(|(name, ..)| name == "in-announce").unwrap();
        payload["input"] = input;
        let message = Message::read(&topic, payload.to_string().as_bytes()).unwrap();
        let again: Value = serde_json::from_slice(&written(&message)).unwrap();
        for (field, expected) in expected.as_object().unwrap() {
            assert_eq!(again["input"][field], *expected);
        }
    }
}

#[test]
fn another_version_is_refused() {
    for (name, topic, mut payload) in samples() {
        payload["v"] = 2.into();
        assert!(Message::read(&topic, payload.to_string().as_bytes()).is_err(), "{name}");
    }
}

#[test]
fn the_schema_of_a_payload_names_the_fields_of_its_samples() {
    let schemas = schema::all();
    for (name, schema) in &schemas {
        let known: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        let mut seen = 0;
        for (sample, _, payload) in samples() {
            let kind = sample.replace("play-", "desk-play-").replace("now-playing", "now");
            if kind == *name || kind.starts_with(&format!("{name}-")) {
                seen += 1;
                for field in payload.as_object().unwrap().keys() {
                    assert!(known.contains(field), "{sample}: {field} is not in the schema of {name}");
                }
            }
        }
        assert!(seen > 0, "no sample of {name}");
    }
}

#[test]
fn no_payload_can_name_a_path_or_a_comment() {
    for (name, schema) in schema::all() {
        let text = schema.to_string();
        for word in ["\"path\"", "\"comment\"", "\"file\"", "\"host\"", "\"address\"", "\"location\""] {
            assert!(!text.contains(word), "{name} has {word}");
        }
    }
}
