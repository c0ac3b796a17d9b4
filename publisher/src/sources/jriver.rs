//! JRiver Media Center by its web service (MCWS): what its player has on, asked every second.

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config::clock::now_ms;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use protocol::Track;
use quick_xml::Reader;
use quick_xml::events::Event;
use tokio::time::sleep;

use super::http::Client;
use super::live::{Asked, Ears, RETRY, Sound, Voice, follow, key};
use super::{decode, playlist};
use crate::settings::JRiver;

/// More items than any answer has.
const ITEMS_MAX: usize = 128;

/// One JRiver, asked for what it plays.
#[derive(Debug)]
pub(super) struct Asker {
    settings: JRiver,
    client: Client,
    token: Option<String>,
}

impl Asker {
    /// # Errors
    /// The address makes no sense.
    pub fn new(settings: JRiver) -> anyhow::Result<Self> {
        Ok(Self { client: Client::of(&settings.url)?, settings, token: None })
    }

    /// Asks until dropped.
    pub async fn run(mut self, mut voice: Voice, mut ears: Ears) {
        let place = self.settings.url.clone();
        loop {
            let why = match self.log_in().await {
                Ok(()) => {
                    voice.found(place.clone(), "JRiver answers there").await;
                    follow(&mut self, &voice, &mut ears).await
                }
                Err(error) => error,
            };
            ears.forget();
            voice.missing(place.clone(), format!("JRiver does not answer: {why:#}")).await;
            sleep(RETRY).await;
        }
    }

    async fn log_in(&mut self) -> anyhow::Result<()> {
        self.token = None;
        let JRiver { user, password, .. } = &self.settings;
        let Some(password) = password else {
            return self.items("Alive").await.map(|_| ());
        };
        let login = STANDARD.encode(format!("{user}:{}", password.reveal()));
        let answer = self.client.get("/MCWS/v1/Authenticate", Some(&format!("Basic {login}"))).await?;
        let token = items(&answer.text).into_iter().find(|(name, _)| name == "Token");
        self.token = Some(token.context("it does not accept user and password")?.1);
        Ok(())
    }

    async fn items(&mut self, what: &str) -> anyhow::Result<Vec<(String, String)>> {
        let token = self.token.as_ref().map(|token| utf8_percent_encode(token, NON_ALPHANUMERIC));
        let token = token.map(|token| format!("?Token={token}")).unwrap_or_default();
        let answer = self.client.get(&format!("/MCWS/v1/{what}{token}"), None).await?;
        let items = items(&answer.text);
        if !answer.status.is_success() || items.is_empty() {
            bail!("it answers with {}; if it asks for a login, set user and password", answer.status);
        }
        Ok(items)
    }
}

impl Asked for Asker {
    async fn look(&mut self, ears: &mut Ears) -> anyhow::Result<()> {
        let items = self.items("Playback/Info").await?;
        ears.hear(now_ms(), 0, sound(&items));
        Ok(())
    }
}

/// The items of an answer, by name.
fn items(xml: &str) -> Vec<(String, String)> {
    let mut reader = Reader::from_str(xml);
    let mut items: Vec<(String, String)> = Vec::new();
    let mut open = None;
    while items.len() < ITEMS_MAX {
        match reader.read_event() {
            Ok(Event::Start(tag)) => {
                let mut attributes = tag.attributes();
                let name = attributes.with_checks(false).flatten().find(|it| it.key.as_ref() == "Name");
                open = name
                    .map(|name| (playlist::unescaped(&decode::line(name.value.as_bytes())), String::new()));
            }
            Ok(Event::Text(text)) => {
                if let Some((_, value)) = &mut open {
                    value.push_str(&decode::line(text.as_bytes()));
                }
            }
            Ok(Event::GeneralRef(name)) => {
                if let Some((_, value)) = &mut open {
                    value.push_str(&playlist::unescaped(&format!("&{};", decode::line(name.as_bytes()))));
                }
            }
            Ok(Event::End(_)) => {
                if let Some((name, value)) = open.take()
                    && let Some(value) = decode::field(&value)
                {
                    items.push((name, value));
                }
            }
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    items
}

/// What the player has on; nothing when it is stopped.
fn sound(items: &[(String, String)]) -> Option<Sound> {
    let item = |name: &str| items.iter().find(|item| item.0 == name).map(|item| item.1.clone());
    let level = match item("State")?.as_str() {
        "2" => 1.0,
        "1" => 0.0,
        _ => return None,
    };
    let track = Track {
        artist: item("Artist"),
        title: item("Name"),
        album: item("Album"),
        duration_ms: item("DurationMS").and_then(|ms| ms.parse().ok()),
        ..Track::default()
    };
    let key = format!("{}|{}", item("FileKey").unwrap_or_default(), key(&track));
    track.title.is_some().then_some(Sound { level, key, ..Sound::of(track) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_played() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?><Response Status="OK">
            <Item Name="State">2</Item><Item Name="FileKey">7</Item><Item Name="DurationMS">241000</Item>
            <Item Name="Artist">Ana &amp; The Low Tides</Item><Item Name="Album"></Item><Item Name="Name">Night</Item>
            </Response>"#;
        let sound = sound(&items(xml)).expect("it plays");
        assert_eq!(sound.track.line(), "Ana & The Low Tides – Night");
        assert_eq!((sound.track.album, sound.track.duration_ms), (None, Some(241_000)));
        assert_eq!(super::sound(&items(&xml.replace(">2<", ">0<"))), None);
        assert_eq!(items("<Item Name=\"a\">b<Item"), []);
    }
}
