//! `pika setup`: what has to be there before programs that run apart can start. It runs before each start, so a second run
//! changes nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use bus::BrokerUrl;
use config::clock::now_ms;
use config::secret::write_private;
use protocol::EventId;
use store::{Store, Token, TokenKind};

use crate::cli::Setup;
use crate::settings::Loaded;
use crate::tokens::{by, random, random_token};

/// Who logs in at the broker with a file of its own.
const PROGRAMS: &[&str] = &["archiver", "webapp"];

/// `archiver`, `archiver-2`, … and then it is something else that is wrong.
const NAMES_MAX: u32 = 50;

/// `pika setup`
pub async fn run(loaded: &Loaded, flags: Setup) -> anyhow::Result<()> {
    let broker: BrokerUrl = flags.broker.parse().context("read --broker")?;
    ensure!(!broker.has_login(), "--broker is an address without a login: the logins are made here");
    let url = loaded.database()?;
    let event = loaded.settings.section::<archiver::EventSettings>("event")?.id;
    let store = Store::open(&url)?;
    store.migrate().await.with_context(|| format!("open the database {url}"))?;
    eprintln!("the tables in {url} are up to date");
    if let Some(folder) = &flags.logins {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        for program in PROGRAMS {
            login(&store, &event, &flags.broker, program, folder).await?;
        }
    }
    store.close().await;
    Ok(())
}

/// Sees to it that the program's file holds a login that is in force.
async fn login(
    store: &Store,
    event: &EventId,
    broker: &str,
    program: &str,
    folder: &Path,
) -> anyhow::Result<()> {
    let path = folder.join(format!("{program}.url"));
    let now_ms = now_ms();
    let kept = match fs::read_to_string(&path) {
        Ok(text) => name_and_token(text.trim()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let known = store.tokens().await?;
    if let Some((name, token)) = kept {
        let sha256 = Token::hash(&token);
        let is_ours = |row: &&Token| row.name == name && row.sha256 == sha256;
        if known.iter().find(is_ours).is_some_and(|row| is_good(row, event, now_ms)) {
            // The broker may have moved.
            write_private(&path, &url_with(broker, &name, &token))?;
            eprintln!("{} holds the login `{name}`, which is in force", path.display());
            return Ok(());
        }
    }
    for number in 1..=NAMES_MAX {
        let name = if number == 1 { program.to_owned() } else { format!("{program}-{number}") };
        let token = random_token()?;
        let row = Token {
            name: name.clone(),
            kind: TokenKind::Service,
            event: event.clone(),
            floor: None,
            sha256: Token::hash(&token),
            expires_ms: None,
            revoked_ms: None,
        };
        if store.add_token(&row, &Token::verifier(&token, &random()?), None, &by()).await? {
            // A token that is in no file is one that nobody has.
            write_private(&path, &url_with(broker, &name, &token))?;
            eprintln!("{} holds the new login `{name}`", path.display());
            return Ok(());
        }
    }
    bail!("there are {NAMES_MAX} tokens named after the {program}; see `pika token list`")
}

fn is_good(row: &Token, event: &EventId, now_ms: i64) -> bool {
    row.kind == TokenKind::Service
        && row.event == *event
        && row.revoked_ms.is_none()
        && row.expires_ms.is_none_or(|at| at > now_ms)
}

/// Names are slugs and tokens are hexadecimal, so nothing in them means anything in a URL.
fn url_with(broker: &str, name: &str, token: &str) -> String {
    match broker.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{name}:{token}@{rest}\n"),
        None => broker.to_owned(),
    }
}

fn name_and_token(url: &str) -> Option<(String, String)> {
    let (login, _) = url.split_once("://")?.1.split_once('@')?;
    login.split_once(':').map(|(name, token)| (name.to_owned(), token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_as_it_was_written() {
        let url = url_with("wss://api.example.org/ws", "archiver-2", "c0ffee");
        assert_eq!(url, "wss://archiver-2:c0ffee@api.example.org/ws\n");
        assert_eq!(name_and_token(url.trim()), Some(("archiver-2".into(), "c0ffee".into())));
        assert!(url.trim().parse::<BrokerUrl>().unwrap().has_login());
        assert_eq!(name_and_token("mqtt://broker:1883"), None);
        assert_eq!(name_and_token(""), None);
    }
}
