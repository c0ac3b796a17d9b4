//! Whether this process can do its work, and what it has counted: programs say it here, whoever serves it reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::{self, GaugeByLabel, Process, Registry};

/// Of one process, shared by the programs in it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    registry: Mutex<Registry>,
    process: Process,
    ready: GaugeByLabel,
    parts: Mutex<BTreeMap<&'static str, State>>,
}

#[derive(Debug)]
struct State {
    /// Without it the process is not ready.
    is_needed: bool,
    /// `None`: it is ready.
    lacks: Option<String>,
}

/// Something that has to work before the process is ready, or before all is well.
#[derive(Debug, Clone)]
pub struct Part {
    health: Health,
    name: &'static str,
    is_needed: bool,
}

impl Health {
    /// With what the system knows of the process.
    pub fn new() -> Self {
        let health = Self::default();
        health.register(|registry| {
            health.0.process.register(registry);
            let help =
                "Whether each part of the process can do its work (1) or not (0); /readyz says why not";
            registry.register("pika_ready", help, health.0.ready.clone());
        });
        health
    }

    /// Lets a program add its metrics.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut lock(&self.0.registry));
    }

    /// A part of that name, which is not ready yet. Its first words are those of its program.
    pub fn part(&self, name: &'static str) -> Part {
        self.part_that(name, true)
    }

    /// The same, but the process does its work without it, though not as well.
    pub fn help(&self, name: &'static str) -> Part {
        self.part_that(name, false)
    }

    fn part_that(&self, name: &'static str, is_needed: bool) -> Part {
        let part = Part { health: self.clone(), name, is_needed };
        part.lacks("it is starting");
        part
    }

    /// What is not ready, and why. Empty: the process can do its work.
    pub fn lacking(&self) -> Vec<(&'static str, String)> {
        self.without(true)
    }

    /// What is missed and not needed, and why.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        self.without(false)
    }

    fn without(&self, needed: bool) -> Vec<(&'static str, String)> {
        let parts = lock(&self.0.parts);
        let parts = parts.iter().filter(|(_, state)| state.is_needed == needed);
        parts.filter_map(|(name, state)| Some((*name, state.lacks.clone()?))).collect()
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
        let ready = self.health.0.ready.get_or_create_owned(&[("part", self.name)]);
        ready.set(u64::from(why.is_none()));
        let state = State { is_needed: self.is_needed, lacks: why };
        lock(&self.health.0.parts).insert(self.name, state);
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
    fn without_help_it_is_ready_all_the_same() {
        let health = Health::new();
        let help = health.help("web app to database");
        assert_eq!(health.lacking(), []);
        assert_eq!(health.missing(), [("web app to database", "it is starting".to_owned())]);
        let line = |value: u64| format!("pika_ready{{part=\"web app to database\"}} {value}");
        assert!(health.metrics().contains(&line(0)));
        help.ready();
        assert_eq!(health.missing(), []);
        assert!(health.metrics().contains(&line(1)));
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
