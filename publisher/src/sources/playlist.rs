//! The grammar of `.m3u` lists, with VirtualDJ's `#EXTVDJ` lines and the common `#EXTINF` ones: bytes in, entries out.
//!
//! It knows nothing of files, time zones or what has been read before, and it accepts any bytes. `#EXTVDJ` only looks
//! like XML: artists hold a raw `&` and titles a raw `<`, so an XML parser would lose them.

use super::decode;

/// One location and what the comment lines before it said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub location: String,
    pub tags: Tags,
}

/// What `#EXTVDJ` and `#EXTINF` told about the location that followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// Local wall clock, hour and minute.
    pub time: Option<(u8, u8)>,
    pub last_play_ms: Option<i64>,
    pub file_bytes: Option<u64>,
    pub artist: Option<String>,
    pub title: Option<String>,
    pub remix: Option<String>,
    pub duration_ms: Option<i64>,
}

/// What one read of a list holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Entries whose location line is ended.
    pub entries: Vec<Entry>,
    /// A last location without its line end: complete only when the file stays as it is.
    pub tail: Option<Entry>,
    /// Bytes up to the end of the last entry of `entries`; a later read may start here.
    pub consumed: usize,
}

/// Reads a list from its start, or from where an earlier read has `consumed`.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut vdj: Option<Tags> = None;
    let mut inf: Option<Tags> = None;
    let mut start = 0;
    while start < bytes.len() {
        let rest = &bytes[start..];
        let (raw, ended) = match rest.iter().position(|&byte| byte == b'\n') {
            Some(length) => (&rest[..length], true),
            None => (rest, false),
        };
        start += raw.len() + usize::from(ended);
        // "\r\n" split between two reads: the line is not ended yet, and the "\r" is no part of it.
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        if !ended && decode::ends_inside_character(raw) {
            break;
        }
        let line = decode::line(raw);
        let line = line.trim();
        if let Some(tags) = line.strip_prefix("#EXTVDJ:") {
            vdj = Some(extvdj(tags));
        } else if let Some(tags) = line.strip_prefix("#EXTINF:") {
            inf = Some(extinf(tags));
        } else if !line.is_empty() && !line.starts_with('#') {
            let tags = merged(vdj.take(), inf.take());
            let entry = Entry { location: line.to_owned(), tags };
            if ended {
                parsed.entries.push(entry);
                parsed.consumed = start;
            } else {
                parsed.tail = Some(entry);
            }
        }
    }
    parsed
}

const KNOWN: [&str; 7] = ["time", "lastplaytime", "filesize", "artist", "title", "remix", "songlength"];

fn extvdj(line: &str) -> Tags {
    let opened = opened_tags(line);
    let mut tags = Tags::default();
    for (index, &(name, _, from)) in opened.iter().enumerate() {
        let until = opened.get(index + 1).map_or(line.len(), |&(_, at, _)| at);
        // The last end tag: a title may itself hold something that looks like one.
        let Some(length) = line[from..until].rfind(&format!("</{name}>")) else { continue };
        let Some(text) = decode::field(&unescaped(&line[from..from + length])) else { continue };
        match name {
            "time" => tags.time = tags.time.or_else(|| clock(&text)),
            "lastplaytime" => tags.last_play_ms = tags.last_play_ms.or_else(|| last_play_ms(&text)),
            "filesize" => tags.file_bytes = tags.file_bytes.or_else(|| text.parse().ok()),
            "artist" => tags.artist = tags.artist.or(Some(text)),
            "title" => tags.title = tags.title.or(Some(text)),
            "remix" => tags.remix = tags.remix.or(Some(text)),
            _ => tags.duration_ms = tags.duration_ms.or_else(|| seconds_as_ms(&text)),
        }
    }
    tags
}

/// Known start tags in order of appearance: name, where the tag starts, where its text starts.
fn opened_tags(line: &str) -> Vec<(&'static str, usize, usize)> {
    let mut opened = Vec::new();
    for (at, _) in line.match_indices('<') {
        let after = &line[at + 1..];
        for name in KNOWN {
            if after.strip_prefix(name).is_some_and(|rest| rest.starts_with('>')) {
                opened.push((name, at, at + 1 + name.len() + 1));
            }
        }
    }
    opened
}

fn extinf(line: &str) -> Tags {
    let (length, shown) = line.split_once(',').unwrap_or((line, ""));
    let length = length.split_whitespace().next().unwrap_or_default();
    let (artist, title) = match shown.split_once(" - ") {
        Some((artist, title)) => (decode::field(artist), decode::field(title)),
        None => (None, decode::field(shown)),
    };
    Tags { artist, title, duration_ms: seconds_as_ms(length), ..Tags::default() }
}

/// `#EXTVDJ` is the richer of the two; the other fills what it left out.
fn merged(vdj: Option<Tags>, inf: Option<Tags>) -> Tags {
    match (vdj, inf) {
        (Some(vdj), Some(inf)) => {
            let (artist, title) = match vdj.title {
                Some(title) => (vdj.artist, Some(title)),
                None => (vdj.artist.or(inf.artist), inf.title),
            };
            Tags { artist, title, duration_ms: vdj.duration_ms.or(inf.duration_ms), ..vdj }
        }
        (vdj, inf) => vdj.or(inf).unwrap_or_default(),
    }
}

/// `HH:MM` as hour and minute.
pub fn clock(text: &str) -> Option<(u8, u8)> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (hour.trim().parse().ok()?, minute.trim().parse().ok()?);
    (hour < 24 && minute < 60).then_some((hour, minute))
}

fn last_play_ms(text: &str) -> Option<i64> {
    // The year 5138 in seconds, 1973 in milliseconds: nothing real lies on the wrong side.
    const SECONDS_MAX: i64 = 100_000_000_000;
    match text.parse::<i64>().ok()? {
        ..=0 => None,
        seconds @ 1..=SECONDS_MAX => Some(seconds * 1000),
        ms if ms <= SECONDS_MAX * 1000 => Some(ms),
        _ => None,
    }
}

/// Seconds with an optional fraction, as milliseconds; nothing for zero, "-1" and more than a week.
pub fn seconds_as_ms(text: &str) -> Option<i64> {
    const WEEK_MS: f64 = 7.0 * 86_400_000.0;
    let ms = (text.trim().parse::<f64>().ok()? * 1000.0).round();
    (ms > 0.0 && ms <= WEEK_MS).then_some(ms as i64)
}

/// The text with the five named entities and numbers decoded; anything else stays as it is.
pub fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        match entity(rest) {
            Some((character, length)) => {
                plain.push(character);
                rest = &rest[length..];
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn entity(text: &str) -> Option<(char, usize)> {
    const LENGTH_MAX: usize = 10;
    let end = text.bytes().take(LENGTH_MAX).position(|byte| byte == b';')?;
    let name = &text[1..end];
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((character, end + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &[(&str, &str, &str)]) {
        let seen: Vec<_> = parse(bytes)
            .entries
            .into_iter()
            .map(|entry| {
                (entry.tags.artist.unwrap_or_default(), entry.tags.title.unwrap_or_default(), entry.location)
            })
            .collect();
        let seen: Vec<_> = seen.iter().map(|(a, t, l)| (a.as_str(), t.as_str(), l.as_str())).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn takes_text_up_to_the_last_end_tag() {
        check(
            b"#EXTVDJ:<artist>A & B</artist><title>Rock <3 </title> Roll</title>\n/m\n",
            &[("A & B", "Rock <3 </title> Roll", "/m")],
        );
        check(b"#EXTVDJ: <artist>A</artist><bpm>120</bpm><title>T</title>\n/m\n", &[("A", "T", "/m")]);
        check(b"#EXTVDJ:<title>half\n/m\n", &[("", "", "/m")]);
    }

    #[test]
    fn decodes_only_the_named_entities() {
        check(
            b"#EXTVDJ:<artist>A &amp; B &eacute; &#233;&#xE9;</artist><title>&lt;3 &amp;amp; &</title>\n/m\n",
            &[("A & B &eacute; éé", "<3 &amp; &", "/m")],
        );
    }

    #[test]
    fn tags_never_reach_a_later_entry() {
        check(b"#EXTVDJ:<title>one</title>\n\n#note\n/1\n/2\n", &[("", "one", "/1"), ("", "", "/2")]);
        check(b"#EXTVDJ:<title>lost</title>\n#EXTVDJ:<title>two</title>\n/2\n", &[("", "two", "/2")]);
    }

    #[test]
    fn an_extinf_line_fills_what_extvdj_left_out() {
        check(b"#EXTINF:198,A - T\n#EXTVDJ:<time>21:00</time>\n/m\n", &[("A", "T", "/m")]);
        check(b"#EXTINF:-1 tvg=x,Only a title\n/m\n", &[("", "Only a title", "/m")]);
    }

    #[test]
    fn play_times() {
        assert_eq!(last_play_ms("1795291330"), Some(1_795_291_330_000));
        assert_eq!(last_play_ms("1795291330000"), Some(1_795_291_330_000));
        for bad in ["0", "-4", "x", "", "100000000000000000000", "9000000000000000000"] {
            assert_eq!(last_play_ms(bad), None, "{bad}");
        }
        assert_eq!(clock("99:99"), None);
        assert_eq!(seconds_as_ms("241.622"), Some(241_622));
        assert_eq!(seconds_as_ms("NaN"), None);
    }

    fn list_like() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"#EXTVDJ:".to_vec()),
            Just(b"<artist>A</artist>".to_vec()),
            Just("<title>Bølge</title>".as_bytes().to_vec()),
            Just(b"<lastplaytime>1795291330</lastplaytime>".to_vec()),
            Just(b"#EXTINF:10,A - B".to_vec()),
            Just(b"/music/one.mp3".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\xEF\xBB\xBF".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..6),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            parse(&bytes);
        }

        #[test]
        fn two_reads_equal_one(bytes in list_like(), cut in 0usize..1000) {
            let cut = cut.min(bytes.len());
            let whole = parse(&bytes);
            let first = parse(&bytes[..cut]);
            let second = parse(&bytes[first.consumed..]);
            let mut entries = first.entries;
            entries.extend(second.entries);
            prop_assert_eq!(entries, whole.entries);
            prop_assert_eq!(second.tail, whole.tail);
        }
    }
}
