//! Whether the publisher still fits the desktops of others: type-checked for Windows and macOS from Debian, and linked for Windows.
//!
//! Debian has a compiler with the source of its standard library, so that any target can be built for, and mingw for the C parts
//! of Windows. For macOS there is no linker here; Zig's C compiler is enough for what C there is to look at.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::tools::{self, Tool};
use crate::{root, target};

/// By path: other compilers may stand before them.
const TOOLS: &[Tool] = &[
    Tool { program: "/usr/bin/rustc", package: "rustc-web" },
    Tool { program: "/usr/bin/cargo", package: "cargo-web" },
    Tool { program: "/usr/lib/rustlib/src/rust/library/std/Cargo.toml", package: "rust-web-src" },
    Tool { program: "x86_64-w64-mingw32-gcc", package: "gcc-mingw-w64-x86-64-posix" },
    Tool { program: "pip3", package: "python3-pip" },
];

const ZIG: &str = "ziglang==0.17.1";

const WINDOWS: &str = "x86_64-pc-windows-gnu";
const MACOS: &str = "aarch64-apple-darwin";

pub fn check() -> anyhow::Result<()> {
    tools::install(TOOLS)?;
    let folder = target().join("desktop");
    let compiler = zig(&folder)?;
    println!("· macOS: types");
    cargo("check", MACOS, &["--package", "pika"], &compiler, &folder)?;
    println!("· Windows: types");
    cargo("check", WINDOWS, &["--package", "pika-publisher", "--all-targets"], &compiler, &folder)?;
    println!("· Windows: the whole executable, linked");
    cargo("build", WINDOWS, &["--package", "pika"], &compiler, &folder)?;
    let executable = folder.join(WINDOWS).join("debug/pika.exe");
    let head = fs::read(&executable).with_context(|| format!("read {}", executable.display()))?;
    if !head.starts_with(b"MZ") {
        bail!("{} is no program of Windows", executable.display());
    }
    println!("· {} MB", head.len() / 1_000_000);
    Ok(())
}

fn cargo(what: &str, triple: &str, packages: &[&str], compiler: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("/usr/bin/cargo");
    command.current_dir(root()).args([what, "-Zbuild-std=std,panic_unwind", "--locked", "--target", triple]);
    // What a wrapper has set is for our own compiler.
    for name in ["RUSTUP_TOOLCHAIN", "RUSTC_WRAPPER", "CARGO", "RUSTDOC"] {
        command.env_remove(name);
    }
    command
        .args(packages)
        .env("RUSTC", "/usr/bin/rustc")
        // It lets a stable compiler build the standard library.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", folder)
        .env("RUSTFLAGS", "-Dwarnings")
        .env("CC_aarch64_apple_darwin", compiler)
        .env("SDKROOT", "/");
    let status = command.status().with_context(|| format!("run cargo {what} for {triple}"))?;
    if status.success() { Ok(()) } else { bail!("cargo {what} for {triple} failed") }
}

/// Zig's C compiler under the name and with the arguments that builds for macOS expect.
fn zig(folder: &Path) -> anyhow::Result<PathBuf> {
    let packages = folder.join("zig");
    if !packages.join("ziglang").is_dir() {
        println!("· installing {ZIG}");
        tools::install_python(&[ZIG], &packages)?;
    }
    let compiler = folder.join("macos-cc");
    let script = format!(
        r#"#!/bin/sh
# Takes out what is for Apple's own compiler.
skip=
for argument in "$@"; do
  shift
  if [ -n "$skip" ]; then skip=; continue; fi
  case $argument in
    -arch) skip=1 ;;
    --target=*|-mmacosx-version-min=*) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
PYTHONPATH='{}' exec python3 -m ziglang cc -target aarch64-macos "$@"
"#,
        packages.display()
    );
    fs::write(&compiler, script).with_context(|| format!("write {}", compiler.display()))?;
    fs::set_permissions(&compiler, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} a program", compiler.display()))?;
    Ok(compiler)
}
