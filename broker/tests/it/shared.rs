//! Shared subscriptions: of a group, one member gets each message.

use broker::codec::{Ack, Disconnect, Filter, Packet, Properties, id};

use crate::kit::{Client, Login, Night, V5, V311, ack, plain};

const NOW: &str = "pika/v1/night/main/now";
const EVENT: &str = "pika/v1/night/main/event";
const GROUP: &str = "$share/g/pika/v1/night/main/event";

#[tokio::test]
async fn members_take_turns() {
    let night = Night::open().await;
    let mut members: Vec<Client> = Vec::new();
    for (version, client_id) in [(V311, "one"), (V5, "two"), (V5, "three")] {
        let mut member = night.anonymous(version, client_id).await;
        assert_eq!(member.subscribe(GROUP, 1).await, 1);
        members.push(member);
    }
    // Of another group, and of none: they get everything.
    let mut other = night.anonymous(V5, "other").await;
    other.subscribe("$share/h/pika/v1/night/main/+", 1).await;
    other.subscribe(EVENT, 1).await;
    let mut archiver = night.service(V5, "a").await;
    for number in 0..9 {
        archiver.confirm(EVENT, &number.to_string()).await;
    }
    for (first, member) in members.iter_mut().enumerate() {
        for number in [first, first + 3, first + 6] {
            assert_eq!(member.hears().await, format!("{EVENT} {number}"));
        }
    }
    for number in 0..9 {
        for _ in 0..2 {
            assert_eq!(other.hears().await, format!("{EVENT} {number}"));
        }
    }
    // Who leaves the group is passed over.
    assert_eq!(members[1].unsubscribe(&[GROUP, "$share/x/y"]).await, [0, 0x11]);
    members.remove(0);
    night.until("the first to be gone", |counters| counters.connections.get() == 4).await;
    archiver.confirm(EVENT, "last").await;
    assert_eq!(members[1].hears().await, format!("{EVENT} last"));
    members[0].ping().await;
    night.close().await;
}

#[tokio::test]
async fn access_counts_for_each_member() {
    let night = Night::open().await;
    let play = "pika/v1/night/main/desk/anna/play";
    let group = "$share/g/pika/v1/night/#";
    let mut anyone = night.anonymous(V5, "anyone").await;
    assert_eq!(anyone.subscribe(group, 1).await, 1);
    assert_eq!(anyone.subscribe("$share/g/homeassistant/#", 1).await, 0x87);
    let mut archiver = night.service(V5, "a").await;
    archiver.subscribe(group, 1).await;
    let mut anna = night.desk(V5, "anna").await;
    for payload in ["1", "2", "3"] {
        assert_eq!(anna.confirm(play, payload).await, 0);
        assert_eq!(archiver.hears().await, format!("{play} {payload}"));
    }
    anyone.ping().await;
    night.close().await;
}

#[tokio::test]
async fn absent_and_stuck_members_are_passed_over() {
    let night = Night::open().await;
    let properties = Properties::new().with_number(id::SESSION_EXPIRY, 60);
    let mut away = night.client(Login { properties, ..Login::new(V5, "away") }).await;
    away.subscribe(GROUP, 1).await;
    away.send(&Packet::Disconnect(Disconnect { reason: 0, properties: Properties::new() })).await;
    away.ended().await;
    night.until("it to be away", |counters| counters.away.get() == 1).await;
    let mut here = night.anonymous(V5, "here").await;
    here.subscribe(GROUP, 1).await;
    let mut archiver = night.service(V5, "a").await;
    for payload in ["1", "2"] {
        archiver.confirm(EVENT, payload).await;
        assert_eq!(here.hears().await, format!("{EVENT} {payload}"));
    }
    // With nobody else there, it waits for the absent one.
    here.unsubscribe(&[GROUP]).await;
    archiver.confirm(EVENT, "3").await;
    let properties = Properties::new().with_number(id::SESSION_EXPIRY, 60);
    let login = Login { clean: false, properties, ..Login::new(V5, "away") };
    let mut away = night.client(login).await;
    assert_eq!(away.hears().await, format!("{EVENT} 3"));
    night.close().await;
}

#[tokio::test]
async fn what_a_member_has_begun_stays_with_it() {
    let night = Night::open().await;
    let kept = || Login {
        clean: false,
        properties: Properties::new().with_number(id::SESSION_EXPIRY, 60),
        ..Login::new(V5, "first")
    };
    let mut first = night.client(kept()).await;
    first.subscribe(GROUP, 2).await;
    let mut archiver = night.service(V5, "a").await;
    for payload in ["refused", "begun"] {
        let packet = archiver.packet(EVENT, payload, 2, false);
        archiver.once(packet).await;
    }
    let refused = first.unacknowledged().await;
    first.send(&Packet::PubRec(Ack { reason: 0x80, ..ack(refused.packet_id) })).await;
    assert_eq!(first.unacknowledged().await.payload, "begun");
    let mut second = night.anonymous(V5, "second").await;
    second.subscribe(GROUP, 2).await;
    drop(first);
    night.until("it to be away", |counters| counters.away.get() == 1).await;
    let mut first = night.client(kept()).await;
    assert_eq!(first.hears().await, format!("{EVENT} begun"));
    first.ping().await;
    second.ping().await;
    night.close().await;
}

#[tokio::test]
async fn groups_get_nothing_retained_and_have_proper_names() {
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    archiver.retain(NOW, "kept").await;
    let mut member = night.anonymous(V5, "member").await;
    assert_eq!(member.subscribe("$share/g/pika/v1/night/main/now", 1).await, 1);
    member.ping().await;
    for path in ["$share/g", "$share//a", "$share/g/", "$share/+/a", "$share/a#/b", "$share/g/a/#/b"] {
        assert_eq!(member.subscribe(path, 1).await, 0x8f, "{path}");
    }
    let filter = Filter { no_local: true, ..plain(GROUP, 1) };
    let subscribe =
        broker::codec::Subscribe { packet_id: 99, properties: Properties::new(), filters: vec![filter] };
    member.send(&Packet::Subscribe(subscribe)).await;
    assert_eq!(member.ended().await, 0x82);
    night.close().await;
}
