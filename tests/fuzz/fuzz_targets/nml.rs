//! Traktor's collection, as any program may have left it.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use protocol::Track;
use publisher::sources::traktor::nml::Index;

fuzz_target!(|input: &[u8]| {
    let index = Index::of(input);
    for (artist, title) in [(Some("Nova Harbor"), "Glass Tide"), (None, "T")] {
        let named = Track { artist: artist.map(str::to_owned), title: Some(title.to_owned()), ..Track::default() };
        let entry = index.entry(&mut Cursor::new(input), &named).expect("memory can be read");
        let is_it = |entry: &publisher::sources::traktor::nml::Entry| {
            entry.track.title.as_deref().is_some_and(|found| found.to_lowercase().contains(&title[..1].to_lowercase()))
        };
        assert!(entry.as_ref().is_none_or(is_it));
    }
});
