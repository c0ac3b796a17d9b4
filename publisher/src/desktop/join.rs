//! A desk that asks a server for a token: the conversation of the crate `pairing`, over HTTP, and how it stands.

use std::time::Duration;

use anyhow::{Context, bail};
use pairing::{Agreement, Answer, Code, DeskSide, Granted, Outcome};
use protocol::DeskId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

const ANSWER_BYTES_MAX: u64 = 64 * 1024;
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_secs(2);
/// A server that does not answer is asked again so often: the WiFi of a venue comes and goes.
const TRIES: u32 = 15;

/// How the desk stands with the server that it asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Joining {
    #[default]
    No,
    /// The server has not answered yet.
    Asking {
        url: String,
    },
    /// The organizer has to type this.
    Shown {
        url: String,
        event: String,
        code: Code,
    },
    /// Somebody did. The DJ has to say that it was the organizer.
    LetIn {
        url: String,
        event: String,
        code: Code,
        granted: Box<Joined>,
    },
    Failed {
        why: String,
    },
}

/// What the settings need to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// Of the broker.
    pub broker_url: String,
    pub event: protocol::EventId,
    /// The DJ's, as it was said to the server.
    pub name: Option<String>,
    pub granted: Granted,
}

/// One conversation at a time; the next one ends it.
#[derive(Debug, Default)]
pub struct Join {
    state: watch::Sender<Joining>,
    task: std::sync::Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Join {
    pub fn state(&self) -> watch::Receiver<Joining> {
        self.state.subscribe()
    }

    /// Asks the server at an address that somebody typed. Must be called inside a tokio runtime.
    pub fn ask(&self, typed: &str, name: Option<String>) {
        let state = self.state.clone();
        let pages = match pages(typed) {
            Ok(pages) => pages,
            Err(error) => {
                self.leave();
                state.send_replace(Joining::Failed { why: format!("{error:#}") });
                return;
            }
        };
        let desk = desk_id(name.as_deref().unwrap_or_default());
        state.send_replace(Joining::Asking { url: shown(&pages) });
        let task = tokio::spawn(async move {
            if let Err(error) = converse(&pages, desk, name, &state).await {
                tracing::warn!(server = %shown(&pages), "not paired: {error:#}");
                state.send_replace(Joining::Failed { why: format!("{error:#}") });
            }
        });
        *self.running() = Some(AbortOnDropHandle::new(task));
    }

    /// The DJ does not want to any more, or it is done.
    pub fn leave(&self) {
        *self.running() = None;
        self.state.send_replace(Joining::No);
    }

    /// What was granted, if the DJ says that it was with this code.
    pub fn confirmed(&self, code: &str) -> Option<Joined> {
        match (&*self.state.borrow(), code.parse::<Code>()) {
            (Joining::LetIn { code, granted, .. }, Ok(typed)) if *code == typed => Some((**granted).clone()),
            _ => None,
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<AbortOnDropHandle<()>>> {
        self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn converse(
    pages: &Url,
    desk: DeskId,
    name: Option<String>,
    state: &watch::Sender<Joining>,
) -> anyhow::Result<()> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness for a key: {error}"))?;
    let desk = DeskSide::new(random, desk, name);
    let server = Server::at(pages.clone());
    let answer: Answer =
        server.post("api/v1/pair", desk.ask()).await?.context("it has not answered the question")?;
    let agreed = desk.agree(&answer)?;
    let place = format!("api/v1/pair/{}", answer.id);
    server.post::<serde::de::IgnoredAny>(&place, &desk.reveal()).await?;
    let event: String = answer.event_name.chars().filter(|c| !c.is_control()).take(60).collect();
    let (url, code) = (shown(pages), agreed.code());
    state.send_replace(Joining::Shown { url: url.clone(), event: event.clone(), code });
    let granted = wait(&server, &place, &agreed).await?;
    let broker_url = broker_url(pages, granted.broker_url.as_deref())?;
    let name = desk.ask().name.clone();
    let granted = Box::new(Joined { broker_url, event: answer.event, name, granted });
    state.send_replace(Joining::LetIn { url, event, code, granted });
    Ok(())
}

async fn wait(server: &Server, place: &str, agreed: &Agreement) -> anyhow::Result<Granted> {
    let mut failed = 0;
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        match server.get::<Outcome>(place).await {
            Ok(Some(Outcome::Granted { sealed })) => return Ok(agreed.open(&sealed)?),
            Ok(Some(Outcome::Waiting)) => failed = 0,
            Ok(None) => bail!("nobody has typed the code in time; ask once more"),
            Err(error) if failed >= TRIES => return Err(error),
            Err(_) => failed += 1,
        }
    }
}

/// The server, asked over HTTP. Each question waits on a thread of its own: there are a few in a lifetime.
#[derive(Debug, Clone)]
struct Server {
    agent: ureq::Agent,
    pages: Url,
}

impl Server {
    fn at(pages: Url) -> Self {
        Self { agent: crate::https::agent(ANSWERED_WITHIN), pages }
    }

    async fn post<T: DeserializeOwned + Send + 'static>(
        &self,
        place: &str,
        message: &impl Serialize,
    ) -> anyhow::Result<Option<T>> {
        let (agent, url) = (self.agent.clone(), self.pages.join(place)?);
        let body = serde_json::to_vec(message).context("write a message as JSON")?;
        let asked = tokio::task::spawn_blocking(move || {
            let request = agent.post(url.as_str()).header("content-type", "application/json");
            read(request.send(&body[..]))
        });
        asked.await.context("asking broke off")?.with_context(|| format!("ask {}", shown(&self.pages)))
    }

    /// `None`: there is nothing of that name (any more).
    async fn get<T: DeserializeOwned + Send + 'static>(&self, place: &str) -> anyhow::Result<Option<T>> {
        let (agent, url) = (self.agent.clone(), self.pages.join(place)?);
        let asked = tokio::task::spawn_blocking(move || match agent.get(url.as_str()).call() {
            Ok(answer) if answer.status() == ureq::http::StatusCode::NOT_FOUND => Ok(None),
            answer => read(answer),
        });
        asked.await.context("asking broke off")?.with_context(|| format!("ask {}", shown(&self.pages)))
    }
}

fn read<T: DeserializeOwned>(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> anyhow::Result<Option<T>> {
    let mut answer = answer?;
    let status = answer.status();
    let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    match status.as_u16() {
        204 => Ok(None),
        200 | 201 => {
            Ok(Some(serde_json::from_str(&text?).context("it is no server of Pika, or a newer one")?))
        }
        // Ours answer with a sentence.
        _ => {
            let sentence: String =
                text.unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
            bail!("it says {status}: {sentence}")
        }
    }
}

/// The address of pages, as people type it: `app.example.org`, `192.168.1.5:3002`, or whole.
fn pages(typed: &str) -> anyhow::Result<Url> {
    let typed = typed.trim();
    let url = match typed.split_once("://") {
        Some(_) => typed.to_owned(),
        // Only on the Internet there are certificates.
        None => {
            let host = typed.split(['/', ':']).next().unwrap_or_default();
            let is_local = typed.starts_with('[')
                || host.parse::<std::net::IpAddr>().is_ok()
                || host == "localhost"
                || host.ends_with(".local")
                || !host.contains('.');
            format!("{}://{typed}", if is_local { "http" } else { "https" })
        }
    };
    let mut url =
        Url::parse(&url).with_context(|| format!("`{typed}` is no address like app.example.org"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        bail!("`{typed}` is no address like app.example.org or http://192.168.1.5:3002");
    }
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    let _ = (url.set_username(""), url.set_password(None));
    Ok(url)
}

fn shown(pages: &Url) -> String {
    pages.as_str().trim_end_matches('/').to_owned()
}

/// Where the broker is: as the server says, or beside its pages.
fn broker_url(pages: &Url, said: Option<&str>) -> anyhow::Result<String> {
    let url = match said {
        Some(said) => said.to_owned(),
        None => {
            let rest = pages.as_str().strip_prefix("http").unwrap_or_default();
            format!("ws{rest}mqtt")
        }
    };
    let parsed: bus::BrokerUrl = url.parse().context("read where the broker is")?;
    // A token that came over TLS does not go out without it.
    if pages.scheme() == "https" && !["wss://", "mqtts://"].iter().any(|scheme| url.starts_with(scheme)) {
        bail!("the server wants the token to travel in the clear, to {parsed}");
    }
    Ok(url)
}

/// A name for topics, out of a name for people.
fn desk_id(name: &str) -> DeskId {
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') && !c.is_alphabetic() => slug.push('-'),
            _ => {}
        }
    }
    slug.truncate(40);
    let slug = slug.trim_matches('-');
    let is_taken = slug.starts_with("pika-");
    match slug.parse() {
        Ok(desk) if !is_taken => desk,
        _ => "dj".parse().expect("a slug"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_type_them() {
        let check = |typed: &str, expected: Option<(&str, &str)>| {
            let pages = pages(typed).ok();
            let broker = pages.as_ref().map(|pages| broker_url(pages, None).expect("a broker"));
            let both = pages.as_ref().map(shown).zip(broker);
            assert_eq!(both.as_ref().map(|(pages, broker)| (&pages[..], &broker[..])), expected, "{typed}");
        };
        check("app.example.org", Some(("https://app.example.org", "wss://app.example.org/mqtt")));
        check(" 192.168.1.5:3002 ", Some(("http://192.168.1.5:3002", "ws://192.168.1.5:3002/mqtt")));
        check("[fd00::1]:3002", Some(("http://[fd00::1]:3002", "ws://[fd00::1]:3002/mqtt")));
        check("laptop.local:3002/e/x?y#z", Some(("http://laptop.local:3002", "ws://laptop.local:3002/mqtt")));
        check(
            "https://user:word@app.example.org/dj",
            Some(("https://app.example.org", "wss://app.example.org/mqtt")),
        );
        for wrong in ["", "mqtt://x", "http://", "file:///etc/passwd", "javascript://x", "a b"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_token_is_not_sent_in_the_clear_to_a_server_with_a_certificate() {
        let public = pages("app.example.org").expect("an address");
        assert!(broker_url(&public, Some("wss://api.example.org/ws")).is_ok());
        assert!(broker_url(&public, Some("mqtt://api.example.org")).is_err());
        assert!(broker_url(&public, Some("nonsense")).is_err());
    }

    #[test]
    fn names_for_topics() {
        for (name, expected) in [
            ("Ada", "ada"),
            ("DJ  Ada & Bo!", "dj-ada-bo"),
            ("", "dj"),
            ("日本", "dj"),
            ("Pika Desk", "dj"),
            ("ŁÓDŹ", "d"),
        ] {
            assert_eq!(desk_id(name).as_str(), expected, "{name}");
        }
    }
}
