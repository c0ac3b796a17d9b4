//! `/api/v1/{event}/{floor}/events`: the floor's state as Server-Sent Events, for programs that speak no MQTT.
//! (WHATWG HTML, section 9.2.)

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use protocol::{NowPlaying, Reactions};
use tokio::sync::watch;

use crate::live::board::FloorView;
use crate::live::hub;
use crate::web::socket::Place;
use crate::web::{App, Problem};

const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What a reader was told last.
struct Reader {
    floor: watch::Receiver<hub::State>,
    stop: config::Stop,
    told: Option<(Option<NowPlaying>, Option<Reactions>)>,
    _place: Place,
}

/// `now` and `reactions`, each with the payload of its topic: both at the start, then the one that changed.
pub(super) async fn stream(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<Response, Problem> {
    let address = app.floor(&path)?.view.address.clone();
    let floor = app.hub.watch(&address).ok_or(Problem::NotFound)?;
    let place = Place::take(&app.sockets, app.settings.sockets_max).ok_or(Problem::Full)?;
    let reader = Reader { floor, stop: app.stop.clone(), told: None, _place: place };
    let events = stream::unfold(reader, |mut reader| async move {
        loop {
            let view = reader.floor.borrow_and_update().view.clone();
            if let Some(event) = reader.next(&view) {
                return Some((Ok::<Event, Infallible>(event), reader));
            }
            tokio::select! {
                changed = reader.floor.changed() => changed.ok()?,
                () = reader.stop.cancelled() => return None,
            }
        }
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Reader {
    /// What the reader does not know yet, one at a time.
    fn next(&mut self, view: &FloorView) -> Option<Event> {
        let (now, reactions) = self.told.get_or_insert_default();
        if *now != view.now {
            now.clone_from(&view.now);
            return event("now", now.as_ref());
        }
        if *reactions != view.reactions {
            reactions.clone_from(&view.reactions);
            return event("reactions", reactions.as_ref());
        }
        None
    }
}

fn event<T: serde::Serialize>(name: &str, payload: Option<&T>) -> Option<Event> {
    Event::default().event(name).json_data(payload).ok()
}
