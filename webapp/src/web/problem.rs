//! What can go wrong in a handler, as a status and a kind sentence.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::Render;

use crate::views::Skin;
use crate::views::problem::ProblemPage;
use crate::web::limits::Wait;
use crate::words::{Language, Words};

/// A request we cannot serve. The page says what to do; nothing here is our fault, so nothing is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// There is no such page, floor or event.
    NotFound,
    /// No picture of that name has come.
    NoCover,
    /// We have not heard from the archive yet.
    Starting,
    /// The request does not say what it should. For programs, in English.
    BadRequest(&'static str),
    /// Another site's page asked.
    ForeignOrigin,
    /// More sockets than we promised to hold.
    Full,
    /// A tap for something that was not played here.
    UnknownPlay,
    /// Neither JSON nor a form.
    WrongType,
    /// More taps than the archive takes at the moment.
    Busy,
    /// More taps than a dancer, or those of one address, may send; it counts after so many seconds.
    TooMany(i64),
    /// The dancer cannot have read the page yet.
    TooSoon(i64),
    /// Taps count for browsers that we know.
    NoCookie,
    /// The database does not answer.
    ArchiveAway,
    /// Nobody is logged in to the console.
    NoDesk,
    /// Somebody is, and it is not his to say.
    NotYourDesk,
    /// Too many tries to log in.
    TooManyLogins(i64),
    /// As many MQTT clients as we promised to pass on.
    TunnelsFull,
    /// The broker does not answer.
    BrokerAway,
    /// The broker is reached in a way that we cannot pass on.
    NoTunnel,
    /// Desks get their tokens in another way.
    NoPairing,
    /// No desk shows these six digits.
    NobodyWaits,
    /// Two desks show them.
    SameCode,
    /// Nobody is logged in with this browser.
    NotLoggedIn,
    /// Somebody is, and may not do this.
    NotAnOrganizer,
    /// Without this person there would be none who may.
    LastOrganizer,
    /// The name is somebody else's.
    NameTaken,
    /// It is not the password of whoever wants another one.
    WrongPassword,
    /// It will not do as a password.
    BadPassword(store::BadPassword),
    /// No place on earth has this time zone.
    NoTimeZone,
    /// It is no colour.
    NoColour,
}

impl Problem {
    fn status(self) -> StatusCode {
        match self {
            Problem::NotFound
            | Problem::NoCover
            | Problem::UnknownPlay
            | Problem::NoPairing
            | Problem::NobodyWaits => StatusCode::NOT_FOUND,
            Problem::SameCode | Problem::NameTaken | Problem::LastOrganizer => StatusCode::CONFLICT,
            Problem::NoTimeZone | Problem::NoColour | Problem::BadPassword(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Problem::WrongType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Problem::Starting
            | Problem::Full
            | Problem::TunnelsFull
            | Problem::Busy
            | Problem::ArchiveAway => StatusCode::SERVICE_UNAVAILABLE,
            Problem::BadRequest(_) => StatusCode::BAD_REQUEST,
            Problem::ForeignOrigin
            | Problem::NoCookie
            | Problem::NotYourDesk
            | Problem::NotAnOrganizer
            | Problem::WrongPassword => StatusCode::FORBIDDEN,
            Problem::NoDesk | Problem::NotLoggedIn => StatusCode::UNAUTHORIZED,
            Problem::TooMany(_) | Problem::TooSoon(_) | Problem::TooManyLogins(_) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Problem::BrokerAway => StatusCode::BAD_GATEWAY,
            Problem::NoTunnel => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// In the language of whoever reads it.
    pub(super) fn sentence(self, words: Words) -> std::borrow::Cow<'static, str> {
        let key = match self {
            Problem::NotFound => "problem-not-found",
            Problem::Starting => "problem-starting",
            Problem::BadRequest(what) if words.language() == Language::En => return what.into(),
            Problem::BadRequest(_) => "problem-bad-request",
            Problem::ForeignOrigin => "problem-foreign-origin",
            Problem::Full => "problem-full",
            Problem::UnknownPlay => "problem-unknown-play",
            Problem::Busy => "problem-busy",
            Problem::TooMany(_) => "problem-too-many",
            Problem::TooSoon(_) => "problem-too-soon",
            Problem::NoCookie => "problem-no-cookie",
            Problem::ArchiveAway => "problem-archive-away",
            Problem::NoDesk => "problem-no-desk",
            Problem::NotYourDesk => "problem-not-your-desk",
            Problem::TooManyLogins(_) => "problem-too-many-logins",
            Problem::NobodyWaits => "problem-nobody-waits",
            Problem::SameCode => "problem-same-code",
            Problem::NotLoggedIn => "problem-not-logged-in",
            Problem::NotAnOrganizer => "problem-not-an-organizer",
            Problem::LastOrganizer => "problem-last-organizer",
            Problem::NameTaken => "problem-name-taken",
            Problem::WrongPassword => "problem-wrong-password",
            Problem::BadPassword(store::BadPassword::Length) => "problem-password-length",
            Problem::BadPassword(store::BadPassword::Guessed) => "problem-password-guessed",
            Problem::BadPassword(store::BadPassword::Unhashed) => "problem-busy",
            Problem::NoTimeZone => "problem-time-zone",
            Problem::NoColour => "problem-colour",
            // Only programs meet these.
            Problem::NoCover => return "There is no such cover here.".into(),
            Problem::WrongType => return "Send JSON or a form.".into(),
            Problem::TunnelsFull => {
                return "As many MQTT clients are connected here as this server takes. Try later.".into();
            }
            Problem::BrokerAway => return "The MQTT broker does not answer. Try again in a moment.".into(),
            Problem::NoTunnel => {
                return "This server does not pass MQTT on. Connect to its broker itself.".into();
            }
            Problem::NoPairing => {
                return "This server lets no desk ask for a token. The organizer has one for you.".into();
            }
        };
        words.say(key)
    }

    /// All that [`Problem::reason`] may say.
    pub(crate) const REASONS: [&'static str; 14] = [
        "too_many",
        "too_soon",
        "too_many_logins",
        "busy",
        "full",
        "tunnels_full",
        "starting",
        "archive_away",
        "broker_away",
        "no_cookie",
        "no_desk",
        "not_your_desk",
        "foreign_origin",
        "unknown_play",
    ];

    /// The label of a limit that was met, or of what was not there or not allowed. Other answers are nobody's limit.
    pub(super) fn reason(self) -> Option<&'static str> {
        Some(match self {
            Problem::TooMany(_) => "too_many",
            Problem::TooSoon(_) => "too_soon",
            Problem::TooManyLogins(_) => "too_many_logins",
            Problem::Busy => "busy",
            Problem::Full => "full",
            Problem::TunnelsFull => "tunnels_full",
            Problem::Starting => "starting",
            Problem::ArchiveAway => "archive_away",
            Problem::BrokerAway => "broker_away",
            Problem::NoCookie => "no_cookie",
            Problem::NoDesk => "no_desk",
            Problem::NotYourDesk => "not_your_desk",
            Problem::ForeignOrigin => "foreign_origin",
            Problem::UnknownPlay => "unknown_play",
            _ => return None,
        })
    }

    fn retry_after_s(self) -> Option<i64> {
        match self {
            Problem::TooMany(seconds) | Problem::TooSoon(seconds) | Problem::TooManyLogins(seconds) => {
                Some(seconds)
            }
            Problem::Busy => Some(2),
            _ => None,
        }
    }

    /// For programs: one line of text, in English.
    pub(crate) fn plain(self) -> Response {
        self.plain_in(Words::of(Language::En))
    }

    pub(super) fn plain_in(self, words: Words) -> Response {
        let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        self.finished((self.status(), kind, format!("{}\n", self.sentence(words))).into_response())
    }

    /// For people: a page.
    pub(crate) fn page(self, skin: Skin<'_>) -> Response {
        let retry_s = (self == Problem::Starting).then_some(2);
        let page = ProblemPage { sentence: &self.sentence(skin.words), retry_s, request: skin.request };
        self.finished((self.status(), page.document(skin).render()).into_response())
    }

    fn finished(self, mut response: Response) -> Response {
        // For the counters.
        response.extensions_mut().insert(self);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

impl From<Wait> for Problem {
    fn from(wait: Wait) -> Self {
        Problem::TooMany(wait.seconds())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.plain()
    }
}
