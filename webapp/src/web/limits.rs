//! How much one dancer, one household and one floor may do. Pure: the time comes from the caller.
//!
//! A venue has one address for hundreds of dancers, so the limit that matters is a dancer's own, and what a household
//! may do grows with the dancers who are really there.

use std::collections::HashMap;
use std::hash::Hash;

use protocol::{DancerId, FloorId};

use crate::settings::Settings;
use crate::web::client::Household;

/// Dancers and households that are remembered. Beyond it, those go who are within their limits anyway; when nobody is,
/// newcomers share one limit.
const REMEMBERED_MAX: usize = 100_000;

const MINUTE_MS: i64 = 60_000;

/// Taps of a dancer by hand come one after the other; those of one address are as many as if so many dancers were there,
/// at least: one of them may be a school or a mobile network.
const DANCERS_AT_LEAST: u32 = 30;

/// However many dancers seem to be at one address.
const ADDRESS_TAPS_PER_MINUTE_MAX: u32 = 6_000;

/// New cookies for one address: doors open, and everybody comes at once.
const NEW_DANCERS: Pace = Pace { per_minute: 300, at_once: 1_500 };

/// Desks of one address that ask to be let in: a club has a few, and each may try again.
const PAIRINGS: Pace = Pace { per_minute: 2, at_once: 10 };

/// Errors that browsers of one address tell of: a page says three at most.
const FAULTS: Pace = Pace { per_minute: 10, at_once: 60 };

/// Tries to log in, for one address and for one name.
const LOGINS_PER_QUARTER: u32 = 5;

/// Too much: after this time it would not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) ms: i64,
}

impl Wait {
    /// For `Retry-After`.
    pub(super) fn seconds(self) -> i64 {
        (self.ms + 999) / 1000
    }
}

/// So many in the long run, and so many at once.
#[derive(Debug, Clone, Copy)]
struct Pace {
    per_minute: u32,
    at_once: u32,
}

/// How far each key is ahead of its pace (the generic cell rate algorithm, ITU-T I.371).
#[derive(Debug)]
struct Paces<K> {
    /// When the key is even with its pace, in microseconds.
    even_us: HashMap<K, i64>,
    /// Of all for whom there was no room.
    others_us: i64,
    max: usize,
}

impl<K: Hash + Eq> Paces<K> {
    fn new(max: usize) -> Self {
        Self { even_us: HashMap::new(), others_us: 0, max }
    }

    fn take(&mut self, key: K, pace: Pace, now_ms: i64) -> Result<(), Wait> {
        let now_us = now_ms * 1000;
        if self.even_us.len() >= self.max && !self.even_us.contains_key(&key) {
            self.even_us.retain(|_, even_us| *even_us > now_us);
        }
        let has_room = self.even_us.len() < self.max || self.even_us.contains_key(&key);
        let even_us = if has_room { self.even_us.entry(key).or_insert(0) } else { &mut self.others_us };
        let each_us = (MINUTE_MS * 1000 / i64::from(pace.per_minute.max(1))).max(1);
        let next_us = (*even_us).max(now_us) + each_us;
        let early_us = next_us - now_us - each_us * i64::from(pace.at_once.max(1));
        if early_us > 0 {
            return Err(Wait { ms: (early_us + 999) / 1000 });
        }
        *even_us = next_us;
        Ok(())
    }
}

/// Who taps.
#[derive(Debug, Clone)]
pub(super) struct Tapper {
    pub(super) dancer: DancerId,
    /// When we first saw the dancer.
    pub(super) since_ms: i64,
    pub(super) household: Household,
    /// The dancer's page is open and live, or was a while ago.
    pub(super) is_here: bool,
    /// Dancers of the same address whose pages are live.
    pub(super) dancers_there: u32,
}

/// Why a tap does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TapRefused {
    /// Nobody has read the page in so short a time.
    TooSoon(Wait),
    TooMany(Wait),
}

/// All limits of one web app.
#[derive(Debug)]
pub(super) struct Limits {
    per_dancer: u32,
    first_tap_after_ms: i64,
    per_floor_s: u32,
    dancers: HashMap<DancerId, Vec<i64>>,
    households: Paces<Household>,
    strangers: Paces<Household>,
    newcomers: Paces<Household>,
    floors: Paces<FloorId>,
    pairings: Paces<Household>,
    faults: Paces<Household>,
    logins_from: Paces<Household>,
    logins_as: Paces<String>,
    /// Names of people in browsers that have logged in under them before.
    logins_known: Paces<String>,
}

impl Limits {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            per_dancer: settings.taps_per_minute,
            first_tap_after_ms: i64::from(settings.first_tap_after_s) * 1000,
            per_floor_s: settings.floor_taps_per_s,
            dancers: HashMap::new(),
            households: Paces::new(REMEMBERED_MAX),
            strangers: Paces::new(REMEMBERED_MAX),
            newcomers: Paces::new(REMEMBERED_MAX),
            floors: Paces::new(1_000),
            pairings: Paces::new(REMEMBERED_MAX),
            faults: Paces::new(REMEMBERED_MAX),
            logins_from: Paces::new(REMEMBERED_MAX),
            logins_as: Paces::new(REMEMBERED_MAX),
            logins_known: Paces::new(REMEMBERED_MAX),
        }
    }

    /// Somebody whom we do not know asks for something that counts.
    pub(super) fn stranger(&mut self, household: Household, now_ms: i64) -> Result<(), Wait> {
        let pace = Pace { per_minute: self.per_dancer, at_once: self.per_dancer };
        self.strangers.take(household, pace, now_ms)
    }

    /// A new dancer is to be remembered.
    pub(super) fn newcomer(&mut self, household: Household, now_ms: i64) -> Result<(), Wait> {
        self.newcomers.take(household, NEW_DANCERS, now_ms)
    }

    /// A dancer taps.
    pub(super) fn tap(&mut self, tapper: &Tapper, floor: &FloorId, now_ms: i64) -> Result<(), TapRefused> {
        let soon_ms = tapper.since_ms + self.first_tap_after_ms - now_ms;
        if soon_ms > 0 {
            return Err(TapRefused::TooSoon(Wait { ms: soon_ms }));
        }
        self.window(&tapper.dancer, now_ms).map_err(TapRefused::TooMany)?;
        if !tapper.is_here {
            // Without the script nobody shows that the page is open: those of one address share what one dancer may do,
            // so fifty cookies are worth no more than one.
            self.stranger(tapper.household, now_ms).map_err(TapRefused::TooMany)?;
        }
        let many = self.per_dancer.saturating_mul(tapper.dancers_there.max(DANCERS_AT_LEAST));
        let many = many.min(ADDRESS_TAPS_PER_MINUTE_MAX.max(self.per_dancer));
        let pace = Pace { per_minute: many, at_once: many };
        self.households.take(tapper.household, pace, now_ms).map_err(TapRefused::TooMany)?;
        let pace = Pace { per_minute: self.per_floor_s.saturating_mul(60), at_once: self.per_floor_s };
        self.floors.take(floor.clone(), pace, now_ms).map_err(TapRefused::TooMany)
    }

    /// Not more than so many in any minute.
    fn window(&mut self, dancer: &DancerId, now_ms: i64) -> Result<(), Wait> {
        if self.dancers.len() >= REMEMBERED_MAX && !self.dancers.contains_key(dancer) {
            self.dancers.retain(|_, taps| taps.last().is_some_and(|at| *at > now_ms - MINUTE_MS));
            if self.dancers.len() >= REMEMBERED_MAX {
                return Err(Wait { ms: MINUTE_MS });
            }
        }
        let taps = self.dancers.entry(dancer.clone()).or_default();
        taps.retain(|at| *at > now_ms - MINUTE_MS && *at <= now_ms);
        match taps.first() {
            Some(first) if taps.len() >= self.per_dancer as usize => {
                Err(Wait { ms: first + MINUTE_MS - now_ms })
            }
            _ => {
                taps.push(now_ms);
                Ok(())
            }
        }
    }

    /// A desk asks to be let in.
    pub(super) fn pairing(&mut self, household: Household, now_ms: i64) -> Result<(), Wait> {
        self.pairings.take(household, PAIRINGS, now_ms)
    }

    /// A browser tells of an error.
    pub(super) fn fault(&mut self, household: Household, now_ms: i64) -> Result<(), Wait> {
        self.faults.take(household, FAULTS, now_ms)
    }

    /// Somebody tries to log in under that name.
    pub(super) fn login(&mut self, household: Household, name: &str, now_ms: i64) -> Result<(), Wait> {
        // A quarter of an hour is counted as if it were a minute: paces know nothing longer.
        let pace = Pace { per_minute: LOGINS_PER_QUARTER, at_once: LOGINS_PER_QUARTER };
        let slow = |wait: Wait| Wait { ms: wait.ms * 15 };
        self.logins_from.take(household, pace, now_ms / 15).map_err(slow)?;
        self.logins_as.take(name.chars().take(48).collect(), pace, now_ms / 15).map_err(slow)
    }

    /// A person tries to log in. In a browser that has done so before, strangers who try her name elsewhere do not count.
    pub(super) fn person(
        &mut self,
        household: Household,
        name: &str,
        is_known: bool,
        now_ms: i64,
    ) -> Result<(), Wait> {
        if !is_known {
            return self.login(household, name, now_ms);
        }
        let pace = Pace { per_minute: LOGINS_PER_QUARTER, at_once: LOGINS_PER_QUARTER };
        let known = self.logins_known.take(name.chars().take(48).collect(), pace, now_ms / 15);
        known.map_err(|wait| Wait { ms: wait.ms * 15 })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName};

    use super::*;
    use crate::web::client::client;

    fn household(address: &str) -> Household {
        client(address.parse().unwrap(), &HeaderMap::new(), &HeaderName::from_static("x"), &[]).household
    }

    fn tapper(name: &str) -> Tapper {
        Tapper {
            dancer: name.parse().unwrap(),
            since_ms: 0,
            household: household("203.0.113.1"),
            is_here: true,
            dancers_there: 1,
        }
    }

    fn limits() -> Limits {
        Limits::new(&Settings::default())
    }

    const LATER: i64 = 1_000_000_000;

    fn floor() -> FloorId {
        "main".parse().unwrap()
    }

    #[test]
    fn ten_taps_in_any_minute() {
        let (mut limits, one) = (limits(), tapper("one"));
        for n in 0..10 {
            assert_eq!(limits.tap(&one, &floor(), LATER + n * 100), Ok(()));
        }
        assert_eq!(limits.tap(&one, &floor(), LATER + 1_000), Err(TapRefused::TooMany(Wait { ms: 59_000 })));
        assert_eq!(limits.tap(&tapper("two"), &floor(), LATER + 1_000), Ok(()));
        assert_eq!(limits.tap(&one, &floor(), LATER + 60_000), Ok(()), "the first one is a minute ago");
        assert!(limits.tap(&one, &floor(), LATER + 60_001).is_err());
    }

    #[test]
    fn nobody_taps_before_the_page_can_be_read() {
        let new = Tapper { since_ms: LATER, ..tapper("one") };
        assert_eq!(limits().tap(&new, &floor(), LATER + 1_000), Err(TapRefused::TooSoon(Wait { ms: 2_000 })));
        assert_eq!(limits().tap(&new, &floor(), LATER + 3_000), Ok(()));
    }

    #[test]
    fn fifty_cookies_without_a_page_are_worth_one() {
        let mut limits = limits();
        let counted = (0..50).filter(|n| {
            let tapper = Tapper { is_here: false, ..tapper(&format!("d{n}")) };
            limits.tap(&tapper, &floor(), LATER).is_ok()
        });
        assert_eq!(counted.count(), 10);
    }

    #[test]
    fn five_hundred_dancers_behind_one_address_all_count() {
        let mut limits = limits();
        for round in 0..10 {
            for n in 0..500 {
                let tapper = Tapper { dancers_there: 500, ..tapper(&format!("d{n}")) };
                assert_eq!(limits.tap(&tapper, &floor(), LATER + round * 6_000 + n), Ok(()), "{round} {n}");
            }
        }
    }

    #[test]
    fn an_address_has_a_ceiling_whatever_it_seems() {
        let mut limits = Limits::new(&Settings { floor_taps_per_s: 100_000, ..Settings::default() });
        let counted = (0..9_000).filter(|n| {
            let tapper = Tapper { dancers_there: 9_000, ..tapper(&format!("d{n}")) };
            limits.tap(&tapper, &floor(), LATER + n / 10).is_ok()
        });
        assert!((6_000..6_200).contains(&counted.count()));
    }

    #[test]
    fn strangers_and_logins_wait() {
        let mut limits = limits();
        let home = household("203.0.113.1");
        assert_eq!((0..20).filter(|_| limits.stranger(home, LATER).is_ok()).count(), 10);
        assert_eq!((0..20).filter(|_| limits.login(home, "booth", LATER).is_ok()).count(), 5);
        // Nor from elsewhere, under the same name.
        assert!(limits.login(household("198.51.100.1"), "booth", LATER).is_err());
        assert_eq!(limits.login(home, "booth", LATER).unwrap_err().seconds(), 180);
        assert!(limits.login(home, "booth", LATER + 181_000).is_ok());
        // Who has been let in before is not locked out by strangers.
        assert!(limits.person(home, "booth", false, LATER).is_err());
        assert_eq!((0..20).filter(|_| limits.person(home, "booth", true, LATER).is_ok()).count(), 5);
    }

    #[test]
    fn memory_is_bounded_and_newcomers_share_when_it_is_full() {
        let mut paces: Paces<u32> = Paces::new(10);
        let pace = Pace { per_minute: 60, at_once: 1 };
        let counted = (0..100).filter(|key| paces.take(*key, pace, LATER).is_ok()).count();
        assert_eq!((counted, paces.even_us.len()), (11, 10));
        assert!(paces.take(200, pace, LATER + 10_000).is_ok(), "those before have waited");
        assert_eq!(paces.even_us.len(), 1);
    }
}
