//! Benchmarks: they print figures and ratios, and fail only when something does not work.

mod broker;

use clap::Subcommand;

use crate::{cargo, cargo_with, root, tools};

#[derive(Debug, Subcommand)]
pub enum Bench {
    /// From the write of a history entry, and from the MQTT publish, to the text in Chromium
    Road,
    /// A publisher alone: from the write of a history entry to MQTT, and what it needs while nothing happens
    Desk,
    /// Memory, executable, first load, time to the first page
    Size,
    /// Our broker beside mosquitto and a bare rumqttd
    Broker,
    /// Plays through MQTT into the archive, committed and confirmed, on both engines
    Ingest,
    /// Likes by HTTP until each is stored, on both engines
    Taps,
    /// A change to thousands of dancers, beside the least that the kernel allows and mosquitto over WebSocket
    Fanout,
    /// Thousands of dancers who come at once, and load the page again at once
    Connect,
    /// Dancers whose phones stop reading: what they take, and what the others notice
    Slow,
    /// What pages ask of a million plays and ten million reactions, on both engines
    Queries,
}

/// Runs one, on the release build.
pub fn run(what: Bench) -> anyhow::Result<()> {
    tools::install(tools::TESTS)?;
    cargo(&["build", "--release", "--package", "pika"])?;
    let example: &[&str] = match what {
        Bench::Road => &["road"],
        Bench::Desk => &["desk"],
        Bench::Size => &["size"],
        Bench::Broker => return broker::run(),
        Bench::Ingest => &["ingest"],
        Bench::Fanout => &["dancers", "--", "fanout"],
        Bench::Connect => &["dancers", "--", "connect"],
        Bench::Slow => &["dancers", "--", "slow"],
        Bench::Taps => &["taps"],
        Bench::Queries => &["queries"],
    };
    let executable = root().join("target/release/pika");
    let executable = std::env::var_os("CARGO_TARGET_DIR")
        .map_or(executable, |target| std::path::PathBuf::from(target).join("release/pika"));
    let executable = executable.to_string_lossy().into_owned();
    cargo_with(
        // The load runs on the same cores, and should not be what is measured.
        &[&["run", "--release", "--quiet", "--package", "pika-e2e", "--example"], example].concat(),
        &[("PIKA_BIN", executable.as_str())],
    )
}
