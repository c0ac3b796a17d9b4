//! The way of reports: one thread, a short queue, and HTTP over the TLS that is there already.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use sentry_core::types::Dsn;
use sentry_core::{Envelope, Transport, TransportFactory, TransportOptions};

/// Reports that wait. Beyond it they are dropped: the log has them all.
const WAITING_MAX: usize = 32;

/// Nobody waits longer for an answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// A server that wants less is left alone for so long, unless it says how long.
const PAUSE: Duration = Duration::from_secs(60);
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// Hands reports to the thread that sends them.
pub(super) struct Sender(SyncSender<Job>);

enum Job {
    Send(Box<Envelope>),
    /// Answered when all before it has been dealt with.
    Flush(SyncSender<()>),
}

/// Gives the client the sender that was made for its DSN.
pub(super) struct Ready(Arc<Sender>);

impl TransportFactory for Ready {
    fn create_transport_with_options(&self, _: TransportOptions) -> Arc<dyn Transport> {
        self.0.clone()
    }
}

impl Sender {
    /// Starts the thread; it ends with the sender.
    pub(super) fn of(dsn: &Dsn) -> anyhow::Result<Ready> {
        let (sender, jobs) = sync_channel(WAITING_MAX);
        let post = Post::to(dsn);
        let thread = std::thread::Builder::new().name("reports".to_owned());
        thread.spawn(move || post.run(&jobs)).context("start the thread that sends reports")?;
        Ok(Ready(Arc::new(Self(sender))))
    }
}

impl Transport for Sender {
    fn send_envelope(&self, envelope: Envelope) {
        // Said on a thread that may be about to die of a panic: it neither waits nor complains.
        match self.0.try_send(Job::Send(Box::new(envelope))) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    fn flush(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        let (done, is_done) = sync_channel(1);
        let mut job = Job::Flush(done);
        // The queue may be full, and empties itself.
        while let Err(error) = self.0.try_send(job) {
            match error {
                TrySendError::Full(again) if Instant::now() < until => job = again,
                _ => return false,
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        match is_done.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
        }
    }
}

struct Post {
    agent: ureq::Agent,
    url: String,
    auth: String,
}

impl Post {
    fn to(dsn: &Dsn) -> Self {
        const AGENT: &str = concat!("pika/", env!("CARGO_PKG_VERSION"));
        let agent = publisher::https::agent(ANSWERED_WITHIN);
        Self { agent, url: dsn.envelope_api_url().to_string(), auth: dsn.to_auth(Some(AGENT)).to_string() }
    }

    fn run(self, jobs: &Receiver<Job>) {
        let mut quiet_until: Option<Instant> = None;
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Send(_) if quiet_until.is_some_and(|until| Instant::now() < until) => {}
                Job::Send(envelope) => {
                    if let Some(pause) = self.send(&envelope) {
                        quiet_until = Some(Instant::now() + pause);
                    }
                }
                // Whoever waited may have gone.
                Job::Flush(done) => _ = done.send(()),
            }
        }
    }

    /// How long to be quiet now, if the server says so.
    fn send(&self, envelope: &Envelope) -> Option<Duration> {
        let mut bytes = Vec::new();
        envelope.to_writer(&mut bytes).ok()?;
        let request = self.agent.post(&self.url).header("x-sentry-auth", &self.auth);
        match request.content_type("application/x-sentry-envelope").send(&bytes[..]) {
            Ok(answer) if answer.status() == 429 => {
                let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
                let after = after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
                Some(after.unwrap_or(PAUSE).min(PAUSE_MAX))
            }
            Ok(answer) if !answer.status().is_success() => {
                // A warning, since an error would be reported in turn.
                tracing::warn!(status = answer.status().as_u16(), "a report of an error was refused");
                Some(PAUSE)
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!("a report of an error could not be sent: {error}");
                None
            }
        }
    }
}
