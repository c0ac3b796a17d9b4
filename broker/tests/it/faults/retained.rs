//! What is kept for those who come later.

use std::time::Instant;

use broker::codec::{Filter, Packet, Properties, id};

use super::{EVENT, NOW, Venue, faults, service};
use crate::kit::{Login, V5, V311, plain};

faults! {
    an_empty_message_that_is_not_retained_clears_nothing, "waited too long for a message";
    asking_again, "the second time";
    asking_again_after_coming_back, "the second time";
    more_than_its_queue_holds = many(0), "waited too long for a message";
    more_than_its_window_holds = many(1), "waited too long for a message";
    not_asked_for, "live";
    retain_as_published, "the flag";
    the_expiry_is_counted_once, "it lost more time than has passed";
    a_restart, "waited too long for a message";
}

async fn an_empty_message_that_is_not_retained_clears_nothing(venue: &mut Venue) {
    let mut publisher = venue.client(V311, "a").await;
    publisher.retain(NOW, "kept").await;
    publisher.confirm(NOW, "").await;
    let mut reader = venue.client(V311, "reader").await;
    reader.wait_at_most(venue.patience);
    reader.subscribe(NOW, 0).await;
    assert_eq!(reader.hears().await, format!("{NOW} kept"));
}

async fn asking_again(venue: &mut Venue) {
    let mut publisher = venue.client(V311, "a").await;
    publisher.retain(NOW, "kept").await;
    let mut reader = venue.client(V311, "reader").await;
    reader.subscribe(NOW, 0).await;
    assert_eq!(reader.hears().await, format!("{NOW} kept"));
    reader.subscribe(NOW, 0).await;
    publisher.confirm(NOW, "live").await;
    assert_eq!(reader.hears().await, format!("{NOW} kept"), "the second time");
}

async fn asking_again_after_coming_back(venue: &mut Venue) {
    let login = || Login { clean: false, ..service(V311, "reader") };
    let mut publisher = venue.client(V311, "a").await;
    publisher.retain(NOW, "kept").await;
    let mut reader = venue.login(login()).await;
    reader.subscribe(NOW, 0).await;
    assert_eq!(reader.hears().await, format!("{NOW} kept"));
    reader.bytes(b"\xe0\x00").await;
    reader.ended().await;
    let mut reader = venue.login(login()).await;
    reader.subscribe(NOW, 0).await;
    publisher.confirm(NOW, "live").await;
    assert_eq!(reader.hears().await, format!("{NOW} kept"), "the second time");
}

/// It dropped the rest without a word.
async fn many(venue: &mut Venue, qos: u8) {
    let mut publisher = venue.client(V311, "a").await;
    for number in 0..250 {
        publisher.retain(&format!("pika/v1/night/cursor/c{number}"), "1").await;
    }
    let mut reader = venue.client(V311, "reader").await;
    reader.wait_at_most(venue.patience);
    reader.subscribe("pika/v1/night/cursor/+", qos).await;
    for _ in 0..250 {
        assert!(reader.message().await.retain);
    }
}

async fn not_asked_for(venue: &mut Venue) {
    let mut publisher = venue.client(V5, "a").await;
    publisher.retain(NOW, "kept").await;
    let mut reader = venue.client(V5, "reader").await;
    let filter = Filter { retain_handling: 2, ..plain(NOW, 0) };
    reader.subscribe_with(Properties::new(), filter).await;
    publisher.confirm(NOW, "live").await;
    assert_eq!(reader.hears().await, format!("{NOW} live"));
}

async fn retain_as_published(venue: &mut Venue) {
    let mut reader = venue.client(V5, "reader").await;
    let filter = Filter { retain_as_published: true, ..plain(NOW, 0) };
    reader.subscribe_with(Properties::new(), filter).await;
    venue.client(V5, "a").await.retain(NOW, "kept").await;
    assert!(reader.message().await.retain, "the flag");
}

/// It took the time that had passed off the message for each one who asked for it, again and again.
async fn the_expiry_is_counted_once(venue: &mut Venue) {
    let mut publisher = venue.client(V5, "a").await;
    let mut packet = publisher.packet(NOW, "kept", 1, true);
    packet.properties = Properties::new().with_number(id::MESSAGE_EXPIRY, 1_000);
    let published = Instant::now();
    publisher.send(&Packet::Publish(packet)).await;
    publisher.next("PUBACK").await;
    loop {
        let mut reader = venue.client(V5, "reader").await;
        reader.subscribe(NOW, 0).await;
        let left = reader.message().await.properties.number(id::MESSAGE_EXPIRY).expect("an expiry");
        let passed = published.elapsed().as_secs();
        // A second may have begun.
        assert!(u64::from(left) + passed + 1 >= 1_000, "it lost more time than has passed: {left} {passed}");
        if passed >= 2 {
            return;
        }
    }
}

async fn a_restart(venue: &mut Venue) {
    let mut publisher = venue.client(V311, "a").await;
    publisher.retain(NOW, "kept").await;
    publisher.confirm(EVENT, "the last").await;
    drop(publisher);
    venue.restart().await;
    let mut reader = venue.client(V311, "reader").await;
    reader.wait_at_most(venue.patience);
    reader.subscribe(NOW, 0).await;
    assert_eq!(reader.hears().await, format!("{NOW} kept"));
}
