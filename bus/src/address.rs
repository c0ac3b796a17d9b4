//! Where the broker is and who we are to it, as one URL.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use url::Url;

/// `mqtt://name:token@host:1883`, or with `mqtts`, `ws` or `wss`. Name and token may be absent.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BrokerUrl(Url);

/// The text is no broker URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a broker URL is mqtt://, mqtts://, ws:// or wss:// and a host, for example mqtt://localhost:1883")]
pub struct BadBrokerUrl;

/// How the bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    Tcp,
    Tls,
    WebSocket,
    WebSocketTls,
}

impl FromStr for BrokerUrl {
    type Err = BadBrokerUrl;
    fn from_str(text: &str) -> Result<Self, BadBrokerUrl> {
        let url = Url::parse(text).map_err(|_| BadBrokerUrl)?;
        let known = matches!(url.scheme(), "mqtt" | "mqtts" | "ws" | "wss");
        if known && url.host_str().is_some_and(|host| !host.is_empty()) {
            Ok(Self(url))
        } else {
            Err(BadBrokerUrl)
        }
    }
}

impl TryFrom<String> for BrokerUrl {
    type Error = BadBrokerUrl;
    fn try_from(text: String) -> Result<Self, BadBrokerUrl> {
        text.parse()
    }
}

impl BrokerUrl {
    /// The same broker with another name and token.
    pub fn with_login(mut self, name: &str, token: &str) -> Self {
        // Fails only for URLs without a host, and those were refused.
        let _ = self.0.set_username(name);
        let _ = self.0.set_password(Some(token));
        self
    }

    /// Whether the URL itself names a login.
    pub fn has_login(&self) -> bool {
        !self.0.username().is_empty()
    }

    /// The name in the login.
    pub fn login_name(&self) -> Option<String> {
        self.login().map(|(name, _)| name)
    }

    /// Host and port, when nothing but TCP is between us and the broker.
    pub fn tcp(&self) -> Option<(String, u16)> {
        (self.road() == Road::Tcp).then(|| (self.host().to_owned(), self.port()))
    }

    pub(crate) fn road(&self) -> Road {
        match self.0.scheme() {
            "mqtts" => Road::Tls,
            "ws" => Road::WebSocket,
            "wss" => Road::WebSocketTls,
            _ => Road::Tcp,
        }
    }

    pub(crate) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port().unwrap_or(match self.road() {
            Road::Tcp => 1883,
            Road::Tls => 8883,
            Road::WebSocket => 80,
            Road::WebSocketTls => 443,
        })
    }

    /// The URL without the login, to be shown.
    pub fn without_login(&self) -> String {
        self.plain().to_string()
    }

    fn plain(&self) -> Url {
        let mut url = self.0.clone();
        // Fails only for URLs without a host, and those were refused.
        let _ = (url.set_username(""), url.set_password(None));
        url
    }

    /// For WebSocket: the login travels in CONNECT, and a bare host means the usual path.
    pub(crate) fn websocket(&self) -> String {
        let mut url = self.plain();
        if url.path() == "/" {
            url.set_path("/mqtt");
        }
        url.into()
    }

    pub(crate) fn login(&self) -> Option<(String, String)> {
        self.has_login().then(|| (decoded(self.0.username()), decoded(self.0.password().unwrap_or_default())))
    }
}

fn decoded(text: &str) -> String {
    // `form_urlencoded` would turn '+' into a space; a user part keeps it.
    let text = text.replace('+', "%2B");
    url::form_urlencoded::parse(format!("v={text}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// Without the login: this is for logs.
impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.0.scheme(), self.0.host_str().unwrap_or_default(), self.port())
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_road_host_port_and_login() {
        let url: BrokerUrl = "mqtt://booth:a%40b+c@[::1]".parse().unwrap();
        assert_eq!((url.road(), url.host(), url.port()), (Road::Tcp, "::1", 1883));
        assert_eq!(url.login(), Some(("booth".into(), "a@b+c".into())));
        assert_eq!(url.tcp(), Some(("::1".into(), 1883)));
        let url: BrokerUrl = "wss://api.example.org/ws".parse().unwrap();
        assert_eq!((url.road(), url.port(), url.login()), (Road::WebSocketTls, 443, None));
        assert_eq!(url.tcp(), None);
        assert_eq!(url.websocket(), "wss://api.example.org/ws");
        for bad in ["", "localhost:1883", "http://x", "mqtt://"] {
            assert!(bad.parse::<BrokerUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_in_a_log_has_no_token() {
        let url = "mqtt://h".parse::<BrokerUrl>().unwrap().with_login("booth", "s3cret");
        assert_eq!(format!("{url} {url:?}"), "mqtt://h:1883 mqtt://h:1883");
        assert_eq!(url.login(), Some(("booth".into(), "s3cret".into())));
    }
}
