//! Pictures that passed by on the bus, or were read from the archive, the newest ones: phones ask for the one that is on
//! all at once, and before it is stored.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::{CoverId, Jpeg};

/// What is kept in memory: a good night's covers. When it is more, the one that was asked for longest ago goes.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// The pictures at hand. Cheap to clone; all clones share them.
#[derive(Debug, Clone, Default)]
pub struct Covers(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    /// Asked for last at the end.
    covers: VecDeque<(CoverId, Jpeg)>,
    bytes: usize,
}

impl Covers {
    /// Puts a picture where it is found.
    pub fn keep(&self, jpeg: Jpeg) {
        self.shelf().keep(jpeg, BYTES_MAX);
    }

    /// The picture of that name, if it is at hand.
    pub fn find(&self, cover: CoverId) -> Option<Jpeg> {
        self.shelf().find(cover)
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Held for a few moves; a panic there leaves a picture too few.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn keep(&mut self, jpeg: Jpeg, bytes_max: usize) {
        let id = jpeg.id();
        if self.find(id).is_some() {
            return;
        }
        self.bytes += jpeg.as_bytes().len();
        self.covers.push_back((id, jpeg));
        while self.bytes > bytes_max
            && let Some((_, gone)) = self.covers.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(gone.as_bytes().len());
        }
    }

    fn find(&mut self, cover: CoverId) -> Option<Jpeg> {
        let at = self.covers.iter().position(|(id, _)| *id == cover)?;
        let found = self.covers.remove(at)?;
        let jpeg = found.1.clone();
        self.covers.push_back(found);
        Some(jpeg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_goes_first() {
        let picture = |n: u8| Jpeg::new(&[&[0xff, 0xd8, 0xff][..], &[n; 997]].concat()).unwrap();
        let mut shelf = Shelf::default();
        for n in 0..3 {
            shelf.keep(picture(n), 3_000);
            shelf.keep(picture(n), 3_000);
        }
        assert_eq!((shelf.covers.len(), shelf.bytes), (3, 3_000));
        assert!(shelf.find(picture(0).id()).is_some());
        shelf.keep(picture(3), 3_000);
        assert_eq!(shelf.find(picture(1).id()), None);
        assert_eq!(shelf.find(picture(0).id()), Some(picture(0)));
        assert_eq!(shelf.bytes, 3_000);
    }
}
