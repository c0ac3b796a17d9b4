//! Errors and panics, told to Sentry (or whatever understands its protocol) when the operator wants it. What is sent is
//! put together here from a few things that tell of no person (ADR 20); nothing is collected by itself.

mod scrub;
mod transport;

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use config::clock::now_ms;
use config::logging::{Listener, PANIC};
use sentry_core::protocol::{Event, Exception, Level};
use sentry_core::types::Dsn;
use sentry_core::{Client, ClientOptions};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context as LayerContext, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::settings::SentrySettings;
use scrub::Scrubber;
use transport::Sender;

/// How long the process waits at its end until what it has to say is said.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The same line again within this time is no news.
const SAME_AGAIN_MS: i64 = 60_000;

/// In any minute. An error in a loop must not flood whoever pays by the number.
const PER_MINUTE: u32 = 30;

/// Different lines that are remembered; beyond it all are forgotten.
const REMEMBERED_MAX: usize = 256;

/// Fields that say where and how much, never who or what was played.
const FIELDS: &[&str] = &[
    "connection.id",
    "request.id",
    "waiting.records",
    "waiting",
    "seq",
    "status",
    "route",
    "method",
    "thread",
    "part",
];

/// Whoever hears of errors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reports(Arc<Inner>);

struct Inner {
    client: Client,
    scrubber: Scrubber,
    sparing: config::Sparing,
    said_ms: Mutex<HashMap<String, i64>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inner { .. }")
    }
}

/// Waits at the end of the program until what is to be said is said; after a panic as well.
#[derive(Debug)]
pub struct LastWords(Option<Reports>);

impl Drop for LastWords {
    fn drop(&mut self) {
        if let Some(Reports(inner)) = &self.0 {
            inner.client.close(Some(LAST_WORDS));
        }
    }
}

impl Reports {
    /// `None`: nobody is to be told.
    ///
    /// # Errors
    /// The DSN is none.
    pub fn start(settings: &SentrySettings) -> anyhow::Result<Option<Self>> {
        let Some(dsn) = settings.dsn.as_ref().map(|dsn| dsn.reveal().trim()).filter(|dsn| !dsn.is_empty())
        else {
            return Ok(None);
        };
        // The error of a DSN says nothing of its text, which holds a key.
        let dsn: Dsn =
            dsn.parse().context("read sentry.dsn (SENTRY_DSN), which is https://KEY@HOST/PROJECT")?;
        let mut options = ClientOptions::new()
            .release(concat!("pika@", env!("CARGO_PKG_VERSION")))
            .environment(settings.environment.clone())
            .default_integrations(false)
            .send_default_pii(false)
            .max_breadcrumbs(0)
            .shutdown_timeout(LAST_WORDS)
            .transport(Sender::of(&dsn)?);
        options.dsn = Some(dsn);
        let client = Client::with_options(options);
        let inner = Inner {
            client,
            scrubber: Scrubber::of_this_machine(),
            sparing: config::Sparing::default(),
            said_ms: Mutex::default(),
        };
        Ok(Some(Self(Arc::new(inner))))
    }

    /// To be held until the program ends.
    pub fn last_words(reports: Option<&Self>) -> LastWords {
        LastWords(reports.cloned())
    }

    /// What hears of log lines.
    pub fn listener(&self) -> Listener {
        Box::new(Ear(self.clone()))
    }

    /// The program ends because of this.
    pub fn failed(&self, error: &anyhow::Error) {
        self.0.say("pika", Level::Fatal, format!("{error:#}"), Vec::new());
    }
}

impl Inner {
    fn say(&self, target: &str, level: Level, message: String, fields: Vec<(&'static str, String)>) {
        let message = self.scrubber.scrub(&message);
        if !self.is_news(&message, now_ms()) {
            return;
        }
        let mut event = Event { level, logger: Some(target.to_owned()), ..Event::default() };
        if target == PANIC {
            let value = Some(message);
            event.exception = vec![Exception { ty: "panic".into(), value, ..Exception::default() }].into();
        } else {
            event.message = Some(message);
        }
        // Ids are what a report is found by in the log, and tell of nobody.
        let clean = |name: &str, value: String| match name.ends_with(".id") {
            true => value,
            false => self.scrubber.scrub(&value),
        };
        let tags = fields.into_iter().map(|(name, value)| (name.to_owned(), clean(name, value)));
        event.tags = tags.collect();
        self.client.capture_event(event, None);
    }

    fn is_news(&self, message: &str, now_ms: i64) -> bool {
        let mut said_ms = self.said_ms.lock().unwrap_or_else(PoisonError::into_inner);
        if said_ms.get(message).is_some_and(|said_ms| now_ms - said_ms < SAME_AGAIN_MS)
            || !self.sparing.allows(PER_MINUTE, now_ms)
        {
            return false;
        }
        if said_ms.len() >= REMEMBERED_MAX {
            said_ms.clear();
        }
        said_ms.insert(message.to_owned(), now_ms);
        true
    }
}

/// Hears what the log tells as an error.
struct Ear(Reports);

/// What of a span goes with the errors in it.
struct Told(Vec<(&'static str, String)>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Ear {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        let mut words = Words::default();
        attributes.record(&mut words);
        if let Some(span) = context.span(id).filter(|_| !words.fields.is_empty()) {
            span.extensions_mut().insert(Told(words.fields));
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: LayerContext<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() != tracing::Level::ERROR {
            return;
        }
        let mut words = Words::default();
        event.record(&mut words);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Told(fields)) = span.extensions().get() {
                words.fields.extend(fields.iter().cloned());
            }
        }
        let level = if metadata.target() == PANIC { Level::Fatal } else { Level::Error };
        self.0.0.say(metadata.target(), level, words.message, words.fields);
    }
}

/// The message of a line, and those of its fields that may go with it.
#[derive(Default)]
struct Words {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => _ = write!(self.message, "{value:?}"),
            // The cause belongs to what is said.
            "error" => _ = write!(self.message, " ({value:?})"),
            name if FIELDS.contains(&name) => self.fields.push((name, format!("{value:?}"))),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
