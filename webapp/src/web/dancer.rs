//! Who a dancer is: a number drawn at random and when that was, in a cookie that only we can make.

use axum::http::{HeaderMap, HeaderValue, header};
use protocol::DancerId;
use ring::hmac;

/// On HTTPS the prefix keeps other hosts of the domain from setting it (RFC 6265bis section 4.1.3).
const COOKIE: &str = "pika_dancer";
const COOKIE_HTTPS: &str = "__Host-pika_dancer";

/// A dancer who comes back next year is the same one.
const MAX_AGE_S: u64 = 366 * 86_400;

/// Of the signature, so many bytes: nobody can try them out, since each try is a request.
const SIGNATURE_BYTES: usize = 16;

/// 96 random bits: two dancers never get the same.
const ID_BYTES: usize = 12;

/// Makes and checks dancers' cookies.
#[derive(Debug, Clone)]
pub(crate) struct Dancers(hmac::Key);

/// A dancer as the cookie tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dancer {
    pub(super) id: DancerId,
    /// When we made the cookie.
    pub(super) since_ms: i64,
}

impl Dancers {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Somebody new. `None`: the system has no randomness for one.
    pub(super) fn new_one(&self, now_ms: i64) -> Option<Dancer> {
        let mut bytes = [0; ID_BYTES];
        getrandom::fill(&mut bytes).ok()?;
        // The cookie has whole seconds.
        Some(Dancer { id: hex::encode(bytes).parse().ok()?, since_ms: now_ms / 1000 * 1000 })
    }

    /// The dancer that the browser says it is, if we said so before.
    pub(super) fn known(&self, headers: &HeaderMap, https: bool) -> Option<Dancer> {
        let wanted = name(https);
        cookies(headers).find_map(|(name, value)| (name == wanted).then(|| self.read(value)).flatten())
    }

    /// `Set-Cookie` that lets the browser remember who it is.
    pub(super) fn cookie(&self, dancer: &Dancer, https: bool) -> Option<HeaderValue> {
        let value = format!("{}.{:x}", dancer.id, dancer.since_ms / 1000);
        let signature = self.signature(&value);
        set_cookie(name(https), &format!("{value}.{signature}"), MAX_AGE_S, https)
    }

    /// `Set-Cookie` that lets the browser forget it.
    pub(super) fn forget(https: bool) -> Option<HeaderValue> {
        set_cookie(name(https), "", 0, https)
    }

    fn signature(&self, value: &str) -> String {
        hex::encode(&hmac::sign(&self.0, value.as_bytes()).as_ref()[..SIGNATURE_BYTES])
    }

    fn read(&self, cookie: &str) -> Option<Dancer> {
        let (value, signature) = cookie.rsplit_once('.')?;
        let right = self.signature(value);
        // All of it is compared, however early it differs.
        let differs = right.bytes().zip(signature.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
        if right.len() != signature.len() || differs != 0 {
            return None;
        }
        let (id, since) = value.split_once('.')?;
        Some(Dancer {
            id: id.parse().ok()?,
            since_ms: i64::from_str_radix(since, 16).ok()?.checked_mul(1000)?,
        })
    }
}

/// On plain HTTP, as in a venue without internet, a cookie marked as secure would not come back.
fn name(https: bool) -> &'static str {
    if https { COOKIE_HTTPS } else { COOKIE }
}

/// Names and values of all cookies.
pub(super) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).filter_map(|one| one.trim().split_once('='))
}

/// A cookie for all of our pages, out of reach of any script.
pub(super) fn set_cookie(name: &str, value: &str, max_age_s: u64, https: bool) -> Option<HeaderValue> {
    let secure = if https { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&cookie).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(cookie).unwrap())])
    }

    /// The name and value that a browser sends back.
    fn pair(dancers: &Dancers, dancer: &Dancer, https: bool) -> String {
        let cookie = dancers.cookie(dancer, https).unwrap();
        cookie.to_str().unwrap().split_once(';').unwrap().0.to_owned()
    }

    #[test]
    fn a_dancer_stays_the_same() {
        let dancers = Dancers::new(b"secret");
        for https in [false, true] {
            let new = dancers.new_one(1_795_000_000_123).unwrap();
            assert_eq!(new.since_ms, 1_795_000_000_000);
            let sent = headers(&format!("a=b; {}; c=d", pair(&dancers, &new, https)));
            assert_eq!(dancers.known(&sent, https), Some(new));
            assert_eq!(dancers.known(&sent, !https), None, "a cookie of the other kind");
        }
        assert_eq!(dancers.known(&HeaderMap::new(), false), None);
        assert_ne!(dancers.new_one(0).unwrap().id, dancers.new_one(0).unwrap().id);
    }

    #[test]
    fn nobody_else_can_make_one() {
        let dancers = Dancers::new(b"secret");
        let new = dancers.new_one(1_795_000_000_000).unwrap();
        let right = pair(&dancers, &new, false);
        let elsewhere = pair(&Dancers::new(b"another"), &new, false);
        let older = right.replace(&format!(".{:x}.", new.since_ms / 1000), ".1.");
        let other = right.replace(new.id.as_str(), "abc");
        assert!(older != right && other != right);
        for forged in [
            elsewhere.as_str(),
            &format!("{right}0"),
            &right[..right.len() - 1],
            &older,
            &other,
            "pika_dancer=abc",
            "pika_dancer=",
            "pika_dancer=...",
        ] {
            assert_eq!(dancers.known(&headers(forged), false), None, "{forged}");
        }
    }

    #[test]
    fn the_cookie_is_secure_where_it_can_be() {
        let dancers = Dancers::new(b"secret");
        let new = dancers.new_one(0).unwrap();
        let read = |https| dancers.cookie(&new, https).unwrap().to_str().unwrap().to_owned();
        let plain = read(false);
        assert!(plain.contains("HttpOnly") && plain.contains("SameSite=Lax") && !plain.contains("Secure"));
        assert!(
            read(true).starts_with("__Host-pika_dancer=")
                && read(true).contains("Path=/")
                && read(true).contains("Secure")
        );
    }
}
