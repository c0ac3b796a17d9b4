//! The thread that reads the files of plays. Nobody waits for it: a play is told without its tags, and corrected when they
//! are there.
//!
//! It is one thread, so a drive that does not answer holds up the tags of what comes after, and nothing else.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, anyhow};
use protocol::{Jpeg, PlayId, Track};
use tokio::sync::mpsc;

use super::tags::{self, Tags};
use crate::cover;

/// Files that wait. When there are more, the one that has waited longest is not read: what is heard now counts most, and
/// a play without tags is a play all the same.
const WAITING_MAX: usize = 64;

/// What was read and not yet taken. When it is full, the thread waits, and files wait before it.
const READ_MAX: usize = 4;

/// Reads files in the background, until dropped.
#[derive(Debug)]
pub struct Tagger {
    shared: Arc<Shared>,
    read: mpsc::Receiver<Read>,
}

/// What the file of a play says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    pub play: PlayId,
    /// Names the cover, if there is one.
    pub track: Track,
    /// For the DJ's own rules, and never told.
    pub comment: Option<String>,
    pub jpeg: Option<Jpeg>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    files: VecDeque<(PlayId, PathBuf)>,
    is_over: bool,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Held for a push or a pop.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next file; nothing when nobody wants any.
    fn next(&self) -> Option<(PlayId, PathBuf)> {
        let mut waiting = self.waiting();
        loop {
            if waiting.is_over {
                return None;
            }
            if let Some(file) = waiting.files.pop_front() {
                return Some(file);
            }
            waiting = self.news.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Tagger {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives us none.
    pub fn start(wants_covers: bool) -> anyhow::Result<Self> {
        Self::reading(move |path| read(path, wants_covers))
    }

    fn reading(
        read: impl Fn(&Path) -> anyhow::Result<(Tags, Option<Jpeg>)> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (sender, receiver) = mpsc::channel(READ_MAX);
        let shared = Arc::new(Shared::default());
        let files = shared.clone();
        let work = move || {
            while let Some((play, path)) = files.next() {
                // A fault in whatever reads a format must not end the night.
                let outcome = catch_unwind(AssertUnwindSafe(|| read(&path)));
                match outcome.unwrap_or_else(|_| Err(anyhow!("the reader broke off"))) {
                    Ok((Tags { track, comment, .. }, jpeg)) => {
                        let track = Track { cover: jpeg.as_ref().map(Jpeg::id), ..track };
                        if sender.blocking_send(Read { play, track, comment, jpeg }).is_err() {
                            return;
                        }
                    }
                    // Where it lies is nobody's business, in a log that is sent around either.
                    Err(error) => tracing::debug!(%play, "a file is told without its tags: {error:#}"),
                }
            }
        };
        let thread = std::thread::Builder::new().name("tags".to_owned());
        thread.spawn(work).context("start the thread that reads tags")?;
        Ok(Self { shared, read: receiver })
    }

    /// Asks for a file to be read.
    pub fn ask(&self, play: PlayId, path: PathBuf) {
        let mut waiting = self.shared.waiting();
        waiting.files.push_back((play, path));
        if waiting.files.len() > WAITING_MAX {
            waiting.files.pop_front();
        }
        drop(waiting);
        self.shared.news.notify_one();
    }

    /// What was read next. May be dropped at any await without losing one.
    pub async fn next(&mut self) -> Option<Read> {
        self.read.recv().await
    }
}

impl Drop for Tagger {
    fn drop(&mut self) {
        self.shared.waiting().is_over = true;
        self.shared.news.notify_one();
    }
}

fn read(path: &Path, wants_covers: bool) -> anyhow::Result<(Tags, Option<Jpeg>)> {
    let mut tags = tags::of_file(path, wants_covers)?;
    let picture = tags.picture.take().map(|picture| cover::small(&picture));
    // A track with a bad picture has its tags still.
    let jpeg = picture.transpose().unwrap_or_else(|error| {
        tracing::debug!("a cover cannot be used: {error:#}");
        None
    });
    Ok((tags, jpeg))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use protocol::DeskId;

    use super::*;

    fn play(name: &str) -> PlayId {
        let desk: DeskId = "booth".parse().expect("a slug");
        PlayId::derived(&desk, "test", name)
    }

    #[tokio::test]
    async fn a_file_is_read_with_its_cover() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/tags");
        let mut tagger = Tagger::start(true).expect("a thread");
        tagger.ask(play("gone"), folder.join("gone.mp3"));
        tagger.ask(play("a"), folder.join("tagged.flac"));
        let read = tagger.next().await.expect("tags");
        assert_eq!((read.play, read.track.bpm), (play("a"), Some(124.5)));
        assert_eq!(read.track.cover, read.jpeg.as_ref().map(Jpeg::id));
        assert!(read.jpeg.is_some());

        let mut plain = Tagger::start(false).expect("a thread");
        plain.ask(play("a"), folder.join("tagged.flac"));
        let read = plain.next().await.expect("tags");
        assert_eq!((read.track.cover, read.jpeg), (None, None));
    }

    #[tokio::test]
    async fn a_reader_that_breaks_off_takes_one_file_with_it() {
        let mut tagger = Tagger::reading(|path| {
            assert!(path.ends_with("good"), "a fault in a reader");
            Ok((Tags::default(), None))
        })
        .expect("a thread");
        tagger.ask(play("bad"), PathBuf::from("bad"));
        tagger.ask(play("good"), PathBuf::from("good"));
        assert_eq!(tagger.next().await.expect("tags").play, play("good"));
    }

    #[tokio::test]
    async fn of_too_many_the_newest_are_read() {
        let (started, begins) = channel();
        let (go, gate) = channel::<()>();
        let mut tagger = Tagger::reading(move |path| {
            if path.ends_with("first") {
                started.send(()).expect("the test waits");
                let _ = gate.recv();
            }
            Ok((Tags::default(), None))
        })
        .expect("a thread");
        tagger.ask(play("first"), PathBuf::from("first"));
        begins.recv().expect("it has begun");
        let all: Vec<String> = (0..WAITING_MAX + 10).map(|n| n.to_string()).collect();
        all.iter().for_each(|name| tagger.ask(play(name), PathBuf::from(name)));
        go.send(()).expect("it waits");
        let mut read = Vec::new();
        for _ in 0..=WAITING_MAX {
            read.push(tagger.next().await.expect("tags").play);
        }
        let newest = all[10..].iter().map(|name| play(name));
        assert_eq!(read, [play("first")].into_iter().chain(newest).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_drive_that_never_answers_stops_nobody() {
        let (_never, gate) = channel::<()>();
        let tagger = Tagger::reading(move |_| {
            let _ = gate.recv();
            Ok((Tags::default(), None))
        })
        .expect("a thread");
        for n in 0..1_000 {
            tagger.ask(play(&n.to_string()), PathBuf::from("x"));
        }
        drop(tagger);
    }
}
