//! Every page in every state: in both languages, in the dark and in daylight, at 320 and at 1,920 pixels, and without
//! barriers. Pictures of them are kept in `target/pictures`.

use std::path::Path;

use bus::{Bus, Inbox, Options};
use config::Stop;
use config::clock::now_ms;
use kit::process::{Program, add_token, command, runtime};
use kit::{Browser, Database, Dj, Engine, wait};
use protocol::{
    Announcement, FloorAddress, FloorInfo, FloorTopic, History, IdSource, Info, NowPlaying, NowState,
    PastPlay, Play, PlayId, Poll, PollOption, Reactions, SetId, TempoTally, Topic, Track, V1, message,
};
use serde_json::json;

use crate::reactions::on;
use crate::road::up;

/// A web app and a broker, and everything that an archiver would say, said by the test.
struct Scenery {
    web: String,
    bus: Bus,
    ids: IdSource,
    inbox: Inbox,
    stop: Stop,
    _programs: Vec<Program>,
}

const TITLES: [(&str, &str); 6] = [
    ("Nova Harbor", "Glass Tide"),
    (
        "The Long Names of the Northern Lakes Orchestra",
        "A Song Whose Title Goes On for Longer Than Any Screen Is Wide",
    ),
    ("Zażółć Gęślą", "Jaźń"),
    ("DJ", "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"),
    ("Bessie Smith", "Downhearted Blues"),
    ("松任谷由実", "春よ、来い"),
];

impl Scenery {
    async fn build(folder: &Path) -> Self {
        let database = Database::sqlite(folder);
        let token = |name| add_token(folder, &database, name, &["service"]);
        let (web_token, our_token) = (token("webapp"), token("archiver"));
        let mut broker = command(folder);
        broker.arg("broker").env("DATABASE_URL", &database.url);
        let broker = Program::start(broker, folder, "broker");
        let mqtt = runtime(folder, "runtime-broker.json", None).await["mqtt"].as_str().unwrap().to_owned();
        let mut webapp = command(folder);
        webapp.arg("webapp").env("DATABASE_URL", &database.url);
        webapp.env("PIKA_BROKER_URL", format!("mqtt://webapp:{web_token}@{mqtt}"));
        let webapp = Program::start(webapp, folder, "webapp");
        let web = runtime(folder, "runtime-webapp.json", None).await["web"].as_str().unwrap().to_owned();
        let stop = Stop::new();
        let options = Options {
            url: format!("mqtt://archiver:{our_token}@{mqtt}").parse().unwrap(),
            client_id: "scenery".to_owned(),
            subscriptions: Vec::new(),
            will: None,
        };
        let (bus, inbox) = bus::open(options, stop.clone()).unwrap();
        let mut scenery =
            Self { web, bus, ids: IdSource::seeded(7), inbox, stop, _programs: vec![broker, webapp] };
        scenery.event(&["main"]);
        scenery
    }

    fn floor(&self) -> FloorAddress {
        "tonight/main".parse().unwrap()
    }

    fn keep(&self, about: FloorTopic, payload: Vec<u8>) {
        self.bus.keep(self.floor().topic(about), payload);
    }

    fn event(&mut self, floors: &[&str]) {
        let floor = |id: &&str| FloorInfo { id: id.parse().unwrap(), name: format!("Floor {id}") };
        let info = Info {
            v: V1,
            id: self.ids.message(now_ms()),
            at_ms: now_ms(),
            event: "tonight".parse().unwrap(),
            name: "Summer Ball".to_owned(),
            time_zone: "Europe/Warsaw".to_owned(),
            accent: None,
            floors: floors.iter().map(floor).collect(),
            web_url: None,
            versions: vec![1],
            term: Some(1),
        };
        self.bus.keep(Topic::Info(info.event.clone()), message::write(&info));
    }

    fn play(number: usize) -> Play {
        let (artist, title) = TITLES[number % TITLES.len()];
        let track = Track {
            artist: Some(artist.to_owned()),
            title: Some(title.to_owned()),
            bpm: Some(96.0 + number as f64),
            key: Some("Am".to_owned()),
            ..Track::default()
        };
        let started_ms = now_ms() - 200_000 * (number as i64 + 1);
        Play {
            id: PlayId::at(1_700_000_000_000 + number as i64, [number as u8; 10]),
            started_ms,
            ended_ms: None,
            track,
        }
    }

    fn dj() -> Option<protocol::Dj> {
        Some(protocol::Dj { id: "booth".parse().unwrap(), name: "Mira".to_owned() })
    }

    fn now(&mut self, state: NowState, play: Option<usize>, last_song: bool, stale_after_ms: i64) {
        let now = NowPlaying {
            v: V1,
            id: self.ids.message(now_ms()),
            at_ms: now_ms(),
            state,
            play: play.map(Self::play),
            dj: Self::dj(),
            set_id: Some(SetId::at(1_700_000_000_000, [1; 10])),
            last_song,
            cover_url: None,
            stale_after_ms: Some(stale_after_ms),
        };
        self.keep(FloorTopic::Now, message::write(&now));
    }

    fn history(&mut self, plays: usize) {
        let past = |number| PastPlay {
            set_id: SetId::at(1_700_000_000_000, [1; 10]),
            dj: Self::dj(),
            play: Self::play(number),
        };
        let plays = (1..=plays).map(past).collect();
        let history = History { v: V1, id: self.ids.message(now_ms()), at_ms: now_ms(), plays };
        self.keep(FloorTopic::History, message::write(&history));
    }

    fn crowd(&mut self, play: usize) {
        let reactions = Reactions {
            v: V1,
            id: self.ids.message(now_ms()),
            at_ms: now_ms(),
            play_id: Some(Self::play(play).id),
            likes: 23,
            tempo: TempoTally { slower: 2, perfect: 9, faster: 5 },
            thanks: 4,
            listeners: 118,
        };
        self.keep(FloorTopic::Reactions, message::write(&reactions));
    }

    fn says(&mut self, text: &str) {
        let said = Announcement {
            v: V1,
            id: self.ids.message(now_ms()),
            at_ms: now_ms(),
            text: text.to_owned(),
            until_ms: None,
        };
        self.keep(FloorTopic::Announcement, message::write(&said));
    }

    fn asks(&mut self, closed: bool) {
        let option = |text: &str, votes| PollOption { text: text.to_owned(), votes };
        let poll = Poll {
            v: V1,
            id: self.ids.message(now_ms()),
            at_ms: now_ms(),
            poll_id: "0195ad2c-7a10-7160-8000-000000000160".parse().unwrap(),
            question: "What next?".to_owned(),
            options: vec![option("Blues", 12), option("Pop", 5), option("Surprise us", 30)],
            closes_ms: None,
            closed,
        };
        self.keep(FloorTopic::Poll, message::write(&poll));
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.web)
    }

    /// Waits until a page shows a text.
    async fn serves(&self, path: &str, text: &str) {
        wait::until(&format!("{path} to show {text}"), || async {
            let page = kit::http::get(&self.web, path)?.text();
            if page.contains(text) { Ok(()) } else { Err(page) }
        })
        .await;
    }
}

impl Drop for Scenery {
    fn drop(&mut self) {
        self.stop.cancel();
        while self.inbox.try_next().is_some() {}
    }
}

/// Shows a page in that size, language and light, and finds nothing in anybody's way.
async fn check(
    browser: &Browser,
    url: &str,
    name: &str,
    (width, height): (u32, u32),
    language: &str,
    look: &str,
) {
    let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
    browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    let separator = if url.contains('?') { '&' } else { '?' };
    browser.goto(&format!("{url}{separator}lang={language}&look={look}")).await;
    let name = format!("{name}-{width}-{language}-{look}");
    browser
        .holds(
            "the page to be in that language",
            &format!("return document.documentElement.lang === '{language}'"),
        )
        .await;
    let wide = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
    assert!(wide.as_i64().unwrap() <= 0, "{name} is {wide} pixels too wide");
    let barriers = browser.barriers().await;
    assert!(barriers.is_empty(), "{name}: {barriers:#?}");
    browser.keeps_picture(&name).await;
}

const PHONE: (u32, u32) = (390, 844);
const SMALL: (u32, u32) = (320, 640);
const PROJECTOR: (u32, u32) = (1920, 1080);

#[tokio::test(flavor = "multi_thread")]
async fn a_floor_in_every_state_is_open_to_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let mut scenery = Scenery::build(folder.path()).await;
    let (browser, later) = (Browser::open(1920, 1080).await, now_ms() + 3_600_000);
    let (floor, stage) = (scenery.url("/e/tonight/main"), scenery.url("/e/tonight/main/stage"));

    scenery.serves("/e/tonight/main", "Nothing is playing yet").await;
    check(&browser, &floor, "floor-soon", SMALL, "en", "dark").await;
    check(&browser, &stage, "stage-soon", PROJECTOR, "pl", "dark").await;

    scenery.history(20);
    scenery.now(NowState::Playing, Some(0), false, later);
    scenery.crowd(0);
    scenery.serves("/e/tonight/main", "Glass Tide").await;
    scenery.serves("/e/tonight/main", "23 likes").await;
    scenery.serves("/e/tonight/main", "Downhearted Blues").await;
    for size in [PHONE, SMALL, PROJECTOR] {
        check(&browser, &floor, "floor", size, "en", "dark").await;
        check(&browser, &floor, "floor", size, "pl", "light").await;
    }
    check(&browser, &stage, "stage", PROJECTOR, "en", "dark").await;
    check(&browser, &stage, "stage", PHONE, "en", "light").await;
    check(
        &browser,
        &scenery.url("/e/tonight/main/overlay?fields=artist,bpm,key,dj"),
        "overlay",
        PROJECTOR,
        "en",
        "dark",
    )
    .await;
    check(&browser, &scenery.url("/join"), "join", PHONE, "en", "dark").await;
    check(&browser, &scenery.url("/join"), "join", PROJECTOR, "pl", "light").await;

    scenery.says("Water is at the bar");
    scenery.asks(false);
    scenery.now(NowState::Playing, Some(1), true, later);
    scenery.serves("/e/tonight/main", "Water is at the bar").await;
    scenery.serves("/e/tonight/main", "Surprise us").await;
    scenery.serves("/e/tonight/main", "Northern Lakes").await;
    check(&browser, &floor, "floor-poll", PHONE, "en", "dark").await;
    check(&browser, &floor, "floor-poll", SMALL, "pl", "light").await;
    check(&browser, &stage, "stage-poll", PROJECTOR, "pl", "dark").await;
    scenery.asks(true);
    scenery.now(NowState::Playing, Some(3), false, later);
    scenery.serves("/e/tonight/main", "Closed.").await;
    scenery.serves("/e/tonight/main", "Donaudampf").await;
    check(&browser, &floor, "floor-closed", SMALL, "en", "light").await;
    check(&browser, &stage, "stage-long", PROJECTOR, "en", "dark").await;

    for (state, sentence, name) in
        [(NowState::Hidden, "The DJ keeps this one", "hidden"), (NowState::Ended, "The set is over", "ended")]
    {
        scenery.now(state, None, false, later);
        scenery.serves("/e/tonight/main", sentence).await;
        check(&browser, &floor, &format!("floor-{name}"), PHONE, "en", "dark").await;
        check(&browser, &stage, &format!("stage-{name}"), PROJECTOR, "pl", "light").await;
    }
    scenery.now(NowState::Playing, Some(2), false, now_ms() - 1);
    scenery.serves("/e/tonight/main", "No signal").await;
    check(&browser, &floor, "floor-lost", PHONE, "pl", "dark").await;
    check(&browser, &floor, "floor-lost", PHONE, "en", "light").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lobby_problems_and_login_are_open_to_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let mut scenery = Scenery::build(folder.path()).await;
    scenery.event(&["main", "blues", "cellar"]);
    scenery.now(NowState::Playing, Some(0), false, now_ms() + 3_600_000);
    scenery.serves("/", "Floor cellar").await;
    scenery.serves("/", "Glass Tide").await;
    let browser = Browser::open(1920, 1080).await;
    for (path, name) in [
        ("/", "lobby"),
        ("/e/tonight/attic", "problem"),
        ("/offline", "offline"),
        ("/me", "me-empty"),
        ("/dj", "login"),
    ] {
        check(&browser, &scenery.url(path), name, PHONE, "pl", "dark").await;
        check(&browser, &scenery.url(path), name, PROJECTOR, "en", "light").await;
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_browser_finds_no_barrier_either() {
    let folder = tempfile::tempdir().unwrap();
    let mut scenery = Scenery::build(folder.path()).await;
    scenery.history(3);
    scenery.says("Water is at the bar");
    scenery.asks(false);
    scenery.now(NowState::Playing, Some(0), false, now_ms() + 3_600_000);
    for text in ["Glass Tide", "Water is at the bar", "Surprise us"] {
        scenery.serves("/e/tonight/main", text).await;
    }
    let browser = Browser::open_in(Engine::WebKit, 600, 1000).await;
    for (path, name) in [
        ("/e/tonight/main", "floor"),
        ("/e/tonight/main/stage", "stage"),
        ("/join", "join"),
        ("/dj", "login"),
    ] {
        for language in ["en", "pl"] {
            browser.goto(&scenery.url(&format!("{path}?lang={language}"))).await;
            // The driver comes back before all of the page is there.
            browser.has("main h1").await;
            let barriers = browser.barriers().await;
            assert!(barriers.is_empty(), "{name} in {language}: {barriers:#?}");
            browser.keeps_picture(&format!("webkit-{name}-{language}")).await;
        }
    }
    browser.close().await;
}

/// What is on record, from the road that it really takes.
#[tokio::test(flavor = "multi_thread")]
async fn recap_songs_and_likes_are_open_to_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &[]).await;
    pika.page().await;
    for title in ["Glass Tide", "Half Life", "=Formula", "Last One"] {
        dj.plays(title);
        on(&pika, title).await;
    }
    let play = on(&pika, "Last One").await;
    let now = kit::http::get(&pika.web, "/api/v1/tonight/main/now").unwrap();
    let now: NowPlaying = serde_json::from_slice(&now.body).unwrap();
    let set = now.set_id.unwrap();
    let browser = Browser::open(1920, 1080).await;
    let url = |path: &str| format!("http://{}{path}", pika.web);
    browser.goto(&url("/e/tonight/main")).await;
    browser.clicks("#like").await;
    browser.clicks("#slower").await;
    let (song, set) = (format!("/e/tonight/main/play/{play}"), format!("/e/tonight/set/{set}"));
    wait::until("the like in the recap", || async {
        let page = kit::http::get(&pika.web, "/e/tonight/recap")?.text();
        if page.contains("Last One") && page.contains("1 like") { Ok(()) } else { Err(page) }
    })
    .await;
    for (path, name) in [
        ("/e/tonight/recap", "recap"),
        ("/e/tonight/main/recap", "recap-floor"),
        (set.as_str(), "set"),
        (song.as_str(), "song"),
        ("/me", "me"),
    ] {
        check(&browser, &url(path), name, PHONE, "en", "dark").await;
        check(&browser, &url(path), name, SMALL, "pl", "light").await;
        check(&browser, &url(path), name, PROJECTOR, "pl", "dark").await;
    }
    browser.close().await;

    // Every format of the list, and only those.
    for (format, text) in [
        ("txt", "Nova Harbor - Glass Tide"),
        ("md", "| 1 | 00:"),
        ("csv", "'=Formula"),
        ("json", "\"Half Life\""),
        ("jsonl", "\"Half Life\""),
        ("m3u8", "#EXTINF"),
        ("cue", "TRACK 04 AUDIO"),
    ] {
        let list = kit::http::get(&pika.web, &format!("{set}/tracklist.{format}")).unwrap();
        assert!(list.status == 200 && list.text().contains(text), "{format}: {}", list.text());
        assert!(
            list.header("content-disposition").unwrap().contains(&format!("tonight-main-tracklist.{format}"))
        );
    }
    for nothing in [
        format!("{set}/tracklist.exe"),
        format!("{set}/passwords.csv"),
        "/e/tonight/set/0195ad2c-7a10-7001-8000-000000000001".to_owned(),
        "/e/tonight/set/x".to_owned(),
        "/e/tomorrow/recap".to_owned(),
        set.replace("tonight", "tomorrow"),
        "/e/tonight/attic/recap".to_owned(),
        "/e/tonight/main/play/0195ad2c-7a10-7001-8000-000000000001".to_owned(),
    ] {
        assert_eq!(kit::http::get(&pika.web, &nothing).unwrap().status, 404, "{nothing}");
    }
}

/// Programs read the floor as a stream.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_streamed() {
    use std::io::{BufRead, BufReader, Write};
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &[]).await;
    pika.page().await;
    let mut stream = std::net::TcpStream::connect(&pika.web).unwrap();
    let request = format!("GET /api/v1/tonight/main/events HTTP/1.1\r\nHost: {}\r\n\r\n", pika.web);
    stream.write_all(request.as_bytes()).unwrap();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    dj.plays("Glass Tide");
    let lines = BufReader::new(stream).lines().map(|line| line.unwrap());
    let mut event = String::new();
    for line in lines {
        if let Some(name) = line.strip_prefix("event: ") {
            event = name.to_owned();
        }
        if line.contains("Glass Tide") {
            assert!(event == "now" && line.starts_with("data: {"), "{event}: {line}");
            return;
        }
    }
    panic!("the stream has ended");
}
