//! What the archiver counts and measures.

use std::time::Duration;

use config::metrics::{ByLabel, Counter, Gauge, GaugeByName, Registry, Times};

use crate::lag::OTHERS;

/// Desks whose journal is told by name; the metrics of a night must not grow with every laptop that was ever there.
const DESKS_NAMED_MAX: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Records that wait for their transaction.
    pub(crate) waiting: Gauge,
    /// Records committed.
    pub(crate) stored: Counter,
    failed: ByLabel,
    /// From the arrival of a report to its commit.
    pub(crate) stored_after: Times,
    pub(crate) transaction: Times,
    pub(crate) committed_s: Gauge,
    /// Whether it is ours to write.
    pub(crate) lease: Gauge,
    pub(crate) term: Gauge,
    behind: Named,
    desks_online: Gauge,
    queues: Named,
}

/// Gauges whose names come and go. What is gone is no longer told; whoever reads meanwhile misses none of the others.
#[derive(Debug, Default)]
struct Named {
    gauges: GaugeByName,
    told: Vec<String>,
}

/// Why a transaction was not committed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failed {
    Away,
    Refused,
    Superseded,
}

impl Failed {
    const ALL: [Self; 3] = [Self::Away, Self::Refused, Self::Superseded];

    fn label(self) -> [(&'static str, &'static str); 1] {
        let reason = match self {
            Self::Away => "away",
            Self::Refused => "refused",
            Self::Superseded => "superseded",
        };
        [("reason", reason)]
    }
}

impl Counters {
    /// Adds them all as `pika_archiver_…`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        for failed in Failed::ALL {
            _ = self.failed.get_or_create_owned(&failed.label());
        }
        let registry = registry.sub_registry_with_prefix("pika_archiver");
        for (name, help, gauge) in [
            ("waiting_records", "Records that wait for their transaction", &self.waiting),
            (
                "last_commit_timestamp_seconds",
                "When something was committed last, since 1970",
                &self.committed_s,
            ),
            (
                "lease",
                "Whether this archiver has the lease, so that it writes (1), or another one (0)",
                &self.lease,
            ),
            ("term", "The number of its turn, higher with each archiver that takes over", &self.term),
            ("desks_online", "Desks that are connected", &self.desks_online),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register("records_stored", "Records committed", self.stored.clone());
        let failed = "Transactions that were not committed, by reason";
        registry.register("transactions_failed", failed, self.failed.clone());
        let behind = "Messages of a producer that were heard and are not committed";
        registry.register("behind_messages", behind, self.behind.gauges.clone());
        let queue = "Messages in the journal of a desk that are not confirmed, as the desk says";
        registry.register("desk_queue_messages", queue, self.queues.gauges.clone());
        let after = "From the arrival of a numbered message to its commit";
        self.stored_after.register(registry, "stored_after", after);
        self.transaction.register(registry, "transaction", "Transactions that were committed");
    }

    pub(crate) fn fail(&self, failed: Failed) {
        self.failed.get_or_create_owned(&failed.label()).inc();
    }

    pub(crate) fn committed(&self, records: usize, since_ms: impl Iterator<Item = i64>, now_ms: i64) {
        self.stored.inc_by(records as u64);
        self.committed_s.set(now_ms.unsigned_abs() / 1000);
        for since_ms in since_ms {
            // A clock that is set back makes it no time at all.
            let took_ms = now_ms.saturating_sub(since_ms).max(0);
            self.stored_after.observe(Duration::from_millis(took_ms.unsigned_abs()));
        }
    }

    pub(crate) fn lag(&mut self, each: Vec<(String, u64)>) {
        self.behind.replace("producer", each);
    }

    /// What desks say of their journals, those with the most first.
    pub(crate) fn desks(&mut self, online: usize, mut queues: Vec<(String, u64)>) {
        self.desks_online.set(online as u64);
        queues.sort_unstable_by(|(name, queue), (other, more)| more.cmp(queue).then(name.cmp(other)));
        let rest = queues.split_off(queues.len().min(DESKS_NAMED_MAX));
        if !rest.is_empty() {
            queues.push((OTHERS.to_owned(), rest.iter().map(|(_, queue)| queue).sum()));
        }
        self.queues.replace("desk", queues);
    }
}

impl Named {
    fn replace(&mut self, label: &'static str, values: Vec<(String, u64)>) {
        for (name, value) in &values {
            self.gauges.get_or_create_owned(&[(label, name.clone())]).set(*value);
        }
        let names: Vec<String> = values.into_iter().map(|(name, _)| name).collect();
        for gone in std::mem::replace(&mut self.told, names) {
            if !self.told.contains(&gone) {
                self.gauges.remove(&[(label, gone)]);
            }
        }
    }
}
