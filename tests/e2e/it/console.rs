//! The DJ's console: who gets in, what it shows, and what it says to the floor, to the desk and to the archive.

use std::path::Path;

use kit::process::add_token;
use kit::{Browser, Database, Dj, Phone, Pika, http, wait};
use protocol::PlayId;
use serde_json::json;

use crate::reactions::on;
use crate::road::up;

/// The token of the desk in the same process.
fn own_token(pika: &Pika) -> String {
    std::fs::read_to_string(pika.data.join("desk.token")).unwrap().trim().to_owned()
}

fn login(pika: &Pika, name: &str, token: &str) -> http::Answer {
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    http::post(&pika.web, "/dj/login", &form, &format!("name={name}&token={token}")).unwrap()
}

/// A session as a browser sends it back.
fn session(pika: &Pika, name: &str, token: &str) -> String {
    let answer = login(pika, name, token);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/dj")), "{}", answer.text());
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

fn act(pika: &Pika, session: &str, what: &str, fields: &str) -> u16 {
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Cookie", session),
        ("Accept", "application/json"),
    ];
    http::post(&pika.web, &format!("/dj/main/{what}"), &headers, fields).unwrap().status
}

async fn browser_logs_in(pika: &Pika) -> Browser {
    let browser = Browser::open(1280, 1000).await;
    browser.goto(&format!("http://{}/dj", pika.web)).await;
    browser.types("#name", "pika-desk").await;
    browser.types("#token", &own_token(pika)).await;
    browser.clicks("form.fields button").await;
    browser.sees("#onair h2", "ON AIR").await;
    browser
}

async fn playing(folder: &Path) -> (Dj, Database, Pika, PlayId) {
    let (mut dj, database) = (Dj::new(folder), Database::sqlite(folder));
    let pika = up(folder, &database, &dj, &[]).await;
    pika.page().await;
    dj.plays("Before");
    on(&pika, "Before").await;
    dj.plays("Glass Tide");
    let play = on(&pika, "Glass Tide").await;
    (dj, database, pika, play)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_floor_says_and_what_the_dj_says_back() {
    let folder = tempfile::tempdir().unwrap();
    let (_dj, database, pika, play) = playing(folder.path()).await;
    let console = browser_logs_in(&pika).await;
    let dancer = Browser::open(500, 1000).await;
    dancer.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    dancer.clicks("#like").await;
    dancer.clicks("#slower").await;
    console.sees(".counts div:nth-child(1) dd", "1").await;
    console.sees("#crowd .slower .count", "1").await;
    console.sees(".counts div:nth-child(3) dd", "1").await;

    // An announcement by one tap, and one that is typed.
    console.clicks("button[name=text][value*=water]").await;
    console.sees("#outcome", "Done.").await;
    dancer.sees("#notices", "drink some water").await;
    console.types("#text", "Shoes at the door, please").await;
    console.clicks("form.fields[action$=announce] button").await;
    dancer.sees("#notices", "Shoes at the door").await;
    console.clicks("#said form button").await;
    dancer.holds("the banner to be gone", "return !document.querySelector('#notices p')").await;

    // A poll, a vote, another mind, and the result.
    console.clicks("button[name=options][value*=Blues]").await;
    dancer.sees("#poll h2", "What next?").await;
    dancer.clicks("#vote-0").await;
    console.sees("#said .answer .count", "1 · 100 %").await;
    dancer.clicks("#vote-1").await;
    console.sees("#said .answer:nth-of-type(2) .count", "1 · 100 %").await;
    dancer.has("#vote-1[aria-pressed=true]").await;
    dancer.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    dancer.has("#vote-1[aria-pressed=true]").await;
    for look in ["light", "dark"] {
        console.goto(&format!("http://{}/dj/main?look={look}", pika.web)).await;
        let barriers = console.barriers().await;
        assert!(barriers.is_empty(), "{barriers:#?}");
        console.keeps_picture(&format!("console-1280-en-{look}")).await;
    }
    console
        .devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true }),
        )
        .await;
    console.goto(&format!("http://{}/dj/main?lang=pl", pika.web)).await;
    let barriers = console.barriers().await;
    assert!(barriers.is_empty(), "{barriers:#?}");
    console.keeps_picture("console-390-pl-dark").await;
    console.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
    console.goto(&format!("http://{}/dj/main?lang=en", pika.web)).await;
    console.clicks("form[action$=close-poll] button").await;
    dancer.sees("#poll", "Closed.").await;
    let store = database.store();
    let polls = wait::until("the poll on record", || async {
        let polls =
            store.polls_of_event(&"tonight".parse().unwrap()).await.map_err(|error| error.to_string())?;
        if polls.is_empty() { Err("none".to_owned()) } else { Ok(polls) }
    })
    .await;
    assert_eq!(polls[0].question, "What next?");
    assert_eq!(polls[0].options.iter().map(|(_, votes)| *votes).collect::<Vec<_>>(), [0, 1, 0]);
    let recap = http::get(&pika.web, "/e/tonight/recap").unwrap().text();
    assert!(recap.contains("What next?") && recap.contains("1 vote"), "{recap}");

    // The last song, and what can be done about what is on.
    console.clicks("form[action$=last-song] button").await;
    dancer.sees("#notices", "last song").await;
    console.clicks("form[action$=hide] button").await;
    dancer.sees("#now .title", "A secret").await;
    let page = http::get(&pika.web, "/e/tonight/main").unwrap().text();
    assert!(!page.contains("Glass Tide"), "a hidden song is nowhere on the page");
    console.clicks("form[action$=hide] button").await;
    dancer.sees("#now .title", "Glass Tide").await;
    console.clicks("#onair summary").await;
    console.types("#correct-title", "Glass Tides").await;
    console.types("#correct-artist", "Nova Harbour").await;
    console.clicks("form[action$=correct] button").await;
    dancer.sees("#now .title", "Glass Tides").await;
    dancer.sees("#now .artist", "Nova Harbour").await;
    assert_eq!(on(&pika, "Glass Tides").await, play, "it is the same play, and keeps its likes");
    dancer.has("#like[aria-pressed=true]").await;
    console.clicks("form[action$=withdraw] button").await;
    dancer.sees("#now .title", "Soon").await;

    // The end, and what is on record of it.
    console.clicks("#onair details:last-of-type summary").await;
    console.clicks("form[action$=end-set] button").await;
    dancer.sees("#now .title", "That was it").await;
    wait::until("the set on record", || async {
        let plays = database.plays().await?;
        let titles: Vec<_> = plays.iter().filter_map(|past| past.play.track.title.as_deref()).collect();
        let set =
            store.last_set(&"tonight/main".parse().unwrap()).await.map_err(|error| error.to_string())?;
        let ended = set.is_some_and(|set| set.ended_ms.is_some());
        if titles == ["Before"] && ended { Ok(()) } else { Err(format!("{titles:?}, ended: {ended}")) }
    })
    .await;
    dancer.clicks(".after a").await;
    dancer.sees("h1", "set").await;
    dancer.sees(".plays", "Before").await;
    store.close().await;

    console.clicks("form[action$=go-live] button").await;
    wait::until("the floor to be live again", || async {
        let now = http::get(&pika.web, "/api/v1/tonight/main/now")?.text();
        if now.contains("\"idle\"") { Ok(()) } else { Err(now) }
    })
    .await;
    console.close().await;
    dancer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_desk_itself_gets_in_and_only_to_what_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (_dj, database, pika, play) = playing(folder.path()).await;
    let add = |name, more: &[&str]| add_token(folder.path(), &database, name, more);
    let (other, integrator) = (add("other", &["desk"]), add("lights", &["integrator"]));
    let elsewhere = add("elsewhere", &["desk", "--floor", "cellar"]);

    // Nobody without a session, with a made up one, or with a token that is no desk's.
    let dj = |cookie: &str| http::get_with(&pika.web, "/dj/main", &[("Cookie", cookie)]).unwrap();
    assert_eq!(dj("a=b").header("location"), Some("/dj"));
    let own = session(&pika, "pika-desk", &own_token(&pika));
    assert_eq!(dj(&own).status, 200);
    let (value, signature) = own.rsplit_once('.').unwrap();
    let other_signature = if signature.starts_with('0') { "1" } else { "0" };
    for forged in [
        format!("{value}.{other_signature}{}", &signature[1..]),
        own.replace("pika-desk.", "other."),
        own.replace(".1", ".2"),
        "pika_desk=pika-desk".to_owned(),
    ] {
        assert_eq!(dj(&forged).header("location"), Some("/dj"), "{forged}");
        assert_eq!(act(&pika, &forged, "announce", "text=x"), 401, "{forged}");
    }
    assert_eq!(login(&pika, "lights", &integrator).status, 403);
    assert_eq!(login(&pika, "other", "wrong").status, 403);

    // Another desk may speak to the floor, but not about what is not its own; one of another floor may do neither.
    let other = session(&pika, "other", &other);
    for (what, fields) in [
        ("hide", format!("play_id={play}&on=true")),
        ("withdraw", format!("play_id={play}")),
        ("correct", format!("play_id={play}&title=x")),
        ("end-set", format!("set_id={play}")),
        ("last-song", "on=true".to_owned()),
    ] {
        assert_eq!(act(&pika, &other, what, &fields), 403, "{what}");
    }
    assert_eq!(act(&pika, &other, "announce", "text=Hello"), 200);
    let elsewhere = session(&pika, "elsewhere", &elsewhere);
    assert_eq!(dj(&elsewhere).status, 403);
    assert_eq!(act(&pika, &elsewhere, "announce", "text=Hello"), 403);
    // A foreign page cannot use a session, and a bad form is answered.
    let foreign = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Cookie", own.as_str()),
        ("Origin", "https://evil.example"),
    ];
    assert_eq!(http::post(&pika.web, "/dj/main/announce", &foreign, "text=x").unwrap().status, 403);
    for (what, fields) in [
        ("hide", "on=true"),
        ("poll", "question=One%3F&options=only"),
        ("poll", "question=&options=a%0Ab"),
        ("correct", "title="),
        ("announce", "minutes=x"),
        ("end-set", "set_id=x"),
    ] {
        assert_eq!(act(&pika, &own, what, fields), 400, "{what} {fields}");
    }
    assert_eq!(act(&pika, &own, "explode", ""), 404);
    let long = format!("text={}", "x".repeat(5_000));
    assert_eq!(act(&pika, &own, "announce", &long), 400);
    on(&pika, "Glass Tide").await;

    // Without the script a form comes back to the console.
    let plain = [("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", own.as_str())];
    let sent = http::post(&pika.web, "/dj/main/announce", &plain, "text=Plain&minutes=5").unwrap();
    assert_eq!((sent.status, sent.header("location")), (303, Some("/dj/main?said=done")));
    pika.shows("Plain").await;

    // A token that is revoked ends its session.
    let mut revoke = kit::process::command(folder.path());
    revoke.args(["token", "revoke", "other"]).env("DATABASE_URL", &database.url);
    assert!(revoke.status().unwrap().success());
    wait::until("the session to end", || async {
        match act(&pika, &other, "announce", "text=Again") {
            401 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    // Guessing takes for ever.
    let tries: Vec<u16> = (0..8).map(|_| login(&pika, "pika-desk", "guess").status).collect();
    assert_eq!(tries.last(), Some(&429), "{tries:?}");
}

/// While the laptop is away its requests wait for it; a dancer sees the last that is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_was_away_does_what_it_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (mut dj, database) = (Dj::new(folder.path()), Database::sqlite(folder.path()));
    let pika = Pika::up(folder.path(), &[], &[("DATABASE_URL", database.url.as_str())]).await;
    pika.page().await;
    let token = add_token(folder.path(), &database, "laptop", &["desk"]);
    let data = folder.path().join("laptop");
    let home = dj.home.clone();
    let publisher = || {
        let mut command = kit::process::publisher(&data, &home);
        command.arg("--server").arg(format!("mqtt://laptop:{token}@{}", pika.mqtt));
        kit::Program::start(command, &data, "publisher")
    };
    let mut laptop = publisher();
    wait::until("the laptop to be on air", || async {
        let now = http::get(&pika.web, "/api/v1/tonight/main/now")?.text();
        if now.contains("laptop") { Ok(()) } else { Err(now) }
    })
    .await;
    dj.plays("Glass Tide");
    let play = on(&pika, "Glass Tide").await;
    laptop.kill();
    let session = session(&pika, "laptop", &token);
    let asked =
        act(&pika, &session, "correct", &format!("play_id={play}&title=Glass+Tides&artist=Nova+Harbour"));
    assert_eq!(asked, 200, "it is on record");
    pika.shows("Glass Tide").await;
    let mut laptop = publisher();
    assert_eq!(on(&pika, "Glass Tides").await, play);
    // What it has answered it does not do again.
    laptop.stop().await;
    let phone = Phone::comes(&pika.web);
    assert_eq!(phone.taps("like", &format!("{{\"play_id\":\"{play}\"}}")).status, 200);
    wait::until("the correction on record", || async {
        let plays = database.plays().await?;
        let artist = plays.first().and_then(|past| past.play.track.artist.clone());
        if artist.as_deref() == Some("Nova Harbour") { Ok(()) } else { Err(format!("{artist:?}")) }
    })
    .await;
}
