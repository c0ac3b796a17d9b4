//! Retained messages survive a restart: a thread of its own writes what changed, shortly after it changed.
//!
//! What waits to be written is bounded by the store it mirrors: of a topic only the last message counts, and when more
//! topics have changed than the store can hold, everything is written anew. When the disk does not take it, the broker
//! serves on from memory, says so once a minute, and tries again.

mod file;

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;

use self::file::{Kept, Log};
use crate::clock::now_ms;
use crate::counters::Counters;
use crate::message::Message;

/// Between attempts while the disk does not take it.
const RETRY: Duration = Duration::from_secs(1);
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Where the dispatcher notes changes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    kept: Kept,
    /// Topics that changed since they were written.
    dirty: HashSet<Bytes>,
    dirty_max: usize,
    is_all_dirty: bool,
    is_closing: bool,
}

/// The thread that writes; it ends after [`Journal::close`], with everything written.
#[derive(Debug)]
pub(crate) struct Writer(JoinHandle<()>);

enum Work {
    Everything(Kept),
    Changes(Vec<(Bytes, Option<Arc<Message>>)>),
}

/// Opens the journal and gives what it holds.
pub(crate) fn open(
    directory: &Path,
    debounce: Duration,
    messages_max: usize,
    counters: Arc<Counters>,
) -> anyhow::Result<(Journal, Writer, Vec<Arc<Message>>)> {
    let (log, mut kept) = Log::open(directory)
        .with_context(|| format!("cannot read the retained messages in {}", directory.display()))?;
    let now_ms = now_ms();
    kept.retain(|_, message| !message.is_expired(now_ms));
    let messages = kept.values().cloned().collect();
    let state = State {
        kept,
        dirty: HashSet::new(),
        dirty_max: messages_max,
        is_all_dirty: log.is_worn(),
        is_closing: false,
    };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    let journal = Journal(shared.clone());
    let thread = thread::Builder::new()
        .name("retained".to_owned())
        .spawn(move || write_behind(&shared, log, debounce, &counters))?;
    Ok((journal, Writer(thread), messages))
}

impl Journal {
    /// Notes that a topic's message was replaced, or with `None` cleared. Never waits for the disk.
    pub(crate) fn note(&self, topic: &Bytes, message: Option<&Arc<Message>>) {
        let mut state = self.0.state();
        match message {
            Some(message) => {
                state.kept.insert(topic.clone(), message.clone());
            }
            None if state.kept.remove(topic).is_none() => return,
            None => {}
        }
        if !state.is_all_dirty {
            state.dirty.insert(topic.clone());
            if state.dirty.len() > state.dirty_max {
                state.dirty.clear();
                state.is_all_dirty = true;
            }
        }
        drop(state);
        self.0.changed.notify_one();
    }

    /// Lets the writer finish.
    pub(crate) fn close(&self) {
        self.0.state().is_closing = true;
        self.0.changed.notify_one();
    }
}

impl Writer {
    /// Blocks until everything is on disk, or the disk refused it.
    pub(crate) fn finish(self) {
        if self.0.join().is_err() {
            tracing::error!("the writer of retained messages panicked");
        }
    }
}

fn write_behind(shared: &Shared, mut log: Log, debounce: Duration, counters: &Counters) {
    let mut complained_at: Option<Instant> = None;
    loop {
        let is_closing = shared.wait_for_work(debounce);
        if let Err(error) = flush(shared, &mut log) {
            counters.journal_failed.inc();
            shared.state().is_all_dirty = true;
            if is_closing || complained_at.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                complained_at = Some(Instant::now());
                let path = log.path();
                tracing::error!(%error, path = %path.display(), "cannot write the retained messages; they are served from memory");
            }
            if !is_closing {
                shared.pause(RETRY);
                continue;
            }
        } else if complained_at.take().is_some() {
            tracing::info!("the retained messages are on disk again");
        }
        if is_closing {
            return;
        }
    }
}

fn flush(shared: &Shared, log: &mut Log) -> io::Result<()> {
    match shared.work(log.is_worn()) {
        Work::Everything(kept) => log.rewrite(&kept),
        Work::Changes(changes) if changes.is_empty() => Ok(()),
        Work::Changes(changes) => log.append(&changes),
    }
}

impl Shared {
    /// Waits for a change, and then a little for more to come; true when it is the last time.
    fn wait_for_work(&self, debounce: Duration) -> bool {
        let idle = |state: &mut State| !state.is_closing && !state.is_all_dirty && state.dirty.is_empty();
        let state = self.changed.wait_while(self.state(), idle).unwrap_or_else(PoisonError::into_inner);
        let more = self.changed.wait_timeout_while(state, debounce, |state| !state.is_closing);
        more.unwrap_or_else(PoisonError::into_inner).0.is_closing
    }

    fn pause(&self, duration: Duration) {
        drop(self.changed.wait_timeout_while(self.state(), duration, |state| !state.is_closing));
    }

    fn work(&self, is_worn: bool) -> Work {
        let mut state = self.state();
        let dirty = std::mem::take(&mut state.dirty);
        if std::mem::take(&mut state.is_all_dirty) || is_worn {
            let now_ms = now_ms();
            state.kept.retain(|_, message| !message.is_expired(now_ms));
            return Work::Everything(state.kept.clone());
        }
        Work::Changes(
            dirty
                .into_iter()
                .map(|topic| {
                    let message = state.kept.get(&topic).cloned();
                    (topic, message)
                })
                .collect(),
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it; should that change, the state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
