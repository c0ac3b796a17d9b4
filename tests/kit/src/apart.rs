//! Broker, archiver and web app as three programs, as they run on a server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Database;
use crate::process::{self, Program, runtime};

/// The three of them; killed when dropped.
#[derive(Debug)]
pub struct Apart {
    pub broker: Program,
    pub archiver: Program,
    pub webapp: Program,
    /// `host:port` of MQTT.
    pub mqtt: String,
    /// `host:port` of the pages.
    pub web: String,
    stand: Stand,
}

/// What they stand on.
#[derive(Debug)]
struct Stand {
    folder: PathBuf,
    database: Database,
    /// By names.
    tokens: BTreeMap<String, String>,
}

impl Apart {
    /// Starts them, with tokens for the two that need one.
    pub async fn start(folder: &Path, database: &Database) -> Self {
        let database = Database { url: database.url.clone() };
        let mut stand = Stand { folder: folder.to_owned(), database, tokens: BTreeMap::new() };
        let broker = stand.broker("0");
        let said = runtime(&folder.join("broker"), "runtime-broker.json", None).await;
        let mqtt = said["mqtt"].as_str().unwrap().to_owned();
        let (archiver, webapp) = (stand.program("archiver", &mqtt), stand.program("webapp", &mqtt));
        let said = runtime(&folder.join("webapp"), "runtime-webapp.json", None).await;
        let web = said["web"].as_str().unwrap().to_owned();
        Self { broker, archiver, webapp, mqtt, web, stand }
    }

    /// Starts broker and archiver once more, when they have been stopped.
    pub fn again(&mut self) {
        self.broker = self.stand.broker(self.mqtt.rsplit_once(':').unwrap().1);
        self.archiver_again();
    }

    /// Starts the archiver once more, when it has been stopped.
    pub fn archiver_again(&mut self) {
        self.archiver = self.stand.program("archiver", &self.mqtt);
    }

    /// A command that reaches the broker under a name; its data folder has the name, too. The first time, a token of that kind is
    /// added.
    pub fn command(&mut self, name: &str, kind: &str) -> Command {
        self.stand.command(name, kind, &self.mqtt)
    }

    /// A publisher called `laptop`, of a DJ whose programs' folder this is.
    pub fn publisher(&mut self, home: &Path) -> Program {
        let mut command = self.command("laptop", "desk");
        command.args(process::PUBLISHER).arg(home);
        Program::start(command, &self.stand.folder.join("laptop"), "publisher")
    }

    /// The token of a name for which there was a command.
    pub fn token(&self, name: &str) -> &str {
        &self.stand.tokens[name]
    }

    /// Resident memory of all three, in KiB.
    pub fn rss_kib(&self) -> u64 {
        [&self.broker, &self.archiver, &self.webapp].into_iter().map(Program::rss_kib).sum()
    }
}

impl Stand {
    fn broker(&self, port: &str) -> Program {
        let data = self.folder.join("broker");
        let mut command = process::command(&data);
        command.arg("broker").env("DATABASE_URL", &self.database.url).env("PIKA__MQTT__PORT", port);
        Program::start(command, &data, "broker")
    }

    fn program(&mut self, name: &str, mqtt: &str) -> Program {
        let mut command = self.command(name, "service", mqtt);
        command.arg(name).env("DATABASE_URL", &self.database.url).env("PIKA__WEB__ANNOUNCE", "false");
        Program::start(command, &self.folder.join(name), name)
    }

    fn command(&mut self, name: &str, kind: &str, mqtt: &str) -> Command {
        let Self { folder, database, tokens } = self;
        let token = || process::add_token(folder, database, name, &[kind]);
        let token = tokens.entry(name.to_owned()).or_insert_with(token);
        let mut command = process::command(&folder.join(name));
        command.env("PIKA_BROKER_URL", format!("mqtt://{name}:{token}@{mqtt}"));
        command
    }
}
