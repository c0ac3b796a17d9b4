//! A publisher at a DJ's laptop, with lists of many nights beside it: how long an entry takes from the file to MQTT, and what the
//! program needs while nothing happens. Run by `cargo xtask bench desk`.

#![allow(clippy::unwrap_used, reason = "a benchmark that does not work fails by panicking")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kit::mosquitto::Subscriber;
use kit::{Database, Dj, Pika, Program, process, wait};

const ROUNDS: usize = 40;
/// Lists of the nights before, and what is in them.
const HISTORY_BYTES: usize = 5 * 1024 * 1024;
const LISTS: usize = 100;
/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let (hall, laptop) = (folder.path().join("hall"), folder.path().join("laptop"));
    std::fs::create_dir_all(&hall).unwrap();
    let database = Database::sqlite(&hall);
    // There is nothing to publish there.
    let nowhere = laptop.join("nowhere").to_string_lossy().into_owned();
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("PIKA__PUBLISHER__PATH", nowhere.as_str()),
        ("PIKA__PUBLISHER__SOURCE", "virtualdj"),
    ];
    let pika = Pika::up(&hall, &[], &settings).await;
    pika.page().await;
    let token = process::add_token(&hall, &database, "booth", &["desk"]);
    let mut dj = Dj::new(&laptop);
    nights_before(&dj);

    let mut command = process::publisher(&laptop, &dj.home);
    command.arg("--server").arg(format!("mqtt://booth:{token}@{}", pika.mqtt));
    let program = Program::start(command, &laptop, "publisher");
    let topic = "pika/v1/tonight/main/desk/booth/play";
    wait::until("the desk to be connected", || async {
        let log = program.log();
        if log.contains("reading") && log.contains("connected to the broker") { Ok(()) } else { Err(log) }
    })
    .await;
    let told = Subscriber::start(&pika.mqtt, &["-t", topic, "-F", "%U %p", "-u", "booth", "-P", &token]);

    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let title = format!("From file {round}");
        // Real lists have a second of its own for each play, and so have we.
        wait::moment(1_050 + 37 * round as u64 % 500).await;
        let written = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        dj.plays(&title);
        let line = told.prints(&format!("{title}\"")).await;
        let heard: f64 = line.split(' ').next().unwrap().parse().unwrap();
        times.push((heard - written) * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "history entry written → MQTT at another client: median {:.1} ms, p95 {:.1} ms, worst {:.1} ms of {ROUNDS} (must: median under 300 ms)",
        times[ROUNDS / 2],
        times[ROUNDS * 95 / 100],
        times[ROUNDS - 1]
    );

    // What came last is done and confirmed.
    wait::moment(3_000).await;
    let (before, since) = (program.cpu_us(), Instant::now());
    wait::moment(IDLE.as_millis() as u64).await;
    let cpu = (program.cpu_us() - before) / since.elapsed().as_micros() as f64 * 100.0;
    println!(
        "idle beside {} MB of lists: {cpu:.2} % of a core (must 0.2, aim 0.05), {:.1} MB (must 25, aim 12)",
        HISTORY_BYTES >> 20,
        program.rss_kib() as f64 / 1024.0
    );
}

fn nights_before(dj: &Dj) {
    let today = jiff::Zoned::now().date();
    let entry = |n: usize| {
        format!(
            "#EXTVDJ:<time>21:02</time><lastplaytime>{}</lastplaytime><filesize>9744561</filesize><artist>Nova Harbor</artist>\
             <title>Glass Tide {n}</title><songlength>241.622</songlength>\n/Users/dj/Music/Nova Harbor - Glass Tide {n}.mp3\n",
            1_600_000_000 + n * 200
        )
    };
    let each = HISTORY_BYTES / LISTS / entry(0).len();
    for list in 0..LISTS {
        let day = today.saturating_sub(jiff::Span::new().days(3 + list as i64));
        let text: String = (0..each).map(|n| entry(list * each + n)).collect();
        let path = dj.home.join("History").join(format!("{day}.m3u"));
        std::fs::write(&path, text).unwrap();
        let file = std::fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(86_400 * (3 + list as u64))).unwrap();
    }
}
