//! One play, on both engines; and the history file in all the ways VirtualDJ writes it.

use std::fs;

use kit::{Browser, Database, Dj, Pika, wait};

/// `pika up` on a database, reading a DJ's folder.
pub async fn up(folder: &std::path::Path, database: &Database, dj: &Dj, more: &[(&str, &str)]) -> Pika {
    let path = dj.home.to_str().unwrap().to_owned();
    let mut settings = vec![
        ("DATABASE_URL", database.url.as_str()),
        ("PIKA__PUBLISHER__PATH", path.as_str()),
        ("PIKA__PUBLISHER__SOURCE", "virtualdj"),
    ];
    settings.extend_from_slice(more);
    Pika::up(folder, &[], &settings).await
}

/// Waits until the archive holds exactly what the DJ wrote.
pub async fn archived(database: &Database, dj: &Dj) {
    wait::until("the archive to equal the history", || async { dj.is_archived(&database.plays().await?) })
        .await;
}

async fn one_play_everywhere(database: Database, folder: &std::path::Path) {
    let mut dj = Dj::new(folder);
    let pika = up(folder, &database, &dj, &[]).await;
    pika.shows("Nothing is playing yet").await;
    let browser = Browser::open(500, 1000).await;
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    browser.sees("#now .title", "Soon").await;

    dj.plays("Glass Tide");
    browser.sees("#now .title", "Glass Tide").await;
    browser.sees("#now .artist", "Nova Harbor").await;
    dj.plays("Half Life & <b>Bold</b>");
    browser.sees("#now .title", "Half Life & <b>Bold</b>").await;
    browser.sees("#history", "Glass Tide").await;
    browser.close().await;

    let text = kit::http::get(&pika.web, "/api/v1/tonight/main/now.txt").unwrap();
    assert_eq!(text.text(), "Nova Harbor – Half Life & <b>Bold</b>\n");
    let json = kit::http::get(&pika.web, "/api/v1/tonight/main/now").unwrap();
    let now: protocol::NowPlaying = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(now.play.unwrap().started_ms, dj.written[1].started_ms);
    archived(&database, &dj).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_play_everywhere_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    one_play_everywhere(Database::sqlite(folder.path()), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_play_everywhere_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    one_play_everywhere(Database::postgres(), folder.path()).await;
}

/// Slow appends, truncate and rewrite, replace by rename, midnight, an old list touched, a list moved away: the
/// archive ends with exactly the plays, once each, in order, with their own times.
async fn every_way_of_writing(database: Database, folder: &std::path::Path) {
    let mut dj = Dj::new(folder);
    let old = dj.home.join("History/2023-05-01.m3u");
    let stale = "#EXTVDJ:<time>21:00</time><lastplaytime>1682967600</lastplaytime><title>Long Ago</title>\n/m/long-ago.mp3\n";
    fs::write(&old, stale).unwrap();
    let _pika = up(folder, &database, &dj, &[]).await;

    dj.before_midnight();
    dj.plays("Appended");
    archived(&database, &dj).await;
    dj.midnight();
    dj.plays("After Midnight");
    archived(&database, &dj).await;
    // In three writes, cut inside a tag and inside a character.
    let entry = dj.entry("Slowly é");
    let cut = entry.find('é').unwrap() + 1;
    for part in [&entry.as_bytes()[..20], &entry.as_bytes()[20..cut], &entry.as_bytes()[cut..]] {
        let mut list = fs::OpenOptions::new().append(true).create(true).open(dj.list()).unwrap();
        std::io::Write::write_all(&mut list, part).unwrap();
        wait::moment(300).await;
    }
    archived(&database, &dj).await;
    let whole = fs::read_to_string(dj.list()).unwrap();
    let more = dj.entry("After Truncate");
    fs::write(dj.list(), "").unwrap();
    wait::moment(200).await;
    fs::write(dj.list(), format!("{whole}{more}")).unwrap();
    archived(&database, &dj).await;
    let whole = fs::read_to_string(dj.list()).unwrap();
    let more = dj.entry("After Rename");
    let new = dj.home.join("History/new.tmp");
    fs::write(&new, format!("{whole}{more}")).unwrap();
    fs::rename(&new, dj.list()).unwrap();
    archived(&database, &dj).await;
    fs::write(&old, stale).unwrap();
    let three = [dj.entry("Burst 1"), dj.entry("Burst 2"), dj.entry("Burst 3")].concat();
    let mut list = fs::OpenOptions::new().append(true).open(dj.list()).unwrap();
    std::io::Write::write_all(&mut list, three.as_bytes()).unwrap();
    archived(&database, &dj).await;
    let moved = dj.home.join("History/2023/05");
    fs::create_dir_all(&moved).unwrap();
    fs::rename(&old, moved.join("2023-05-01.m3u")).unwrap();
    dj.plays("Last");
    archived(&database, &dj).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_writing_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    every_way_of_writing(Database::sqlite(folder.path()), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_writing_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    every_way_of_writing(Database::postgres(), folder.path()).await;
}
