//! A file of music, and the picture in it, as any download may be.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use publisher::cover;
use publisher::sources::tags;

fuzz_target!(|input: &[u8]| {
    if let Ok(tags) = tags::of(Cursor::new(input), None, true)
        && let Some(picture) = tags.picture
    {
        let _ = cover::small(&picture);
    }
    let _ = cover::small(input);
});
