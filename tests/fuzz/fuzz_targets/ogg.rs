//! An Ogg stream as any sender may send it, whole and in slices.

#![no_main]

use libfuzzer_sys::fuzz_target;
use publisher::sources::icecast::ogg::{Ogg, read_comments};

fuzz_target!(|input: &[u8]| {
    let whole = Ogg::default().push(input);
    let cut = usize::from(input.first().copied().unwrap_or_default()) + 1;
    let mut ogg = Ogg::default();
    let sliced: Vec<_> = input.chunks(cut).flat_map(|slice| ogg.push(slice)).collect();
    assert_eq!(sliced, whole);
    let _ = read_comments(input);
});
