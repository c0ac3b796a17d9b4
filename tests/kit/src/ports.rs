//! Ports for servers that cannot take port 0 and say which one they got.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which systems take ports for outgoing connections and for port 0: nobody but another
/// test can come in between.
const FIRST: u32 = 12_000;
const COUNT: u32 = 18_000;

/// Of one process; the next one begins elsewhere.
const PER_PROCESS: u32 = 97;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A port that is free on the loopback, and that no other test is about to take.
pub fn free() -> u16 {
    let begin = std::process::id().wrapping_mul(PER_PROCESS);
    loop {
        let next = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + next % COUNT).expect("both together are below 65,536");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
