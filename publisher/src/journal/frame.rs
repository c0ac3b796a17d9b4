//! One record as one line: checksum, length, JSON. A line that was cut or changed anywhere is told from a whole one.

/// What stands at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A whole record: its JSON and the bytes it takes with its line end.
    Whole { json: &'a [u8], bytes: usize },
    /// A whole record, only the line end is missing or wrong.
    WithoutEnd { json: &'a [u8], bytes: usize },
    /// The start of a record whose rest was never written.
    Torn,
    /// Anything else: these bytes were whole once.
    Damaged,
}

/// The line of a record.
pub(super) fn line(json: &[u8]) -> Vec<u8> {
    let mut line = format!("{:08x} {} ", crc32fast::hash(json), json.len()).into_bytes();
    line.extend_from_slice(json);
    line.push(b'\n');
    line
}

/// Reads the record at the start of `bytes`, which are not empty.
pub(super) fn first(bytes: &[u8]) -> Frame<'_> {
    // A file that grew before its content was written ends in zeros after a power loss.
    if bytes.iter().all(|&byte| byte == 0) {
        return Frame::Torn;
    }
    let Some((crc, length, header_bytes)) = header(bytes) else {
        let short = bytes.len() <= HEADER_BYTES_MAX && !bytes.contains(&b'\n') && starts_like_header(bytes);
        return if short { Frame::Torn } else { Frame::Damaged };
    };
    let Some(json) = bytes.get(header_bytes..header_bytes.saturating_add(length)) else {
        return if bytes.contains(&b'\n') { Frame::Damaged } else { Frame::Torn };
    };
    if crc32fast::hash(json) != crc {
        return Frame::Damaged;
    }
    let end = header_bytes + length;
    match bytes.get(end) {
        Some(b'\n') => Frame::Whole { json, bytes: end + 1 },
        None => Frame::WithoutEnd { json, bytes: end },
        Some(_) if bytes.len() == end + 1 => Frame::WithoutEnd { json, bytes: end },
        Some(_) => Frame::Damaged,
    }
}

const HEADER_BYTES_MAX: usize = 8 + 1 + 20;

fn header(bytes: &[u8]) -> Option<(u32, usize, usize)> {
    let crc = hex(bytes.get(..8)?)?;
    if *bytes.get(8)? != b' ' {
        return None;
    }
    let digits = bytes.get(9..)?.iter().take(20).position(|&byte| byte == b' ')?;
    let length = std::str::from_utf8(&bytes[9..9 + digits]).ok()?;
    if digits == 0 || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((crc, length.parse().ok()?, 9 + digits + 1))
}

fn hex(bytes: &[u8]) -> Option<u32> {
    if !bytes.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(bytes).ok()?, 16).ok()
}

fn starts_like_header(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(index, byte)| match index {
        0..8 => byte.is_ascii_hexdigit(),
        8 => *byte == b' ',
        _ => byte.is_ascii_digit(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_line_is_torn_and_a_changed_one_damaged() {
        let line = line(br#"{"a":1}"#);
        let json = br#"{"a":1}"#.as_slice();
        assert_eq!(first(&line), Frame::Whole { json, bytes: line.len() });
        for end in 1..line.len() - 1 {
            assert_eq!(first(&line[..end]), Frame::Torn, "{end}");
        }
        assert_eq!(first(&line[..line.len() - 1]), Frame::WithoutEnd { json, bytes: line.len() - 1 });
        for at in 0..line.len() - 1 {
            let mut changed = line.clone();
            changed[at] ^= 0x04;
            assert!(!matches!(first(&changed), Frame::Whole { .. }), "{at}");
        }
    }
}
