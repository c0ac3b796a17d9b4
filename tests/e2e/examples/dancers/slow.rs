//! Phones in pockets: one in five stops reading, and the others should not notice.

use std::time::{Duration, Instant};

use crate::crowd::Manners;
use crate::system::Kind;
use crate::{Bench, CHANGES, DANCERS, PATIENCE, gathered, tell};

/// One of so many.
const STOPPED: usize = 5;

/// The kernel doubles it.
const RECEIVE_BYTES: usize = 8 * 1024;

/// Changes that fill whatever can be filled on the way to them.
const FILLING: usize = 150;

pub fn round(bench: &mut Bench) {
    let kind = bench.kind;
    if kind == Kind::Mosquitto {
        // It queues for each of them, and the last message never comes.
        return;
    }
    let mut system = bench.start("crowd");
    // A phone's own memory is not the server's: here both are on one machine.
    let manners = Manners { receive_bytes: Some(RECEIVE_BYTES), ..system.manners() };
    let mut crowd = gathered(&mut system, manners, DANCERS);
    tell(&mut system, &mut crowd, 3);
    let without = tell(&mut system, &mut crowd, CHANGES);
    let stopped = crowd.stop_one_of(STOPPED);
    let before = system.program().rss_kib() as f64 + kernel_kib();
    let began = Instant::now();
    let with = tell(&mut system, &mut crowd, CHANGES);
    let mut filled = CHANGES;
    // Before those who take nothing are given up.
    while filled < FILLING && began.elapsed() < Duration::from_secs(18) {
        tell_quickly(&mut system, &mut crowd);
        filled += 1;
    }
    crowd.linger(Duration::from_millis(500));
    let held = (system.program().rss_kib() as f64 + kernel_kib() - before) / stopped as f64;
    // They read again: what is newest is there at once.
    let text = system.next_text();
    crowd.await_text(&text);
    system.say(&text);
    crowd.all_reached(PATIENCE);
    let others = crowd.reached();
    let again = Instant::now();
    crowd.go_on();
    let caught_up =
        crowd.all_reached(PATIENCE).map_or(f64::INFINITY, |_| again.elapsed().as_secs_f64() * 1e3);
    for failure in crowd.failures.iter().take(3) {
        eprintln!("  {failure}");
    }
    let missing = stopped - (crowd.reached() - others).min(stopped);
    drop((crowd, system));
    if kind == Kind::Pika {
        *bench.message_bytes = without.bytes as usize;
    }
    let mut note = |name: &str, value: f64| bench.table.note(name, kind, value);
    note("p99 of a delivery, all read, ms", without.p99_ms);
    note("p99 of a delivery, 1 in 5 stopped reading, ms", with.p99_ms);
    note("the same : all read", with.p99_ms / without.p99_ms);
    note("server CPU per delivery, all read, µs", without.cpu_us);
    note("server CPU per delivery, 1 in 5 stopped reading, µs", with.cpu_us);
    note("changes meanwhile", filled as f64);
    note("memory per dancer that stopped, with the kernel's, KiB", held);
    note("until those who read again have the newest, ms", caught_up);
    note("those who read again and do not have it", missing as f64);
}

fn tell_quickly(system: &mut crate::system::System, crowd: &mut crate::crowd::Crowd) {
    let text = system.next_text();
    crowd.await_text(&text);
    system.say(&text);
    crowd.all_reached(PATIENCE);
}

/// What TCP holds on this machine.
fn kernel_kib() -> f64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    let pages: f64 = line.rsplit_once("mem ").unwrap().1.trim().parse().unwrap();
    pages * 4.0
}
