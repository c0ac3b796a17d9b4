//! Bytes of somebody else's text file into clean text, line by line; which line means what is decided elsewhere.
//!
//! The encoding is guessed per line and not per file, because lists written by two versions of a program
//! hold both UTF-8 and Windows-1252.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// A longer line is cut: no real entry comes near it, and a hostile one must not cost memory.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// A longer field is cut.
pub const FIELD_CHARS_MAX: usize = 512;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One line (without its end) as text, with byte-order mark and control characters removed.
pub fn line(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let text = match bytes.get(..LINE_BYTES_MAX) {
        Some(start) => text(without_cut_character(start)),
        None => text(bytes),
    };
    text.chars().filter_map(printable).collect()
}

/// A whole small file as text: UTF-16 when its byte-order mark says so, otherwise decided per line.
pub fn file(bytes: &[u8]) -> Vec<String> {
    match encoding_rs::Encoding::for_bom(bytes) {
        Some((encoding, mark_bytes)) if encoding != encoding_rs::UTF_8 => {
            let (text, _) = encoding.decode_without_bom_handling(&bytes[mark_bytes..]);
            text.lines().map(|text| line(text.as_bytes())).collect()
        }
        _ => bytes.split(|&byte| byte == b'\n' || byte == b'\r').map(line).collect(),
    }
}

/// A field as it may be shown: trimmed and capped; nothing when nothing is left.
pub fn field(text: &str) -> Option<String> {
    let clean: String = text.chars().filter_map(printable).collect();
    let clean = clean.trim();
    if clean.is_empty() {
        return None;
    }
    Some(clean.chars().take(FIELD_CHARS_MAX).collect::<String>().trim_end().to_owned())
}

/// The year that a date begins with.
pub fn year(date: &str) -> Option<u16> {
    date.get(..4)?.parse().ok()
}

/// Whether the bytes stop inside a UTF-8 sequence, so that the rest is still to come.
pub fn ends_inside_character(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}

/// Names and values of a form, as they stand in an address or a body; in which encoding is decided elsewhere.
pub fn form(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pair = |pair: &[u8]| {
        let equals = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at(equals);
        (decoded(name), decoded(value.get(1..).unwrap_or_default()))
    };
    bytes.split(|&byte| byte == b'&').map(pair).collect()
}

/// The bytes that `%20`, `+` and their like stand for.
fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent_decode(&spaced).collect()
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

fn without_cut_character(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

fn printable(character: char) -> Option<char> {
    match character {
        '\t' => Some(' '),
        '\u{FEFF}' => None,
        character if character.is_control() => None,
        character => Some(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decides_per_line() {
        assert_eq!(line("Björk".as_bytes()), "Björk");
        assert_eq!(line(b"Bj\xF6rk"), "Björk");
        assert_eq!(line(b"\xEF\xBB\xBFfirst"), "first");
        assert_eq!(line(b"a\0b\x07c\td"), "abc d");
    }

    #[test]
    fn reads_utf16_files() {
        let mut bytes = vec![0xFF, 0xFE];
        bytes.extend("Björk\r\nJóga".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(file(&bytes), ["Björk", "Jóga"]);
    }

    #[test]
    fn cuts_a_long_line_between_characters() {
        let long = "é".repeat(LINE_BYTES_MAX);
        let cut = line(format!("x{long}").as_bytes());
        assert!(cut.len() <= LINE_BYTES_MAX && cut.ends_with('é'));
    }

    #[test]
    fn fields_are_trimmed_and_capped() {
        assert_eq!(field("  a b "), Some("a b".to_owned()));
        assert_eq!(field(" \0 "), None);
        assert_eq!(field(&"x".repeat(9000)).map(|field| field.len()), Some(FIELD_CHARS_MAX));
    }
}
