//! Sources that are asked, or that speak to us, as tasks: how they say what they hear.

use tokio::sync::mpsc;

use super::observation::SourceKind;
use super::{Heard, SourceEvent, SourceState};

/// What a source says goes this way, to whoever judges it.
#[derive(Debug, Clone)]
pub(super) struct Voice {
    pub source: SourceKind,
    pub events: mpsc::Sender<Heard>,
}

impl Voice {
    /// Says it, and waits while the queue is full. Says no when nobody listens any more.
    pub async fn say(&self, event: SourceEvent) -> bool {
        self.events.send(Heard { source: self.source, event }).await.is_ok()
    }

    pub async fn missing(&self, what: impl Into<String>, why: impl Into<String>) -> bool {
        let (what, why) = (what.into(), why.into());
        self.say(SourceEvent::State(SourceState::Missing { what, why })).await
    }
}
