//! The executable, as processes that can be killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;

use crate::{Database, wait};

/// Where the executable is: beside the tests' own build.
pub fn executable() -> PathBuf {
    if let Some(path) = std::env::var_os("PIKA_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("pika");
    assert!(path.is_file(), "{} is not built: run the tests by `cargo xtask test`", path.display());
    path
}

/// Before the folder of the DJ's programs.
pub(crate) const PUBLISHER: [&str; 5] = ["publisher", "--headless", "--source", "virtualdj", "--path"];

/// A command of the executable with a data folder and nothing from our own environment but what is said.
pub fn command(data: &Path) -> Command {
    command_of(&executable(), data)
}

/// A publisher without a tray, of a DJ whose programs' folder is `home`.
pub fn publisher(data: &Path, home: &Path) -> Command {
    let mut command = command(data);
    command.args(PUBLISHER).arg(home);
    command
}

/// The same of another release.
pub fn command_of(executable: &Path, data: &Path) -> Command {
    let mut command = Command::new(executable);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("PIKA_")
            || ["DATABASE_URL", "HOST", "PORT", "SENTRY_DSN"].contains(&name.as_str())
        {
            command.env_remove(name);
        }
    }
    command.arg("--data").arg(data).stdin(Stdio::null());
    command
        .env("PIKA__WEB__PORT", "0")
        .env("PIKA__MQTT__PORT", "0")
        .env("PIKA__MQTT__WEBSOCKET_PORT", "0")
        .env("PIKA__MQTT__TLS_PORT", "0")
        .env("PIKA__HEALTH__PORT", "0");
    // Tests of these limits set them; dancers of the others are quicker than people.
    command.env("PIKA__WEB__FIRST_TAP_AFTER_S", "0").env("PIKA__WEB__TAPS_PER_MINUTE", "100000");
    command.env("HOST", "127.0.0.1").env("PIKA__MQTT__HOST", "127.0.0.1");
    command
}

/// Adds a token to a database, `more` being its kind and whatever else the command takes.
pub fn add_token(data: &Path, database: &Database, name: &str, more: &[&str]) -> String {
    let mut add = command(data);
    add.args(["token", "add", name, "--kind"]).args(more).env("DATABASE_URL", &database.url);
    let added = add.output().unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    // Alone on the last line.
    String::from_utf8(added.stdout).unwrap().trim().lines().last().unwrap().to_owned()
}

/// A running process of the executable; killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    pub log: PathBuf,
}

impl Program {
    /// Starts a command; its log goes to a file in the data folder.
    pub fn start(mut command: Command, data: &Path, name: &str) -> Self {
        fs::create_dir_all(data).unwrap();
        let log = data.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no destructor, no flush.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGSTOP: it is there, and does nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGTERM, and its exit status.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        let child = &mut self.child;
        wait::until_some("a clean stop", || child.try_wait().unwrap()).await
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait::until_some("the process to end", || child.try_wait().unwrap()).await
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Microseconds of processor time so far, in steps of the kernel's 10 ms.
    pub fn cpu_us(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks * 10_000.0
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// What a running process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holds {
    pub threads: usize,
    pub files: usize,
}

impl Holds {
    /// Whether nothing was lost and nothing was left since then. A connection to the database, with its files and its
    /// thread, may come and go; so may threads for work that blocks.
    pub fn is_like(self, before: Self) -> bool {
        let threads = before.threads.saturating_sub(2)..=before.threads + 2;
        threads.contains(&self.threads) && self.files <= before.files + 8
    }
}

impl Program {
    pub fn holds(&self) -> Holds {
        let count = |what: &str| fs::read_dir(format!("/proc/{}/{what}", self.pid())).unwrap().count();
        Holds { threads: count("task"), files: count("fd") }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// `pika up` and its addresses.
#[derive(Debug)]
pub struct Pika {
    pub program: Program,
    pub data: PathBuf,
    /// `host:port` of the pages.
    pub web: String,
    /// `host:port` of MQTT.
    pub mqtt: String,
    /// `host:port` of MQTT over WebSocket.
    pub mqtt_websocket: String,
    /// `host:port` of health and metrics.
    pub health: String,
}

impl Pika {
    /// Starts `pika up --local` with more arguments and settings, and waits until it listens.
    pub async fn up(data: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut command = command(data);
        command.args(["up", "--local"]).args(arguments).envs(settings.iter().copied());
        let program = Program::start(command, data, "up");
        let runtime = runtime(data, "runtime.json", Some(program.pid())).await;
        let address = |key: &str| runtime[key].as_str().unwrap().to_owned();
        Self {
            web: address("web"),
            mqtt: address("mqtt"),
            mqtt_websocket: address("mqtt_websocket"),
            health: address("health"),
            program,
            data: data.to_owned(),
        }
    }

    /// Settings that give the same ports again after a restart.
    pub fn same_ports(&self) -> [(&'static str, String); 3] {
        let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
        [
            ("PIKA__WEB__PORT", port(&self.web)),
            ("PIKA__MQTT__PORT", port(&self.mqtt)),
            ("PIKA__MQTT__WEBSOCKET_PORT", port(&self.mqtt_websocket)),
        ]
    }

    /// The floor page's text, as soon as it is served.
    pub async fn page(&self) -> String {
        wait::until("the floor page", || async {
            let answer = crate::http::get(&self.web, "/e/tonight/main")?;
            if answer.status == 200 { Ok(answer.text()) } else { Err(format!("status {}", answer.status)) }
        })
        .await
    }

    /// Waits until the page shows a text.
    pub async fn shows(&self, text: &str) {
        wait::until(&format!("the page to show {text}"), || async {
            let page = crate::http::get(&self.web, "/e/tonight/main")?.text();
            if page.contains(text) { Ok(()) } else { Err(page) }
        })
        .await;
    }
}

/// What a program wrote about itself, once it is there (and written by process `pid`).
pub async fn runtime(data: &Path, name: &str, pid: Option<u32>) -> Value {
    let path = data.join(name);
    wait::until(&format!("{}", path.display()), || async {
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        match pid {
            Some(pid) if value["pid"] != pid => Err(format!("written by {}", value["pid"])),
            _ => Ok(value),
        }
    })
    .await
}
