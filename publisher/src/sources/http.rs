//! Asking a program over HTTP: one connection that is kept, a bound on what comes back, and on how long it takes.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::decode;

/// A longer answer is none to what we ask.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// One program that can be asked.
#[derive(Debug)]
pub(super) struct Client {
    host: String,
    port: u16,
    /// Kept as long as the program keeps it.
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub text: String,
}

impl Client {
    /// Of an address like `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// It is no such address.
    pub fn of(url: &str) -> anyhow::Result<Self> {
        if url.contains('@') {
            // It would be ignored, and stand in every log that names the address.
            bail!("a login does not belong into the address, but into `user` and `password`");
        }
        let uri: Uri = url.parse().with_context(|| format!("read the address `{url}`"))?;
        let (Some("http"), Some(host), "/" | "") = (uri.scheme_str(), uri.host(), uri.path()) else {
            bail!("`{url}` is no address like http://127.0.0.1:8080");
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: uri.port_u16().unwrap_or(80), connection: None })
    }

    /// Asks for a path, as the user that the authorization names.
    ///
    /// # Errors
    /// There is no answer, or it is too long.
    pub async fn get(&mut self, path: &str, authorization: Option<&str>) -> anyhow::Result<Answer> {
        let asked = timeout(ANSWER_TIMEOUT, self.ask(path, authorization)).await;
        let answer = asked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {ANSWER_TIMEOUT:?}")));
        if answer.is_err() {
            self.connection = None;
        }
        answer.with_context(|| format!("ask {}:{}", self.host, self.port))
    }

    async fn ask(&mut self, path: &str, authorization: Option<&str>) -> anyhow::Result<Answer> {
        let request = || {
            let request = Request::get(path).header(HOST, format!("{}:{}", self.host, self.port));
            let request =
                authorization.into_iter().fold(request, |request, it| request.header(AUTHORIZATION, it));
            request.body(Empty::new()).context("write the request")
        };
        let request = (request()?, request()?);
        if let Some(mut kept) = self.connection.take() {
            // Programs that answer once per connection, and those that were started anew, have closed it.
            if kept.sender.ready().await.is_ok()
                && let Ok(answer) = read(kept.sender.send_request(request.0)).await
            {
                self.connection = Some(kept);
                return Ok(answer);
            }
        }
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let task = tokio::spawn(async move {
            // How it ends, the next question finds out.
            let _ = connection.await;
        });
        let mut new = Connection { sender, _task: AbortOnDropHandle::new(task) };
        let answer = read(new.sender.send_request(request.1)).await?;
        self.connection = Some(new);
        Ok(answer)
    }
}

async fn read(
    answer: impl Future<Output = hyper::Result<hyper::Response<hyper::body::Incoming>>>,
) -> anyhow::Result<Answer> {
    let (head, body) = answer.await?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let bytes = body.map_err(|error| anyhow::anyhow!("read the answer: {error}"))?.to_bytes();
    Ok(Answer { status: head.status, text: decode::file(&bytes).join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let client = Client::of("http://127.0.0.1:8080").expect("an address");
        assert_eq!((client.host.as_str(), client.port), ("127.0.0.1", 8080));
        assert_eq!(Client::of("http://[::1]/").expect("an address").host, "::1");
        for wrong in ["127.0.0.1:8080", "https://127.0.0.1", "http://127.0.0.1/query", ""] {
            assert!(Client::of(wrong).is_err(), "{wrong}");
        }
        let refused = Client::of("http://dj:secret@127.0.0.1:8080").unwrap_err().to_string();
        assert!(refused.contains("login") && !refused.contains("secret"), "{refused}");
    }
}
