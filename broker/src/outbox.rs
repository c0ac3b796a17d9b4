//! What waits for one client, and what is under way to it: filled by the dispatcher, emptied by the client's own task.
//! It is all of a session that may outlive its connection, but for the subscriptions.
//!
//! Bounded in messages and bytes. When it is full, a QoS 0 message is dropped and counted, and a message with a higher
//! QoS ends the session: it is better for a client to start again from the retained state than to miss something silently.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

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
    Published(Published),
    Subscribed(SubAck),
    Unsubscribed(SubAck),
}

/// A message of the client's own that has been routed: to be answered with PUBACK or PUBREC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Published {
    pub packet_id: u16,
    pub qos: u8,
}

/// What to send next.
#[derive(Debug)]
pub(crate) enum Next {
    Publish {
        delivery: Delivery,
        /// 0 with QoS 0.
        packet_id: u16,
        /// It may have reached the client before, on an earlier connection.
        is_again: bool,
    },
    /// PUBREL.
    Release(u16),
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
    /// Messages under way without acknowledgement.
    pub window: u16,
    /// Whether the session outlives its connection, so that what is under way has to be kept until acknowledged.
    pub is_kept: bool,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Answer>,
    deliveries: VecDeque<Delivery>,
    /// In the order they were sent first, which is the order to send them again.
    in_flight: Vec<InFlight>,
    /// How many of these are still to be sent again.
    unsent: usize,
    last_packet_id: u16,
    /// The client's own QoS 2 messages between PUBREC and PUBREL.
    received: HashSet<u16>,
    live: Load,
    stored: Load,
    ending: Option<Ending>,
    is_shut: bool,
    is_away: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct InFlight {
    packet_id: u16,
    qos: u8,
    /// PUBREC has come.
    is_released: bool,
    is_sent: bool,
    /// Kept to be sent again if the session outlives its connection; not needed once released.
    delivery: Option<Delivery>,
}

impl Outbox {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    pub(crate) fn deliver(&self, delivery: Delivery) -> Fate {
        let mut state = self.state();
        if state.is_shut || state.ending.is_some() {
            return Fate::Dropped;
        }
        if state.is_away && delivery.qos == 0 {
            // Nobody is promised these while away.
            return Fate::Queued;
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
        state.deliveries.push_back(delivery);
        wake(state);
        Fate::Queued
    }

    pub(crate) fn answer(&self, answer: Answer) {
        let mut state = self.state();
        if !state.is_shut && !state.is_away {
            state.answers.push_back(answer);
            wake(state);
        }
    }

    /// Queues PUBACKs and PUBRECs; messages with QoS 0 need none.
    pub(crate) fn acknowledge(&self, published: impl Iterator<Item = Published>) {
        let mut state = self.state();
        if !state.is_shut && !state.is_away {
            state.answers.extend(published.filter(|one| one.qos > 0).map(Answer::Published));
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
        *state = State { is_shut: true, ending: state.ending, ..State::default() };
    }

    /// The client is gone and may come back: what it was promised stays, and waits to be sent again.
    pub(crate) fn park(&self) {
        let mut state = self.state();
        state.is_away = true;
        state.answers = VecDeque::new();
        state.waker = None;
        let deliveries = std::mem::take(&mut state.deliveries);
        for delivery in deliveries {
            if delivery.qos > 0 {
                state.deliveries.push_back(delivery);
            } else {
                state.release(&delivery);
            }
        }
        for in_flight in &mut state.in_flight {
            in_flight.is_sent = false;
        }
        state.unsent = state.in_flight.len();
    }

    /// Takes over what was left when the client's last connection ended.
    pub(crate) fn inherit(&self, former: &Self) {
        let left = std::mem::replace(&mut *former.state(), State { is_shut: true, ..State::default() });
        let mut state = self.state();
        state.deliveries = left.deliveries;
        state.in_flight = left.in_flight;
        state.unsent = left.unsent;
        state.last_packet_id = left.last_packet_id;
        state.received = left.received;
        state.live = left.live;
        state.stored = left.stored;
        wake(state);
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.state().ending
    }

    /// Whether the client is there and keeps up.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.state();
        let (live, limit) = (state.live, self.limits.live);
        let is_behind = live.messages * 4 > limit.messages * 3 || live.bytes * 4 > limit.bytes * 3;
        !is_behind && !state.is_away && !state.is_shut && state.ending.is_none()
    }

    /// What it holds now.
    pub(crate) fn load(&self) -> Load {
        let state = self.state();
        Load {
            messages: state.live.messages + state.stored.messages,
            bytes: state.live.bytes + state.stored.bytes,
        }
    }

    /// Ready when there is something to do: an ending, or, with `room` to write, something that may be written.
    pub(crate) fn poll(&self, cx: &Context<'_>, room: bool) -> Poll<()> {
        let mut state = self.state();
        if state.ending.is_some() || (room && (!state.answers.is_empty() || self.may_send(&state))) {
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

    /// The next message; one with a QoS waits for the window, and everything behind it too.
    pub(crate) fn next(&self) -> Option<Next> {
        let mut state = self.state();
        if !self.may_send(&state) {
            return None;
        }
        if state.unsent > 0 {
            return state.next_again();
        }
        let delivery = state.deliveries.pop_front()?;
        if state.deliveries.is_empty() && state.deliveries.capacity() > 16 {
            // An idle client should not keep the memory of its last burst.
            state.deliveries = VecDeque::new();
        }
        let mut packet_id = 0;
        if delivery.qos > 0 {
            packet_id = state.next_packet_id();
            let kept = self.limits.is_kept.then(|| delivery.clone());
            let qos = delivery.qos;
            state.in_flight.push(InFlight {
                packet_id,
                qos,
                is_released: false,
                is_sent: true,
                delivery: kept,
            });
        }
        if delivery.qos == 0 || !self.limits.is_kept {
            state.release(&delivery);
        }
        Some(Next::Publish { delivery, packet_id, is_again: false })
    }

    /// PUBACK came, or something that ends a QoS 2 message early. An unknown packet id is harmless.
    pub(crate) fn settle(&self, packet_id: u16) {
        let mut state = self.state();
        let Some(at) = state.in_flight.iter().position(|one| one.packet_id == packet_id) else { return };
        let settled = state.in_flight.remove(at);
        state.unsent -= usize::from(!settled.is_sent);
        if state.in_flight.is_empty() && state.in_flight.capacity() > 16 {
            state.in_flight = Vec::new();
        }
        if let Some(delivery) = settled.delivery {
            state.release(&delivery);
        }
    }

    /// PUBREC came; false when there is no such message.
    pub(crate) fn release(&self, packet_id: u16) -> bool {
        let mut state = self.state();
        let Some(known) = state.in_flight.iter_mut().find(|one| one.packet_id == packet_id && one.qos == 2)
        else {
            return false;
        };
        known.is_released = true;
        if let Some(delivery) = known.delivery.take() {
            state.release(&delivery);
        }
        true
    }

    /// Notes a QoS 2 message of the client's own; false when it was there before. Gives how many are open.
    pub(crate) fn receive(&self, packet_id: u16) -> (bool, usize) {
        let mut state = self.state();
        let is_new = state.received.insert(packet_id);
        (is_new, state.received.len())
    }

    /// PUBREL came; false when there is no such message.
    pub(crate) fn complete(&self, packet_id: u16) -> bool {
        let mut state = self.state();
        let was_there = state.received.remove(&packet_id);
        if state.received.is_empty() && state.received.capacity() > 8 {
            state.received = HashSet::new();
        }
        was_there
    }

    fn may_send(&self, state: &State) -> bool {
        let is_open = state.in_flight.len() - state.unsent < usize::from(self.limits.window);
        if state.unsent > 0 {
            let next = state.in_flight.iter().find(|one| !one.is_sent);
            return is_open || next.is_some_and(|next| next.is_released);
        }
        state.deliveries.front().is_some_and(|delivery| delivery.qos == 0 || is_open)
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

    fn release(&mut self, delivery: &Delivery) {
        let load = self.load(delivery);
        load.messages -= 1;
        load.bytes -= delivery.message.size();
    }

    fn next_again(&mut self) -> Option<Next> {
        let next = self.in_flight.iter_mut().find(|one| !one.is_sent)?;
        next.is_sent = true;
        self.unsent -= 1;
        let packet_id = next.packet_id;
        Some(match &next.delivery {
            Some(delivery) => Next::Publish { delivery: delivery.clone(), packet_id, is_again: true },
            None => Next::Release(packet_id),
        })
    }

    /// The window is far smaller than the range of ids, so this finds one soon.
    fn next_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if !self.in_flight.iter().any(|one| one.packet_id == self.last_packet_id) {
                return self.last_packet_id;
            }
        }
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
