//! Settings of the executable itself, and which sections there are.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bus::BrokerUrl;
use config::logging::LogSettings;
use config::{Secret, Settings, Sources};
use publisher::choices::Choices;
use serde::Deserialize;
use store::DatabaseUrl;

use crate::cli::{Cli, Command};

/// Every section, and who owns it.
pub const SECTIONS: &[&str] = &[
    "log",
    "data",
    "database",
    "bus",
    "mqtt",
    "broker",
    "event",
    "archiver",
    "web",
    "publisher",
    "demo",
    "health",
    "check",
    "sentry",
];

/// Names that other software knows too.
const WELL_KNOWN: &[(&str, &str)] = &[
    ("DATABASE_URL", "database.url"),
    ("HOST", "web.host"),
    ("PORT", "web.port"),
    ("PIKA_BROKER_URL", "bus.url"),
    ("SENTRY_DSN", "sentry.dsn"),
];

/// `[database]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `sqlite:///path` or `postgres://…`; by default a SQLite file in the data folder. `DATABASE_URL`.
    pub url: Option<Secret>,
    /// For a URL without one, so that the same secret's file can be given to the database itself.
    pub password: Option<Secret>,
    /// What is between us and PostgreSQL.
    pub pooler: Pooler,
}

/// Whether connections last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooler {
    /// The server itself, or a pooler that lends a connection for as long as we want it.
    #[default]
    None,
    /// PgBouncer, Supavisor and the like, which lend another connection for each transaction.
    Transaction,
}

/// `[bus]`: the broker that single programs connect to.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusSettings {
    /// `mqtt://name:token@host`, or with mqtts, ws, wss. `PIKA_BROKER_URL`.
    pub url: Option<Secret>,
    /// Login, when the URL has none.
    pub name: Option<String>,
    pub token: Option<Secret>,
    /// The token is in the keyring of this desktop, where the settings page has put it.
    pub keyring: bool,
}

/// `[mqtt]`: where the broker listens.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttSettings {
    pub host: IpAddr,
    /// MQTT 3.1.1 and 5 over TCP; 0 takes any free port.
    pub port: u16,
    /// The same over WebSocket, at `/ws` and `/mqtt`.
    pub websocket_port: u16,
    /// MQTT over TLS, when `[broker] tls` names a certificate.
    pub tls_port: u16,
    /// MQTT over WebSocket and TLS, likewise.
    pub websocket_tls_port: Option<u16>,
}

impl Default for MqttSettings {
    fn default() -> Self {
        Self {
            host: IpAddr::from([0, 0, 0, 0]),
            port: 1883,
            websocket_port: 3001,
            tls_port: 8883,
            websocket_tls_port: None,
        }
    }
}

/// `[demo]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemoSettings {
    /// Milliseconds from one track to the next.
    pub every_ms: u64,
    /// End after so many tracks; by default the set goes round.
    pub tracks: Option<u64>,
}

impl Default for DemoSettings {
    fn default() -> Self {
        Self { every_ms: 20_000, tracks: None }
    }
}

/// `[sentry]`: who is told of errors. Nobody, without a `dsn`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SentrySettings {
    /// Where errors go: `https://key@host/project`, of Sentry or whatever understands it. `SENTRY_DSN`.
    pub dsn: Option<Secret>,
    /// Under which name they stand there.
    pub environment: String,
}

impl Default for SentrySettings {
    fn default() -> Self {
        Self { dsn: None, environment: "production".into() }
    }
}

/// `[data]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DataSettings {
    dir: Option<PathBuf>,
}

/// Everything read, and the data folder made.
#[derive(Debug)]
pub struct Loaded {
    pub settings: Settings,
    pub log: LogSettings,
    pub data: PathBuf,
    /// Where settings were read from.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// Reads file, environment and flags, and makes the data folder. A demo has a folder of its own, and what the DJ chose on the
    /// settings page counts for the publisher alone.
    pub fn read(cli: &Cli, demo: bool) -> anyhow::Result<Self> {
        // A variable that is not text cannot be one of ours.
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut flags = Vec::new();
        if let Some(dir) = &cli.data {
            let dir = dir.to_str().context("the data folder's name is not text")?;
            flags.push(("--data", "data.dir", toml::Value::from(dir)));
        }
        let load = |written: Option<&Path>| {
            let settings = Settings::load(Sources {
                file: cli.config.as_deref(),
                written,
                environment: environment.clone(),
                well_known: WELL_KNOWN,
                flags: flags.clone(),
            })?;
            settings.only(SECTIONS)?;
            anyhow::Ok(settings)
        };
        let settings = load(None)?;
        let data: DataSettings = settings.section("data")?;
        let data = match data.dir {
            Some(dir) => dir,
            None if demo => default_data_dir()?.join("demo"),
            None => default_data_dir()?,
        };
        std::fs::create_dir_all(&data).with_context(|| {
            format!("make the data folder {}; choose another with --data", data.display())
        })?;
        let data = std::path::absolute(&data)?;
        let settings = match cli.command {
            Command::Publisher(_) => load(Some(&Choices::file(&data)))?,
            _ => settings,
        };
        Ok(Self { log: settings.section("log")?, settings, data, file: cli.config.clone() })
    }

    /// The database, by default a file in the data folder.
    pub fn database(&self) -> anyhow::Result<DatabaseUrl> {
        let database: DatabaseSettings = self.settings.section("database")?;
        let Some(url) = database.url else { return Ok(DatabaseUrl::Sqlite(self.data.join("pika.db"))) };
        let mut url: DatabaseUrl = url.reveal().parse().context("read database.url (DATABASE_URL)")?;
        if let Some(password) = database.password {
            url = url.with_password(password.reveal()).context(
                "database.url (DATABASE_URL) has no place for database.password: it needs a host, as in \
                 postgres://pika@localhost/pika",
            )?;
        }
        match (database.pooler, url.sign_of_pooler()) {
            (Pooler::Transaction, _) => Ok(url.pooled()),
            (Pooler::None, None) => Ok(url),
            (Pooler::None, Some(sign)) => bail!(
                "database.url (DATABASE_URL) names a pooler in transaction mode ({sign}), where statements go wrong \
                 now and then: use the direct address or the session pooler, or set pooler = \"transaction\" in \
                 [database] (PIKA__DATABASE__POOLER=transaction)"
            ),
        }
    }

    /// The broker for a single program.
    pub fn broker(&self) -> anyhow::Result<BrokerUrl> {
        let bus: BusSettings = self.settings.section("bus")?;
        let url = match &bus.url {
            Some(url) => url.reveal(),
            None => "mqtt://127.0.0.1:1883",
        };
        let url: BrokerUrl = url.parse().context("read bus.url (PIKA_BROKER_URL)")?;
        let token = match bus.token {
            Some(token) => Some(token),
            None if bus.keyring => publisher::secrets::from_keyring(&self.data)?,
            None => publisher::secrets::from_file(&self.data)?,
        };
        Ok(match (bus.name, token) {
            (Some(name), Some(token)) if !url.has_login() => url.with_login(&name, token.reveal()),
            _ => url,
        })
    }
}

/// Where programs of this system keep what belongs to a user.
fn default_data_dir() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let dir = if cfg!(windows) {
        set("LOCALAPPDATA").map(|dir| dir.join("Pika"))
    } else if cfg!(target_os = "macos") {
        set("HOME").map(|home| home.join("Library/Application Support/Pika"))
    } else {
        set("XDG_DATA_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".local/share")))
            .map(|dir| dir.join("pika"))
    };
    dir.context("there is no home folder to keep files in; choose one with --data")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::HealthSettings;
    use serde::de::DeserializeOwned;

    fn section<T: DeserializeOwned + std::fmt::Debug>(settings: &Settings, name: &str) -> String {
        match settings.section::<T>(name) {
            Ok(section) => format!("{section:#?}"),
            Err(error) => panic!("{error}"),
        }
    }

    fn all(settings: &Settings) -> Vec<String> {
        vec![
            section::<LogSettings>(settings, "log"),
            section::<DataSettings>(settings, "data"),
            section::<DatabaseSettings>(settings, "database"),
            section::<BusSettings>(settings, "bus"),
            section::<MqttSettings>(settings, "mqtt"),
            section::<broker::Settings>(settings, "broker"),
            section::<archiver::EventSettings>(settings, "event"),
            section::<archiver::Settings>(settings, "archiver"),
            section::<webapp::Settings>(settings, "web"),
            section::<publisher::Settings>(settings, "publisher"),
            section::<DemoSettings>(settings, "demo"),
            section::<HealthSettings>(settings, "health"),
            section::<crate::check::CheckSettings>(settings, "check"),
            section::<SentrySettings>(settings, "sentry"),
        ]
    }

    /// The sample is the documentation: it names every setting, and each with its default.
    #[test]
    fn the_sample_says_the_defaults() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/pika.toml");
        let sources = Sources { file: Some(path.as_ref()), ..Sources::default() };
        let sample = Settings::load(sources).unwrap();
        sample.only(SECTIONS).unwrap();
        assert_eq!(all(&sample), all(&Settings::default()));
        assert_eq!(all(&sample).len(), SECTIONS.len());
    }

    /// Variables that a file for operators sets, as lines of `NAME: value`, `NAME = "value"` or `NAME=value`; those of `examples` are
    /// put in where it says `${NAME}`.
    fn variables(text: &str, examples: &[(String, String)]) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for line in text.lines().map(|line| line.trim_start().trim_start_matches("- ")) {
            let Some(end) = line.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
            else {
                continue;
            };
            let (name, rest) = line.split_at(end);
            let Some(value) = rest.trim_start().strip_prefix([':', '=']).map(str::trim) else { continue };
            let plain = name.strip_suffix("_FILE").unwrap_or(name);
            let is_ours = plain.starts_with("PIKA_") || WELL_KNOWN.iter().any(|(known, _)| *known == plain);
            if !is_ours || plain == "PIKA_VERSION" {
                continue;
            }
            let bare = ["'", "\""].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
            let mut value = bare.unwrap_or(value).to_owned();
            while let Some((before, rest)) = value.split_once("${") {
                let (inside, after) = rest.split_once('}').unwrap();
                let after = after.trim_start_matches('}');
                let word = inside.trim_start_matches('{').split(':').next().unwrap();
                let example = examples.iter().find(|(known, _)| known == word);
                let example = example.unwrap_or_else(|| panic!("no example of {word}"));
                value = format!("{before}{}{after}", example.1);
            }
            // The file is there on the machine that it is for.
            let value = if name == plain { value } else { "from-a-file".to_owned() };
            let value = if plain == "PIKA_BROKER_URL" { "mqtt://a:b@broker".to_owned() } else { value };
            found.push((plain.to_owned(), value));
        }
        found
    }

    /// What files for operators set is a setting, and fits.
    #[test]
    fn every_variable_in_the_files_for_operators_is_a_setting() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let read = |name: &str| std::fs::read_to_string(format!("{root}/{name}")).unwrap();
        let mut examples: Vec<(String, String)> = read("docker/.env.example")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        for (name, value) in [
            ("Postgres.DATABASE_URL", "postgres://pika:x@postgres.railway.internal:5432/railway"),
            ("RAILWAY_PUBLIC_DOMAIN", "pika.example.org"),
        ] {
            examples.push((name.to_owned(), value.to_owned()));
        }
        for (name, at_least) in [
            ("docker/compose.yaml", 18),
            ("docker/compose.laptop.yaml", 3),
            ("docker/fly.toml", 10),
            ("docker/railway.env.example", 10),
            ("docker/Dockerfile", 0),
            ("pika/packaging/systemd/pika@webapp.service.d/login.conf", 0),
        ] {
            let environment = variables(&read(name), &examples);
            assert!(environment.len() >= at_least, "{name}: {environment:?}");
            let settings =
                Settings::load(Sources { environment, well_known: WELL_KNOWN, ..Sources::default() })
                    .unwrap();
            settings.only(SECTIONS).unwrap_or_else(|error| panic!("{name}: {error}"));
            all(&settings);
        }
        let file = format!("{root}/pika/packaging/debian/pika.toml");
        let sources = Sources { file: Some(file.as_ref()), ..Sources::default() };
        let packed = Settings::load(sources).unwrap();
        packed.only(SECTIONS).unwrap();
        all(&packed);
    }

    /// Settings without a value of their own are in the sample as comments, and those must fit as well.
    #[test]
    fn the_comments_of_the_sample_are_settings_too() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/pika.toml");
        let text = std::fs::read_to_string(path).unwrap();
        let mut seen: Vec<String> = Vec::new();
        let mut lines = Vec::new();
        for line in text.lines() {
            let bare = line.strip_prefix("# ").filter(|rest| {
                rest.split_once(" = ")
                    .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            });
            let section =
                lines.iter().rev().find(|line: &&String| line.starts_with('[')).cloned().unwrap_or_default();
            match bare {
                // Alternatives of one setting: the first will do.
                Some(rest) => {
                    let key = format!("{section}{}", rest.split(' ').next().unwrap());
                    if !seen.contains(&key) {
                        seen.push(key);
                        lines.push(rest.to_owned());
                    }
                }
                None => lines.push(line.to_owned()),
            }
        }
        assert!(seen.len() >= 8, "{seen:?}");
        let file = std::env::temp_dir().join(format!("pika-sample-{}.toml", std::process::id()));
        std::fs::write(&file, lines.join("\n")).unwrap();
        let settings = Settings::load(Sources { file: Some(&file), ..Sources::default() });
        std::fs::remove_file(&file).unwrap();
        all(&settings.unwrap());
    }

    /// Whatever the sample calls a password, a token, a key, a secret or a URL with a login stays out of `Debug`.
    #[test]
    fn secrets_are_not_in_debug_output() {
        const SECRETS: [&str; 11] = [
            "database.url",
            "database.password",
            "bus.url",
            "bus.token",
            "web.secret",
            "sentry.dsn",
            "publisher.virtualdj_live.password",
            "publisher.rekordbox.key",
            "publisher.icecast.password",
            "publisher.jriver.password",
            "publisher.http.token",
        ];
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/pika.toml");
        let text = std::fs::read_to_string(path).unwrap();
        let mut section = String::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                section = name.to_owned();
            }
            let key = line.trim_start_matches("# ").split(" = ").next().unwrap_or_default();
            let is_secret = ["password", "token", "key", "secret", "dsn"].contains(&key);
            let setting = format!("{section}.{key}");
            assert!(!is_secret || SECRETS.contains(&setting.as_str()), "{setting} is to be looked at here");
        }
        let environment = SECRETS.iter().map(|setting| {
            let value = match setting.rsplit('.').next() {
                Some("url") => "postgres://hidden:h1dden-in-url@db.example.org/pika?password=h1dden-too",
                _ => "h1dden",
            };
            (format!("PIKA__{}", setting.to_uppercase().replace('.', "__")), value.to_owned())
        });
        let environment: Vec<(String, String)> = environment.collect();
        let settings = Settings::load(Sources { environment, ..Sources::default() }).unwrap();
        let shown = all(&settings).join("\n");
        assert!(!shown.contains("h1dden"), "{shown}");
        assert!(!format!("{settings:?}").contains("h1dden"), "nor before they are read");
        let cli = <Cli as clap::Parser>::parse_from(["pika", "broker"]);
        let loaded = Loaded { settings, log: LogSettings::default(), data: "data".into(), file: None };
        assert!(!format!("{cli:?} {loaded:?}").contains("h1dden"));
    }
}
