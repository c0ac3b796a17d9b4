//! Sources that speak to us or are asked: real senders and players where they can be had, and the real clock. On Linux, where
//! these can be had and all of 127.0.0.0/8 is this machine.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use config::Secret;
use pika_publisher::settings::{Icecast, Input, JRiver, Settings, StagelinQ, VirtualDjLive};
use pika_publisher::sources::observation::{Arrival, Observation, SourceKind, percent_decoded};
use pika_publisher::sources::places::Places;
use pika_publisher::sources::stagelinq::wire::{self, Announcement};
use pika_publisher::sources::{SourceEvent, SourceState, Sources};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::source::{SOON, follow_with, next};

/// A program that is ended with the test.
struct Program(Child);

impl Program {
    fn start(program: &str, arguments: &[&str], folder: &Path) -> Self {
        Self::start_command(Command::new(program).args(arguments), folder)
    }

    fn start_command(command: &mut Command, folder: &Path) -> Self {
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.stderr(Stdio::null()).spawn().expect("it is installed; see xtask/src/tools.rs"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn play(sources: &mut Sources) -> Observation {
    loop {
        if let SourceEvent::Plays(mut plays) = next(sources).await {
            assert_eq!(plays.len(), 1);
            return plays.remove(0);
        }
    }
}

/// Waits for the next "artist – title", and says how it arrived.
async fn hears(sources: &mut Sources, line: &str) -> Arrival {
    let play = play(sources).await;
    assert_eq!(play.track.line(), line);
    play.arrival
}

/// What cannot be read, waiting for that to be said.
async fn missing(sources: &mut Sources) -> String {
    loop {
        if let SourceEvent::State(SourceState::Missing { what, .. }) = next(sources).await {
            return what;
        }
    }
}

/// Where somebody may speak to us, waiting for that to be said.
async fn waiting(sources: &mut Sources) -> String {
    loop {
        if let SourceEvent::State(SourceState::Waiting { what, .. }) = next(sources).await {
            return what;
        }
    }
}

async fn found(sources: &mut Sources) -> String {
    loop {
        if let SourceEvent::State(SourceState::Found { what, .. }) = next(sources).await {
            return what;
        }
    }
}

/// An icecast source on a port of its own, and its address.
async fn icecast(password: Option<&str>, stop: &CancellationToken) -> (Sources, String) {
    let icecast = Icecast { port: 0, password: password.map(Secret::new), ..Icecast::default() };
    let settings = Settings { source: SourceKind::Icecast.into(), icecast, ..Settings::default() };
    let mut sources = follow_with(&settings, Places::default(), stop);
    let address = waiting(&mut sources).await;
    (sources, address)
}

/// A broadcast of one second of silence under that name, and on until it is ended.
fn broadcast(address: &str, title: &str, codec: &[&str]) -> Program {
    let folder = std::env::temp_dir();
    let (title, url) = (format!("title={title}"), format!("icecast://source:pw@{address}/live"));
    let silence = ["-re", "-f", "lavfi", "-i", "anullsrc=r=44100:cl=mono", "-metadata", "artist=Nova Harbor"];
    let arguments = [&silence, ["-metadata", &title].as_slice(), codec, &[&url]].concat();
    Program::start("ffmpeg", &arguments, &folder)
}

const VORBIS: &[&str] = &["-c:a", "libvorbis", "-content_type", "application/ogg", "-f", "ogg"];
const OPUS: &[&str] = &["-c:a", "libopus", "-content_type", "application/ogg", "-f", "ogg"];
const MP3: &[&str] = &["-c:a", "libmp3lame", "-content_type", "audio/mpeg", "-f", "mp3"];
const OLD: &[&str] =
    &["-legacy_icecast", "1", "-c:a", "flac", "-content_type", "application/ogg", "-f", "ogg"];

/// Sends a request as it stands, and gives the start of the answer.
async fn ask(address: &str, request: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let byte = timeout(SOON, stream.read_u8()).await.expect("an answer within 20 s").expect("an answer");
        answer.push(byte);
    }
    (stream, String::from_utf8(answer).expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn broadcasts_of_every_kind() {
    let stop = CancellationToken::new();
    let (mut sources, address) = icecast(Some("pw"), &stop).await;
    for (title, codec) in [("Glass Tide", VORBIS), ("Low Sun", OPUS), ("Bølge", MP3), ("Drift", OLD)] {
        let sender = broadcast(&address, title, codec);
        assert_eq!(found(&mut sources).await, format!("/live on {address}"));
        // What is on when the sender connects may have begun before.
        assert_eq!(hears(&mut sources, &format!("Nova Harbor – {title}")).await, Arrival::Playing);
        drop(sender);
        waiting(&mut sources).await;
    }
    stop.cancel();
    let end = timeout(SOON, sources.events.recv()).await.expect("the source stops within 20 s");
    assert_eq!(end, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn traktors_collection_adds_what_a_broadcast_leaves_out() {
    let documents = tempfile::tempdir().expect("a folder");
    let version = documents.path().join("Native Instruments/Traktor 4.0.2");
    std::fs::create_dir_all(&version).expect("made");
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/traktor/mac/collection.nml");
    let nml = std::fs::read_to_string(sample).expect("it is there");
    std::fs::write(version.join("collection.nml"), &nml).expect("written");
    let stop = CancellationToken::new();
    let icecast = Icecast { port: 0, ..Icecast::default() };
    let settings = Settings { source: SourceKind::Icecast.into(), icecast, ..Settings::default() };
    let places = Places { documents: Some(documents.path().to_owned()), ..Places::default() };
    let mut sources = follow_with(&settings, places, &stop);
    let address = waiting(&mut sources).await;
    let known = async |sources: &mut Sources, line: &str| {
        let first = play(sources).await;
        let mut last = first.clone();
        // At once, or a moment later the same play again.
        while last.track.bpm.is_none() {
            last = play(sources).await;
        }
        assert_eq!((last.track.line().as_str(), &last.identity), (line, &first.identity));
        last
    };
    let sender = broadcast(&address, "Glass Tide", VORBIS);
    let play = known(&mut sources, "Nova Harbor – Glass Tide").await;
    assert_eq!((play.track.bpm, play.track.key.as_deref()), (Some(124.0), Some("F#m")));
    assert_eq!(
        (play.track.album.as_deref(), play.comment.as_deref()),
        (Some("Shore & Sea"), Some("peak time"))
    );
    drop(sender);
    waiting(&mut sources).await;
    // Traktor has written it anew.
    std::fs::write(version.join("collection.nml"), nml.replace("Glass Tide", "Low Sun")).expect("written");
    let _sender = broadcast(&address, "Low Sun", VORBIS);
    known(&mut sources, "Nova Harbor – Low Sun").await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn titles_beside_a_broadcast() {
    let stop = CancellationToken::new();
    let (mut sources, address) = icecast(Some("pw"), &stop).await;
    let source = "SOURCE /live HTTP/1.0\r\nUser-Agent: Deck/1\r\nContent-Type: audio/mpeg\r\n";
    let login = "Authorization: Basic c291cmNlOnB3\r\n";

    let (_, refused) = ask(&address, &format!("{source}\r\n")).await;
    assert!(refused.starts_with("HTTP/1.0 401 ") && refused.contains("WWW-Authenticate: Basic"));
    let (on_air, answer) = ask(&address, &format!("{source}{login}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.0 200 "));
    found(&mut sources).await;

    let update = async |query: &str| {
        let request = format!("GET /admin/metadata?mode=updinfo&{query} HTTP/1.0\r\n{login}\r\n");
        ask(&address, &request).await.1[9..12].to_owned()
    };
    assert_eq!(update("mount=/live&charset=UTF-8&song=Nova+Harbor+-+Glass+Tide").await, "200");
    assert_eq!(hears(&mut sources, "Nova Harbor – Glass Tide").await, Arrival::Playing);
    // Nothing new, nothing that can be used, and nothing of this stream.
    assert_eq!(update("mount=/live&artist=Nova+Harbor&title=Glass+Tide").await, "200");
    assert_eq!(update("mount=/live&artist=&title=&song=").await, "200");
    assert_eq!(update("mount=/other&song=Somebody+-+Else").await, "404");
    assert_eq!(update("mount=/live&title=Untitled").await, "200");
    // The artist of the song before is not this one's.
    assert_eq!(hears(&mut sources, "Untitled").await, Arrival::Live);

    let (_, other) = ask(&address, &format!("SOURCE /other HTTP/1.0\r\n{login}\r\n")).await;
    assert!(other.starts_with("HTTP/1.0 403 "));
    // The same program again takes the place of its lost connection.
    let (_again, answer) = ask(&address, &format!("{source}{login}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.0 200 "));
    drop(on_air);
    assert_eq!(update("mount=/live&song=Ana+Ruiz+-+Night").await, "200");
    assert_eq!(hears(&mut sources, "Ana Ruiz – Night").await, Arrival::Playing);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_used_when_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = taken.local_addr().expect("it has one").port();
    let stop = CancellationToken::new();
    let icecast = Icecast { port, ..Icecast::default() };
    let settings = Settings { source: SourceKind::Icecast.into(), icecast, ..Settings::default() };
    let mut sources = follow_with(&settings, Places::default(), &stop);
    missing(&mut sources).await;
    drop(taken);
    let address = waiting(&mut sources).await;
    let _sender = broadcast(&address, "Glass Tide", VORBIS);
    hears(&mut sources, "Nova Harbor – Glass Tide").await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_sender_is_sent_away() {
    let stop = CancellationToken::new();
    let (mut sources, address) = icecast(None, &stop).await;
    for (request, status) in [
        ("\x16\x03\x01\r\n\r\n", "400"),
        (&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000)), "400"),
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("GET /admin/metadata?song=a HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\n\r\n", "403"),
        ("OPTIONS * HTTP/1.1\r\n\r\n", "200"),
    ] {
        assert_eq!(&ask(&address, request).await.1[9..12], status);
    }
    let idle = idle_connections(&address, 40).await;
    drop(idle);
    let _sender = broadcast(&address, "Glass Tide", VORBIS);
    hears(&mut sources, "Nova Harbor – Glass Tide").await;
    stop.cancel();
}

/// Connections that say nothing.
async fn idle_connections(address: &str, count: usize) -> Vec<TcpStream> {
    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(TcpStream::connect(address).await.expect("it listens"));
    }
    idle
}

/// A file of silence with these tags.
fn silence(folder: &Path, name: &str, title: &str) {
    let title = format!("title={title}");
    let arguments = ["-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "300", "-metadata", &title];
    let tags = ["-metadata", "artist=Nova Harbor", "-c:a", "flac", name];
    let mut made = Program::start("ffmpeg", &[arguments.as_slice(), &tags].concat(), folder);
    assert!(made.0.wait().expect("it ends").success());
}

/// Asks the player on the bus to do that.
fn press(player: &str, button: &str) {
    let method = format!("org.mpris.MediaPlayer2.Player.{button}");
    let destination = format!("--dest=org.mpris.MediaPlayer2.{player}");
    let arguments = ["--print-reply", &destination, "/org/mpris/MediaPlayer2", &method];
    let output = Command::new("dbus-send").args(arguments).output().expect("it is installed");
    assert!(output.status.success(), "{output:?}");
}

/// A session bus that other users may join: some players refuse to run as root.
const FOR_ALL: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><keep_umask/><listen>unix:tmpdir=/tmp</listen><policy context="default">
<allow user="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
</policy></busconfig>"#;

/// Runs this test once more on a session bus of its own, where nobody's players are. Says whether this is that run.
fn is_on_a_bus(test: &str) -> bool {
    const INSIDE: &str = "PIKA_TEST_ON_A_BUS";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("session.conf");
    std::fs::write(&config, FOR_ALL).expect("written");
    let this = std::env::current_exe().expect("it runs");
    let mut command = Command::new("dbus-run-session");
    command.arg("--config-file").arg(config).args(["--".as_ref(), this.as_os_str()]).env(INSIDE, "1");
    let output = command
        .args(["--exact", test, "--nocapture"])
        .output()
        .expect("it is installed; see xtask/src/tools.rs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_on_the_session_bus() {
    if !is_on_a_bus("live::a_player_on_the_session_bus") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    silence(folder.path(), "1.flac", "Glass Tide");
    silence(folder.path(), "2.flac", "Low Sun");
    let stop = CancellationToken::new();
    let settings = Settings { source: SourceKind::Mpris.into(), ..Settings::default() };
    let mut sources = follow_with(&settings, Places::default(), &stop);
    assert!(waiting(&mut sources).await.contains("mpv"));

    let player = Program::start("mpv", &["--no-video", "--ao=null", "1.flac", "2.flac"], folder.path());
    assert_eq!(found(&mut sources).await, "mpv");
    let play = play(&mut sources).await;
    assert_eq!(play.track.line(), "Nova Harbor – Glass Tide");
    assert_eq!((play.arrival, play.track.duration_ms), (Arrival::Live, Some(300_000)));
    press("mpv", "Next");
    assert_eq!(hears(&mut sources, "Nova Harbor – Low Sun").await, Arrival::Live);
    press("mpv", "Pause");
    let stopped = async { while next(&mut sources).await != SourceEvent::Stopped {} };
    timeout(SOON, stopped).await.expect("a long pause is told");
    press("mpv", "Play");
    hears(&mut sources, "Nova Harbor – Low Sun").await;

    // Another listener meets a player that plays already.
    let mut late = follow_with(&settings, Places::default(), &stop);
    assert_eq!(hears(&mut late, "Nova Harbor – Low Sun").await, Arrival::Playing);
    drop(player);
    waiting(&mut sources).await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn vlc_on_the_session_bus() {
    if !is_on_a_bus("live::vlc_on_the_session_bus") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    silence(folder.path(), "1.flac", "Glass Tide");
    silence(folder.path(), "2.flac", "Low Sun");
    let stop = CancellationToken::new();
    let settings = Settings { source: SourceKind::Mpris.into(), ..Settings::default() };
    let mut sources = follow_with(&settings, Places::default(), &stop);
    waiting(&mut sources).await;

    let mut command = Command::new("vlc");
    command.args(["--intf", "dummy", "--control", "dbus", "--aout", "dummy", "--no-metadata-network-access"]);
    command.args(["1.flac", "2.flac"]).env("HOME", folder.path());
    as_a_user(&mut command, folder.path());
    let player = Program::start_command(&mut command, folder.path());
    assert_eq!(found(&mut sources).await, "vlc");
    let first = play(&mut sources).await;
    assert_eq!(first.track.line(), "Nova Harbor – Glass Tide");
    assert_eq!(first.arrival, Arrival::Live);
    // It knows the length a moment later: the same play.
    let mut last = first.clone();
    while last.track.duration_ms != Some(300_000) {
        last = play(&mut sources).await;
        assert_eq!(last.identity, first.identity);
    }
    press("vlc", "Next");
    while play(&mut sources).await.track.title.as_deref() != Some("Low Sun") {}
    drop(player);
    waiting(&mut sources).await;
    stop.cancel();
}

/// Lends the folder to somebody else than root, and the program with it.
fn as_a_user(command: &mut Command, folder: &Path) {
    use std::os::unix::fs::{MetadataExt, chown};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;
    // Who made it is who we are.
    if std::fs::metadata(folder).expect("it is there").uid() != 0 {
        return;
    }
    chown(folder, Some(NOBODY), Some(NOBODY)).expect("we are root");
    command.uid(NOBODY).gid(NOBODY);
}

/// A web server that answers what it is told to, as the programs do that are asked.
struct Fake {
    address: String,
    answers: Arc<Mutex<BTreeMap<String, String>>>,
    asked: Arc<Mutex<Vec<String>>>,
    _server: AbortOnDropHandle<()>,
}

impl Fake {
    /// At an address of its own, or at one that was its before. Answers whoever shows the password.
    async fn start(address: &str, password: &'static str) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let address = listener.local_addr().expect("it has one").to_string();
        let (answers, asked) =
            (Arc::<Mutex<BTreeMap<String, String>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let shared = (Arc::clone(&answers), Arc::clone(&asked));
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, asked) = shared.clone();
                connections.spawn(async move { Self::serve(stream, password, &answers, &asked).await });
            }
        });
        Self { address, answers, asked, _server: AbortOnDropHandle::new(server) }
    }

    async fn serve(
        stream: TcpStream,
        password: &str,
        answers: &Mutex<BTreeMap<String, String>>,
        asked: &Mutex<Vec<String>>,
    ) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            let path = percent_decoded(head.split(' ').nth(1).expect("a path"));
            let answer = answers.lock().expect("whole").get(&path).cloned();
            let (status, body) = match answer {
                _ if !head.to_lowercase().contains(&password.to_lowercase()) => {
                    ("401 Unauthorized", String::new())
                }
                Some(answer) => ("200 OK", answer),
                None => ("200 OK", "error:-1".to_owned()),
            };
            asked.lock().expect("whole").push(path);
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await?;
        }
    }

    fn answers(&self, path: &str, answer: &str) {
        self.answers.lock().expect("whole").insert(path.to_owned(), answer.to_owned());
    }

    fn has(&self, script: &str, answer: &str) {
        self.answers(&format!("/query?script={script}&bearer=pw"), answer);
    }

    /// Loads a deck of a DJ program.
    fn load(&self, deck: u8, title: &str, is_audible: bool) {
        self.has(&format!("deck {deck} get_loaded_song 'artist'"), "Nova Harbor");
        self.has(&format!("deck {deck} get_loaded_song 'title'"), title);
        self.has(&format!("deck {deck} get_time total"), "4:01");
        self.has(&format!("deck {deck} loaded"), "yes");
        self.is_audible(deck, is_audible);
    }

    fn is_audible(&self, deck: u8, is_audible: bool) {
        self.has(&format!("deck {deck} is_audible"), if is_audible { "yes" } else { "no" });
    }
}

/// Settings for the plug-in at an address.
fn virtualdj(address: &str, password: &str) -> Settings {
    let virtualdj_live =
        VirtualDjLive { url: Some(format!("http://{address}")), password: Some(Secret::new(password)) };
    Settings { source: SourceKind::VirtualDjLive.into(), virtualdj_live, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decks_of_virtualdj() {
    let stop = CancellationToken::new();
    let fake = Fake::start("127.0.0.1:0", "authorization: bearer pw").await;
    let settings = virtualdj(&fake.address, "pw");
    fake.has("get_clock", "21:04");
    fake.load(1, "Glass Tide", true);
    fake.load(2, "Low Sun", false);
    let mut sources = follow_with(&settings, Places::default(), &stop);
    assert_eq!(found(&mut sources).await, format!("http://{}", fake.address));
    let first = play(&mut sources).await;
    assert_eq!(first.track.line(), "Nova Harbor – Glass Tide");
    assert_eq!(
        (first.arrival, first.deck, first.track.duration_ms),
        (Arrival::Playing, Some(1), Some(241_000))
    );
    fake.is_audible(2, true);
    let second = play(&mut sources).await;
    assert_eq!(second.track.line(), "Nova Harbor – Low Sun");
    assert_eq!((second.arrival, second.deck), (Arrival::Live, Some(2)));
    // The fader goes back: the same play.
    fake.is_audible(2, false);
    let again = play(&mut sources).await;
    assert_eq!((again.identity, again.arrival), (first.identity, Arrival::Playing));

    // A rehearsal, and then for all to hear.
    fake.has("sandbox", "yes");
    let looks = fake.asked.lock().expect("whole").len();
    fake.load(1, "Rehearsal", true);
    while fake.asked.lock().expect("whole").len() < looks + 6 {
        tokio::task::yield_now().await;
    }
    fake.load(1, "Drift", true);
    fake.has("sandbox", "no");
    assert_eq!(hears(&mut sources, "Nova Harbor – Drift").await, Arrival::Live);

    let asked = fake.asked.lock().expect("whole").clone();
    assert!(asked.iter().all(|path| path.starts_with("/query?script=")), "it is only asked");
    let tempo = asked.iter().filter(|path| path.contains("get_bpm")).count();
    assert_eq!(tempo, 1, "what is not known is not asked again");

    let address = fake.address.clone();
    drop(fake);
    missing(&mut sources).await;
    let fake = Fake::start(&address, "").await;
    fake.has("get_clock", "21:09");
    fake.load(3, "Bølge", true);
    assert_eq!(hears(&mut sources, "Nova Harbor – Bølge").await, Arrival::Playing);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_for_virtualdj_is_said() {
    let stop = CancellationToken::new();
    let fake = Fake::start("127.0.0.1:0", "authorization: bearer pw").await;
    let mut sources = follow_with(&virtualdj(&fake.address, "wrong"), Places::default(), &stop);
    let SourceEvent::State(SourceState::Missing { why, .. }) = next(&mut sources).await else {
        panic!("it is no source")
    };
    assert!(why.contains("password"), "{why}");
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_jriver_plays() {
    let stop = CancellationToken::new();
    let fake = Fake::start("127.0.0.1:0", "").await;
    let plays = |name: &str, state: &str| {
        let items = format!("<Item Name=\"State\">{state}</Item><Item Name=\"Name\">{name}</Item>");
        let xml =
            format!("<Response Status=\"OK\">{items}<Item Name=\"Artist\">Nova Harbor</Item></Response>");
        fake.answers("/MCWS/v1/Playback/Info?Token=t1", &xml);
    };
    let token = "<Response Status=\"OK\"><Item Name=\"Token\">t1</Item></Response>";
    fake.answers("/MCWS/v1/Authenticate", token);
    plays("Glass Tide", "2");
    let url = format!("http://{}", fake.address);
    let jriver = JRiver { url, user: "dj".to_owned(), password: Some(Secret::new("pw")) };
    let settings = Settings { source: SourceKind::JRiver.into(), jriver, ..Settings::default() };
    let mut sources = follow_with(&settings, Places::default(), &stop);
    found(&mut sources).await;
    assert_eq!(hears(&mut sources, "Nova Harbor – Glass Tide").await, Arrival::Playing);
    plays("Rock &amp; Tide", "2");
    assert_eq!(hears(&mut sources, "Nova Harbor – Rock & Tide").await, Arrival::Live);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_tells_us() {
    let stop = CancellationToken::new();
    let http = Input { port: 0, token: Some(Secret::new("pw")) };
    let settings = Settings { source: SourceKind::Input.into(), http, ..Settings::default() };
    let mut sources = follow_with(&settings, Places::default(), &stop);
    let place = waiting(&mut sources).await;
    let address = place.trim_start_matches("http://").trim_end_matches("/v1/input");
    let tell = async |method: &str, target: &str, headers: &str, body: &str| {
        let length = body.len();
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}");
        ask(address, &format!("{head}\r\n\r\n{body}")).await.1[9..12].to_owned()
    };
    let login = "Authorization: Bearer pw\r\n";
    assert_eq!(tell("GET", "/v1/input?token=pw&title=Glass+Tide", "", "").await, "200");
    assert_eq!(found(&mut sources).await, place);
    assert_eq!(hears(&mut sources, "Glass Tide").await, Arrival::Playing);
    let night = r#"{"artist":"Ana","title":"Night"}"#;
    assert_eq!(tell("POST", "/v1/input", login, night).await, "200");
    assert_eq!(hears(&mut sources, "Ana – Night").await, Arrival::Live);
    assert_eq!(tell("POST", "/v1/input", login, "artist=").await, "400");
    assert_eq!(tell("POST", "/v1/input", "", night).await, "401");
    let page = format!("{login}Origin: http://example.org\r\n");
    assert_eq!(tell("POST", "/v1/input", &page, night).await, "403");
    assert_eq!(tell("POST", "/v1/input", login, &"x".repeat(70_000)).await, "413");
    assert_eq!(tell("GET", "/", login, "").await, "404");
    assert_eq!(tell("DELETE", "/v1/input", login, "").await, "405");
    assert_eq!(tell("POST", "/v1/input", login, "state=stopped").await, "200");
    assert_eq!(next(&mut sources).await, SourceEvent::Stopped);
    stop.cancel();
}

/// Calls back to whoever calls, as players do, until dropped.
fn calling(socket: UdpSocket, announcement: Announcement) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut datagram = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            let theirs = Announcement::parse(&datagram[..length]).expect("an announcement");
            assert_eq!((theirs.name.as_str(), theirs.is_here, theirs.port), ("Pika", true, 0));
            socket.send_to(&announcement.bytes(), from).await.expect("sent");
        }
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_with_engine_os() {
    let stop = CancellationToken::new();
    let bind = async || TcpListener::bind("127.0.0.2:0").await.expect("a port");
    let (list, states) = (bind().await, bind().await);
    let port = |listener: &TcpListener| listener.local_addr().expect("it has one").port();
    let calls = UdpSocket::bind("127.0.0.2:0").await.expect("a port");
    let stagelinq = StagelinQ {
        host: Ipv4Addr::LOCALHOST,
        port: calls.local_addr().expect("it has one").port(),
        announce_to: vec![Ipv4Addr::new(127, 0, 0, 2)],
    };
    let token = [7; 16];
    let announcement = Announcement {
        token,
        name: "sc6000".to_owned(),
        is_here: true,
        software: "JP13".to_owned(),
        version: "3.0".to_owned(),
        port: port(&list),
    };
    let _calling = calling(calls, announcement);
    let settings = Settings { source: SourceKind::StagelinQ.into(), stagelinq, ..Settings::default() };
    let mut sources = follow_with(&settings, Places::default(), &stop);
    assert_eq!(found(&mut sources).await, "sc6000");

    let (mut list, _) = timeout(SOON, list.accept()).await.expect("it comes").expect("a connection");
    let mut request = [0; 20];
    list.read_exact(&mut request).await.expect("a request");
    assert_eq!(request[..4], 2_u32.to_be_bytes());
    let services =
        [wire::services_request(&token), wire::service(&token, "StateMap", port(&states))].concat();
    for slice in services.chunks(7) {
        list.write_all(slice).await.expect("sent");
    }
    let (mut states, _) = timeout(SOON, states.accept()).await.expect("it comes").expect("a connection");
    let say = async |states: &mut TcpStream, told: &[(&str, &str)]| {
        let bytes: Vec<u8> = told.iter().flat_map(|(path, json)| wire::state(path, json)).collect();
        states.write_all(&bytes).await.expect("sent");
    };
    let loaded = [
        ("/Engine/Deck1/Track/SongLoaded", r#"{"state":true}"#),
        ("/Engine/Deck1/Track/SongName", r#"{"string":"Glass Tide"}"#),
        ("/Engine/Deck1/Track/ArtistName", r#"{"string":"Nova Harbor"}"#),
        ("/Engine/Deck1/ExternalMixerVolume", r#"{"value":0}"#),
        ("/Engine/Deck1/Play", r#"{"state":true}"#),
    ];
    say(&mut states, &loaded).await;
    let first = play(&mut sources).await;
    assert_eq!(first.track.line(), "Nova Harbor – Glass Tide");
    assert_eq!((first.arrival, first.deck), (Arrival::Playing, Some(1)));
    // The next one is cued, and then its fader goes up.
    let cued = [
        ("/Mixer/CH2faderPosition", r#"{"value":0.0}"#),
        ("/Engine/Deck2/Track/SongName", r#"{"string":"Low Sun"}"#),
        ("/Engine/Deck2/Play", r#"{"state":true}"#),
    ];
    say(&mut states, &cued).await;
    say(&mut states, &[("/Engine/Deck1/Track/BPM", r#"{"value":124}"#)]).await;
    assert_eq!(play(&mut sources).await.track.bpm, Some(124.0));
    say(&mut states, &[("/Mixer/CH2faderPosition", r#"{"value":1.0}"#)]).await;
    assert_eq!(hears(&mut sources, "Low Sun").await, Arrival::Live);
    drop((list, states));
    waiting(&mut sources).await;
    stop.cancel();
}
