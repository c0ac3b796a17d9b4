//! Who is who and may do what: tokens, principals, and the topics each may write and read. Pure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use store::{Token, TokenKind};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use crate::topic;

/// What everybody with access to an event's floors may read, below `pika/v1/{event}/{floor}/`.
const PUBLIC: [&str; 6] = ["now/#", "history", "reactions", "event", "announcement", "poll"];

/// What stands where floors stand and is none.
const NO_FLOORS: [&[u8]; 2] = [b"cursor", b"audience"];

/// The tokens of the store. Starts empty and "not loaded"; clones share their content.
#[derive(Debug, Clone)]
pub struct Tokens {
    loaded: watch::Sender<Option<Loaded>>,
    /// When each was last used to log in, since somebody asked. Only known names, so as many as there are tokens.
    used: Arc<Mutex<HashMap<String, i64>>>,
}

type Loaded = Arc<HashMap<String, Known>>;

#[derive(Debug)]
struct Known {
    token: Token,
    principal: Arc<Principal>,
}

/// Why a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Tokens are not loaded yet: try again.
    NotReady,
    BadLogin,
    /// No login was given, and anonymous reading is off.
    NoLogin,
}

/// A client that has been let in, with the filters that say what it may write and read.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's name; empty for anonymous clients.
    name: String,
    sha256: [u8; 32],
    write: Vec<String>,
    read: Vec<String>,
    /// Services are our own programs: they publish as fast as they have to.
    is_service: bool,
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new()
    }
}

impl Tokens {
    pub fn new() -> Self {
        Self { loaded: watch::Sender::new(None), used: Arc::default() }
    }

    /// Sessions of tokens that are gone, revoked or expired end soon after.
    pub fn replace(&self, tokens: Vec<Token>) {
        let known = |token: Token| {
            let principal = Arc::new(Principal::of(&token));
            (token.name.clone(), Known { token, principal })
        };
        self.loaded.send_replace(Some(Arc::new(tokens.into_iter().map(known).collect())));
    }

    pub fn is_loaded(&self) -> bool {
        self.loaded.borrow().is_some()
    }

    /// Without user and password a client is anonymous, when that is allowed.
    pub fn login(
        &self,
        user: Option<&[u8]>,
        password: Option<&[u8]>,
        anonymous: Option<&Arc<Principal>>,
        now_ms: i64,
    ) -> Result<Arc<Principal>, Refused> {
        let (user, password) = (user.unwrap_or_default(), password.unwrap_or_default());
        if user.is_empty() && password.is_empty() {
            return anonymous.cloned().ok_or(Refused::NoLogin);
        }
        let loaded = self.loaded.borrow().clone().ok_or(Refused::NotReady)?;
        let known = std::str::from_utf8(user).ok().and_then(|user| loaded.get(user));
        let given: [u8; 32] = Sha256::digest(password).into();
        let expected = known.map_or([0; 32], |known| known.token.sha256);
        // Compared in constant time, also for names that do not exist.
        let same = bool::from(given.ct_eq(&expected));
        match known {
            Some(known) if same && is_valid(&known.token, now_ms) => {
                self.used().insert(known.token.name.clone(), now_ms);
                Ok(known.principal.clone())
            }
            _ => Err(Refused::BadLogin),
        }
    }

    /// When tokens were used to log in, since this was asked last.
    pub fn take_used(&self) -> HashMap<String, i64> {
        std::mem::take(&mut *self.used())
    }

    fn used(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        // Held for one insertion; a panic there leaves the map whole.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a principal that was let in before would be let in now, with the same rights.
    pub(crate) fn still_allows(&self, principal: &Principal, now_ms: i64) -> bool {
        if principal.name.is_empty() {
            return true;
        }
        let loaded = self.loaded.borrow();
        let known = loaded.as_ref().and_then(|loaded| loaded.get(&principal.name));
        known.is_some_and(|known| is_valid(&known.token, now_ms) && *known.principal == *principal)
    }

    pub(crate) fn changes(&self) -> impl Changes + use<> {
        let mut receiver = self.loaded.subscribe();
        receiver.mark_unchanged();
        receiver
    }
}

/// Tells when tokens were replaced.
pub(crate) trait Changes: Send {
    fn next(&mut self) -> impl Future<Output = ()> + Send;
}

impl<T: Send + Sync> Changes for watch::Receiver<T> {
    async fn next(&mut self) {
        if self.changed().await.is_err() {
            // No sender is left, so nothing will change any more.
            std::future::pending::<()>().await;
        }
    }
}

fn is_valid(token: &Token, now_ms: i64) -> bool {
    token.revoked_ms.is_none() && token.expires_ms.is_none_or(|at| now_ms < at)
}

impl Principal {
    pub fn anonymous() -> Self {
        Self {
            name: String::new(),
            sha256: [0; 32],
            write: Vec::new(),
            read: public("+", "+"),
            is_service: false,
        }
    }

    pub fn of(token: &Token) -> Self {
        let (event, name) = (token.event.as_str(), &token.name);
        let (write, read) = match token.kind {
            TokenKind::Desk => {
                let floor = token.floor.as_ref().map_or("+", |floor| floor.as_str());
                let desk = format!("pika/v1/{event}/{floor}/desk/{name}");
                let mut write: Vec<_> = ["status", "state", "play", "cover"]
                    .iter()
                    .map(|leaf| format!("{desk}/{leaf}"))
                    .collect();
                write.push(format!("pika/v1/{event}/{floor}/in/{name}"));
                let mut read = public(event, floor);
                read.push(format!("{desk}/#"));
                read.push(format!("pika/v1/{event}/cursor/{name}"));
                (write, read)
            }
            TokenKind::Service => {
                let mut write = public(event, "+");
                write.retain(|filter| !filter.starts_with('$'));
                for topic in ["+/in/+", "+/desk/+/requests", "cursor/+", "audience/+"] {
                    write.push(format!("pika/v1/{event}/{topic}"));
                }
                (write, vec![format!("pika/v1/{event}/#"), "$SYS/#".to_owned()])
            }
            TokenKind::Integrator => (Vec::new(), public(event, "+")),
        };
        let is_service = token.kind == TokenKind::Service;
        Self { name: name.clone(), sha256: token.sha256, write, read, is_service }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn is_service(&self) -> bool {
        self.is_service
    }

    pub fn may_publish(&self, topic: &[u8]) -> bool {
        self.write.iter().any(|filter| grants(filter, topic))
    }

    pub fn may_publish_anything(&self) -> bool {
        !self.write.is_empty()
    }

    pub fn may_read(&self, topic: &[u8]) -> bool {
        self.read.iter().any(|filter| grants(filter, topic))
    }

    /// Whether a subscription makes sense: some topic of it may be read. Others are kept back one by one.
    pub fn may_subscribe(&self, filter: &[u8]) -> bool {
        self.read.iter().any(|readable| {
            topic::overlaps(readable.as_bytes(), filter) && !(is_any_floor(readable) && is_no_floor(filter))
        })
    }

    /// Whether everything that matches `filter` may be read, so that messages need no check.
    pub fn may_read_all(&self, filter: &[u8]) -> bool {
        self.read.iter().any(|readable| {
            let is_safe = !is_any_floor(readable) || (!is_no_floor(filter) && level(filter) != Some(b"+"));
            is_safe && topic::covers(readable.as_bytes(), filter)
        })
    }
}

/// The longest message on a topic, beside the longest packet: a picture is small, or nobody takes it.
pub fn payload_bytes_max(topic: &[u8]) -> usize {
    if topic.ends_with(b"/cover") { protocol::message::COVER_BYTES_MAX } else { usize::MAX }
}

/// Whether a filter of ours allows a topic. Its `+` in the place of the floor means floors only: otherwise the cursor of
/// a producer named `now` would look like what plays on a floor named `cursor`.
fn grants(filter: &str, topic: &[u8]) -> bool {
    topic::matches(filter.as_bytes(), topic) && !(is_any_floor(filter) && is_no_floor(topic))
}

/// The level after `pika/v1/{event}`, where floors are, and a few other things.
fn level(topic: &[u8]) -> Option<&[u8]> {
    topic::levels(topic).nth(3)
}

fn is_any_floor(filter: &str) -> bool {
    level(filter.as_bytes()) == Some(b"+")
}

fn is_no_floor(topic: &[u8]) -> bool {
    level(topic).is_some_and(|level| NO_FLOORS.contains(&level))
}

fn public(event: &str, floor: &str) -> Vec<String> {
    let floors = PUBLIC.iter().map(|topic| format!("pika/v1/{event}/{floor}/{topic}"));
    floors.chain([format!("pika/v1/{event}/info"), "$SYS/#".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, kind: TokenKind, floor: Option<&str>) -> Token {
        Token {
            name: name.to_owned(),
            kind,
            event: "night".parse().expect("an event id"),
            floor: floor.map(|floor| floor.parse().expect("a floor id")),
            sha256: Token::hash("secret"),
            expires_ms: None,
            revoked_ms: None,
        }
    }

    #[test]
    fn who_may_write_and_read_what() {
        let desk = Principal::of(&token("anna", TokenKind::Desk, Some("main")));
        let roaming = Principal::of(&token("anna", TokenKind::Desk, None));
        let service = Principal::of(&token("archiver", TokenKind::Service, None));
        let lights = Principal::of(&token("lights", TokenKind::Integrator, None));
        let anonymous = Principal::anonymous();
        let all = [&desk, &roaming, &service, &lights, &anonymous];
        // One letter per principal in this order: w writes, r reads, b both, - neither.
        for (topic, expected) in [
            ("pika/v1/night/main/desk/anna/status", "bbr--"),
            ("pika/v1/night/main/desk/anna/state", "bbr--"),
            ("pika/v1/night/main/desk/anna/play", "bbr--"),
            ("pika/v1/night/main/desk/anna/cover", "bbr--"),
            ("pika/v1/night/main/desk/bert/cover", "--r--"),
            ("pika/v1/night/main/desk/anna/other", "rrr--"),
            ("pika/v1/night/main/desk/bert/play", "--r--"),
            ("pika/v1/night/attic/desk/anna/play", "-br--"),
            ("pika/v1/other/main/desk/anna/play", "-----"),
            ("pika/v1/night/main/in/anna", "wwb--"),
            ("pika/v1/night/main/in/web", "--b--"),
            ("pika/v1/night/attic/in/anna", "-wb--"),
            ("pika/v1/night/cursor/anna", "rrb--"),
            ("pika/v1/night/cursor/bert", "--b--"),
            ("pika/v1/night/audience/web", "--b--"),
            // Producers may have any name.
            ("pika/v1/night/cursor/now", "--b--"),
            ("pika/v1/night/cursor/now/title", "--r--"),
            ("pika/v1/night/cursor/history", "--b--"),
            ("pika/v1/night/audience/event", "--b--"),
            ("pika/v1/night/main/desk/now/play", "--r--"),
            ("pika/v1/night/main/in/now", "--b--"),
            ("pika/v1/night/info", "rrbrr"),
            ("pika/v1/night/main/now", "rrbrr"),
            ("pika/v1/night/main/now/title", "rrbrr"),
            ("pika/v1/night/attic/now", "-rbrr"),
            ("pika/v1/night/main/history", "rrbrr"),
            ("pika/v1/night/main/reactions", "rrbrr"),
            ("pika/v1/night/main/event", "rrbrr"),
            ("pika/v1/night/main/announcement", "rrbrr"),
            ("pika/v1/night/main/poll", "rrbrr"),
            ("pika/v1/other/main/now", "----r"),
            ("pika/v2/night/main/now", "-----"),
            ("homeassistant/status", "-----"),
            ("$SYS/broker/version", "rrrrr"),
            ("$other/x", "-----"),
        ] {
            let found: String = all
                .iter()
                .map(|who| match (who.may_publish(topic.as_bytes()), who.may_read(topic.as_bytes())) {
                    (true, true) => 'b',
                    (true, false) => 'w',
                    (false, true) => 'r',
                    (false, false) => '-',
                })
                .collect();
            assert_eq!(found, expected, "{topic}");
        }
    }

    #[test]
    fn who_may_subscribe() {
        let desk = Principal::of(&token("anna", TokenKind::Desk, Some("main")));
        let service = Principal::of(&token("archiver", TokenKind::Service, None));
        let anonymous = Principal::anonymous();
        for (filter, expected) in [
            ("#", "yyy"),
            ("pika/#", "yyy"),
            ("pika/v1/+/+/now", "yyy"),
            ("+/+/+/+/desk/bert/play", "-y-"),
            ("pika/v1/night/main/desk/#", "yy-"),
            ("pika/v1/night/main/desk/anna/cover", "yy-"),
            ("pika/v1/other/#", "--y"),
            ("homeassistant/#", "---"),
            ("$SYS/#", "yyy"),
            ("$other/#", "---"),
            ("pika/v1/night/cursor/now", "-y-"),
            ("pika/v1/+/cursor/now/#", "-y-"),
            ("pika/v1/night/cursor/anna", "yy-"),
            ("pika/v1/night/+/now", "yyy"),
        ] {
            let found: String = [&desk, &service, &anonymous]
                .iter()
                .map(|who| if who.may_subscribe(filter.as_bytes()) { 'y' } else { '-' })
                .collect();
            assert_eq!(found, expected, "{filter}");
        }
        assert!(anonymous.may_read_all(b"pika/v1/night/main/now/#"));
        assert!(!anonymous.may_read_all(b"pika/v1/night/+/now/#"), "a producer may be called now");
        assert!(service.may_read_all(b"pika/v1/night/#") && !service.may_read_all(b"pika/#"));
    }

    #[test]
    fn logging_in() {
        let tokens = Tokens::new();
        let anonymous = Arc::new(Principal::anonymous());
        let login = |user: &str, password: &str, now_ms| {
            let (user, password) = (Some(user.as_bytes()), Some(password.as_bytes()));
            tokens.login(user, password, None, now_ms).map(|principal| principal.name().to_owned())
        };
        assert_eq!(login("anna", "secret", 0), Err(Refused::NotReady));
        let expiring = Token { expires_ms: Some(10), ..token("bert", TokenKind::Desk, None) };
        let revoked = Token { revoked_ms: Some(1), ..token("carl", TokenKind::Desk, None) };
        tokens.replace(vec![token("anna", TokenKind::Desk, None), expiring, revoked]);
        assert_eq!(login("anna", "secret", 0), Ok("anna".to_owned()));
        assert_eq!(login("anna", "wrong", 0), Err(Refused::BadLogin));
        assert_eq!(login("nobody", "secret", 0), Err(Refused::BadLogin));
        assert_eq!(login("bert", "secret", 9), Ok("bert".to_owned()));
        assert_eq!(login("bert", "secret", 10), Err(Refused::BadLogin));
        assert_eq!(login("carl", "secret", 2), Err(Refused::BadLogin));
        assert_eq!(login("", "", 0), Err(Refused::NoLogin));
        assert!(tokens.login(None, None, Some(&anonymous), 0).is_ok());
        let anna = tokens.login(Some(b"anna"), Some(b"secret"), None, 0).expect("let in");
        assert!(tokens.still_allows(&anna, 0));
        tokens.replace(vec![token("anna", TokenKind::Desk, Some("main"))]);
        assert!(!tokens.still_allows(&anna, 0), "other rights");
        tokens.replace(Vec::new());
        assert!(!tokens.still_allows(&anna, 0) && tokens.still_allows(&anonymous, 0));
    }
}
