//! `/client-error`: what went wrong in a browser, as our script tells it. Taken in small, counted, and told in one line.

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use config::clock::now_ms;

use crate::web::{App, Problem, Visitor};

const BODY_BYTES_MAX: usize = 2_048;

/// Of a message, in the log.
const SHOWN_MAX: usize = 200;

/// Lines about them in a minute, however many browsers there are; the counter has them all.
const TOLD_PER_MINUTE: u32 = 20;

pub(super) async fn tell(
    State(app): State<App>,
    visitor: Visitor,
    body: Body,
) -> Result<StatusCode, Problem> {
    app.limits().fault(visitor.client.household, now_ms())?;
    let body = to_bytes(body, BODY_BYTES_MAX).await;
    let body = body.map_err(|_| Problem::BadRequest("A message of 2,048 bytes at most."))?;
    app.counters.client_errors.inc();
    if app.faults.allows(TOLD_PER_MINUTE, now_ms()) {
        tracing::warn!("a browser says: {}", shown(&String::from_utf8_lossy(&body)));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Anybody may have written it: one line, and of addresses only where in our script it was.
fn shown(message: &str) -> String {
    let words = message.split_whitespace().map(|word| match word.find("://") {
        Some(_) => word.rsplit('/').next().unwrap_or_default().split(['?', '#']).next().unwrap_or_default(),
        None => word.split('?').next().unwrap_or_default(),
    });
    let words: Vec<&str> = words.filter(|word| !word.contains('@')).collect();
    let line = words.join(" ");
    line.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_nothing_of_a_person() {
        for (said, expected) in [
            ("TypeError: x is null", "TypeError: x is null"),
            (
                "ReferenceError: y https://app.example.org/assets/live.js?who=me:12:7\nat z",
                "ReferenceError: y live.js at z",
            ),
            ("anna@example.org said\u{1b}[31m so", "said\\u{1b}[31m so"),
        ] {
            assert_eq!(shown(said), expected);
        }
        assert_eq!(shown(&"x".repeat(5_000)).len(), SHOWN_MAX);
    }
}
