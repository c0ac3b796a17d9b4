//! What programs count and measure, and its form for Prometheus. The only place that names `prometheus_client`.

use std::sync::atomic::AtomicU64;

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::histogram::Histogram;
pub use prometheus_client::registry::Registry;

/// Something that rises and falls.
pub type Gauge = prometheus_client::metrics::gauge::Gauge<u64, AtomicU64>;

/// Counters that differ in one label.
pub type ByLabel = prometheus_client::metrics::family::Family<[(&'static str, &'static str); 1], Counter>;

/// The content type of [`text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything registered, as OpenMetrics text 1.0.
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)
        .expect("a String takes all that is written");
    text
}

/// What the operating system knows of this process.
#[derive(Debug, Default)]
pub struct Process {
    resident_bytes: Gauge,
    resident_bytes_max: Gauge,
    threads: Gauge,
    open_files: Gauge,
}

impl Process {
    pub fn register(&self, registry: &mut Registry) {
        let started: Gauge = Gauge::default();
        started.set(crate::clock::now_ms().unsigned_abs() / 1000);
        registry.register("process_start_time_seconds", "When the process started, since 1970", started);
        registry.register("process_resident_memory_bytes", "Resident memory", self.resident_bytes.clone());
        let max = "The most resident memory that was seen";
        registry.register("process_resident_memory_max_bytes", max, self.resident_bytes_max.clone());
        registry.register("process_threads", "Threads (Linux only)", self.threads.clone());
        registry.register("process_open_fds", "Open file descriptors (Linux only)", self.open_files.clone());
    }

    /// Looks again.
    pub fn renew(&self) {
        let resident = resident_bytes().unwrap_or_default();
        self.resident_bytes.set(resident);
        self.resident_bytes_max.set(self.resident_bytes_max.get().max(resident));
        self.threads.set(entries("/proc/self/task"));
        self.open_files.set(entries("/proc/self/fd"));
    }
}

/// Resident memory of this process; `None` where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    memory_stats::memory_stats().map(|memory| memory.physical_mem as u64)
}

fn entries(folder: &str) -> u64 {
    std::fs::read_dir(folder).map_or(0, |entries| entries.count() as u64)
}
