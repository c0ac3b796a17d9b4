//! Fuzzing with libFuzzer, on the toolchain that is there: what `cargo fuzz` would do, without installing it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use crate::root;

/// One of `tests/fuzz/fuzz_targets`.
#[derive(Debug, clap::Args)]
pub struct Fuzz {
    /// codec, connection, message, history, session, tsaf, ogg, icecast, stagelinq or tags
    target: String,
    /// How long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Cdebug-assertions";

/// Builds the target and lets it run. A case that breaks something is written to `tests/fuzz/artifacts`; it
/// belongs into the seeds, with a test of its own.
pub fn run(fuzz: &Fuzz) -> anyhow::Result<()> {
    let folder = root().join("tests/fuzz");
    let host = host()?;
    let build = Command::new("cargo")
        .args(["build", "--release", "--target", &host, "--bin", &fuzz.target])
        // The sanitizer's flags are not stable, the sanitizer is.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", FLAGS)
        .current_dir(&folder)
        .status()
        .context("run cargo build")?;
    if !build.success() {
        bail!("the fuzz target {} cannot be built", fuzz.target);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(folder.join("target"), PathBuf::from);
    let corpus = folder.join("corpus").join(&fuzz.target);
    let artifacts = folder.join("artifacts").join(&fuzz.target);
    for made in [&corpus, &artifacts] {
        std::fs::create_dir_all(made).with_context(|| format!("make {}", made.display()))?;
    }
    let ran = Command::new(target.join(host).join("release").join(&fuzz.target))
        .arg(&corpus)
        .arg(folder.join("seeds").join(&fuzz.target))
        .arg(format!("-max_total_time={}", fuzz.seconds))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-max_len=4096", "-timeout=20", "-print_final_stats=1"])
        // One router thread is left behind a stopped broker, and that is known.
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .status()
        .context("run the fuzz target")?;
    if ran.success() { Ok(()) } else { bail!("{} found something; see {}", fuzz.target, artifacts.display()) }
}

fn host() -> anyhow::Result<String> {
    let out = Command::new("rustc").arg("-vV").output().context("run rustc")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}
