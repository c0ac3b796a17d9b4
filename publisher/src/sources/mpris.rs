//! Music players on a Linux desktop, which tell what they play on the session bus (MPRIS2). Nothing is polled: they are
//! read when they say that something has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use config::clock::now_ms;
use futures_util::StreamExt;
use protocol::Track;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use zbus::message::Type;
use zbus::zvariant::{OwnedValue, Value};
use zbus::{Connection, MatchRule, Message, MessageStream};

use super::decode;
use super::live::{Ears, Sound, Voice, key};
use super::observation::{Location, percent_decoded};
use super::tags;
use crate::settings::Mpris;

const NAMES: &str = "org.mpris.MediaPlayer2";
const PATH: &str = "/org/mpris/MediaPlayer2";
const PLAYER: &str = "org.mpris.MediaPlayer2.Player";
const BUS: &str = "org.freedesktop.DBus";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// A player tells of one track in several messages.
const SETTLING: Duration = Duration::from_millis(200);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_secs(10);
/// Nobody plays with more at once; those beyond are not listened to.
const PLAYERS_MAX: usize = 16;
/// Messages that wait to be read. When so many do, the connection stands still until some are, and the bus bounds the rest.
const MESSAGES_MAX: usize = 64;

/// Listens to players until dropped.
pub(super) async fn run(settings: Mpris, mut voice: Voice, mut ears: Ears) {
    loop {
        let why = match follow(&settings, &mut voice, &mut ears).await {
            Ok(()) => "the desktop's session has ended".to_owned(),
            Err(error) => {
                format!("the desktop's session bus cannot be used: {error}")
            }
        };
        ears.forget();
        voice.missing(settings.players.join(", "), why).await;
        sleep(RETRY).await;
    }
}

/// Returns when the bus has gone.
async fn follow(settings: &Mpris, voice: &mut Voice, ears: &mut Ears) -> zbus::Result<()> {
    let bus = Connection::session().await?;
    let rule = || MatchRule::builder().msg_type(Type::Signal);
    let changed =
        rule().path(PATH)?.interface(PROPERTIES)?.member("PropertiesChanged")?.arg(0, PLAYER)?.build();
    let came_or_went = rule().sender(BUS)?.interface(BUS)?.member("NameOwnerChanged")?.arg0ns(NAMES)?.build();
    let mut changes = MessageStream::for_match_rule(changed, &bus, Some(MESSAGES_MAX)).await?;
    let mut owners = MessageStream::for_match_rule(came_or_went, &bus, Some(MESSAGES_MAX)).await?;

    // What is there when we come is told, and if it is nothing, that.
    let mut players = Players { has_news: true, ..Players::default() };
    let names: Vec<String> = ask(&bus, BUS, BUS, "ListNames", &()).await?;
    for name in names {
        let Some(app) = wanted(&name, &settings.players) else { continue };
        // It may have left meanwhile.
        if let Ok(owner) = ask::<String>(&bus, BUS, BUS, "GetNameOwner", &(&name,)).await {
            players.came(&name, &owner, app);
        }
    }
    let mut due = Instant::now();
    loop {
        // What has changed is read when it stands still; a silence is told when it has lasted.
        let silence_ms = ears.due_ms().map(|due_ms| (due_ms - now_ms()).max(0).unsigned_abs());
        let silence = async {
            match silence_ms {
                Some(ms) => sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
        };
        let was_settled = players.changed.is_empty();
        tokio::select! {
            message = changes.next() => match message {
                Some(message) => players.said(&message?),
                None => return Ok(()),
            },
            message = owners.next() => match message {
                Some(message) => players.came_or_went(&message?, settings, ears),
                None => return Ok(()),
            },
            () = sleep_until(due), if players.is_due() => {
                for (owner, number) in players.take_changed() {
                    let read = timeout(ANSWER_TIMEOUT, read(&bus, &owner)).await;
                    let sound = read.ok().and_then(Result::ok).and_then(|all| sound(&all, &owner));
                    ears.hear(now_ms(), number, sound);
                }
                tell(voice, ears, &players, settings).await;
            }
            () = silence => tell(voice, ears, &players, settings).await,
        }
        if was_settled && players.is_due() {
            due = Instant::now() + SETTLING;
        }
    }
}

async fn tell(voice: &mut Voice, ears: &mut Ears, players: &Players, settings: &Mpris) {
    let names = players.names();
    if names.is_empty() {
        voice.waiting(settings.players.join(", "), "none of these players runs (yet)").await;
    } else {
        voice.found(names, "it is in the desktop's media controls").await;
    }
    if let Some(event) = ears.news(now_ms()) {
        voice.say(event).await;
    }
}

/// The players that are listened to, by the address that the bus gave each; one player may have several names.
#[derive(Debug, Default)]
struct Players {
    by_owner: BTreeMap<String, Player>,
    changed: BTreeSet<String>,
    /// One came or went, also if there is nothing to read.
    has_news: bool,
}

#[derive(Debug)]
struct Player {
    number: u8,
    app: String,
    names: BTreeSet<String>,
}

impl Players {
    fn came(&mut self, name: &str, owner: &str, app: String) {
        let taken: BTreeSet<u8> = self.by_owner.values().map(|player| player.number).collect();
        if let Some(player) = self.by_owner.get_mut(owner) {
            player.names.insert(name.to_owned());
            return;
        }
        let Some(number) = (0..PLAYERS_MAX as u8).find(|number| !taken.contains(number)) else { return };
        let names = BTreeSet::from([name.to_owned()]);
        self.by_owner.insert(owner.to_owned(), Player { number, app, names });
        self.changed.insert(owner.to_owned());
        self.has_news = true;
    }

    fn went(&mut self, name: &str, owner: &str, ears: &mut Ears) {
        let Some(player) = self.by_owner.get_mut(owner) else { return };
        player.names.remove(name);
        if player.names.is_empty() {
            ears.hear(now_ms(), player.number, None);
            self.by_owner.remove(owner);
            self.changed.remove(owner);
            self.has_news = true;
        }
    }

    fn came_or_went(&mut self, message: &Message, settings: &Mpris, ears: &mut Ears) {
        let Ok((name, before, after)) = message.body().deserialize::<(String, String, String)>() else {
            return;
        };
        let Some(app) = wanted(&name, &settings.players) else { return };
        if !before.is_empty() {
            self.went(&name, &before, ears);
        }
        if !after.is_empty() {
            self.came(&name, &after, app);
        }
    }

    /// Something has changed in a player; it is read as a whole, because some tell of a part only.
    fn said(&mut self, message: &Message) {
        let header = message.header();
        if let Some(sender) = header.sender().filter(|sender| self.by_owner.contains_key(sender.as_str())) {
            self.changed.insert(sender.to_string());
        }
    }

    fn is_due(&self) -> bool {
        self.has_news || !self.changed.is_empty()
    }

    fn take_changed(&mut self) -> Vec<(String, u8)> {
        self.has_news = false;
        let changed = std::mem::take(&mut self.changed);
        let numbered = |owner: String| self.by_owner.get(&owner).map(|player| (owner, player.number));
        changed.into_iter().filter_map(numbered).collect()
    }

    fn names(&self) -> String {
        let names: BTreeSet<&str> = self.by_owner.values().map(|player| player.app.as_str()).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// The player that has the name, if it is one of those that are listened to.
fn wanted(name: &str, players: &[String]) -> Option<String> {
    let app = name.strip_prefix(NAMES)?.strip_prefix('.')?.split('.').next()?;
    players.iter().find(|player| player.eq_ignore_ascii_case(app)).cloned()
}

async fn ask<T: for<'a> serde::Deserialize<'a> + zbus::zvariant::Type>(
    bus: &Connection,
    whom: &str,
    interface: &str,
    method: &str,
    arguments: &(impl serde::Serialize + zbus::zvariant::DynamicType),
) -> zbus::Result<T> {
    let path = if whom == BUS { "/org/freedesktop/DBus" } else { PATH };
    let answer = bus.call_method(Some(whom), path, Some(interface), method, arguments).await?;
    answer.body().deserialize()
}

async fn read(bus: &Connection, owner: &str) -> zbus::Result<HashMap<String, OwnedValue>> {
    ask(bus, owner, PROPERTIES, "GetAll", &(PLAYER,)).await
}

/// What the player has on; nothing when it is stopped.
fn sound(properties: &HashMap<String, OwnedValue>, owner: &str) -> Option<Sound> {
    let level = match text(properties.get("PlaybackStatus")?)?.as_str() {
        "Playing" => 1.0,
        "Paused" => 0.0,
        _ => return None,
    };
    let metadata = plain(properties.get("Metadata")?);
    let Value::Dict(metadata) = metadata else { return None };
    // Players do not agree on upper and lower case.
    let value = |name: &str| {
        let is_it = |key: &Value<'_>| text(key).is_some_and(|key| key.eq_ignore_ascii_case(name));
        metadata.iter().find(|(key, _)| is_it(key)).map(|(_, value)| plain(value))
    };
    let field = |name: &str| value(name).and_then(text);
    let url = field("xesam:url");
    let location = url.as_deref().map(|url| match url.strip_prefix("file://") {
        Some(path) => Location::Path(percent_decoded(path)),
        None => Location::parse(url),
    });
    let mut track = Track {
        artist: field("xesam:artist"),
        title: field("xesam:title"),
        album: field("xesam:album"),
        genre: field("xesam:genre"),
        bpm: value("xesam:audioBPM").and_then(number),
        duration_ms: value("mpris:length").and_then(number).map(|us| (us / 1000.0) as i64),
        ..Track::default()
    };
    let stem = location.as_ref().and_then(Location::stem);
    // Without tags, some players take the path for a title.
    let is_untagged = track.title.as_ref().is_none_or(|title| {
        let is_of = |place: &str| place.ends_with(title.as_str());
        match &location {
            Some(Location::Path(place) | Location::Url(place)) => is_of(place),
            _ => false,
        }
    });
    if let Some((artist, title)) = stem.filter(|_| is_untagged) {
        track.title = Some(title);
        track.artist = track.artist.or(artist);
    }
    let is_named = track.artist.is_some() || track.title.is_some();
    // Tags of a file may come later than its name; a stream stays and its titles change.
    let what = match &location {
        Some(Location::Path(path)) => path.clone(),
        _ => key(&track),
    };
    let key = format!("{owner}|{}|{what}", field("mpris:trackid").unwrap_or_default());
    // On the web it is somebody else's.
    let picture = field("mpris:artUrl").and_then(|url| Some(percent_decoded(url.strip_prefix("file://")?)));
    let picture = picture.and_then(|path| tags::local(&path));
    is_named.then_some(Sound { location, picture, level, key, ..Sound::of(track) })
}

fn plain<'a, 'b>(value: &'a Value<'b>) -> &'a Value<'b> {
    match value {
        Value::Value(inner) => plain(inner),
        value => value,
    }
}

/// A text, or the texts of a list.
fn text(value: &Value<'_>) -> Option<String> {
    match plain(value) {
        Value::Str(text) => decode::field(text),
        Value::ObjectPath(path) => decode::field(path),
        Value::Array(texts) => {
            let texts: Vec<String> = texts.iter().take(PLAYERS_MAX).filter_map(text).collect();
            decode::field(&texts.join(", "))
        }
        _ => None,
    }
}

fn number(value: &Value<'_>) -> Option<f64> {
    match plain(value) {
        Value::I64(number) => Some(*number as f64),
        Value::U64(number) => Some(*number as f64),
        Value::I32(number) => Some(f64::from(*number)),
        Value::U32(number) => Some(f64::from(*number)),
        Value::F64(number) => Some(*number),
        Value::Str(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: &str, metadata: &[(&'static str, Value<'_>)]) -> String {
        let copied =
            |(key, value): &(&'static str, Value<'_>)| (*key, value.try_to_owned().expect("a value"));
        let metadata: HashMap<&str, OwnedValue> = metadata.iter().map(copied).collect();
        let metadata: HashMap<&str, Value<'_>> =
            metadata.into_iter().map(|(key, value)| (key, value.into())).collect();
        let properties = HashMap::from([
            ("PlaybackStatus".to_owned(), OwnedValue::try_from(Value::from(status)).expect("a value")),
            ("Metadata".to_owned(), OwnedValue::try_from(Value::from(metadata)).expect("a value")),
        ]);
        match sound(&properties, ":1.7") {
            None => String::new(),
            Some(sound) => {
                let picture = sound.picture.map(|path| format!(" {}", path.display())).unwrap_or_default();
                let length_ms = sound.track.duration_ms.unwrap_or(0);
                format!("{} {length_ms} {}{picture}", sound.track.line(), sound.level)
            }
        }
    }

    #[test]
    fn metadata_of_players() {
        let artists = Value::from(vec!["Ana", "Kilo"]);
        let tagged = [
            ("xesam:artist", artists),
            ("xesam:Title", Value::from("Night")),
            ("mpris:length", Value::from(198_040_000_i64)),
        ];
        assert_eq!(check("Playing", &tagged), "Ana, Kilo – Night 198040 1");
        assert_eq!(check("Stopped", &tagged), "");
        let untagged = [
            ("xesam:title", Value::from("Nova Harbor - Glass Tide.mp3")),
            ("xesam:url", Value::from("file:///m/Nova%20Harbor%20-%20Glass%20Tide.mp3")),
            ("mpris:length", Value::from("1000000")),
        ];
        assert_eq!(check("Paused", &untagged), "Nova Harbor – Glass Tide 1000 0");
        assert_eq!(check("Playing", &[]), "");
        let with_art = |url: &'static str| {
            check("Playing", &[("xesam:title", "Night".into()), ("mpris:artUrl", url.into())])
        };
        assert_eq!(with_art("file:///tmp/a%20b.png"), "Night 0 1 /tmp/a b.png");
        assert_eq!(with_art("https://example.org/a.png"), "Night 0 1");
        assert_eq!(with_art("file://share/a.png"), "Night 0 1");
    }

    #[test]
    fn names_of_players() {
        let players = ["mpv".to_owned(), "vlc".to_owned()];
        assert_eq!(wanted("org.mpris.MediaPlayer2.vlc.instance7", &players).as_deref(), Some("vlc"));
        assert_eq!(wanted("org.mpris.MediaPlayer2.MPV", &players).as_deref(), Some("mpv"));
        assert_eq!(wanted("org.mpris.MediaPlayer2.firefox.x", &players), None);
        assert_eq!(wanted("org.mpris.MediaPlayer2", &players), None);
    }
}
