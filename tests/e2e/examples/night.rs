//! A DJ's night by a seed: ten hours at sixty times the speed, with thirty accidents. Run by `cargo xtask night`.

use kit::night::{self, Plan};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().expect("a number"));
    let mut next = |what: &str| arguments.next().unwrap_or_else(|| panic!("say {what}"));
    let plan = Plan {
        seed: next("a seed"),
        minutes: next("minutes"),
        speed: next("a speed"),
        faults: next("faults"),
    };
    let report = night::run(plan).await;
    println!(
        "{} plays and {} faults in {:?}: the archive is the history\n{}",
        report.plays,
        report.struck.len(),
        report.lasted,
        report.struck.join(", ")
    );
}
