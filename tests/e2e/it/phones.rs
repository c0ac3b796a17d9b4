//! A dancer's night in real browsers: from the scan to the like, without network, with a phone that slept, in two
//! languages, without the script, and on a venue's plain HTTP.

use std::path::Path;

use kit::{Browser, Database, Dj, Engine, Pika, http, wait};
use protocol::Reactions;
use serde_json::json;

use crate::road::up;

async fn told(pika: &Pika, what: &str, expected: impl Fn(&Reactions) -> bool) {
    wait::until(what, || async {
        let answer = http::get(&pika.web, "/api/v1/tonight/main/reactions")?;
        let told: Option<Reactions> =
            serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        if told.as_ref().is_some_and(&expected) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}

async fn floor(folder: &Path) -> (Dj, Pika) {
    let mut dj = Dj::new(folder);
    let pika = up(folder, &Database::sqlite(folder), &dj, &[]).await;
    pika.page().await;
    dj.plays("Before");
    pika.shows("Before").await;
    dj.plays("Glass Tide");
    pika.shows("Glass Tide").await;
    (dj, pika)
}

/// Like, unlike, tempo, thanks, and an earlier song.
async fn from_scan_to_like(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let (mut dj, pika) = floor(folder.path()).await;
    let browser = Browser::open_in(engine, 600, 1000).await;
    // What the camera finds, and what is typed by those without one.
    browser.goto(&format!("http://{}/join", pika.web)).await;
    browser.clicks(".url a").await;
    browser.sees("#now .title", "Glass Tide").await;
    let address = browser.run("return location.pathname").await;
    assert_eq!(address, "/e/tonight/main");

    browser.clicks("#like").await;
    browser.has("#like[aria-pressed=true]").await;
    told(&pika, "a like", |told| told.likes == 1).await;
    browser.sees("#pulse", "1 like").await;
    browser.clicks("#faster").await;
    browser.has("#faster[aria-pressed=true]").await;
    told(&pika, "a wish", |told| told.tempo.faster == 1).await;
    browser.clicks("#slower").await;
    told(&pika, "another wish", |told| (told.tempo.faster, told.tempo.slower) == (0, 1)).await;
    browser.clicks("#slower").await;
    told(&pika, "no wish", |told| (told.tempo.faster, told.tempo.slower) == (0, 0)).await;
    browser.clicks("#thanks").await;
    told(&pika, "thanks", |told| told.thanks == 1).await;
    // The server remembers, also for a browser that has forgotten everything but its cookie.
    browser.run("localStorage.clear()").await;
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    browser.has("#like[aria-pressed=true]").await;
    browser.clicks("#like").await;
    told(&pika, "the like taken back", |told| told.likes == 0).await;
    browser.clicks("#like").await;
    told(&pika, "the like again", |told| told.likes == 1).await;

    // The next song begins without anybody's likes, and the one before keeps them in the list.
    dj.plays("Half Life");
    browser.sees("#now .title", "Half Life").await;
    browser.has("#like[aria-pressed=false]").await;
    browser.has("#history li:first-child button[aria-pressed=true]").await;
    browser.clicks("#history li:nth-child(2) button").await;
    browser.has("#history li:nth-child(2) button[aria-pressed=true]").await;
    // Both are on the dancer's own page, to be found elsewhere and taken along.
    wait::until("both likes on the own page", || async {
        browser.goto(&format!("http://{}/me", pika.web)).await;
        let songs = browser
            .run("return [...document.querySelectorAll('.plays .title')].map(song => song.textContent)")
            .await;
        if songs == json!(["Before", "Glass Tide"]) { Ok(()) } else { Err(songs.to_string()) }
    })
    .await;
    browser.clicks(".plays a.song").await;
    browser.sees("h1", "Before").await;
    browser
        .holds(
            "links to elsewhere",
            "return document.querySelector('.find a').href.includes('Nova%20Harbor%20Before')",
        )
        .await;
    // And can be deleted.
    browser.goto(&format!("http://{}/me", pika.web)).await;
    browser.clicks(".danger").await;
    browser.sees("h1", "Forgotten").await;
    browser.goto(&format!("http://{}/me", pika.web)).await;
    browser.sees("main", "Nothing yet").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_scan_to_like_in_chromium() {
    from_scan_to_like(Engine::Chromium).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_scan_to_like_in_webkit() {
    from_scan_to_like(Engine::WebKit).await;
}

/// The server is killed; what is tapped meanwhile counts when it is back, and the page goes on by itself.
async fn taps_without_a_server(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let database = Database::sqlite(folder.path());
    let mut pika = up(folder.path(), &database, &dj, &[]).await;
    pika.page().await;
    dj.plays("Glass Tide");
    pika.shows("Glass Tide").await;
    let browser = Browser::open_in(engine, 600, 1000).await;
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    browser.sees("#now .title", "Glass Tide").await;
    let ports = pika.same_ports();
    pika.program.kill();
    browser.clicks("#like").await;
    browser.has("#like[aria-pressed=true]").await;
    browser.sees("#unsent", "Not sent yet").await;
    browser.clicks("#slower").await;
    browser.clicks("#faster").await;
    browser.sees("#offline", "Connection lost").await;
    let ports: Vec<(&str, &str)> = ports.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let pika = up(folder.path(), &database, &dj, &ports).await;
    told(&pika, "the taps that waited", |told| {
        (told.likes, told.tempo.faster, told.tempo.slower) == (1, 1, 0)
    })
    .await;
    dj.plays("Half Life");
    browser.sees("#now .title", "Half Life").await;
    browser.holds("the notes to be gone", "return unsent.hidden && offline.hidden").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taps_without_a_server_in_chromium() {
    taps_without_a_server(Engine::Chromium).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taps_without_a_server_in_webkit() {
    taps_without_a_server(Engine::WebKit).await;
}

/// The phone has no network, the server has: the tap waits, also over a reload of the page.
#[tokio::test(flavor = "multi_thread")]
async fn a_tap_while_offline_is_sent_later() {
    let folder = tempfile::tempdir().unwrap();
    let (_dj, pika) = floor(folder.path()).await;
    let browser = Browser::open(500, 1000).await;
    let page = format!("http://{}/e/tonight/main", pika.web);
    browser.goto(&page).await;
    browser.sees("#now .title", "Glass Tide").await;
    browser.holds("the service worker", "return !!navigator.serviceWorker.controller").await;
    browser.goto(&page).await; // now the worker has kept it
    let network = |offline| json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    browser.devtools("Network.enable", json!({})).await;
    browser.devtools("Network.emulateNetworkConditions", network(true)).await;
    browser.clicks("#like").await;
    browser.sees("#unsent", "Not sent yet").await;
    let kept = browser.run("return JSON.parse(localStorage['pika.taps']).length").await;
    assert_eq!(kept, 1);
    browser.devtools("Network.emulateNetworkConditions", network(false)).await;
    told(&pika, "the like", |told| told.likes == 1).await;
    browser.holds("nothing to be kept", "return JSON.parse(localStorage['pika.taps']).length === 0").await;
    browser.close().await;
}

/// Five minutes in the pocket: the browser stops the page, the music goes on, and the page is right at once.
async fn back_from_the_pocket(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let (mut dj, pika) = floor(folder.path()).await;
    let browser = Browser::open_in(engine, 600, 1000).await;
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    browser.sees("#now .title", "Glass Tide").await;
    told(&pika, "one listener", |told| told.listeners == 1).await;
    // A socket that sleeps: it is open, and brings nothing. Then the clock has moved on by five minutes.
    browser
        .run(
            "const hide = hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
                document.dispatchEvent(new Event('visibilitychange')); };
            window.wake = () => { const now = Date.now; Date.now = () => now() + 300000; hide(false); };
            const swap = Element.prototype.replaceWith; window.asleep = true;
            Element.prototype.replaceWith = function (...parts) { if (!window.asleep) swap.apply(this, parts); };
            hide(true);",
        )
        .await;
    if engine == Engine::Chromium {
        browser.devtools("Page.setWebLifecycleState", json!({ "state": "frozen" })).await;
    }
    dj.plays("Slept Through");
    pika.shows("Slept Through").await;
    dj.plays("Awake");
    pika.shows("Awake").await;
    if engine == Engine::Chromium {
        browser.devtools("Page.setWebLifecycleState", json!({ "state": "active" })).await;
    }
    browser.run("window.asleep = false; window.wake()").await;
    browser.sees("#now .title", "Awake").await;
    browser.sees("#history", "Slept Through").await;
    browser.clicks("#like").await;
    told(&pika, "a like", |told| told.likes == 1 && told.listeners == 1).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn back_from_the_pocket_in_chromium() {
    back_from_the_pocket(Engine::Chromium).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn back_from_the_pocket_in_webkit() {
    back_from_the_pocket(Engine::WebKit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_languages_and_two_lights() {
    let folder = tempfile::tempdir().unwrap();
    let (mut dj, pika) = floor(folder.path()).await;
    let browser = Browser::open_with(500, 1000, &["--accept-lang=pl-PL,pl"]).await;
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    browser.sees("#like", "Lubię to").await;
    dj.plays("Half Life");
    browser.sees("#now .title", "Half Life").await;
    browser.sees("#slower", "Wolniej").await;
    browser.clicks("a[hreflang=en]").await;
    browser.sees("#like", "Like").await;
    browser.clicks("a[href='?look=light']").await;
    browser.has("html.light[lang=en]").await;
    // The choice stays, and what is live speaks the language of the page.
    browser.goto(&format!("http://{}/join", pika.web)).await;
    browser.has("html.light[lang=en]").await;
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    dj.plays("Third");
    browser.sees("#now .title", "Third").await;
    browser.sees("#slower", "Slower").await;
    browser.close().await;
}

/// Everything can be read and tapped with no script at all.
#[tokio::test(flavor = "multi_thread")]
async fn every_tap_without_the_script() {
    let folder = tempfile::tempdir().unwrap();
    let (_dj, pika) = floor(folder.path()).await;
    let browser = Browser::open_with(500, 1000, &["--blink-settings=scriptEnabled=false"]).await;
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    browser.clicks("#like").await;
    browser.has("#like[aria-pressed=true]").await;
    told(&pika, "a like", |told| told.likes == 1).await;
    browser.clicks("#perfect").await;
    browser.has("#perfect[aria-pressed=true]").await;
    browser.clicks("#perfect").await;
    browser.has("#perfect[aria-pressed=false]").await;
    browser.clicks("#thanks").await;
    browser.has("#thanks[aria-pressed=true]").await;
    browser.clicks("#history li button").await;
    browser.has("#history li button[aria-pressed=true]").await;
    browser.clicks("#history li button").await;
    browser.has("#history li button[aria-pressed=false]").await;
    browser.clicks("#like").await;
    browser.has("#like[aria-pressed=false]").await;
    told(&pika, "what is left of it", |told| (told.likes, told.tempo.perfect, told.thanks) == (0, 0, 1))
        .await;
    browser.close().await;
}

/// A new phone's first tap comes before anybody can have read the page: it is kept and counts a moment later.
#[tokio::test(flavor = "multi_thread")]
async fn a_quick_thumb_counts_a_moment_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let more = [("PIKA__WEB__FIRST_TAP_AFTER_S", "3"), ("PIKA__WEB__TAPS_PER_MINUTE", "10")];
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &more).await;
    pika.page().await;
    dj.plays("Glass Tide");
    pika.shows("Glass Tide").await;
    let browser = Browser::open(500, 1000).await;
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    browser.clicks("#like").await;
    browser.has("#like[aria-pressed=true]").await;
    told(&pika, "the like", |told| told.likes == 1).await;
    browser.close().await;
}

/// A venue without internet: plain HTTP to an IP address. No worker, no wake lock, and everything that counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_floor_on_plain_http() {
    let folder = tempfile::tempdir().unwrap();
    let (mut dj, pika) = floor(folder.path()).await;
    // Chromium trusts loopback like HTTPS; a name that it does not know to be loopback is the venue's network.
    let (_, port) = pika.web.rsplit_once(':').unwrap();
    let rule = "--host-resolver-rules=MAP venue.example 127.0.0.1";
    let browser = Browser::open_with(500, 1000, &[rule]).await;
    browser.goto(&format!("http://venue.example:{port}/e/tonight/main")).await;
    browser.sees("#now .title", "Glass Tide").await;
    let secure =
        browser.run("return [isSecureContext, !!navigator.serviceWorker, !!navigator.wakeLock]").await;
    assert_eq!(secure, json!([false, false, false]));
    browser.clicks("#like").await;
    told(&pika, "a like", |told| told.likes == 1).await;
    dj.plays("Half Life");
    browser.sees("#now .title", "Half Life").await;
    browser.goto(&format!("http://venue.example:{port}/e/tonight/main/stage")).await;
    browser.sees("#now .title", "Half Life").await;
    browser.close().await;
}

/// Over HTTPS (and on loopback, which browsers trust alike) the page is an app that opens without network.
#[tokio::test(flavor = "multi_thread")]
async fn an_installed_page_opens_without_network() {
    let folder = tempfile::tempdir().unwrap();
    let (_dj, mut pika) = floor(folder.path()).await;
    let browser = Browser::open(500, 1000).await;
    let page = format!("http://{}/e/tonight/main", pika.web);
    browser.goto(&page).await;
    let problems = browser.devtools("Page.getInstallabilityErrors", json!({})).await;
    assert_eq!(problems["installabilityErrors"], json!([]), "{problems}");
    let manifest = browser.devtools("Page.getAppManifest", json!({})).await;
    assert!(manifest["url"].as_str().unwrap().ends_with("/e/tonight/main/app.webmanifest"), "{manifest}");
    assert_eq!(manifest["errors"], json!([]), "{manifest}");
    browser.holds("the service worker", "return !!navigator.serviceWorker.controller").await;
    browser.goto(&page).await;
    browser.sees("#now .title", "Glass Tide").await;
    pika.program.kill();
    // What was seen last, and that it is not live; what was never seen, kindly.
    browser.goto(&page).await;
    browser.sees("#now .title", "Glass Tide").await;
    browser.sees("#offline", "Connection lost").await;
    browser.goto(&format!("http://{}/e/tonight/recap", pika.web)).await;
    browser.sees("h1", "One moment").await;
    browser.close().await;
}

/// A network that lets no WebSocket through: the page asks now and then.
#[tokio::test(flavor = "multi_thread")]
async fn without_websockets_the_page_asks() {
    let folder = tempfile::tempdir().unwrap();
    let (mut dj, pika) = floor(folder.path()).await;
    let browser = Browser::open(500, 1000).await;
    let blocked = "window.WebSocket = class { constructor() { setTimeout(() => this.onclose?.({ code: 1006 })); } close() {} };";
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": blocked })).await;
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    dj.plays("Half Life");
    browser.sees("#now .title", "Half Life").await;
    browser.sees("#history", "Glass Tide").await;
    browser.holds("nothing to be lost", "return document.getElementById('offline').hidden").await;
    browser.close().await;
}
