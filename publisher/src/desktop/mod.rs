//! The publisher as the DJ meets it at the laptop: a tray icon, a settings page, and one instance of both.
//!
//! What the settings mean, and what runs with them, is the executable's business: it tells the desktop its `Setup`, and is told
//! what the DJ chose.

mod autostart;
mod clicked;
mod clipboard;
mod icon;
mod instance;
mod join;
mod menu;
mod nearby;
mod page;
mod tray;
mod views;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use config::Stop;
use protocol::EventId;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::choices::Choices;
use crate::controls::{Remote, Status};
use crate::settings::Settings;
pub use clicked::is_clicked;
#[cfg(windows)]
pub use clicked::leave_console;
pub use instance::{Instance, Start};
pub(crate) use join::Joined;
pub use menu::Click;
pub use tray::run as run_tray;

/// What runs now, as the executable set it up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Setup {
    pub settings: Settings,
    pub event: Option<EventId>,
    pub server: Server,
    /// Where the pages are, if that is known without asking the server.
    pub page_url: Option<String>,
    /// Addresses of this machine that phones could reach, with the names of their interfaces.
    pub addresses: Vec<(String, IpAddr)>,
    /// Why it does not run.
    pub fault: Option<String>,
}

/// Where plays go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Server {
    /// The DJ has not said yet.
    #[default]
    Unset,
    /// This laptop is the server.
    Here {
        /// What the console asks for.
        console_token_file: PathBuf,
    },
    /// Somebody's, without its password.
    Remote { url: String, desk: String },
}

impl Setup {
    /// The floor's page, for dancers.
    pub fn floor_url(&self, status: &Status) -> Option<String> {
        Some(format!("{}/e/{}/{}", self.pages(status)?, self.event.as_ref()?, self.settings.floor))
    }

    /// The DJ's console.
    pub fn console_url(&self, status: &Status) -> Option<String> {
        Some(format!("{}/dj", self.pages(status)?))
    }

    fn pages<'a>(&'a self, status: &'a Status) -> Option<&'a str> {
        let told = status.info.as_ref().and_then(|info| info.web_url.as_deref());
        self.page_url.as_deref().or(told).map(|url| url.trim_end_matches('/'))
    }
}

/// What the executable gives the desktop.
#[derive(Debug)]
pub struct Wiring {
    pub data: PathBuf,
    pub remote: Remote,
    pub setup: watch::Receiver<Setup>,
    /// What the DJ chose. When one waits already the page says so: the executable starts anew with each.
    pub chosen: mpsc::Sender<Choices>,
    /// Cancelled by "quit".
    pub stop: Stop,
}

/// The settings page, running, and ways to it.
#[derive(Debug, Clone)]
pub struct Desktop {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub wiring: Wiring,
    pub address: SocketAddr,
    pub keys: Mutex<page::Keys>,
    pub clipboard: clipboard::Clipboard,
    pub join: join::Join,
    pub nearby: nearby::Nearby,
}

impl Desktop {
    /// Serves the settings page on loopback, until the stop, and notes in the lock file how a second start finds it.
    ///
    /// # Errors
    /// No port is free, or the lock file cannot be written.
    pub async fn open(wiring: Wiring, mut instance: Instance) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
            .await
            .context("cannot serve the settings page on this machine")?;
        let address = listener.local_addr().context("read the address of the settings page")?;
        let keys = page::Keys::new()?;
        instance.note(address, keys.again())?;
        let stop = wiring.stop.clone();
        let desktop = Self {
            inner: Arc::new(Inner {
                wiring,
                address,
                keys: Mutex::new(keys),
                clipboard: Default::default(),
                join: Default::default(),
                nearby: Default::default(),
            }),
        };
        let routes = page::routes(desktop.clone());
        tokio::spawn(async move {
            // The lock is held as long as the page is there.
            let _instance = instance;
            let served =
                axum::serve(listener, routes).with_graceful_shutdown(async move { stop.cancelled().await });
            if let Err(error) = served.await {
                tracing::error!("the settings page is not served any more: {error}");
            }
        });
        Ok(desktop)
    }

    /// An address of the settings page that lets in whoever opens it first.
    pub fn entrance(&self) -> anyhow::Result<String> {
        let key = self.keys().one_time()?;
        Ok(format!("http://{}/enter?key={key}", self.inner.address))
    }

    pub(crate) fn keys(&self) -> std::sync::MutexGuard<'_, page::Keys> {
        self.inner.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The floor's page as it is known now.
    pub(crate) fn floor_url(&self) -> Option<String> {
        let wiring = &self.inner.wiring;
        let status = wiring.remote.status.borrow();
        wiring.setup.borrow().floor_url(&status)
    }

    /// Opens the settings page in the DJ's browser, at that part of it.
    pub fn show(&self, part: &str) {
        match self.entrance() {
            Ok(url) => drop(browse(&format!("{url}&to={part}"))),
            Err(error) => tracing::error!("{error:#}"),
        }
    }

    /// Does what was clicked in the tray.
    pub fn click(&self, click: Click) {
        let status = self.inner.wiring.remote.status.borrow().clone();
        let setup = self.inner.wiring.setup.borrow().clone();
        match click {
            Click::Ask(request) => {
                if !self.inner.wiring.remote.ask(request) {
                    tracing::warn!("the desk is busy or not running; what was clicked is not done");
                }
            }
            Click::CopyLink => {
                // Asking a screen that is not there takes its time.
                let desktop = self.clone();
                std::thread::spawn(move || desktop.copy_link());
            }
            Click::ShowCode => self.show("share"),
            Click::OpenConsole => match setup.console_url(&status) {
                Some(url) => drop(browse(&url)),
                None => self.show(""),
            },
            Click::OpenSettings => self.show(if status.set.is_some() { "settings" } else { "" }),
            Click::StartAtLogin(on) => {
                if let Err(error) = autostart::set(on) {
                    tracing::error!("{error:#}");
                }
            }
            Click::Quit => self.inner.wiring.stop.cancel(),
        }
    }
}

/// Whether there is a desktop to show anything on.
pub fn is_there() -> bool {
    if cfg!(any(windows, target_os = "macos")) {
        return true;
    }
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Opens an address in the user's browser. Where there is none, the log has the address. Returns at once: a browser that starts
/// takes its time.
pub fn browse(url: &str) -> std::thread::JoinHandle<()> {
    let url = url.to_owned();
    std::thread::spawn(move || {
        if let Err(error) = webbrowser::open(&url) {
            tracing::warn!("cannot open a browser ({error}); open {url}");
        }
    })
}
