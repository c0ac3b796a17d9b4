//! Rules of the house that no compiler knows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{audit, root};

/// Our packages, and which of ours each may import (ARCHITECTURE.md says why).
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("pika-protocol", &[]),
    ("pika-config", &[]),
    ("pika-pairing", &["pika-protocol"]),
    ("pika-bus", &["pika-protocol"]),
    ("pika-store", &["pika-protocol"]),
    ("pika-publisher", &["pika-protocol", "pika-pairing", "pika-bus", "pika-config"]),
    ("pika-broker", &["pika-protocol", "pika-store", "pika-config"]),
    ("pika-archiver", &["pika-protocol", "pika-bus", "pika-store", "pika-config"]),
    ("pika-webapp", &["pika-protocol", "pika-pairing", "pika-bus", "pika-store", "pika-config"]),
    (
        "pika",
        &[
            "pika-protocol",
            "pika-pairing",
            "pika-config",
            "pika-bus",
            "pika-store",
            "pika-broker",
            "pika-archiver",
            "pika-webapp",
            "pika-publisher",
        ],
    ),
    ("xtask", &[]),
];

/// Each outside technology has one home.
const HOMES: &[(&str, &[&str])] = &[
    ("rumqttc", &["pika-bus"]),
    ("rumqttd", &["pika-broker"]),
    ("sqlx", &["pika-store"]),
    ("argon2", &["pika-store"]),
    ("axum", &["pika-webapp", "pika-publisher"]),
    ("maud", &["pika-webapp", "pika-publisher"]),
    ("ksni", &["pika-publisher"]),
    ("lofty", &["pika-publisher"]),
    ("image", &["pika-publisher"]),
    ("rust-embed", &["pika-webapp"]),
    ("notify", &["pika-publisher"]),
    ("rusqlite", &["pika-publisher"]),
    ("x25519-dalek", &["pika-pairing"]),
    // One is found, the other looks.
    ("mdns-sd", &["pika-webapp", "pika-publisher"]),
    ("keyring", &["pika-publisher"]),
    // Asks a server to let a desk in; sends reports.
    ("ureq", &["pika-publisher", "pika"]),
    ("sentry-core", &["pika"]),
    ("prometheus-client", &["pika-config"]),
    ("tray-icon", &["pika-publisher"]),
    ("zbus", &["pika-publisher"]),
    ("windows", &["pika-publisher"]),
    ("quick-xml", &["pika-publisher"]),
    ("aes", &["pika-publisher"]),
    ("cbc", &["pika-publisher"]),
    // The domain does nothing: no runtime, no clock.
    (
        "tokio",
        &[
            "pika-config",
            "pika-bus",
            "pika-store",
            "pika-broker",
            "pika-archiver",
            "pika-webapp",
            "pika-publisher",
            "pika",
        ],
    ),
];

/// Checks everything and names every fault.
pub fn tidy() -> anyhow::Result<()> {
    let mut faults = Vec::new();
    imports(&mut faults)?;
    sources(&mut faults)?;
    words(&mut faults)?;
    if let Err(fault) = audit::exceptions() {
        faults.push(format!("{fault:#}"));
    }
    if faults.is_empty() {
        println!("· tidy");
        return Ok(());
    }
    for fault in &faults {
        eprintln!("tidy: {fault}");
    }
    bail!("{} faults", faults.len())
}

fn imports(faults: &mut Vec<String>) -> anyhow::Result<()> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .context("run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let is_test = package["manifest_path"].as_str().unwrap_or_default().contains("/tests/");
        let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
        // What only tests need binds nobody.
        for dependency in dependencies.iter().filter(|dependency| dependency["kind"].is_null()) {
            let wanted = dependency["name"].as_str().unwrap_or_default();
            if is_test {
                continue;
            }
            let allowed =
                MAY_IMPORT.iter().find(|(importer, _)| *importer == name).map(|(_, allowed)| *allowed);
            if ours.contains(wanted) && !allowed.is_some_and(|allowed| allowed.contains(&wanted)) {
                faults.push(format!("{name} must never import {wanted}"));
            }
            if let Some((_, homes)) = HOMES.iter().find(|(technology, _)| *technology == wanted)
                && !homes.contains(&name)
            {
                faults.push(format!("{name} must never name {wanted}; its home is {}", homes.join(", ")));
            }
        }
    }
    Ok(())
}

fn sources(faults: &mut Vec<String>) -> anyhow::Result<()> {
    for path in
        tracked()?.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
    {
        let text = read(&path)?;
        let shown = path.display();
        if !text.starts_with("//! ") {
            faults.push(format!("{shown} does not begin by saying what lives in it (//! …)"));
        }
        let in_tests = path.components().any(|part| part.as_os_str() == "tests");
        let is_wait = path.ends_with("kit/src/wait.rs");
        for (number, line) in (1..).zip(text.lines()) {
            if in_tests
                && !is_wait
                && (line.contains("sleep(") || line.contains("thread::sleep"))
                && !line.contains("tidy: ")
            {
                faults
                    .push(format!("{shown}:{number} waits for a duration; wait for a condition (kit::wait)"));
            }
            if line.trim_start().starts_with("#[ignore") {
                faults.push(format!("{shown}:{number} leaves a test out"));
            }
        }
    }
    Ok(())
}

/// The project speaks of itself alone.
fn words(faults: &mut Vec<String>) -> anyhow::Result<()> {
    // Put together, so that this file does not find itself.
    let foreign = [
        ["/wo", "rk/"].concat(),
        ["/ro", "ot/"].concat(),
        ["crates", ".io"].concat(),
        ["npm", "js."].concat(),
        ["py", "pi.org"].concat(),
    ];
    for path in tracked()? {
        if path.ends_with("Cargo.lock") || path.ends_with("LICENSE") {
            continue;
        }
        // Pictures have no words.
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            for word in foreign.iter().filter(|word| line.contains(word.as_str())) {
                faults.push(format!("{}:{number} names `{word}`", path.display()));
            }
        }
    }
    Ok(())
}

/// What git knows, or would if it was asked to.
pub fn tracked() -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .context("run git ls-files")?;
    let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let paths = names.map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()));
    Ok(paths.filter(|path| root().join(path).is_file()).collect())
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| format!("read {}", path.display()))
}
