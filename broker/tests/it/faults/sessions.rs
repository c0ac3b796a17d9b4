//! What stays of a client when its connection goes, and when a connection is gone.

use broker::codec::{Disconnect, Packet, Properties, id};

use super::{EVENT, NOW, Venue, faults, service};
use crate::kit::{Client, Login, V5, V311, patiently, will};

faults! {
    a_session_without_expiry_is_over, "present";
    a_session_with_expiry_stays_also_after_a_clean_start, "present";
    a_session_that_has_expired_is_over, "present";
    a_session_belongs_to_whom_logged_in, "present";
    whoever_is_replaced_is_told, "the reason";
    a_client_that_only_listens_is_timed_out, "waited too long for the end";
    a_client_that_takes_nothing_is_timed_out, "waited too long for a message";
}

fn expiring(login: Login<'_>, seconds: u32) -> Login<'_> {
    let properties = Properties::new().with_number(id::SESSION_EXPIRY, seconds);
    Login { properties, ..login }
}

async fn leaves(mut client: Client) {
    client.send(&Packet::Disconnect(Disconnect { reason: 0, properties: Properties::new() })).await;
    client.ended().await;
}

async fn is_present(venue: &Venue, login: Login<'_>) -> bool {
    let ack = venue.raw(login.version).await.login(Login { clean: false, ..login }).await;
    assert_eq!(ack.code, 0);
    ack.session_present
}

async fn a_session_without_expiry_is_over(venue: &mut Venue) {
    leaves(venue.login(Login { clean: false, ..service(V5, "client") }).await).await;
    assert!(!is_present(venue, service(V5, "client")).await, "present");
}

async fn a_session_with_expiry_stays_also_after_a_clean_start(venue: &mut Venue) {
    leaves(venue.login(expiring(service(V5, "client"), 60)).await).await;
    assert!(is_present(venue, service(V5, "client")).await, "not present");
}

/// Its will, which could wait longer, tells when it has.
async fn a_session_that_has_expired_is_over(venue: &mut Venue) {
    let mut watcher = venue.client(V5, "watcher").await;
    watcher.subscribe(NOW, 0).await;
    let mut will = will(NOW, "over");
    if let Some(will) = &mut will {
        will.properties = Properties::new().with_number(id::WILL_DELAY, 60);
    }
    let login = Login { clean: false, will, ..expiring(service(V5, "client"), 1) };
    drop(venue.login(login).await);
    assert_eq!(watcher.hears().await, format!("{NOW} over"));
    assert!(!is_present(venue, service(V5, "client")).await, "present");
}

/// Whoever knew a client's id got its messages.
async fn a_session_belongs_to_whom_logged_in(venue: &mut Venue) {
    leaves(venue.login(Login { clean: false, ..service(V311, "client") }).await).await;
    let other = Login { user: Some("bert"), ..service(V311, "client") };
    assert!(!is_present(venue, other).await, "present");
}

async fn whoever_is_replaced_is_told(venue: &mut Venue) {
    let mut former = venue.client(V5, "client").await;
    let mut latter = venue.client(V5, "client").await;
    latter.ping().await;
    assert_eq!(former.ended().await, 0x8e, "the reason");
}

/// What it was sent counted as if it had said something.
async fn a_client_that_only_listens_is_timed_out(venue: &mut Venue) {
    let mut client = venue.login(Login { keep_alive_s: 1, ..service(V5, "client") }).await;
    client.subscribe(EVENT, 0).await;
    let mut publisher = venue.client(V5, "a").await;
    let ended = async {
        loop {
            publisher.confirm(EVENT, "x").await;
            match client.next_or_end("a message or the end").await {
                Some(Packet::Disconnect(disconnect)) => return disconnect.reason,
                Some(_) => {}
                None => return 0,
            }
        }
    };
    assert_eq!(patiently(venue.patience * 2, "the end", ended).await, 0x8d);
}

/// As long as it wrote, it did not look at the time.
async fn a_client_that_takes_nothing_is_timed_out(venue: &mut Venue) {
    let mut watcher = venue.client(V311, "watcher").await;
    watcher.subscribe(NOW, 0).await;
    let login = Login { keep_alive_s: 1, will: will(NOW, "timed out"), ..service(V311, "client") };
    let mut client = venue.login(login).await;
    client.subscribe(EVENT, 0).await;
    let mut publisher = venue.client(V311, "a").await;
    let payload = "x".repeat(50_000);
    for _ in 0..400 {
        publisher.confirm(EVENT, &payload).await;
    }
    watcher.wait_at_most(venue.patience * 2);
    assert_eq!(watcher.hears().await, format!("{NOW} timed out"));
}
