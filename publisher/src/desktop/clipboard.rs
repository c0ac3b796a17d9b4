//! The clipboard. On some systems whoever copied something has to stay to hand it out, so it is kept open.

use std::sync::{Mutex, PoisonError};

use arboard::Clipboard as System;

/// The system's clipboard, opened when it is needed first.
#[derive(Default)]
pub struct Clipboard(Mutex<Option<System>>);

impl std::fmt::Debug for Clipboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clipboard")
    }
}

impl Clipboard {
    /// Puts a text there.
    ///
    /// # Errors
    /// There is no clipboard, or another program holds it.
    pub fn copy(&self, text: String) -> Result<(), arboard::Error> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let clipboard = match &mut *held {
            Some(clipboard) => clipboard,
            none => none.insert(System::new()?),
        };
        clipboard.set_text(text)
    }
}
