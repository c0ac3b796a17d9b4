//! The publisher as a DJ meets it: the icon in the tray, the settings page, the server on the laptop itself.

use std::path::Path;

use kit::mosquitto::Subscriber;
use kit::screen::Screen;
use kit::tray::Session;
use kit::venue::{LAPTOP, Venue};
use kit::{Browser, Database, Dj, Program, http, process, wait};

/// The tray app, in a desktop session.
fn laptop(data: &Path, session: &Session, more: &[(&str, &str)]) -> Program {
    let mut command = process::command(data);
    command.arg("publisher").envs(session.environment()).env("HOME", data).envs(more.iter().copied());
    Program::start(command, data, "laptop")
}

async fn page_of(entrance: &str, width: u32, height: u32) -> Browser {
    let browser = Browser::open(width, height).await;
    browser.goto(entrance).await;
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_first_start_to_a_set_that_ends() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    // Where VirtualDJ is looked for.
    let mut dj = Dj::new(&data.join("Documents"));
    let session = Session::start(data, true).await;
    let mut program = laptop(data, &session, &[]);
    session.says("Not set up yet").await;
    let entrance = session.opens(0).await;
    let page = page_of(&entrance, 412, 900).await;
    page.sees("#now", "Not set up yet").await;
    page.clicks("[name=server][value=here]").await;
    page.types("#dj", "Ada").await;
    page.clicks("form.settings .go").await;

    page.sees("#now", "Live, nothing heard yet").await;
    let runtime = process::runtime(data, "runtime.json", Some(program.pid())).await;
    let (web, mqtt) = (runtime["web"].as_str().unwrap(), runtime["mqtt"].as_str().unwrap());
    dj.plays("Glass Tide");
    session.says("Glass Tide").await;
    page.sees("#now .title", "Glass Tide").await;
    page.sees("#found", "speaks").await;
    page.sees("#lines", "Glass Tide").await;
    let phone = Browser::open(412, 900).await;
    phone.goto(&format!("http://{web}/")).await;
    phone.sees("#now .title", "Glass Tide").await;
    phone.sees("#now", "Ada").await;
    page.keeps_picture("laptop-phone").await;
    // For whoever asks the next day why it did not work.
    let kept = std::fs::read_to_string(data.join("publisher.log")).unwrap();
    assert!(
        kept.contains("play track=") && kept.contains("Glass Tide") && !kept.contains('\u{1b}'),
        "{kept}"
    );
    assert_eq!(page.barriers().await, Vec::<String>::new());

    let now = Subscriber::start(mqtt, &["-t", "pika/v1/tonight/main/now", "-v"]);
    session.clicks("Hide this track").await;
    now.prints("\"state\":\"hidden\"").await;
    session.says("Pika: hidden").await;
    assert_eq!(session.item("Hide this track").await.is_on, Some(true));
    session.clicks("Hide this track").await;
    session.says("Pika: live").await;
    dj.plays("Night Ferry");
    session.says("Night Ferry").await;
    session.clicks("Undo “").await;
    now.prints("\"state\":\"idle\"").await;
    session.clicks("End set").await;
    now.prints("\"state\":\"ended\"").await;
    session.says("Pika: idle").await;
    // From the page, too.
    page.clicks("#now [value=go-live]").await;
    session.says("Pika: live").await;

    let before = session.opened().len();
    session.clicks("Open console").await;
    assert!(session.opens(before).await.ends_with("/dj"));
    session.clicks("Show QR code").await;
    assert!(session.opens(before + 1).await.ends_with("&to=share"));
    // There is no clipboard here, so the page with the link comes instead.
    session.clicks("Copy link").await;
    assert!(session.opens(before + 2).await.ends_with("&to=share"));
    session.clicks("Quit").await;
    assert!(program.ended().await.success());
    page.close().await;
    phone.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_gets_into_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let session = Session::start(data, true).await;
    let program = laptop(data, &session, &[]);
    let entrance = session.opens(0).await;
    let url = entrance.strip_prefix("http://").unwrap();
    let (address, path) = url.split_at(url.find('/').unwrap());
    let status =
        |path: &str, headers: &[(&str, &str)]| http::get_with(address, path, headers).unwrap().status;
    assert_eq!(status("/", &[]), 403, "without a key");
    assert_eq!(status("/enter?key=00000000000000000000000000000000", &[]), 403);
    let entered = http::get(address, path).unwrap();
    assert_eq!(entered.status, 303);
    assert_eq!(status(path, &[]), 403, "a key opens once");
    let cookie = entered.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(status("/", &[("Cookie", cookie)]), 200);
    // A name of somebody else's that was made to point here.
    let rebound =
        format!("GET / HTTP/1.1\r\nHost: pika.example\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
    assert_eq!(http::raw(address, rebound.as_bytes()).unwrap().status, 421);
    let ours = format!("http://{address}");
    let ask = |origin: &str| {
        let headers =
            [("Cookie", cookie), ("Origin", origin), ("Content-Type", "application/x-www-form-urlencoded")];
        http::post(address, "/ask", &headers, "what=go-live").unwrap().status
    };
    assert_eq!(ask("http://pika.example"), 403, "another page");
    assert_eq!(ask(""), 403, "nobody says where it comes from");
    assert_eq!(ask(&ours), 303, "the page itself");
    let choose = |form: &str| {
        let headers =
            [("Cookie", cookie), ("Origin", &*ours), ("Content-Type", "application/x-www-form-urlencoded")];
        http::post(address, "/choose", &headers, form).unwrap()
    };
    let answer = choose("server=remote&url=http%3A%2F%2Fexample.org&desk=My+Desk&delay_s=9999");
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains("wss://") && answer.text().contains("0 to 60"), "{}", answer.text());
    assert_eq!(choose(&"x".repeat(100_000)).status, 413);

    // A second start finds the first.
    let again = || {
        let mut command = process::command(data);
        command.arg("publisher").envs(session.environment()).env("HOME", data);
        command.output().unwrap()
    };
    let second = again();
    assert!(second.status.success(), "{second:?}");
    let opened = session.opens(1).await;
    assert_eq!(http::get(address, opened.strip_prefix(&ours).unwrap()).unwrap().status, 303);
    drop(program);
    // What a dead one left behind stops nobody.
    let after = laptop(data, &session, &[]);
    assert!(session.opens(2).await.starts_with("http://127.0.0.1:"));
    drop(after);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_tray_the_page_comes_and_the_icon_when_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let session = Session::start(data, false).await;
    let lan = [("PIKA__PUBLISHER__LAN", "true")];
    let mut program = laptop(data, &session, &lan);
    assert!(session.opens(0).await.contains("/enter?key="));
    session.gets_tray().await;
    session.says("Pika: ").await;
    assert!(program.stop().await.success());
}

/// The cable is out for so long.
const PULLED_MS: u64 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn dancers_at_the_venue_need_the_laptop_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut dj = Dj::new(&data.join("Documents"));
    let session = Session::start(data, true).await;
    let venue = Venue::open();
    let mut command = process::command(data);
    command.arg("publisher").envs(session.environment()).env("HOME", data);
    // As a newcomer has it: all interfaces, and the ports that are documented.
    command.env("HOST", "0.0.0.0").env("PIKA__MQTT__HOST", "0.0.0.0").env("PIKA__WEB__PORT", "3002");
    command.env("PIKA__PUBLISHER__LAN", "true");
    let mut laptop = Program::start(venue.at_laptop(&command), data, "laptop");
    let runtime = process::runtime(data, "runtime.json", Some(laptop.pid())).await;
    // What the QR code holds.
    let page = format!("http://{LAPTOP}:3002");
    assert_eq!(runtime["page"], page);
    session.says("Pika: live").await;
    dj.plays("Glass Tide");

    let phone = Browser::open_by(412, 900, &venue.on_phone("chromium", data)).await;
    phone.goto(&page).await;
    phone.sees("#now .title", "Glass Tide").await;
    venue.pull_cable();
    dj.plays("Night Ferry");
    session.says("Night Ferry").await;
    wait::moment(PULLED_MS).await;
    phone.sees("#now .title", "Glass Tide").await;
    venue.put_cable_back();
    phone.sees("#now .title", "Night Ferry").await;
    // The laptop itself missed nothing, and does not think anything is wrong.
    session.says("Pika: live").await;

    // Another WiFi: the code holds the new address.
    venue.moves("10.78.0.1", "10.78.0.2");
    wait::until("the new address in the code", || async {
        let runtime = process::runtime(data, "runtime.json", Some(laptop.pid())).await;
        if runtime["page"] == "http://10.78.0.1:3002" { Ok(()) } else { Err(runtime["page"].to_string()) }
    })
    .await;
    dj.plays("Harbour Light");
    phone.goto("http://10.78.0.1:3002").await;
    phone.sees("#now .title", "Harbour Light").await;
    phone.close().await;
    assert!(laptop.stop().await.success());
    let database = Database { url: format!("sqlite://{}", data.join("pika.db").display()) };
    let titles = wait::until("three plays in the archive", || async {
        let plays = database.plays().await?;
        let titles: Vec<_> = plays.into_iter().filter_map(|past| past.play.track.title).collect();
        if titles.len() == 3 { Ok(titles) } else { Err(format!("{titles:?}")) }
    })
    .await;
    assert_eq!(titles, ["Glass Tide", "Night Ferry", "Harbour Light"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let _dj = Dj::new(&data.join("Documents"));
    let (session, screen) = (Session::start(data, true).await, Screen::start().await);
    let lan = [("PIKA__PUBLISHER__LAN", "true"), ("DISPLAY", screen.display.as_str())];
    let program = laptop(data, &session, &lan);
    session.says("Pika: live").await;
    let runtime = process::runtime(data, "runtime.json", Some(program.pid())).await;
    let link = format!("{}/e/tonight/main", runtime["page"].as_str().unwrap());
    session.clicks("Copy link").await;
    wait::until("the link in the clipboard", || async {
        let pasted = screen.clipboard().await?;
        if pasted == link { Ok(()) } else { Err(pasted) }
    })
    .await;
    assert_eq!(session.opened(), Vec::<String>::new(), "nothing had to be shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_laptop_finds_the_first_one_and_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let (host, guest) = (folder.path().join("host"), folder.path().join("guest"));
    let mut dj = Dj::new(&guest.join("Documents"));
    let _host_dj = Dj::new(&host.join("Documents"));
    let host_session = Session::start(&host, true).await;
    let mut session = Session::start(&guest, true).await;
    session.gets_keyring(&guest).await;
    let venue = Venue::open();
    let start = |data: &Path, session: &Session, more: &[(&str, &str)]| {
        let mut command = process::command(data);
        command.arg("publisher").envs(session.environment()).env("HOME", data).envs(more.iter().copied());
        command
    };
    let open = [
        ("HOST", "0.0.0.0"),
        ("PIKA__MQTT__HOST", "0.0.0.0"),
        ("PIKA__WEB__PORT", "3002"),
        ("PIKA__PUBLISHER__LAN", "true"),
    ];
    let command = venue.at_laptop(&start(&host, &host_session, &open));
    let mut first = Program::start(command, &host, "laptop");
    host_session.says("Pika: live").await;
    let command = venue.beside_it(&start(&guest, &session, &[]));
    let mut second = Program::start(command, &guest, "laptop");

    // Nothing is typed but the name.
    let page = Browser::open_by(412, 900, &venue.on_phone("chromium", &guest)).await;
    page.goto(&session.opens(0).await).await;
    page.types("#join-name", "Bo").await;
    page.sees("#nearby", "tonight").await;
    page.sees("#nearby", &format!("{LAPTOP}:3002")).await;
    assert_eq!(page.barriers().await, Vec::<String>::new());
    page.keeps_picture("laptop-join").await;
    page.clicks("#nearby button").await;
    page.sees("#joining", "Read this to the organizer of Tonight").await;
    let code = page.run("return document.querySelector('#joining .code').textContent").await;
    let code = code.as_str().unwrap().to_owned();
    page.keeps_picture("laptop-code").await;
    let let_in = process::command(&host).args(["desk", "pair", &code]).output().unwrap();
    assert!(let_in.status.success(), "{let_in:?}");
    page.sees("#joining", "Tonight lets you in as bo").await;
    page.sees("#joining .code", &code).await;
    page.keeps_picture("laptop-let-in").await;
    page.clicks("#joining .go").await;

    session.says("Pika: live").await;
    dj.plays("Glass Tide");
    page.goto(&format!("http://{LAPTOP}:3002/e/tonight/main")).await;
    page.sees("#now .title", "Glass Tide").await;
    page.sees("#now .dj", "Bo").await;
    // The token is in the keyring, and in no file.
    let choices = std::fs::read_to_string(guest.join("choices.toml")).unwrap();
    assert!(choices.contains("keyring = true") && choices.contains("name = \"bo\""), "{choices}");
    assert!(!guest.join("server.token").exists());
    // It is still there tomorrow.
    assert!(second.stop().await.success());
    let command = venue.beside_it(&start(&guest, &session, &[]));
    let mut again = Program::start(command, &guest, "laptop");
    session.says("Pika: live").await;
    dj.plays("Night Ferry");
    page.sees("#now .title", "Night Ferry").await;
    page.close().await;
    assert!(again.stop().await.success());
    assert!(first.stop().await.success());
}
