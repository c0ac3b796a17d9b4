//! Requests of a sender of broadcasts, their bodies, and the tags in them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use publisher::sources::icecast::metadata::{LeadingTag, Update, read_tag};
use publisher::sources::icecast::request::{Body, Request, Wish};

fuzz_target!(|input: &[u8]| {
    let _ = Update::parse(input);
    let _ = read_tag(input);
    let Ok(Some((request, head_bytes))) = Request::parse(input) else { return };
    if let Wish::Update(query) = &request.wish {
        let _ = Update::parse(query);
    }
    let sound = Body::of(&request).read(&input[head_bytes..]);
    let _ = LeadingTag::default().push(&sound);
});
