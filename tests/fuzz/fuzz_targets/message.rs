//! Topics and payloads as any MQTT client may send them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{Message, Topic};

fuzz_target!(|input: &[u8]| {
    let split = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (topic, payload) = input.split_at(split);
    let Some(topic) = std::str::from_utf8(topic).ok().and_then(|text| text.parse::<Topic>().ok()) else { return };
    assert_eq!(topic.to_string().parse::<Topic>().as_ref(), Ok(&topic));
    let _ = Message::read(&topic, payload.get(1..).unwrap_or_default());
});
