//! Who a dancer is: a number drawn at random, in a cookie that only we can make.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use protocol::DancerId;
use ring::hmac;

const COOKIE: &str = "pika_dancer";

/// Takes the cookie back.
pub(super) const FORGET_COOKIE: &str = "pika_dancer=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax";

/// A dancer who comes back next year is the same one.
const MAX_AGE_S: u64 = 366 * 86_400;

/// Of the signature, so many bytes: nobody can try them out, since each try is a request.
const SIGNATURE_BYTES: usize = 16;

/// 96 random bits: two dancers never get the same.
const ID_BYTES: usize = 12;

/// Makes and checks dancers' cookies.
#[derive(Debug, Clone)]
pub(crate) struct Dancers(hmac::Key);

/// A dancer, and the cookie to be set if there was none.
#[derive(Debug)]
pub(super) struct Dancer {
    pub(super) id: DancerId,
    pub(super) cookie: Option<HeaderValue>,
}

impl Dancer {
    /// Sees to it that the browser remembers who it is.
    pub(super) fn remember(self, response: &mut Response) {
        if let Some(cookie) = self.cookie {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
    }
}

impl Dancers {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Whoever asks, known or new. `None`: the system has no randomness for a new one.
    pub(super) fn of(&self, headers: &HeaderMap) -> Option<Dancer> {
        if let Some(id) = self.known(headers) {
            return Some(Dancer { id, cookie: None });
        }
        let mut bytes = [0; ID_BYTES];
        getrandom::fill(&mut bytes).ok()?;
        let id: DancerId = hex(&bytes).parse().ok()?;
        // On plain HTTP, as in a venue without internet, a cookie marked as secure would not come back.
        let is_https = headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https");
        let secure = if is_https { "; Secure" } else { "" };
        let cookie = format!(
            "{COOKIE}={}; Path=/; Max-Age={MAX_AGE_S}; HttpOnly; SameSite=Lax{secure}",
            self.signed(&id)
        );
        Some(Dancer { id, cookie: HeaderValue::from_str(&cookie).ok() })
    }

    /// The dancer that the browser says it is, if we said so before.
    pub(super) fn known(&self, headers: &HeaderMap) -> Option<DancerId> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut cookies =
            cookies.flat_map(|value| value.split(';')).filter_map(|one| one.trim().split_once('='));
        cookies.find_map(|(name, value)| (name == COOKIE).then(|| self.read(value)).flatten())
    }

    fn signed(&self, id: &DancerId) -> String {
        format!("{id}.{}", self.signature(id))
    }

    fn signature(&self, id: &DancerId) -> String {
        hex(&hmac::sign(&self.0, id.as_str().as_bytes()).as_ref()[..SIGNATURE_BYTES])
    }

    fn read(&self, cookie: &str) -> Option<DancerId> {
        let (id, signature) = cookie.split_once('.')?;
        let id: DancerId = id.parse().ok()?;
        let right = self.signature(&id);
        // All of it is compared, however early it differs.
        let differs = right.bytes().zip(signature.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
        (right.len() == signature.len() && differs == 0).then_some(id)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(cookie).unwrap())])
    }

    /// The name and value that a browser sends back.
    fn pair(dancer: &Dancer) -> String {
        let cookie = dancer.cookie.as_ref().unwrap().to_str().unwrap();
        cookie.split_once(';').unwrap().0.to_owned()
    }

    #[test]
    fn a_dancer_stays_the_same() {
        let dancers = Dancers::new(b"secret");
        let new = dancers.of(&HeaderMap::new()).unwrap();
        let again = dancers.of(&headers(&format!("a=b; {}; c=d", pair(&new)))).unwrap();
        assert!(again.id == new.id && again.cookie.is_none());
        assert_ne!(dancers.of(&HeaderMap::new()).unwrap().id, new.id);
    }

    #[test]
    fn nobody_else_can_make_one() {
        let dancers = Dancers::new(b"secret");
        let new = dancers.of(&HeaderMap::new()).unwrap();
        let elsewhere = Dancers::new(b"another").of(&HeaderMap::new()).unwrap();
        let (right, long) = (pair(&new), format!("{}0", pair(&new)));
        let short = &right[..right.len() - 1];
        let (name, signature) = right.split_once('.').unwrap();
        let other = format!("{}.{signature}", name.replace(&new.id.to_string(), "abc"));
        for forged in
            [&pair(&elsewhere), &long, short, &other, "pika_dancer=abc", "pika_dancer=", "pika_dancer=.."]
        {
            let dancer = dancers.of(&headers(forged)).unwrap();
            assert!(dancer.cookie.is_some() && dancer.id != new.id, "{forged}");
        }
    }

    #[test]
    fn the_cookie_is_secure_where_it_can_be() {
        let dancers = Dancers::new(b"secret");
        let cookie =
            |headers: &HeaderMap| dancers.of(headers).unwrap().cookie.unwrap().to_str().unwrap().to_owned();
        let plain = cookie(&HeaderMap::new());
        assert!(plain.contains("HttpOnly") && plain.contains("SameSite=Lax") && !plain.contains("Secure"));
        let proxied =
            HeaderMap::from_iter([("x-forwarded-proto".parse().unwrap(), HeaderValue::from_static("https"))]);
        assert!(cookie(&proxied).contains("Secure"));
    }
}
