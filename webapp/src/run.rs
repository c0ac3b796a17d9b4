//! Serves until stopped: one task feeds the hub, one accepts, one a connection.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use bus::BrokerUrl;
use config::{Health, Stop};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use store::{Store, Token};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::MissedTickBehavior;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::announce::Announced;
use crate::live::feed;
use crate::live::hub::Hub;
use crate::live::taps::Taps;
use crate::settings::Settings;
use crate::web::{self, App, Patient, Peer, Visit};

/// A client that takes longer to say what it wants is not waited for.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a page needs. By itself the system would let whoever reads nothing fill 4 MB.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// How long open requests and sockets may take to end at a stop.
const DRAIN: Duration = Duration::from_secs(4);

/// How long anybody may go on asking when we stop. What is being answered is answered.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How often it is looked at how many sockets are open.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// What pages are made of, besides what the broker says.
#[derive(Debug, Clone)]
pub struct Sources {
    /// What is on record; only read.
    pub store: Store,
    /// Desks whose tokens are in no database, since they live in this process.
    pub own_desks: Vec<Token>,
}

/// Runs until stopped, on a listener that the caller has bound.
///
/// # Errors
/// TLS to the broker cannot be set up, or a setting makes no sense.
pub async fn run(
    settings: Settings,
    listener: TcpListener,
    broker: BrokerUrl,
    sources: Sources,
    health: Health,
    stop: Stop,
) -> anyhow::Result<()> {
    let hub = Hub::default();
    let event = settings.event.clone();
    let webapp = settings.name.clone();
    let bus_stop = Stop::new();
    let plain = broker.tcp();
    let (bus, inbox) = feed::open(&event, &webapp, broker, bus_stop.clone())?;
    let (taps, arriving) = Taps::new();
    let mut feeding = tokio::spawn(feed::run(
        event,
        webapp,
        bus,
        inbox,
        hub.clone(),
        health.part("web app to broker"),
        arriving,
    ));

    // Pages that nobody finds by themselves are pages all the same.
    let announced = listener.local_addr().map_err(anyhow::Error::from);
    let announced = announced.and_then(|pages| Announced::start(&settings, pages)).unwrap_or_else(|error| {
        tracing::warn!("not announced to this network: {error:#}");
        None
    });
    let tasks = TaskTracker::new();
    let app = App::new(settings, hub, taps, plain, sources, stop.clone(), tasks.clone())?;
    health.register(|registry| app.register(registry));
    let routes = web::routes(app.clone())?;
    let (broken, app) = (app.broken(), Arc::new(app));
    let mut measuring = tokio::time::interval(MEASURE_EVERY);
    measuring.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let peer = Peer(peer.ip());
                    tasks.spawn(connection(stream, peer, app.clone(), routes.clone(), stop.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: those who are here go on, newcomers wait.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            _ = measuring.tick() => app.measure(),
            // Pages that no longer change would be worse than none: whoever supervises us starts us again.
            ended = &mut feeding => {
                stop.cancel();
                return Err(anyhow::anyhow!("the feed of the pages broke off: {ended:?}"));
            }
            // So would phones that are no longer told.
            () = broken.cancelled() => {
                stop.cancel();
                return Err(anyhow::anyhow!("a thread that writes to sockets broke off"));
            }
            () = stop.cancelled() => break,
        }
    }
    drop((listener, announced));
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!(connections = tasks.len(), "closing connections that did not end in time");
    }
    bus_stop.cancel();
    let _ = feeding.await;
    Ok(())
}

async fn connection(stream: TcpStream, peer: Peer, app: Arc<App>, routes: Router, stop: Stop) {
    // They fail only on a socket that is gone already.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES);
    let visit = Visit::new(&app);
    let first = tokio::time::timeout(HEADER_TIMEOUT, web::at_the_door(&app, stream, peer));
    let stream = tokio::select! {
        first = first => match first {
            Ok(Some(stream)) => stream,
            _ => return,
        },
        () = visit.evicted() => return,
        () = stop.cancelled() => return,
    };
    drop(app);
    // What the HTTP server needs is no part of a task that only waits for somebody to ask.
    Box::pin(serve(stream, peer, visit, routes, stop)).await;
}

async fn serve(stream: TcpStream, peer: Peer, visit: Visit, routes: Router, stop: Stop) {
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(16 * 1024);
    let asked = visit.clone();
    let routes = tower::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (visit, answer) =
            (asked.clone(), routes.clone().oneshot(request.map(|body| asked.request(body))));
        async move { answer.await.map(|answer| visit.answer(answer)) }
    });
    let serving = server
        .serve_connection(TokioIo::new(Patient::new(stream)), TowerToHyperService::new(routes))
        .with_upgrades();
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = visit.evicted() => return,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut serving => ended,
                () = visit.outlasts(LAST_WORD) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}
