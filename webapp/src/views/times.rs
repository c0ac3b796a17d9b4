//! Times as people read them, in the event's zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `22:14`
pub fn clock(at_ms: i64, zone: &TimeZone) -> String {
    zoned(at_ms, zone, "%H:%M")
}

/// `2026-12-31`
pub fn day(at_ms: i64, zone: &TimeZone) -> String {
    zoned(at_ms, zone, "%Y-%m-%d")
}

/// `2026-12-31 22:14`
pub fn stamp(at_ms: i64, zone: &TimeZone) -> String {
    zoned(at_ms, zone, "%Y-%m-%d %H:%M")
}

/// For `datetime` attributes, in UTC.
pub fn machine(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).unwrap_or_default().to_string()
}

/// `3:05`, `1:03:05`
pub fn length(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        hours => format!("{hours}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

fn zoned(at_ms: i64, zone: &TimeZone, format: &str) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
    at.to_zoned(zone.clone()).strftime(format).to_string()
}
