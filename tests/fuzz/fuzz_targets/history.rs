//! A DJ program's lists and library, as any program may have left them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use publisher::sources::playlist;
use publisher::sources::virtualdj::database::Index;

fuzz_target!(|input: &[u8]| {
    let _ = playlist::parse(input);
    let _ = Index::of(input);
});
