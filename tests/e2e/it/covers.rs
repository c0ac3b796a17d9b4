//! What the files of a set say, from their tags to the phone: tempo, key and cover, and never where they lie or what the DJ
//! wrote to himself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kit::mosquitto::Subscriber;
use kit::proxy::Proxy;
use kit::{Browser, Database, Dj, Pika, Program, http, process, wait};
use serde_json::Value;

use crate::road::{archived, up};

/// What must not leave the machine.
const COMMENT: &str = "my secret weapon";

/// Writes a track with tags and a cover in a colour of its own.
fn track(folder: &Path, name: &str, colour: &str, tags: &[&str]) -> PathBuf {
    let music = folder.join("Secret Folder");
    fs::create_dir_all(&music).unwrap();
    let (picture, file) = (music.join("picture.png"), music.join(name));
    let run = |arguments: &[&str]| {
        let done = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let source = format!("color=c={colour}:s=700x600");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    run(&["-f", "lavfi", "-i", &source, "-frames:v", "1", &path(&picture)]);
    let mut arguments = vec!["-f", "lavfi", "-i", "sine=d=200"];
    let (picture, file_path) = (path(&picture), path(&file));
    arguments.extend(["-i", &picture, "-map", "0:a", "-map", "1:v", "-c:v", "copy", "-b:a", "32k"]);
    arguments.extend(["-disposition:v", "attached_pic", "-metadata:s:v", "comment=Cover (front)"]);
    let comment = format!("comment={COMMENT}");
    for tag in tags.iter().copied().chain([comment.as_str()]) {
        arguments.extend(["-metadata", tag]);
    }
    arguments.push(&file_path);
    run(&arguments);
    // Otherwise it would stand in for covers that a file lacks.
    fs::remove_file(picture).unwrap();
    file
}

fn now(server: &str) -> Result<Value, String> {
    let answer = http::get(server, "/api/v1/tonight/main/now")?;
    serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
}

/// Waits until the play that is on has this title and a cover, and returns `now`.
async fn now_with_cover(server: &str, title: &str) -> Value {
    wait::until(&format!("{title} with its cover"), || async {
        let now = now(server)?;
        let track = &now["play"]["track"];
        let is_there = track["title"] == title && track["cover"].is_string();
        if is_there { Ok(now) } else { Err(now.to_string()) }
    })
    .await
}

/// Waits until a picture is drawn on the page.
async fn draws_a_cover(browser: &Browser) {
    let drawn = "const cover = document.querySelector('#now img.cover'); \
        return !!cover && cover.complete && cover.naturalWidth > 0 && cover.getBoundingClientRect().width > 40";
    browser.holds("the cover to be drawn", drawn).await;
}

async fn from_the_file_to_the_page(database: Database, folder: &Path) {
    let mut dj = Dj::new(folder);
    let flac =
        track(folder, "one.flac", "red", &["BPM=124.5", "INITIALKEY=F#m", "album=Shore", "title=Other"]);
    let mp3 = track(folder, "two.mp3", "blue", &["TBPM=98", "TKEY=Am"]);
    let token = process::add_token(folder, &database, "watcher", &["service"]);
    let pika = up(folder, &database, &dj, &[]).await;
    pika.shows("Nothing is playing yet").await;
    let everything = Subscriber::start(
        &pika.mqtt,
        &["-u", "watcher", "-P", &token, "-t", "#", "-q", "1", "-F", "%r %t %p"],
    );
    everything.prints("pika/v1/tonight/info ").await;
    let browser = Browser::open(412, 900).await;
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    browser.sees("#now .title", "Soon").await;

    dj.plays_file("Glass Tide", &flac);
    let first = now_with_cover(&pika.web, "Glass Tide").await;
    let track = &first["play"]["track"];
    assert_eq!(
        (&track["bpm"], &track["key"], &track["album"]),
        (&124.5.into(), &"F#m".into(), &"Shore".into())
    );
    let url = first["cover_url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix(&format!("http://{}", pika.web)).expect("an address of ours").to_owned();
    everything.prints(&format!("0 pika/v1/tonight/main/now/cover_url {url}")).await;

    let answer = http::get(&pika.web, &path).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/jpeg")));
    assert!(
        answer.body.starts_with(&[0xff, 0xd8, 0xff]) && answer.body.len() <= 100_000,
        "{}",
        answer.body.len()
    );
    assert!(answer.header("cache-control").unwrap().contains("immutable"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let tag = answer.header("etag").unwrap();
    assert_eq!(http::get_with(&pika.web, &path, &[("If-None-Match", tag)]).unwrap().status, 304);
    for wrong in ["/cover/00000000000000000000000000000000.jpg", "/cover/x.jpg", "/cover/..%2fpika.db"] {
        let answer = http::get(&pika.web, wrong).unwrap();
        assert_eq!(answer.status, 404, "{wrong}");
        assert_eq!(answer.text(), "There is no such cover here.\n");
    }
    draws_a_cover(&browser).await;
    browser.keeps_picture("cover-phone").await;
    for screen in ["stage", "overlay"] {
        browser.goto(&format!("http://{}/e/tonight/main/{screen}", pika.web)).await;
        draws_a_cover(&browser).await;
        browser.keeps_picture(&format!("cover-{screen}")).await;
    }

    dj.plays_file("Night Ferry", &mp3);
    let second = now_with_cover(&pika.web, "Night Ferry").await;
    assert_ne!(second["cover_url"], first["cover_url"], "another track, another address");
    assert_eq!(
        (&second["play"]["track"]["bpm"], &second["play"]["track"]["key"]),
        (&98.0.into(), &"Am".into())
    );
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    draws_a_cover(&browser).await;
    // One of which nothing is known has a record, and no hole.
    dj.plays("Half Life");
    browser.sees("#now .title", "Half Life").await;
    browser.has("#now .record").await;
    assert_eq!(browser.run("return document.querySelectorAll('img.cover').length").await, 0);
    browser.close().await;
    archived(&database, &dj).await;

    // From the archive, when nobody remembers.
    drop(pika);
    let pika = up(folder, &database, &dj, &[]).await;
    wait::until("the cover from the archive", || async {
        let answer = http::get(&pika.web, &path)?;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    for line in everything.lines() {
        for secret in [COMMENT, "Secret Folder", "one.flac", "two.mp3"] {
            assert!(!line.contains(secret), "{line}");
        }
        let is_cover = line.contains("/desk/pika-desk/cover ");
        assert!(!is_cover || (line.starts_with("0 ") && line.len() < 141_000), "{} bytes", line.len());
    }
    let covers = everything.lines().iter().filter(|line| line.contains("/cover ")).count();
    assert!(covers >= 2, "{covers} covers on the bus");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_file_to_the_page_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    from_the_file_to_the_page(Database::sqlite(folder.path()), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_file_to_the_page_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    from_the_file_to_the_page(Database::postgres(), folder.path()).await;
}

/// What waits at the desk survives the network and a kill.
#[tokio::test(flavor = "multi_thread")]
async fn the_network_goes_away_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (server_data, laptop) = (folder.path().join("server"), folder.path().join("laptop"));
    fs::create_dir_all(&server_data).unwrap();
    let database = Database::sqlite(folder.path());
    let mut dj = Dj::new(folder.path());
    let files: Vec<PathBuf> = ["green", "yellow", "purple"]
        .iter()
        .map(|colour| track(folder.path(), &format!("{colour}.mp3"), colour, &["TBPM=98"]))
        .collect();
    let token = process::add_token(&server_data, &database, "laptop", &["desk"]);
    let server = Pika::up(&server_data, &[], &[("DATABASE_URL", database.url.as_str())]).await;
    let cable = Proxy::to(&server.mqtt).await;
    let start = || {
        let mut command = process::publisher(&laptop, &dj_home(folder.path()));
        command.args(["--floor", "main", "--server"]);
        command.arg(format!("mqtt://laptop:{token}@{}", cable.address));
        Program::start(command, &laptop, "publisher")
    };
    let mut publisher = start();
    dj.plays_file("Green", &files[0]);
    now_with_cover(&server.web, "Green").await;

    cable.cut();
    dj.plays_file("Yellow", &files[1]);
    let held = laptop.join("desk/laptop/covers");
    let count = || fs::read_dir(&held).map_or(0, |files| files.count());
    wait::until_some("the cover to be on disk", || (count() == 1).then_some(())).await;
    publisher.kill();
    dj.plays_file("Purple", &files[2]);
    publisher = start();
    wait::until_some("both covers to be on disk", || (count() == 2).then_some(())).await;
    cable.mend();
    now_with_cover(&server.web, "Purple").await;
    archived(&database, &dj).await;
    let covers = wait::until("three plays with three covers", || async {
        let plays = database.plays().await?;
        let covers: Vec<_> = plays.iter().filter_map(|past| past.play.track.cover).collect();
        if covers.len() == 3 { Ok(covers) } else { Err(format!("{plays:?}")) }
    })
    .await;
    for cover in covers {
        let answer = http::get(&server.web, &format!("/cover/{cover}.jpg")).unwrap();
        assert_eq!(answer.status, 200);
    }
    wait::until_some("the desk to let go of them", || (count() == 0).then_some(())).await;
    drop(publisher);
}

fn dj_home(folder: &Path) -> PathBuf {
    folder.join("VirtualDJ")
}

/// A rule about what only the file says, and no covers for who wants none.
#[tokio::test(flavor = "multi_thread")]
async fn a_comment_in_a_file_takes_its_play_back() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::sqlite(folder.path());
    let mut dj = Dj::new(folder.path());
    let file = track(folder.path(), "jingle.flac", "white", &["BPM=98"]);
    let tagged = folder.path().join("tagged.flac");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../publisher/samples/tags/tagged.flac"), &tagged)
        .unwrap();
    let comments = format!("[\"{COMMENT}\"]");
    let settings =
        [("PIKA__PUBLISHER__SKIP_COMMENTS", comments.as_str()), ("PIKA__PUBLISHER__COVERS", "false")];
    let pika = up(folder.path(), &database, &dj, &settings).await;
    dj.plays_file("Glass Tide", &tagged);
    wait::until("its tempo", || async {
        let now = now(&pika.web)?;
        if now["play"]["track"]["bpm"] == 124.5 { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    assert!(now(&pika.web).unwrap().get("cover_url").is_none());
    dj.plays_file("Jingle", &file);
    wait::until("the jingle to come and go", || async {
        let log = pika.program.log();
        let (now, plays) = (now(&pika.web)?, database.plays().await?);
        let is_gone = log.contains("Jingle") && now.get("play").is_none() && plays.len() == 1;
        if is_gone { Ok(()) } else { Err(format!("{now} {plays:?}")) }
    })
    .await;
}
