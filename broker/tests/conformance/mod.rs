//! The numbered statements of MQTT 3.1.1 and 5.0, over raw bytes; `docs/conformance.md` says which test covers which.

mod listed;
mod v311;
mod v5;

use broker::codec::Version;

use crate::kit::{Login, Night};

/// What comes back for bytes that were sent.
pub(crate) enum Answer {
    /// Exactly this, and the connection stays.
    Bytes(&'static [u8]),
    /// This, and then a close.
    Closes(&'static [u8]),
}

/// Sends the first bytes of a connection.
pub(crate) async fn first(sent: &[u8], answer: Answer) {
    let night = Night::open().await;
    let mut client = night.raw(Version::V311).await;
    client.try_bytes(sent).await;
    compare(&mut client, answer).await;
    drop(client);
    night.close().await;
}

/// Sends bytes after a login.
pub(crate) async fn then(version: Version, sent: &[u8], answer: Answer) {
    let night = Night::open().await;
    let mut client = night.client(Login { user: Some("archiver"), ..Login::new(version, "c") }).await;
    client.try_bytes(sent).await;
    compare(&mut client, answer).await;
    drop(client);
    night.close().await;
}

async fn compare(client: &mut crate::kit::Client, answer: Answer) {
    match answer {
        Answer::Bytes(expected) => {
            assert_eq!(client.read(expected.len()).await, expected);
            client.ping().await;
        }
        Answer::Closes(expected) => assert_eq!(client.rest().await, expected),
    }
}

/// One test per line: its name, what is sent, what comes back.
macro_rules! wire {
    ($($name:ident: $how:expr, $sent:expr => $answer:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            wire!(@ $how, $sent, $answer);
        }
    )*};
    (@ $how:expr, $sent:expr, $answer:expr) => {
        match $how {
            None => crate::conformance::first($sent, $answer).await,
            Some(version) => crate::conformance::then(version, $sent, $answer).await,
        }
    };
}
pub(crate) use wire;
