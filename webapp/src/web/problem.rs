//! What can go wrong in a handler, as a status and a kind sentence.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::Render;

use crate::views::problem::ProblemPage;

/// A request we cannot serve. The page says what to do; nothing here is our fault, so nothing is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// There is no such page, floor or event.
    NotFound,
    /// We have not heard from the archive yet.
    Starting,
    /// The request does not say what it should.
    BadRequest(&'static str),
    /// Another site's page asked.
    ForeignOrigin,
    /// More sockets than we promised to hold.
    Full,
    /// A tap for something that was not played here, or long ago.
    UnknownPlay,
    /// Neither JSON nor a form.
    WrongType,
    /// More taps than the archive takes at the moment.
    Busy,
    /// The same for MQTT clients.
    TunnelsFull,
    /// The broker does not answer.
    BrokerAway,
    /// The broker is reached in a way that we cannot pass on.
    NoTunnel,
}

impl Problem {
    fn status(self) -> StatusCode {
        match self {
            Problem::NotFound | Problem::UnknownPlay => StatusCode::NOT_FOUND,
            Problem::WrongType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Problem::Starting | Problem::Full | Problem::TunnelsFull | Problem::Busy => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Problem::BadRequest(_) => StatusCode::BAD_REQUEST,
            Problem::ForeignOrigin => StatusCode::FORBIDDEN,
            Problem::BrokerAway => StatusCode::BAD_GATEWAY,
            Problem::NoTunnel => StatusCode::NOT_IMPLEMENTED,
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Problem::NotFound => "There is nothing here. Scan the code on the wall once more?",
            Problem::Starting => "The floor is being set up. This page tries again by itself.",
            Problem::BadRequest(what) => what,
            Problem::UnknownPlay => "This track was not played on this floor, or too long ago.",
            Problem::WrongType => "Send JSON or a form.",
            Problem::Busy => "Too much at once. Try again in a moment.",
            Problem::ForeignOrigin => "Only our own pages may do this.",
            Problem::TunnelsFull => {
                "As many MQTT clients are connected here as this server takes. Try later."
            }
            Problem::BrokerAway => "The MQTT broker does not answer. Try again in a moment.",
            Problem::NoTunnel => "This server does not pass MQTT on. Connect to its broker itself.",
            Problem::Full => {
                "More phones than we can serve live. This page is brought up to date now and then."
            }
        }
    }

    /// For programs: one line of text.
    pub(crate) fn plain(self) -> Response {
        (
            self.status(),
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            format!("{}\n", self.sentence()),
        )
            .into_response()
    }

    /// For people: a page.
    pub(crate) fn page(self, assets: &super::Assets) -> Response {
        let retry = (self == Problem::Starting).then_some(2);
        let page = ProblemPage { status: self.status().as_u16(), sentence: self.sentence(), retry_s: retry };
        (self.status(), page.document(assets).render()).into_response()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.plain()
    }
}
