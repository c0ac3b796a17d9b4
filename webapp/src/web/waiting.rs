//! Connections on which we wait for somebody to ask: browsers keep some in reserve, and whoever means no good opens thousands.
//! However many there are, those who ask are served.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use config::lobby::Seat;
use config::metrics::Counter;
use config::{Lobby, Stop};
use hyper::body::{Frame, SizeHint};

use crate::web::App;

/// One connection. It has a seat in the lobby for as long as it is we who wait, and not while it is answered. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Waiting(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lobby: Lobby,
    max: usize,
    evictions: Counter,
    evicted: Stop,
    seat: Mutex<Option<Seat>>,
}

impl Waiting {
    pub(crate) fn new(app: &App) -> Self {
        let waiting = Self(Arc::new(Inner {
            lobby: app.lobby.clone(),
            max: app.settings.waiting_max,
            evictions: app.counters.evicted.clone(),
            evicted: Stop::new(),
            seat: Mutex::default(),
        }));
        waiting.begin();
        waiting
    }

    /// Others came, and this one has waited longest.
    pub(crate) async fn evicted(&self) {
        self.0.evicted.cancelled().await;
    }

    /// After that time nothing has been asked, or not all of it. Never, if it is us who are waited for.
    pub(crate) async fn outlasts(&self, time: Duration) {
        tokio::time::sleep(time).await;
        if self.seat().is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// The body of a request. Nothing is answered before it is there, and bodies can come slowly.
    pub(crate) fn request(
        &self,
        body: impl HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
    ) -> Body {
        if body.is_end_stream() {
            self.end();
            return Body::empty();
        }
        Body::new(Watched { body: Body::new(body), waiting: self.clone(), over: Self::end })
    }

    /// The body of an answer, after which it is for the other side to ask again.
    pub(crate) fn answer(&self, body: Body) -> Body {
        Body::new(Watched { body, waiting: self.clone(), over: Self::begin })
    }

    fn begin(&self) {
        let (seat, has_evicted) = self.0.lobby.enter(self.0.evicted.clone(), self.0.max);
        if has_evicted {
            self.0.evictions.inc();
        }
        *self.seat() = Some(seat);
    }

    fn end(&self) {
        drop(self.seat().take());
    }

    fn seat(&self) -> MutexGuard<'_, Option<Seat>> {
        // Held to put something in or take it out.
        self.0.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body, and what follows when it is over or given up.
struct Watched {
    body: Body,
    waiting: Waiting,
    over: fn(&Waiting),
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        (self.over)(&self.waiting);
    }
}
