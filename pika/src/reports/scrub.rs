//! Takes out of a text what tells of a person, a machine or a secret. Rather too much than too little: what is left has
//! to say which error it is, not whose. Pure.

use std::net::IpAddr;

/// What stands in place of something that was taken out.
const GONE: &str = "[…]";

/// Longer words with digits and letters are keys, ids or hashes, and nobody reads them.
const WORD_MAX: usize = 20;

/// Of a message. What is longer lists things that are somebody's.
const CHARS_MAX: usize = 1_000;

/// Knows how the machine and its user are called.
#[derive(Debug, Clone, Default)]
pub struct Scrubber {
    names: Vec<String>,
}

impl Scrubber {
    pub fn of_this_machine() -> Self {
        let host = std::fs::read_to_string("/etc/hostname").ok();
        let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let variables = ["HOSTNAME", "COMPUTERNAME", "USER", "USERNAME", "LOGNAME"];
        let variables = variables.iter().filter_map(|name| std::env::var(name).ok());
        let names = host.into_iter().chain(kernel).chain(variables).map(|name| name.trim().to_lowercase());
        // Short names are words of the language, too, and `root` is everybody's.
        Self {
            names: names.filter(|name| name.len() >= 3 && name != "root" && name != "localhost").collect(),
        }
    }

    /// The text without them, on one line.
    pub fn scrub(&self, text: &str) -> String {
        let mut clean = String::new();
        for word in text.split_whitespace() {
            if !clean.is_empty() {
                clean.push(' ');
            }
            clean.push_str(&self.word(word));
            if clean.len() >= CHARS_MAX {
                break;
            }
        }
        clean
    }

    fn word(&self, word: &str) -> String {
        const AROUND: &[char] =
            &['(', ')', '[', ']', '{', '}', '<', '>', '"', '\'', '`', ',', ';', '.', '!', '?', ':', '…'];
        let is_gone = |bare: &str| {
            bare.contains("://")
                || bare.contains('@')
                || is_path(bare)
                || has_address(bare)
                || is_key(bare)
                || self.has_name(bare)
        };
        let bare = word.trim_matches(AROUND);
        // An address of IPv6 may begin with what also stands around words.
        if bare.is_empty() || !(is_gone(bare) || has_address(word)) {
            return word.to_owned();
        }
        // Where in our own source a panic was: that is what a report is for.
        if let Some(place) = source_place(bare) {
            return word.replace(bare, &place);
        }
        word.replacen(bare, GONE, 1)
    }

    fn has_name(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        self.names.iter().any(|name| word.contains(name.as_str()))
    }
}

fn is_path(word: &str) -> bool {
    let is_drive = word.as_bytes().get(1..3).is_some_and(|rest| rest == b":\\" || rest == b":/");
    word.starts_with('/')
        || word.starts_with('~')
        || word.contains('\\')
        || is_drive
        || word.contains("=/")
        || word.matches('/').count() > 1
}

/// `folder/src/file.rs:12:7`, without the folders before it.
fn source_place(word: &str) -> Option<String> {
    let (file, place) = word.split_once(".rs:")?;
    let is_place = place.bytes().all(|b| b.is_ascii_digit() || b == b':');
    let name = file.rsplit(['/', '\\']).next()?;
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (is_place && is_name && name.len() <= 40).then(|| format!("{name}.rs:{place}"))
}

/// Alone, with a port, or as a part of something like `host=10.0.0.1`.
fn has_address(word: &str) -> bool {
    let parts = word.split(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':'));
    parts.into_iter().any(|part| {
        let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
        // `::` alone, and what Rust writes between modules, are no addresses; `::1` is one.
        let part = part.trim_end_matches('.');
        let bare = part.trim_matches(':');
        let has_digit = part.bytes().any(|b| b.is_ascii_digit());
        has_digit
            && (is_address(part)
                || is_address(bare)
                || part.rsplit_once(':').is_some_and(|(address, _)| is_address(address)))
    })
}

fn is_key(word: &str) -> bool {
    let mut parts = word.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    parts.any(|part| {
        part.len() >= WORD_MAX
            && part.bytes().any(|b| b.is_ascii_digit())
            && part.bytes().any(|b| b.is_ascii_alphabetic())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let scrubber = Scrubber { names: vec!["annas-laptop".to_owned(), "anna".to_owned()] };
        assert_eq!(scrubber.scrub(text), expected, "{text}");
    }

    #[test]
    fn what_tells_of_somebody_is_taken_out() {
        for (text, expected) in [
            ("connect to 203.0.113.7:5432: refused", "connect to […]: refused"),
            ("from 203.0.113.7, twice", "from […], twice"),
            ("host=10.0.0.1 is away", "[…] is away"),
            ("peer [2001:db8::7]:443 has gone", "peer [[…] has gone"),
            ("at ::1 and fe80::1%eth0", "at ::[…] and […]"),
            ("mqtt://booth:s3cret@host/x: closed", "[…]: closed"),
            ("write to anna@example.org", "write to […]"),
            ("open /home/anna/Music/song.mp3: no", "open […]: no"),
            ("open C:\\Users\\Anna\\x.txt, no", "open […], no"),
            ("read `data=/var/lib/pika`", "read `[…]`"),
            ("GET /e/tonight/main?code=123456", "GET […]"),
            ("Anna's desk at annas-laptop.local", "[…] desk at […]"),
            ("token pika_desk_0a1b2c3d4e5f6a7b8c9d is wrong", "token […] is wrong"),
            ("the database is away", "the database is away"),
            ("store::Error (os error 28)", "store::Error (os error 28)"),
            ("waiting 12:30, 3.5 MB", "waiting 12:30, 3.5 MB"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn the_place_of_a_panic_stays_without_folders() {
        check("panicked at /builds/anna/pika/src/parts.rs:12:7: no", "panicked at parts.rs:12:7: no");
        check("panicked at pika/src/parts.rs:12:7: no", "panicked at parts.rs:12:7: no");
    }

    #[test]
    fn a_message_has_an_end() {
        let long = "word ".repeat(10_000);
        assert!(Scrubber::default().scrub(&long).len() < CHARS_MAX + 10);
    }
}
