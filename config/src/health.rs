//! Whether this process can do its work, and what it has counted: programs say it here, whoever serves it reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::{self, Process, Registry};

/// Of one process, shared by the programs in it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    registry: Mutex<Registry>,
    process: Process,
    /// What each part lacks; `None`: it is ready.
    lacks: Mutex<BTreeMap<&'static str, Option<String>>>,
}

/// Something that has to work before the process is ready.
#[derive(Debug, Clone)]
pub struct Part {
    health: Health,
    name: &'static str,
}

impl Health {
    /// With what the system knows of the process.
    pub fn new() -> Self {
        let health = Self::default();
        health.register(|registry| health.0.process.register(registry));
        health
    }

    /// Lets a program add its metrics.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut lock(&self.0.registry));
    }

    /// A part of that name, which is not ready yet.
    pub fn part(&self, name: &'static str) -> Part {
        let part = Part { health: self.clone(), name };
        part.lacks("it is starting");
        part
    }

    /// What is not ready, and why. Empty: all is well.
    pub fn lacking(&self) -> Vec<(&'static str, String)> {
        let lacks = lock(&self.0.lacks);
        lacks.iter().filter_map(|(name, why)| Some((*name, why.clone()?))).collect()
    }

    /// All metrics as OpenMetrics text.
    pub fn metrics(&self) -> String {
        self.0.process.renew();
        metrics::text(&lock(&self.0.registry))
    }
}

impl Part {
    pub fn ready(&self) {
        self.set(None);
    }

    /// Not ready, and why, in words for the operator.
    pub fn lacks(&self, why: impl Into<String>) {
        self.set(Some(why.into()));
    }

    fn set(&self, why: Option<String>) {
        lock(&self.health.0.lacks).insert(self.name, why);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept in there is right even if somebody panicked while reading it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{ByLabel, Counter};

    #[test]
    fn ready_is_when_every_part_is() {
        let health = Health::new();
        assert_eq!(health.lacking(), []);
        let (broker, database) = (health.part("broker"), health.part("database"));
        broker.ready();
        database.lacks("connection refused");
        assert_eq!(health.lacking(), [("database", "connection refused".to_owned())]);
        database.ready();
        assert_eq!(health.lacking(), []);
    }

    #[test]
    fn metrics_are_openmetrics() {
        let (health, refused) = (Health::new(), ByLabel::default());
        let played: Counter = Counter::default();
        health.register(|registry| {
            let registry = registry.sub_registry_with_prefix("pika");
            registry.register("plays", "Plays", played.clone());
            registry.register("refused", "Connections refused", refused.clone());
        });
        played.inc_by(3);
        refused.get_or_create(&[("reason", "full")]).inc();
        let text = health.metrics();
        for line in [
            "# TYPE pika_plays counter",
            "pika_plays_total 3",
            "pika_refused_total{reason=\"full\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(
            text.contains("process_start_time_seconds 1") || text.contains("process_start_time_seconds 2")
        );
    }
}
