//! Looks after the database: whether it answers, how large it is, and whether its tables are those of this version.

use std::time::{Duration, Instant};

use config::health::Part;
use config::metrics::{Gauge, Times};
use config::{Health, Stop};
use store::Store;

/// Between two looks. The archiver notices sooner, by what it stores.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// After a look in vain.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Seen {
    up: Gauge,
    size_bytes: Gauge,
    migrations_missing: Gauge,
    connections: Gauge,
    connections_idle: Gauge,
    connections_max: Gauge,
    answer: Times,
}

impl Seen {
    fn register(&self, health: &Health) {
        health.register(|registry| {
            let registry = registry.sub_registry_with_prefix("pika_database");
            for (name, help, gauge) in [
                ("up", "Whether the database answered the last time it was asked", &self.up),
                ("size_bytes", "Size of the database", &self.size_bytes),
                (
                    "migrations_missing",
                    "Changes of the tables that are still to be made",
                    &self.migrations_missing,
                ),
                ("connections", "Open connections of this process to the database", &self.connections),
                ("connections_idle", "Of these, connections that nobody uses", &self.connections_idle),
                ("connections_max", "The most connections there may be", &self.connections_max),
            ] {
                registry.register(name, help, gauge.clone());
            }
            self.answer.register(registry, "answer", "How long the database takes to say how it is");
        });
    }
}

/// Looks until stopped; the parts tell what was seen.
pub async fn watch(store: Store, health: Health, parts: Vec<Part>, stop: Stop) -> anyhow::Result<()> {
    let seen = Seen::default();
    seen.register(&health);
    while !stop.is_cancelled() {
        let asked = Instant::now();
        let condition = tokio::select! {
            condition = store.condition() => condition,
            () = stop.cancelled() => return Ok(()),
        };
        let connections = store.connections();
        seen.connections.set(connections.open);
        seen.connections_idle.set(connections.idle);
        seen.connections_max.set(connections.max);
        seen.up.set(u64::from(condition.is_ok()));
        let is_well = condition.as_ref().is_ok_and(|condition| condition.migrations_missing == 0);
        let lacks = match condition {
            Ok(condition) => {
                seen.answer.observe(asked.elapsed());
                seen.size_bytes.set(condition.size_bytes);
                seen.migrations_missing.set(condition.migrations_missing);
                (!is_well).then(|| {
                    let missing = condition.migrations_missing;
                    format!("{missing} changes of its tables are to be made by the archiver")
                })
            }
            // Whoever asked for something has a line in the log about it.
            Err(error) => Some(format!("{:#}", anyhow::Error::from(error))),
        };
        for part in &parts {
            match &lacks {
                None => part.ready(),
                Some(why) => part.lacks(why.clone()),
            }
        }
        let pause = if is_well { LOOK_EVERY } else { LOOK_AGAIN };
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(())
}
