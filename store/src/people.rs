//! People who log in with a password, and the browsers in which they are logged in.

use protocol::PersonId;

use crate::audit::{By, note};
use crate::engine::{Error, Store, on_engine};
use crate::password::PasswordHash;
use crate::tokens::hex32;

/// A browser that was not used for so long has to log in again.
pub const SESSION_IDLE_MS: i64 = 30 * 86_400_000;

/// Browsers of one person; beyond it, the one that was used least lately is logged out.
const SESSIONS_MAX: i64 = 20;

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Organizer,
    /// Play with the desks that belong to him.
    Dj,
}

impl Role {
    /// As stored and as written on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Organizer => "organizer",
            Role::Dj => "dj",
        }
    }

    /// The role of that name.
    pub fn read(text: &str) -> Option<Self> {
        [Role::Organizer, Role::Dj].into_iter().find(|role| role.as_str() == text)
    }
}

/// Somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub id: PersonId,
    pub role: Role,
    pub created_ms: i64,
    /// When the password was set, if it was.
    pub password_ms: Option<i64>,
    /// When one of the person's browsers was seen last.
    pub seen_ms: Option<i64>,
}

/// A browser in which a person is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Of what its cookie holds.
    pub sha256: [u8; 32],
    pub person: PersonId,
    pub browser: String,
    pub created_ms: i64,
    pub seen_ms: i64,
}

/// Why a person is what she was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// There is nobody of that name.
    Nobody,
    /// Without this one there would be no organizer.
    LastOrganizer,
}

type PersonRow = (String, String, i64, Option<i64>, Option<i64>);
type SessionRow = (String, String, String, i64, i64);

const ALL: &str = "
select id, role, created_ms, password_ms, (select max(seen_ms) from sessions where sessions.person_id = people.id)
from people
order by id";

const ONE: &str = "
select role, password
from people
where id = $1";

const ADD: &str = "
insert into people (id, role, created_ms)
values ($1, $2, $3)
on conflict (id) do nothing";

const OTHER_ORGANIZERS: &str = "
select count(*)
from people
where role = 'organizer' and id <> $1";

const SET_ROLE: &str = "
update people
set role = $2
where id = $1";

const REMOVE: &str = "
delete from people
where id = $1";

const REVOKE_OWNED: &str = "
update tokens
set revoked_ms = $2
where revoked_ms is null and name in (select name from token_owners where person_id = $1)";

const SET_PASSWORD: &str = "
update people
set password = $2, password_ms = $3
where id = $1";

pub(crate) const SESSION: &str = "
select s.person_id, s.browser, s.created_ms, s.seen_ms, p.role
from sessions s
join people p on p.id = s.person_id
where s.sha256 = $1 and s.seen_ms > $2";

pub(crate) const SESSIONS_OF: &str = "
select sha256, person_id, browser, created_ms, seen_ms
from sessions
where person_id = $1
order by seen_ms desc, sha256";

const BEGIN: &str = "
insert into sessions (sha256, person_id, browser, created_ms, seen_ms)
values ($1, $2, $3, $4, $4)
on conflict (sha256) do nothing";

const TIDY: &str = "
delete from sessions
where seen_ms < $1";

const CROWD_OUT: &str = "
delete from sessions
where person_id = $1
    and sha256 not in (
        select sha256
        from sessions
        where person_id = $1
        order by seen_ms desc, sha256
        limit $2
    )";

const SEE: &str = "
update sessions
set seen_ms = $2
where sha256 = $1 and seen_ms < $2";

const END: &str = "
delete from sessions
where sha256 = $1 and person_id = $2";

const END_OTHERS: &str = "
delete from sessions
where person_id = $1 and sha256 <> $2";

/// Why a person has to stay what she is.
macro_rules! kept {
    ($tx:expr, $person:expr, $stays_organizer:expr) => {{
        let row: Option<(String, Option<String>)> =
            sqlx::query_as(ONE).bind($person.as_str()).fetch_optional(&mut *$tx).await?;
        let (others,): (i64,) =
            sqlx::query_as(OTHER_ORGANIZERS).bind($person.as_str()).fetch_one(&mut *$tx).await?;
        match row {
            None => Some(Kept::Nobody),
            Some((role, _)) if role == Role::Organizer.as_str() && others == 0 && !$stays_organizer => {
                Some(Kept::LastOrganizer)
            }
            Some(_) => None,
        }
    }};
}

impl Store {
    /// Everybody who may log in.
    pub async fn people(&self) -> Result<Vec<Person>, Error> {
        let rows: Vec<PersonRow> =
            on_engine!(&self.engine, read pool => sqlx::query_as(ALL).fetch_all(pool).await)?;
        let person = |(id, role, created_ms, password_ms, seen_ms): PersonRow| {
            let (id, role) = (id.parse().ok()?, Role::read(&role)?);
            Some(Person { id, role, created_ms, password_ms, seen_ms })
        };
        Ok(rows.into_iter().filter_map(person).collect())
    }

    /// What a person may do, and the hash of the password if there is one.
    pub async fn login_of(&self, person: &PersonId) -> Result<Option<(Role, Option<PasswordHash>)>, Error> {
        let row: Option<(String, Option<String>)> = on_engine!(&self.engine, read pool => sqlx::query_as(ONE)
            .bind(person.as_str())
            .fetch_optional(pool).await)?;
        Ok(row.and_then(|(role, password)| Some((Role::read(&role)?, password.map(PasswordHash::stored)))))
    }

    /// Adds somebody, who cannot log in before a password is set. `false` when the name is taken.
    pub async fn add_person(&self, person: &PersonId, role: Role, by: &By) -> Result<bool, Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            let added = sqlx::query(ADD)
                .bind(person.as_str())
                .bind(role.as_str())
                .bind(by.at_ms)
                .execute(&mut *tx).await?.rows_affected() == 1;
            if added {
                note!(tx, by, "added a person", &format!("{person}, {}", role.as_str()));
            }
            tx.commit().await?;
            Ok(added)
        })
    }

    /// Gives a person another role.
    pub async fn set_role(&self, person: &PersonId, role: Role, by: &By) -> Result<Result<(), Kept>, Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            if let Some(kept) = kept!(tx, person, role == Role::Organizer) {
                return Ok(Err(kept));
            }
            sqlx::query(SET_ROLE)
                .bind(person.as_str())
                .bind(role.as_str())
                .execute(&mut *tx).await?;
            note!(tx, by, "changed a role", &format!("{person}, {}", role.as_str()));
            tx.commit().await?;
            Ok(Ok(()))
        })
    }

    /// Removes a person, logs her out everywhere and revokes her desks.
    pub async fn remove_person(&self, person: &PersonId, by: &By) -> Result<Result<(), Kept>, Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            if let Some(kept) = kept!(tx, person, false) {
                return Ok(Err(kept));
            }
            sqlx::query(REVOKE_OWNED).bind(person.as_str()).bind(by.at_ms).execute(&mut *tx).await?;
            sqlx::query(END_OTHERS).bind(person.as_str()).bind("").execute(&mut *tx).await?;
            sqlx::query(REMOVE).bind(person.as_str()).execute(&mut *tx).await?;
            note!(tx, by, "removed a person", person.as_str());
            tx.commit().await?;
            Ok(Ok(()))
        })
    }

    /// Sets a person's password and logs her out everywhere, but for the session that did it. `false`: there is nobody of that
    /// name.
    pub async fn set_password(
        &self,
        person: &PersonId,
        password: &PasswordHash,
        but_for: Option<&[u8; 32]>,
        by: &By,
    ) -> Result<bool, Error> {
        let but_for = but_for.map(hex::encode).unwrap_or_default();
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            let changed = sqlx::query(SET_PASSWORD)
                .bind(person.as_str())
                .bind(password.as_str())
                .bind(by.at_ms)
                .execute(&mut *tx).await?.rows_affected() == 1;
            if changed {
                sqlx::query(END_OTHERS).bind(person.as_str()).bind(&but_for).execute(&mut *tx).await?;
                note!(tx, by, "set a password", person.as_str());
            }
            tx.commit().await?;
            Ok(changed)
        })
    }

    /// Notes that a person has logged in with a browser.
    pub async fn begin_session(&self, session: &Session, by: &By) -> Result<(), Error> {
        let sha256 = hex::encode(session.sha256);
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            sqlx::query(TIDY).bind(by.at_ms.saturating_sub(SESSION_IDLE_MS)).execute(&mut *tx).await?;
            sqlx::query(BEGIN)
                .bind(&sha256)
                .bind(session.person.as_str())
                .bind(&session.browser)
                .bind(by.at_ms)
                .execute(&mut *tx).await?;
            sqlx::query(CROWD_OUT)
                .bind(session.person.as_str())
                .bind(SESSIONS_MAX)
                .execute(&mut *tx).await?;
            note!(tx, by, "logged in", session.person.as_str());
            tx.commit().await?;
        });
        Ok(())
    }

    /// The session of a cookie, and what its person may do now.
    pub async fn session(&self, sha256: &[u8; 32], now_ms: i64) -> Result<Option<(Session, Role)>, Error> {
        type Row = (String, String, i64, i64, String);
        let row: Option<Row> = on_engine!(&self.engine, read pool => sqlx::query_as(SESSION)
            .bind(hex::encode(sha256))
            .bind(now_ms.saturating_sub(SESSION_IDLE_MS))
            .fetch_optional(pool).await)?;
        Ok(row.and_then(|(person, browser, created_ms, seen_ms, role)| {
            let session =
                Session { sha256: *sha256, person: person.parse().ok()?, browser, created_ms, seen_ms };
            Some((session, Role::read(&role)?))
        }))
    }

    /// Notes that a session is in use.
    pub async fn see_session(&self, sha256: &[u8; 32], now_ms: i64) -> Result<(), Error> {
        on_engine!(&self.engine, write pool => sqlx::query(SEE)
            .bind(hex::encode(sha256))
            .bind(now_ms)
            .execute(pool).await.map(drop))?;
        Ok(())
    }

    /// In which browsers a person is logged in, the last one used first.
    pub async fn sessions_of(&self, person: &PersonId) -> Result<Vec<Session>, Error> {
        let rows: Vec<SessionRow> = on_engine!(&self.engine, read pool => sqlx::query_as(SESSIONS_OF)
            .bind(person.as_str())
            .fetch_all(pool).await)?;
        let session = |(sha256, person, browser, created_ms, seen_ms): SessionRow| {
            let (sha256, person) = (hex32(&sha256)?, person.parse().ok()?);
            Some(Session { sha256, person, browser, created_ms, seen_ms })
        };
        Ok(rows.into_iter().filter_map(session).collect())
    }

    /// Logs a person out of one browser. `false`: there is no such session of this person.
    pub async fn end_session(&self, person: &PersonId, sha256: &[u8; 32], by: &By) -> Result<bool, Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            let ended = sqlx::query(END)
                .bind(hex::encode(sha256))
                .bind(person.as_str())
                .execute(&mut *tx).await?.rows_affected() == 1;
            if ended {
                note!(tx, by, "ended a session", person.as_str());
            }
            tx.commit().await?;
            Ok(ended)
        })
    }

    /// Logs a person out everywhere.
    pub async fn end_sessions(&self, person: &PersonId, by: &By) -> Result<u64, Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            let ended = sqlx::query(END_OTHERS)
                .bind(person.as_str())
                .bind("")
                .execute(&mut *tx).await?.rows_affected();
            if ended > 0 {
                note!(tx, by, "ended all sessions", person.as_str());
            }
            tx.commit().await?;
            Ok(ended)
        })
    }
}
