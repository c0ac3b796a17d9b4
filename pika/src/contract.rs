//! The MQTT contract, printed from the types.

use std::io::Write;

use protocol::schema;
use serde_json::{Map, Value, json};

/// `pika schema`
pub fn print_schema() -> anyhow::Result<()> {
    print(&Value::Object(schema::all()))
}

/// `pika asyncapi`
pub fn print_asyncapi() -> anyhow::Result<()> {
    print(&asyncapi())
}

fn print(value: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// What each topic is for: name, address below `pika/v1/{event}/`, retained, QoS, who writes it, summary.
pub const CHANNELS: &[(&str, &str, bool, u8, &str, &str)] = &[
    ("info", "info", true, 1, "archiver", "Name, time zone, floors, addresses"),
    (
        "desk-status",
        "{floor}/desk/{desk}/status",
        true,
        1,
        "desk",
        "online or offline, plain text, last will",
    ),
    ("desk-state", "{floor}/desk/{desk}/state", true, 1, "desk", "On air or not, and how the desk fares"),
    (
        "desk-play",
        "{floor}/desk/{desk}/play",
        false,
        1,
        "desk",
        "One play: started, corrected, ended, withdrawn",
    ),
    (
        "desk-cover",
        "{floor}/desk/{desk}/cover",
        false,
        1,
        "desk",
        "The picture of a track, before the play that names it; at most 140 kB",
    ),
    (
        "desk-requests",
        "{floor}/desk/{desk}/requests",
        true,
        1,
        "archiver",
        "What the desk is asked from elsewhere; empty: nothing",
    ),
    ("now", "{floor}/now", true, 1, "archiver", "What is playing: the integrator's topic"),
    ("now-field", "{floor}/now/{field}", true, 1, "archiver", "One field of now as plain text"),
    ("history", "{floor}/history", true, 1, "archiver", "The last plays"),
    ("reactions", "{floor}/reactions", true, 0, "archiver", "The tally of the current play"),
    ("event", "{floor}/event", false, 1, "archiver", "Something happened"),
    ("announcement", "{floor}/announcement", true, 1, "archiver", "The current announcement; empty clears"),
    ("poll", "{floor}/poll", true, 1, "archiver", "The current poll; empty clears"),
    ("in", "{floor}/in/{producer}", false, 1, "web app, DJ's console", "Reactions and requests"),
    ("cursor", "cursor/{producer}", true, 1, "archiver", "How far a producer is committed"),
    ("audience", "audience/{webapp}", true, 0, "web app", "Open sockets per floor"),
];

fn asyncapi() -> Value {
    let mut schemas = Map::new();
    for (name, schema) in schema::all() {
        // Definitions move to one place, so that the document refers to itself only.
        let mut schema = schema;
        let defs = schema.as_object_mut().and_then(|schema| schema.remove("$defs"));
        if let Some(Value::Object(defs)) = defs {
            for (def, mut body) in defs {
                rewrite(&mut body);
                schemas.insert(def, body);
            }
        }
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("$schema");
        }
        rewrite(&mut schema);
        schemas.insert(name, schema);
    }
    let (mut channels, mut operations) = (Map::new(), Map::new());
    for (name, address, retained, qos, writer, summary) in CHANNELS {
        let address = format!("{}/{{event}}/{address}", protocol::topic::ROOT);
        let parameters: Map<String, Value> = address
            .split(['{', '}'])
            .skip(1)
            .step_by(2)
            .map(|parameter| {
                (parameter.to_owned(), json!({ "description": format!("The {parameter}'s id") }))
            })
            .collect();
        let payload = match schemas.contains_key(*name) {
            true => json!({ "$ref": format!("#/components/schemas/{name}") }),
            false => json!({ "type": "string" }),
        };
        let content_type = if schemas.contains_key(*name) { "application/json" } else { "text/plain" };
        channels.insert(
            (*name).to_owned(),
            json!({
                "address": address,
                "description": format!("{summary}. Written by: {writer}."),
                "parameters": parameters,
                "messages": { (*name): { "contentType": content_type, "payload": payload } },
            }),
        );
        operations.insert(
            format!("{name}-receive"),
            json!({
                "action": "receive",
                "channel": { "$ref": format!("#/channels/{name}") },
                "summary": summary,
                "bindings": { "mqtt": { "qos": qos, "retain": retained } },
            }),
        );
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Pika",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What a dance floor is playing, over MQTT 3.1.1 or 5. Retained is state; not retained is something that happened. Additive change only inside v1.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "schemas": schemas },
    })
}

fn rewrite(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => {
                        *text = text.replace("#/$defs/", "#/components/schemas/")
                    }
                    value => rewrite(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(rewrite),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match value {
                        Value::String(text) if key == "$ref" => found.push(text.clone()),
                        value => refs(value, found),
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|value| refs(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_payload_has_a_channel() {
        let document = asyncapi();
        let mut found = Vec::new();
        refs(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for name in schema::all().keys() {
            assert!(CHANNELS.iter().any(|channel| channel.0 == name), "{name}");
        }
    }
}
