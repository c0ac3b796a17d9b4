//! Where log lines go and how they look.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// `info`, `debug`, or a filter by target such as `info,pika_broker=debug`.
    pub filter: String,
    pub format: LogFormat,
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Text }
    }
}

/// Starts logging to standard error. Colours only on a terminal.
///
/// # Errors
/// The filter cannot be read, or logging was started already.
pub fn start(settings: &LogSettings) -> anyhow::Result<()> {
    // rumqttd opens a span for each event, and says nothing that the broker does not say better.
    let filter = EnvFilter::try_new(format!("rumqttd=off,rumqttc=warn,sqlx=warn,{}", settings.filter))
        .map_err(|error| anyhow::anyhow!("the log filter `{}` cannot be read: {error}", settings.filter))?;
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    match settings.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("start logging: {error}"))
}
