//! A whole bad night on both engines, by a seed. Run by `cargo xtask fault`.

use kit::fault::{self, Engine, Plan};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().expect("a number"));
    let mut next = |what: &str| arguments.next().unwrap_or_else(|| panic!("say {what}"));
    let (seed, faults, desks, dancers) = (next("a seed"), next("faults"), next("desks"), next("dancers"));
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (faults, desks, dancers) = (faults as usize, desks as usize, dancers as usize);
        let report = fault::run(Plan { seed, faults, desks, dancers, engine }).await;
        println!(
            "{engine:?}: {} faults in {:?}; {} plays and {} taps, each stored once, nothing else stored",
            report.faults, report.lasted, report.plays, report.taps
        );
    }
}
