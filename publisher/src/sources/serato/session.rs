//! The session files of Serato 2 and 3 and of Scratch Live: chunks of a tag, a length and bytes, nested. What a file says,
//! and not what it means; any bytes can be read.

use std::collections::BTreeMap;

use protocol::Track;

use crate::sources::decode;

/// More tracks than anybody loads in a night. Of more, the last ones count.
const ENTRIES_MAX: usize = 4_096;
const TEXT_BYTES_MAX: usize = 4 * 1024;

/// A track that was loaded to a deck.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    pub row: u64,
    pub deck: Option<u8>,
    pub track: Track,
    pub path: Option<String>,
    pub comment: Option<String>,
    /// When it was loaded.
    pub loaded_ms: Option<i64>,
    /// When it left the deck.
    pub ended_ms: Option<i64>,
    pub is_played: bool,
}

/// The entries of a session in order of their rows. A row that stands in the file again is an update, and the last one
/// counts; a chunk that is still being written is left out.
pub fn parse(bytes: &[u8]) -> Vec<Entry> {
    let mut entries = BTreeMap::new();
    let noted = chunks(bytes).filter(|(tag, _)| tag == b"oent");
    for (_, fields) in noted.flat_map(|(_, inside)| chunks(inside)).filter(|(tag, _)| tag == b"adat") {
        let entry = entry(fields);
        entries.insert(entry.row, entry);
        if entries.len() > ENTRIES_MAX {
            entries.pop_first();
        }
    }
    entries.into_values().collect()
}

fn entry(fields: &[u8]) -> Entry {
    let mut entry = Entry::default();
    for (id, value) in chunks(fields) {
        match u32::from_be_bytes(id) {
            1 => entry.row = number(value).unwrap_or_default(),
            2 => entry.path = text(value),
            6 => entry.track.title = text(value),
            7 => entry.track.artist = text(value),
            8 => entry.track.album = text(value),
            9 => entry.track.genre = text(value),
            10 => entry.track.duration_ms = text(value).and_then(|text| length_ms(&text)),
            15 => entry.track.bpm = number(value).filter(|bpm| *bpm > 0).map(|bpm| bpm as f64),
            17 => entry.comment = text(value),
            23 => entry.track.year = text(value).and_then(|date| decode::year(&date)),
            28 => entry.loaded_ms = moment_ms(value),
            29 => entry.ended_ms = moment_ms(value),
            31 => entry.deck = number(value).and_then(|deck| u8::try_from(deck).ok()),
            50 => entry.is_played = number(value).is_some_and(|played| played != 0),
            51 => entry.track.key = text(value),
            _ => {}
        }
    }
    entry
}

/// Tags and what they hold, up to the first that is not whole.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (tag, rest) = bytes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        bytes = rest;
        Some((*tag, value))
    })
}

/// UTF-16 that ends with a zero.
fn text(value: &[u8]) -> Option<String> {
    let value = value.get(..TEXT_BYTES_MAX).unwrap_or(value);
    let units = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let text: String = char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{FFFD}')).collect();
    decode::field(&text)
}

/// A number of as many bytes as it has; versions differ in that.
fn number(value: &[u8]) -> Option<u64> {
    (1..=8)
        .contains(&value.len())
        .then(|| value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn moment_ms(value: &[u8]) -> Option<i64> {
    let seconds = i64::try_from(number(value)?).ok()?;
    seconds.checked_mul(1000).filter(|ms| *ms > 0)
}

/// "04:01.62", or with hours before it.
fn length_ms(text: &str) -> Option<i64> {
    let mut seconds = 0.0;
    for part in text.splitn(3, ':') {
        seconds = seconds * 60.0 + part.trim().parse::<f64>().ok()?;
    }
    (seconds > 0.0).then_some((seconds * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(tag: &[u8; 4], value: &[u8]) -> Vec<u8> {
        [tag.as_slice(), &(value.len() as u32).to_be_bytes(), value].concat()
    }

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect()
    }

    fn noted(fields: &[(u32, Vec<u8>)]) -> Vec<u8> {
        let fields: Vec<u8> = fields.iter().flat_map(|(id, value)| chunk(&id.to_be_bytes(), value)).collect();
        chunk(b"oent", &chunk(b"adat", &fields))
    }

    fn glass_tide() -> Vec<(u32, Vec<u8>)> {
        vec![
            (1, 7_u32.to_be_bytes().to_vec()),
            (2, wide("/m/Nova Harbor - Glass Tide.flac")),
            (6, wide("Glass Tide")),
            (7, wide("Nova Harbor")),
            (10, wide("04:01.62")),
            (15, 124_u32.to_be_bytes().to_vec()),
            (17, wide("for the end")),
            (23, wide("2024")),
            (28, 1_795_291_800_u32.to_be_bytes().to_vec()),
            (31, 2_u32.to_be_bytes().to_vec()),
            (50, vec![0]),
            (51, wide("11A")),
            (4711, vec![1, 2, 3]),
        ]
    }

    #[test]
    fn both_widths_of_time_and_the_last_of_a_row() {
        let head = chunk(b"vrsn", &wide("1.0/Serato Scratch LIVE Review"));
        let mut later = glass_tide();
        later.push((50, vec![1]));
        later.push((29, 1_795_292_040_u64.to_be_bytes().to_vec()));
        let bytes = [head, noted(&glass_tide()), noted(&[(1, vec![9])]), noted(&later)].concat();
        let entries = parse(&bytes);
        let [entry, empty] = entries.as_slice() else { panic!("two rows, not {entries:?}") };
        assert_eq!(entry.track.line(), "Nova Harbor – Glass Tide");
        assert_eq!(entry.track.duration_ms, Some(241_620));
        assert_eq!((entry.track.bpm, entry.track.year), (Some(124.0), Some(2024)));
        assert_eq!((entry.loaded_ms, entry.ended_ms), (Some(1_795_291_800_000), Some(1_795_292_040_000)));
        assert_eq!((entry.row, entry.deck, entry.is_played), (7, Some(2), true));
        assert_eq!(*empty, Entry { row: 9, ..Entry::default() });
    }

    #[test]
    fn a_file_that_is_being_written_is_read_as_far_as_it_goes() {
        let whole = [noted(&[(1, vec![1])]), noted(&glass_tide())].concat();
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).len() <= 1);
        }
        assert_eq!(parse(&whole).len(), 2);
    }

    #[test]
    fn a_hostile_file_costs_little() {
        let many: Vec<u8> =
            (0..20_000_u32).flat_map(|row| noted(&[(1, row.to_be_bytes().to_vec())])).collect();
        let entries = parse(&many);
        assert_eq!((entries.len(), entries.last().map(|entry| entry.row)), (ENTRIES_MAX, Some(19_999)));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(&bytes);
            parse(&chunk(b"oent", &chunk(b"adat", &bytes)));
        }

        #[test]
        fn any_fields(fields in proptest::collection::vec((0_u32..60, proptest::collection::vec(any::<u8>(), 0..20)), 0..20)) {
            prop_assert_eq!(parse(&noted(&fields)).len(), 1);
        }
    }
}
