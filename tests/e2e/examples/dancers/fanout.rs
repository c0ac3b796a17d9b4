//! One change to everybody: what it costs, how long it takes, how both grow, and what a burst does.

use crate::system::Kind;
use crate::{Bench, CHANGES, DANCERS, PATIENCE, gathered, tell};

const FEW: usize = 1_000;
const MANY: usize = 19_000;
const BURSTS: [usize; 2] = [1_000, 5_000];

/// mosquitto takes its time with so many.
const CHANGES_AMONG_MANY: usize = 5;

pub fn round(bench: &mut Bench) {
    let kind = bench.kind;
    let mut system = bench.start("crowd");
    let before_kib = system.program().rss_kib();
    let manners = system.manners();
    let mut crowd = gathered(&mut system, manners, DANCERS);
    let memory_kib = (system.program().rss_kib() as f64 - before_kib as f64) / DANCERS as f64;
    let join_frames = crowd.counts.frames as f64 / DANCERS as f64;
    // The first ones warm everything up.
    tell(&mut system, &mut crowd, 3);
    let told = tell(&mut system, &mut crowd, CHANGES);
    let mut bursts = Vec::new();
    if kind == Kind::Pika {
        for burst in BURSTS {
            let mut last = String::new();
            for _ in 0..burst {
                last = system.next_text();
                system.say(&last);
                // Dancers read all the while; phones that do not are another benchmark.
                crowd.turn(std::time::Duration::ZERO);
            }
            crowd.await_text(&last);
            crowd.all_reached(PATIENCE);
            // It may have come while it was being said, so this only lets it end.
            crowd.linger(std::time::Duration::from_secs(1));
            bursts.push((burst, tell(&mut system, &mut crowd, 1).last_ms));
        }
    }
    drop((crowd, system));
    let mut grown = Vec::new();
    for count in [FEW, MANY] {
        let mut system = bench.start(&count.to_string());
        let manners = system.manners();
        let mut crowd = gathered(&mut system, manners, count);
        let changes = if count == FEW { 10 * CHANGES } else { CHANGES_AMONG_MANY };
        tell(&mut system, &mut crowd, 1);
        let frames = crowd.counts.frames as f64 / count as f64;
        grown.push((tell(&mut system, &mut crowd, changes).cpu_us, frames));
    }
    if kind == Kind::Pika {
        *bench.message_bytes = told.bytes as usize;
    }
    let mut note = |name: &str, value: f64| bench.table.note(name, kind, value);
    note("10,000: server CPU per delivery, µs", told.cpu_us);
    note("10,000: until the last has it, ms", told.last_ms);
    note("10,000: p99 of a delivery, ms", told.p99_ms);
    note("deliveries per change and dancer", told.arrivals);
    note("bytes of a delivery", told.bytes);
    note("1,000: server CPU per delivery, µs", grown[0].0);
    note("19,000: server CPU per delivery, µs", grown[1].0);
    note("growth from 1,000 to 19,000", grown[1].0 / grown[0].0);
    for (burst, last_ms) in bursts {
        note(&format!("after a burst of {burst}: until the last has one more, ms"), last_ms);
    }
    note("memory per idle dancer, KiB", memory_kib);
    note("frames per dancer for a join of 10,000", join_frames);
    note("frames per dancer for a join of 1,000 and one change", grown[0].1);
}
