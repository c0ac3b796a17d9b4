//! How many connections there may be besides sockets: browsers keep some in reserve, and whoever means no good opens thousands, or asks
//! and takes no answer. However many there are, those who ask are served.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header;
use axum::response::Response;
use config::lobby::Seat;
use config::metrics::Counter;
use config::{Lobby, Stop};
use hyper::body::{Frame, SizeHint};

use crate::web::App;

/// One connection. Whenever something happens on it, it is the newest in the lobby. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Visit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lobby: Lobby,
    max: usize,
    evictions: Counter,
    evicted: Stop,
    place: Mutex<Place>,
}

#[derive(Debug)]
enum Place {
    /// It is we who wait, for all of a request.
    Asking { _seat: Seat },
    /// It is the other side who waits for an answer.
    Asked { _seat: Seat },
    /// An answer without end, of which there are so many as there may be sockets.
    Open,
}

impl Visit {
    pub(crate) fn new(app: &App) -> Self {
        let visit = Self(Arc::new(Inner {
            lobby: app.lobby.clone(),
            max: app.settings.connections_max,
            evictions: app.counters.evicted.clone(),
            evicted: Stop::new(),
            place: Mutex::new(Place::Open),
        }));
        visit.asks();
        visit
    }

    /// Others came, and on this one nothing has happened for longest.
    pub(crate) async fn evicted(&self) {
        self.0.evicted.cancelled().await;
    }

    /// After that time nothing has been asked, or not all of it. Never, if it is us who are waited for.
    pub(crate) async fn outlasts(&self, time: Duration) {
        tokio::time::sleep(time).await;
        let is_asking = matches!(*self.place(), Place::Asking { .. });
        if !is_asking {
            std::future::pending::<()>().await;
        }
    }

    /// The body of a request. Nothing is answered before it is there, and bodies can come slowly.
    pub(crate) fn request(
        &self,
        body: impl HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
    ) -> Body {
        if body.is_end_stream() {
            self.has_asked();
            return Body::empty();
        }
        Body::new(Watched { body: Body::new(body), visit: self.clone(), over: Self::has_asked })
    }

    /// An answer, after whose body it is for the other side to ask again.
    pub(crate) fn answer(&self, answer: Response) -> Response {
        if answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
            self.moves_to(Place::Open);
        }
        answer.map(|body| Body::new(Watched { body, visit: self.clone(), over: Self::asks }))
    }

    fn asks(&self) {
        self.moves_to(Place::Asking { _seat: self.seat() });
    }

    fn has_asked(&self) {
        self.moves_to(Place::Asked { _seat: self.seat() });
    }

    fn seat(&self) -> Seat {
        let (seat, has_evicted) = self.0.lobby.enter(self.0.evicted.clone(), self.0.max);
        if has_evicted {
            self.0.evictions.inc();
        }
        seat
    }

    fn moves_to(&self, place: Place) {
        let before = mem::replace(&mut *self.place(), place);
        // The lobby has a lock of its own.
        drop(before);
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        // Held for a look or a move.
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body, and what follows when it is over or given up.
struct Watched {
    body: Body,
    visit: Visit,
    over: fn(&Visit),
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
        (self.over)(&self.visit);
    }
}
