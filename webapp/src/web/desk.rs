//! A DJ who has logged in with the token of his desk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue};
use protocol::{DeskId, EventId, FloorId};
use ring::hmac;
use store::{Store, Token, TokenKind};
use subtle::ConstantTimeEq;
use tokio::time::timeout;

use crate::web::Problem;
use crate::web::dancer::{cookies, set_cookie};

const COOKIE: &str = "pika_desk";
const COOKIE_HTTPS: &str = "__Host-pika_desk";

/// One night.
const SESSION_S: u64 = 16 * 3_600;

/// A token that was revoked is useless after this.
const TOKENS_EVERY: Duration = Duration::from_secs(2);

const PATIENCE: Duration = Duration::from_secs(2);

/// Knows desks by their tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Desks {
    store: Store,
    event: EventId,
    /// Tokens that live in this process only, as that of the DJ program's own laptop.
    own: Arc<[Token]>,
    key: hmac::Key,
    known: Arc<Mutex<Option<Known>>>,
}

/// Tokens of the database, and when they were read.
#[derive(Debug, Clone)]
struct Known {
    at: Instant,
    tokens: Arc<[Token]>,
}

/// A desk that is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Desk {
    pub(super) id: DeskId,
    /// The only floor it may speak for.
    floor: Option<FloorId>,
    /// It belongs to the machine that the server runs on, so its DJ is the one who lets others in.
    pub(super) is_host: bool,
}

impl Desk {
    pub(super) fn may_speak_for(&self, floor: &FloorId) -> bool {
        self.floor.as_ref().is_none_or(|only| only == floor)
    }
}

impl Desks {
    pub(super) fn new(store: Store, event: EventId, own: Vec<Token>, secret: &[u8]) -> Self {
        Self {
            store,
            event,
            own: own.into(),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            known: Arc::default(),
        }
    }

    /// A session for whoever knows the token. `None`: nobody does, or it is not that one.
    pub(super) async fn login(
        &self,
        name: &str,
        token: &str,
        https: bool,
        now_ms: i64,
    ) -> Result<Option<HeaderValue>, Problem> {
        let found = self.token(name, now_ms).await?;
        // Compared in constant time, also for names that do not exist.
        let expected = found.as_ref().map_or([0; 32], |token| token.sha256);
        let same = bool::from(Token::hash(token.trim()).ct_eq(&expected));
        Ok(found.filter(|_| same).and_then(|token| {
            let until = now_ms / 1000 + SESSION_S.cast_signed();
            let value = format!("{}.{until}.{}", token.name, self.signature(&token, until, ""));
            set_cookie(cookie_name(https), &value, SESSION_S, https)
        }))
    }

    /// A session for a person to whom the desk belongs, as long as that person is logged in.
    pub(super) fn lend(
        &self,
        token: &Token,
        session: &[u8; 32],
        https: bool,
        now_ms: i64,
    ) -> Option<HeaderValue> {
        let (until, session) = (now_ms / 1000 + SESSION_S.cast_signed(), hex::encode(session));
        let signature = self.signature(token, until, &session);
        let value = format!("{}.{until}.{signature}.{session}", token.name);
        set_cookie(cookie_name(https), &value, SESSION_S, https)
    }

    /// `Set-Cookie` that ends the session in this browser.
    pub(super) fn logout(https: bool) -> Option<HeaderValue> {
        set_cookie(cookie_name(https), "", 0, https)
    }

    /// Who is logged in. A session ends with its token.
    pub(super) async fn of(&self, headers: &HeaderMap, https: bool, now_ms: i64) -> Result<Desk, Problem> {
        let wanted = cookie_name(https);
        let cookie = cookies(headers).find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let mut parts = cookie.unwrap_or_default().split('.');
        let (Some(name), Some(until), Some(signature), lent, None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Problem::NoDesk);
        };
        let until: i64 = until.parse().map_err(|_| Problem::NoDesk)?;
        let token =
            self.token(name, now_ms).await?.filter(|_| now_ms / 1000 < until).ok_or(Problem::NoDesk)?;
        let right = self.signature(&token, until, lent.unwrap_or_default());
        if !bool::from(right.as_bytes().ct_eq(signature.as_bytes())) {
            return Err(Problem::NoDesk);
        }
        if let Some(session) = lent {
            self.still_lent(session, now_ms).await?;
        }
        let is_host = self.own.iter().any(|own| own.name == token.name);
        Ok(Desk { id: token.name.parse().map_err(|_| Problem::NoDesk)?, floor: token.floor, is_host })
    }

    /// Who has logged out, or was, is at no console any more.
    async fn still_lent(&self, session: &str, now_ms: i64) -> Result<(), Problem> {
        let mut sha256 = [0; 32];
        hex::decode_to_slice(session, &mut sha256).map_err(|_| Problem::NoDesk)?;
        match timeout(PATIENCE, self.store.session(&sha256, now_ms)).await {
            Ok(Ok(None)) => Err(Problem::NoDesk),
            // Those who are logged in go on while the database is away.
            _ => Ok(()),
        }
    }

    /// It holds the token's hash, so another token of the same name ends it, and the person's session to whom it is lent.
    fn signature(&self, token: &Token, until_s: i64, lent: &str) -> String {
        let signed = format!("desk {} {until_s} {} {lent}", token.name, hex::encode(token.sha256));
        hex::encode(hmac::sign(&self.key, signed.as_bytes()))
    }

    async fn token(&self, name: &str, now_ms: i64) -> Result<Option<Token>, Problem> {
        let fits = |token: &&Token| {
            token.name == name
                && token.kind == TokenKind::Desk
                && token.event == self.event
                && token.revoked_ms.is_none()
                && token.expires_ms.is_none_or(|at| now_ms < at)
        };
        if let Some(own) = self.own.iter().find(fits) {
            return Ok(Some(own.clone()));
        }
        Ok(self.tokens().await?.iter().find(fits).cloned())
    }

    async fn tokens(&self) -> Result<Arc<[Token]>, Problem> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = &known
            && known.at.elapsed() < TOKENS_EVERY
        {
            return Ok(known.tokens.clone());
        }
        match timeout(PATIENCE, self.store.tokens()).await {
            Ok(Ok(tokens)) => {
                let tokens: Arc<[Token]> = tokens.into();
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Known { at: Instant::now(), tokens: tokens.clone() });
                Ok(tokens)
            }
            // Those who are logged in go on while the database is away.
            _ => known.map(|known| known.tokens).ok_or(Problem::ArchiveAway),
        }
    }
}

fn cookie_name(https: bool) -> &'static str {
    if https { COOKIE_HTTPS } else { COOKIE }
}
