//! The thread that follows a source: woken by the system's hints and every second, it looks, and sends what is new.
//!
//! A hint only says that looking is worth while. Systems lose hints, and network drives give none, so the look every
//! second is what makes sure; it costs one `stat` per file in use.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::files::{Files, Looked};
use super::{Heard, SourceEvent, SourceState, folder};

const POLL: Duration = Duration::from_secs(1);
/// Hints come in bursts: the look waits for a pause, but not for long.
const PAUSE: Duration = Duration::from_millis(30);
const BURST_MAX: Duration = Duration::from_millis(200);

/// Follows until stopped, or until nobody receives any more. Blocks: give it a thread.
pub(super) fn follow(
    mut files: Box<dyn Files>,
    why_this: &str,
    force_polling: bool,
    clock: impl Fn() -> i64,
    events: &mpsc::Sender<Heard>,
    stop: &CancellationToken,
    runtime: &Handle,
) {
    // One place is enough: a hint that finds it taken is said already.
    let (hint, hints) = sync_channel(1);
    let waker = hint.clone();
    let stopped = stop.clone();
    runtime.spawn(async move {
        stopped.cancelled().await;
        let _ = waker.try_send(());
    });
    let source = files.kind();
    let mut watched: Option<Watched> = None;
    let mut missing: Option<String> = None;
    let mut found = false;
    let mut hinted = true;
    while !stop.is_cancelled() {
        let now_ms = clock();
        let mut wake_ms = None;
        let mut out = Vec::new();
        match files.look(now_ms, hinted) {
            Ok(Looked { events: looked, wake_ms: wake }) => {
                if !found || missing.is_some() {
                    let (what, why) = (files.what(), why_this.to_owned());
                    out.push(SourceEvent::State(SourceState::Found { what, why }));
                    (found, missing) = (true, None);
                }
                out.extend(looked);
                wake_ms = wake;
            }
            Err(error) => {
                watched = None;
                let why = why(&error);
                // Said once, not every second.
                if missing.as_ref() != Some(&why) {
                    let what = files.what();
                    out.push(SourceEvent::State(SourceState::Missing { what, why: why.clone() }));
                    missing = Some(why);
                }
            }
        }
        for event in out {
            if !send(Heard { source, event }, events, stop, runtime) {
                return;
            }
        }
        if missing.is_none() && !force_polling && renew(&mut watched, files.watched(), &hint) {
            // What happened between the look and the watch gave no hint.
            hinted = true;
            continue;
        }
        let until_wake =
            wake_ms.map(|wake_ms| Duration::from_millis(wake_ms.saturating_sub(clock()).max(1) as u64));
        hinted = wait(&hints, until_wake.map_or(POLL, |until_wake| until_wake.min(POLL)));
    }
}

/// A folder that is being watched.
struct Watched {
    folder: PathBuf,
    id: Option<u64>,
    _watcher: Option<RecommendedWatcher>,
}

/// Watches the folder if it is not watched yet, or is another one than before. Says whether a watch is new.
fn renew(watched: &mut Option<Watched>, folder: &Path, hint: &SyncSender<()>) -> bool {
    let id = folder::folder_id(folder).ok();
    if watched.as_ref().is_some_and(|watched| watched.folder == folder && watched.id == id) {
        return false;
    }
    let hint = hint.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| is_news(event.kind)) {
            let _ = hint.try_send(());
        }
    })
    .and_then(|mut watcher| watcher.watch(folder, RecursiveMode::NonRecursive).map(|()| watcher));
    let watcher = match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::info!(
                "the system cannot tell of changes here, so the folder is looked at every second: {error}"
            );
            None
        }
    };
    let is_new = watcher.is_some();
    // Kept without a watcher too: trying again every second would not help.
    *watched = Some(Watched { folder: folder.to_owned(), id, _watcher: watcher });
    is_new
}

/// Our own reading is an access too, and must not wake us.
fn is_news(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Waits for a hint and the end of its burst, or for the time to pass. Says whether there was a hint.
fn wait(hints: &Receiver<()>, at_most: Duration) -> bool {
    match hints.recv_timeout(at_most) {
        Ok(()) => {}
        Err(RecvTimeoutError::Timeout) => return false,
        // This function's caller holds a sender, so it can not be.
        Err(RecvTimeoutError::Disconnected) => return false,
    }
    let begun = Instant::now();
    while begun.elapsed() < BURST_MAX && hints.recv_timeout(PAUSE).is_ok() {}
    true
}

/// Sends, and waits while the queue is full: the files keep what is not read yet. Says whether to go on.
fn send(event: Heard, events: &mpsc::Sender<Heard>, stop: &CancellationToken, runtime: &Handle) -> bool {
    runtime.block_on(async {
        tokio::select! {
            sent = events.send(event) => sent.is_ok(),
            () = stop.cancelled() => false,
        }
    })
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there (yet)".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "the system does not let us read it: allow access to files and folders for this program"
                .to_owned()
        }
        _ => error.to_string(),
    }
}
