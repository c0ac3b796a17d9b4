//! A session file of Serato, as any program may have left it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use publisher::sources::serato::session;

fuzz_target!(|input: &[u8]| {
    let _ = session::parse(input);
});
