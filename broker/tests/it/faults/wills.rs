//! What is said for those who cannot say it any more.

use broker::codec::{Disconnect, Packet, Properties};

use super::{NOW, Venue, faults, service};
use crate::kit::{Client, Login, V5, V311, will};

faults! {
    the_will_of_whom_is_replaced, "the former's";
    the_will_of_whom_is_replaced_by_who_has_none, "waited too long for a message";
    a_goodbye_that_wants_the_will, "waited too long for a message";
    a_will_that_may_not_be_written, "what was allowed";
}

async fn watcher(venue: &Venue) -> Client {
    let mut watcher = venue.client(V5, "watcher").await;
    watcher.subscribe(NOW, 0).await;
    watcher.wait_at_most(venue.patience);
    watcher
}

/// It said the newcomer's, who was there and well, and had none left when that one went.
async fn the_will_of_whom_is_replaced(venue: &mut Venue) {
    let mut watcher = watcher(venue).await;
    let login = |payload| Login { will: will(NOW, payload), ..service(V311, "client") };
    let _former = venue.login(login("the former's")).await;
    let latter = venue.login(login("the latter's")).await;
    assert_eq!(watcher.hears().await, format!("{NOW} the former's"));
    drop(latter);
    assert_eq!(watcher.hears().await, format!("{NOW} the latter's"));
}

async fn the_will_of_whom_is_replaced_by_who_has_none(venue: &mut Venue) {
    let mut watcher = watcher(venue).await;
    let login = || Login { clean: false, ..service(V311, "client") };
    let _former = venue.login(Login { will: will(NOW, "the former's"), ..login() }).await;
    let latter = venue.login(login()).await;
    assert_eq!(watcher.hears().await, format!("{NOW} the former's"));
    drop(latter);
    venue.client(V311, "a").await.confirm(NOW, "no other").await;
    assert_eq!(watcher.hears().await, format!("{NOW} no other"));
}

async fn a_goodbye_that_wants_the_will(venue: &mut Venue) {
    let mut watcher = watcher(venue).await;
    let mut client = venue.login(Login { will: will(NOW, "wanted"), ..service(V5, "client") }).await;
    client.send(&Packet::Disconnect(Disconnect { reason: 4, properties: Properties::new() })).await;
    assert_eq!(watcher.hears().await, format!("{NOW} wanted"));
}

async fn a_will_that_may_not_be_written(venue: &mut Venue) {
    let mut watcher = watcher(venue).await;
    let login = Login { user: Some("anna"), will: will(NOW, "forged"), ..Login::new(V311, "anna") };
    let mut last = venue.login(login).await;
    last.bytes(b"\x00\x00").await;
    last.ended().await;
    let mut another = venue.client(V311, "a").await;
    // A will may be a little late.
    for _ in 0..50 {
        another.confirm(NOW, "what was allowed").await;
        assert_eq!(watcher.hears().await, format!("{NOW} what was allowed"));
    }
}
