//! `pika desk`: the desks of the event, as the archive knows them.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use archiver::EventSettings;
use config::clock::now_ms;
use pairing::Code;
use protocol::FloorId;
use store::{DeskRow, LetIn, Store};

use crate::archive::existing;
use crate::settings::Loaded;

/// A clock that is further off is called so: its plays stand visibly wrong beside those of others.
const SKEW_WORTH_A_WORD_MS: i64 = 5_000;

/// `pika desk list`
pub async fn list(loaded: &Loaded) -> anyhow::Result<()> {
    let event = loaded.settings.section::<EventSettings>("event")?.id;
    let store = existing(loaded).await?;
    let desks = store.desks(&event).await?;
    store.close().await;
    if desks.is_empty() {
        eprintln!("no desk was heard at {event} yet");
    }
    let lines: String = desks.iter().map(line).collect();
    io::stdout().write_all(lines.as_bytes()).context("write to standard output")
}

/// `pika desk pair`: who waits. Codes are not shown: they are for the DJ to read out.
pub async fn waiting(loaded: &Loaded) -> anyhow::Result<()> {
    let event = loaded.settings.section::<EventSettings>("event")?.id;
    let store = existing(loaded).await?;
    let now_ms = now_ms();
    let waiting = store.waiting_pairings(&event, now_ms).await?;
    store.close().await;
    if waiting.is_empty() {
        eprintln!("no desk waits to be let in at {event}");
    }
    let lines: String = waiting
        .iter()
        .map(|asks| {
            let name = asks.name.as_deref().map_or_else(|| "-".to_owned(), one_cell);
            format!("{}\t{name}\tfor {} s\n", asks.desk, (now_ms - asks.created_ms).max(0) / 1000)
        })
        .collect();
    io::stdout().write_all(lines.as_bytes()).context("write to standard output")
}

/// A laptop asks every few seconds whether it was let in.
const FETCHED_WITHIN: Duration = Duration::from_secs(20);

/// `pika desk pair CODE`
pub async fn pair(
    loaded: &Loaded,
    code: Code,
    floor: Option<FloorId>,
    expires_in_ms: Option<i64>,
) -> anyhow::Result<()> {
    let event = loaded.settings.section::<EventSettings>("event")?.id;
    let store = existing(loaded).await?;
    let now_ms = now_ms();
    let expires_ms = expires_in_ms.map(|ms| now_ms.saturating_add(ms));
    let asks = match store.let_in(&event, &code.to_string(), floor.as_ref(), expires_ms, now_ms).await? {
        LetIn::Done(asks) => asks,
        LetIn::Nobody => bail!(
            "no desk with the code {code} waits at {event}; ask the DJ to read it out once more, it is good for ten minutes"
        ),
        LetIn::Several => bail!("two desks show the code {code}; let both begin anew"),
    };
    let name = asks.name.as_deref().map(one_cell).map(|name| format!(" ({name})")).unwrap_or_default();
    eprintln!("`{}`{name} may play at {event}; waiting until its laptop has fetched the token", asks.desk);
    let fetched = tokio::time::timeout(FETCHED_WITHIN, fetched(&store, &asks.id)).await;
    store.close().await;
    match fetched {
        Ok(token) => {
            let token = token?;
            eprintln!("done; its token is called `{token}`: `pika token revoke {token}` takes it back");
        }
        Err(_) => eprintln!("it has not fetched it yet, and can for an hour"),
    }
    Ok(())
}

async fn fetched(store: &Store, id: &str) -> anyhow::Result<String> {
    loop {
        let asks = store.pairing(id).await?.context("the desk that asked was forgotten meanwhile")?;
        if let Some(token) = asks.token_name {
            return Ok(token);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn line(row: &DeskRow) -> String {
    let source = row.source.as_deref().unwrap_or("-");
    let clock = row.skew_ms.map_or_else(|| "-".to_owned(), clock);
    let heard = jiff::Timestamp::from_millisecond(row.heard_ms)
        .map_or_else(|_| row.heard_ms.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    let (app, source) = (one_cell(&row.app), one_cell(source));
    format!("{}\t{}\t{app}\t{source}\t{clock}\t{heard}\n", row.desk, row.floor.floor)
}

/// How far a clock is ahead of ours.
fn clock(skew_ms: i64) -> String {
    // Rounded first: a clock that is 20 ms behind is not "-0.0 s" off.
    let tenths = (skew_ms as f64 / 100.0).round() as i64;
    let (sign, tenths) = (if tenths < 0 { '-' } else { '+' }, tenths.unsigned_abs());
    let word = match skew_ms {
        ms if ms > SKEW_WORTH_A_WORD_MS => ", its clock is fast",
        ms if ms < -SKEW_WORTH_A_WORD_MS => ", its clock is slow",
        _ => "",
    };
    format!("{sign}{}.{} s{word}", tenths / 10, tenths % 10)
}

/// What a desk says of itself must neither begin another cell nor command the terminal.
fn one_cell(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_desk_is_a_line() {
        let mut row = DeskRow {
            floor: "tonight/main".parse().unwrap(),
            desk: "booth".parse().unwrap(),
            source: Some("virtualdj".to_owned()),
            app: "pika\t0.1.0\u{1b}[2J".to_owned(),
            skew_ms: Some(2_345),
            heard_ms: 1_795_291_330_000,
        };
        assert_eq!(line(&row), "booth\tmain\tpika 0.1.0 [2J\tvirtualdj\t+2.3 s\t2026-11-21 20:02:10 UTC\n");
        (row.source, row.skew_ms) = (None, None);
        assert!(line(&row).contains("\t-\t-\t"), "what is not known is not invented");
    }

    #[test]
    fn clocks() {
        for (skew_ms, shown) in [
            (0, "+0.0 s"),
            (-20, "+0.0 s"),
            (-60, "-0.1 s"),
            (2_349, "+2.3 s"),
            (5_000, "+5.0 s"),
            (7_200, "+7.2 s, its clock is fast"),
            (-3_600_000, "-3600.0 s, its clock is slow"),
        ] {
            assert_eq!(clock(skew_ms), shown);
        }
        clock(i64::MIN);
    }
}
