//! What a device on the DJ's network may send, to each of the three places where we read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use publisher::sources::stagelinq::wire::{Announcement, Change, Message};

fuzz_target!(|input: &[u8]| {
    let _ = Announcement::parse(input);
    for parsed in [Message::parse(input).map(|it| it.map(|it| it.1)), Change::parse(input).map(|it| it.map(|it| it.1))] {
        assert!(parsed.ok().flatten().is_none_or(|length| (1..=input.len()).contains(&length)));
    }
});
