//! Where connections wait that have not said what they want. When too many do, the oldest has to go: who means it is through
//! within moments, and who only fills a place is old.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Stop;

/// Connections in the order they came. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Lobby(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    by_age: BTreeMap<u64, Stop>,
    next: u64,
}

/// A place in the lobby; free again when dropped.
#[derive(Debug)]
#[must_use]
pub struct Seat {
    lobby: Lobby,
    number: u64,
}

impl Lobby {
    /// Takes a place for a connection that is to end when `until` is cancelled; there are `max`. True if another one had to
    /// go for it.
    pub fn enter(&self, until: Stop, max: usize) -> (Seat, bool) {
        let mut waiting = self.lock();
        let mut evicted = None;
        if waiting.by_age.len() >= max.max(1) {
            evicted = waiting.by_age.pop_first();
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.by_age.insert(number, until);
        drop(waiting);
        let has_evicted = evicted.is_some();
        if let Some((_, oldest)) = evicted {
            oldest.cancel();
        }
        (Seat { lobby: self.clone(), number }, has_evicted)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Held for one operation on a map, which a panic cannot leave half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lobby.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_in_the_lobby_goes_first() {
        let lobby = Lobby::default();
        let tokens: Vec<_> = (0..4).map(|_| Stop::new()).collect();
        let (first, _) = lobby.enter(tokens[0].clone(), 2);
        let (second, has_evicted) = lobby.enter(tokens[1].clone(), 2);
        assert!(!has_evicted);
        drop(first);
        let (_third, has_evicted) = lobby.enter(tokens[2].clone(), 2);
        assert!(!has_evicted, "the first has left by itself");
        let (_fourth, has_evicted) = lobby.enter(tokens[3].clone(), 2);
        assert!(has_evicted);
        let cancelled: Vec<_> = tokens.iter().map(Stop::is_cancelled).collect();
        assert_eq!(cancelled, [false, true, false, false]);
        drop(second);
        assert_eq!(lobby.lock().by_age.len(), 2);
    }
}
