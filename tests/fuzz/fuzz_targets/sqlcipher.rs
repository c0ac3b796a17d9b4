//! An encrypted database and its log, as any program may have left them. The key is there already: deriving one takes so long
//! that nothing else would be tried.

#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use publisher::sources::rekordbox::sqlcipher::{Keys, Log, PAGE_BYTES, Plain, SALT_BYTES};

fuzz_target!(|input: &[u8]| {
    let keys = Keys::of([1; 32], [7; SALT_BYTES]);
    read(&keys, input, &Log::of(input.to_vec()), 3);
    // Whole frames of small inputs: page and count of each from the input, after a header that is right.
    let mut bytes = Vec::new();
    for word in [0x377F_0682_u32, 3_007_000, PAGE_BYTES as u32, 0, 11, 12, 0, 0] {
        bytes.extend(word.to_be_bytes());
    }
    for frame in input.chunks_exact(3).take(16) {
        bytes.extend([0, 0, 0, frame[0], 0, 0, 0, frame[1]]);
        bytes.extend([0, 0, 0, 11, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(std::iter::repeat_n(frame[2], PAGE_BYTES));
    }
    let log = Log::of(bytes);
    let count = log.count().unwrap_or(2);
    assert!(count <= 255);
    let file: Vec<u8> = input.iter().copied().cycle().take(2 * PAGE_BYTES).collect();
    read(&keys, &file, &log, count);
});

fn read(keys: &Keys, file: &[u8], log: &Log, count: u32) {
    let mut plain = Plain::of(keys, file, log, count);
    let mut bytes = Vec::new();
    plain.read_to_end(&mut bytes).expect("it gives bytes");
    assert_eq!(bytes.len(), count as usize * PAGE_BYTES);
    let _ = plain.fault();
}
