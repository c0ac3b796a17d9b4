//! Real Mixxx on a screen that nobody sees, with music that a program made: what it plays is told by the real publisher. Run by
//! `cargo xtask lab mixxx`.

#![allow(clippy::unwrap_used, reason = "a lab that does not work fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kit::mosquitto::Subscriber;
use kit::{Database, Pika, Program, process, wait};

/// Without a sound card: the clock of a sound server that plays to nobody.
const SOUND: &str = r#"<SoundManagerConfig api="JACK Audio Connection Kit" samplerate="44100" latency="5" deck_count="2">
<SoundDevice name="system"><output type="Master" index="0" channel="0" channel_count="2"/></SoundDevice>
</SoundManagerConfig>"#;

const SERVER: &str = "pika-lab";
/// Mixxx makes its database anew and draws its window without a graphics card.
const STARTED_WITHIN: Duration = Duration::from_secs(240);

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let lab = Lab::start(folder).await;
    println!("lab: Mixxx runs");

    let server = folder.join("server");
    let pika = Pika::up(&server, &[], &[("HOME", folder.to_str().unwrap())]).await;
    let database = Database { url: format!("sqlite://{}", server.join("pika.db").display()) };
    let token = process::add_token(&server, &database, "booth", &["desk"]);
    let laptop = folder.join("laptop");
    let mut command = process::command(&laptop);
    command.args(["publisher", "--headless", "--source", "mixxx", "--path"]).arg(&lab.settings);
    command.env("PIKA_BROKER_URL", format!("mqtt://booth:{token}@{}", pika.mqtt));
    let desk = Program::start(command, &laptop, "desk");
    let now = Subscriber::start(&pika.mqtt, &["-t", "pika/v1/tonight/main/now", "-v"]);
    wait::until("the desk to read Mixxx, and to reach the server", || async {
        let log = desk.log();
        if log.contains("reading") && log.contains("connected to") { Ok(()) } else { Err(log) }
    })
    .await;

    // Its keys as they are by default: a deck plays, and pauses.
    for (deck, key) in [("the first deck", "d"), ("the second deck", "l")] {
        let (since, before) = (Instant::now(), lab.history().len());
        lab.press(key);
        let title = wait::until(&format!("Mixxx to note what {deck} plays"), || async {
            let history = lab.history();
            history.get(before).cloned().ok_or_else(|| format!("{history:?}, and {}", lab.picture()))
        })
        .await;
        println!("lab: {title} on {deck} was noted by Mixxx after {:?}", since.elapsed());
        let line = now.prints(&title).await;
        println!("lab: it was told after {:?}: {line}", since.elapsed());
        lab.press(key);
    }
    println!("lab: what the desk says of it:\n{}", desk.log());
    assert!(!desk.log().contains("panicked"), "{}", desk.log());
}

/// Programs that end with the lab.
struct Lab {
    programs: Vec<Child>,
    display: String,
    window: String,
    folder: PathBuf,
    settings: PathBuf,
}

impl Lab {
    async fn start(folder: &Path) -> Self {
        let settings = folder.join("mixxx");
        fs::create_dir_all(&settings).unwrap();
        fs::write(settings.join("soundconfig.xml"), SOUND).unwrap();
        let titles = ["Glass Tide", "Low Sun"];
        let music: Vec<PathBuf> = titles.iter().map(|title| sounds(folder, title)).collect();
        let display = format!(":{}", 100 + std::process::id() % 1_000);
        let mut lab = Self {
            programs: Vec::new(),
            display,
            window: String::new(),
            folder: folder.to_owned(),
            settings,
        };
        let display = lab.display.clone();
        lab.run("Xvfb", &[&display, "-screen", "0", "1400x900x24"]);
        lab.run("jackd", &["--no-realtime", "-n", SERVER, "-d", "dummy", "-r", "44100", "-p", "1024"]);
        lab.windows("", 0).await;
        let settings = format!("{}/", lab.settings.display());
        // A track for each deck. The settings come last: Mixxx takes their folder for a track too.
        let mut arguments = vec!["--", "mixxx"];
        arguments.extend(music.iter().map(|track| track.to_str().unwrap()));
        arguments.extend(["--settingsPath", &settings]);
        lab.run("dbus-run-session", &arguments);
        // It asks for the folder with the music, and can do without.
        let question = lab.windows("Choose music library directory", 1).await.remove(0);
        lab.xdotool(&["windowfocus", &question, "key", "--window", &question, "Escape"]);
        // A window of its own has the size of a screen; others of that name are signs of the toolkit.
        lab.window = lab.main_window().await;
        lab
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("DISPLAY", &self.display)
            .env("HOME", &self.folder)
            .env("XDG_RUNTIME_DIR", &self.folder)
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("JACK_DEFAULT_SERVER", SERVER)
            .stdin(Stdio::null());
        command
    }

    fn run(&mut self, program: &str, arguments: &[&str]) {
        let log = fs::File::create(self.folder.join(format!("{program}.log"))).unwrap();
        let mut command = self.command(program);
        command.args(arguments).stdout(log.try_clone().unwrap()).stderr(log);
        self.programs.push(command.spawn().unwrap());
    }

    fn xdotool(&self, arguments: &[&str]) -> Option<String> {
        let done = self.command("xdotool").args(arguments).output().unwrap();
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Waits for so many windows of that name.
    async fn windows(&self, name: &str, count: usize) -> Vec<String> {
        let since = Instant::now();
        loop {
            let found = self.xdotool(&["search", "--name", name]).unwrap_or_default();
            let windows: Vec<String> = found.lines().map(str::to_owned).collect();
            if windows.len() >= count {
                return windows;
            }
            assert!(since.elapsed() < STARTED_WITHIN, "no window {name}; {}", self.picture());
            wait::moment(200).await;
        }
    }

    /// Waits until the decks are there: Mixxx has made its history of today by then.
    async fn main_window(&self) -> String {
        let since = Instant::now();
        loop {
            for window in self.windows("Mixxx", 1).await {
                let size = self.xdotool(&["getwindowgeometry", "--shell", &window]).unwrap_or_default();
                let is_large = size.lines().any(|line| {
                    line.strip_prefix("WIDTH=").and_then(|width| width.parse::<u32>().ok()) > Some(600)
                });
                if is_large && self.is_ready() {
                    return window;
                }
            }
            assert!(since.elapsed() < STARTED_WITHIN, "Mixxx does not get ready; {}", self.picture());
            wait::moment(200).await;
        }
    }

    /// Whether both tracks are known and loaded.
    fn is_ready(&self) -> bool {
        self.ask("select title from library").len() == 2
    }

    fn press(&self, key: &str) {
        let focused = self.xdotool(&["windowfocus", &self.window, "key", key]);
        assert!(focused.is_some(), "{}", self.picture());
    }

    /// The titles of what was played, oldest first.
    fn history(&self) -> Vec<String> {
        self.ask(
            "select l.title from PlaylistTracks pt join Playlists p on p.id = pt.playlist_id \
             join library l on l.id = pt.track_id where p.hidden = 2 order by pt.id",
        )
    }

    /// What its database holds; nothing while it is being written.
    fn ask(&self, query: &str) -> Vec<String> {
        let database = self.settings.join("mixxxdb.sqlite");
        let asked = Command::new("sqlite3").args(["-readonly"]).arg(database).arg(query).output().unwrap();
        String::from_utf8_lossy(&asked.stdout).lines().map(str::to_owned).collect()
    }

    /// Keeps a picture of the screen, and says where.
    fn picture(&self) -> String {
        let path = std::env::temp_dir().join("pika-lab-mixxx.png");
        let taken = self.command("import").args(["-window", "root"]).arg(&path).status();
        if taken.is_ok_and(|status| status.success()) {
            format!("the screen is in {}", path.display())
        } else {
            "no picture of the screen".to_owned()
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for program in self.programs.iter_mut().rev() {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// Three minutes of a tone with tags.
fn sounds(folder: &Path, title: &str) -> PathBuf {
    let path = folder.join(format!("{title}.flac"));
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "sine=frequency=330:sample_rate=44100", "-t", "180"])
        .args(["-metadata", &format!("title={title}"), "-metadata", "artist=Nova Harbor", "-ac", "2"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    path
}
