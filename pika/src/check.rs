//! `pika check`: is what runs here safe and complete? Every item of the checklist in `docs/operating.md` is looked at for real, each
//! fault is named with its cure.
//!
//! What is judged, and how, is a function of data (`judge`); what there is to judge is gathered in `gather`.

mod gather;
mod judge;

use std::io::Write;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::cli::Check;
use crate::settings::Loaded;

/// `[check]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckSettings {
    /// Hours after which a backup is too old.
    pub backup_max_age_h: u32,
    /// Somebody else makes backups, such as whoever rents out the database.
    pub backups_elsewhere: bool,
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self { backup_max_age_h: 24, backups_elsewhere: false }
    }
}

/// What one look has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at, in a word or two.
    pub(crate) item: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cure: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    /// Worth to know, and right for some.
    Note,
    Fault,
}

impl Finding {
    pub(crate) fn ok(item: &'static str, says: impl Into<String>) -> Self {
        Self { item, verdict: Verdict::Ok, says: says.into(), cure: None }
    }

    pub(crate) fn note(item: &'static str, says: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { item, verdict: Verdict::Note, says: says.into(), cure: Some(cure.into()) }
    }

    pub(crate) fn fault(item: &'static str, says: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { item, verdict: Verdict::Fault, says: says.into(), cure: Some(cure.into()) }
    }
}

/// `pika check`
///
/// # Errors
/// There is a fault.
pub async fn run(loaded: &Loaded, flags: Check) -> anyhow::Result<()> {
    let facts = gather::facts(loaded).await?;
    let findings = judge::all(&facts);
    let faults = findings.iter().filter(|finding| finding.verdict == Verdict::Fault).count();
    let mut out = std::io::stdout().lock();
    let written = if flags.json {
        serde_json::to_writer_pretty(&mut out, &findings)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        findings.iter().try_for_each(|finding| write!(out, "{}", shown(finding)))
    };
    written.context("write to standard output")?;
    let kind = if facts.is_public() { "a server on the internet" } else { "a server in a local network" };
    match faults {
        0 => eprintln!("checked as {kind}: nothing is wrong"),
        1 => bail!("checked as {kind}: there is 1 fault"),
        many => bail!("checked as {kind}: there are {many} faults"),
    }
    Ok(())
}

fn shown(finding: &Finding) -> String {
    let word = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Note => "note",
        Verdict::Fault => "FAULT",
    };
    // What others have written must not command the terminal.
    let plain = |text: &str| text.replace(char::is_control, " ");
    let mut text = format!("{word:<6}{:<16}{}\n", finding.item, plain(&finding.says));
    if let Some(cure) = &finding.cure {
        text += &format!("{:22}→ {}\n", "", plain(cure));
    }
    text
}
