//! Who gets in, and what is refused how.

use broker::Settings;
use broker::codec::{ConnAck, Properties, Version, id};
use store::{Token, TokenKind};

use crate::kit::{Login, Night, V5, V311, everybody, plain, token};

async fn answer(night: &Night, login: Login<'_>) -> ConnAck {
    night.raw(login.version).await.login(login).await
}

#[tokio::test]
async fn logins() {
    let night = Night::with(Settings { anonymous_read: false, ..Settings::default() }).await;
    for (version, user, password, code) in [
        (V311, Some("anna"), "secret", 0),
        (V5, Some("anna"), "secret", 0),
        (Version::V31, Some("anna"), "secret", 0),
        (V311, Some("anna"), "wrong", 4),
        (V5, Some("anna"), "wrong", 0x86),
        (V311, Some("nobody"), "secret", 4),
        (V311, None, "", 5),
        (V5, None, "", 0x87),
    ] {
        let login = Login { user, password, ..Login::new(version, "c") };
        assert_eq!(answer(&night, login).await.code, code, "{version:?} {user:?} {password}");
    }
    night.close().await;
}

#[tokio::test]
async fn client_ids() {
    let night = Night::open().await;
    assert_eq!(answer(&night, Login { clean: false, ..Login::new(V311, "") }).await.code, 2);
    assert_eq!(answer(&night, Login::new(V311, "")).await.code, 0);
    let ack = answer(&night, Login { clean: false, ..Login::new(V5, "") }).await;
    assert!(ack.code == 0 && ack.properties.bytes(id::ASSIGNED_CLIENT_ID).is_some());
    // What rumqttd refused, and broke on when it came again.
    for _ in 0..2 {
        assert_eq!(answer(&night, Login::new(V311, "a/+$#")).await.code, 0);
    }
    assert_eq!(answer(&night, Login::new(V5, &"x".repeat(300))).await.code, 0x85);
    night.close().await;
}

#[tokio::test]
async fn what_a_client_may_expect_is_announced() {
    let night = Night::open().await;
    let properties = Properties::new().with_number(id::SESSION_EXPIRY, 60);
    let ack =
        answer(&night, Login { properties, keep_alive_s: 0, clean: false, ..Login::new(V5, "c") }).await;
    assert!(!ack.session_present && ack.properties.number(id::SHARED_AVAILABLE).is_none());
    for (property, value) in
        [(id::RECEIVE_MAXIMUM, 1024), (id::TOPIC_ALIAS_MAXIMUM, 16), (id::SERVER_KEEP_ALIVE, 900)]
    {
        assert_eq!(ack.properties.number(property), Some(value), "property {property}");
    }
    assert_eq!(answer(&night, Login { keep_alive_s: 0, ..Login::new(V311, "zero") }).await.code, 0);
    let properties = Properties::new().with_bytes(id::AUTH_METHOD, "SCRAM");
    assert_eq!(answer(&night, Login { properties, ..Login::new(V5, "c") }).await.code, 0x8c);
    night.close().await;
}

#[tokio::test]
async fn denied_publishes_get_their_answer_and_go_nowhere() {
    const BERTS: &str = "pika/v1/night/main/desk/bert/play";
    const OWN: &str = "pika/v1/night/main/desk/anna/play";
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    archiver.subscribe("pika/v1/night/#", 0).await;
    for (version, code) in [(V5, 0x87), (V311, 0)] {
        let mut anna = night.desk(version, "anna").await;
        assert_eq!(anna.confirm(BERTS, "forged").await, code);
        anna.publish(BERTS, "forged").await;
        assert_eq!(anna.confirm("homeassistant/status", "online").await, code);
        assert_eq!(anna.confirm("étoile/x", "1").await, code);
        assert_eq!(anna.confirm(OWN, "mine").await, 0);
        assert_eq!(archiver.hears().await, format!("{OWN} mine"));
    }
    let mut anyone = night.anonymous(V5, "anyone").await;
    assert_eq!(anyone.confirm("pika/v1/night/main/now", "x").await, 0x87);
    assert!(night.counters.denied.get() >= 9);
    night.close().await;
}

#[tokio::test]
async fn a_wide_subscription_shows_what_may_be_read() {
    const NOW: &str = "pika/v1/night/main/now";
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    archiver.retain("pika/v1/night/cursor/bert", "5").await;
    archiver.retain(NOW, "kept").await;
    let mut explorer = night.anonymous(V311, "explorer").await;
    assert_eq!(explorer.subscribe("#", 0).await, 0);
    assert_eq!(explorer.hears().await, format!("{NOW} kept"));
    archiver.retain("pika/v1/night/cursor/bert", "6").await;
    archiver.confirm("pika/v1/night/main/in/web", "secret").await;
    archiver.confirm(NOW, "live").await;
    assert_eq!(explorer.hears().await, format!("{NOW} live"));
    assert_eq!(explorer.subscribe("$SYS/#", 0).await, 0);
    while !explorer.hears().await.starts_with("$SYS/broker/version pika ") {}
    for (filter, v3, v5) in [
        ("homeassistant/#", 0x80, 0x87),
        ("$other/#", 0x80, 0x87),
        ("pika/v1/night/cursor/bert", 0x80, 0x87),
        ("a/#/b", 0x80, 0x8f),
        ("a+", 0x80, 0x8f),
        ("", 0x80, 0x8f),
    ] {
        assert_eq!(explorer.subscribe(filter, 0).await, v3, "{filter}");
        let mut explorer = night.anonymous(V5, "explorer 5").await;
        assert_eq!(explorer.subscribe(filter, 0).await, v5, "{filter}");
    }
    night.close().await;
}

#[tokio::test]
async fn a_picture_is_small_and_for_our_own_programs() {
    let night = Night::open().await;
    let mut archiver = night.service(V5, "a").await;
    let cover = "pika/v1/night/main/desk/anna/cover";
    assert_eq!(archiver.subscribe("pika/v1/night/+/desk/#", 1).await, 1);
    let mut dancer = night.anonymous(V5, "dancer").await;
    assert_eq!(dancer.subscribe(cover, 1).await, 0x87);
    let mut bert = night.desk(V5, "bert").await;
    assert_eq!(bert.confirm(cover, "mine").await, 0x87);
    let mut anna = night.desk(V5, "anna").await;
    assert_eq!(anna.confirm(cover, &"x".repeat(140_001)).await, 0x97);
    assert_eq!(anna.confirm(cover, &"x".repeat(140_000)).await, 0);
    assert!(archiver.hears().await.len() > 140_000);
    night.close().await;
}

#[tokio::test]
async fn a_token_that_is_taken_away_ends_its_sessions() {
    let night = Night::open().await;
    let mut anna = night.desk(V5, "anna").await;
    let mut bert = night.desk(V5, "bert").await;
    let mut lights = night.client(Login { user: Some("lights"), ..Login::new(V5, "l") }).await;
    let mut tokens = everybody();
    tokens.retain(|token| token.name != "anna");
    tokens.push(Token { revoked_ms: Some(1), ..token("lights", TokenKind::Integrator, None) });
    night.tokens.replace(tokens);
    assert_eq!(anna.ended().await, 0x87);
    assert_eq!(lights.ended().await, 0x87);
    bert.ping().await;
    assert_eq!(answer(&night, Login { user: Some("anna"), ..Login::new(V5, "anna") }).await.code, 0x86);
    night.close().await;
}

#[tokio::test]
async fn limits_on_subscriptions_and_sessions() {
    let settings = Settings { subscriptions_max: 2, connections_max: 2, ..Settings::default() };
    let night = Night::with(settings).await;
    let mut client = night.anonymous(V5, "one").await;
    for (filter, code) in [("#", 0), ("pika/#", 0), ("#", 0), ("pika/v1/#", 0x97)] {
        let filter = plain(filter, 0);
        assert_eq!(client.subscribe_with(Properties::new(), filter).await, code);
    }
    let second = night.anonymous(V5, "two").await;
    assert_eq!(answer(&night, Login::new(V5, "three")).await.code, 0x97);
    assert_eq!(answer(&night, Login::new(V311, "three")).await.code, 3);
    drop(second);
    night.close().await;
}
