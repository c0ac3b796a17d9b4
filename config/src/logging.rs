//! Where log lines go and how they look.

use std::panic::PanicHookInfo;
use std::sync::Mutex;

use serde::Deserialize;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::logfile::LogFile;

/// The target of log lines that tell of a panic.
pub const PANIC: &str = "panic";

/// rumqttd opens a span for each event, and says nothing that the broker does not say better. Those that carry bytes for
/// us write them out at their most talkative, passwords included: whoever wants that has to name them.
const QUIET: &str = "rumqttd=off,rumqttc=warn,sqlx=warn,hyper=info,hyper_util=info,tungstenite=info,\
    tokio_tungstenite=info,async_tungstenite=info,ureq=info,ureq_proto=info,rustls=info,zbus=info,mio=info";

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

/// What else hears of log lines, besides standard error.
pub type Listener = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging to standard error, to a file, if there is one, and to one who listens, if there is one. Colours only on a terminal.
///
/// # Errors
/// The filter cannot be read, or logging was started already.
pub fn start(
    settings: &LogSettings,
    file: Option<LogFile>,
    listener: Option<Listener>,
) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", settings.filter))
        .map_err(|error| anyhow::anyhow!("the log filter `{}` cannot be read: {error}", settings.filter))?;
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(ansi);
    let lines = match settings.format {
        LogFormat::Text => lines.with_target(false).boxed(),
        // The innermost span has the id. All of them once more would only make the line longer.
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let file =
        file.map(|file| fmt::layer().with_writer(Mutex::new(file)).with_ansi(false).with_target(false));
    let layers = tracing_subscriber::registry().with(listener).with(lines).with(file);
    let started = layers.with(filter).try_init();
    started.map_err(|error| anyhow::anyhow!("start logging: {error}"))?;
    std::panic::set_hook(Box::new(panicked));
    Ok(())
}

/// A panic is a log line like others, and reaches whoever listens to them.
fn panicked(panic: &PanicHookInfo<'_>) {
    let said = panic.payload_as_str().unwrap_or("without a word");
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(target: PANIC, thread, "panicked at {place}: {said}");
}
