//! Which dancers have the page open: who is really there may tap, and a venue's address is known by its dancers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::DancerId;

use crate::web::client::Household;

/// Pages of one dancer that are open at once.
const SOCKETS_MAX: u8 = 5;

/// A phone in the pocket has no socket, and its owner is there all the same.
const STAYS_MS: i64 = 30 * 60_000;

/// Dancers remembered who have left. Beyond it they go first who left first.
const LEFT_MAX: usize = 50_000;

/// Everybody who is there. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Presence(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    dancers: HashMap<DancerId, Here>,
    households: HashMap<Household, u32>,
    left: usize,
}

#[derive(Debug)]
struct Here {
    sockets: u8,
    household: Household,
    left_ms: i64,
}

/// A dancer's open page, until it is dropped.
#[derive(Debug)]
pub(super) struct Open {
    presence: Presence,
    dancer: DancerId,
}

impl Presence {
    /// A page of the dancer's is opened; `None` when too many are.
    pub(super) fn open(&self, dancer: &DancerId, household: Household) -> Option<Open> {
        let mut inner = self.lock();
        let Inner { dancers, households, left } = &mut *inner;
        let here = dancers.entry(dancer.clone()).or_insert_with(|| {
            *left += 1;
            Here { sockets: 0, household, left_ms: 0 }
        });
        if here.sockets >= SOCKETS_MAX {
            return None;
        }
        here.sockets += 1;
        if here.sockets == 1 {
            *left -= 1;
            here.household = household;
            *households.entry(household).or_default() += 1;
        }
        Some(Open { presence: self.clone(), dancer: dancer.clone() })
    }

    /// Whether the dancer's page is open, or was a while ago.
    pub(super) fn is_here(&self, dancer: &DancerId, now_ms: i64) -> bool {
        let inner = self.lock();
        inner.dancers.get(dancer).is_some_and(|here| here.sockets > 0 || here.left_ms > now_ms - STAYS_MS)
    }

    /// Dancers with an open page at that address.
    pub(super) fn dancers_at(&self, household: Household) -> u32 {
        self.lock().households.get(&household).copied().unwrap_or(0)
    }

    fn leave(&self, dancer: &DancerId, now_ms: i64) {
        let mut inner = self.lock();
        let Inner { dancers, households, left } = &mut *inner;
        let Some(here) = dancers.get_mut(dancer) else { return };
        here.sockets -= 1;
        if here.sockets > 0 {
            return;
        }
        here.left_ms = now_ms;
        *left += 1;
        if let Some(count) = households.get_mut(&here.household) {
            *count -= 1;
            if *count == 0 {
                households.remove(&here.household);
            }
        }
        if *left > LEFT_MAX {
            let mut times: Vec<i64> =
                dancers.values().filter(|here| here.sockets == 0).map(|here| here.left_ms).collect();
            // Half of them at once, so that this is rare.
            let (_, middle, _) = times.select_nth_unstable(LEFT_MAX / 2);
            let middle = *middle;
            dancers.retain(|_, here| here.sockets > 0 || here.left_ms > middle);
            *left = dancers.values().filter(|here| here.sockets == 0).count();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Held for map operations only; a panic there cannot leave them half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.presence.leave(&self.dancer, config::clock::now_ms());
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

    #[test]
    fn a_venue_is_as_large_as_its_dancers() {
        let (presence, venue) = (Presence::default(), household("203.0.113.1"));
        let dancer = |n: u32| -> DancerId { format!("d{n}").parse().unwrap() };
        let mut pages: Vec<Open> = (0..7).filter_map(|_| presence.open(&dancer(0), venue)).collect();
        assert_eq!((pages.len(), presence.dancers_at(venue)), (5, 1), "one dancer has five pages at most");
        pages.extend(presence.open(&dancer(1), venue));
        assert_eq!(presence.dancers_at(venue), 2);
        let now_ms = config::clock::now_ms();
        assert!(presence.is_here(&dancer(1), now_ms) && !presence.is_here(&dancer(2), now_ms));
        drop(pages);
        assert_eq!((presence.dancers_at(venue), presence.lock().households.len()), (0, 0));
        let now_ms = config::clock::now_ms();
        assert!(presence.is_here(&dancer(1), now_ms) && !presence.is_here(&dancer(1), now_ms + STAYS_MS + 1));
    }

    #[test]
    fn those_who_left_long_ago_are_forgotten() {
        let (presence, venue) = (Presence::default(), household("203.0.113.1"));
        let stays = presence.open(&"stays".parse().unwrap(), venue);
        for n in 0..=LEFT_MAX as i64 + 10 {
            let dancer: DancerId = format!("d{n}").parse().unwrap();
            std::mem::forget(presence.open(&dancer, venue));
            presence.leave(&dancer, n);
        }
        let inner = presence.lock();
        assert!(inner.dancers.len() <= LEFT_MAX + 2 && inner.dancers.len() >= LEFT_MAX / 2);
        assert_eq!(inner.left, inner.dancers.len() - 1);
        drop(inner);
        assert!(presence.is_here(&"stays".parse().unwrap(), 0));
        drop(stays);
    }
}
