//! The tray icon, as each system wants it.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(windows, target_os = "macos"))]
mod native;

#[cfg(target_os = "linux")]
pub use linux::run;
#[cfg(any(windows, target_os = "macos"))]
pub use native::run;

use config::Stop;
use tokio::sync::watch;

use super::icon;
use super::menu::{Item, headline, menu};
use super::{Desktop, Setup, autostart};
use crate::controls::{Standing, Status};

/// What the tray shows at a moment. Two that are equal look alike.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    standing: Standing,
    headline: String,
    items: Vec<Item>,
}

impl Shown {
    fn of(desktop: &Desktop) -> Self {
        let wiring = &desktop.inner.wiring;
        let (status, setup) = (wiring.remote.status.borrow(), wiring.setup.borrow());
        let standing = if setup.fault.is_some() { Standing::Error } else { status.standing };
        Self {
            standing,
            headline: headline(&status, &setup),
            items: menu(&status, &setup, autostart::is_on()),
        }
    }
}

/// Everything that may make the tray look otherwise.
struct Changes {
    status: watch::Receiver<Status>,
    setup: watch::Receiver<Setup>,
    stop: Stop,
}

impl Changes {
    fn of(desktop: &Desktop) -> Self {
        let wiring = &desktop.inner.wiring;
        let (status, setup) = (wiring.remote.status.clone(), wiring.setup.clone());
        Self { status, setup, stop: wiring.stop.clone() }
    }

    /// Waits for the next one. Says no when everything stops.
    async fn next(&mut self) -> bool {
        tokio::select! {
            changed = self.status.changed() => changed.is_ok(),
            changed = self.setup.changed() => changed.is_ok(),
            () = self.stop.cancelled() => false,
        }
    }
}
