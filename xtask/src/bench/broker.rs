//! `cargo xtask bench broker`: the load and both of the servers that we build are release builds.

use crate::{cargo, cargo_with, target};

pub fn run() -> anyhow::Result<()> {
    cargo(&[
        "build",
        "--release",
        "--package",
        "pika-e2e",
        "--example",
        "bare_rumqttd",
        "--example",
        "broker",
    ])?;
    let release = target().join("release");
    let (pika, bare) = (release.join("pika"), release.join("examples/bare_rumqttd"));
    cargo_with(
        &["run", "--release", "--quiet", "--package", "pika-e2e", "--example", "broker"],
        &[("PIKA_BIN", &pika.to_string_lossy()), ("PIKA_BARE_RUMQTTD", &bare.to_string_lossy())],
    )
}
