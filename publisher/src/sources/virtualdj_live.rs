//! VirtualDJ by its Network Control plug-in: what is on each deck and whether it is heard, asked every second. It is only
//! ever asked; nothing here makes it do anything.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use config::clock::now_ms;
use hyper::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use protocol::Track;
use tokio::time::sleep;

use super::decode;
use super::http::Client;
use super::live::{Asked, Ears, RETRY, Sound, Voice, follow};
use super::observation::Location;
use crate::settings::VirtualDjLive;

const DECKS: std::ops::RangeInclusive<u8> = 1..=4;
/// Where the plug-in listens unless the DJ has chosen a port.
const USUAL: &[&str] = &["http://127.0.0.1:80", "http://127.0.0.1:8080"];

/// The decks of one VirtualDJ, asked for.
#[derive(Debug)]
pub(super) struct Asker {
    settings: VirtualDjLive,
    clients: Vec<(String, Client)>,
}

impl Asker {
    /// # Errors
    /// The address makes no sense.
    pub fn new(settings: VirtualDjLive) -> anyhow::Result<Self> {
        let urls = match &settings.url {
            Some(url) => vec![url.as_str()],
            None => USUAL.to_vec(),
        };
        let client = |url: &str| Client::of(url).map(|client| (url.to_owned(), client));
        Ok(Self { clients: urls.into_iter().map(client).collect::<anyhow::Result<_>>()?, settings })
    }

    /// Asks until dropped.
    pub async fn run(mut self, mut voice: Voice, mut ears: Ears) {
        let places: Vec<String> = self.clients.iter().map(|(url, _)| url.clone()).collect();
        let places = places.join(", ");
        loop {
            let mut why = None;
            for (url, client) in &mut self.clients {
                let mut desk = Desk::new(client, &self.settings);
                match desk.alive().await {
                    Ok(()) => {
                        voice.found(url.clone(), "VirtualDJ answers there").await;
                        why = Some(follow(&mut desk, &voice, &mut ears).await);
                        break;
                    }
                    // A wrong password says more than a closed port.
                    Err(error) if why.is_none() || error.is::<WrongPassword>() => why = Some(error),
                    Err(_) => {}
                }
            }
            ears.forget();
            let why = why.map_or_else(String::new, |error| format!("{error:#}"));
            voice.missing(places.clone(), format!("no Network Control answers: {why}")).await;
            sleep(RETRY).await;
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("it wants the password that is set in the plug-in")]
struct WrongPassword;

struct Desk<'a> {
    client: &'a mut Client,
    bearer: Option<String>,
    authorization: Option<String>,
    /// Verbs that this version does not know are asked once.
    unknown: BTreeSet<&'static str>,
    decks: BTreeMap<u8, Sound>,
}

impl Asked for Desk<'_> {
    async fn look(&mut self, ears: &mut Ears) -> anyhow::Result<()> {
        self.alive().await?;
        if self.is("sandbox").await? {
            // The DJ rehearses in the headphones; what was heard is still heard.
            return Ok(());
        }
        for number in DECKS {
            let sound = self.deck(number).await?;
            ears.hear(now_ms(), number, sound);
        }
        Ok(())
    }
}

impl<'a> Desk<'a> {
    fn new(client: &'a mut Client, settings: &VirtualDjLive) -> Self {
        let password = settings.password.as_ref().map(config::Secret::reveal);
        Self {
            client,
            bearer: password.map(encoded),
            authorization: password.map(|password| format!("Bearer {password}")),
            unknown: BTreeSet::new(),
            decks: BTreeMap::new(),
        }
    }

    /// Whether VirtualDJ answers, and not some other web server at its port.
    async fn alive(&mut self) -> anyhow::Result<()> {
        let clock = self.answer("get_clock").await?;
        let is_clock = clock.len() <= 32 && clock.contains(|character: char| character.is_ascii_digit());
        if !is_clock || clock.contains('<') {
            bail!("another program answers");
        }
        Ok(())
    }

    async fn deck(&mut self, number: u8) -> anyhow::Result<Option<Sound>> {
        if !self.is(&format!("deck {number} loaded")).await? {
            self.decks.remove(&number);
            return Ok(None);
        }
        let level = if self.is(&format!("deck {number} is_audible")).await? { 1.0 } else { 0.0 };
        let mut ask = async |what: &str| self.ask(&format!("deck {number} {what}")).await;
        let artist = ask("get_loaded_song 'artist'").await?;
        let title = ask("get_loaded_song 'title'").await?;
        let path = ask("get_filepath").await?;
        let key = [&path, &artist, &title].map(|field| field.clone().unwrap_or_default()).join("|");
        if let Some(known) = self.decks.get_mut(&number).filter(|known| known.key == key) {
            known.level = level;
            return Ok(Some(known.clone()));
        }
        let mut track = Track {
            artist,
            title,
            album: self.detail(number, "get_loaded_song 'album'").await?,
            genre: self.detail(number, "get_loaded_song 'genre'").await?,
            key: self.detail(number, "get_loaded_song 'key'").await?,
            bpm: self
                .detail(number, "get_bpm absolute")
                .await?
                .and_then(|bpm| bpm.replace(',', ".").parse().ok()),
            duration_ms: self.detail(number, "get_time total").await?.and_then(|time| length_ms(&time)),
            ..Track::default()
        };
        let location = path.as_deref().map(Location::parse);
        if track.title.is_none()
            && let Some((artist, title)) = location.as_ref().and_then(Location::stem)
        {
            track.title = Some(title);
            track.artist = track.artist.or(artist);
        }
        let sound = Sound { location, level, key, ..Sound::of(track) };
        self.decks.insert(number, sound.clone());
        Ok(Some(sound))
    }

    async fn is(&mut self, script: &str) -> anyhow::Result<bool> {
        Ok(self.ask(script).await?.is_some_and(|answer| is_yes(&answer)))
    }

    /// The answer to a script that asks; nothing when it is empty, or an error.
    async fn ask(&mut self, script: &str) -> anyhow::Result<Option<String>> {
        let answer = self.answer(script).await?;
        Ok(decode::field(&answer).filter(|answer| !is_error(answer)))
    }

    /// The same for what can be done without: a verb that this version does not know is not asked again.
    async fn detail(&mut self, number: u8, verb: &'static str) -> anyhow::Result<Option<String>> {
        if self.unknown.contains(verb) {
            return Ok(None);
        }
        let answer = self.answer(&format!("deck {number} {verb}")).await?;
        if is_error(&answer) {
            self.unknown.insert(verb);
            return Ok(None);
        }
        Ok(decode::field(&answer))
    }

    async fn answer(&mut self, script: &str) -> anyhow::Result<String> {
        let bearer = self.bearer.as_ref().map(|bearer| format!("&bearer={bearer}")).unwrap_or_default();
        let path = format!("/query?script={}{bearer}", encoded(script));
        let answer = self.client.get(&path, self.authorization.as_deref()).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.text),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(WrongPassword.into()),
            status => bail!("it answers with {status}"),
        }
    }
}

/// How the plug-in says that it does not know a verb.
fn is_error(answer: &str) -> bool {
    answer.trim_start().starts_with("error:")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn is_yes(answer: &str) -> bool {
    ["yes", "true", "on", "1"].iter().any(|yes| answer.eq_ignore_ascii_case(yes))
}

/// `241.6` seconds, `4:01` or `1:04:01`.
fn length_ms(text: &str) -> Option<i64> {
    let mut length_s = 0.0;
    for part in text.split(':') {
        length_s = length_s * 60.0 + part.trim().parse::<f64>().ok().filter(|part| *part >= 0.0)?;
    }
    Some((length_s * 1000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(length_ms("241.6"), Some(241_600));
        assert_eq!(length_ms("4:01"), Some(241_000));
        assert_eq!(length_ms("1:04:01"), Some(3_841_000));
        assert_eq!(length_ms("-1"), None);
        assert_eq!(length_ms("NaN"), None);
        assert!(is_yes("Yes") && is_yes("1") && !is_yes("no") && !is_yes(""));
    }
}
