//! Last night's history file, sent afterwards: the archive has each play once, with its own time, whatever was live and
//! whatever was killed, and the floor does not notice.

use std::fs;
use std::path::{Path, PathBuf};

use kit::dj::Written;
use kit::http;
use kit::mosquitto::Subscriber;
use kit::process::{self, Program, runtime};
use kit::{Database, Dj, Pika, wait};
use protocol::{NowPlaying, PastPlay};

use crate::export::pika;
use crate::reactions::on;
use crate::road::archived;

/// A new token of a database that no program has open yet or that one has.
fn token(data: &Path, database: &Database, name: &str, kind: &str) -> String {
    let settings = [("DATABASE_URL", database.url.as_str())];
    let (out, _) = pika(data, &["token", "add", name, "--kind", kind], &settings);
    out.lines().last().unwrap().to_owned()
}

/// An entry of an hour before, when nobody listened.
fn missed(dj: &mut Dj, title: &str, minutes_before: i64) -> String {
    let started_s = config::clock::now_ms() / 1000 - minutes_before * 60;
    dj.written.push(Written { title: title.to_owned(), started_ms: started_s * 1000 });
    dj.written.sort_by_key(|written| written.started_ms);
    format!(
        "#EXTVDJ:<lastplaytime>{started_s}</lastplaytime><artist>Nova Harbor</artist><title>{title}</title>\
         <songlength>180.5</songlength>\n/Users/dj/Music/Nova Harbor - {title}.mp3\n"
    )
}

/// `pika publisher --import` from a data folder of its own.
fn import(data: &Path, list: &Path, server: &str) -> std::process::Command {
    let mut command = process::command(data);
    command.args(["publisher", "--import"]).arg(list).args(["--server", server]);
    command
}

/// Its exit status and all it said.
fn imported(data: &Path, list: &Path, server: &str) -> (bool, String, String) {
    let done = import(data, list, server).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.success(), text(&done.stdout), text(&done.stderr))
}

async fn last_night_is_sent_afterwards(database: Database, folder: &Path) {
    let mut dj = Dj::new(folder);
    let (server_data, laptop) = (folder.join("server"), folder.join("laptop"));
    let desk = token(&server_data, &database, "laptop", "desk");
    let server = Pika::up(&server_data, &[], &[("DATABASE_URL", database.url.as_str())]).await;
    let url = format!("mqtt://laptop:{desk}@{}", server.mqtt);
    let mut live = process::publisher(&laptop, &dj.home);
    live.args(["--server", &url]);
    let _live = Program::start(live, &laptop, "publisher");
    for title in ["Glass Tide", "Half Life"] {
        dj.plays(title);
        on(&server, title).await;
    }
    archived(&database, &dj).await;
    let live_rows = database.plays().await.unwrap();
    let now = Subscriber::start(&server.mqtt, &["-t", "pika/v1/tonight/main/now"]);
    let status = Subscriber::start(
        &server.mqtt,
        &["-u", "laptop", "-P", &desk, "-t", "pika/v1/tonight/main/desk/laptop/status"],
    );
    now.prints("Half Life").await;
    status.prints("online").await;

    // The same list with more in it, and with less known of what was live.
    let poorer = fs::read_to_string(dj.list()).unwrap().replace("<songlength>241.622</songlength>", "");
    let missed = missed(&mut dj, "Missed One", 60) + &missed(&mut dj, "Missed Two", 55);
    let list = folder.join(dj.list().file_name().unwrap());
    fs::write(&list, missed + &poorer).unwrap();

    let (done, said, log) = imported(&laptop, &list, &url);
    assert!(!done && said.is_empty() && log.contains("another publisher uses the journal"), "{log}");
    let other = folder.join("another laptop");
    let (done, said, log) = imported(&other, &list, &url);
    assert!(
        done && said.starts_with("4 plays sent, 0 known already; set ") && said.lines().count() == 1,
        "{said}{log}"
    );
    // What it says is confirmed, so there is nothing to wait for.
    let rows = database.plays().await.unwrap();
    dj.is_archived(&rows).unwrap();
    let of = |rows: &[PastPlay], title: &str| {
        rows.iter().find(|past| past.play.track.title.as_deref() == Some(title)).cloned().unwrap()
    };
    for title in ["Glass Tide", "Half Life"] {
        assert_eq!(of(&rows, title), of(&live_rows, title), "what was live is the richer one, and stays");
    }
    let set = said.trim().rsplit_once(' ').unwrap().1;
    assert_eq!(of(&rows, "Missed One").set_id.to_string(), set);

    // Again: from the same folder, and from one that knows nothing.
    let sets = || {
        let settings = [("DATABASE_URL", database.url.as_str())];
        pika(&server_data, &["export", "--event", "tonight", "--format", "json"], &settings).0
    };
    let before = sets();
    let (done, said, log) = imported(&other, &list, &url);
    assert!(
        done && said.starts_with("nothing new: 4 plays known already; set ") && said.contains(set),
        "{said}{log}"
    );
    let (done, said, log) = imported(&folder.join("a third"), &list, &url);
    assert!(done && said.starts_with("4 plays sent") && said.contains(set), "{said}{log}");
    assert_eq!(sets(), before, "nothing changes");

    // The floor has not noticed, and goes on.
    for line in now.lines() {
        let now: NowPlaying = serde_json::from_str(&line).unwrap();
        assert_eq!(now.play.unwrap(), of(&live_rows, "Half Life").play, "{line}");
    }
    assert_eq!(status.lines(), ["online"]);
    let answer = http::get(&server.web, "/api/v1/tonight/main/now").unwrap();
    assert!(answer.text().contains("Half Life"), "{}", answer.text());
    dj.plays("And On");
    on(&server, "And On").await;
    archived(&database, &dj).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn last_night_is_sent_afterwards_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    last_night_is_sent_afterwards(Database::sqlite(folder.path()), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn last_night_is_sent_afterwards_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    last_night_is_sent_afterwards(Database::postgres(), folder.path()).await;
}

/// A broker that stays, and an archiver that comes and goes: without one, nothing is confirmed.
struct Stage {
    folder: PathBuf,
    database: Database,
    archiver_url: String,
    desk_url: String,
    list: PathBuf,
    dj: Dj,
    _broker: Program,
}

impl Stage {
    /// With the list of a night that nobody saw live.
    async fn new(folder: &Path) -> Self {
        let database = Database::sqlite(folder);
        let data = folder.join("broker");
        let (desk, archiver) =
            (token(&data, &database, "laptop", "desk"), token(&data, &database, "archiver", "service"));
        let mut broker = process::command(&data);
        broker.arg("broker").env("DATABASE_URL", &database.url);
        let broker = Program::start(broker, &data, "broker");
        let address = runtime(&data, "runtime-broker.json", None).await["mqtt"].as_str().unwrap().to_owned();
        let mut dj = Dj::new(folder);
        let entries: Vec<String> =
            (0..20).map(|n| missed(&mut dj, &format!("Missed {n}"), 100 - 4 * n)).collect();
        let list = folder.join("last night.m3u");
        fs::write(&list, entries.concat()).unwrap();
        Self {
            folder: folder.to_owned(),
            database,
            archiver_url: format!("mqtt://archiver:{archiver}@{address}"),
            desk_url: format!("mqtt://laptop:{desk}@{address}"),
            list,
            dj,
            _broker: broker,
        }
    }

    fn archiver(&self) -> Program {
        let data = self.folder.join("archiver");
        let mut archiver = process::command(&data);
        archiver
            .arg("archiver")
            .env("DATABASE_URL", &self.database.url)
            .env("PIKA_BROKER_URL", &self.archiver_url);
        Program::start(archiver, &data, "archiver")
    }

    /// An archiver that has said which floors there are, and is gone before it could store anything.
    async fn archiver_that_died(&self) {
        let mut archiver = self.archiver();
        let info =
            Subscriber::start(self.desk_url.rsplit_once('@').unwrap().1, &["-t", "pika/v1/tonight/info"]);
        info.prints("\"floors\"").await;
        archiver.kill();
    }

    fn import(&self, arguments: &[&str], name: &str) -> Program {
        let data = self.folder.join("laptop");
        let mut command = import(&data, &self.list, &self.desk_url);
        command.args(arguments);
        Program::start(command, &data, name)
    }
}

async fn says(program: &Program, text: &str) {
    wait::until(&format!("the import to say {text}"), || async {
        let log = program.log();
        if log.contains(text) { Ok(()) } else { Err(log) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).await;
    stage.archiver_that_died().await;
    let mut first = stage.import(&[], "first");
    says(&first, "the plays are in the journal").await;
    first.kill();
    assert_eq!(stage.database.plays().await.unwrap(), []);
    // The second one is stopped and says what becomes of the rest; the third one gets through.
    let mut second = stage.import(&[], "second");
    says(&second, "sending again").await;
    let status = second.stop().await;
    assert_eq!(status.code(), Some(1));
    says(
        &second,
        "has not confirmed 20 reports; they are in the journal, and the rest is sent at the next start",
    )
    .await;
    let mut third = stage.import(&[], "third");
    let _archiver = stage.archiver();
    let status = third.ended().await;
    assert!(status.success(), "{}", third.log());
    says(&third, "nothing new: 20 plays known already, 20 sent that waited from before").await;
    stage.dj.is_archived(&stage.database.plays().await.unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).await;
    let archiver = stage.archiver();
    for round in 0..10 {
        let mut import = stage.import(&[], "killed");
        wait::moment(10 + round * 30).await;
        import.kill();
    }
    let mut last = stage.import(&[], "last");
    let status = last.ended().await;
    assert!(status.success(), "{}", last.log());
    stage.dj.is_archived(&stage.database.plays().await.unwrap()).unwrap();
    assert!(!archiver.log().contains("clock differs"), "what is old is not a slow clock");
}

/// What an import left in the journal is sent by the publisher too, whose set it neither opens nor closes.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_sends_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(folder.path()).await;
    stage.archiver_that_died().await;
    let live = |stage: &Stage| {
        let mut live = process::command(&stage.folder.join("laptop"));
        live.args(["publisher", "--source", "virtualdj", "--path"]).arg(&stage.dj.home);
        live.args(["--server", &stage.desk_url]);
        Program::start(live, &stage.folder.join("laptop"), "publisher")
    };
    let mut publisher = live(&stage);
    says(&publisher, "reading").await;
    stage.dj.plays("Live");
    says(&publisher, "Live").await;
    publisher.kill();
    let mut import = stage.import(&[], "import");
    says(&import, "the plays are in the journal").await;
    import.kill();
    let publisher = live(&stage);
    let _archiver = stage.archiver();
    archived(&stage.database, &stage.dj).await;
    assert!(publisher.log().contains("the set goes on"), "{}", publisher.log());
    // It is still the one that is heard.
    let address = stage.desk_url.rsplit_once('@').unwrap().1;
    Subscriber::start(address, &["-t", "pika/v1/tonight/main/now/title"]).prints("Live").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_floor_that_is_not_there_and_a_file_that_is_no_history_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).await;
    let _archiver = stage.archiver();
    let mut attic = stage.import(&["--floor", "attic"], "attic");
    assert_eq!(attic.ended().await.code(), Some(1));
    says(&attic, "has no floor `attic`; name one of these with --floor: main").await;
    let plain = folder.path().join("plain.m3u");
    fs::write(&plain, "#EXTM3U\n/m/a.mp3\n").unwrap();
    let (done, _, log) = imported(&folder.path().join("laptop"), &plain, &stage.desk_url);
    assert!(!done && log.contains("does not say when its tracks were played"), "{log}");
    // Neither has left anything in the way.
    let (done, said, log) = imported(&folder.path().join("laptop"), &stage.list, &stage.desk_url);
    assert!(done && said.starts_with("20 plays sent, 0 known already"), "{said}{log}");
    stage.dj.is_archived(&stage.database.plays().await.unwrap()).unwrap();
}
