//! Ids that stand on every log line about one request or one connection, and a bound on lines that others cause.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// Of one request or connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u64);

impl TraceId {
    /// Another one each time.
    pub fn next() -> Self {
        static BEGIN: OnceLock<u64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // Begins anywhere, so that a server after its restart does not repeat what it said before.
        let begin = *BEGIN.get_or_init(crate::clock::seed);
        let number = begin.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        // An odd factor keeps numbers apart, and makes neighbours look different to whoever reads them out.
        Self(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Keeps others from filling the log: so many lines in a minute, and no more.
#[derive(Debug, Default)]
pub struct Sparing {
    minute: AtomicI64,
    told: AtomicU32,
}

impl Sparing {
    /// Whether it is worth another line.
    pub fn allows(&self, per_minute: u32, now_ms: i64) -> bool {
        let minute = now_ms / 60_000;
        // Two threads at the turn of a minute may write a line more.
        if self.minute.swap(minute, Ordering::Relaxed) != minute {
            self.told.store(0, Ordering::Relaxed);
        }
        self.told.fetch_add(1, Ordering::Relaxed) < per_minute
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_have_sixteen_digits() {
        let ids: Vec<String> = (0..1000).map(|_| TraceId::next().to_string()).collect();
        assert!(ids.iter().all(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit())));
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 1000);
    }

    #[test]
    fn so_many_lines_in_a_minute() {
        let sparing = Sparing::default();
        assert_eq!((0..100).filter(|n| sparing.allows(3, 600_000 + n)).count(), 3);
        assert!(sparing.allows(3, 660_000));
    }
}
