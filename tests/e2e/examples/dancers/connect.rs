//! Doors open, and a server that was away: everybody comes at once.

use std::time::Duration;

use crate::crowd::Crowd;
use crate::system::Kind;
use crate::{Bench, DANCERS, PATIENCE};

pub fn round(bench: &mut Bench) {
    let kind = bench.kind;
    let mut system = bench.start("crowd");
    let text = system.next_text();
    system.say(&text);
    system.shows(&text);
    let mut crowd = Crowd::new(system.manners());
    crowd.await_text(&text);
    let cpu = system.cpu_us();
    crowd.join(DANCERS);
    let all_ms = crowd.all_reached(PATIENCE).unwrap_or(f64::INFINITY);
    let cpu_us = (system.cpu_us() - cpu) / DANCERS as f64;
    let failed = DANCERS - crowd.reached();
    let mut reloads = Vec::new();
    if kind == Kind::Pika {
        for _ in 0..2 {
            crowd.linger(Duration::from_secs(1));
            let lost = crowd.failures.len();
            crowd.reload(&text, system.page());
            let all_ms = crowd.all_reached(PATIENCE).unwrap_or(f64::INFINITY);
            reloads.push((all_ms, crowd.failures.len() - lost, DANCERS - crowd.reached()));
        }
    }
    for failure in crowd.failures.iter().take(5) {
        eprintln!("  {failure}");
    }
    let mut note = |name: &str, value: f64| bench.table.note(name, kind, value);
    note("10,000 connect at once, until each has its state, ms", all_ms);
    note("10,000 connect at once: failed", failed as f64);
    note("server CPU per connection, µs", cpu_us);
    for (turn, (all_ms, broken, without)) in ["first", "second"].iter().zip(reloads) {
        note(&format!("all load the page again, {turn}: until each has it, ms"), all_ms);
        note(&format!("all load the page again, {turn}: failed"), broken.max(without) as f64);
    }
}
