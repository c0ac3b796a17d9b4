//! Somebody who has logged in with a password. What a browser holds is random and means nothing by itself; the database knows
//! whose it is, so a session can be ended from anywhere.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use config::clock::seed;
use protocol::PersonId;
use ring::hmac;
use store::{By, PasswordHash, Role, SESSION_IDLE_MS, Session, Store};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::web::Problem;
use crate::web::archive::Archive;
use crate::web::dancer::{cookies, set_cookie};

const COOKIE: &str = "pika_session";
const COOKIE_HTTPS: &str = "__Host-pika_session";

/// Remembers that somebody has logged in with this browser before, so that strangers who try names cannot lock her out here.
const KNOWN_COOKIE: &str = "pika_known";
const KNOWN_COOKIE_HTTPS: &str = "__Host-pika_known";
const KNOWN_S: u64 = 366 * 86_400;

/// That a session is in use is noted so often.
const SEEN_EVERY_MS: i64 = 60_000;

const PATIENCE: Duration = Duration::from_secs(3);

/// Browsers say a lot of themselves; more than this is not kept.
const BROWSER_CHARS_MAX: usize = 80;

/// Logs people in. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct People {
    archive: Archive,
    key: hmac::Key,
    /// A hash takes 19 MiB: one at a time.
    hashing: Arc<Semaphore>,
}

/// A person who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoggedIn {
    pub(super) id: PersonId,
    pub(super) role: Role,
    /// Of what this browser holds.
    pub(super) session: [u8; 32],
}

impl LoggedIn {
    pub(super) fn is_organizer(&self) -> bool {
        self.role == Role::Organizer
    }

    /// As it stands in the list of changes.
    pub(super) fn by(&self, now_ms: i64) -> By {
        By::at(self.id.as_str(), now_ms, seed())
    }
}

impl People {
    pub(super) fn new(archive: Archive, secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self { archive, key, hashing: Arc::new(Semaphore::new(1)) }
    }

    fn store(&self) -> &Store {
        self.archive.store()
    }

    /// Cookies for whoever knows the password. `None`: nobody of that name does.
    pub(super) async fn login(
        &self,
        name: &str,
        password: &str,
        headers: &HeaderMap,
        https: bool,
        now_ms: i64,
    ) -> Result<Option<Vec<HeaderValue>>, Problem> {
        let person: Option<PersonId> = name.parse().ok();
        let known = match &person {
            Some(person) => self.archive.ask(self.store().login_of(person)).await?,
            None => None,
        };
        let hash = known.and_then(|(_, hash)| hash);
        let fits = hash.is_some();
        // As long for a name that nobody has.
        let hash = hash.unwrap_or_else(|| PasswordHash::of_nobody().clone());
        let password = password.to_owned();
        let is_right = self.hashed(move || hash.is_of(&password)).await? && fits;
        let Some(person) = person.filter(|_| is_right) else { return Ok(None) };
        // Another one at each login, whatever the browser came with.
        let mut token = [0; 32];
        getrandom::fill(&mut token).map_err(|_| Problem::Busy)?;
        let token = hex::encode(token);
        let browser = browser(headers);
        let session = Session {
            sha256: store::Token::hash(&token),
            person,
            browser,
            created_ms: now_ms,
            seen_ms: now_ms,
        };
        let by = By::at(session.person.as_str(), now_ms, seed());
        if let Some(before) = held(headers, https) {
            self.archive.ask(self.store().end_session(&session.person, &before, &by)).await?;
        }
        let by = By::at(session.person.as_str(), now_ms, seed());
        self.archive.ask(self.store().begin_session(&session, &by)).await?;
        let known = format!("{}.{}", session.person, self.mark(session.person.as_str()));
        let idle_s = u64::try_from(SESSION_IDLE_MS / 1000).unwrap_or_default();
        let cookies = [
            set_cookie(name_of(https), &token, idle_s, https),
            set_cookie(known_name_of(https), &known, KNOWN_S, https),
        ];
        Ok(Some(cookies.into_iter().flatten().collect()))
    }

    /// Whether somebody of that name has logged in with this browser before.
    pub(super) fn knows(&self, name: &str, headers: &HeaderMap, https: bool) -> bool {
        let wanted = known_name_of(https);
        cookies(headers).filter(|(cookie, _)| *cookie == wanted).any(|(_, value)| {
            value.split_once('.').is_some_and(|(of, mark)| {
                of == name && bool::from(self.mark(name).as_bytes().ct_eq(mark.as_bytes()))
            })
        })
    }

    fn mark(&self, name: &str) -> String {
        hex::encode(hmac::sign(&self.key, format!("known {name}").as_bytes()))
    }

    /// Who is logged in with this browser.
    pub(super) async fn of(
        &self,
        headers: &HeaderMap,
        https: bool,
        now_ms: i64,
    ) -> Result<LoggedIn, Problem> {
        let held = held(headers, https).ok_or(Problem::NotLoggedIn)?;
        let found = self.archive.ask(self.store().session(&held, now_ms)).await?;
        let (session, role) = found.ok_or(Problem::NotLoggedIn)?;
        if now_ms - session.seen_ms > SEEN_EVERY_MS {
            self.archive.ask(self.store().see_session(&held, now_ms)).await?;
        }
        Ok(LoggedIn { id: session.person, role, session: held })
    }

    /// Ends the session of this browser.
    pub(super) async fn logout(
        &self,
        headers: &HeaderMap,
        https: bool,
        now_ms: i64,
    ) -> Result<Option<HeaderValue>, Problem> {
        if let Ok(person) = self.of(headers, https, now_ms).await {
            self.archive
                .ask(self.store().end_session(&person.id, &person.session, &person.by(now_ms)))
                .await?;
        }
        Ok(set_cookie(name_of(https), "", 0, https))
    }

    /// Sets a password, and logs the person out everywhere but here.
    pub(super) async fn set_password(
        &self,
        person: &PersonId,
        password: &str,
        but_for: Option<&[u8; 32]>,
        by: &By,
    ) -> Result<(), Problem> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| Problem::Busy)?;
        let password = password.to_owned();
        let hash =
            self.hashed(move || PasswordHash::of(&password, &salt)).await?.map_err(Problem::BadPassword)?;
        if self.archive.ask(self.store().set_password(person, &hash, but_for, by)).await? {
            Ok(())
        } else {
            Err(Problem::NotFound)
        }
    }

    /// Whether it is this person's password.
    pub(super) async fn is_password(&self, person: &PersonId, password: &str) -> Result<bool, Problem> {
        let known = self.archive.ask(self.store().login_of(person)).await?;
        let Some((_, Some(hash))) = known else { return Ok(false) };
        let password = password.to_owned();
        self.hashed(move || hash.is_of(&password)).await
    }

    async fn hashed<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        // Who waits longer than this has been overtaken by a flood of logins, and tries again.
        let turn = timeout(PATIENCE, self.hashing.acquire()).await;
        let _turn = turn.map_err(|_| Problem::Busy)?.map_err(|_| Problem::Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| Problem::Busy)
    }
}

/// What the browser holds, if it is of our making by its form.
fn held(headers: &HeaderMap, https: bool) -> Option<[u8; 32]> {
    let wanted = name_of(https);
    let (_, token) = cookies(headers).find(|(name, _)| *name == wanted)?;
    (token.len() == 64).then(|| store::Token::hash(token))
}

fn name_of(https: bool) -> &'static str {
    if https { COOKIE_HTTPS } else { COOKIE }
}

fn known_name_of(https: bool) -> &'static str {
    if https { KNOWN_COOKIE_HTTPS } else { KNOWN_COOKIE }
}

/// What a person knows her browser by: `Firefox, Android`.
fn browser(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = |names: &[&'static str]| names.iter().find(|name| agent.contains(**name)).copied();
    // The later ones stand in what the earlier ones say of themselves too.
    let program = first(&["Firefox", "Edg", "OPR", "Vivaldi", "Chrome", "Safari", "curl"]);
    let system = first(&["Android", "iPhone", "iPad", "Windows", "Mac OS", "CrOS", "Linux"]);
    let known: Vec<&str> = [program, system].into_iter().flatten().collect();
    let text = if known.is_empty() { agent.to_owned() } else { known.join(", ") };
    text.chars().filter(|character| !character.is_control()).take(BROWSER_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_by_their_names() {
        let check = |agent: &str, expected: &str| {
            let agent = HeaderValue::from_str(agent).unwrap();
            assert_eq!(browser(&HeaderMap::from_iter([(header::USER_AGENT, agent)])), expected);
        };
        check("Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox, Android");
        check(
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0.0.0 Safari/537.36",
            "Chrome, Linux",
        );
        check(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari, iPhone",
        );
        check("something else", "something else");
        assert_eq!(browser(&HeaderMap::new()), "");
        check(&"x".repeat(500), &"x".repeat(80));
    }
}
