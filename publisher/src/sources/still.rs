//! A file that a program truncates and then writes: when it stands still, and may be read. Pure.

use super::folder::Listed;

pub const STABLE_MS: i64 = 150;

/// The memory of how the file was.
#[derive(Debug, Default)]
pub struct Still {
    read: Option<Listed>,
    /// A change and when it was first met.
    changed: Option<(Listed, i64)>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is as it was when it was read.
    AsRead,
    /// It may still be written. Look again then.
    Moving { until_ms: i64 },
    /// It has changed, and stands still.
    Ready,
}

impl Still {
    /// How the file is, as it is listed now.
    pub fn look(&mut self, now_ms: i64, listed: &Listed) -> Standing {
        if self.read.as_ref() == Some(listed) {
            return Standing::AsRead;
        }
        let since_ms = match &self.changed {
            Some((changed, since_ms)) if changed == listed => *since_ms,
            _ => self.changed.insert((listed.clone(), now_ms)).1,
        };
        let until_ms = since_ms.saturating_add(STABLE_MS);
        if now_ms < until_ms { Standing::Moving { until_ms } } else { Standing::Ready }
    }

    /// It was read as it was listed then.
    pub fn was_read(&mut self, listed: Listed) {
        self.changed = None;
        self.read = Some(listed);
    }
}
