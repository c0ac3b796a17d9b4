//! Whether the publisher still fits the desktops of others: type-checked for Windows and macOS from Debian, linked for Windows, and run
//! there as far as Wine is Windows.
//!
//! Debian has a compiler with the source of its standard library, so that any target can be built for, and mingw for the C parts
//! of Windows. For macOS there is no linker here; Zig's C compiler is enough for what C there is to look at.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

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
    Tool { program: "wine", package: "wine" },
    Tool { program: "/usr/lib/wine/wine64", package: "wine64" },
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
    println!("· Windows: the demo, run by Wine");
    demo(&executable, &folder.join("wine"))
}

/// What Rust's standard library asks Windows for randomness, and Debian's Wine does not have.
const RANDOMNESS: &str = "
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T count) { return SystemFunction036(bytes, (ULONG)count); }
";

/// Wine makes its folder and a desktop the first time.
const PATIENCE: Duration = Duration::from_secs(120);

/// The whole road on Windows' files, threads and sockets: a history that the publisher reads, and a page that shows what is in it.
fn demo(executable: &Path, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let (source, program) = (folder.join("randomness.c"), folder.join("pika.exe"));
    fs::write(&source, RANDOMNESS).with_context(|| format!("write {}", source.display()))?;
    fs::copy(executable, &program).with_context(|| format!("copy {}", executable.display()))?;
    let mut compile = Command::new("x86_64-w64-mingw32-gcc");
    compile.args(["-shared", "-o"]).arg(folder.join("bcryptprimitives.dll")).arg(&source).arg("-ladvapi32");
    if !compile.status().context("run mingw")?.success() {
        bail!("{compile:?} failed");
    }
    let (data, prefix) = (folder.join("data"), folder.join("prefix"));
    match fs::remove_dir_all(&data) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => bail!("clear {}: {error}", data.display()),
        _ => fs::create_dir_all(&data).with_context(|| format!("make {}", data.display()))?,
    }
    let wine = |program: &str| {
        let mut command = Command::new(program);
        command.env("WINEPREFIX", &prefix).env("WINEDEBUG", "-all").env_remove("DISPLAY");
        command
    };
    let mut up = wine("wine");
    // The disk Z: is all of ours.
    up.arg(&program).arg("--data").arg(format!("Z:{}", data.display())).args(["up", "--demo", "--local"]);
    for listener in ["WEB__PORT", "MQTT__PORT", "MQTT__WEBSOCKET_PORT", "HEALTH__PORT"] {
        up.env(format!("PIKA__{listener}"), "0");
    }
    let log = File::create(folder.join("log")).context("make a file for the log")?;
    let mut running =
        up.stdout(log.try_clone().context("share the log")?).stderr(log).spawn().context("run wine")?;
    let since = Instant::now();
    let shown = loop {
        match now_playing(&data) {
            Ok(track) => break Ok(track),
            Err(error) if since.elapsed() > PATIENCE || !matches!(running.try_wait(), Ok(None)) => {
                break Err(error);
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    };
    // The program is a child of Wine's server, and ends with it.
    let _ = wine("wineserver").arg("-k").status();
    let _ = running.kill();
    let _ = running.wait();
    let track = shown.with_context(|| format!("ask the pages of {}", program.display()))?;
    println!("· it shows {track}");
    Ok(())
}

/// What the pages say, wherever they are.
fn now_playing(data: &Path) -> anyhow::Result<String> {
    let runtime: serde_json::Value = serde_json::from_slice(&fs::read(data.join("runtime.json"))?)?;
    let web = runtime["web"].as_str().context("runtime.json has no address")?;
    let mut stream = TcpStream::connect(web)?;
    stream.write_all(b"GET /api/v1/tonight/main/now.txt HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, track) = answer.split_once("\r\n\r\n").context("no answer")?;
    match head.contains(" 200 ") && track.contains('–') {
        true => Ok(track.trim().to_owned()),
        false => bail!("{answer}"),
    }
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
