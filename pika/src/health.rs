//! The listener for whoever watches over the process: `/healthz`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use config::network::bind;
use config::{Health, Stop, metrics};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const DEFAULT_PORT: u16 = 9090;

/// Watchers are few. Beyond it, connections wait in the listen queue.
const CONNECTIONS_MAX: usize = 64;

/// A watcher that takes longer to say what it wants is not waited for.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection is closed after so long, so that none can keep its place for ever.
const CONNECTION_MAX: Duration = Duration::from_secs(300);

const TEXT: &str = "text/plain; charset=utf-8";

/// `[health]`: for this machine alone, unless it is told otherwise.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    pub host: IpAddr,
    /// By default 9090, or any free one if another program of ours has that already.
    pub port: Option<u16>,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self { host: IpAddr::V4(Ipv4Addr::LOCALHOST), port: None }
    }
}

/// Binds the listener.
///
/// # Errors
/// The port that the settings name is taken.
pub fn listen(settings: &HealthSettings) -> anyhow::Result<TcpListener> {
    let at = |port| SocketAddr::new(settings.host, port);
    let address = at(settings.port.unwrap_or(DEFAULT_PORT));
    let listener = match bind(address) {
        Err(error) if settings.port.is_none() && error.kind() == ErrorKind::AddrInUse => {
            bind(at(0)).context("cannot serve health and metrics on any port")
        }
        bound => bound.with_context(|| {
            format!(
                "cannot serve health and metrics on {address}; stop the program that uses this port, or set \
                 PIKA__HEALTH__PORT to another one"
            )
        }),
    }?;
    let address = listener.local_addr().context("read the address of health and metrics")?;
    tracing::info!(%address, "health and metrics");
    Ok(listener)
}

/// Longer than this, nobody answers who is well.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A line for each part that is not ready is far less.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// `pika healthy`: asks the program that has the same settings, and passes its answer on.
///
/// # Errors
/// It is not ready, or nobody answers.
pub async fn ask(settings: &HealthSettings) -> anyhow::Result<()> {
    // Who listens on all addresses is asked on this machine.
    let host = match settings.host {
        IpAddr::V4(host) if host.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(host) if host.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        host => host,
    };
    let text = ask_at(SocketAddr::new(host, settings.port.unwrap_or(DEFAULT_PORT))).await?;
    print!("{text}");
    Ok(())
}

/// Asks whoever serves health at an address, and returns what it says when it is ready.
///
/// # Errors
/// As [`ask`].
pub async fn ask_at(address: SocketAddr) -> anyhow::Result<String> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, ready(address));
    let (status, text) = answer
        .await
        .map_err(anyhow::Error::from)
        .flatten()
        .with_context(|| format!("ask http://{address}/readyz"))?;
    match status {
        StatusCode::OK => Ok(text),
        _ => bail!("not ready: {}", text.trim_end().replace('\n', "; ")),
    }
}

async fn ready(address: SocketAddr) -> anyhow::Result<(StatusCode, String)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/readyz").header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let text = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let text = text.map_err(|error| anyhow::anyhow!("read the answer: {error}"))?.to_bytes();
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

/// Serves until stopped.
pub async fn run(listener: TcpListener, health: Health, stop: Stop) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => return Ok(()),
        };
        match accepted {
            Ok((stream, _)) => {
                let (health, stop) = (health.clone(), stop.clone());
                tokio::spawn(async move {
                    let serving = tokio::time::timeout(CONNECTION_MAX, connection(stream, health));
                    stop.run_until_cancelled(serving).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, health: Health) {
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(8 * 1024);
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri().path(), &health);
        async { Ok::<_, Infallible>(answer) }
    });
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!("a watcher's connection ended: {error}");
    }
}

fn answer(method: &Method, path: &str, health: &Health) -> Response<Full<Bytes>> {
    let (status, kind, text) = match path {
        _ if !matches!(*method, Method::GET | Method::HEAD) => {
            (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".to_owned())
        }
        "/healthz" => (StatusCode::OK, TEXT, "alive\n".to_owned()),
        "/readyz" => readiness(health, ""),
        "/readyz/broker" => readiness(health, "broker"),
        "/readyz/archiver" => readiness(health, "archiver"),
        "/readyz/webapp" => readiness(health, "web app"),
        "/metrics" => (StatusCode::OK, metrics::CONTENT_TYPE, health.metrics()),
        _ => (
            StatusCode::NOT_FOUND,
            TEXT,
            "there are /healthz, /readyz, /readyz/PROGRAM and /metrics\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Whether the parts whose names begin with a program's can do their work. What they miss and can do without is told
/// as well.
fn readiness(health: &Health, program: &str) -> (StatusCode, &'static str, String) {
    let lines = |parts: Vec<(&str, String)>| -> String {
        let of_program = parts.iter().filter(|(part, _)| part.starts_with(program));
        of_program.map(|(part, why)| format!("{part}: {why}\n")).collect()
    };
    let (lacking, missing) = (lines(health.lacking()), lines(health.missing()));
    match (lacking.is_empty(), missing.is_empty()) {
        (true, true) => (StatusCode::OK, TEXT, "ready\n".to_owned()),
        (true, false) => (StatusCode::OK, TEXT, format!("ready, but not all is well\n{missing}")),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{lacking}{missing}")),
    }
}
