//! A dancer's phone as far as a server can tell, without a browser around it.

use crate::http::{self, Answer};

/// Somebody who has opened a floor's page, and the cookie that was set.
#[derive(Debug, Clone)]
pub struct Phone {
    pub web: String,
    /// `event/floor`
    pub floor: String,
    /// As a browser sends it back; empty when none was set.
    pub cookie: String,
}

impl Phone {
    /// Opens the page of the floor `main` of `tonight`.
    pub fn comes(web: &str) -> Self {
        Self::comes_to(web, "tonight/main")
    }

    pub fn comes_to(web: &str, floor: &str) -> Self {
        let page = http::get(web, &format!("/e/{floor}")).unwrap();
        assert_eq!(page.status, 200, "{}", page.text());
        let cookie = page.header("set-cookie").unwrap_or_default();
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Self { web: web.to_owned(), floor: floor.to_owned(), cookie }
    }

    /// The dancer's id, as it stands in the archive.
    pub fn id(&self) -> &str {
        self.cookie.split_once('=').map_or("", |(_, value)| value).split('.').next().unwrap_or_default()
    }

    /// Posts JSON about something on the floor.
    pub fn taps(&self, what: &str, json: &str) -> Answer {
        self.taps_with(what, json, &[])
    }

    /// The same with more header lines.
    pub fn taps_with(&self, what: &str, json: &str, more: &[(&str, &str)]) -> Answer {
        let headers = [("Content-Type", "application/json"), ("Cookie", self.cookie.as_str())];
        let path = format!("/api/v1/{}/{what}", self.floor);
        http::post(&self.web, &path, &[&headers[..], more].concat(), json).unwrap()
    }
}
