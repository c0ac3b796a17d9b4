//! A broadcast that a DJ program sends us, as it would to an Icecast server: we listen for the titles and drop the sound.

pub mod metadata;
pub mod ogg;
pub mod request;

use std::net::SocketAddr;
use std::time::Duration;

use config::Secret;
use config::clock::now_ms;
use protocol::Track;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::metadata::{LeadingTag, Update};
use self::ogg::Ogg;
use self::request::{Body, HEAD_BYTES_MAX, Request, Wish};
use super::live::{Ears, Sound, Voice, key, listener};
use super::traktor::nml::Entry;
use super::traktor::{self, Answer, Asker, Collection};
use crate::settings::Icecast;

/// A DJ has one broadcast and its updates. A connection beyond these is closed at once; programs try again.
const CONNECTIONS_MAX: usize = 16;
/// When so many wait, connections are not read on, and senders wait.
const SAYINGS_MAX: usize = 16;
/// When no connection can be accepted, as with too many files open.
const PAUSE: Duration = Duration::from_secs(1);
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A broadcast never pauses; one that does has lost its sender.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
const UPDATED: &str = "<?xml version=\"1.0\"?>\n<iceresponse><message>Metadata update successful</message>\
    <return>1</return></iceresponse>\n";

/// Receives broadcasts until dropped.
pub(super) async fn run(settings: Icecast, collection: Collection, voice: Voice, ears: Ears) {
    let (asker, mut answers) = traktor::open(collection);
    let mut station =
        Station { voice, ears, place: String::new(), on_air: None, asker, heard: None, known: None };
    let address = SocketAddr::new(settings.host, settings.port);
    if !address.ip().is_loopback() && settings.password.is_none() {
        tracing::warn!(%address, "broadcasts are received without a password; whoever reaches the port may send");
    }
    let cure = "end the program that does, or choose another port here and in the DJ program";
    let listener = listener(&mut station.voice, address, cure).await;
    let place = listener.local_addr().unwrap_or(address);
    station.place = place.to_string();
    station.nobody().await;
    let (said, mut sayings) = mpsc::channel(SAYINGS_MAX);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // What a connection said comes before its end.
            biased;
            Some(saying) = sayings.recv() => station.take(saying).await,
            Some(answer) = answers.recv() => station.learn(answer).await,
            Some(ended) = connections.join_next_with_id(), if !connections.is_empty() => {
                station.gone(ended.map_or_else(|error| error.id(), |(id, ())| id)).await;
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(serve(stream, settings.password.clone(), said.clone()));
                }
                Ok(_) => tracing::warn!("more connections than a broadcast needs; closed one"),
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
}

/// What a connection tells the station.
#[derive(Debug)]
enum Saying {
    Broadcast {
        id: tokio::task::Id,
        mount: String,
        agent: Option<String>,
        /// Ends the connection when another one takes its place.
        end: CancellationToken,
        /// Whether it may.
        answer: oneshot::Sender<bool>,
    },
    Comment {
        id: tokio::task::Id,
        track: Track,
    },
    Update {
        update: Update,
        /// Whether its stream is on air.
        answer: oneshot::Sender<bool>,
    },
}

/// Who sends, and what is heard of it.
struct Station {
    voice: Voice,
    ears: Ears,
    place: String,
    on_air: Option<OnAir>,
    asker: Asker,
    /// The newest track as its sender said it.
    heard: Option<Track>,
    /// What a collection says of that one.
    known: Option<Entry>,
}

struct OnAir {
    id: tokio::task::Id,
    mount: String,
    end: CancellationToken,
}

impl Station {
    async fn nobody(&mut self) {
        let why = "no program sends a broadcast to it (yet)";
        self.voice.waiting(self.place.clone(), why).await;
    }

    async fn take(&mut self, saying: Saying) {
        match saying {
            Saying::Broadcast { id, mount, agent, end, answer } => {
                // The same program again, before it is known that its old connection is dead.
                let is_free = self.on_air.as_ref().is_none_or(|on_air| on_air.mount == mount);
                // A sender that left meanwhile is noticed when its connection ends.
                let _ = answer.send(is_free);
                if !is_free {
                    return;
                }
                let what = format!("{mount} on {}", self.place);
                let why = format!("{} is connected", agent.as_deref().unwrap_or("a program"));
                if let Some(before) = self.on_air.replace(OnAir { id, mount, end }) {
                    before.end.cancel();
                }
                self.forget();
                self.voice.found(what, why).await;
            }
            Saying::Comment { id, track } => {
                if self.on_air.as_ref().is_some_and(|on_air| on_air.id == id) {
                    self.hear(track).await;
                }
            }
            Saying::Update { update: Update { mount, track }, answer } => {
                let on_air = self.on_air.as_ref().map(|on_air| on_air.mount.as_str());
                // Some programs send titles and no sound.
                let is_meant = on_air.is_none() || mount.is_none() || mount.as_deref() == on_air;
                let _ = answer.send(is_meant);
                if let Some(track) = track.filter(|_| is_meant) {
                    if self.on_air.is_none() {
                        self.voice.found(self.place.clone(), "a program sends titles to it").await;
                    }
                    self.hear(track).await;
                }
            }
        }
    }

    /// The newest track replaces the one before as a whole: what it lacks was not of it.
    async fn hear(&mut self, track: Track) {
        if self.heard.as_ref().map(key) != Some(key(&track)) {
            self.known = None;
            self.asker.ask(&track);
        }
        self.heard = Some(track);
        self.tell().await;
    }

    /// More is known of a track, if it still is the newest.
    async fn learn(&mut self, (track, entry): Answer) {
        if self.heard.as_ref().map(key) == Some(key(&track)) {
            self.known = Some(entry);
            self.tell().await;
        }
    }

    async fn tell(&mut self) {
        let Some(track) = self.heard.clone() else { return };
        let mut sound = Sound::of(track);
        if let Some(known) = &self.known {
            known.fill(&mut sound);
        }
        let now_ms = now_ms();
        self.ears.hear(now_ms, 0, Some(sound));
        if let Some(event) = self.ears.news(now_ms) {
            self.voice.say(event).await;
        }
    }

    /// What comes next is of another broadcast.
    fn forget(&mut self) {
        self.ears.forget();
        (self.heard, self.known) = (None, None);
    }

    async fn gone(&mut self, id: tokio::task::Id) {
        if self.on_air.take_if(|on_air| on_air.id == id).is_some() {
            self.forget();
            self.nobody().await;
        }
    }
}

/// Serves one request. Whatever is wrong with it is the sender's business, and told it.
async fn serve(mut stream: TcpStream, password: Option<Secret>, said: mpsc::Sender<Saying>) {
    let head = timeout(HEAD_TIMEOUT, read_head(&mut stream)).await;
    let Ok(Some((request, rest))) = head else {
        let _ = timeout(HEAD_TIMEOUT, reply(&mut stream, "HTTP/1.0 400 Bad Request", "", "no request")).await;
        return;
    };
    let version = if request.is_newer { "HTTP/1.1" } else { "HTTP/1.0" };
    let is_guarded = matches!(request.wish, Wish::Broadcast | Wish::Update(_));
    let answered = if is_guarded && request.is_from_a_page {
        let status = format!("{version} 403 Forbidden");
        reply(&mut stream, &status, "", "web pages may not tell what is played").await
    } else if is_guarded && !request.may(password.as_ref()) {
        let status = format!("{version} 401 Unauthorized");
        let header = "WWW-Authenticate: Basic realm=\"Icecast2 Server\"\r\n";
        reply(&mut stream, &status, header, "the password is wrong").await
    } else {
        match &request.wish {
            Wish::Broadcast => receive(&mut stream, version, &request, &rest, &said).await,
            Wish::Update(query) => update(&mut stream, version, query, &said).await,
            Wish::Options => {
                let status = format!("{version} 200 OK");
                reply(&mut stream, &status, "Allow: GET, SOURCE, PUT, OPTIONS\r\n", "").await
            }
            Wish::Other => {
                let status = format!("{version} 404 Not Found");
                reply(&mut stream, &status, "", "broadcasts are received here, and not sent").await
            }
        }
    };
    if let Err(error) = answered {
        tracing::debug!("a sender has left: {error}");
    }
}

/// The head, and what came of the body with it.
async fn read_head(stream: &mut TcpStream) -> Option<(Request, Vec<u8>)> {
    let mut bytes = Vec::new();
    while bytes.len() < HEAD_BYTES_MAX {
        let mut piece = [0; 2048];
        let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        if let Some((request, head_bytes)) = Request::parse(&bytes).ok()? {
            return Some((request, bytes.split_off(head_bytes)));
        }
    }
    None
}

async fn receive(
    stream: &mut TcpStream,
    version: &str,
    request: &Request,
    rest: &[u8],
    said: &mpsc::Sender<Saying>,
) -> std::io::Result<()> {
    let (id, end) = (tokio::task::id(), CancellationToken::new());
    let (answer, answered) = oneshot::channel();
    let (mount, agent) = (request.path.clone(), request.agent.clone());
    let broadcast = Saying::Broadcast { id, mount, agent, end: end.clone(), answer };
    if said.send(broadcast).await.is_err() || !answered.await.unwrap_or_default() {
        let status = format!("{version} 403 Forbidden");
        return reply(stream, &status, "", "another program is sending").await;
    }
    if request.expects_continue {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    stream.write_all(format!("{version} 200 OK\r\n\r\n").as_bytes()).await?;
    let (mut body, mut ogg, mut tag) = (Body::of(request), Ogg::default(), LeadingTag::default());
    let mut piece = vec![0; 16 * 1024];
    let mut bytes = rest.to_vec();
    while !body.is_over() {
        let sound = body.read(&bytes);
        for track in tag.push(&sound).into_iter().chain(ogg.push(&sound)) {
            if said.send(Saying::Comment { id, track }).await.is_err() {
                return Ok(());
            }
        }
        let count = tokio::select! {
            read = timeout(SILENCE_TIMEOUT, stream.read(&mut piece)) => read??,
            () = end.cancelled() => return Ok(()),
        };
        if count == 0 {
            break;
        }
        bytes.clear();
        bytes.extend_from_slice(&piece[..count]);
    }
    Ok(())
}

async fn update(
    stream: &mut TcpStream,
    version: &str,
    query: &[u8],
    said: &mpsc::Sender<Saying>,
) -> std::io::Result<()> {
    let (answer, answered) = oneshot::channel();
    let update = Update::parse(query);
    if said.send(Saying::Update { update, answer }).await.is_err() || !answered.await.unwrap_or_default() {
        let status = format!("{version} 404 Not Found");
        return reply(stream, &status, "", "no such stream is on air").await;
    }
    reply(stream, &format!("{version} 200 OK"), "Content-Type: text/xml\r\n", UPDATED).await
}

/// Answers, and ends the connection so that the answer arrives although the sender may be sending.
async fn reply(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> std::io::Result<()> {
    const DRAINED_BYTES_MAX: usize = 256 * 1024;
    let length = body.len();
    let bytes = format!("{status}\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(bytes.as_bytes()).await?;
    stream.shutdown().await?;
    let mut piece = [0; 4096];
    let mut drained = 0;
    let drain = async {
        while drained < DRAINED_BYTES_MAX {
            match stream.read(&mut piece).await {
                Ok(count) if count > 0 => drained += count,
                _ => break,
            }
        }
    };
    let _ = timeout(Duration::from_secs(1), drain).await;
    Ok(())
}
