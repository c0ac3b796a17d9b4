//! The floor page in a real browser, and without its script.

use kit::{Browser, Database, Dj};

use crate::road::up;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_whole_without_its_script() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &[]).await;
    dj.plays("Glass Tide");
    pika.shows("Glass Tide").await;
    dj.plays("Half Life");
    pika.shows("Half Life").await;
    let plain = Browser::open_with(500, 1000, &["--blink-settings=scriptEnabled=false"]).await;
    plain.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    plain.sees("#now .title", "Half Life").await;
    plain.sees("#history", "Glass Tide").await;
    // It loads itself again and again.
    dj.plays("Third");
    plain.sees("#now .title", "Third").await;
    plain.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_comes_back_to_an_open_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let database = Database::sqlite(folder.path());
    let mut pika = up(folder.path(), &database, &dj, &[]).await;
    let browser = Browser::open(500, 1000).await;
    dj.plays("Before");
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    browser.sees("#now .title", "Before").await;
    let ports = pika.same_ports();
    pika.program.kill();
    browser.sees("#offline", "Connection lost").await;
    let ports: Vec<(&str, &str)> = ports.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _pika = up(folder.path(), &database, &dj, &ports).await;
    dj.plays("After");
    browser.sees("#now .title", "After").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_desk_is_no_signal_and_not_a_song_that_plays() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let database = Database::sqlite(folder.path());
    let settings = [("PIKA__ARCHIVER__SIGNAL_GRACE_MS", "1000")];
    let pika = kit::Pika::up(
        folder.path(),
        &[],
        &[&[("DATABASE_URL", database.url.as_str())], &settings[..]].concat(),
    )
    .await;
    let mut add = kit::process::command(folder.path());
    let added = add
        .args(["token", "add", "laptop", "--kind", "desk"])
        .env("DATABASE_URL", &database.url)
        .output()
        .unwrap();
    let token = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    let data = folder.path().join("laptop");
    let mut command = kit::process::command(&data);
    command.args(["publisher", "--source", "virtualdj", "--path"]).arg(&dj.home);
    command.arg("--server").arg(format!("mqtt://laptop:{token}@{}", pika.mqtt));
    let mut publisher = kit::Program::start(command, &data, "publisher");
    let browser = Browser::open(500, 1000).await;
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    dj.plays("Unfinished");
    browser.sees("#now .signal", "NOW PLAYING").await;
    publisher.kill();
    browser.sees("#now .signal", "NO SIGNAL").await;
    browser.sees("#now .since", "since ").await;
    browser.sees("#now .title", "Unfinished").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_headers_a_qr_code_and_kind_problems() {
    let folder = tempfile::tempdir().unwrap();
    let dj = Dj::new(folder.path());
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &[]).await;
    pika.page().await;
    let page = kit::http::get(&pika.web, "/e/tonight/main").unwrap();
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    assert!(
        !page.text().contains("<style")
            && !page.text().contains(" style=")
            && !page.text().contains("onclick")
    );
    let home = kit::http::get(&pika.web, "/").unwrap();
    assert_eq!((home.status, home.header("location")), (303, Some("/e/tonight/main")));
    let join = kit::http::get(&pika.web, "/join").unwrap().text();
    assert!(join.contains(&format!("http://{}/e/tonight/main", pika.web)) && join.contains("/qr.svg"));
    let qr = kit::http::get(&pika.web, "/qr.svg").unwrap();
    assert!(qr.text().starts_with("<svg") && qr.header("content-type") == Some("image/svg+xml"));
    for (path, status) in [
        ("/e/tonight/cellar", 404),
        ("/e/tonight/..%2f..%2fetc", 404),
        ("/nowhere", 404),
        ("/api/v1/tonight/cellar/now", 404),
        ("/assets/../Cargo.toml", 404),
        ("/ws?floor=tonight/main", 400),
    ] {
        let answer = kit::http::get(&pika.web, path).unwrap();
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.body.is_empty(), "{path} is answered with a sentence");
    }
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Origin", "https://evil.example"),
    ];
    let foreign = kit::http::get_with(&pika.web, "/ws?floor=tonight/main", &upgrade).unwrap();
    assert_eq!(foreign.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_has_its_own_name_colour_time_zone_and_floors() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        ("PIKA__EVENT__NAME", "Summer Ball"),
        ("PIKA__EVENT__ACCENT", "#33ccaa"),
        ("PIKA__EVENT__TIME_ZONE", "Asia/Kolkata"),
        (
            "PIKA__EVENT__FLOORS",
            r#"[{ id = "main", name = "Ballroom" }, { id = "cellar", name = "Cellar" }]"#,
        ),
    ];
    let pika = kit::Pika::up(folder.path(), &["--demo"], &settings).await;
    pika.shows("Downhearted Blues").await;
    let page = pika.page().await;
    assert!(page.contains("Summer Ball") && page.contains("Ballroom"), "{page}");
    let sheet = page.split('"').find(|part| part.starts_with("/assets/accent-")).unwrap().to_owned();
    let sheet = kit::http::get(&pika.web, &sheet).unwrap().text();
    assert!(sheet.starts_with(":root{--accent:#33ccaa;--on-accent:#111014;"), "{sheet}");
    let now = kit::http::get(&pika.web, "/api/v1/tonight/main/now").unwrap();
    let now: protocol::NowPlaying = serde_json::from_slice(&now.body).unwrap();
    // India is five and a half hours ahead of UTC, all year round.
    let minutes = now.play.unwrap().started_ms / 60_000 + 330;
    let clock = format!("since {:02}:{:02}", minutes / 60 % 24, minutes % 60);
    assert!(page.contains(&clock), "{clock} is not in {page}");
    let lobby = kit::http::get(&pika.web, "/").unwrap().text();
    assert!(lobby.contains("/e/tonight/main") && lobby.contains("/e/tonight/cellar"), "{lobby}");
}
