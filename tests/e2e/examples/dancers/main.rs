//! Thousands of dancers on one floor, beside the least that the kernel allows (`limit.rs`) and mosquitto over
//! WebSocket, on the same machine in the same minutes: in turn, three rounds, medians. Run by `cargo xtask bench
//! fanout`, `connect` and `slow`, in the release build.

#![allow(clippy::unwrap_used, reason = "a benchmark that does not work fails by panicking")]

mod connect;
mod crowd;
mod fanout;
mod limit;
mod slow;
mod system;
mod table;

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;

use crowd::{Crowd, Manners};
use system::{Kind, System};
use table::Table;

const ROUNDS: usize = 3;

/// As many as one machine of two cores plays beside the server, with both ends of each socket in its own process.
const DANCERS: usize = 10_000;

/// Nothing takes longer, or it is said not to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Messages that are measured, one at a time, the next when all have the one before.
const CHANGES: usize = 20;

/// What is measured beforehand of one of our messages, so that the others write as much.
const FIRST_GUESS_BYTES: usize = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["limit", address] => limit::serve(address.parse().unwrap()),
        ["fanout"] => rounds(fanout::round),
        ["connect"] => rounds(connect::round),
        ["slow"] => rounds(slow::round),
        _ => panic!("one of fanout, connect and slow"),
    }
}

/// What every benchmark needs for one system in one round.
struct Bench<'a> {
    kind: Kind,
    folder: &'a Path,
    runtime: &'a Runtime,
    message_bytes: &'a mut usize,
    table: &'a mut Table,
}

impl Bench<'_> {
    /// Each figure from a fresh server: none pays for the one before it.
    fn start(&self, name: &str) -> System<'_> {
        System::start(self.kind, &self.folder.join(name), self.runtime, *self.message_bytes)
    }
}

fn rounds(round: fn(&mut Bench)) {
    // The desk and the waiting; the crowd has the thread that we are in.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut table = Table::default();
    let mut message_bytes = FIRST_GUESS_BYTES;
    for number in 1..=ROUNDS {
        for kind in Kind::ALL {
            eprintln!("· round {number} of {ROUNDS}: {}", kind.name());
            let folder = tempfile::tempdir().unwrap();
            round(&mut Bench {
                kind,
                folder: folder.path(),
                runtime: &runtime,
                message_bytes: &mut message_bytes,
                table: &mut table,
            });
        }
    }
    table.print(ROUNDS);
}

/// A crowd of so many, each of whom has the newest state.
fn gathered(system: &mut System, manners: Manners, count: usize) -> Crowd {
    let mut crowd = Crowd::new(manners);
    let text = system.next_text();
    system.say(&text);
    // What is there before them is what they get.
    system.shows(&text);
    crowd.await_text(&text);
    crowd.join(count);
    crowd.all_reached(PATIENCE);
    for failure in crowd.failures.iter().take(3) {
        eprintln!("  {failure}");
    }
    // The listeners' number has been told by then.
    crowd.linger(Duration::from_secs(3));
    assert_eq!(crowd.listening(), count, "all are there");
    crowd
}

/// What changes cost that are made one after the other.
struct Told {
    /// Processor time of the server for each arrival at a phone.
    cpu_us: f64,
    /// Until the last one had it, the median of the changes.
    last_ms: f64,
    p99_ms: f64,
    /// Arrivals for each change and phone: the news and what else went out.
    arrivals: f64,
    bytes: f64,
}

fn tell(system: &mut System, crowd: &mut Crowd, changes: usize) -> Told {
    let (mut last_ms, mut times_us) = (Vec::new(), Vec::new());
    let (cpu, counts) = (system.cpu_us(), crowd.counts);
    for _ in 0..changes {
        let text = system.next_text();
        crowd.await_text(&text);
        system.say(&text);
        last_ms.push(crowd.all_reached(PATIENCE).unwrap_or(f64::INFINITY));
        times_us.append(&mut crowd.times_us);
    }
    // What came after the last one belongs to it.
    crowd.linger(Duration::from_millis(600));
    let counts = crowd.counts.since(counts);
    if let Some(failure) = crowd.failures.first() {
        // Whoever is lost has nothing, however well the others are served.
        eprintln!("  {} lost, the first by {failure}", crowd.failures.len());
        last_ms.fill(f64::INFINITY);
    }
    Told {
        cpu_us: (system.cpu_us() - cpu) / counts.deliveries as f64,
        last_ms: table::quantile(last_ms, 0.5),
        p99_ms: table::quantile(times_us, 0.99) / 1e3,
        arrivals: counts.deliveries as f64 / (changes * crowd.listening()) as f64,
        bytes: counts.bytes as f64 / counts.deliveries as f64,
    }
}
