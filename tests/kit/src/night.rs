//! A DJ's night, replayed faster than it was: one laptop, one server, and the usual accidents. Afterwards the archive has to be
//! the DJ's history: each play once, in order, with its own time.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fault::Dice;
use crate::process::{self, Program};
use crate::proxy::Proxy;
use crate::{Database, Dj, ports, wait};

/// Which night.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    /// How long it was.
    pub minutes: u64,
    /// How many times faster it goes by.
    pub speed: u64,
    pub faults: u64,
}

/// What it was like.
#[derive(Debug)]
pub struct Report {
    pub plays: usize,
    pub lasted: Duration,
    pub struck: Vec<String>,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The lid is closed: the DJ plays nothing, and nothing runs.
    Sleep,
    /// No network, for minutes or for an hour.
    Network,
    KillDesk,
    KillServer,
    /// Everything at once: a power cut.
    KillBoth,
    /// The drive with the history is unplugged.
    Unplugged,
    /// The list is saved anew, as another file of the same name.
    Renamed,
    /// The list is saved anew in place.
    Rewritten,
    /// Tags in an old list are edited.
    OldList,
}

const FAULTS: [Fault; 9] = [
    Fault::Sleep,
    Fault::Network,
    Fault::KillDesk,
    Fault::KillServer,
    Fault::KillBoth,
    Fault::Unplugged,
    Fault::Renamed,
    Fault::Rewritten,
    Fault::OldList,
];

struct Night {
    plan: Plan,
    dice: Dice,
    folder: PathBuf,
    dj: Dj,
    database: Database,
    token: String,
    mqtt_port: u16,
    web_port: u16,
    cable: Proxy,
    server: Option<Program>,
    desk: Option<Program>,
    next_play: Instant,
    played: usize,
}

/// Lives through it.
///
/// # Panics
/// Something was lost, doubled, invented or misdated; the seed is in the output.
pub async fn run(plan: Plan) -> Report {
    println!("night: {plan:?}");
    let (folder, since) = (tempfile::tempdir().unwrap(), Instant::now());
    let mut night = Night::begins(plan, folder.path()).await;
    let lasts = Duration::from_secs(plan.minutes * 60 / plan.speed);
    let mut struck = Vec::new();
    for number in 1..=plan.faults {
        // Somewhere in its part of the night.
        let part = lasts.as_millis() as u64 / plan.faults;
        let at = Duration::from_millis(part * (number - 1) + night.dice.below(part / 2));
        night.play_until(since + at).await;
        let fault = FAULTS[night.dice.below(FAULTS.len() as u64) as usize];
        println!("night: {number} {fault:?} after {:?}", since.elapsed());
        night.strike(fault).await;
        struck.push(format!("{fault:?}"));
    }
    night.play_until(since + lasts).await;
    // The history ends with a play that lasts.
    let (database, dj) = (&night.database, &night.dj);
    wait::until("the archive to be the history", || async { dj.is_archived(&database.plays().await?) }).await;
    for program in [&night.desk, &night.server].into_iter().flatten() {
        assert!(!program.log().contains("panicked"), "{}", program.log());
    }
    Report { plays: night.dj.written.len(), lasted: since.elapsed(), struck }
}

impl Night {
    async fn begins(plan: Plan, folder: &Path) -> Self {
        let database = Database::sqlite(folder);
        let (mqtt_port, web_port) = (ports::free(), ports::free());
        let mut night = Self {
            dice: Dice::new(plan.seed),
            folder: folder.to_owned(),
            dj: Dj::new(folder),
            token: String::new(),
            mqtt_port,
            web_port,
            cable: Proxy::to(&format!("127.0.0.1:{mqtt_port}")).await,
            server: None,
            desk: None,
            next_play: Instant::now(),
            played: 0,
            plan,
            database,
        };
        night.dj.before_midnight();
        night.server_starts();
        process::runtime(&folder.join("server"), "runtime.json", None).await;
        night.token = process::add_token(&folder.join("server"), &night.database, "booth", &["desk"]);
        night.desk_starts();
        night
    }

    fn server_starts(&mut self) {
        let data = self.folder.join("server");
        let mut command = process::command(&data);
        command.args(["up", "--local"]).env("DATABASE_URL", &self.database.url).env("HOME", &data);
        command.env("PIKA__MQTT__PORT", self.mqtt_port.to_string());
        command.env("PIKA__WEB__PORT", self.web_port.to_string());
        self.server = Some(Program::start(command, &data, "server"));
    }

    fn desk_starts(&mut self) {
        let data = self.folder.join("laptop");
        let mut command = process::publisher(&data, &self.dj.home);
        command.env("PIKA_BROKER_URL", format!("mqtt://booth:{}@{}", self.token, self.cable.address));
        self.desk = Some(Program::start(command, &data, "desk"));
    }

    /// So many minutes of the night, as they go by.
    fn minutes(&self, minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60) / self.plan.speed as u32
    }

    async fn play_until(&mut self, until: Instant) {
        while Instant::now() < until {
            if Instant::now() >= self.next_play {
                self.play();
            }
            wait::moment(10).await;
        }
    }

    async fn play_for(&mut self, minutes: u64) {
        let until = Instant::now() + self.minutes(minutes);
        self.play_until(until).await;
    }

    fn play(&mut self) {
        self.played += 1;
        // Half way through the night it is midnight.
        if self.played as u64 == self.plan.minutes / 8 {
            self.dj.midnight();
        }
        // Now and then something from earlier, but not of just now.
        let again = self.played > 20 && self.dice.below(8) == 0;
        let title = format!("Track {}", if again { self.played - 15 } else { self.played });
        if self.dice.below(3) == 0 {
            // In pieces, as slow disks show it.
            let entry = self.dj.entry(&title);
            let at =
                entry.char_indices().nth(self.dice.below(200) as usize).map_or(entry.len(), |(at, _)| at);
            let mut list = OpenOptions::new().create(true).append(true).open(self.dj.list()).unwrap();
            for piece in [&entry[..at], &entry[at..]] {
                list.write_all(piece.as_bytes()).unwrap();
                list.sync_data().unwrap();
            }
        } else {
            self.dj.plays(&title);
        }
        // Two to six minutes.
        let length = self.minutes(2) + self.minutes(4) * self.dice.below(100) as u32 / 100;
        // The lists know whole seconds.
        self.next_play = Instant::now() + length.max(Duration::from_millis(1_100));
    }

    async fn strike(&mut self, fault: Fault) {
        let minutes = 2 + self.dice.below(20);
        let history = self.dj.home.join("History");
        match fault {
            Fault::Sleep => {
                let frozen = self.desk.as_ref().unwrap();
                frozen.freeze();
                self.cable.cut();
                wait::moment(self.minutes(minutes).as_millis() as u64).await;
                self.desk.as_ref().unwrap().thaw();
                // The network comes a little later.
                self.play_for(1).await;
                self.cable.mend();
            }
            Fault::Network => {
                self.cable.cut();
                let long = if self.dice.below(3) == 0 { 60 } else { minutes };
                self.play_for(long).await;
                self.cable.mend();
            }
            Fault::KillDesk => {
                self.desk.take().unwrap().kill();
                self.play_for(minutes).await;
                self.desk_starts();
            }
            Fault::KillServer => {
                self.server.take().unwrap().kill();
                self.play_for(minutes).await;
                self.server_starts();
            }
            Fault::KillBoth => {
                self.desk.take().unwrap().kill();
                self.server.take().unwrap().kill();
                self.server_starts();
                self.desk_starts();
            }
            Fault::Unplugged => {
                let away = self.dj.home.join("Away");
                fs::rename(&history, &away).unwrap();
                wait::moment(self.minutes(minutes).as_millis() as u64).await;
                fs::rename(&away, &history).unwrap();
            }
            Fault::Renamed | Fault::Rewritten => {
                let list = self.dj.list();
                let Ok(bytes) = fs::read(&list) else { return };
                if matches!(fault, Fault::Renamed) {
                    let new = list.with_extension("new");
                    fs::write(&new, bytes).unwrap();
                    fs::rename(&new, &list).unwrap();
                } else {
                    fs::write(&list, bytes).unwrap();
                }
            }
            Fault::OldList => {
                let entry = "#EXTVDJ:<time>22:00</time><lastplaytime>1700000000</lastplaytime><title>Old</title>\n/m/old.mp3\n";
                fs::write(history.join("2023-11-14.m3u"), entry).unwrap();
            }
        }
    }
}
