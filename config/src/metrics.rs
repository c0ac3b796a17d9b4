//! What programs count and measure, and its form for Prometheus. The only place that names `prometheus_client`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::info::Info;

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::histogram::Histogram;
pub use prometheus_client::registry::{Registry, Unit};

/// Something that rises and falls.
pub type Gauge = prometheus_client::metrics::gauge::Gauge<u64, AtomicU64>;

/// Something that rises, in fractions.
type Seconds = prometheus_client::metrics::counter::Counter<f64, AtomicU64>;

/// Counters that differ in one label.
pub type ByLabel = Family<[(&'static str, &'static str); 1], Counter>;

/// Gauges that differ in one label, whose values are known when the program is written.
pub type GaugeByLabel = Family<[(&'static str, &'static str); 1], Gauge>;

/// Gauges by a name that comes from outside. Whoever sets them bounds how many there are.
pub type GaugeByName = Family<[(&'static str, String); 1], Gauge>;

/// How long something took, from half a millisecond to ten seconds.
#[derive(Debug, Clone)]
pub struct Times(Histogram);

/// The same, by one label.
pub type TimesByLabel = Family<[(&'static str, &'static str); 1], Histogram, fn() -> Histogram>;

impl Default for Times {
    fn default() -> Self {
        Self(histogram())
    }
}

impl Times {
    /// Adds them, in seconds.
    pub fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register_with_unit(name, help, Unit::Seconds, self.0.clone());
    }

    pub fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
    }
}

/// Times by one label, to be registered with [`Unit::Seconds`].
pub fn times_by_label() -> TimesByLabel {
    Family::new_with_constructor(histogram)
}

fn histogram() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

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
    open_files_max: Gauge,
    cpu: Seconds,
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
        let most = "How many file descriptors the system allows (Linux only)";
        registry.register("process_max_fds", most, self.open_files_max.clone());
        registry.register("process_cpu_seconds", "Processor time (Linux only)", self.cpu.clone());
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("pika_build", "Which Pika this is", build);
    }

    /// Looks again.
    pub fn renew(&self) {
        let resident = resident_bytes().unwrap_or_default();
        self.resident_bytes.set(resident);
        self.resident_bytes_max.set(self.resident_bytes_max.get().max(resident));
        self.threads.set(entries("/proc/self/task"));
        self.open_files.set(entries("/proc/self/fd"));
        self.open_files_max.set(open_files_max().unwrap_or_default());
        self.cpu.inner().store(cpu_seconds().unwrap_or_default().to_bits(), Ordering::Relaxed);
    }
}

/// Resident memory of this process; `None` where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    memory_stats::memory_stats().map(|memory| memory.physical_mem as u64)
}

fn entries(folder: &str) -> u64 {
    std::fs::read_dir(folder).map_or(0, |entries| entries.count() as u64)
}

/// The soft limit, which is the one that counts.
fn open_files_max() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    /// The kernel tells user space this unit, whatever it counts in.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}
