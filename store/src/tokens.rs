//! Who may talk to the broker: names and hashes of tokens, never the tokens.

use std::collections::HashMap;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::{EventId, FloorId, PersonId};
use ring::pbkdf2;
use sha2::{Digest, Sha256};

use crate::audit::{By, note};
use crate::engine::{Error, Store, on_engine};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A DJ's publisher; the desk's id is the token's name.
    Desk,
    /// Archiver, web app.
    Service,
    /// Lights, displays and whoever else reads.
    Integrator,
}

impl TokenKind {
    /// As stored and as written on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenKind::Desk => "desk",
            TokenKind::Service => "service",
            TokenKind::Integrator => "integrator",
        }
    }

    /// The kind of that name.
    pub fn read(text: &str) -> Option<Self> {
        [TokenKind::Desk, TokenKind::Service, TokenKind::Integrator].into_iter().find(|k| k.as_str() == text)
    }
}

/// One token as the broker knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The MQTT user name.
    pub name: String,
    pub kind: TokenKind,
    pub event: EventId,
    /// Limits a desk to one floor.
    pub floor: Option<FloorId>,
    /// SHA-256 of the token, which is the MQTT password.
    pub sha256: [u8; 32],
    pub expires_ms: Option<i64>,
    pub revoked_ms: Option<i64>,
}

/// Tokens are 256 random bits that nobody can guess, so the hash need not be slow. mosquitto's own default.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(101).expect("not zero");

impl Token {
    /// The hash that stands for a token. Tokens are 256 random bits, so a plain hash is enough.
    pub fn hash(token: &str) -> [u8; 32] {
        Sha256::digest(token.as_bytes()).into()
    }

    /// What mosquitto holds in place of a token: `$7$iterations$salt$hash`, PBKDF2 with SHA-512. It is made together with the
    /// token, because afterwards nobody knows that any more. The salt is random.
    pub fn verifier(token: &str, salt: &[u8; 12]) -> String {
        let mut hash = [0u8; 64];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, ITERATIONS, salt, token.as_bytes(), &mut hash);
        format!("$7${ITERATIONS}${}${}", STANDARD.encode(salt), STANDARD.encode(hash))
    }
}

/// A token as people see it in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedToken {
    pub token: Token,
    pub created_ms: i64,
    /// The person it belongs to.
    pub owner: Option<PersonId>,
    /// When it was last used to log in to the broker or the console, to a minute or so.
    pub used_ms: Option<i64>,
}

type ListedRow = (
    String,
    String,
    String,
    Option<String>,
    String,
    Option<i64>,
    Option<i64>,
    i64,
    Option<String>,
    Option<i64>,
);
type Row = (String, String, String, Option<String>, String, Option<i64>, Option<i64>);

const ALL: &str = "
select name, kind, event_id, floor_id, sha256, expires_ms, revoked_ms
from tokens
order by name";

const ADD: &str = "
insert into tokens (name, kind, event_id, floor_id, sha256, created_ms, expires_ms, verifier)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (name) do nothing";

const VERIFIERS: &str = "
select name, verifier
from tokens
where verifier is not null";

const LISTED: &str = "
select
    t.name, t.kind, t.event_id, t.floor_id, t.sha256, t.expires_ms, t.revoked_ms,
    t.created_ms, o.person_id, u.used_ms
from tokens t
left join token_owners o on o.name = t.name
left join token_uses u on u.name = t.name
order by t.name";

const OWN: &str = "
insert into token_owners (name, person_id)
values ($1, $2)";

const USE: &str = "
insert into token_uses (name, used_ms)
values ($1, $2)
on conflict (name) do update set
    used_ms = excluded.used_ms
where token_uses.used_ms < excluded.used_ms";

const REVOKE: &str = "
update tokens
set revoked_ms = $2
where name = $1 and revoked_ms is null";

impl Store {
    /// Every token, revoked and expired ones too.
    pub async fn tokens(&self) -> Result<Vec<Token>, Error> {
        let rows: Vec<Row> =
            on_engine!(&self.engine, read pool => sqlx::query_as(ALL).fetch_all(pool).await)?;
        Ok(rows.into_iter().filter_map(token).collect())
    }

    /// What other brokers hold in place of the tokens, by name.
    pub async fn token_verifiers(&self) -> Result<HashMap<String, String>, Error> {
        let rows: Vec<(String, String)> =
            on_engine!(&self.engine, read pool => sqlx::query_as(VERIFIERS).fetch_all(pool).await)?;
        Ok(rows.into_iter().collect())
    }

    /// Every token with what people want to know of it, and not its hash alone.
    pub async fn listed_tokens(&self) -> Result<Vec<ListedToken>, Error> {
        let rows: Vec<ListedRow> =
            on_engine!(&self.engine, read pool => sqlx::query_as(LISTED).fetch_all(pool).await)?;
        let listed = |row: ListedRow| {
            let (name, kind, event, floor, sha256, expires_ms, revoked_ms, created_ms, owner, used_ms) = row;
            let token = token((name, kind, event, floor, sha256, expires_ms, revoked_ms))?;
            Some(ListedToken {
                token,
                created_ms,
                owner: owner.and_then(|owner| owner.parse().ok()),
                used_ms,
            })
        };
        Ok(rows.into_iter().filter_map(listed).collect())
    }

    /// Adds a token, with what other brokers would hold in its place, and whose it is. `false` when the name is taken.
    pub async fn add_token(
        &self,
        token: &Token,
        verifier: &str,
        owner: Option<&PersonId>,
        by: &By,
    ) -> Result<bool, Error> {
        let sha256 = hex::encode(token.sha256);
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            let added = sqlx::query(ADD)
                .bind(&token.name)
                .bind(token.kind.as_str())
                .bind(token.event.as_str())
                .bind(token.floor.as_ref().map(FloorId::as_str))
                .bind(&sha256)
                .bind(by.at_ms)
                .bind(token.expires_ms)
                .bind(verifier)
                .execute(&mut *tx).await?.rows_affected() == 1;
            if added {
                if let Some(owner) = owner {
                    sqlx::query(OWN).bind(&token.name).bind(owner.as_str()).execute(&mut *tx).await?;
                }
                note!(tx, by, "added a token", &format!("{}, {}", token.name, token.kind.as_str()));
            }
            tx.commit().await?;
            Ok(added)
        })
    }

    /// Revokes a token. `false` when there is none of that name in force.
    pub async fn revoke_token(&self, name: &str, by: &By) -> Result<bool, Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            let revoked = sqlx::query(REVOKE)
                .bind(name)
                .bind(by.at_ms)
                .execute(&mut *tx).await?.rows_affected() == 1;
            if revoked {
                note!(tx, by, "revoked a token", name);
            }
            tx.commit().await?;
            Ok(revoked)
        })
    }

    /// Notes when tokens were used.
    pub async fn use_tokens(&self, uses: &HashMap<String, i64>) -> Result<(), Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            for (name, used_ms) in uses {
                sqlx::query(USE).bind(name).bind(used_ms).execute(&mut *tx).await?;
            }
            tx.commit().await?;
        });
        Ok(())
    }
}

/// A row that cannot be read (written by hand, or by a newer version) opens no door and is passed over.
fn token((name, kind, event, floor, sha256, expires_ms, revoked_ms): Row) -> Option<Token> {
    let readable = || {
        Some(Token {
            kind: TokenKind::read(&kind)?,
            event: event.parse().ok()?,
            floor: floor.map(|floor| floor.parse()).transpose().ok()?,
            sha256: hex32(&sha256)?,
            name: name.clone(),
            expires_ms,
            revoked_ms,
        })
    };
    let token = readable();
    if token.is_none() {
        tracing::warn!(token.name = %name, "a token in the database cannot be read and is ignored");
    }
    token
}

/// A hash as it is stored.
pub(crate) fn hex32(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}
