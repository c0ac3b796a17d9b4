//! Whether what we depend on is known to be faulty, has a licence that we may use, and comes from where we expect it.

use std::process::Command;

use anyhow::{Context, bail};
use toml::{Table, Value};

use crate::root;

/// Those that CI installs as well.
pub const TOOLS: [(&str, &str); 2] = [("cargo-deny", "0.20.2"), ("cargo-audit", "0.22.2")];

#[derive(Debug, clap::Args)]
pub struct Audit {
    /// Leave out what needs the database of known faults, which is fetched from GitHub
    #[arg(long)]
    offline: bool,
}

/// Runs both tools. They overlap: one knows licences and sources, the other is what security people ask for.
pub fn run(audit: &Audit) -> anyhow::Result<()> {
    exceptions()?;
    for (tool, version) in TOOLS {
        let subcommand = tool.trim_start_matches("cargo-");
        let is_there = Command::new("cargo").args([subcommand, "--version"]).output();
        if !is_there.is_ok_and(|output| output.status.success()) {
            bail!("{tool} is missing: cargo install --locked {tool}@{version}");
        }
    }
    cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"])?;
    if audit.offline {
        println!("· known faults were not looked for (--offline)");
        return Ok(());
    }
    cargo(&["deny", "--locked", "check", "advisories"])?;
    cargo(&["audit", "--deny", "warnings"])
}

/// Both tools have the same exceptions, and each has a day and a reason.
pub fn exceptions() -> anyhow::Result<()> {
    let deny = ignored("deny.toml")?;
    let mut ids = Vec::new();
    for exception in &deny {
        let id = exception.get("id").and_then(Value::as_str);
        let id = id.with_context(|| format!("deny.toml leaves out {exception} without an id"))?;
        let reason = exception.get("reason").and_then(Value::as_str).unwrap_or_default();
        let has_day = reason.len() > 12
            && reason.as_bytes()[..10].iter().enumerate().all(|(at, byte)| match at {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !has_day {
            bail!(
                "the exception {id} in deny.toml does not say when it was looked at, and why: \"2026-01-31: …\""
            );
        }
        ids.push(id.to_owned());
    }
    let audit = ignored(".cargo/audit.toml")?;
    let mut other: Vec<String> = audit.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    ids.sort_unstable();
    other.sort_unstable();
    if ids != other {
        bail!("deny.toml and .cargo/audit.toml have different exceptions: {ids:?}, {other:?}");
    }
    Ok(())
}

fn ignored(file: &str) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(root().join(file)).with_context(|| format!("read {file}"))?;
    let table: Table = text.parse().with_context(|| format!("read {file} as TOML"))?;
    let ignored = table.get("advisories").and_then(|section| section.get("ignore")).and_then(Value::as_array);
    Ok(ignored.cloned().unwrap_or_default())
}

fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    println!("· cargo {}", arguments.join(" "));
    let status = Command::new("cargo").args(arguments).current_dir(root()).status();
    match status.with_context(|| format!("run cargo {}", arguments.join(" ")))?.success() {
        true => Ok(()),
        false => bail!("cargo {} found something", arguments.join(" ")),
    }
}
