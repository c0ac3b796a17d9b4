//! What the web app counts and measures. Every limit has a counter that tells how often it was met.

use std::time::Duration;

use config::metrics::{ByLabel, Counter, Gauge, Registry, Times, TimesByLabel, Unit, times_by_label};

#[derive(Debug)]
pub(crate) struct Counters {
    /// Phones, screens and readers of events that are open now.
    pub(crate) sockets: Gauge,
    /// MQTT clients that are passed on now.
    pub(crate) tunnels: Gauge,
    pub(crate) opened: Counter,
    /// `connections_max`: the oldest goes.
    pub(crate) evicted: Counter,
    /// Changes that were written to phones, each one phone.
    pub(crate) updates: Counter,
    requests: TimesByLabel,
    answers: ByLabel,
    refused: ByLabel,
    pub(crate) tap_stored: Times,
    /// Taps that the archive has not confirmed while the phone waited; it sends them again.
    pub(crate) taps_late: Counter,
    /// Taps that the archive has not confirmed, now.
    taps_waiting: Gauge,
    pub(crate) client_errors: Counter,
}

/// What a request is for: few kinds, however many pages there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Page,
    Tap,
    Api,
    Console,
    Pairing,
    Socket,
    Asset,
    /// For nothing that we have.
    Other,
}

impl Class {
    const ALL: [Self; 8] = [
        Self::Page,
        Self::Tap,
        Self::Api,
        Self::Console,
        Self::Pairing,
        Self::Socket,
        Self::Asset,
        Self::Other,
    ];

    /// Of a route as the route table has it; none of it comes from the client.
    pub(crate) fn of(route: Option<&str>, is_post: bool) -> Self {
        let Some(route) = route else { return Self::Other };
        let begins = |all: &[&str]| all.iter().any(|start| route.starts_with(start));
        if begins(&["/ws", "/mqtt"]) {
            Self::Socket
        } else if begins(&["/api/v1/pair"]) {
            Self::Pairing
        } else if begins(&["/api/v1/{event}/"]) && is_post {
            Self::Tap
        } else if begins(&["/api/", "/client-error"]) {
            Self::Api
        } else if begins(&["/dj", "/admin"]) {
            Self::Console
        } else if begins(&["/assets/", "/cover/", "/favicon.ico", "/sw.js", "/offline", "/qr.svg"])
            || route.ends_with(".webmanifest")
        {
            Self::Asset
        } else {
            Self::Page
        }
    }

    fn label(self) -> [(&'static str, &'static str); 1] {
        let class = match self {
            Self::Page => "page",
            Self::Tap => "tap",
            Self::Api => "api",
            Self::Console => "console",
            Self::Pairing => "pairing",
            Self::Socket => "socket",
            Self::Asset => "asset",
            Self::Other => "other",
        };
        [("class", class)]
    }
}

impl Counters {
    /// `taps_waiting` is counted by whoever sends them.
    pub(crate) fn of(taps_waiting: Gauge) -> Self {
        Self {
            sockets: Gauge::default(),
            tunnels: Gauge::default(),
            opened: Counter::default(),
            evicted: Counter::default(),
            updates: Counter::default(),
            requests: times_by_label(),
            answers: ByLabel::default(),
            refused: ByLabel::default(),
            tap_stored: Times::default(),
            taps_late: Counter::default(),
            taps_waiting,
            client_errors: Counter::default(),
        }
    }

    /// Adds them all as `pika_web_…`. `reasons` are those for which anything may be refused.
    pub(crate) fn register(&self, registry: &mut Registry, reasons: &[&'static str]) {
        // So that a rate can be computed from the first one on.
        for class in Class::ALL {
            _ = self.requests.get_or_create_owned(&class.label());
        }
        for status in [200, 300, 400, 500] {
            _ = self.answers.get_or_create_owned(&status_label(status));
        }
        for reason in reasons {
            _ = self.refused.get_or_create_owned(&[("reason", *reason)]);
        }
        let registry = registry.sub_registry_with_prefix("pika_web");
        for (name, help, gauge) in [
            ("sockets", "Phones, screens and readers of events that are open", &self.sockets),
            ("tunnels", "MQTT clients that are passed on to the broker", &self.tunnels),
            ("taps_waiting", "Taps that the archive has not confirmed", &self.taps_waiting),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, counter) in [
            ("sockets_opened", "Sockets opened", &self.opened),
            (
                "evicted",
                "Connections closed since there were too many, and nothing happened on them",
                &self.evicted,
            ),
            ("updates", "Changes written to phones and screens, counted for each of them", &self.updates),
            (
                "taps_late",
                "Taps that were not confirmed while the phone waited; it sends them again",
                &self.taps_late,
            ),
            ("client_errors", "Errors that browsers told of", &self.client_errors),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register("answers", "Answers to requests, by status", self.answers.clone());
        registry.register("refused", "Requests that were refused, by reason", self.refused.clone());
        let request = "From a request to its answer, by what it is for";
        registry.register_with_unit("request", request, Unit::Seconds, self.requests.clone());
        self.tap_stored.register(registry, "tap_stored", "From a tap to its place in the archive");
    }

    pub(crate) fn answered(&self, class: Class, status: u16, took: Duration) {
        self.requests.get_or_create(&class.label()).observe(took.as_secs_f64());
        self.answers.get_or_create(&status_label(status)).inc();
    }

    pub(crate) fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }
}

fn status_label(status: u16) -> [(&'static str, &'static str); 1] {
    let status = match status {
        0..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    [("status", status)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_have_few_classes() {
        for (route, is_post, class) in [
            (Some("/e/{event}/{floor}"), false, Class::Page),
            (Some("/"), false, Class::Page),
            (Some("/api/v1/{event}/{floor}/like"), true, Class::Tap),
            (Some("/api/v1/{event}/{floor}/now"), false, Class::Api),
            (Some("/api/v1/me/forget"), true, Class::Api),
            (Some("/api/v1/pair/{id}"), true, Class::Pairing),
            (Some("/dj/{floor}/{what}"), true, Class::Console),
            (Some("/e/{event}/{floor}/app.webmanifest"), false, Class::Asset),
            (Some("/ws"), false, Class::Socket),
            (None, false, Class::Other),
        ] {
            assert_eq!(Class::of(route, is_post), class, "{route:?}");
        }
    }
}
