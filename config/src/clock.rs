//! The process's clock and randomness, for the thin shells; pure code gets both as arguments.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 in UTC. A clock set before 1970 reads 0.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A seed for ids that must not collide with another process's. Not for secrets.
pub fn seed() -> u64 {
    // Without the system's randomness, time and process still tell two processes apart.
    getrandom::u64().unwrap_or_else(|_| now_ms().unsigned_abs() ^ (u64::from(std::process::id()) << 40))
}
