//! The MQTT broker: a front end of our own that speaks MQTT 3.1, 3.1.1 and 5, with rumqttd inside as the message log.
//!
//! A PUBLISH goes `gate` → `session` → `pipe` → `dispatcher` → the subscribers' `outbox`es → their `session`s.

pub mod access;
mod clock;
pub mod codec;
pub mod counters;
mod dispatcher;
mod gate;
mod handshake;
mod journal;
mod leaving;
mod limits;
mod listeners;
mod message;
mod outbox;
mod pipe;
mod proxy;
mod retained;
mod session;
mod settings;
mod subscriptions;
mod tls;
pub mod topic;
mod tree;
mod websocket;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Handle;
#[cfg(feature = "fault")]
use tokio::sync::Notify;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use access::{Principal, Tokens};
use config::health::Part;
use config::{Health, Lobby};
pub use counters::{Counters, Refusal};
use dispatcher::Dispatcher;
use gate::{Gate, Transport};
use limits::{Failures, Rates, Tallies};
pub use listeners::Listeners;
pub use settings::Settings;
use tls::Certificate;
pub use tls::TlsSettings;

/// Subscribes and the like under way to the dispatcher; when full, connections wait with theirs.
const COMMANDS_MAX: usize = 1024;

/// How long connections may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(4);

/// A broker that does not run yet. [`run`] is enough unless its counters are wanted.
#[derive(Debug)]
pub struct Broker {
    settings: Settings,
    tokens: Tokens,
    counters: Arc<Counters>,
    health: Part,
    #[cfg(feature = "fault")]
    fault: Arc<Fault>,
}

/// Ways to break the message router: each notification does it once.
#[cfg(feature = "fault")]
#[derive(Debug, Default)]
pub struct Fault {
    pub kill: Notify,
    pub hang: Notify,
}

/// Serves the listeners until stopped; fails only if messages cannot be routed any more.
pub async fn run(
    settings: Settings,
    listeners: Listeners,
    tokens: Tokens,
    health: Health,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    Broker::new(settings, tokens, &health).run(listeners, stop).await
}

impl Broker {
    pub fn new(settings: Settings, tokens: Tokens, health: &Health) -> Self {
        let counters = Arc::<Counters>::default();
        health.register(|registry| counters.register(registry));
        Self {
            settings,
            tokens,
            counters,
            health: health.part("broker"),
            #[cfg(feature = "fault")]
            fault: Arc::default(),
        }
    }

    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    #[cfg(feature = "fault")]
    pub fn fault(&self) -> Arc<Fault> {
        self.fault.clone()
    }

    /// Runs on a thread of its own: spread over several workers, each step of a message would wake another of them, which
    /// costs more than the step (ADR 0002).
    pub async fn run(self, listeners: Listeners, stop: CancellationToken) -> anyhow::Result<()> {
        let certificate = (listeners.tls.is_some() || listeners.websocket_tls.is_some())
            .then(|| Certificate::load(&self.settings.tls).map(Arc::new))
            .transpose()?;
        let transport = |is_tls: bool, is_websocket| Transport {
            tls: certificate.clone().filter(|_| is_tls),
            is_websocket,
        };
        let mut entrances = vec![(listeners.tcp.into_std()?, transport(false, false))];
        for (listener, transport) in [
            (listeners.websocket, transport(false, true)),
            (listeners.tls, transport(true, false)),
            (listeners.websocket_tls, transport(true, true)),
        ] {
            if let Some(listener) = listener {
                entrances.push((listener.into_std()?, transport));
            }
        }
        // Ends everything here when the dispatcher fails or this future is dropped.
        let ending = stop.child_token();
        let _ended = ending.clone().drop_guard();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Clients with TLS have a thread of their own: a crowd of handshakes, which cost a thousand times what a message
        // costs, then delays neither messages nor those who come without.
        let tls = certificate.as_ref().map(|_| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(1).thread_name("broker-tls").enable_all().build()
        });
        let tls = tls.transpose()?;
        let (result, awaited) = oneshot::channel();
        std::thread::Builder::new().name("broker".to_owned()).spawn(move || {
            let handle = tls.as_ref().map(|runtime| runtime.handle().clone());
            if let (Some(runtime), Some(certificate)) = (&tls, certificate) {
                runtime.spawn(certificate.follow());
            }
            let ended = runtime.block_on(self.serve(entrances, handle, ending));
            if let Some(tls) = tls {
                tls.shutdown_background();
            }
            _ = result.send(ended);
        })?;
        awaited.await.context("the broker's thread panicked")?
    }

    async fn serve(
        self,
        entrances: Vec<(std::net::TcpListener, Transport)>,
        tls: Option<Handle>,
        ending: CancellationToken,
    ) -> anyhow::Result<()> {
        let held_bytes: Arc<AtomicUsize> = Arc::default();
        let settings = Arc::new(self.settings);
        let (ingress, tap) = pipe::open()?;
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        #[cfg(feature = "fault")]
        {
            let (fault, ingress, ending) = (self.fault.clone(), ingress.clone(), ending.clone());
            tokio::spawn(ending.run_until_cancelled_owned(async move {
                loop {
                    tokio::select! {
                        () = fault.kill.notified() => ingress.kill_router(),
                        () = fault.hang.notified() => ingress.hang_router(),
                    }
                }
            }));
        }
        let mut dispatcher = Dispatcher::new(
            settings.clone(),
            self.counters.clone(),
            self.tokens.clone(),
            tap,
            received,
            held_bytes.clone(),
        );
        // Before anybody can connect, so that nobody sees a broker without its retained messages.
        let journal = settings.retained_directory.as_deref().map(|directory| {
            let debounce = Duration::from_millis(settings.retained_debounce_ms);
            journal::open(directory, debounce, settings.retained_messages_max, self.counters.clone())
        });
        let journal = journal.transpose()?.map(|(journal, writer, messages)| {
            dispatcher.restore(journal.clone(), &messages);
            (journal, writer)
        });
        let gate = Arc::new(Gate {
            anonymous: settings.anonymous_read.then(|| Arc::new(Principal::anonymous())),
            settings,
            counters: self.counters,
            tokens: self.tokens,
            ingress,
            commands,
            stop: ending.clone(),
            tasks: TaskTracker::new(),
            sessions: AtomicU64::new(1),
            lobby: Lobby::default(),
            handshakes: Tallies::default(),
            by_address: Tallies::default(),
            by_token: Tallies::default(),
            failures: Failures::default(),
            rates: Rates::default(),
            held_bytes,
        });
        for (listener, transport) in entrances {
            let (address, is_tls) = (listener.local_addr().ok(), transport.tls.is_some());
            tracing::info!(?address, is_tls, is_websocket = transport.is_websocket, "broker is ready");
            let accepting = gate::accept(gate.clone(), listener, transport);
            match &tls {
                Some(tls) if is_tls => gate.tasks.spawn_on(accepting, tls),
                _ => gate.tasks.spawn(accepting),
            };
        }
        self.health.ready();
        // A task of its own, so that a panic in it ends the broker instead of leaving it deaf.
        let dispatched = tokio::spawn(dispatcher.run(ending.clone())).await;
        self.health.lacks("it is stopping");
        ending.cancel();
        if let Some((journal, writer)) = journal {
            journal.close();
            let finished = tokio::task::spawn_blocking(|| writer.finish());
            if tokio::time::timeout(FAREWELL, finished).await.is_err() {
                tracing::error!("the disk did not take the retained messages in time");
            }
        }
        gate.tasks.close();
        if tokio::time::timeout(FAREWELL, gate.tasks.wait()).await.is_err() {
            tracing::warn!(left = gate.tasks.len(), "connections did not end in time");
        }
        Ok(dispatched??)
    }
}
