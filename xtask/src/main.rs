//! Chores of the project: `cargo xtask --help`.

mod audit;
mod bench;
mod desktop;
mod fuzz;
mod image;
mod lab;
mod tidy;
mod tools;

use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

/// Chores of the project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Installs what the tests need (as root or with sudo) and runs them all
    Test {
        /// Passed on to the test runner, after a `--`: for example `-- -p pika-e2e`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// What is checked before a change lands: formatting, clippy, tidy, tests
    Ci,
    /// Who may import whom, and other rules that compilers do not know
    Tidy,
    /// Whether every command in docs/operating.md runs, or names what exists
    DocsCheck,
    /// The Dockerfile's steps without an engine: the build, what is copied, the user, the start and the health check
    ImageCheck(image::ImageCheck),
    /// Whether what we depend on has known faults, and licences that we may use
    Audit(audit::Audit),
    /// Whether the publisher still builds for Windows and macOS, seen from Debian
    DesktopCheck,
    /// Fuzzes what reads bytes from outside
    Fuzz(fuzz::Fuzz),
    /// A night in which everything breaks that can: no play and no confirmed tap may be lost, doubled or invented
    Fault(Fault),
    /// Builds another revision and replaces its programs by ours, one at a time, while DJs play and dancers tap
    Upgrade {
        /// What ran before
        #[arg(long, default_value = "HEAD~1", value_name = "REVISION")]
        from: String,
    },
    /// A DJ's night at many times its speed, with the usual accidents: the archive has to be the history
    Night(Night),
    /// Real DJ programs with the real publisher: what is too large, or too slow to start, for the tests
    Lab {
        #[command(subcommand)]
        what: Lab,
    },
    /// Measures; prints, never fails on a figure
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
}

#[derive(Debug, Subcommand)]
enum Lab {
    /// Mixxx on a screen that nobody sees, with a sound server that plays to nobody
    Mixxx,
}

/// The seed repeats the schedule.
#[derive(Debug, clap::Args)]
struct Fault {
    /// [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long, default_value_t = 200)]
    faults: u64,
    #[arg(long, default_value_t = 5)]
    desks: u64,
    #[arg(long, default_value_t = 200)]
    dancers: u64,
}

/// The seed repeats the night.
#[derive(Debug, clap::Args)]
struct Night {
    /// [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long, default_value_t = 600)]
    minutes: u64,
    #[arg(long, default_value_t = 60)]
    speed: u64,
    #[arg(long, default_value_t = 30)]
    faults: u64,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().chore {
        Chore::Test { rest } => test(&rest),
        Chore::Ci => ci(),
        Chore::Tidy => tidy::tidy(),
        Chore::DocsCheck => test(&["-p", "pika-e2e", "operating::"].map(str::to_owned)),
        Chore::ImageCheck(check) => image::check(&check),
        Chore::Audit(audit) => audit::run(&audit),
        Chore::DesktopCheck => desktop::check(),
        Chore::Fuzz(fuzz) => fuzz::run(&fuzz),
        Chore::Fault(fault) => bad_night("fault", fault.seed, &[fault.faults, fault.desks, fault.dancers]),
        Chore::Night(night) => bad_night("night", night.seed, &[night.minutes, night.speed, night.faults]),
        Chore::Upgrade { from } => upgrade(&from),
        Chore::Lab { what: Lab::Mixxx } => lab("mixxx", tools::MIXXX),
        Chore::Bench { what } => bench::run(what),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn ci() -> anyhow::Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    tidy::tidy()?;
    test(&[])
}

/// The revision is built from a work tree of its own and into a folder of its own: cargo takes crates of the same name at the same
/// place in another tree for ours.
fn upgrade(from: &str) -> anyhow::Result<()> {
    tools::install(tools::TESTS)?;
    let (tree, built) = (target().join("before"), target().join("before-built"));
    let git = |arguments: &[&str]| -> anyhow::Result<()> {
        let status = Command::new("git").current_dir(root()).args(arguments).status().context("run git")?;
        if status.success() { Ok(()) } else { bail!("git {} failed", arguments.join(" ")) }
    };
    let path = tree.to_str().context("the target folder's name is not text")?;
    if !tree.exists() {
        git(&["worktree", "add", "--detach", path, from])?;
    }
    git(&["-C", path, "checkout", "--detach", from])?;
    let mut build = Command::new("cargo");
    build.current_dir(&tree).args(["build", "--locked", "--package", "pika"]).env("CARGO_TARGET_DIR", &built);
    if !build.status().context("run cargo")?.success() {
        bail!("{from} cannot be built");
    }
    cargo(&["build", "--package", "pika"])?;
    let (before, ours) = (built.join("debug/pika"), target().join("debug/pika"));
    let arguments =
        ["run", "--quiet", "--package", "pika-e2e", "--example", "upgrade", "--", &before.to_string_lossy()];
    cargo_with(&arguments, &[("PIKA_BIN", &ours.to_string_lossy())])
}

/// Runs an example that is told a seed and numbers.
fn bad_night(example: &str, seed: Option<u64>, numbers: &[u64]) -> anyhow::Result<()> {
    tools::install(tools::TESTS)?;
    cargo(&["build", "--package", "pika"])?;
    let executable = target().join("debug/pika");
    let seed = seed.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs()));
    let plan: Vec<String> = [seed].iter().chain(numbers).map(u64::to_string).collect();
    let mut arguments = vec!["run", "--quiet", "--package", "pika-e2e", "--example", example, "--"];
    arguments.extend(plan.iter().map(String::as_str));
    cargo_with(&arguments, &[("PIKA_BIN", &executable.to_string_lossy())])
}

/// Runs an example that starts a DJ program and the executable.
fn lab(example: &str, programs: &[tools::Tool]) -> anyhow::Result<()> {
    tools::install(programs)?;
    cargo(&["build", "--package", "pika"])?;
    let executable = target().join("debug/pika");
    let arguments = ["run", "--quiet", "--package", "pika-e2e", "--example", example];
    cargo_with(&arguments, &[("PIKA_BIN", &executable.to_string_lossy())])
}

fn test(rest: &[String]) -> anyhow::Result<()> {
    tools::install(tools::TESTS)?;
    let clients = tools::clients(&target())?;
    let postgres = lab::Postgres::start()?;
    let pgbouncer = lab::PgBouncer::start(&postgres)?;
    // The whole-system tests run the executable as a process of its own.
    cargo(&["build", "--package", "pika"])?;
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let with_nextest =
        Command::new("cargo").args(["nextest", "--version"]).output().is_ok_and(|o| o.status.success());
    // Properties try the same cases in every run, so that a change is judged by itself. To look for new ones,
    // set a seed of your own, or run with PROPTEST_CASES=5000.
    let seed = std::env::var("PROPTEST_RNG_SEED").unwrap_or_else(|_| "1".to_owned());
    let (clients, authorities) = (clients.to_string_lossy(), postgres.authorities().to_string_lossy());
    // Most of them wait for something most of the time.
    let at_once = std::thread::available_parallelism().map_or(2, |cores| 2 * cores.get()).to_string();
    let at_once = std::env::var("NEXTEST_TEST_THREADS").unwrap_or(at_once);
    let environment = [
        ("NEXTEST_TEST_THREADS", at_once.as_str()),
        ("PIKA_TEST_POSTGRES", postgres.url()),
        ("PIKA_TEST_AUTHORITIES", &authorities),
        ("PIKA_TEST_PGBOUNCER", pgbouncer.url()),
        ("PIKA_TEST_CLIENTS", &clients),
        ("PROPTEST_RNG_SEED", &seed),
    ];
    // Next to `--workspace`, cargo would pass over the name of a package.
    let scope: &[&str] = match rest.iter().any(|word| word.starts_with("-p") || word.starts_with("--package"))
    {
        true => &[],
        false => &["--workspace"],
    };
    let runner: &[&str] = match with_nextest {
        true => &["nextest", "run", "--no-fail-fast"],
        false => {
            println!("cargo-nextest is not installed: tests run one binary after the other");
            &["test", "--lib", "--bins", "--tests", "--no-fail-fast"]
        }
    };
    cargo_with(&[runner, scope, &rest].concat(), &environment)?;
    if rest.is_empty() {
        cargo(&["test", "--workspace", "--doc", "--quiet"])?;
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    cargo_with(arguments, &[])
}

fn cargo_with(arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    let shown = arguments.join(" ");
    println!("· cargo {shown}");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_ourselves(&mut command);
    let status = command.args(arguments).envs(environment.iter().copied()).current_dir(root()).status();
    if !status.with_context(|| format!("run cargo {shown}"))?.success() {
        bail!("cargo {shown} failed");
    }
    Ok(())
}

/// What cargo told us about ourselves is not for the next cargo: some build scripts (ring's) look at it, and would build everything
/// above them again each time.
fn forget_ourselves(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let named = |prefix: &&str| name.to_string_lossy().starts_with(*prefix);
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"].iter().any(named) {
            command.env_remove(&name);
        }
    }
}

/// Where cargo builds.
fn target() -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into)
}

/// The workspace's folder.
fn root() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| std::path::Path::new("."))
}
