//! How much one address, one principal or one client may ask for.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A client may do at once what it may do in so many seconds: a desk that was offline sends what it has kept.
const BURST_S: f64 = 10.0;

/// A failed login is forgotten after so long.
const FORGIVEN: Duration = Duration::from_secs(10);

/// The longest an answer to a failed login is held back.
const DELAY_MAX: Duration = Duration::from_secs(2);

/// Entries that say nothing any more are swept when there are so many, and twice as many as were left the last time:
/// sweeping then costs each entry a fixed price, however many addresses somebody has.
const SWEEP_AT: usize = 1024;

/// A rate with a burst. Taking never fails: whoever takes too much gets into debt, and has to pause.
#[derive(Debug)]
pub(crate) struct Bucket {
    level: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self { level: f64::from(per_second) * BURST_S, at: now }
    }

    /// Takes so many; tells how long to pause after them.
    pub(crate) fn take(&mut self, number: usize, per_second: u32, now: Instant) -> Option<Duration> {
        let rate = f64::from(per_second.max(1));
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        self.level = (self.level + earned).min(rate * BURST_S) - number as f64;
        self.at = now;
        (self.level < 0.0).then(|| Duration::from_secs_f64(-self.level / rate))
    }
}

/// Connections by key, such as the address.
#[derive(Debug)]
pub(crate) struct Tallies<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One of them; gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct Held<K: Eq + Hash> {
    tallies: Tallies<K>,
    key: K,
}

impl<K> Clone for Tallies<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Default for Tallies<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> Tallies<K> {
    /// `None` when there are `max` already.
    pub(crate) fn hold(&self, key: K, max: usize) -> Option<Held<K>> {
        let mut counts = lock(&self.0);
        let count = counts.get(&key).copied().unwrap_or_default();
        if count >= max {
            return None;
        }
        counts.insert(key.clone(), count + 1);
        Some(Held { tallies: self.clone(), key })
    }
}

impl<K: Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut counts = lock(&self.tallies.0);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// Failed logins by key. They never keep out who knows the password, since one address may be a whole venue, but what
/// fails is answered late, and at some point not at all.
#[derive(Debug)]
pub(crate) struct Failures<K>(Mutex<Failed<K>>);

#[derive(Debug)]
struct Failed<K> {
    counts: HashMap<K, (u32, Instant)>,
    sweep_at: usize,
}

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self(Mutex::new(Failed { counts: HashMap::new(), sweep_at: SWEEP_AT }))
    }
}

impl<K: Eq + Hash> Failures<K> {
    /// Counts one more; tells how long to wait with the answer, or `None` if there is to be none.
    pub(crate) fn add(&self, key: K, max: u32, now: Instant) -> Option<Duration> {
        let mut failures = lock(&self.0);
        if failures.counts.len() >= failures.sweep_at {
            failures.counts.retain(|_, (count, at)| remaining(*count, *at, now) > 0);
            failures.sweep_at = SWEEP_AT.max(2 * failures.counts.len());
        }
        let (count, at) = failures.counts.entry(key).or_insert((0, now));
        *count = remaining(*count, *at, now).saturating_add(1);
        *at = now;
        let doublings = (*count - 1).min(8);
        (*count <= max).then(|| (Duration::from_millis(20) * 2_u32.pow(doublings)).min(DELAY_MAX))
    }
}

fn remaining(count: u32, at: Instant, now: Instant) -> u32 {
    let forgiven = now.saturating_duration_since(at).as_secs() / FORGIVEN.as_secs();
    count.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
}

/// Rates of principals, shared by all their connections.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<String, Arc<Mutex<Bucket>>>>);

impl Rates {
    pub(crate) fn of(&self, principal: &str, per_second: u32, now: Instant) -> Arc<Mutex<Bucket>> {
        let mut rates = lock(&self.0);
        if rates.len() >= SWEEP_AT {
            // Who is not connected begins anew.
            rates.retain(|_, bucket| Arc::strong_count(bucket) > 1);
        }
        let bucket = rates.entry(principal.to_owned());
        bucket.or_insert_with(|| Arc::new(Mutex::new(Bucket::new(per_second, now)))).clone()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Held for a few lines that do not panic; should that change, a count is still a count.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_allows_a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        for _ in 0..100 {
            assert_eq!(bucket.take(1, 10, start), None);
        }
        assert_eq!(bucket.take(1, 10, start), Some(Duration::from_millis(100)));
        assert_eq!(bucket.take(1, 10, start), Some(Duration::from_millis(200)));
        assert_eq!(bucket.take(1, 10, start + Duration::from_secs(1)), None);
        let mut idle = Bucket::new(10, start);
        for _ in 0..100 {
            assert_eq!(idle.take(1, 10, start + Duration::from_secs(1000)), None, "no more than a burst");
        }
        assert!(idle.take(1, 10, start + Duration::from_secs(1000)).is_some());
    }

    #[test]
    fn places_are_given_back() {
        let tallies = Tallies::default();
        let held = [tallies.hold("a", 2), tallies.hold("a", 2)];
        assert!(held.iter().all(Option::is_some) && tallies.hold("a", 2).is_none());
        assert!(tallies.hold("b", 2).is_some());
        drop(held);
        assert!(tallies.hold("a", 2).is_some() && lock(&tallies.0).is_empty());
    }

    #[test]
    fn failures_are_answered_later_and_later_and_are_forgiven() {
        let failures = Failures::default();
        let start = Instant::now();
        let first = failures.add("a", 3, start);
        let second = failures.add("a", 3, start);
        assert!(first < second && second < failures.add("a", 3, start));
        assert_eq!(failures.add("a", 3, start), None);
        assert!(failures.add("b", 3, start).is_some());
        assert_eq!(failures.add("a", 3, start + FORGIVEN * 100), first);
    }
}
