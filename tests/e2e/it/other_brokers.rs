//! Archiver, web app and publisher as processes of their own, on a broker that is not ours. Nothing they do may
//! need more than MQTT 3.1.1, QoS 1 and retained messages on topics that are named in full.

use std::path::Path;

use kit::brokers::{Broker, Login};
use kit::mosquitto::Subscriber;
use kit::process::{self, Program};
use kit::{Database, Dj, wait};
use protocol::NowPlaying;

use crate::road::archived;

const LOGINS: [Login; 4] = [
    Login { name: "archiver", password: "archivers" },
    Login { name: "webapp", password: "webapps" },
    Login { name: "laptop", password: "laptops" },
    Login { name: "lights", password: "lights" },
];

/// The three programs and where they connect.
struct Apart<'a> {
    folder: &'a Path,
    database: Database,
    dj: Dj,
    /// `mqtt://{login}@host:port`, or with another scheme and path.
    url: String,
    environment: Vec<(&'static str, String)>,
    web: String,
    archiver: Option<Program>,
    webapp: Option<Program>,
    publisher: Option<Program>,
}

impl<'a> Apart<'a> {
    fn new(folder: &'a Path, url: &str, environment: &[(&'static str, String)]) -> Self {
        let mut apart = Self {
            folder,
            database: Database::sqlite(folder),
            dj: Dj::new(folder),
            url: url.to_owned(),
            environment: environment.to_vec(),
            web: format!("127.0.0.1:{}", kit::ports::free()),
            archiver: None,
            webapp: None,
            publisher: None,
        };
        apart.archiver = Some(apart.start("archiver"));
        apart.webapp = Some(apart.start("webapp"));
        apart.publisher = Some(apart.start("publisher"));
        apart
    }

    fn start(&self, name: &str) -> Program {
        let data = self.folder.join(name);
        let mut server = process::command(&data);
        server.arg(name);
        let (login, mut command) = match name {
            "publisher" => ("laptop", process::publisher(&data, &self.dj.home)),
            _ => (name, server),
        };
        let login = LOGINS.iter().find(|known| known.name == login).unwrap();
        let url = self.url.replace("{login}", &format!("{}:{}", login.name, login.password));
        command.env("PIKA_BROKER_URL", url).env("DATABASE_URL", &self.database.url);
        command.env("PIKA__WEB__PORT", self.web.rsplit_once(':').unwrap().1);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Program::start(command, &data, name)
    }

    async fn shows(&self, text: &str) {
        wait::until(&format!("the page to show {text}"), || async {
            let page = kit::http::get(&self.web, "/e/tonight/main")?.text();
            // The heading is what plays now; a play of the past stands further down.
            if page.contains(&format!("class=\"title\">{text}<")) { Ok(()) } else { Err(page) }
        })
        .await;
    }

    /// What the page's API says, once its desk is known to be there.
    async fn live(&self) -> NowPlaying {
        wait::until("the desk to be there", || async {
            let answer = kit::http::get(&self.web, "/api/v1/tonight/main/now")?;
            let now: NowPlaying = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
            let is_live = now.play.is_some() && !now.is_stale(config::clock::now_ms());
            if is_live { Ok(now) } else { Err(answer.text()) }
        })
        .await
    }

    /// Page, archive and retained messages agree.
    async fn has_arrived(&self, broker: &str, title: &str, wildcards: bool) {
        self.shows(title).await;
        self.live().await;
        archived(&self.database, &self.dj).await;
        let topic = if wildcards { "pika/v1/tonight/main/now/#" } else { "pika/v1/tonight/main/now/title" };
        let login = ["-u", "lights", "-P", "lights"];
        // The newcomer is told at once, or with the change that is still under way.
        let newcomer = Subscriber::start(broker, &[&login[..], &["-v", "-q", "1", "-t", topic]].concat());
        newcomer.prints(&format!("pika/v1/tonight/main/now/title {title}")).await;
        let json =
            Subscriber::start(broker, &[&login[..], &["-q", "1", "-t", "pika/v1/tonight/main/now"]].concat());
        json.prints(&format!("\"title\":\"{title}\"")).await;
    }
}

/// A play arrives everywhere; the broker is killed and comes back; so is each program, while the others go on.
async fn everything_works_on(mut broker: Broker, wildcards: bool) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("mqtt://{{login}}@{}", broker.address);
    let mut it = Apart::new(folder.path(), &url, &[]);
    it.shows("Soon").await;
    it.dj.plays("First");
    it.has_arrived(&broker.address, "First", wildcards).await;

    broker.kill();
    it.dj.plays("While the broker was away");
    broker.start().await;
    it.has_arrived(&broker.address, "While the broker was away", wildcards).await;

    it.archiver.as_mut().unwrap().kill();
    it.dj.plays("While the archiver was away");
    it.archiver = Some(it.start("archiver"));
    it.has_arrived(&broker.address, "While the archiver was away", wildcards).await;

    // Nobody notices a restart.
    let before = it.live().await;
    let states = ["-u", "lights", "-P", "lights", "-q", "1", "-v"];
    let topics = ["-t", "pika/v1/tonight/main/now/state", "-t", "pika/v1/tonight/main/now"];
    let watcher = Subscriber::start(&broker.address, &[&states[..], &topics].concat());
    watcher.prints("now/state playing").await;
    it.archiver.as_mut().unwrap().kill();
    it.archiver = Some(it.start("archiver"));
    let after = wait::until("the archiver to speak again", || async {
        let now = it.live().await;
        if now.id == before.id { Err(format!("{now:?}")) } else { Ok(now) }
    })
    .await;
    assert_eq!(after.play, before.play);
    watcher.prints(&after.id.to_string()).await;
    let others: Vec<_> = watcher.lines().into_iter().filter(|line| !line.contains("playing")).collect();
    assert!(others.is_empty(), "{others:?}");

    it.webapp.as_mut().unwrap().kill();
    it.webapp = Some(it.start("webapp"));
    it.has_arrived(&broker.address, "While the archiver was away", wildcards).await;

    it.publisher.as_mut().unwrap().kill();
    it.dj.plays("While the publisher was away");
    it.publisher = Some(it.start("publisher"));
    it.has_arrived(&broker.address, "While the publisher was away", wildcards).await;

    broker.kill();
    it.archiver.as_mut().unwrap().kill();
    it.dj.plays("While nobody was there");
    broker.start().await;
    it.archiver = Some(it.start("archiver"));
    it.has_arrived(&broker.address, "While nobody was there", wildcards).await;
    it.dj.plays("Last");
    it.has_arrived(&broker.address, "Last", wildcards).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_on_mosquitto() {
    everything_works_on(Broker::mosquitto("allow_anonymous true").await, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_on_nats() {
    everything_works_on(Broker::nats(&LOGINS).await, true).await;
}

/// Its MQTT gives no retained message to a wildcard, and forgets them when it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn everything_works_on_rabbitmq() {
    everything_works_on(Broker::rabbitmq(&LOGINS).await, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_road_leads_to_mosquitto() {
    let keys = tempfile::tempdir().unwrap();
    let ca = kit::brokers::certificates(keys.path());
    let (tls, websocket, both) = (kit::ports::free(), kit::ports::free(), kit::ports::free());
    let files = format!(
        "certfile {0}/server.pem\nkeyfile {0}/server.key\nallow_anonymous true\n",
        keys.path().display()
    );
    let config = format!(
        "allow_anonymous true\n\
         listener {tls} 127.0.0.1\n{files}\
         listener {websocket} 127.0.0.1\nprotocol websockets\nallow_anonymous true\n\
         listener {both} 127.0.0.1\nprotocol websockets\n{files}"
    );
    let broker = Broker::mosquitto(&config).await;
    // The test's authority is the only one that the programs trust.
    let trust = [("SSL_CERT_FILE", ca.display().to_string())];
    for url in [
        format!("ws://{{login}}@127.0.0.1:{websocket}/mqtt"),
        format!("mqtts://{{login}}@localhost:{tls}"),
        format!("wss://{{login}}@localhost:{both}/mqtt"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut it = Apart::new(folder.path(), &url, &trust);
        let title = format!("Over {}", url.split(':').next().unwrap());
        it.dj.plays(&title);
        it.has_arrived(&broker.address, &title, true).await;
    }

    // Somebody else's certificate is not taken.
    let folder = tempfile::tempdir().unwrap();
    let it = Apart::new(folder.path(), &format!("mqtts://{{login}}@localhost:{tls}"), &[]);
    wait::until_some("the certificate to be refused", || {
        it.archiver.as_ref()?.log().to_lowercase().contains("unknownissuer").then_some(())
    })
    .await;
}
