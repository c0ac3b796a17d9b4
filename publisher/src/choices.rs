//! What the DJ chose on the settings page: the form as it is filled in, and the file that it is kept in, which settings are read
//! from like from the configuration file.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bus::BrokerUrl;
use config::Secret;
use protocol::{DeskId, EventId, FloorId};
use serde::{Deserialize, Serialize};

use crate::desktop::{Server, Setup};
use crate::settings::{Chosen, DELAY_S_MAX};

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
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfBus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
}

impl OfBus {
    fn is_empty(&self) -> bool {
        self.url.is_none() && self.name.is_none()
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
            force_polling: settings.force_polling,
        }
    }
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
        let (path, new) = (Self::file(data), data.join(format!("{FILE}.new")));
        let write = || {
            let mut file = std::fs::File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)
        };
        write().with_context(|| format!("write {}", path.display()))
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
            ..Filled::default()
        };
        let faults = Choices::of(&form).expect_err("it makes no sense");
        let fields: Vec<&str> = faults.iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, ["url", "desk", "floor", "interface", "source", "dj", "delay_s", "min_play_s"]);
        assert!(Choices::of(&Filled::default()).is_err(), "a server has to be chosen");
        assert!(Choices::of(&filled()).is_ok());
    }
}
