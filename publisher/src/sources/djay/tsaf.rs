//! TSAF, in which djay keeps its objects: a header, and then values of which each comes before the name of its field. What
//! stands there, and not what it means; any bytes can be read.

use std::collections::HashMap;

use crate::sources::decode;

const MAGIC: &[u8] = b"TSAF";
const HEADER_BYTES: usize = 20;
const TEXT_BYTES_MAX: usize = 4 * 1024;
const TEXTS_MAX: usize = 256;
/// 2001-01-01 UTC, from which dates count.
const EPOCH_S: f64 = 978_307_200.0;
const TITLE_ID: &str = "ADCMediaItemTitleID";

/// Names of fields of ours and of their neighbours. A text that follows a text is a value too, unless it is one of these.
const NAMES: &[&str] = &[
    "uuid",
    "sessionUUID",
    "titleID",
    "titleIDs",
    "title",
    "artist",
    "album",
    "genre",
    "duration",
    "isrc",
    "deckNumber",
    "startTime",
    "originSourceID",
    "bpm",
    "manualBPM",
    "fileName",
    "sourceURIs",
];

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Number(f64),
    /// Milliseconds since 1970.
    Moment(i64),
}

/// The fields of an object and of those in it, by name. Of a name that stands there again, the first one counts. The `uuid` of
/// a title in it is its `titleID`.
#[derive(Debug, Default, PartialEq)]
pub struct Fields(HashMap<&'static str, Value>);

impl Fields {
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        match self.0.get(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn moment_ms(&self, name: &str) -> Option<i64> {
        match self.0.get(name)? {
            Value::Moment(ms) => Some(*ms),
            _ => None,
        }
    }
}

/// What the bytes say, up to the first that is not known.
pub fn parse(bytes: &[u8]) -> Fields {
    let mut fields = Fields::default();
    if !bytes.starts_with(MAGIC) {
        return fields;
    }
    let mut reader = Reader { bytes, at: HEADER_BYTES };
    let mut texts: Vec<String> = Vec::new();
    let mut value: Option<Value> = None;
    let mut is_class = false;
    let mut in_title = false;
    while let Some(token) = reader.next() {
        let text = match token {
            Token::Text(text) => {
                if texts.len() < TEXTS_MAX {
                    texts.push(text.clone());
                }
                text
            }
            Token::Again(index) => match texts.get(index) {
                Some(text) => text.clone(),
                None => continue,
            },
            Token::Value(new) => {
                value = Some(new);
                continue;
            }
            Token::Null => {
                value = None;
                continue;
            }
            Token::Object => {
                (value, is_class) = (None, true);
                continue;
            }
            Token::Other => continue,
        };
        if std::mem::take(&mut is_class) {
            in_title = text == TITLE_ID;
            continue;
        }
        let name = NAMES.iter().copied().find(|name| *name == text);
        match (&value, name) {
            (Some(_), Some(_)) => {}
            // After a number stands a name, and we do not need this one.
            (Some(Value::Number(_) | Value::Moment(_)), None) => {}
            (None | Some(Value::Text(_)), _) => {
                value = Some(Value::Text(text));
                continue;
            }
        }
        let (Some(name), Some(value)) = (name, value.take()) else { continue };
        let name = if name == "uuid" && std::mem::take(&mut in_title) { "titleID" } else { name };
        fields.0.entry(name).or_insert(value);
    }
    fields
}

enum Token {
    Text(String),
    Value(Value),
    Null,
    /// A text that stood there before, by its place among the texts.
    Again(usize),
    Object,
    Other,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next token; nothing at the end, and where something stands that we do not know.
    fn next(&mut self) -> Option<Token> {
        Some(match self.byte()? {
            0x08 => Token::Text(self.text()?),
            // A text in a wrapping of its own.
            0x21 => {
                while matches!(self.bytes.get(self.at), Some(0x00 | 0x08)) {
                    self.at += 1;
                }
                Token::Text(self.text()?)
            }
            0x0f => Token::Value(Value::Number(f64::from(self.byte()?))),
            0x0c => Token::Value(Value::Number(f64::from(i32::from_le_bytes(self.aligned()?)))),
            0x13 => number(f64::from(f32::from_le_bytes(self.aligned()?))),
            0x14 => number(f64::from_le_bytes(self.aligned()?)),
            0x30 => moment(f64::from_le_bytes(self.aligned()?)),
            0x0d | 0x2d => Token::Value(Value::Number(0.0)),
            0x0e => Token::Value(Value::Number(1.0)),
            0x2e => Token::Null,
            0x05 => Token::Again(usize::from(self.byte()?)),
            0x2b => Token::Object,
            // A list, and how many there are in it.
            0x0b => {
                self.aligned::<4>()?;
                Token::Other
            }
            0x15 => {
                let length = usize::try_from(u32::from_le_bytes(self.aligned()?)).ok()?;
                self.at = self.at.checked_add(length).filter(|at| *at <= self.bytes.len())?;
                Token::Null
            }
            // The end of an object.
            0x00 => Token::Other,
            _ => return None,
        })
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn text(&mut self) -> Option<String> {
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().position(|byte| *byte == 0)?;
        let text = rest.get(..length)?;
        self.at += length + 1;
        Some(decode::line(text.get(..TEXT_BYTES_MAX).unwrap_or(text)))
    }

    /// A number that begins at a multiple of its length.
    fn aligned<const N: usize>(&mut self) -> Option<[u8; N]> {
        let from = self.at.next_multiple_of(N);
        let number = self.bytes.get(from..)?.first_chunk::<N>()?;
        self.at = from + N;
        Some(*number)
    }
}

fn number(number: f64) -> Token {
    if number.is_finite() { Token::Value(Value::Number(number)) } else { Token::Null }
}

fn moment(seconds: f64) -> Token {
    let ms = (seconds + EPOCH_S) * 1000.0;
    if (1.0..1e15).contains(&ms) { Token::Value(Value::Moment(ms as i64)) } else { Token::Null }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An object as djay writes it.
    pub struct Blob(Vec<u8>);

    impl Blob {
        pub fn of(class: &str) -> Self {
            let mut header = b"TSAF\x03\0\x03\0".to_vec();
            header.resize(HEADER_BYTES, 0);
            Self(header).raw(&[0x2b]).text(class)
        }

        pub fn raw(mut self, bytes: &[u8]) -> Self {
            self.0.extend(bytes);
            self
        }

        pub fn text(self, text: &str) -> Self {
            self.raw(&[0x08]).raw(text.as_bytes()).raw(&[0])
        }

        pub fn named(self, value: &str, name: &str) -> Self {
            self.text(value).text(name)
        }

        pub fn number(mut self, tag: u8, number: &[u8], name: &str) -> Self {
            self.0.push(tag);
            self.0.resize(self.0.len().next_multiple_of(number.len()), 0);
            self.raw(number).text(name)
        }

        pub fn bytes(self) -> Vec<u8> {
            self.0
        }
    }

    fn history_item() -> Blob {
        Blob::of("ADCHistorySessionItem")
            .named("11", "uuid")
            .named("22", "sessionUUID")
            .raw(&[0x2b])
            .text(TITLE_ID)
            .text("abcdef")
            .raw(&[0x05, 2])
            .named("Glass\u{fe0f} Tide", "title")
            .named("artist", "artist")
            .number(0x14, &241.5_f64.to_le_bytes(), "duration")
            .named("XX1234567890", "isrc")
            .raw(&[0x05, 6])
            .text("album")
            .raw(&[0])
            .text("titleID")
            .raw(&[0x0e])
            .text("deckNumber")
            .number(0x30, &816_984_600.0_f64.to_le_bytes(), "startTime")
            .number(0x13, &124.5_f32.to_le_bytes(), "bpm")
    }

    #[test]
    fn values_before_names() {
        let fields = parse(&history_item().bytes());
        assert_eq!(fields.text("uuid"), Some("11"));
        assert_eq!(fields.text("titleID"), Some("abcdef"));
        assert_eq!(fields.text("title"), Some("Glass\u{fe0f} Tide"));
        assert_eq!(fields.text("artist"), Some("artist"));
        assert_eq!(fields.text("album"), Some("abcdef"), "the seventh text again");
        assert_eq!((fields.number("duration"), fields.number("bpm")), (Some(241.5), Some(124.5)));
        assert_eq!(fields.number("deckNumber"), Some(1.0));
        assert_eq!(fields.moment_ms("startTime"), Some(1_795_291_800_000));
    }

    #[test]
    fn keeps_what_stands_before_the_unknown() {
        let bytes = Blob::of("ADCHistorySessionItem")
            .named("Glass Tide", "title")
            .number(0x0c, &7_i32.to_le_bytes(), "playCount")
            .raw(&[0x0b, 0, 0, 0, 1, 0, 0, 0, 0x21, 0])
            .raw(b"file:///m/a.mp3\0\0")
            .text("sourceURIs")
            .raw(&[0xee])
            .named("Nova Harbor", "artist")
            .bytes();
        let fields = parse(&bytes);
        assert_eq!((fields.text("title"), fields.text("artist")), (Some("Glass Tide"), None));
    }

    #[test]
    fn cut_anywhere() {
        let whole = history_item().bytes();
        for cut in 0..whole.len() {
            parse(&whole[..cut]);
        }
        assert_eq!(parse(b"no such thing"), Fields::default());
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&bytes);
            parse(&history_item().raw(&bytes).bytes());
        }

        #[test]
        fn any_tokens(
            tags in proptest::collection::vec(proptest::sample::select(
                b"\x00\x05\x08\x0b\x0c\x0d\x0e\x0f\x13\x14\x15\x21\x2b\x2d\x2e\x30title\0uuid\0".as_slice(),
            ), 0..200),
        ) {
            parse(&Blob::of("A").raw(&tags).bytes());
        }
    }
}
