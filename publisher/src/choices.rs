//! What the DJ chose on the settings page: the form as it is filled in, and the file that it is kept in, which settings are read
//! from like from the configuration file.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use bus::BrokerUrl;
use config::Secret;
use config::secret::write_private;
use protocol::{DeskId, EventId, FloorId};
use serde::{Deserialize, Serialize};

use crate::desktop::{Joined, Server, Setup};
use crate::pattern::Pattern;
use crate::settings::{Chosen, DELAY_S_MAX, TextMode};
use crate::sources::decks::DeckMode;

const FILE: &str = "choices.toml";
const NAME_CHARS_MAX: usize = 60;
const RULES_MAX: usize = 64;
/// Longer than any track: a typing error.
const MIN_PLAY_S_MAX: u32 = 600;

/// The form, as texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Filled {
    /// `here`, `remote`, or nothing yet.
    pub server: String,
    pub interface: String,
    pub url: String,
    pub desk: String,
    /// Empty: the one that is kept.
    pub token: String,
    pub event: String,
    pub floor: String,
    pub dj: String,
    pub source: String,
    pub path: String,
    pub delay_s: String,
    pub min_play_s: String,
    pub skip_genres: String,
    pub skip_comments: String,
    pub skip_texts: String,
    pub skip_patterns: String,
    #[serde(deserialize_with = "is_ticked")]
    pub covers: bool,
    pub deck_mode: String,
    pub ignored_decks: String,
    pub text: String,
    pub virtualdj_live_url: String,
    pub virtualdj_live_password: String,
    /// Programs on other machines may send, too.
    #[serde(deserialize_with = "is_ticked")]
    pub icecast_network: bool,
    pub icecast_port: String,
    pub icecast_password: String,
    pub icecast_collection: String,
    pub rekordbox_key: String,
    pub smtc_players: String,
    pub mpris_players: String,
    pub jriver_url: String,
    pub jriver_user: String,
    pub jriver_password: String,
    pub http_port: String,
    pub http_token: String,
    #[serde(deserialize_with = "is_ticked")]
    pub force_polling: bool,
}

/// A box in a form is there or is not.
fn is_ticked<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    String::deserialize(deserializer).map(|text| !text.is_empty())
}

/// What was chosen, by sections of the configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Choices {
    pub publisher: OfPublisher,
    #[serde(skip_serializing_if = "OfBus::is_empty")]
    pub bus: OfBus,
    pub event: OfEvent,
    /// Kept apart from the file.
    #[serde(skip)]
    pub token: Option<Secret>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfPublisher {
    pub lan: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<FloorId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dj: Option<String>,
    pub source: Chosen,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    pub force_polling: bool,
    pub delay_s: u32,
    pub min_play_s: u32,
    pub skip_genres: Vec<String>,
    pub skip_comments: Vec<String>,
    pub skip_texts: Vec<String>,
    pub skip_patterns: Vec<Pattern>,
    pub covers: bool,
    pub deck_mode: DeckMode,
    pub ignored_decks: Vec<u8>,
    pub text: TextMode,
    pub virtualdj_live: OfVirtualDjLive,
    pub rekordbox: OfRekordbox,
    pub icecast: OfIcecast,
    pub mpris: OfPlayers,
    pub smtc: OfPlayers,
    pub jriver: OfJRiver,
    pub http: OfInput,
}

/// These passwords are for programs beside us, and are written down: a file that only the user can read holds them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfVirtualDjLive {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfIcecast {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfRekordbox {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfPlayers {
    pub players: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfJRiver {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfBus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The token is in the keyring.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keyring: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
}

impl OfBus {
    fn is_empty(&self) -> bool {
        self.url.is_none() && self.name.is_none() && !self.keyring
    }
}

impl Filled {
    /// The form as it stands for what runs.
    pub fn of(setup: &Setup) -> Self {
        let settings = &setup.settings;
        let (server, url, desk) = match &setup.server {
            Server::Unset => ("", "", ""),
            Server::Here { .. } => ("here", "", ""),
            Server::Remote { url, desk } => ("remote", url.as_str(), desk.as_str()),
        };
        let path = settings.path.as_ref().map(|path| path.display().to_string());
        Self {
            server: server.to_owned(),
            interface: settings.interface.map(|ip| ip.to_string()).unwrap_or_default(),
            url: url.to_owned(),
            desk: desk.to_owned(),
            token: String::new(),
            event: setup.event.as_ref().map(ToString::to_string).unwrap_or_default(),
            floor: settings.floor.to_string(),
            dj: settings.dj.clone().unwrap_or_default(),
            source: String::from(settings.source.clone()),
            path: path.unwrap_or_default(),
            delay_s: settings.delay_s.to_string(),
            min_play_s: settings.min_play_s.to_string(),
            skip_genres: settings.skip_genres.join("\n"),
            skip_comments: settings.skip_comments.join("\n"),
            skip_texts: settings.skip_texts.join("\n"),
            skip_patterns: settings.skip_patterns.iter().map(|it| format!("{it}\n")).collect::<String>(),
            covers: settings.covers,
            deck_mode: settings.deck_mode.name().to_owned(),
            ignored_decks: settings.ignored_decks.iter().map(u8::to_string).collect::<Vec<_>>().join(", "),
            text: settings.text.name().to_owned(),
            virtualdj_live_url: settings.virtualdj_live.url.clone().unwrap_or_default(),
            virtualdj_live_password: revealed(settings.virtualdj_live.password.as_ref()),
            icecast_network: !settings.icecast.host.is_loopback(),
            icecast_port: settings.icecast.port.to_string(),
            icecast_password: revealed(settings.icecast.password.as_ref()),
            icecast_collection: settings
                .icecast
                .collection
                .as_ref()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            rekordbox_key: revealed(settings.rekordbox.key.as_ref()),
            smtc_players: settings.smtc.players.join(", "),
            mpris_players: settings.mpris.players.join(", "),
            jriver_url: settings.jriver.url.clone(),
            jriver_user: settings.jriver.user.clone(),
            jriver_password: revealed(settings.jriver.password.as_ref()),
            http_port: settings.http.port.to_string(),
            http_token: revealed(settings.http.token.as_ref()),
            force_polling: settings.force_polling,
        }
    }
}

impl Filled {
    /// The desk plays at a server that has let it in. The floor stays, where there is one of that name.
    pub(crate) fn joined(&mut self, joined: Joined) {
        let Joined { broker_url, event, name, granted } = joined;
        if self.dj.trim().is_empty() {
            self.dj = name.unwrap_or_default();
        }
        let is_there = granted.floors.iter().any(|floor| floor.id.as_str() == self.floor);
        let first = granted.floors.first().map(|floor| floor.id.to_string()).filter(|_| !is_there);
        if let Some(floor) = granted.floor.map(|only| only.to_string()).or(first) {
            self.floor = floor;
        }
        self.server = "remote".to_owned();
        self.url = broker_url;
        self.desk = granted.desk.to_string();
        self.token = granted.token;
        self.event = event.to_string();
    }
}

fn revealed(secret: Option<&Secret>) -> String {
    secret.map(|secret| secret.reveal().to_owned()).unwrap_or_default()
}

/// What was typed, if it was anything.
fn typed(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The parts between commas.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

impl Choices {
    /// What the form means.
    ///
    /// # Errors
    /// Each field that makes no sense, with a sentence.
    pub fn of(filled: &Filled) -> Result<Self, Vec<(&'static str, String)>> {
        let mut faults = Vec::new();
        let lan = match filled.server.as_str() {
            "here" => true,
            "remote" => false,
            _ => {
                faults.push(("server", "Say where the server is.".to_owned()));
                true
            }
        };
        let mut bus = OfBus::default();
        if !lan {
            match filled.url.trim().parse::<BrokerUrl>() {
                Ok(url) if url.has_login() => {
                    faults.push(("url", "Name and token have fields of their own.".to_owned()));
                }
                Ok(_) => bus.url = Some(filled.url.trim().to_owned()),
                Err(error) => {
                    faults.push(("url", format!("{error}: it looks like wss://api.example.org/ws.")))
                }
            }
            match filled.desk.trim().parse::<DeskId>() {
                Ok(desk) => bus.name = Some(desk.to_string()),
                Err(error) => faults.push(("desk", format!("{error}."))),
            }
        }
        let mut slug = |name: &'static str, text: &str| -> Option<String> {
            let text = text.trim();
            let fits = text.is_empty() || text.parse::<FloorId>().is_ok();
            if !fits {
                faults.push((name, "Small letters, digits and '-' alone, up to 48.".to_owned()));
            }
            (fits && !text.is_empty()).then(|| text.to_owned())
        };
        let event = slug("event", &filled.event).and_then(|text| text.parse().ok());
        let floor = slug("floor", &filled.floor).and_then(|text| text.parse().ok());
        let interface = match filled.interface.trim() {
            "" => None,
            text => {
                text.parse().map_err(|_| faults.push(("interface", "This is no address.".to_owned()))).ok()
            }
        };
        let source = match filled.source.trim() {
            "" => Chosen::default(),
            text => text.parse().unwrap_or_else(|error| {
                faults.push(("source", format!("{error}.")));
                Chosen::default()
            }),
        };
        let dj = filled.dj.trim();
        if dj.chars().count() > NAME_CHARS_MAX {
            faults.push(("dj", format!("{NAME_CHARS_MAX} characters at most.")));
        }
        let mut seconds = |name: &'static str, text: &str, max: u32| match text.trim() {
            "" => 0,
            text => match text.parse() {
                Ok(seconds) if seconds <= max => seconds,
                _ => {
                    faults.push((name, format!("Whole seconds from 0 to {max}.")));
                    0
                }
            },
        };
        let delay_s = seconds("delay_s", &filled.delay_s, DELAY_S_MAX);
        let min_play_s = seconds("min_play_s", &filled.min_play_s, MIN_PLAY_S_MAX);
        let mut rules = |name: &'static str, text: &str| {
            let lines: Vec<String> =
                text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
            if lines.len() > RULES_MAX {
                faults.push((name, format!("{RULES_MAX} lines at most.")));
            }
            lines
        };
        let skip_genres = rules("skip_genres", &filled.skip_genres);
        let skip_comments = rules("skip_comments", &filled.skip_comments);
        let skip_texts = rules("skip_texts", &filled.skip_texts);
        let skip_patterns = rules("skip_patterns", &filled.skip_patterns);
        let skip_patterns: Vec<Result<Pattern, _>> =
            skip_patterns.into_iter().map(|line| line.parse()).collect();
        if let Some(Err(error)) = skip_patterns.iter().find(|pattern| pattern.is_err()) {
            faults.push(("skip_patterns", format!("{error}.")));
        }
        let mut numbers = Vec::new();
        for number in parts(&filled.ignored_decks) {
            match number.parse() {
                Ok(number) => numbers.push(number),
                Err(_) => {
                    faults.push(("ignored_decks", "Numbers of decks, with commas.".to_owned()));
                    break;
                }
            }
        }
        let mut port = |name: &'static str, text: &str| match text.trim() {
            "" => None,
            text => match text.parse::<u16>() {
                Ok(port) if port > 0 => Some(port),
                _ => {
                    faults.push((name, "A port from 1 to 65535.".to_owned()));
                    None
                }
            },
        };
        let icecast = OfIcecast {
            host: Some(
                if filled.icecast_network { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST }.into(),
            ),
            port: port("icecast_port", &filled.icecast_port),
            password: typed(&filled.icecast_password),
            collection: typed(&filled.icecast_collection).map(PathBuf::from),
        };
        let http = OfInput { port: port("http_port", &filled.http_port), token: typed(&filled.http_token) };
        for (name, url) in [
            ("virtualdj_live_url", filled.virtualdj_live_url.trim()),
            ("jriver_url", filled.jriver_url.trim()),
        ] {
            if !url.is_empty() && !url.starts_with("http://") {
                faults.push((name, "It looks like http://127.0.0.1:8080.".to_owned()));
            }
        }
        let key = filled.rekordbox_key.trim();
        if !key.is_empty() && (key.len() != 64 || !key.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            faults.push(("rekordbox_key", "It has 64 digits from 0 to 9 and a to f.".to_owned()));
        }
        if icecast.host.is_some_and(|host| !host.is_loopback()) && icecast.password.is_none() {
            faults.push(("icecast_password", "With other machines about, it takes a password.".to_owned()));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let token = filled.token.trim();
        Ok(Self {
            publisher: OfPublisher {
                lan,
                interface,
                floor,
                dj: Some(dj.to_owned()).filter(|dj| !dj.is_empty()),
                source,
                path: Some(filled.path.trim()).filter(|path| !path.is_empty()).map(PathBuf::from),
                force_polling: filled.force_polling,
                delay_s,
                min_play_s,
                skip_genres,
                skip_comments,
                skip_texts,
                skip_patterns: skip_patterns.into_iter().flatten().collect(),
                covers: filled.covers,
                deck_mode: if filled.deck_mode == DeckMode::Oldest.name() {
                    DeckMode::Oldest
                } else {
                    DeckMode::Newest
                },
                ignored_decks: numbers,
                text: if filled.text == TextMode::LastLine.name() {
                    TextMode::LastLine
                } else {
                    TextMode::Whole
                },
                virtualdj_live: OfVirtualDjLive {
                    url: typed(&filled.virtualdj_live_url),
                    password: typed(&filled.virtualdj_live_password),
                },
                icecast,
                mpris: OfPlayers { players: parts(&filled.mpris_players).map(str::to_owned).collect() },
                smtc: OfPlayers { players: parts(&filled.smtc_players).map(str::to_owned).collect() },
                rekordbox: OfRekordbox { key: typed(&filled.rekordbox_key) },
                jriver: OfJRiver {
                    url: typed(&filled.jriver_url),
                    user: filled.jriver_user.trim().to_owned(),
                    password: typed(&filled.jriver_password),
                },
                http,
            },
            bus,
            event: OfEvent { id: event },
            token: Some(Secret::new(token)).filter(|_| !token.is_empty() && !lan),
        })
    }

    /// Where they are kept.
    pub fn file(data: &Path) -> PathBuf {
        data.join(FILE)
    }

    /// Keeps them, whole or not at all.
    ///
    /// # Errors
    /// The data folder cannot be written.
    pub fn keep(&self, data: &Path) -> anyhow::Result<()> {
        let text = toml::to_string_pretty(self).context("write what was chosen as TOML")?;
        let text = format!(
            "# Written by the settings page; what it says counts more than the configuration file.\n\n{text}"
        );
        write_private(&Self::file(data), &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Filled {
        Filled { server: "here".into(), floor: "main".into(), source: "auto".into(), ..Filled::default() }
    }

    #[test]
    fn a_form_that_makes_sense_is_kept_as_settings() {
        let form = Filled {
            server: "remote".into(),
            url: " wss://api.example.org/ws ".into(),
            desk: "booth".into(),
            token: "secret".into(),
            event: "tonight".into(),
            delay_s: "5".into(),
            skip_genres: "Jingle\n\n Speech \n".into(),
            ..filled()
        };
        let choices = Choices::of(&form).expect("it makes sense");
        let dir = tempfile::tempdir().expect("a folder");
        choices.keep(dir.path()).expect("written");
        let text = std::fs::read_to_string(Choices::file(dir.path())).expect("read");
        assert!(!text.contains("secret"), "{text}");
        let table: toml::Table = text.parse().expect("TOML");
        assert_eq!(table["bus"]["url"].as_str(), Some("wss://api.example.org/ws"));
        assert_eq!(table["publisher"]["delay_s"].as_integer(), Some(5));
        assert_eq!(table["publisher"]["skip_genres"].as_array().map(Vec::len), Some(2));
        assert_eq!(choices.token.map(|token| token.reveal().to_owned()), Some("secret".to_owned()));
    }

    #[test]
    fn each_field_that_makes_no_sense_is_named() {
        let form = Filled {
            server: "remote".into(),
            url: "http://example.org".into(),
            desk: "My Desk".into(),
            floor: "Main Floor".into(),
            source: "winamp".into(),
            delay_s: "90".into(),
            min_play_s: "long".into(),
            interface: "wifi".into(),
            dj: "x".repeat(61),
            skip_patterns: "fine\n(".into(),
            ignored_decks: "3, x".into(),
            icecast_network: true,
            icecast_port: "0".into(),
            jriver_url: "https://127.0.0.1".into(),
            ..Filled::default()
        };
        let faults = Choices::of(&form).expect_err("it makes no sense");
        let fields: Vec<&str> = faults.iter().map(|(field, _)| *field).collect();
        assert_eq!(
            fields,
            [
                "url",
                "desk",
                "floor",
                "interface",
                "source",
                "dj",
                "delay_s",
                "min_play_s",
                "skip_patterns",
                "ignored_decks",
                "icecast_port",
                "jriver_url",
                "icecast_password"
            ]
        );
        assert!(Choices::of(&Filled::default()).is_err(), "a server has to be chosen");
        assert!(Choices::of(&filled()).is_ok());
    }
}
