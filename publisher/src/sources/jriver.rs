//! JRiver Media Center by its web service (MCWS): what its player has on, asked every second.

use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config::clock::now_ms;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use protocol::Track;
use quick_xml::Reader;
use quick_xml::events::Event;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::http::Client;
use super::live::{Ears, Sound, Voice, key};
use super::{decode, playlist};
use crate::settings::JRiver;

const POLL: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(10);
/// One failure is a busy program.
const FAILURES_MAX: u32 = 3;
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
                    self.follow(&voice, &mut ears).await
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

    /// Tells what is heard until there is no answer any more, and says why.
    async fn follow(&mut self, voice: &Voice, ears: &mut Ears) -> anyhow::Error {
        let mut failures = 0;
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.items("Playback/Info").await {
                Ok(items) => {
                    failures = 0;
                    ears.hear(now_ms(), 0, sound(&items));
                }
                Err(error) => {
                    failures += 1;
                    if failures >= FAILURES_MAX {
                        return error;
                    }
                    continue;
                }
            }
            if let Some(event) = ears.news(now_ms()) {
                voice.say(event).await;
            }
        }
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
    track.title.is_some().then_some(Sound { track, location: None, level, key })
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
