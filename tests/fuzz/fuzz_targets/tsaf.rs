//! An object of djay's library, as any program may have left it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use publisher::sources::djay::tsaf;

/// A header, and the beginning of an object.
const HEAD: &[u8] = b"TSAF\x03\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0+\x08A\0";

fuzz_target!(|input: &[u8]| {
    let _ = tsaf::parse(input);
    let _ = tsaf::parse(&[HEAD, input].concat());
});
