//! Rates for a minute, averaged over one, five and fifteen of them, as mosquitto tells them in `$SYS/broker/load/…`.

use std::time::{Duration, Instant};

use crate::counters::Counters;

/// How often totals are looked at, whether somebody looks or not.
const EVERY: Duration = Duration::from_secs(10);

const MINUTES: [u32; 3] = [1, 5, 15];

const NAMES: [&str; 9] = [
    "messages/received",
    "messages/sent",
    "publish/dropped",
    "publish/received",
    "publish/sent",
    "bytes/received",
    "bytes/sent",
    "sockets",
    "connections",
];

type Totals = [u64; NAMES.len()];

#[derive(Debug)]
pub(super) struct Load {
    looked_at: Instant,
    totals: Totals,
    averages: [[f64; MINUTES.len()]; NAMES.len()],
}

impl Load {
    pub(super) fn new(now: Instant) -> Self {
        Self { looked_at: now, totals: Totals::default(), averages: Default::default() }
    }

    /// Looks at the totals when it is time.
    pub(super) fn renew(&mut self, counters: &Counters, now: Instant) {
        let passed = now.saturating_duration_since(self.looked_at);
        if passed >= EVERY {
            self.looked_at = now;
            self.add(totals(counters), passed);
        }
    }

    /// `name/1min` and so on, with the value in the form that mosquitto gives it.
    pub(super) fn values(&self) -> impl Iterator<Item = (String, String)> {
        let of_one = |(name, averages): (&'static str, &[f64; MINUTES.len()])| {
            let averages = *averages;
            let of = move |(minutes, average)| (format!("load/{name}/{minutes}min"), format!("{average:.2}"));
            MINUTES.into_iter().zip(averages).map(of)
        };
        NAMES.into_iter().zip(&self.averages).flat_map(of_one)
    }

    fn add(&mut self, totals: Totals, passed: Duration) {
        let passed_minutes = passed.as_secs_f64() / 60.0;
        for ((total, former), averages) in totals.iter().zip(&self.totals).zip(&mut self.averages) {
            let rate = total.saturating_sub(*former) as f64 / passed_minutes;
            for (minutes, average) in MINUTES.into_iter().zip(averages) {
                let kept = (-passed_minutes / f64::from(minutes)).exp();
                *average = rate + kept * (*average - rate);
            }
        }
        self.totals = totals;
    }
}

/// In the order of [`NAMES`].
fn totals(counters: &Counters) -> Totals {
    [
        counters.packets_received.get(),
        counters.packets_sent.get(),
        counters.dropped.get(),
        counters.published.get(),
        counters.delivered.get(),
        counters.bytes_received.get(),
        counters.bytes_sent.get(),
        counters.accepted.get(),
        counters.connected.get(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten a second for `minutes`, looked at every ten seconds; what the three averages of the first quantity are.
    fn after(minutes: u64) -> [f64; 3] {
        let mut load = Load::new(Instant::now());
        for look in 1..=minutes * 6 {
            let mut totals = Totals::default();
            totals[0] = look * 100;
            load.add(totals, EVERY);
        }
        load.averages[0]
    }

    #[test]
    fn averages_reach_a_steady_rate_each_in_its_time() {
        let [one, five, fifteen] = after(5);
        // What is left of nothing: e^-5, e^-1 and e^-1/3.
        assert!((one - 596.0).abs() < 1.0 && (five - 379.3).abs() < 1.0 && (fifteen - 170.1).abs() < 1.0);
        let steady = after(200);
        assert!(steady.iter().all(|average| (average - 600.0).abs() < 0.1), "{steady:?}");
    }

    #[test]
    fn names_are_those_of_mosquitto() {
        let names: Vec<_> = Load::new(Instant::now()).values().collect();
        assert_eq!(names.len(), 27);
        assert_eq!(names[1], ("load/messages/received/5min".to_owned(), "0.00".to_owned()));
    }
}
