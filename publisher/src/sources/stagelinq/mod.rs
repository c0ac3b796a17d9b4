//! Players with Engine OS on the DJ's network (StagelinQ): we announce ourselves, ask them for the state of their decks and
//! hear what is loud. Nothing in them is changed.

pub mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use config::clock::now_ms;
use protocol::Track;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

use self::wire::{Announcement, Change, MESSAGE_BYTES_MAX, Message, Token, What};
use super::live::{Ears, Sound, Voice};
use crate::settings::StagelinQ;

/// A booth has no more; those beyond are not connected to.
const PLAYERS_MAX: u8 = 8;
const DECKS: std::ops::RangeInclusive<u8> = 1..=4;
/// When so many wait, players are not read on.
const CHANGES_MAX: usize = 64;
const ANNOUNCE: Duration = Duration::from_secs(1);
const REFERENCE: Duration = Duration::from_millis(250);
/// Without a call for so long, a player is gone: one that loses its power closes no connection.
const GONE: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(10);
/// Title and artist of one track are told one after the other.
const SETTLING: Duration = Duration::from_millis(250);

/// Listens to players until dropped.
pub(super) async fn run(settings: StagelinQ, mut voice: Voice, mut ears: Ears) {
    let place = format!("StagelinQ on port {}", settings.port);
    loop {
        let why = match follow(&settings, &place, &mut voice, &mut ears).await {
            Ok(never) => match never {},
            Err(error) => format!("we cannot listen on the network: {error}"),
        };
        ears.forget();
        voice.missing(place.clone(), why).await;
        sleep(RETRY).await;
    }
}

async fn follow(
    settings: &StagelinQ,
    place: &str,
    voice: &mut Voice,
    ears: &mut Ears,
) -> io::Result<std::convert::Infallible> {
    let socket = socket(settings)?;
    let mut token: Token = [0; 16];
    getrandom::fill(&mut token).map_err(|error| io::Error::other(error.to_string()))?;
    // Players turn down tokens that begin with a set bit.
    token[0] &= 0x7F;
    let ours = Announcement {
        token,
        name: "Pika".to_owned(),
        is_here: true,
        software: "pika".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        port: 0,
    };
    let (teller, mut told) = mpsc::channel(CHANGES_MAX);
    let mut booth = Booth::default();
    let mut connections = JoinSet::new();
    let mut announce = interval(ANNOUNCE);
    let mut datagram = [0; 2048];
    let mut due = None;
    voice.waiting(place, "no player is on the network (yet)").await;
    loop {
        let silence_ms = ears.due_ms().map(|due_ms| (due_ms - now_ms()).max(0).unsigned_abs());
        let silence = silence_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
        let wake = due.into_iter().chain(silence).min();
        let at = wake.unwrap_or_else(|| Instant::now() + ANNOUNCE);
        tokio::select! {
            _ = announce.tick() => {
                booth.end_silent_players();
                for address in announced_to(settings) {
                    // A network that is down, or has no broadcast, is no reason to stop.
                    let _ = socket.send_to(&ours.bytes(), address).await;
                }
            }
            received = socket.recv_from(&mut datagram) => {
                // The system tells here what became of something that was sent, such as "nobody listens there".
                let Ok((length, from)) = received else { continue };
                let Some(theirs) = Announcement::parse(&datagram[..length]) else { continue };
                if theirs.token != ours.token && booth.is_new(&theirs) {
                    let session = session(from.ip(), theirs.clone(), ours.token, teller.clone());
                    booth.came(theirs, connections.spawn(session));
                    voice.found(booth.names(), "it is on the network").await;
                }
            }
            Some((token, change)) = told.recv() => {
                if booth.change(token, change) {
                    due.get_or_insert(Instant::now() + SETTLING);
                }
            }
            Some(ended) = connections.join_next_with_id(), if !connections.is_empty() => {
                let id = ended.as_ref().map_or_else(|error| error.id(), |(id, _)| *id);
                if let Ok((_, Err(error))) = ended {
                    tracing::info!("a player has left: {error}");
                }
                if let Some(player) = booth.gone(id) {
                    for deck in DECKS {
                        ears.hear(now_ms(), player.number(deck), None);
                    }
                    due.get_or_insert(Instant::now());
                }
                if booth.players.is_empty() {
                    voice.waiting(place, "no player is on the network (any more)").await;
                } else {
                    voice.found(booth.names(), "it is on the network").await;
                }
            }
            () = sleep_until(at), if wake.is_some() => {
                due = None;
                for player in booth.players.values() {
                    for deck in DECKS {
                        let sound = player.decks.get(&deck).and_then(Deck::sound);
                        ears.hear(now_ms(), player.number(deck), sound);
                    }
                }
                if let Some(event) = ears.news(now_ms()) {
                    voice.say(event).await;
                }
            }
        }
    }
}

/// Other programs on this machine may listen to players too.
fn socket(settings: &StagelinQ) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((settings.host, settings.port)).into())?;
    UdpSocket::from_std(socket.into())
}

/// All networks that this machine is in, unless the DJ names addresses.
fn announced_to(settings: &StagelinQ) -> Vec<SocketAddr> {
    let addresses = if settings.announce_to.is_empty() {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let broadcast = |interface: if_addrs::Interface| match interface.addr {
            if_addrs::IfAddr::V4(address) => address.broadcast,
            if_addrs::IfAddr::V6(_) => None,
        };
        interfaces.into_iter().filter_map(broadcast).collect::<Vec<Ipv4Addr>>()
    } else {
        settings.announce_to.clone()
    };
    addresses.into_iter().map(|address| SocketAddr::from((address, settings.port))).collect()
}

/// The players that are connected to, and what is on their decks.
#[derive(Debug, Default)]
struct Booth {
    players: BTreeMap<Token, Player>,
}

#[derive(Debug)]
struct Player {
    name: String,
    /// From 0 in the order in which they came.
    place: u8,
    connection: AbortHandle,
    called: Instant,
    decks: BTreeMap<u8, Deck>,
}

#[derive(Debug, Default)]
struct Deck {
    is_playing: bool,
    /// Not every player says so.
    is_loaded: Option<bool>,
    /// How often, to tell two plays of one title apart.
    ejected: u64,
    track: Track,
    volume: Option<f64>,
    fader: Option<f64>,
}

impl Booth {
    /// Whether it is a player to be connected to. One that is connected has called, and that is noted.
    fn is_new(&mut self, theirs: &Announcement) -> bool {
        if let Some(player) = self.players.get_mut(&theirs.token) {
            player.called = Instant::now();
            if !theirs.is_here {
                player.connection.abort();
            }
            return false;
        }
        theirs.is_here && theirs.is_player() && self.players.len() < usize::from(PLAYERS_MAX)
    }

    fn came(&mut self, theirs: Announcement, connection: AbortHandle) {
        let is_free = |place: &u8| self.players.values().all(|player| player.place != *place);
        let place = (0..PLAYERS_MAX).find(is_free).unwrap_or_default();
        let name = super::decode::field(&theirs.name).unwrap_or(theirs.software);
        let (called, decks) = (Instant::now(), BTreeMap::new());
        self.players.insert(theirs.token, Player { name, place, connection, called, decks });
    }

    fn end_silent_players(&self) {
        for player in self.players.values().filter(|player| player.called.elapsed() > GONE) {
            player.connection.abort();
        }
    }

    fn gone(&mut self, id: tokio::task::Id) -> Option<Player> {
        let token =
            self.players.iter().find(|(_, player)| player.connection.id() == id).map(|(token, _)| *token)?;
        self.players.remove(&token)
    }

    /// Says whether it is of a player that is still there.
    fn change(&mut self, token: Token, change: Change) -> bool {
        let Some(player) = self.players.get_mut(&token) else { return false };
        let deck = player.decks.entry(change.deck).or_default();
        match change.what {
            What::IsPlaying(is_playing) => deck.is_playing = is_playing,
            What::IsLoaded(is_loaded) => {
                deck.is_loaded = Some(is_loaded);
                if !is_loaded {
                    deck.track = Track::default();
                    deck.ejected += 1;
                }
            }
            What::Artist(artist) => deck.track.artist = artist,
            What::Title(title) => deck.track.title = title,
            What::Album(album) => deck.track.album = album,
            What::Genre(genre) => deck.track.genre = genre,
            What::Bpm(bpm) => deck.track.bpm = Some(bpm).filter(|bpm| *bpm > 0.0),
            What::Fader(fader) => deck.fader = Some(fader),
            // It stays at zero where no such mixer is connected.
            What::Volume(volume) if volume > 0.0 || deck.volume.is_some() => deck.volume = Some(volume),
            What::Volume(_) => {}
        }
        true
    }

    fn names(&self) -> String {
        self.players.values().map(|player| player.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Player {
    /// Decks of the first player are 1 to 4, of the second 5 to 8.
    fn number(&self, deck: u8) -> u8 {
        self.place * 4 + deck
    }
}

impl Deck {
    fn sound(&self) -> Option<Sound> {
        if self.is_loaded == Some(false) {
            return None;
        }
        let level = if self.is_playing { self.fader.or(self.volume).unwrap_or(1.0) } else { 0.0 };
        let track = self.track.clone();
        // The artist may be told later.
        let key = format!("{}|{}", self.ejected, track.title.as_ref().or(track.artist.as_ref())?);
        Some(Sound { level, key, ..Sound::of(track) })
    }
}

/// One player, from its list of services to the end of its states.
async fn session(
    address: IpAddr,
    theirs: Announcement,
    ours: Token,
    teller: mpsc::Sender<(Token, Change)>,
) -> io::Result<()> {
    let mut list = connect(address, theirs.port).await?;
    list.write_all(&wire::services_request(&ours)).await?;
    let mut references = interval(REFERENCE);
    let mut services = Reader::default();
    let mut states: Option<(TcpStream, Reader)> = None;
    loop {
        let next = async {
            match &mut states {
                Some((stream, reader)) => reader.read(stream).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = references.tick() => list.write_all(&wire::reference(&ours, &theirs.token)).await?,
            read = services.read(&mut list) => {
                read?;
                while let Some(message) = services.take(Message::parse)? {
                    if let Message::Service { name, port } = message
                        && name == "StateMap"
                        && states.is_none()
                    {
                        let stream = states_of(address, port, &ours).await?;
                        states = Some((stream, Reader::default()));
                    }
                }
            }
            read = next => {
                read?;
                let Some((_, reader)) = &mut states else { continue };
                while let Some(change) = reader.take(Change::parse)? {
                    if let Some(change) = change
                        && teller.send((theirs.token, change)).await.is_err()
                    {
                        return Ok(());
                    }
                }
            }
        }
    }
}

async fn connect(address: IpAddr, port: u16) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect((address, port))).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn states_of(address: IpAddr, port: u16, ours: &Token) -> io::Result<TcpStream> {
    let mut stream = connect(address, port).await?;
    let local_port = stream.local_addr()?.port();
    let mut hello = wire::service(ours, "StateMap", local_port);
    for path in DECKS.flat_map(wire::paths) {
        hello.extend(wire::subscription(&path));
    }
    stream.write_all(&hello).await?;
    Ok(stream)
}

/// Messages out of arbitrary slices.
#[derive(Debug, Default)]
struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    /// Waits for more. What is read is kept when this is dropped.
    async fn read(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        if self.bytes.len() > MESSAGE_BYTES_MAX + 4 {
            return Err(io::Error::other(wire::Broken));
        }
        match stream.read_buf(&mut self.bytes).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn take<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, wire::Broken>,
    ) -> io::Result<Option<T>> {
        let Some((message, length)) = parse(&self.bytes).map_err(io::Error::other)? else { return Ok(None) };
        self.bytes.drain(..length);
        Ok(Some(message))
    }
}
