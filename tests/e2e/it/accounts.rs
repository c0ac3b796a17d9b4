//! People: who logs in, what each may do, how sessions end, and that everything is on record.

use std::path::Path;

use kit::mosquitto::Subscriber;
use kit::{Browser, Database, Pika, http, process, wait};

use crate::reactions::on;
use crate::road::up;

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// Runs a command to its end and returns what it printed.
fn pika(data: &Path, database: &Database, arguments: &[&str]) -> Result<String, String> {
    let mut command = process::command(data);
    let ran = command.args(arguments).env("DATABASE_URL", &database.url).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if ran.status.success() { Ok(text(&ran.stdout)) } else { Err(text(&ran.stderr)) }
}

/// Adds a person, whose password is on the last line.
fn person(data: &Path, database: &Database, name: &str, role: &str) -> String {
    pika(data, database, &["person", "add", name, "--role", role]).unwrap()
}

fn post(web: &str, path: &str, cookie: &str, fields: &str) -> http::Answer {
    http::post(web, path, &[FORM, ("Cookie", cookie)], fields).unwrap()
}

fn get(web: &str, path: &str, cookie: &str) -> http::Answer {
    http::get_with(web, path, &[("Cookie", cookie)]).unwrap()
}

/// What a browser sends back of all that it was told to keep.
fn kept(answer: &http::Answer) -> String {
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    set.filter_map(|(_, value)| value.split(';').next()).collect::<Vec<_>>().join("; ")
}

fn login(web: &str, name: &str, password: &str, cookie: &str) -> http::Answer {
    post(web, "/login", cookie, &format!("name={name}&password={password}"))
}

/// The cookies of somebody who has logged in.
fn logged_in(web: &str, name: &str, password: &str) -> String {
    let answer = login(web, name, password, "");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/admin")), "{}", answer.text());
    kept(&answer)
}

/// Fills in the form at `/login`.
pub async fn logs_in(browser: &Browser, name: &str, password: &str) {
    browser.types("#name", name).await;
    browser.types("#password", password).await;
    browser.clicks("form.fields button").await;
}

/// Adds a desk as an organizer does, and returns the token that is shown.
pub async fn adds_desk(browser: &Browser, web: &str, name: &str) -> String {
    browser.goto(&format!("{web}/admin/desks")).await;
    browser.types("#token", name).await;
    browser.clicks("form[action='/admin/add-token'] button").await;
    browser.sees("h1.title", name).await;
    let token = browser.run("return document.querySelector('#secret').textContent").await;
    token.as_str().unwrap().to_owned()
}

async fn night(folder: &Path) -> (Database, Pika) {
    let database = Database::sqlite(folder);
    let pika = Pika::up(folder, &["--demo"], &[("DATABASE_URL", database.url.as_str())]).await;
    pika.page().await;
    (database, pika)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organizer_runs_the_night_from_the_browser() {
    let folder = tempfile::tempdir().unwrap();
    let (database, pika_) = night(folder.path()).await;
    let web = format!("http://{}", pika_.web);
    let password = person(folder.path(), &database, "ada", "organizer");

    let ada = Browser::open(1100, 1000).await;
    ada.goto(&format!("{web}/admin")).await;
    logs_in(&ada, "ada", "not-hers-at-all").await;
    ada.sees("[role=alert]", "do not belong together").await;
    logs_in(&ada, "ada", &password).await;
    ada.sees("main h2", "TONIGHT").await;

    // Another name, another floor: on everybody's pages within seconds.
    ada.run("document.querySelector('#event-name').value = ''").await;
    ada.types("#event-name", "Spring ball").await;
    ada.clicks("form[action='/admin/event'] button").await;
    ada.sees(".outcome", "Done.").await;
    ada.types("#floor-id", "cellar").await;
    ada.types("#floor-name", "The cellar").await;
    ada.clicks("form.fields[action='/admin/floor'] button").await;
    ada.has("form[action='/admin/close-floor'] input[value=cellar]").await;
    let dancer = Browser::open(500, 900).await;
    wait::until("the floor to be known", || async {
        let page = http::get(&pika_.web, "/e/tonight/cellar")?;
        if page.status == 200 { Ok(()) } else { Err(page.status.to_string()) }
    })
    .await;
    dancer.goto(&format!("{web}/")).await;
    dancer.sees(".floors", "The cellar").await;
    dancer.goto(&format!("{web}/e/tonight/cellar")).await;
    dancer.sees(".place .event", "Spring ball").await;
    // What is playing was not disturbed by it.
    assert!(http::get(&pika_.web, "/api/v1/tonight/main/now").unwrap().text().contains("\"playing\""));
    ada.clicks("form[action='/admin/close-floor']:has([value=cellar]) button").await;
    ada.sees(".outcome", "Done.").await;
    wait::until("the floor to be closed", || async {
        let page = http::get(&pika_.web, "/e/tonight/cellar")?;
        if page.status == 404 { Ok(()) } else { Err(page.status.to_string()) }
    })
    .await;

    // A desk's token is shown once, works, and its use is seen; a revoked one is gone.
    let login = ("booth".to_owned(), adds_desk(&ada, &web, "booth").await);
    let mut desk = wait::until("the broker to know the token", || async {
        let broker = pika_.mqtt.parse().map_err(|error| format!("{error}"))?;
        kit::mqtt::Client::connect(broker, 1, "booth", Some(&login)).await.map_err(|error| error.to_string())
    })
    .await;
    wait::until("its use to be noted", || async {
        let listed = pika(folder.path(), &database, &["token", "list"])?;
        if listed.contains("booth\tdesk") && !listed.contains("never used") { Ok(()) } else { Err(listed) }
    })
    .await;
    ada.goto(&format!("{web}/admin/desks")).await;
    ada.sees("tbody th", "booth").await;
    for page in ["event", "desks", "people", "log"] {
        for look in ["light", "dark"] {
            ada.goto(&format!("{web}/admin/{page}?look={look}")).await;
            ada.has("main .card").await;
            let barriers = ada.barriers().await;
            assert!(barriers.is_empty(), "{page} {look}: {barriers:#?}");
            ada.keeps_picture(&format!("admin-{page}-1100-{look}")).await;
        }
    }
    ada.goto(&format!("{web}/admin/desks")).await;
    ada.clicks("form[action='/admin/revoke'] button").await;
    ada.sees("details", "Revoked or over").await;
    // Whoever holds it still is disconnected.
    let gone = tokio::time::timeout(wait::PATIENCE, async { while desk.read().await.is_ok() {} });
    gone.await.expect("the desk to be disconnected");

    // A DJ gets a password that is read out, and finds his own page.
    ada.goto(&format!("{web}/admin/people")).await;
    ada.types("#person", "bob").await;
    ada.clicks("form[action='/admin/add-person'] button").await;
    ada.sees("h1.title", "bob").await;
    let password = ada.run("return document.querySelector('#secret').textContent").await;
    dancer.goto(&format!("{web}/login")).await;
    dancer.types("#name", "bob").await;
    dancer.types("#password", password.as_str().unwrap()).await;
    dancer.clicks("form.fields button").await;
    dancer.types("#desk", "bobs-laptop").await;
    dancer.clicks("form[action='/account/add-desk'] button").await;
    dancer.sees("#secret", "").await;
    dancer.goto(&format!("{web}/account")).await;
    let barriers = dancer.barriers().await;
    assert!(barriers.is_empty(), "{barriers:#?}");
    dancer.keeps_picture("account-500").await;
    dancer.clicks("form[action='/account/console'] button").await;
    dancer.has("#onair").await;

    ada.goto(&format!("{web}/admin/log")).await;
    for change in ["added a token", "revoked a token", "added a person", "closed a floor", "changed an event"]
    {
        ada.holds(change, &format!("return document.body.textContent.includes('{change}')")).await;
    }
    ada.goto(&format!("{web}/admin/people")).await;
    ada.clicks("form[action='/admin/logout']:has([value=bob]) button").await;
    ada.sees(".outcome", "Done.").await;
    dancer.goto(&format!("{web}/dj/main")).await;
    dancer.has("#token").await;
    ada.close().await;
    dancer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dj_may_do_what_is_his_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (database, pika_) = night(folder.path()).await;
    let web = pika_.web.as_str();
    let ada = logged_in(web, "ada", &person(folder.path(), &database, "ada", "organizer"));
    let bob = logged_in(web, "bob", &person(folder.path(), &database, "bob", "dj"));
    for page in ["event", "desks", "people", "log"] {
        assert_eq!(get(web, &format!("/admin/{page}"), &ada).status, 200, "{page}");
        assert_eq!(get(web, &format!("/admin/{page}"), &bob).status, 403, "{page}");
        assert_eq!(get(web, &format!("/admin/{page}"), "").header("location"), Some("/login"), "{page}");
    }
    assert_eq!(get(web, "/admin", &bob).header("location"), Some("/account"));
    let actions = [
        ("event", "name=Mine&time_zone=UTC"),
        ("add-event", "event=mine&name=Mine"),
        ("end-event", "event=mine"),
        ("floor", "floor=mine&name=Mine"),
        ("close-floor", "floor=main"),
        ("add-token", "token=mine&kind=service&days=1"),
        ("revoke", "token=booth"),
        ("let-in", "code=123456"),
        ("add-person", "person=eve&role=organizer"),
        ("password", "person=ada"),
        ("role", "person=bob&role=organizer"),
        ("logout", "person=ada"),
        ("remove", "person=ada"),
    ];
    let record = pika(folder.path(), &database, &["audit"]).unwrap();
    for (what, fields) in actions {
        assert_eq!(post(web, &format!("/admin/{what}"), &bob, fields).status, 403, "{what}");
        assert_eq!(
            post(web, &format!("/admin/{what}"), "", fields).header("location"),
            Some("/login"),
            "{what}"
        );
    }
    assert_eq!(pika(folder.path(), &database, &["audit"]).unwrap(), record, "nothing was changed");

    // His own desk is his, and another's is not.
    assert_eq!(post(web, "/account/add-desk", &bob, "desk=bobs").status, 200);
    assert_eq!(post(web, "/account/add-desk", &bob, "desk=bobs").status, 409);
    assert_eq!(post(web, "/account/add-desk", &bob, "desk=pika-desk").status, 409, "a name of our own");
    assert_eq!(
        post(web, "/admin/add-token", &ada, "token=adas&kind=desk&owner=ada&days=0&floor=").status,
        200
    );
    for what in ["revoke", "console"] {
        assert_eq!(post(web, &format!("/account/{what}"), &bob, "desk=adas").status, 403, "{what}");
        assert_eq!(post(web, &format!("/account/{what}"), &bob, "desk=pika-desk").status, 403, "{what}");
    }
    let console = kept(&post(web, "/account/console", &bob, "desk=bobs"));
    let console = |more: &str| get(web, "/dj/main", &format!("{console}{more}")).status;
    assert_eq!(console(""), 200);
    assert_eq!(console("0"), 303, "forged");
    // Nobody ends another's session.
    let adas = get(web, "/account", &ada).text();
    let handle = adas.split("name=\"session\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(post(web, "/account/end", &bob, &format!("session={handle}")).status, 404);
    assert_eq!(get(web, "/admin/log", &ada).status, 200);

    // There has to be an organizer; and what an organizer takes away is gone at once.
    assert_eq!(post(web, "/admin/remove", &ada, "person=ada").status, 409);
    assert_eq!(post(web, "/admin/role", &ada, "person=bob&role=organizer").status, 303);
    assert_eq!(get(web, "/admin/log", &bob).status, 200);
    assert_eq!(post(web, "/admin/role", &ada, "person=bob&role=dj").status, 303);
    assert_eq!(get(web, "/admin/log", &bob).status, 403);
    assert_eq!(post(web, "/admin/remove", &ada, "person=bob").status, 303);
    assert_eq!(get(web, "/account", &bob).header("location"), Some("/login"));
    assert_eq!(console(""), 303);
    let listed = pika(folder.path(), &database, &["token", "list"]).unwrap();
    let bobs = listed.lines().find(|line| line.starts_with("bobs\t")).unwrap();
    assert!(bobs.contains("revoked"), "{bobs}");
    for (what, fields, status) in [
        ("event", "name=x&time_zone=Nowhere", 422),
        ("event", "name=&time_zone=UTC", 400),
        ("event", "name=x&time_zone=UTC&accent=red", 422),
        ("floor", "floor=A+B&name=x", 400),
        ("floor", "floor=cursor&name=x", 400),
        ("close-floor", "floor=main", 404),
        ("end-event", "event=tonight", 400),
        ("add-token", "token=x&kind=admin", 400),
        ("add-person", "person=ada&role=dj", 409),
        ("add-person", "person=eve&role=god", 400),
        ("let-in", "code=123456", 404),
        ("explode", "", 404),
    ] {
        assert_eq!(post(web, &format!("/admin/{what}"), &ada, fields).status, status, "{what} {fields}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_nobodys_but_its_persons() {
    let folder = tempfile::tempdir().unwrap();
    let (database, pika_) = night(folder.path()).await;
    let web = pika_.web.as_str();
    let password = person(folder.path(), &database, "ada", "organizer");
    // What somebody put into the browser before is worth nothing afterwards.
    let fixed = format!("pika_session={}", "0".repeat(64));
    let answer = login(web, "ada", &password, &fixed);
    let one = kept(&answer);
    assert!(!one.contains(&"0".repeat(64)));
    assert_eq!(get(web, "/account", &fixed).header("location"), Some("/login"));
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    // Each login is another session, and of one browser only the last one counts.
    let again = kept(&login(web, "ada", &password, &one));
    assert_ne!(one, again);
    assert_eq!(get(web, "/account", &one).header("location"), Some("/login"));
    assert_eq!(get(web, "/account", &again).status, 200);
    // A page of another site can do nothing with it.
    for origin in ["https://evil.example", "null"] {
        let headers = [FORM, ("Cookie", again.as_str()), ("Origin", origin)];
        let answer = http::post(web, "/admin/add-person", &headers, "person=eve&role=organizer").unwrap();
        assert_eq!(answer.status, 403, "{origin}");
    }
    let json = [("Content-Type", "text/plain"), ("Cookie", again.as_str())];
    assert_eq!(http::post(web, "/admin/add-person", &json, "person=eve&role=organizer").unwrap().status, 415);
    assert!(!pika(folder.path(), &database, &["person", "list"]).unwrap().contains("eve"));
    assert_eq!(get(web, "/admin/people", &again).header("cache-control"), Some("no-store"));

    // Another password ends all others; the old one is worth nothing.
    let elsewhere = logged_in(web, "ada", &password);
    let change = |before: &str, after: &str| {
        post(web, "/account/password", &again, &format!("before={before}&password={after}")).status
    };
    assert_eq!(change("wrong", "a-better-password"), 403);
    assert_eq!(change(&password, "short"), 422);
    assert_eq!(change(&password, "password123"), 422);
    assert_eq!(change(&password, "a-better-password"), 303);
    assert_eq!(get(web, "/account", &elsewhere).header("location"), Some("/login"));
    assert_eq!(get(web, "/account", &again).status, 200);
    assert_eq!(login(web, "ada", &password, &again).status, 403);

    // Guessing is slowed, for names that nobody has too. Her own browser lets her in all the same.
    let tries: Vec<u16> = (0..8).map(|n| login(web, "ada", &format!("guess-{n}-guess"), "").status).collect();
    assert_eq!(tries.last(), Some(&429), "{tries:?}");
    let tries: Vec<u16> = (0..8).map(|_| login(web, "nobody", "guess-guess", "").status).collect();
    assert_eq!(tries.last(), Some(&429), "{tries:?}");
    assert_eq!(login(web, "ada", "a-better-password", "").status, 429);
    let known = again.split("; ").find(|one| one.starts_with("pika_known=")).unwrap();
    assert_eq!(login(web, "ada", "a-better-password", known).status, 303);
    assert_eq!(login(web, "nobody", "guess-guess", known).status, 429, "it is of one name");
    assert_eq!(login(web, "ada", "a-better-password", "pika_known=ada.00").status, 429, "forged");

    // Logging out ends it on the server, not in this browser alone.
    assert_eq!(post(web, "/logout", &again, "").header("location"), Some("/login"));
    assert_eq!(get(web, "/account", &again).header("location"), Some("/login"));
    let log = pika_.program.log();
    for secret in [password.as_str(), "a-better-password", "guess-3-guess", "guess-guess"] {
        assert!(!log.contains(secret), "a password is in the log");
    }
    assert!(log.contains("a login was refused"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_shell_can_do_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (database, pika_) = night(folder.path()).await;
    let run = |arguments: &[&str]| pika(folder.path(), &database, arguments);
    assert_eq!(run(&["event", "list"]).unwrap(), "tonight\tTonight\tUTC\tmain");
    run(&["event", "add", "tonight", "--name", "Spring ball", "--time-zone", "Europe/Warsaw"]).unwrap();
    run(&["event", "add", "autumn"]).unwrap();
    run(&["floor", "add", "cellar", "--name", "The cellar"]).unwrap();
    run(&["floor", "add", "attic", "--event", "autumn"]).unwrap();
    assert_eq!(run(&["floor", "list"]).unwrap(), "main\tMain floor\ncellar\tThe cellar");
    let listed = run(&["event", "list"]).unwrap();
    assert!(listed.contains("autumn\tautumn\tUTC\tmain,attic"), "{listed}");
    assert!(listed.contains("tonight\tSpring ball\tEurope/Warsaw\tmain,cellar"), "{listed}");
    wait::until("integrators to know of it", || async {
        let now = http::get(&pika_.web, "/e/tonight/cellar")?.text();
        if now.contains("Spring ball") { Ok(()) } else { Err(now) }
    })
    .await;
    run(&["floor", "remove", "main"]).unwrap();
    let error = run(&["floor", "remove", "cellar"]).unwrap_err();
    assert!(error.contains("it is the last one"), "{error}");
    for (arguments, expected) in [
        (&["event", "add", "x", "--time-zone", "Nowhere"][..], "no time zone"),
        (&["event", "add", "x", "--accent", "red"], "no colour"),
        (&["event", "remove", "never"], "no event `never`"),
        (&["floor", "add", "x", "--event", "never"], "no event `never`"),
        (&["floor", "remove", "never"], "no floor `never`"),
        (&["person", "password", "never"], "no person `never`"),
        (&["person", "role", "never", "dj"], "no person `never`"),
        (&["desk", "remove", "never"], "no token `never`"),
        (&["desk", "add", "x", "--person", "never"], "no person `never`"),
    ] {
        let error = run(arguments).unwrap_err();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }

    let password = run(&["person", "add", "ada", "--role", "organizer"]).unwrap();
    assert_eq!(password.len(), 19);
    assert!(run(&["person", "add", "ada", "--role", "dj"]).unwrap_err().contains("already"));
    assert!(run(&["person", "remove", "ada"]).unwrap_err().contains("the only organizer"));
    let file = folder.path().join("password");
    std::fs::write(&file, "chosen by herself\n").unwrap();
    run(&["person", "password", "ada", "--password-file", file.to_str().unwrap()]).unwrap();
    assert_eq!(login(&pika_.web, "ada", &password, "").status, 403);
    let ada = logged_in(&pika_.web, "ada", "chosen+by+herself");
    std::fs::write(&file, "short\n").unwrap();
    assert!(
        run(&["person", "add", "bob", "--role", "dj", "--password-file", file.to_str().unwrap()]).is_err()
    );
    assert!(!run(&["person", "list"]).unwrap().contains("bob"), "a refused password leaves nobody behind");
    let token = run(&["desk", "add", "booth", "--floor", "cellar", "--person", "ada"]).unwrap();
    assert_eq!(token.len(), 64);
    assert!(
        run(&["token", "list"]).unwrap().contains("booth\tdesk\ttonight\tcellar\tin force\tada\tnever used")
    );
    run(&["person", "logout", "ada"]).unwrap();
    assert_eq!(get(&pika_.web, "/account", &ada).header("location"), Some("/login"));
    run(&["desk", "remove", "booth"]).unwrap();
    run(&["event", "remove", "autumn"]).unwrap();
    assert!(!run(&["event", "list"]).unwrap().contains("autumn"));
    let record = run(&["audit"]).unwrap();
    for change in [
        "ended an event\tautumn",
        "revoked a token\tbooth",
        "ended all sessions\tada",
        "closed a floor\ttonight/main",
    ] {
        assert!(record.contains(change), "{change}\n{record}");
    }
    assert_eq!(run(&["audit", "--last", "1"]).unwrap().lines().count(), 1);
    for secret in [password.as_str(), token.as_str(), "chosen by herself"] {
        assert!(!record.contains(secret) && !pika_.program.log().contains(secret));
    }
}

/// A change of floors while songs play loses none of them, and one that is closed leaves nothing on the bus.
#[tokio::test(flavor = "multi_thread")]
async fn floors_change_in_the_middle_of_a_set() {
    let folder = tempfile::tempdir().unwrap();
    let (mut dj, database) = (kit::Dj::new(folder.path()), Database::sqlite(folder.path()));
    let pika_ = up(folder.path(), &database, &dj, &[]).await;
    pika_.page().await;
    dj.plays("Before");
    let before = on(&pika_, "Before").await;
    pika(folder.path(), &database, &["floor", "add", "cellar"]).unwrap();
    dj.plays("Meanwhile");
    wait::until("the new floor", || async {
        let page = http::get(&pika_.web, "/e/tonight/cellar")?;
        if page.status == 200 { Ok(()) } else { Err(page.status.to_string()) }
    })
    .await;
    dj.plays("After");
    on(&pika_, "After").await;
    wait::until("all three on record", || async {
        let titles: Vec<String> =
            database.plays().await?.into_iter().filter_map(|past| past.play.track.title).collect();
        if titles == ["Before", "Meanwhile", "After"] { Ok(()) } else { Err(format!("{titles:?}")) }
    })
    .await;
    let store = database.store();
    let (_, first) = store.recent(&"tonight/main".parse().unwrap(), 9).await.unwrap().pop().unwrap();
    assert_eq!(first.play.id, before);
    store.close().await;
    let lights = Subscriber::start(&pika_.mqtt, &["-t", "pika/v1/tonight/cellar/#", "-v"]);
    lights.prints("cellar/now {").await;
    lights.prints("cellar/now/state idle").await;
    pika(folder.path(), &database, &["floor", "remove", "cellar"]).unwrap();
    // What is retained is taken back.
    lights.prints("cellar/now (null)").await;
    lights.prints("cellar/now/state (null)").await;
    lights.prints("cellar/history (null)").await;
}
