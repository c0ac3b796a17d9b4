//! `pika token`: logins for those who speak MQTT.

use anyhow::{Context, bail};
use config::clock::now_ms;
use protocol::DeskId;
use store::{Store, Token, TokenKind};

use crate::cli::{ExportFormat, Kind, TokenCommand};
use crate::mosquitto;
use crate::settings::Loaded;

/// What the parts of `pika up` are called.
const OWN_PREFIX: &str = "pika-";

/// A fresh token: 256 random bits.
pub fn random_token() -> anyhow::Result<String> {
    Ok(random::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Random bytes, for a salt.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system has no randomness for a token: {error}"))?;
    Ok(bytes)
}

/// Runs a token command against the database.
pub async fn run(loaded: &Loaded, command: TokenCommand) -> anyhow::Result<()> {
    let url = loaded.database()?;
    let store = Store::open(&url)?;
    store.migrate().await.with_context(|| format!("open the database {url}"))?;
    let event = loaded.settings.section::<archiver::EventSettings>("event")?.id;
    match command {
        TokenCommand::Add { name, kind, floor, expires } => {
            let kind = match kind {
                Kind::Desk => TokenKind::Desk,
                Kind::Service => TokenKind::Service,
                Kind::Integrator => TokenKind::Integrator,
            };
            // Topics are built from it.
            name.parse::<DeskId>().context("a token's name")?;
            if name.starts_with(OWN_PREFIX) {
                bail!(
                    "names that begin with `{OWN_PREFIX}` are for the parts of `pika up`; take another one"
                );
            }
            if floor.is_some() && kind != TokenKind::Desk {
                bail!("only a desk can be limited to a floor");
            }
            let token = random_token()?;
            let row = Token {
                name: name.clone(),
                kind,
                event: event.clone(),
                floor,
                sha256: Token::hash(&token),
                expires_ms: expires.map(|ms| now_ms().saturating_add(ms)),
                revoked_ms: None,
            };
            if !store.add_token(&row, &Token::verifier(&token, &random()?), now_ms()).await? {
                bail!(
                    "there is a token `{name}` already; revoked names are not used again, take another one"
                );
            }
            eprintln!("{} token for `{name}` at {event}; it is shown only now:", row.kind.as_str());
            println!("{token}");
        }
        TokenCommand::List => {
            for token in store.tokens().await? {
                let state = match (token.revoked_ms, token.expires_ms) {
                    (Some(at), _) => format!("revoked {}", time(at)),
                    (None, Some(at)) if at <= now_ms() => format!("expired {}", time(at)),
                    (None, Some(at)) => format!("until {}", time(at)),
                    (None, None) => "in force".to_owned(),
                };
                let floor = token.floor.map(|floor| floor.to_string()).unwrap_or_else(|| "all floors".into());
                println!("{}\t{}\t{}\t{floor}\t{state}", token.name, token.kind.as_str(), token.event);
            }
        }
        TokenCommand::Revoke { name } => {
            if !store.revoke_token(&name, now_ms()).await? {
                bail!("there is no token `{name}` in force; see `pika token list`");
            }
            eprintln!("`{name}` is revoked; whoever is connected with it is disconnected within seconds");
        }
        TokenCommand::Export { format: ExportFormat::Mosquitto, out } => {
            let folder = out.unwrap_or_else(|| loaded.data.join("mosquitto"));
            let anonymous = loaded.settings.section::<broker::Settings>("broker")?.anonymous_read;
            let (tokens, verifiers) = (store.tokens().await?, store.token_verifiers().await?);
            mosquitto::export(&folder, &tokens, &verifiers, anonymous, now_ms())?;
        }
    }
    store.close().await;
    Ok(())
}

fn time(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map_or_else(|_| at_ms.to_string(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}
