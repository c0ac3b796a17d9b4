//! The programs of a night as processes of their own, with what they stand on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use store::Store;

use super::{Engine, Plan};
use crate::disk::Disk;
use crate::dj::{Dj, Written};
use crate::postgres::Postgres;
use crate::process::{self, Program};
use crate::proxy::Proxy;
use crate::{ports, wait};

/// How often a DJ may play something new: a list's entries are a second apart.
const PLAY_EVERY: Duration = Duration::from_millis(1_100);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Broker,
    Archiver,
    Webapp,
    Desk(usize),
}

pub(super) struct Stage {
    folder: PathBuf,
    /// Which release the next program is of.
    pub(super) executable: PathBuf,
    programs: BTreeMap<Target, Program>,
    pub(super) broker_cable: Proxy,
    mqtt_port: u16,
    web_port: u16,
    tokens: BTreeMap<String, String>,
    desks: Vec<Desk>,
    database: Database,
    played: usize,
}

struct Desk {
    dj: Dj,
    disk: Option<Disk>,
    last: Instant,
}

struct Database {
    url: String,
    server: Option<Postgres>,
    cable: Option<Proxy>,
    disk: Option<Disk>,
}

impl Stage {
    pub(super) async fn set(folder: &Path, plan: &Plan, executable: PathBuf) -> Self {
        let database = Database::make(&folder.join("database"), plan.engine).await;
        let desks = (0..plan.desks).map(|number| {
            let home = folder.join(desk(number));
            std::fs::create_dir_all(&home).unwrap();
            let disk = Disk::mount(&home.join("desk"), 2);
            Desk { dj: Dj::new(&home), disk, last: Instant::now() }
        });
        let mqtt_port = ports::free();
        let mut stage = Self {
            folder: folder.to_owned(),
            executable,
            programs: BTreeMap::new(),
            broker_cable: Proxy::to(&format!("127.0.0.1:{mqtt_port}")).await,
            mqtt_port,
            web_port: ports::free(),
            tokens: BTreeMap::new(),
            desks: desks.collect(),
            database,
            played: 0,
        };
        for (name, kind) in [("archiver", "service"), ("webapp", "service")] {
            stage.add_token(name, kind);
        }
        for number in 0..plan.desks {
            stage.add_token(&desk(number), "desk");
        }
        let all = [Target::Broker, Target::Archiver, Target::Webapp];
        for target in all.into_iter().chain((0..plan.desks).map(Target::Desk)) {
            stage.start(target);
        }
        let web = stage.web();
        wait::until("the pages", || async {
            let answer = crate::http::get(&web, "/e/tonight/floor-0")?;
            if answer.status == 200 { Ok(()) } else { Err(answer.status.to_string()) }
        })
        .await;
        stage
    }

    /// `host:port` of the pages.
    pub(super) fn web(&self) -> String {
        format!("127.0.0.1:{}", self.web_port)
    }

    /// Lets the DJs play on for a while.
    pub(super) async fn play_for(&mut self, ms: u64) {
        let until = Instant::now() + Duration::from_millis(ms);
        loop {
            for (number, desk) in self.desks.iter_mut().enumerate() {
                // Not all in the same moment.
                if desk.last.elapsed() > PLAY_EVERY + Duration::from_millis(137 * number as u64) {
                    desk.last = Instant::now();
                    self.played += 1;
                    desk.dj.plays(&format!("Track {}", self.played));
                }
            }
            if Instant::now() >= until {
                return;
            }
            wait::moment(20).await;
        }
    }

    pub(super) fn start(&mut self, target: Target) {
        let (name, mut command) = match target {
            Target::Broker => {
                let mut command = self.command("broker");
                command.arg("broker").env("PIKA__MQTT__PORT", self.mqtt_port.to_string());
                ("broker".to_owned(), command)
            }
            Target::Archiver => {
                let mut command = self.command("archiver");
                let floor = |number| format!("{{ id = \"floor-{number}\", name = \"Floor {number}\" }}");
                let floors: Vec<String> = (0..self.desks.len()).map(floor).collect();
                command.arg("archiver").env("PIKA__EVENT__FLOORS", format!("[{}]", floors.join(", ")));
                ("archiver".to_owned(), command)
            }
            Target::Webapp => {
                let mut command = self.command("webapp");
                command.arg("webapp").env("PIKA__WEB__PORT", self.web_port.to_string());
                ("webapp".to_owned(), command)
            }
            Target::Desk(number) => {
                let name = desk(number);
                let mut command = self.command(&name);
                command.args(["publisher", "--headless", "--source", "virtualdj", "--floor"]);
                // The last two stand on one floor.
                let floor = number.min(self.desks.len().saturating_sub(2));
                command.arg(format!("floor-{floor}")).arg("--path").arg(&self.desks[number].dj.home);
                (name, command)
            }
        };
        if let Some(token) = self.tokens.get(&name) {
            command.env("PIKA_BROKER_URL", format!("mqtt://{name}:{token}@{}", self.broker_cable.address));
        }
        let program = Program::start(command, &self.folder.join(&name), "log");
        self.programs.insert(target, program);
    }

    pub(super) fn kill(&mut self, target: Target) {
        if let Some(mut program) = self.programs.remove(&target) {
            program.kill();
        }
    }

    /// Ends it as an operator does.
    pub(super) async fn stop(&mut self, target: Target) {
        if let Some(mut program) = self.programs.remove(&target) {
            program.stop().await;
        }
    }

    /// Plays something on the first floor, as soon as its list takes another entry, and says what.
    pub(super) async fn plays(&mut self, title: &str) {
        let desk = &mut self.desks[0];
        wait::moment(PLAY_EVERY.saturating_sub(desk.last.elapsed()).as_millis() as u64).await;
        desk.last = Instant::now();
        desk.dj.plays(title);
    }

    pub(super) fn freeze(&self, target: Target) {
        self.programs[&target].freeze();
    }

    pub(super) fn thaw(&self, target: Target) {
        self.programs[&target].thaw();
    }

    pub(super) fn cut_database(&self) {
        self.database.cable.iter().for_each(Proxy::cut);
    }

    pub(super) fn mend_database(&self) {
        self.database.cable.iter().for_each(Proxy::mend);
    }

    pub(super) fn stop_database(&mut self) {
        self.database.server.iter_mut().for_each(Postgres::stop);
    }

    pub(super) async fn start_database(&mut self) {
        if let Some(server) = &mut self.database.server {
            server.start().await;
        }
    }

    /// False: there is no small disk.
    pub(super) fn fill_database(&self) -> bool {
        self.database.disk.as_ref().map(Disk::fill).is_some()
    }

    pub(super) async fn free_database(&mut self) {
        self.database.disk.iter().for_each(Disk::free);
        // It may have given up.
        self.start_database().await;
    }

    pub(super) fn fill_journal(&self, desk: usize) -> bool {
        self.desks[desk].disk.as_ref().map(Disk::fill).is_some()
    }

    pub(super) fn free_journal(&self, desk: usize) {
        self.desks[desk].disk.iter().for_each(Disk::free);
    }

    /// Access of our own to the archive.
    pub(super) fn store(&self) -> Store {
        Store::open(&self.database.url.parse().unwrap()).unwrap()
    }

    /// Waits until each desk's plays are in the archive, each once, in order, with its own time, and nothing else. Gives
    /// how many there are.
    pub(super) async fn all_is_archived(&self) -> usize {
        wait::until("the archive to equal the histories", || async {
            let store = self.store();
            let mut archived: BTreeMap<String, Vec<Written>> = BTreeMap::new();
            for floor in 0..self.desks.len() {
                let floor = format!("tonight/floor-{floor}").parse().unwrap();
                let plays = store.recent(&floor, 1_000_000).await.map_err(|error| error.to_string())?;
                for (desk, past) in plays.into_iter().rev() {
                    archived.entry(desk.to_string()).or_default().push(Written {
                        title: past.play.track.title.unwrap_or_default(),
                        started_ms: past.play.started_ms,
                    });
                }
            }
            store.close().await;
            for (number, it) in self.desks.iter().enumerate() {
                let stored = archived.remove(&desk(number)).unwrap_or_default();
                if stored != it.dj.written {
                    let missing: Vec<_> =
                        it.dj.written.iter().filter(|play| !stored.contains(play)).collect();
                    let (stored, written) = (stored.len(), it.dj.written.len());
                    return Err(format!(
                        "{}: {stored} of {written} stored, missing {missing:?}",
                        desk(number)
                    ));
                }
            }
            if archived.is_empty() { Ok(()) } else { Err(format!("of nobody: {archived:?}")) }
        })
        .await;
        self.desks.iter().map(|desk| desk.dj.written.len()).sum()
    }

    pub(super) fn nobody_panicked(&self) {
        for program in self.programs.values() {
            let log = program.log();
            assert!(!log.contains("panicked"), "{}: {log}", program.log.display());
        }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = process::command_of(&self.executable, &self.folder.join(name));
        command.env("DATABASE_URL", &self.database.url);
        command
    }

    fn add_token(&mut self, name: &str, kind: &str) {
        let mut command = self.command("tokens");
        let added = command.args(["token", "add", name, "--kind", kind]).output().unwrap();
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let token = String::from_utf8(added.stdout).unwrap().trim().lines().last().unwrap().to_owned();
        self.tokens.insert(name.to_owned(), token);
    }
}

impl Database {
    async fn make(folder: &Path, engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => {
                let disk = Disk::mount(folder, 64);
                let url = format!("sqlite://{}", folder.join("archive.db").display());
                Self { url, server: None, cable: None, disk }
            }
            Engine::Postgres => {
                let disk = Disk::mount(folder, 256);
                let server = Postgres::start_in(folder).await;
                let cable = Proxy::to(&server.address()).await;
                let url = format!("postgres://pika@{}/postgres", cable.address);
                Self { url, server: Some(server), cable: Some(cable), disk }
            }
        }
    }
}

fn desk(number: usize) -> String {
    format!("desk-{number}")
}
