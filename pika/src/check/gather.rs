//! What there is to judge: settings, what runs, what the database says, what the pages answer from outside.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::Secret;
use config::clock::now_ms;
use store::{Change, DatabaseUrl, ListedToken, Person, Store};

use super::CheckSettings;
use crate::health::HealthSettings;
use crate::settings::{Loaded, MqttSettings};
use crate::{backup, health, network};

/// Everything that is judged.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) now_ms: i64,
    pub(super) check: CheckSettings,
    pub(super) web: webapp::Settings,
    pub(super) broker: broker::Settings,
    pub(super) mqtt: MqttSettings,
    pub(super) health: HealthSettings,
    /// Whether a process in a container listens for others of its kind, and not on the machine's own addresses.
    pub(super) is_container: bool,
    /// Addresses of this machine that the internet can reach.
    pub(super) global: Vec<IpAddr>,
    pub(super) database: DatabaseUrl,
    /// As it stands in the settings.
    pub(super) database_password: Option<Secret>,
    pub(super) archive: Result<Archive, String>,
    /// Programs that were started with this data folder, and what each lacks.
    pub(super) programs: Vec<(&'static str, Result<(), String>)>,
    /// Files with secrets in them that others may read.
    pub(super) open_files: Vec<PathBuf>,
    pub(super) free_bytes: Option<u64>,
    pub(super) files_max: Option<u64>,
    pub(super) outside: Option<Outside>,
}

/// What the database says.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) pending: Vec<String>,
    /// How far its clock is ahead of ours; not of a file on this machine.
    pub(super) skew_ms: Option<i64>,
    pub(super) last_backup: Option<Change>,
    pub(super) people: Vec<Person>,
    pub(super) tokens: Vec<ListedToken>,
}

/// What the pages answer at their public address.
#[derive(Debug)]
pub(super) struct Outside {
    /// Of `http://`: the status, and where it leads.
    pub(super) plain: Option<(u16, String)>,
    /// Of `https://`, or why there is no answer.
    pub(super) page: Result<Page, String>,
    /// The status of a WebSocket that a foreign page opens, and of a form that it sends.
    pub(super) foreign_socket: Option<u16>,
    pub(super) foreign_form: Option<u16>,
}

/// An answer over HTTPS.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) status: u16,
    /// Browsers are told to come over HTTPS alone.
    pub(super) is_strict: bool,
    /// Origins whose pages may read it.
    pub(super) allows: Option<String>,
    /// How far its clock is ahead of ours.
    pub(super) skew_ms: Option<i64>,
}

impl Facts {
    /// Whether it is made for the internet: its pages have an address with HTTPS.
    pub(super) fn is_public(&self) -> bool {
        self.web.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }
}

/// A database that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn facts(loaded: &Loaded) -> anyhow::Result<Facts> {
    let section = &loaded.settings;
    let web: webapp::Settings = section.section("web")?;
    let database = loaded.database()?;
    let archive = match tokio::time::timeout(PATIENCE, archive(&database)).await {
        Ok(Ok(archive)) => Ok(archive),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
    };
    let public_url = web.public_url.clone().filter(|url| url.starts_with("https://"));
    let outside = match public_url {
        Some(url) => tokio::task::spawn_blocking(move || outside(&url)).await.ok(),
        None => None,
    };
    Ok(Facts {
        now_ms: now_ms(),
        check: section.section("check")?,
        broker: section.section("broker")?,
        mqtt: section.section("mqtt")?,
        health: section.section("health")?,
        is_container: Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists(),
        global: network::lan_addresses().into_iter().map(|(_, ip)| ip).filter(|ip| is_global(*ip)).collect(),
        database_password: database.password().map(Secret::new),
        database,
        archive,
        programs: programs(&loaded.data).await,
        open_files: open_files(loaded),
        free_bytes: free_bytes(&loaded.data),
        files_max: files_max(),
        outside,
        web,
    })
}

async fn archive(url: &DatabaseUrl) -> anyhow::Result<Archive> {
    if let DatabaseUrl::Sqlite(path) = url {
        // Looking must not make an empty one.
        anyhow::ensure!(path.is_file(), "there is no file {}", path.display());
    }
    let store = Store::open(url)?;
    let before_ms = now_ms();
    let clock = store.server_clock_ms().await?;
    let skew_ms = clock.map(|clock| clock - (before_ms + now_ms()) / 2);
    let pending = store.pending_migrations().await?;
    // Tables that are not there yet cannot be asked.
    let is_ready = pending.is_empty();
    let archive = Archive {
        pending,
        skew_ms,
        last_backup: if is_ready { store.last_change(backup::NOTE).await? } else { None },
        people: if is_ready { store.people().await? } else { Vec::new() },
        tokens: if is_ready { store.listed_tokens().await? } else { Vec::new() },
    };
    store.close().await;
    Ok(archive)
}

/// Each program leaves the address of its health listener in the data folder.
async fn programs(data: &Path) -> Vec<(&'static str, Result<(), String>)> {
    const FILES: [(&str, &str); 4] = [
        ("up", "runtime.json"),
        ("broker", "runtime-broker.json"),
        ("archiver", "runtime-archiver.json"),
        ("webapp", "runtime-webapp.json"),
    ];
    let mut programs = Vec::new();
    for (name, file) in FILES {
        let Ok(text) = std::fs::read_to_string(data.join(file)) else { continue };
        let address = serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|runtime| runtime["health"].as_str()?.parse().ok());
        let Some(address) = address else { continue };
        let ready = health::ask_at(address).await.map(drop).map_err(|error| format!("{error:#}"));
        programs.push((name, ready));
    }
    programs
}

/// Our own files with secrets, and the settings when they name one.
fn open_files(loaded: &Loaded) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        ["web.key", "desk.token", "bus.token", "pika.db"].map(|name| loaded.data.join(name)).into();
    if let Some(file) = &loaded.file
        && std::fs::read_to_string(file).is_ok_and(|text| names_a_secret(&text))
    {
        files.push(file.clone());
    }
    files.retain(|file| is_open(file));
    files
}

fn names_a_secret(toml: &str) -> bool {
    let keys = ["secret", "token", "password", "key", "url"];
    toml.lines().map(str::trim_start).any(|line| {
        let value = line.split_once('=').filter(|(key, _)| keys.contains(&key.trim()));
        // A URL is one with a login in it.
        value.is_some_and(|(key, value)| key.trim() != "url" || value.contains('@'))
    })
}

#[cfg(unix)]
fn is_open(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let folder_is_closed = file
        .parent()
        .and_then(|folder| std::fs::metadata(folder).ok())
        .is_some_and(|folder| folder.permissions().mode() & 0o077 == 0);
    !folder_is_closed && std::fs::metadata(file).is_ok_and(|file| file.permissions().mode() & 0o044 != 0)
}

/// Other systems keep a user's folder to the user.
#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let statistics = rustix::fs::statvfs(folder).ok()?;
    Some(statistics.f_bavail.saturating_mul(statistics.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(unix)]
fn files_max() -> Option<u64> {
    rlimit::Resource::NOFILE.get_hard().ok()
}

#[cfg(not(unix))]
fn files_max() -> Option<u64> {
    None
}

/// Whether the internet can reach an address.
pub(super) fn is_global(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // 100.64.0.0/10 is shared between customers of a provider (RFC 6598).
            let is_shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || is_shared)
        }
        // 2000::/3 is what was given out so far (RFC 4291).
        IpAddr::V6(v6) => v6.segments()[0] & 0xe000 == 0x2000,
    }
}

/// A page that is none of ours. The name cannot exist (RFC 6761).
const FOREIGN: &str = "https://pika-check.invalid";

/// Asks the pages as a browser elsewhere would.
fn outside(public_url: &str) -> Outside {
    let agent = publisher::https::agent(Duration::from_secs(5));
    let base = public_url.trim_end_matches('/');
    let header = |answer: &publisher::https::Answer, name: &str| {
        answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let plain = agent.get(base.replacen("https://", "http://", 1)).call().ok();
    let plain =
        plain.map(|answer| (answer.status().as_u16(), header(&answer, "location").unwrap_or_default()));
    let asked_ms = now_ms();
    let page = match agent.get(format!("{base}/")).header("origin", FOREIGN).call() {
        Ok(answer) => Ok(Page {
            status: answer.status().as_u16(),
            is_strict: header(&answer, "strict-transport-security").is_some(),
            allows: header(&answer, "access-control-allow-origin"),
            skew_ms: header(&answer, "date")
                .and_then(|date| jiff::fmt::rfc2822::parse(&date).ok())
                // It has whole seconds.
                .map(|date| date.timestamp().as_millisecond() + 500 - (asked_ms + now_ms()) / 2),
        }),
        Err(error) => Err(error.to_string()),
    };
    let socket = agent
        .get(format!("{base}/ws?floor=none/none"))
        .header("origin", FOREIGN)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
    let foreign_socket = socket.call().ok().map(|answer| answer.status().as_u16());
    let form = agent
        .post(format!("{base}/api/v1/me/forget"))
        .header("origin", FOREIGN)
        .content_type("application/x-www-form-urlencoded");
    let foreign_form = form.send_empty().ok().map(|answer| answer.status().as_u16());
    Outside { plain, page, foreign_socket, foreign_form }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_the_internet_reaches() {
        let global = |ip: &str| is_global(ip.parse().unwrap());
        for ip in ["203.0.113.7", "8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(global(ip), "{ip}");
        }
        for ip in [
            "10.0.0.1",
            "192.168.1.5",
            "172.16.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "fe80::1",
            "fd00::1",
            "::1",
        ] {
            assert!(!global(ip), "{ip}");
        }
    }

    #[test]
    fn settings_with_a_secret() {
        assert!(names_a_secret("[web]\nsecret = \"x\"") && names_a_secret(" url = \"postgres://a:b@c\""));
        assert!(!names_a_secret("# secret = \"…\"\nurl = \"sqlite:///a.db\"\npassword_file = \"x\""));
    }
}
