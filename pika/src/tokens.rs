//! `pika token`: logins for those who speak MQTT.

use anyhow::{Context, bail};
use config::clock::{now_ms, seed};
use protocol::{DeskId, FloorId, PersonId};
use store::{By, ListedToken, Token, TokenKind};

use crate::archive::opened;
use crate::cli::{ExportFormat, Kind, TokenCommand};
use crate::mosquitto;
use crate::settings::Loaded;

/// What the parts of `pika up` are called.
const OWN_PREFIX: &str = "pika-";

/// A fresh token: 256 random bits.
pub fn random_token() -> anyhow::Result<String> {
    Ok(hex::encode(random::<32>()?))
}

/// Random bytes, for a salt.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system has no randomness for a secret: {error}"))?;
    Ok(bytes)
}

/// Whoever may run commands here, as it stands in the list of changes.
pub fn by() -> By {
    By::at("the command line", now_ms(), seed())
}

/// A token that is asked for.
#[derive(Debug)]
pub struct Wanted {
    pub name: String,
    pub kind: TokenKind,
    /// The only floor of a desk.
    pub floor: Option<FloorId>,
    pub expires_in_ms: Option<i64>,
    pub owner: Option<PersonId>,
}

/// Runs a token command against the database.
pub async fn run(loaded: &Loaded, command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Add { name, kind, floor, expires } => {
            let kind = match kind {
                Kind::Desk => TokenKind::Desk,
                Kind::Service => TokenKind::Service,
                Kind::Integrator => TokenKind::Integrator,
            };
            add(loaded, Wanted { name, kind, floor, expires_in_ms: expires, owner: None }).await
        }
        TokenCommand::List => list(loaded).await,
        TokenCommand::Revoke { name } => revoke(loaded, &name).await,
        TokenCommand::Export { format: ExportFormat::Mosquitto, out } => {
            let store = opened(loaded).await?;
            let folder = out.unwrap_or_else(|| loaded.data.join("mosquitto"));
            let anonymous = loaded.settings.section::<broker::Settings>("broker")?.anonymous_read;
            let (tokens, verifiers) = (store.tokens().await?, store.token_verifiers().await?);
            store.close().await;
            mosquitto::export(&folder, &tokens, &verifiers, anonymous, now_ms())
        }
    }
}

/// Makes a token and prints it, the only time that anybody sees it.
pub async fn add(loaded: &Loaded, wanted: Wanted) -> anyhow::Result<()> {
    let store = opened(loaded).await?;
    let event = loaded.settings.section::<archiver::EventSettings>("event")?.id;
    let Wanted { name, kind, floor, expires_in_ms, owner } = wanted;
    // Topics are built from it.
    name.parse::<DeskId>().context("a token's name")?;
    if name.starts_with(OWN_PREFIX) {
        bail!("names that begin with `{OWN_PREFIX}` are for the parts of `pika up`; take another one");
    }
    if floor.is_some() && kind != TokenKind::Desk {
        bail!("only a desk can be limited to a floor");
    }
    if let Some(owner) = &owner
        && store.login_of(owner).await?.is_none()
    {
        bail!("there is no person `{owner}`; see `pika person list`");
    }
    let token = random_token()?;
    let row = Token {
        name: name.clone(),
        kind,
        event: event.clone(),
        floor,
        sha256: Token::hash(&token),
        expires_ms: expires_in_ms.map(|ms| now_ms().saturating_add(ms)),
        revoked_ms: None,
    };
    if !store.add_token(&row, &Token::verifier(&token, &random()?), owner.as_ref(), &by()).await? {
        bail!("there is a token `{name}` already; revoked names are not used again, take another one");
    }
    store.close().await;
    eprintln!("{} token for `{name}` at {event}; it is shown only now:", kind.as_str());
    println!("{token}");
    Ok(())
}

async fn list(loaded: &Loaded) -> anyhow::Result<()> {
    let store = opened(loaded).await?;
    let (tokens, now_ms) = (store.listed_tokens().await?, now_ms());
    store.close().await;
    for ListedToken { token, owner, used_ms, .. } in tokens {
        let state = match (token.revoked_ms, token.expires_ms) {
            (Some(at), _) => format!("revoked {}", time(at)),
            (None, Some(at)) if at <= now_ms => format!("expired {}", time(at)),
            (None, Some(at)) => format!("until {}", time(at)),
            (None, None) => "in force".to_owned(),
        };
        let floor = token.floor.map_or_else(|| "all floors".to_owned(), |floor| floor.to_string());
        let owner = owner.map_or_else(|| "-".to_owned(), |owner| owner.to_string());
        let used = used_ms.map_or_else(|| "never used".to_owned(), |at| format!("used {}", time(at)));
        let kind = token.kind.as_str();
        println!("{}\t{kind}\t{}\t{floor}\t{state}\t{owner}\t{used}", token.name, token.event);
    }
    Ok(())
}

/// Makes a token useless.
pub async fn revoke(loaded: &Loaded, name: &str) -> anyhow::Result<()> {
    let store = opened(loaded).await?;
    let revoked = store.revoke_token(name, &by()).await?;
    store.close().await;
    if !revoked {
        bail!("there is no token `{name}` in force; see `pika token list`");
    }
    eprintln!("`{name}` is revoked; whoever is connected with it is disconnected within seconds");
    Ok(())
}

pub fn time(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map_or_else(|_| at_ms.to_string(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}
