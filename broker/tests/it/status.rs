//! The broker's own topics.

use std::collections::BTreeMap;

use broker::Settings;

use crate::kit::{Client, Login, Night, V5, V311};

/// As many topics as there are.
const VALUES: usize = 47;

async fn values(client: &mut Client) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    while values.len() < VALUES {
        let message = client.message().await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let topic = text(&message.topic).replace("$SYS/broker/", "");
        values.insert(topic, text(&message.payload));
    }
    values
}

#[tokio::test]
async fn who_looks_sees_what_is_going_on() {
    let night = Night::with(Settings { status_interval_s: 1, ..Settings::default() }).await;
    let mut archiver = night.service(V5, "a").await;
    archiver.retain("pika/v1/night/main/now", "x").await;
    for user in [None, Some("lights"), Some("webapp")] {
        let mut viewer = night.client(Login { user, ..Login::new(V311, "viewer") }).await;
        viewer.subscribe("$SYS/broker/#", 0).await;
        let first = values(&mut viewer).await;
        assert!(first["version"].starts_with("pika ") && first["uptime"].ends_with(" seconds"));
        assert_eq!(first["clients/total"], first["clients/connected"]);
        let number = |name: &str| first[name].parse::<u64>().expect("a number");
        assert!(number("clients/connected") >= 2 && number("clients/maximum") >= number("clients/connected"));
        assert!(number("publish/messages/received") == 1 && number("subscriptions/count") <= 2);
        assert!(number("bytes/received") > 0 && number("messages/received") > 0);
        assert!(number("heap/current") > 1_000_000 && number("heap/maximum") >= number("heap/current"));
        assert!(
            number("store/messages/bytes") > 0 && number("clients/active") == number("clients/connected")
        );
        for minutes in [1, 5, 15] {
            let load = &first[&format!("load/messages/received/{minutes}min")];
            assert!(load.parse::<f64>().is_ok_and(|load| load >= 0.0), "{load}");
        }
        // And again after a while, as live messages.
        while viewer.message().await.retain {}
    }
    night.close().await;
}
