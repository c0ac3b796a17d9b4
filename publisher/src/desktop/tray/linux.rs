//! The tray of Linux desktops: a StatusNotifierItem on the session bus, with a menu by `com.canonical.dbusmenu`.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use ksni::menu::{CheckmarkItem, StandardItem};
use ksni::{MenuItem, OfflineReason, ToolTip, TrayMethods};
use tokio::runtime::Handle;

use super::{Changes, Item, Shown, icon};
use crate::desktop::Desktop;

/// Sizes that panels ask for.
const SIZES: [usize; 3] = [22, 32, 48];

/// Shows the icon until everything stops. Where the desktop has no place for icons, the settings page is opened instead, and the
/// icon appears when there is one.
///
/// # Errors
/// There is no session bus.
pub fn run(desktop: Desktop, runtime: &Handle) -> anyhow::Result<()> {
    runtime.block_on(show(desktop))
}

async fn show(desktop: Desktop) -> anyhow::Result<()> {
    let mut changes = Changes::of(&desktop);
    let shown = Shown::of(&desktop);
    let tray = Tray { desktop: desktop.clone(), shown, is_lost: AtomicBool::new(false) };
    // A laptop may start us before its panel.
    let handle = tray.assume_sni_available(true).spawn().await.context("show an icon in the tray")?;
    while changes.next().await {
        let shown = Shown::of(&desktop);
        let is_new = |tray: &mut Tray| {
            if tray.shown != shown {
                tray.shown = shown;
            }
        };
        if handle.update(is_new).await.is_none() {
            break;
        }
    }
    handle.shutdown().await;
    Ok(())
}

struct Tray {
    desktop: Desktop,
    shown: Shown,
    is_lost: AtomicBool,
}

impl ksni::Tray for Tray {
    // A click on the icon shows the menu, as on other systems.
    const MENU_ON_ACTIVATE: bool = true;

    fn id(&self) -> String {
        "pika".to_owned()
    }

    fn title(&self) -> String {
        "Pika".to_owned()
    }

    fn icon_pixmap(&self) -> Vec<ksni::Icon> {
        let pixmap = |size: usize| {
            let mut data = icon::rgba(self.shown.standing, size);
            for pixel in data.chunks_exact_mut(4) {
                // Opacity comes first here.
                pixel.rotate_right(1);
            }
            ksni::Icon { width: size as i32, height: size as i32, data }
        };
        SIZES.into_iter().map(pixmap).collect()
    }

    fn tool_tip(&self) -> ToolTip {
        // The description may hold HTML.
        let description = self.shown.headline.replace('&', "&amp;").replace('<', "&lt;");
        ToolTip {
            title: format!("Pika: {}", self.shown.standing.as_str()),
            description,
            ..ToolTip::default()
        }
    }

    fn menu(&self) -> Vec<MenuItem<Self>> {
        // One underscore would mark the letter after it.
        let plain = |label: &str| label.replace('_', "__");
        let item = |item: &Item| match item.clone() {
            Item::Line => MenuItem::Separator,
            Item::Text(text) => {
                StandardItem { label: plain(&text), enabled: false, ..StandardItem::default() }.into()
            }
            Item::Action { label, click, is_enabled } => StandardItem {
                label: plain(&label),
                enabled: is_enabled,
                activate: Box::new(move |tray: &mut Self| tray.desktop.click(click.clone())),
                ..StandardItem::default()
            }
            .into(),
            Item::Check { label, click, is_on } => CheckmarkItem {
                label: plain(&label),
                checked: is_on,
                activate: Box::new(move |tray: &mut Self| tray.desktop.click(click.clone())),
                ..CheckmarkItem::default()
            }
            .into(),
        };
        self.shown.items.iter().map(item).collect()
    }

    fn menu_about_to_show(&mut self) {
        self.shown = Shown::of(&self.desktop);
    }

    fn watcher_online(&self) {
        self.is_lost.store(false, Ordering::Relaxed);
    }

    fn watcher_offline(&self, reason: OfflineReason) -> bool {
        if !self.is_lost.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                ?reason,
                "this desktop has no place for a tray icon (GNOME needs the AppIndicator extension); the settings page is \
                 opened instead, and again whenever Pika is started once more"
            );
            self.desktop.show("");
        }
        true
    }
}
