//! The one road every message takes: a rumqttd router used as a log between an ingress link and a tap link.
//!
//! This is the only file that names rumqttd, because its links break in ways that are easy to meet (ADR 0002): a wake
//! too many panics the router, one too few stalls it, and a topic of somebody else's choice can kill it. So nothing but
//! opaque envelopes on one fixed topic goes in, and the envelopes stay here until the tap has given them back: when the
//! router dies, a new one gets them again and nobody notices.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use rumqttd::local::{LinkError, LinkRx, LinkTx};
use rumqttd::protocol::{Disconnect, DisconnectReasonCode, Packet, Publish};
use rumqttd::{Broker, Config, Notification, RouterConfig};
use tokio::sync::{Semaphore, TryAcquireError};

use crate::message::{seq, set_seq};

const TOPIC: &str = "m";

/// Weight of all messages between ingress and tap. When it is used up, [`Ingress::send`] waits, so the publishing
/// client's socket is not read: TCP slows it down.
const ROOM: usize = 768 << 10;

/// Counted on top of a message's bytes, so that many small ones weigh too.
const WEIGHT_EACH: usize = 256;

/// The log never drops its youngest segment, so it always holds more than `ROOM`, and the tap cannot fall behind it.
const SEGMENT_BYTES: usize = 1 << 20;
const SEGMENTS: usize = 2;

// With smaller segments, or none at all, the router panics at the first subscription.
const _: () = assert!(SEGMENT_BYTES >= 1024 && SEGMENT_BYTES > ROOM && SEGMENTS > 0);

/// A router that dies this often without giving back one message will not get better.
const DEATHS_MAX: u32 = 8;

/// Seconds in which a router has to give something back, if it has anything.
const LOOKS_MAX: u32 = 5;

/// Where publishers put envelopes in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ingress(Arc<Shared>);

/// Where the dispatcher takes them out, in the order they went in.
pub(crate) struct Tap {
    shared: Arc<Shared>,
    link: LinkRx,
    control: LinkTx,
    /// Found missing in the router's output and taken from the in-flight list instead.
    recovered: VecDeque<Bytes>,
    deaths: u32,
    /// How often it was looked at in vain, and what was missing then.
    looks: u32,
    checked_seq: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the broker is stopping")]
pub(crate) struct Closed;

#[derive(Debug, thiserror::Error)]
#[error("the message router died {DEATHS_MAX} times in a row")]
pub(crate) struct Broken;

#[derive(Debug, thiserror::Error)]
#[error("it gives nothing back")]
struct Hang;

struct Shared {
    room: Semaphore,
    /// Held for the few lines that number a batch and hand it over; never across an await.
    state: Mutex<State>,
}

struct State {
    link: LinkTx,
    /// What the tap has not given back yet; the first has the number `first_seq`, the others follow without gap.
    in_flight: VecDeque<Bytes>,
    first_seq: u64,
    /// A message whose way is measured, and when it began. One at a time: all others pass without a look at the clock.
    probe: Option<(u64, Instant)>,
}

pub(crate) fn open() -> Result<(Ingress, Tap), anyhow::Error> {
    let (ingress, control, link) = connect()?;
    let state = State { link: ingress, in_flight: VecDeque::new(), first_seq: 1, probe: None };
    let shared = Arc::new(Shared { room: Semaphore::new(ROOM), state: Mutex::new(state) });
    let tap = Tap {
        shared: shared.clone(),
        link,
        control,
        recovered: VecDeque::new(),
        deaths: 0,
        looks: 0,
        checked_seq: 0,
    };
    Ok((Ingress(shared), tap))
}

/// Starts a router with both links. Blocks for well under a millisecond, at start and after a router's death.
fn connect() -> Result<(LinkTx, LinkTx, LinkRx), Box<LinkError>> {
    let broker = Broker::new(Config {
        router: RouterConfig {
            max_connections: 8,
            max_outgoing_packet_count: 500,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS,
            // Without it, a message published before the subscription is in place would be an error.
            initialized_filters: Some(vec![TOPIC.to_owned()]),
            ..RouterConfig::default()
        },
        ..Config::default()
    });
    let (mut control, tap) = broker.link("tap").map_err(Box::new)?;
    control.subscribe(TOPIC).map_err(Box::new)?;
    let (ingress, _) = broker.link("in").map_err(Box::new)?;
    Ok((ingress, control, tap))
}

impl Ingress {
    /// Sends envelopes in order and empties `batch`; gives the number of the last. Waits while the pipe is full.
    pub(crate) async fn send(&self, batch: &mut Vec<BytesMut>) -> Result<u64, Closed> {
        let mut ready = 0;
        let mut last = 0;
        while ready < batch.len() {
            let weight = weight(batch[ready].len());
            match self.0.room.try_acquire_many(weight) {
                Ok(room) => room.forget(),
                Err(TryAcquireError::Closed) => return Err(Closed),
                Err(TryAcquireError::NoPermits) => {
                    // What has its room goes ahead: it may be what the pipe is full of.
                    last = self.0.push(batch.drain(..ready));
                    ready = 0;
                    self.0.room.acquire_many(weight).await.map_err(|_| Closed)?.forget();
                }
            }
            ready += 1;
        }
        if ready > 0 {
            last = self.0.push(batch.drain(..));
        }
        Ok(last)
    }

    /// Leaves the router without a way to the tap, as if it had stopped working.
    #[cfg(feature = "fault")]
    pub(crate) fn hang_router(&self) {
        if let Ok((ingress, ..)) = connect() {
            self.0.state().link = ingress;
        }
    }

    /// Kills the router thread with a topic that rumqttd cannot bear, to test that nobody notices.
    #[cfg(feature = "fault")]
    pub(crate) fn kill_router(&self) {
        _ = self.0.state().link.publish("é", Bytes::new());
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it; should that change, the state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, batch: impl Iterator<Item = BytesMut>) -> u64 {
        let mut state = self.state();
        let mut next = state.first_seq + state.in_flight.len() as u64;
        let start = state.in_flight.len();
        for mut envelope in batch {
            set_seq(&mut envelope, next);
            next += 1;
            state.in_flight.push_back(envelope.freeze());
        }
        state.hand_over(start);
        state.probe.get_or_insert_with(|| (next - 1, Instant::now()));
        next - 1
    }
}

impl State {
    /// Gives the in-flight envelopes from `start` on to the router, with one event for all.
    fn hand_over(&mut self, start: usize) {
        let Some(last) = self.in_flight.len().checked_sub(1).filter(|last| *last >= start) else { return };
        let topic = Bytes::from_static(TOPIC.as_bytes());
        self.link.buffer().extend(
            self.in_flight
                .range(start..last)
                .map(|envelope| Packet::Publish(Publish::new(topic.clone(), envelope.clone(), false), None)),
        );
        // Both errors are harmless. Full: the message is in the link's buffer already, and of the thousand events
        // that fill the channel all but a few make the router read that buffer. Disconnected: the router is dead, the
        // tap notices and sends everything in flight again.
        _ = self.link.try_publish(topic, self.in_flight[last].clone());
    }
}

impl Tap {
    /// The next envelope. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Bytes, Broken> {
        loop {
            if let Some(envelope) = self.recovered.pop_front() {
                return Ok(envelope);
            }
            let notification = self.link.next().await;
            if let Some(envelope) = self.take(notification)? {
                return Ok(envelope);
            }
        }
    }

    /// The next envelope if it is here already.
    pub(crate) fn ready(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            if let Some(envelope) = self.recovered.pop_front() {
                return Ok(Some(envelope));
            }
            let Some(notification) = self.link.next().now_or_never() else { return Ok(None) };
            if let Some(envelope) = self.take(notification)? {
                return Ok(Some(envelope));
            }
        }
    }

    fn take(
        &mut self,
        notification: Result<Option<Notification>, LinkError>,
    ) -> Result<Option<Bytes>, Broken> {
        match notification {
            Ok(Some(Notification::Forward(forward))) => return Ok(self.settle(forward.publish.payload)),
            // Exactly one wake for each of these: none and the link stalls for good, two and the router panics.
            // It blocks only while a thousand events wait for the router, which never waits for us.
            Ok(Some(Notification::Unschedule)) => {
                if let Err(error) = self.link.ready() {
                    self.restart(&error)?;
                }
            }
            Ok(_) => {}
            Err(error) => self.restart(&error)?,
        }
        Ok(None)
    }

    /// How long the measured message took, if it is among those that have been routed.
    pub(crate) fn waited(&self, routed: u64) -> Option<Duration> {
        let mut state = self.shared.state();
        let (_, since) = state.probe.take_if(|(seq, _)| *seq <= routed)?;
        Some(since.elapsed())
    }

    /// Looks once a second whether the router still works: one that gives nothing back, while it has something, counts
    /// as dead. Looks are counted, not seconds, so a machine that was suspended is no reason.
    pub(crate) fn check(&mut self) -> Result<(), Broken> {
        let (first_seq, is_idle) = {
            let state = self.shared.state();
            (state.first_seq, state.in_flight.is_empty())
        };
        if is_idle || first_seq != self.checked_seq {
            (self.checked_seq, self.looks) = (first_seq, 0);
            return Ok(());
        }
        self.looks += 1;
        if self.looks < LOOKS_MAX {
            return Ok(());
        }
        self.looks = 0;
        self.restart(&Hang)
    }

    /// Takes the envelope off the in-flight list and gives its room back. `None` if it came out before.
    fn settle(&mut self, envelope: Bytes) -> Option<Bytes> {
        let seq = seq(&envelope)?;
        let mut state = self.shared.state();
        if seq < state.first_seq {
            return None;
        }
        let mut weight_freed = 0;
        while state.first_seq <= seq {
            let kept = state.in_flight.pop_front()?;
            weight_freed += weight(kept.len()) as usize;
            if state.first_seq < seq {
                tracing::error!(
                    seq = state.first_seq,
                    "the router lost a message, which was still in flight"
                );
                self.recovered.push_back(kept);
            }
            state.first_seq += 1;
        }
        drop(state);
        self.shared.room.add_permits(weight_freed);
        self.deaths = 0;
        if self.recovered.is_empty() {
            return Some(envelope);
        }
        self.recovered.push_back(envelope);
        self.recovered.pop_front()
    }

    fn restart(&mut self, error: &(dyn std::error::Error + 'static)) -> Result<(), Broken> {
        self.deaths += 1;
        if self.deaths > DEATHS_MAX {
            return Err(Broken);
        }
        let mut state = self.shared.state();
        tracing::error!(
            error,
            in_flight = state.in_flight.len(),
            "the message router died; starting another"
        );
        let Ok((ingress, control, link)) = connect() else { return Err(Broken) };
        (state.link, self.control, self.link) = (ingress, control, link);
        state.hand_over(0);
        Ok(())
    }
}

impl Drop for Tap {
    /// Publishers get [`Closed`]. The router's thread cannot be stopped, only left without work.
    fn drop(&mut self) {
        self.shared.room.close();
        let bye = || {
            let reason_code = DisconnectReasonCode::NormalDisconnection;
            Packet::Disconnect(Disconnect { reason_code }, None)
        };
        _ = self.control.send(bye()).now_or_never();
        _ = self.shared.state().link.send(bye()).now_or_never();
    }
}

fn weight(len: usize) -> u32 {
    // One message that is larger than the room may travel alone.
    u32::try_from((len + WEIGHT_EACH).min(ROOM)).unwrap_or(u32::MAX)
}

impl std::fmt::Debug for Ingress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ingress")
    }
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tap")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::codec::Properties;
    use crate::message::Message;

    fn envelope(number: u32) -> BytesMut {
        let message = Message {
            origin: 1,
            packet_id: 0,
            qos: 0,
            retain: false,
            expires_ms: None,
            topic: Bytes::from_static(b"t"),
            properties: Properties::new(),
            payload: Bytes::copy_from_slice(&number.to_be_bytes()),
            held: crate::message::Held::default(),
        };
        message.envelope()
    }

    async fn number(tap: &mut Tap) -> u32 {
        let envelope =
            tokio::time::timeout(Duration::from_secs(20), tap.next()).await.expect("in time").expect("alive");
        let payload = Message::open(envelope).expect("an envelope").payload;
        u32::from_be_bytes(payload[..].try_into().expect("four bytes"))
    }

    #[tokio::test]
    async fn a_long_burst_comes_out_whole_and_in_order() {
        let (ingress, mut tap) = open().expect("a pipe");
        let publisher = tokio::spawn(async move {
            for start in (0..50_000).step_by(50) {
                let mut batch = (start..start + 50).map(envelope).collect();
                ingress.send(&mut batch).await.expect("open");
            }
            ingress
        });
        for expected in 0..50_000 {
            assert_eq!(number(&mut tap).await, expected);
        }
        let ingress = publisher.await.expect("published");
        ingress.send(&mut vec![envelope(50_000)]).await.expect("open");
        assert_eq!(number(&mut tap).await, 50_000, "one more after the burst");
    }

    #[cfg(feature = "fault")]
    #[tokio::test]
    async fn nothing_is_lost_when_the_router_dies() {
        let (ingress, mut tap) = open().expect("a pipe");
        let publisher = tokio::spawn(async move {
            for start in 0..20_000 {
                if start % 4_000 == 2_000 {
                    ingress.kill_router();
                }
                ingress.send(&mut vec![envelope(start)]).await.expect("open");
            }
        });
        for expected in 0..20_000 {
            assert_eq!(number(&mut tap).await, expected);
        }
        publisher.await.expect("published");
    }

    #[tokio::test]
    async fn publishers_learn_that_the_pipe_is_gone() {
        let (ingress, tap) = open().expect("a pipe");
        drop(tap);
        assert!(ingress.send(&mut vec![envelope(0)]).await.is_err());
    }
}
