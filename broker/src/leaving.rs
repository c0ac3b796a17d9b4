//! The promise that the dispatcher hears of a session's end.

use std::sync::Arc;

use crate::dispatcher::{Command, Leave, Recipient};
use crate::gate::Gate;

/// Made before a session is attached, and held until it ends: whatever happens to its task, the dispatcher is told.
/// Otherwise the session would stay for ever, and whoever came next with its name would wait for ever.
#[derive(Debug)]
pub(crate) struct Leaving {
    recipient: Option<Arc<Recipient>>,
    gate: Arc<Gate>,
}

impl Leaving {
    pub(crate) fn of(recipient: Arc<Recipient>, gate: &Arc<Gate>) -> Self {
        Self { recipient: Some(recipient), gate: gate.clone() }
    }

    pub(crate) async fn now(mut self, after: u64, leave: Leave) {
        if let Some(recipient) = self.recipient.take() {
            _ = self.gate.commands.send(Command::Detach { session: recipient.id, after, leave }).await;
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        // After a handshake that timed out, a panic, or when the runtime goes down.
        let Some(recipient) = self.recipient.take() else { return };
        let leave = Leave { expiry_s: recipient.expiry_s, will: None };
        recipient.leave(leave.expiry_s);
        let commands = self.gate.commands.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                _ = commands.send(Command::Detach { session: recipient.id, after: 0, leave }).await;
            });
        }
    }
}
