//! What waits for one client: filled by the dispatcher, emptied by the client's own task.
//!
//! Bounded in messages and bytes. When it is full, a QoS 0 message is dropped and counted, and a QoS 1 message ends the
//! session: it is better for a client to start again from the retained state than to miss something silently.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use crate::codec::SubAck;
use crate::message::Message;

/// A message for one client, with what is special for it.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub message: Arc<Message>,
    pub qos: u8,
    pub retain: bool,
    /// Sent because of a new subscription, not because it was just published. These come at once and are bounded by
    /// the store they come from, so they are counted on their own.
    pub is_stored: bool,
    /// MQTT 5 subscription ids; boxed, since nearly nobody uses them.
    pub subscription_ids: Option<Box<[u32]>>,
}

/// Answers to the client's own packets, few by nature, sent before messages.
#[derive(Debug)]
pub(crate) enum Answer {
    Published(u16),
    Subscribed(SubAck),
    Unsubscribed(SubAck),
}

/// Why the broker ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    TakenOver,
    Stopping,
    NotAuthorized,
    Overflow,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Queued,
    /// Queued, and the queue is nearly full: time to let the client catch up.
    NearlyFull,
    Dropped,
    Overflow,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    pub messages: usize,
    pub bytes: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub live: Load,
    pub stored: Load,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    limits: Limits,
    state: Mutex<State>,
    /// Told when a nearly full outbox has room again.
    relief: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Answer>,
    deliveries: VecDeque<Delivery>,
    live: Load,
    stored: Load,
    ending: Option<Ending>,
    is_shut: bool,
    is_nearly_full: bool,
    taken: u64,
    waker: Option<Waker>,
}

impl Outbox {
    pub(crate) fn new(limits: Limits, relief: Arc<Notify>) -> Self {
        Self { limits, state: Mutex::default(), relief }
    }

    pub(crate) fn deliver(&self, delivery: Delivery) -> Fate {
        let mut state = self.state();
        if state.is_shut || state.ending.is_some() {
            return Fate::Dropped;
        }
        let limit = if delivery.is_stored { self.limits.stored } else { self.limits.live };
        let load = state.load(&delivery);
        let (messages, bytes) = (load.messages + 1, load.bytes + delivery.message.size());
        if messages > limit.messages || bytes > limit.bytes {
            if delivery.qos == 0 {
                return Fate::Dropped;
            }
            state.ending = Some(Ending::Overflow);
            wake(state);
            return Fate::Overflow;
        }
        *load = Load { messages, bytes };
        if !delivery.is_stored && (messages * 4 > limit.messages * 3 || bytes * 4 > limit.bytes * 3) {
            state.is_nearly_full = true;
        }
        let fate = if state.is_nearly_full { Fate::NearlyFull } else { Fate::Queued };
        state.deliveries.push_back(delivery);
        wake(state);
        fate
    }

    pub(crate) fn answer(&self, answer: Answer) {
        let mut state = self.state();
        if !state.is_shut {
            state.answers.push_back(answer);
            wake(state);
        }
    }

    pub(crate) fn end(&self, ending: Ending) {
        let mut state = self.state();
        state.ending.get_or_insert(ending);
        wake(state);
    }

    /// The client is gone: nothing is taken in any more.
    pub(crate) fn shut(&self) {
        let mut state = self.state();
        *state = State { is_shut: true, taken: state.taken, ..State::default() };
        drop(state);
        self.relief.notify_one();
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.state().ending
    }

    /// Whether it is nearly full, and how many messages the client took in all.
    pub(crate) fn pressure(&self) -> (bool, u64) {
        let state = self.state();
        (state.is_nearly_full, state.taken)
    }

    /// Ready when there is something to do: an ending, or, with `room` to write, something that may be written.
    pub(crate) fn poll(&self, cx: &Context<'_>, room: bool, window_open: bool) -> Poll<()> {
        let mut state = self.state();
        let next = state.deliveries.front().is_some_and(|delivery| delivery.qos == 0 || window_open);
        if state.ending.is_some() || (room && (next || !state.answers.is_empty())) {
            return Poll::Ready(());
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(crate) fn next_answer(&self) -> Option<Answer> {
        let mut state = self.state();
        let answer = state.answers.pop_front();
        if state.answers.is_empty() && state.answers.capacity() > 8 {
            state.answers = VecDeque::new();
        }
        answer
    }

    /// The next message; a QoS 1 message waits for the window, and everything behind it too.
    pub(crate) fn next_delivery(&self, window_open: bool) -> Option<Delivery> {
        let mut state = self.state();
        if !window_open && state.deliveries.front().is_some_and(|delivery| delivery.qos > 0) {
            return None;
        }
        let delivery = state.deliveries.pop_front()?;
        let load = state.load(&delivery);
        load.messages -= 1;
        load.bytes -= delivery.message.size();
        state.taken += 1;
        if state.deliveries.is_empty() && state.deliveries.capacity() > 16 {
            // An idle client should not keep the memory of its last burst.
            state.deliveries = VecDeque::new();
        }
        if state.is_nearly_full
            && state.live.messages * 2 < self.limits.live.messages
            && state.live.bytes * 2 < self.limits.live.bytes
        {
            state.is_nearly_full = false;
            drop(state);
            self.relief.notify_one();
        }
        Some(delivery)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it; should that change, the queue is still a queue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn load(&mut self, delivery: &Delivery) -> &mut Load {
        if delivery.is_stored { &mut self.stored } else { &mut self.live }
    }
}

/// Wakes the client's task after the lock is free again.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}
