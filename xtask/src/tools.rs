//! Programs that tests and benchmarks need, and how to get them on Debian.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

/// A program and the Debian package it comes in.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    pub program: &'static str,
    pub package: &'static str,
}

/// What the tests need. They skip nothing, so all of it must be there.
pub const TESTS: &[Tool] = &[
    Tool { program: "postgres", package: "postgresql" },
    Tool { program: "initdb", package: "postgresql" },
    Tool { program: "psql", package: "postgresql-client" },
    Tool { program: "chromium", package: "chromium" },
    Tool { program: "chromedriver", package: "chromium-driver" },
    Tool { program: "mosquitto_sub", package: "mosquitto-clients" },
    Tool { program: "mosquitto_pub", package: "mosquitto-clients" },
    // Brokers that others run in place of ours.
    Tool { program: "mosquitto", package: "mosquitto" },
    Tool { program: "nats-server", package: "nats-server" },
    Tool { program: "rabbitmqctl", package: "rabbitmq-server" },
    Tool { program: "openssl", package: "openssl" },
];

/// Where a program is; Debian keeps PostgreSQL's server off the path.
pub fn find(program: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    folders.push("/usr/sbin".into());
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut servers: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    servers.sort();
    folders.extend(servers.into_iter().rev());
    folders.into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Installs what is missing, as root or with sudo; otherwise says what is missing and fails.
pub fn install(tools: &[Tool]) -> anyhow::Result<()> {
    let mut packages: Vec<&str> =
        tools.iter().filter(|tool| find(tool.program).is_none()).map(|tool| tool.package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    let Some(apt) = find("apt-get") else { bail!("missing, and no apt-get here to install it: {list}") };
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    let sudo = || {
        Command::new("sudo").args(["--non-interactive", "true"]).output().is_ok_and(|o| o.status.success())
    };
    let prefix: &[&str] = match is_root {
        true => &[],
        false if sudo() => &["sudo", "--non-interactive"],
        false => bail!("missing, and neither root nor sudo to install it: apt-get install {list}"),
    };
    println!("· installing {list}");
    let run = |arguments: &[&str]| -> anyhow::Result<()> {
        let words: Vec<&str> =
            prefix.iter().copied().chain(["env", "DEBIAN_FRONTEND=noninteractive"]).collect();
        let mut command = Command::new(words[0]);
        let status = command.args(&words[1..]).arg(&apt).args(arguments).status().context("run apt-get")?;
        if status.success() { Ok(()) } else { bail!("apt-get {} failed", arguments.join(" ")) }
    };
    run(&["update", "--quiet"])?;
    run(&[&["install", "--yes", "--quiet", "--no-install-recommends"], packages.as_slice()].concat())?;
    match tools.iter().find(|tool| find(tool.program).is_none()) {
        Some(tool) => bail!("{} is still missing after installing {}", tool.program, tool.package),
        None => Ok(()),
    }
}
