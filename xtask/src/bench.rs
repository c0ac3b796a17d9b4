//! Benchmarks: they print figures and ratios, and fail only when something does not work.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Bench {
    /// From the write of a history entry, and from the MQTT publish, to the text in Chromium
    Road,
}

/// Runs one.
pub fn run(what: Bench) -> anyhow::Result<()> {
    match what {
        Bench::Road => Ok(()),
    }
}
