//! How long fast publishers wait for subscribers that fall behind.

use std::time::{Duration, Instant};

use super::{Dispatcher, Session};
use crate::message::SessionId;

/// A client that falls behind in a burst may hold the others up for so long in all …
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// … which it earns again at a tenth of the time that passes …
const PATIENCE_REGAINED: u32 = 10;
/// … as long as it takes something at least so often.
const STALLED: Duration = Duration::from_millis(20);

impl Dispatcher {
    /// Lets clients that fell behind catch up before more is routed, so that a burst from a fast publisher is not lost
    /// to a healthy subscriber. Bounded by each client's patience: one that stalls delays the others hardly at all.
    pub(super) async fn brake(&mut self, mut behind: Vec<SessionId>) {
        if behind.is_empty() {
            return;
        }
        let start = Instant::now();
        behind.retain(|id| self.sessions.get_mut(id).is_some_and(|session| session.has_patience(start)));
        let asked = behind.clone();
        let (mut taken, mut progress_at) = (0, start);
        let mut is_stalled = false;
        while !behind.is_empty() && !is_stalled {
            _ = tokio::time::timeout(STALLED / 4, self.relief.notified()).await;
            let now = Instant::now();
            let mut total: u64 = 0;
            behind.retain(|id| {
                let Some(session) = self.sessions.get(id) else { return false };
                let (is_nearly_full, taken) = session.recipient.outbox.pressure();
                total += taken;
                is_nearly_full && session.patience > now - start
            });
            if total != taken {
                (taken, progress_at) = (total, now);
            }
            is_stalled = now - progress_at >= STALLED;
        }
        let spent = start.elapsed();
        for id in asked {
            if let Some(session) = self.sessions.get_mut(&id) {
                let is_stalled = is_stalled && behind.contains(&id);
                session.patience =
                    if is_stalled { Duration::ZERO } else { session.patience.saturating_sub(spent) };
            }
        }
    }
}

impl Session {
    /// Regains patience for the time since last asked; true if it is worth starting to wait.
    fn has_patience(&mut self, now: Instant) -> bool {
        self.patience = (self.patience + (now - self.patience_at) / PATIENCE_REGAINED).min(PATIENCE);
        self.patience_at = now;
        self.patience > STALLED * 5
    }
}
