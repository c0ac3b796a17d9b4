//! The newest state of every floor, rendered once per change and shared by everybody who watches.
//!
//! A floor is a `watch` channel: newcomers get the current state, slow readers skip to the newest, nothing
//! piles up.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::{BufMut, Bytes, BytesMut};
use protocol::{FloorAddress, FloorId, PlayId};
use tokio::sync::watch;

use crate::live::board::FloorView;
use crate::live::covers::Covers;
use crate::views::{Key, Part, Screen};
use crate::words::{Language, Words};

/// One part of the page that changes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    key: Key,
    /// The state's number when this part last changed.
    pub changed: u64,
    pub html: Arc<str>,
    /// The same as a WebSocket text message, header and all.
    pub frame: Bytes,
}

/// A floor's newest state.
#[derive(Debug, Clone)]
pub struct State {
    pub view: Arc<FloorView>,
    /// Grows by one with each change.
    pub number: u64,
    screens: Arc<[[Vec<Fragment>; Language::ALL.len()]; Screen::ALL.len()]>,
}

impl State {
    fn first(view: FloorView) -> Self {
        let parts = |screen: Screen, language| {
            let parts = screen.parts(&view, Words::of(language));
            parts.into_iter().map(|part| fragment(1, part)).collect()
        };
        let screens = Screen::ALL.map(|screen| Language::ALL.map(|language| parts(screen, language)));
        Self { screens: Arc::new(screens), view: Arc::new(view), number: 1 }
    }

    /// The state after this one; `None` when nothing that is shown differs.
    fn next(&self, view: FloorView) -> Option<Self> {
        if *self.view == view {
            return None;
        }
        let number = self.number + 1;
        let parts = |screen: Screen, language: Language| {
            let before = self.parts(screen, language);
            let same = |part: &Part| {
                before.iter().find(|before| before.key == part.key && *before.html == *part.html).cloned()
            };
            let parts = screen.parts(&view, Words::of(language)).into_iter();
            parts.map(|part| same(&part).unwrap_or_else(|| fragment(number, part))).collect()
        };
        let screens = Screen::ALL.map(|screen| Language::ALL.map(|language| parts(screen, language)));
        Some(Self { screens: Arc::new(screens), view: Arc::new(view), number })
    }

    /// What changes by itself on that screen, in its order.
    pub fn parts(&self, screen: Screen, language: Language) -> &[Fragment] {
        &self.screens[screen as usize][language as usize]
    }

    /// The messages that bring somebody who has seen state `seen` up to date; empty when none is needed.
    pub fn frames_since(&self, seen: u64, screen: Screen, language: Language) -> Bytes {
        let mut news = self.parts(screen, language).iter().filter(|fragment| fragment.changed > seen);
        match (news.next(), news.next()) {
            (None, _) => Bytes::new(),
            // Almost always one part changes, and then nothing is copied.
            (Some(only), None) => only.frame.clone(),
            (Some(first), Some(second)) => {
                let mut all = BytesMut::new();
                for fragment in [first, second].into_iter().chain(news) {
                    all.put_slice(&fragment.frame);
                }
                all.freeze()
            }
        }
    }
}

fn fragment(changed: u64, Part { key, html }: Part) -> Fragment {
    Fragment { key, changed, frame: text_frame(html.as_bytes()), html: html.into() }
}

/// An unmasked, unfragmented WebSocket text message (RFC 6455 section 5.2).
pub fn text_frame(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(0x81);
    match payload.len() {
        len @ 0..=125 => frame.put_u8(len as u8),
        len @ 126..=0xffff => {
            frame.put_u8(126);
            frame.put_u16(len as u16);
        }
        len => {
            frame.put_u8(127);
            frame.put_u64(len as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}

/// Plays that are remembered of a floor: more than a weekend has.
const PLAYED_MAX: usize = 2_000;

#[derive(Debug)]
struct Floor {
    state: watch::Sender<State>,
    sockets: Arc<AtomicU32>,
    played: Mutex<Played>,
}

/// Plays of a floor that were seen, also those that are no longer shown: a phone may have kept a tap for a while.
#[derive(Debug, Default)]
struct Played {
    ids: HashSet<PlayId>,
    in_order: VecDeque<PlayId>,
}

impl Played {
    fn note(&mut self, view: &FloorView) {
        let now = view.now.as_ref().and_then(|now| now.play.as_ref()).map(|play| play.id);
        // The history has the newest first.
        for play in view.history.iter().rev().map(|past| past.play.id).chain(now) {
            if self.ids.insert(play) {
                self.in_order.push_back(play);
            }
        }
        while self.in_order.len() > PLAYED_MAX {
            self.in_order.pop_front().map(|oldest| self.ids.remove(&oldest));
        }
    }
}

/// Hands out the newest state of a floor. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Hub {
    floors: Arc<RwLock<HashMap<FloorAddress, Floor>>>,
    changes: watch::Sender<()>,
    /// What floors and their history show beside words.
    pub(crate) covers: Covers,
}

/// Counts an open socket for as long as it is held.
#[derive(Debug)]
pub struct Seat(Arc<AtomicU32>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hub {
    /// Follows a floor. The state in it is the newest at once.
    pub fn watch(&self, floor: &FloorAddress) -> Option<watch::Receiver<State>> {
        let floors = self.floors.read().unwrap_or_else(PoisonError::into_inner);
        floors.get(floor).map(|floor| floor.state.subscribe())
    }

    /// Told when any floor has changed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Takes a seat among the floor's listeners.
    pub fn seat(&self, floor: &FloorAddress) -> Option<Seat> {
        let floors = self.floors.read().unwrap_or_else(PoisonError::into_inner);
        floors.get(floor).map(|floor| {
            floor.sockets.fetch_add(1, Ordering::Relaxed);
            Seat(floor.sockets.clone())
        })
    }

    /// The newest state of a floor.
    pub fn state(&self, floor: &FloorAddress) -> Option<State> {
        let floors = self.floors.read().unwrap_or_else(PoisonError::into_inner);
        floors.get(floor).map(|floor| floor.state.borrow().clone())
    }

    /// Whether a play was on this floor, as far as we have seen.
    pub fn has_played(&self, floor: &FloorAddress, play: PlayId) -> bool {
        let floors = self.floors.read().unwrap_or_else(PoisonError::into_inner);
        let played =
            floors.get(floor).map(|floor| floor.played.lock().unwrap_or_else(PoisonError::into_inner));
        played.is_some_and(|played| played.ids.contains(&play))
    }

    /// Open sockets of each floor.
    pub fn sockets(&self) -> Vec<(FloorId, u32)> {
        let floors = self.floors.read().unwrap_or_else(PoisonError::into_inner);
        floors.iter().map(|(at, floor)| (at.floor.clone(), floor.sockets.load(Ordering::Relaxed))).collect()
    }

    /// All floors' newest views, in no order.
    pub fn views(&self) -> Vec<Arc<FloorView>> {
        let floors = self.floors.read().unwrap_or_else(PoisonError::into_inner);
        floors.values().map(|floor| floor.state.borrow().view.clone()).collect()
    }

    /// Shows a floor's new view to everybody who watches, if it looks any different.
    pub fn show(&self, view: FloorView) {
        {
            let floors = self.floors.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(floor) = floors.get(&view.address) {
                floor.played.lock().unwrap_or_else(PoisonError::into_inner).note(&view);
                let next = floor.state.borrow().next(view);
                if let Some(next) = next {
                    floor.state.send_replace(next);
                    self.changes.send_replace(());
                }
                return;
            }
        }
        let mut floors = self.floors.write().unwrap_or_else(PoisonError::into_inner);
        let address = view.address.clone();
        let mut played = Played::default();
        played.note(&view);
        let state = watch::Sender::new(State::first(view));
        let floor = Floor { state, sockets: Arc::default(), played: played.into() };
        floors.insert(address, floor);
    }

    /// Forgets floors that are no longer part of the event; their watchers are told by the closed channel.
    pub fn only(&self, floors: &[FloorAddress]) {
        self.floors
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|address, _| floors.contains(address));
        self.changes.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_have_the_right_header() {
        assert_eq!(&text_frame(b"")[..], [0x81, 0]);
        assert_eq!(&text_frame(&[b'a'; 125])[..2], [0x81, 125]);
        assert_eq!(&text_frame(&[b'a'; 126])[..4], [0x81, 126, 0, 126]);
        assert_eq!(&text_frame(&[b'a'; 65536])[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
