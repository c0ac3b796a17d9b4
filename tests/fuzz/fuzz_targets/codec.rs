//! The gate's decoders on any bytes: an answer or "more", never a panic; and what is understood is
//! understood the same way again after it was written.

#![no_main]

use broker::codec::{Version, decode, decode_connect, encode};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((first, bytes)) = input.split_first() else { return };
    let _ = decode_connect(&mut BytesMut::from(bytes), 16 * 1024);
    let version = if first & 1 == 0 { Version::V311 } else { Version::V5 };
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(packet)) = decode(&mut buffer, version, 64 * 1024) {
        let mut written = BytesMut::new();
        encode(&packet, version, &mut written);
        let again = decode(&mut written, version, 128 * 1024);
        assert_eq!(again.as_ref().ok().and_then(Option::as_ref), Some(&packet), "{again:?}");
    }
});
