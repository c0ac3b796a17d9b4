//! What players with Engine OS and we say to each other (StagelinQ): announcements, services and the state of decks. Pure.

use serde_json::Value;

use crate::sources::decode;

/// A longer message is none of theirs.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
const TEXT_BYTES_MAX: usize = 8 * 1024;
const ANNOUNCEMENT: &[u8] = b"airD";
const HERE: &str = "DISCOVERER_HOWDY_";
const STATE: &[u8] = b"smaa";
const SUBSCRIBE: u32 = 0x07d2;

/// Who somebody is, for as long as the process runs.
pub type Token = [u8; 16];

/// What everybody calls into the network every second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    pub token: Token,
    pub name: String,
    pub is_here: bool,
    pub software: String,
    pub version: String,
    /// Where services are listed; 0 for those that have none.
    pub port: u16,
}

/// What is said on the connection that lists services.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    Service {
        name: String,
        port: u16,
    },
    /// Signs of life, and the request for services that every side makes.
    Other,
}

/// These bytes are not what players say.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no message of a player")]
pub struct Broken;

impl Announcement {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(ANNOUNCEMENT)?;
        let token = *array(&mut rest)?;
        let name = text(&mut rest).ok()??;
        let action = text(&mut rest).ok()??;
        let software = text(&mut rest).ok()??;
        let version = text(&mut rest).ok()??;
        let port = u16::from_be_bytes(*array(&mut rest)?);
        Some(Self { token, name, is_here: action == HERE, software, version, port })
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = [ANNOUNCEMENT, &self.token].concat();
        let action = if self.is_here { HERE } else { "DISCOVERER_EXIT_" };
        for part in [self.name.as_str(), action, &self.software, &self.version] {
            put(&mut bytes, part);
        }
        bytes.extend(self.port.to_be_bytes());
        bytes
    }

    /// Whether it plays music: mixers are never to be connected to, and programs have no decks of their own.
    pub fn is_player(&self) -> bool {
        let is = |name: &str| self.software.to_ascii_lowercase().starts_with(name);
        self.port != 0 && !["jm08", "jm10", "offlineanalyzer", "soundswitch", "resolume"].into_iter().any(is)
    }
}

/// Asks for the list of services.
pub fn services_request(ours: &Token) -> Vec<u8> {
    [&2_u32.to_be_bytes(), ours.as_slice()].concat()
}

/// Says that we are still there.
pub fn reference(ours: &Token, theirs: &Token) -> Vec<u8> {
    [&1_u32.to_be_bytes(), ours.as_slice(), theirs, &[0; 8]].concat()
}

/// Begins a connection to a service, or lists one.
pub fn service(token: &Token, name: &str, port: u16) -> Vec<u8> {
    let mut bytes = [&0_u32.to_be_bytes(), token.as_slice()].concat();
    put(&mut bytes, name);
    bytes.extend(port.to_be_bytes());
    bytes
}

impl Message {
    /// Reads a message, and says how many bytes it has; nothing as long as it is not complete.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Broken> {
        let mut rest = bytes;
        let Some(kind) = number(&mut rest) else { return Ok(None) };
        let message = match kind {
            0 => {
                if array::<16>(&mut rest).is_none() {
                    return Ok(None);
                }
                let Some(name) = text(&mut rest)? else { return Ok(None) };
                let Some(port) = array(&mut rest) else { return Ok(None) };
                Self::Service { name, port: u16::from_be_bytes(*port) }
            }
            1 => match array::<40>(&mut rest) {
                Some(_) => Self::Other,
                None => return Ok(None),
            },
            2 => match array::<16>(&mut rest) {
                Some(_) => Self::Other,
                None => return Ok(None),
            },
            _ => return Err(Broken),
        };
        Ok(Some((message, bytes.len() - rest.len())))
    }
}

/// Asks to be told of a state whenever it changes.
pub fn subscription(path: &str) -> Vec<u8> {
    let mut body = [STATE, &SUBSCRIBE.to_be_bytes()].concat();
    put(&mut body, path);
    body.extend([0; 4]);
    framed(body)
}

/// Tells a state, as a player does.
pub fn state(path: &str, json: &str) -> Vec<u8> {
    let mut body = [STATE, &[0; 4]].concat();
    put(&mut body, path);
    put(&mut body, json);
    framed(body)
}

fn framed(body: Vec<u8>) -> Vec<u8> {
    [(body.len() as u32).to_be_bytes().to_vec(), body].concat()
}

/// What has changed in a player.
#[derive(Debug, PartialEq)]
pub struct Change {
    pub deck: u8,
    pub what: What,
}

#[derive(Debug, PartialEq)]
pub enum What {
    IsPlaying(bool),
    IsLoaded(bool),
    Artist(Option<String>),
    Title(Option<String>),
    Album(Option<String>),
    Genre(Option<String>),
    Bpm(f64),
    /// Of a mixer that it is connected to.
    Volume(f64),
    /// Of its own mixer.
    Fader(f64),
}

/// Of a deck, what is asked for.
pub fn paths(deck: u8) -> Vec<String> {
    let of_deck = [
        "Play",
        "Track/ArtistName",
        "Track/SongName",
        "Track/AlbumName",
        "Track/Genre",
        "Track/BPM",
        "Track/SongLoaded",
        "ExternalMixerVolume",
    ];
    let mut paths: Vec<String> = of_deck.iter().map(|what| format!("/Engine/Deck{deck}/{what}")).collect();
    paths.push(format!("/Mixer/CH{deck}faderPosition"));
    paths
}

impl Change {
    /// Reads a frame of the states, and says how many bytes it has; no change in it when it is of something else.
    ///
    /// # Errors
    /// It is no frame.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Option<Self>, usize)>, Broken> {
        let mut rest = bytes;
        let Some(length) = number(&mut rest) else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| Broken)?;
        if length > MESSAGE_BYTES_MAX {
            return Err(Broken);
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let mut rest = frame.strip_prefix(STATE).ok_or(Broken)?;
        let is_state = number(&mut rest).ok_or(Broken)? == 0;
        let change = if is_state {
            let (path, json) = (text(&mut rest)?.ok_or(Broken)?, text(&mut rest)?.ok_or(Broken)?);
            Self::of(&path, &json)
        } else {
            None
        };
        Ok(Some((change, 4 + length)))
    }

    fn of(path: &str, json: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(json).ok()?;
        let (deck, what) = match path.strip_prefix("/Engine/Deck") {
            Some(rest) => rest.split_once('/')?,
            None => (path.strip_prefix("/Mixer/CH")?.strip_suffix("faderPosition")?, "Fader"),
        };
        let deck = deck.parse().ok().filter(|deck| (1..=4).contains(deck))?;
        let text = || value.get("string").and_then(Value::as_str).and_then(decode::field);
        let state = || value.get("state").and_then(Value::as_bool);
        let number = || value.get("value").and_then(Value::as_f64);
        let what = match what {
            "Play" => What::IsPlaying(state()?),
            "Track/SongLoaded" => What::IsLoaded(state()?),
            "Track/ArtistName" => What::Artist(text()),
            "Track/SongName" => What::Title(text()),
            "Track/AlbumName" => What::Album(text()),
            "Track/Genre" => What::Genre(text()),
            "Track/BPM" => What::Bpm(number()?),
            "ExternalMixerVolume" => What::Volume(number()?),
            "Fader" => What::Fader(number()?),
            _ => return None,
        };
        Some(Self { deck, what })
    }
}

fn array<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (array, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(array)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    array(rest).map(|bytes| u32::from_be_bytes(*bytes))
}

fn text(rest: &mut &[u8]) -> Result<Option<String>, Broken> {
    let Some(length) = number(rest) else { return Ok(None) };
    let length = usize::try_from(length).ok().filter(|length| *length <= TEXT_BYTES_MAX).ok_or(Broken)?;
    let Some((bytes, after)) = rest.split_at_checked(length) else { return Ok(None) };
    *rest = after;
    Ok(Some(encoding_rs::UTF_16BE.decode_without_bom_handling(bytes).0.into_owned()))
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    let encoded: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    bytes.extend((encoded.len() as u32).to_be_bytes());
    bytes.extend(encoded);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn player() -> Announcement {
        Announcement {
            token: [7; 16],
            name: "sc".to_owned(),
            is_here: true,
            software: "JP13".to_owned(),
            version: "3.0".to_owned(),
            port: 41_000,
        }
    }

    #[test]
    fn announcements() {
        let bytes = player().bytes();
        assert!(bytes.starts_with(b"airD\x07\x07"));
        assert_eq!(Announcement::parse(&bytes), Some(player()));
        assert!(player().is_player());
        assert!(!Announcement { software: "JM08".to_owned(), ..player() }.is_player());
        assert!(!Announcement { port: 0, ..player() }.is_player());
    }

    #[test]
    fn messages() {
        let both =
            [services_request(&[1; 16]), reference(&[1; 16], &[2; 16]), service(&[2; 16], "StateMap", 5)];
        let mut bytes = both.concat();
        let mut seen = Vec::new();
        while let Some((message, length)) = Message::parse(&bytes).expect("whole messages") {
            seen.push(message);
            bytes.drain(..length);
        }
        let map = Message::Service { name: "StateMap".to_owned(), port: 5 };
        assert_eq!(seen, [Message::Other, Message::Other, map]);
        assert_eq!(Message::parse(&[0, 0, 0, 9]), Err(Broken));
    }

    #[track_caller]
    fn check(path: &str, json: &str, expected: Option<(u8, What)>) {
        let bytes = state(path, json);
        let change = expected.map(|(deck, what)| Change { deck, what });
        assert_eq!(Change::parse(&bytes), Ok(Some((change, bytes.len()))));
        assert_eq!(Change::parse(&bytes[..bytes.len() - 1]), Ok(None));
    }

    #[test]
    fn states() {
        let night = Some((2, What::Title(Some("Nøght".to_owned()))));
        check("/Engine/Deck2/Track/SongName", r#"{"string":"Nøght","type":8}"#, night);
        check("/Engine/Deck1/Track/ArtistName", r#"{"string":""}"#, Some((1, What::Artist(None))));
        check("/Engine/Deck1/Play", r#"{"state":true,"type":1}"#, Some((1, What::IsPlaying(true))));
        check("/Mixer/CH3faderPosition", r#"{"value":0.5}"#, Some((3, What::Fader(0.5))));
        check("/Engine/Deck9/Play", r#"{"state":true}"#, None);
        check("/Engine/Deck1/Play", "no json", None);
        let asked = subscription("/Engine/Deck1/Play");
        assert_eq!(Change::parse(&asked), Ok(Some((None, asked.len()))));
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Message::parse(&bytes);
            let _ = Change::parse(&bytes);
            let _ = Change::parse(&framed([STATE, &[0; 4], bytes.as_slice()].concat()));
            let _ = Announcement::parse(&[ANNOUNCEMENT, &bytes].concat());
        }
    }
}
