//! `/api/v1/pair`: a desk that has no token asks for one, and gets it when somebody here has typed the six digits that its DJ sees
//! (crate `pairing`, ADR 17). Nothing secret is stored: keys and tokens are derived anew from our own secret when they are needed,
//! so every web app of an event can answer every step.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use config::clock::{now_ms, seed};
use pairing::{Agreement, Answer, Ask, Floor, Granted, Hex32, Outcome, Reveal, ServerSide, V};
use protocol::{DeskId, EventId, FloorId};
use ring::hmac;
use serde::de::DeserializeOwned;
use store::{By, LetIn, PAIRING_LASTS_MS, Pairing, Store, Token, TokenKind};
use uuid::Uuid;

use crate::web::patient::whole;
use crate::web::taps::has_type;
use crate::web::{App, Problem, Visitor};

const BODY_BYTES_MAX: usize = 2 * 1024;
const NAME_CHARS_MAX: usize = 60;
/// `booth`, `booth-2`, … and then it is something else that is wrong.
const NAMES_MAX: u32 = 50;

/// Pairs desks with this event. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Pairings {
    store: Store,
    event: EventId,
    key: hmac::Key,
}

impl Pairings {
    pub(super) fn new(store: Store, event: EventId, secret: &[u8]) -> Self {
        Self { store, event, key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// Lets in the desk whose DJ sees this code, without an end.
    pub(super) async fn let_in(
        &self,
        code: &str,
        floor: Option<&FloorId>,
        now_ms: i64,
    ) -> Result<LetIn, Problem> {
        let code: pairing::Code = code.parse().map_err(|_| Problem::BadRequest("A code is six digits."))?;
        self.store.let_in(&self.event, &code.to_string(), floor, None, now_ms).await.map_err(away)
    }

    /// Ours in this pairing alone.
    fn half(&self, id: Uuid) -> ServerSide {
        ServerSide::new(self.derived("pairing key", id))
    }

    fn derived(&self, what: &str, id: Uuid) -> [u8; 32] {
        let signed = hmac::sign(&self.key, format!("{what} {id}").as_bytes());
        signed.as_ref().try_into().expect("HMAC with SHA-256 has 32 bytes")
    }

    /// What we and a desk have in common, if this is the key that it committed to.
    fn agree(&self, id: Uuid, pairing: &Pairing, key: Hex32) -> Result<Agreement, Problem> {
        let commitment = pairing.commitment.parse().map_err(|_| Problem::NotFound)?;
        let ask = Ask { v: V, desk: pairing.desk.clone(), name: pairing.name.clone(), commitment };
        self.half(id).agree(id, &self.event, &ask, &Reveal { v: V, key }).map_err(|refused| {
            tracing::warn!(desk = %pairing.desk, "a pairing was refused: {refused}");
            Problem::BadRequest("This is not the key that was committed to. Begin anew.")
        })
    }

    /// The desk that asks under this id, unless it is of another event.
    async fn known(&self, id: &str) -> Result<(Uuid, Pairing), Problem> {
        let id: Uuid = id.parse().map_err(|_| Problem::NotFound)?;
        let found = self.store.pairing(&id.to_string()).await.map_err(away)?;
        let found = found.filter(|pairing| pairing.event == self.event);
        found.map(|pairing| (id, pairing)).ok_or(Problem::NotFound)
    }

    /// The token of a desk that was let in. It is made when the desk fetches it, and again does no harm.
    async fn token(&self, id: Uuid, pairing: &Pairing, now_ms: i64) -> Result<(DeskId, String), Problem> {
        let grant = pairing.granted.as_ref().ok_or(Problem::NotFound)?;
        let token = hex::encode(self.derived("token", id));
        let sha256 = Token::hash(&token);
        let mut salt = [0; 12];
        getrandom::fill(&mut salt).map_err(|_| Problem::Busy)?;
        let verifier = Token::verifier(&token, &salt);
        for number in 1..=NAMES_MAX {
            let Some(name) = numbered(&pairing.desk, number) else { break };
            let by = By::at(format!("laptop of {name}, let in"), now_ms, seed());
            let row = Token {
                name: name.to_string(),
                kind: TokenKind::Desk,
                event: self.event.clone(),
                floor: grant.floor.clone(),
                sha256,
                expires_ms: grant.expires_ms,
                revoked_ms: None,
            };
            let is_new = self.store.add_token(&row, &verifier, None, &by).await.map_err(away)?;
            let ours = || async {
                let all = self.store.tokens().await.map_err(away)?;
                Ok::<_, Problem>(all.iter().any(|known| known.name == row.name && known.sha256 == sha256))
            };
            if is_new || ours().await? {
                self.store.name_pairing(&pairing.id, &row.name).await.map_err(away)?;
                if is_new {
                    tracing::info!(desk = %name, "a desk was paired and has its token");
                }
                return Ok((name, token));
            }
        }
        tracing::error!(desk = %pairing.desk, "there is no free name for a desk that was let in");
        Err(Problem::Busy)
    }
}

/// `booth-2`, as long as it is still a name.
fn numbered(desk: &DeskId, number: u32) -> Option<DeskId> {
    if number == 1 {
        return Some(desk.clone());
    }
    let end = format!("-{number}");
    let short: String = desk.as_str().chars().take(48 - end.len()).collect();
    format!("{}{end}", short.trim_end_matches('-')).parse().ok()
}

fn away(error: store::Error) -> Problem {
    tracing::warn!("a pairing has to wait: {:#}", anyhow::Error::from(error));
    Problem::ArchiveAway
}

pub(super) async fn ask(
    State(app): State<App>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Problem> {
    if !app.settings.pairing {
        return Err(Problem::NoPairing);
    }
    let (parts, body) = request.into_parts();
    let now_ms = now_ms();
    app.limits().pairing(visitor.client.household, now_ms)?;
    let mut ask: Ask = read(&parts.headers, body).await?;
    // The parts of `pika up` are called so.
    if ask.desk.as_str().starts_with("pika-") {
        return Err(Problem::BadRequest("Names that begin with pika- are taken."));
    }
    if ask.name.as_ref().is_some_and(|name| name.chars().count() > NAME_CHARS_MAX) {
        return Err(Problem::BadRequest("A name has 60 characters at most."));
    }
    ask.name = ask.name.filter(|name| !name.trim().is_empty());
    let event_name = app.hub.views().first().map(|view| view.event_name.clone()).ok_or(Problem::Starting)?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Problem::Busy)?;
    let id = uuid::Builder::from_random_bytes(random).into_uuid();
    let pairings = &app.pairings;
    let row = Pairing {
        id: id.to_string(),
        event: pairings.event.clone(),
        desk: ask.desk,
        name: ask.name,
        commitment: ask.commitment.to_string(),
        desk_key: None,
        created_ms: now_ms,
        granted: None,
        token_name: None,
    };
    if !pairings.store.ask_pairing(&row, now_ms).await.map_err(away)? {
        return Err(Problem::TooMany(PAIRING_LASTS_MS / 1000));
    }
    tracing::info!(desk = %row.desk, "a desk asks to be let in");
    let answer = Answer {
        v: V,
        id,
        event: row.event,
        event_name,
        key: pairings.half(id).key(),
        good_for_s: u32::try_from(PAIRING_LASTS_MS / 1000).unwrap_or(u32::MAX),
    };
    Ok((StatusCode::CREATED, no_store(), Json(answer)).into_response())
}

pub(super) async fn reveal(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let reveal: Reveal = read(&parts.headers, body).await?;
    let pairings = &app.pairings;
    let (id, pairing) = pairings.known(&id).await?;
    match pairings.agree(id, &pairing, reveal.key) {
        Ok(agreed) => {
            let (key, code) = (reveal.key.to_string(), agreed.code().to_string());
            let is_first = pairings.store.reveal_pairing(&pairing.id, &key, &code).await.map_err(away)?;
            // The same again: its answer was lost.
            if !is_first && pairing.desk_key.as_deref().is_some_and(|known| known != key) {
                return Err(Problem::NotFound);
            }
            Ok((StatusCode::NO_CONTENT, no_store()).into_response())
        }
        Err(problem) => {
            pairings.store.drop_pairing(&pairing.id).await.map_err(away)?;
            Err(problem)
        }
    }
}

pub(super) async fn outcome(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let pairings = &app.pairings;
    let (id, pairing) = pairings.known(&id).await?;
    let now_ms = now_ms();
    let is_over = now_ms - pairing.created_ms > PAIRING_LASTS_MS;
    let outcome = match (&pairing.granted, &pairing.desk_key) {
        (Some(grant), Some(desk_key)) => {
            let key = desk_key.parse().map_err(|_| Problem::NotFound)?;
            let agreed = pairings.agree(id, &pairing, key)?;
            let views = app.hub.views();
            if views.is_empty() {
                return Err(Problem::Starting);
            }
            let (desk, token) = pairings.token(id, &pairing, now_ms).await?;
            let floors = views
                .iter()
                .map(|view| Floor { id: view.address.floor.clone(), name: view.floor_name.clone() });
            let granted = Granted {
                desk,
                token,
                floor: grant.floor.clone(),
                floors: floors.collect(),
                broker_url: app.settings.broker_url.clone(),
            };
            Outcome::Granted { sealed: agreed.seal(&granted) }
        }
        _ if is_over => return Err(Problem::NotFound),
        _ => Outcome::Waiting,
    };
    Ok((no_store(), Json(outcome)).into_response())
}

async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    if !has_type(headers, "application/json") {
        return Err(Problem::WrongType);
    }
    let bytes = whole(body, BODY_BYTES_MAX).await;
    let bytes = bytes.ok_or(Problem::BadRequest("The message is too long, or comes too slowly."))?;
    serde_json::from_slice(&bytes).map_err(|_| Problem::BadRequest("This is no message of a pairing."))
}

fn no_store() -> [(header::HeaderName, HeaderValue); 1] {
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let desk: DeskId = "booth".parse().expect("a slug");
        let name = |desk: &DeskId, number| numbered(desk, number).map(|name| name.to_string());
        assert_eq!(name(&desk, 1).as_deref(), Some("booth"));
        assert_eq!(name(&desk, 2).as_deref(), Some("booth-2"));
        let long: DeskId = "x".repeat(48).parse().expect("a slug");
        assert_eq!(name(&long, 10).map(|name| name.len()), Some(48));
    }
}
