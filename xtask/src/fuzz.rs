//! Fuzzing with libFuzzer, on the toolchain that is there: what `cargo fuzz` would do, without installing it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::root;

/// Some of `tests/fuzz/fuzz_targets`, one after the other.
#[derive(Debug, clap::Args)]
pub struct Fuzz {
    /// Names of targets, or all
    #[arg(required = true)]
    targets: Vec<String>,
    /// How long each of them
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Put what reached new places into the seeds
    #[arg(long)]
    keep: bool,
}

const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Cdebug-assertions";

/// Builds the targets and lets them run. A case that breaks something is written to `tests/fuzz/artifacts`; it
/// belongs into the seeds, with a test of its own.
pub fn run(fuzz: &Fuzz) -> anyhow::Result<()> {
    let folder = root().join("tests/fuzz");
    let targets = match fuzz.targets.as_slice() {
        [all] if all == "all" => targets(&folder)?,
        named => named.to_vec(),
    };
    let host = host()?;
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--target", &host]);
    for target in &targets {
        build.args(["--bin", target]);
    }
    // The sanitizer's flags are not stable, the sanitizer is.
    build.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS).current_dir(&folder);
    if !build.status().context("run cargo build")?.success() {
        bail!("{} cannot be built", targets.join(", "));
    }
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or(folder.join("target"), PathBuf::from);
    let built = built.join(host).join("release");
    let mut broken = Vec::new();
    for target in &targets {
        let (seeds, corpus) = (folder.join("seeds").join(target), folder.join("corpus").join(target));
        let artifacts = folder.join("artifacts").join(target);
        for made in [&seeds, &corpus, &artifacts] {
            std::fs::create_dir_all(made).with_context(|| format!("make {}", made.display()))?;
        }
        println!("· {target}");
        let ran = fuzzer(&built.join(target))
            .args([&corpus, &seeds])
            .arg(format!("-max_total_time={}", fuzz.seconds))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-max_len=4096", "-timeout=20", "-print_final_stats=1"])
            .status()
            .context("run the fuzz target")?;
        if !ran.success() {
            broken.push(format!("{target}: see {}", artifacts.display()));
        }
        if fuzz.keep {
            let kept = fuzzer(&built.join(target)).arg("-merge=1").args([&seeds, &corpus]).status();
            if !kept.context("run the fuzz target")?.success() {
                bail!("the seeds of {target} cannot be kept");
            }
        }
    }
    if broken.is_empty() { Ok(()) } else { bail!("found something in {}", broken.join("; ")) }
}

fn fuzzer(program: &Path) -> Command {
    let mut command = Command::new(program);
    // One router thread is left behind a stopped broker, and that is known.
    command.env("ASAN_OPTIONS", "detect_leaks=0");
    command
}

fn targets(folder: &Path) -> anyhow::Result<Vec<String>> {
    let files = std::fs::read_dir(folder.join("fuzz_targets")).context("list the fuzz targets")?;
    let names =
        files.map(|file| Ok(file?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned()));
    let mut names = names.collect::<std::io::Result<Vec<_>>>().context("list the fuzz targets")?;
    names.sort();
    Ok(names)
}

fn host() -> anyhow::Result<String> {
    let out = Command::new("rustc").arg("-vV").output().context("run rustc")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}
