//! Filters, groups, and who may write and read what.

use broker::codec::{Filter, Properties};

use super::{EVENT, NOW, Venue, faults, service};
use crate::kit::{Client, Login, V5, V311, plain};

faults! {
    the_brokers_own_topics, "closed instead of SUBACK";
    a_filter_with_something_behind_a_hash = a_filter_is_refused("a/#/b", 0x8f), "the code";
    a_filter_with_a_plus_behind_something = a_filter_is_refused("a+", 0x8f), "the code";
    a_filter_with_something_behind_a_hash_without_a_slash = a_filter_is_refused("#a", 0x8f), "the code";
    a_filter_with_nothing = a_filter_is_refused("", 0x8f), "the code";
    a_group_without_a_filter = a_filter_is_refused("$share/g", 0x8f), "the code";
    leaving_what_was_not_subscribed_to, "waited too long for UNSUBACK";
    leaving_two_filters_at_once, "the codes";
    leaving_after_coming_back, "waited too long for UNSUBACK";
    leaving_one_group_of_two, "waited too long for a message";
    one_group_for_two_topics, "waited too long for a message";
    no_local, "another's";
    a_message_that_may_not_be_read, "what it may read";
    a_message_that_may_not_be_written, "what was allowed";
    a_message_to_a_topic_of_the_brokers, "the reason";
}

/// Tools that look at everything ask for these, and were disconnected each time they came.
async fn the_brokers_own_topics(venue: &mut Venue) {
    let mut client = venue.client(V311, "client").await;
    assert_eq!(client.subscribe("$SYS/#", 0).await, 0);
}

async fn a_filter_is_refused(venue: &mut Venue, filter: &str, code: u8) {
    let mut client = venue.client(V5, "client").await;
    assert_eq!(client.subscribe(filter, 0).await, code, "the code");
}

async fn leaving_what_was_not_subscribed_to(venue: &mut Venue) {
    let mut client = venue.client(V5, "client").await;
    client.wait_at_most(venue.patience);
    assert_eq!(client.unsubscribe(&[EVENT]).await, [0x11]);
}

/// It sent one UNSUBACK for each.
async fn leaving_two_filters_at_once(venue: &mut Venue) {
    let mut client = venue.client(V5, "client").await;
    for filter in [EVENT, NOW] {
        client.subscribe(filter, 0).await;
    }
    assert_eq!(client.unsubscribe(&[EVENT, NOW]).await, [0, 0], "the codes");
}

async fn leaving_after_coming_back(venue: &mut Venue) {
    let login = || Login { clean: false, ..service(V311, "client") };
    let mut client = venue.login(login()).await;
    client.subscribe(EVENT, 1).await;
    client.bytes(b"\xe0\x00").await;
    client.ended().await;
    let mut client = venue.login(login()).await;
    client.wait_at_most(venue.patience);
    client.unsubscribe(&[EVENT]).await;
    client.confirm(EVENT, "unheard").await;
    client.ping().await;
}

async fn in_groups(venue: &Venue, client_id: &str, groups: &[String]) -> Client {
    let mut member = venue.client(V5, client_id).await;
    for group in groups {
        member.subscribe(group, 1).await;
    }
    member.wait_at_most(venue.patience);
    member
}

/// Whoever left one was no member of any, and got nothing as long as the other groups had others.
async fn leaving_one_group_of_two(venue: &mut Venue) {
    let (left, kept) = (format!("$share/left/{NOW}"), format!("$share/kept/{EVENT}"));
    let mut one = in_groups(venue, "one", &[left.clone(), kept.clone()]).await;
    let mut other = in_groups(venue, "other", &[kept]).await;
    one.unsubscribe(&[&left]).await;
    let mut publisher = venue.client(V5, "a").await;
    for _ in 0..2 {
        publisher.confirm(EVENT, "x").await;
    }
    for member in [&mut one, &mut other] {
        assert_eq!(member.hears().await, format!("{EVENT} x"));
    }
}

/// Both topics shared one place in two logs, so what came to one was skipped in the other.
async fn one_group_for_two_topics(venue: &mut Venue) {
    let groups = [NOW, EVENT].map(|topic| format!("$share/g/{topic}"));
    let mut member = in_groups(venue, "member", &groups).await;
    let mut publisher = venue.client(V5, "a").await;
    for (topic, payload) in [(NOW, "1"), (NOW, "2"), (EVENT, "3"), (EVENT, "4"), (NOW, "5")] {
        publisher.confirm(topic, payload).await;
        assert_eq!(member.hears().await, format!("{topic} {payload}"));
    }
}

async fn no_local(venue: &mut Venue) {
    let mut client = venue.client(V5, "client").await;
    let filter = Filter { no_local: true, ..plain(EVENT, 0) };
    client.subscribe_with(Properties::new(), filter).await;
    client.confirm(EVENT, "its own").await;
    venue.client(V5, "other").await.confirm(EVENT, "another's").await;
    assert_eq!(client.hears().await, format!("{EVENT} another's"));
}

async fn a_message_that_may_not_be_read(venue: &mut Venue) {
    let mut lights = venue.login(Login { user: Some("lights"), ..Login::new(V311, "lights") }).await;
    lights.subscribe("#", 0).await;
    let mut anna = venue.login(Login { user: Some("anna"), ..Login::new(V311, "anna") }).await;
    anna.confirm("pika/v1/night/main/desk/anna/play", "secret").await;
    venue.client(V311, "a").await.confirm(EVENT, "what it may read").await;
    assert_eq!(lights.hears().await, format!("{EVENT} what it may read"));
}

async fn a_message_that_may_not_be_written(venue: &mut Venue) {
    let mut reader = venue.client(V311, "reader").await;
    reader.subscribe(NOW, 0).await;
    let mut anna = venue.login(Login { user: Some("anna"), ..Login::new(V311, "anna") }).await;
    anna.confirm(NOW, "forged").await;
    venue.client(V311, "a").await.confirm(NOW, "what was allowed").await;
    assert_eq!(reader.hears().await, format!("{NOW} what was allowed"));
}

/// It said that all was well and dropped it.
async fn a_message_to_a_topic_of_the_brokers(venue: &mut Venue) {
    let mut client = venue.client(V5, "client").await;
    assert_eq!(client.confirm("$SYS/broker/uptime", "x").await, 0x87, "the reason");
}
