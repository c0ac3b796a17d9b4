//! The thread that reads the files of plays. Nobody waits for it: a play is told without its tags, and corrected when they
//! are there.
//!
//! It is one thread, so a drive that does not answer holds up the tags of what comes after, and nothing else.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
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

/// What is to be read for a play: the file of its track, and a picture that counts before the one in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub play: PlayId,
    pub track: Option<PathBuf>,
    pub picture: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    files: VecDeque<Asked>,
    is_over: bool,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Held for a push or a pop.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next file; nothing when nobody wants any.
    fn next(&self) -> Option<Asked> {
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
        Self::reading(move |asked| read(asked, wants_covers))
    }

    fn reading(
        read: impl Fn(&Asked) -> anyhow::Result<(Tags, Option<Jpeg>)> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (sender, receiver) = mpsc::channel(READ_MAX);
        let shared = Arc::new(Shared::default());
        let files = shared.clone();
        let work = move || {
            while let Some(asked) = files.next() {
                let play = asked.play;
                // A fault in whatever reads a format must not end the night.
                let outcome = catch_unwind(AssertUnwindSafe(|| read(&asked)));
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
    pub fn ask(&self, asked: Asked) {
        let mut waiting = self.shared.waiting();
        waiting.files.push_back(asked);
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

fn read(asked: &Asked, wants_covers: bool) -> anyhow::Result<(Tags, Option<Jpeg>)> {
    let own = asked.picture.as_deref().filter(|_| wants_covers);
    let own = own.and_then(|path| usable(tags::picture(path).and_then(|picture| cover::small(&picture))));
    let wants_another = wants_covers && own.is_none();
    let mut tags = match asked.track.as_deref().map(|path| tags::of_file(path, wants_another)) {
        Some(Ok(tags)) => tags,
        Some(Err(error)) if own.is_none() => return Err(error),
        // The DJ program's picture is there all the same.
        Some(Err(_)) | None => Tags::default(),
    };
    let another = tags.picture.take().and_then(|picture| usable(cover::small(&picture)));
    Ok((tags, own.or(another)))
}

/// A track with a bad picture has its tags still.
fn usable(jpeg: anyhow::Result<Jpeg>) -> Option<Jpeg> {
    jpeg.inspect_err(|error| tracing::debug!("a cover cannot be used: {error:#}")).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::channel;

    use protocol::DeskId;

    use super::*;

    fn play(name: &str) -> PlayId {
        let desk: DeskId = "booth".parse().expect("a slug");
        PlayId::derived(&desk, "test", name)
    }

    fn file(play: PlayId, path: PathBuf) -> Asked {
        Asked { play, track: Some(path), picture: None }
    }

    fn is(asked: &Asked, name: &str) -> bool {
        asked.track.as_deref().is_some_and(|path| path.ends_with(name))
    }

    #[tokio::test]
    async fn the_picture_of_the_dj_program_counts_first() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/tags");
        let dir = tempfile::tempdir().expect("a folder");
        let picture = dir.path().join("art");
        let square = image::RgbImage::from_pixel(8, 8, image::Rgb([0, 0, 255]));
        square.save_with_format(&picture, image::ImageFormat::Png).expect("written");
        let mut tagger = Tagger::start(true).expect("a thread");
        let flac = folder.join("tagged.flac");
        tagger.ask(file(play("a"), flac.clone()));
        let in_file = tagger.next().await.expect("tags").jpeg.expect("a picture");
        tagger.ask(Asked { play: play("a"), track: Some(flac.clone()), picture: Some(picture.clone()) });
        let read = tagger.next().await.expect("tags");
        assert_eq!(read.track.bpm, Some(124.5));
        assert_ne!(read.jpeg.as_ref().expect("a picture").id(), in_file.id());
        // Alone it is a picture still, and a bad one gives way.
        tagger.ask(Asked { play: play("b"), track: None, picture: Some(picture.clone()) });
        assert_eq!(tagger.next().await.expect("tags").jpeg, read.jpeg);
        std::fs::write(&picture, "no picture").expect("written");
        tagger.ask(Asked { play: play("a"), track: Some(flac), picture: Some(picture) });
        assert_eq!(tagger.next().await.expect("tags").jpeg, Some(in_file));
    }

    #[tokio::test]
    async fn a_file_is_read_with_its_cover() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/tags");
        let mut tagger = Tagger::start(true).expect("a thread");
        tagger.ask(file(play("gone"), folder.join("gone.mp3")));
        tagger.ask(file(play("a"), folder.join("tagged.flac")));
        let read = tagger.next().await.expect("tags");
        assert_eq!((read.play, read.track.bpm), (play("a"), Some(124.5)));
        assert_eq!(read.track.cover, read.jpeg.as_ref().map(Jpeg::id));
        assert!(read.jpeg.is_some());

        let mut plain = Tagger::start(false).expect("a thread");
        plain.ask(file(play("a"), folder.join("tagged.flac")));
        let read = plain.next().await.expect("tags");
        assert_eq!((read.track.cover, read.jpeg), (None, None));
    }

    #[tokio::test]
    async fn a_reader_that_breaks_off_takes_one_file_with_it() {
        let mut tagger = Tagger::reading(|asked| {
            assert!(is(asked, "good"), "a fault in a reader");
            Ok((Tags::default(), None))
        })
        .expect("a thread");
        tagger.ask(file(play("bad"), PathBuf::from("bad")));
        tagger.ask(file(play("good"), PathBuf::from("good")));
        assert_eq!(tagger.next().await.expect("tags").play, play("good"));
    }

    #[tokio::test]
    async fn of_too_many_the_newest_are_read() {
        let (started, begins) = channel();
        let (go, gate) = channel::<()>();
        let mut tagger = Tagger::reading(move |asked| {
            if is(asked, "first") {
                started.send(()).expect("the test waits");
                let _ = gate.recv();
            }
            Ok((Tags::default(), None))
        })
        .expect("a thread");
        tagger.ask(file(play("first"), PathBuf::from("first")));
        begins.recv().expect("it has begun");
        let all: Vec<String> = (0..WAITING_MAX + 10).map(|n| n.to_string()).collect();
        all.iter().for_each(|name| tagger.ask(file(play(name), PathBuf::from(name))));
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
            tagger.ask(file(play(&n.to_string()), PathBuf::from("x")));
        }
        drop(tagger);
    }
}
