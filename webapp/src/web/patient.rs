//! Clients that are slow on purpose: how long they are waited for, whichever way the bytes go.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};

/// All of a form, which is a few hundred bytes.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// A page that goes nowhere for so long has nobody who wants it.
const TAKES_WITHIN: Duration = Duration::from_secs(30);

/// All of a body, unless it is too long or comes too slowly.
pub(super) async fn whole(body: Body, bytes_max: usize) -> Option<Bytes> {
    whole_within(BODY_WITHIN, body, bytes_max).await
}

async fn whole_within(wait: Duration, body: Body, bytes_max: usize) -> Option<Bytes> {
    timeout(wait, to_bytes(body, bytes_max)).await.ok()?.ok()
}

/// A connection whose other side has to take what it is given. What a stalled client has not taken is memory of ours.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    takes_within: Duration,
    /// Until when, while nothing is taken.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, takes_within: TAKES_WITHIN, deadline: None }
    }

    /// The connection itself, for those who have their own ways with the slow.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    fn judge<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.deadline = None;
            return polled;
        }
        let wait = self.takes_within;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(wait)));
        deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judge(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn who_takes_nothing_is_given_up_and_who_takes_something_begins_anew() {
        let (ours, mut theirs) = duplex(64);
        let mut ours = Patient { takes_within: Duration::from_millis(20), ..Patient::new(ours) };
        let error = ours.write_all(&[7; 640]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(ours.deadline.is_some());
        theirs.read_exact(&mut [0; 64]).await.unwrap();
        ours.write_all(&[7; 10]).await.unwrap();
        assert!(ours.deadline.is_none());
    }

    #[tokio::test]
    async fn a_body_that_drips_is_none() {
        let first = futures_util::stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"a"))]);
        let drips = futures_util::StreamExt::chain(first, futures_util::stream::pending());
        assert_eq!(whole_within(Duration::from_millis(20), Body::from_stream(drips), 4_096).await, None);
        assert_eq!(whole(Body::from("a=b"), 3).await, Some(Bytes::from_static(b"a=b")));
        assert_eq!(whole(Body::from("a=bc"), 3).await, None);
    }
}
