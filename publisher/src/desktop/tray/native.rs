//! The tray of Windows and macOS: both want an event loop, macOS on the main thread.

use std::collections::HashMap;

use anyhow::Context;
use tokio::runtime::Handle;
use tray_icon::menu::{CheckMenuItem, Menu, MenuEvent, MenuId, MenuItem, PredefinedMenuItem};
use tray_icon::{Icon, TrayIcon, TrayIconBuilder};
use winit::application::ApplicationHandler;
use winit::event::{StartCause, WindowEvent};
use winit::event_loop::{ActiveEventLoop, EventLoop};
use winit::window::WindowId;

use super::{Changes, Item, Shown, icon};
use crate::desktop::Desktop;
use crate::desktop::menu::Click;

/// Sharp on the panels of both systems.
const SIZE: usize = 64;

/// What wakes the event loop.
#[derive(Debug)]
enum Woken {
    Changed,
    Clicked(MenuId),
    Stopped,
}

/// Shows the icon until everything stops. Must be called on the main thread.
///
/// # Errors
/// The system gives us no event loop.
pub fn run(desktop: Desktop, runtime: &Handle) -> anyhow::Result<()> {
    let mut building = EventLoop::<Woken>::with_user_event();
    #[cfg(target_os = "macos")]
    {
        use winit::platform::macos::{ActivationPolicy, EventLoopBuilderExtMacOS};
        // No icon in the dock: the tray is all there is.
        building.with_activation_policy(ActivationPolicy::Accessory);
    }
    let events = building.build().context("open an event loop for the icon in the tray")?;
    let clicks = events.create_proxy();
    MenuEvent::set_event_handler(Some(move |event: MenuEvent| {
        // Nobody listens any more when everything stops.
        let _ = clicks.send_event(Woken::Clicked(event.id));
    }));
    let (wake, mut changes) = (events.create_proxy(), Changes::of(&desktop));
    runtime.spawn(async move {
        while changes.next().await {
            if wake.send_event(Woken::Changed).is_err() {
                return;
            }
        }
        let _ = wake.send_event(Woken::Stopped);
    });
    let shown = Shown::of(&desktop);
    let mut tray = Tray { desktop, shown, icon: None, clicks: HashMap::new() };
    events.run_app(&mut tray).context("show an icon in the tray")
}

struct Tray {
    desktop: Desktop,
    shown: Shown,
    icon: Option<TrayIcon>,
    clicks: HashMap<MenuId, Click>,
}

impl Tray {
    fn menu(&mut self) -> anyhow::Result<Menu> {
        self.clicks.clear();
        // One ampersand would mark the letter after it.
        let plain = |label: &str| label.replace('&', "&&");
        let menu = Menu::new();
        for item in &self.shown.items {
            match item {
                Item::Line => menu.append(&PredefinedMenuItem::separator())?,
                Item::Text(text) => menu.append(&MenuItem::new(plain(text), false, None))?,
                Item::Action { label, click, is_enabled } => {
                    let item = MenuItem::new(plain(label), *is_enabled, None);
                    self.clicks.insert(item.id().clone(), click.clone());
                    menu.append(&item)?;
                }
                Item::Check { label, click, is_on } => {
                    let item = CheckMenuItem::new(plain(label), true, *is_on, None);
                    self.clicks.insert(item.id().clone(), click.clone());
                    menu.append(&item)?;
                }
            }
        }
        Ok(menu)
    }

    fn image(&self) -> anyhow::Result<Icon> {
        let size = SIZE as u32;
        Ok(Icon::from_rgba(icon::rgba(self.shown.standing, SIZE), size, size)?)
    }

    fn tooltip(&self) -> String {
        format!("Pika: {}\n{}", self.shown.standing.as_str(), self.shown.headline)
    }

    fn appear(&mut self) -> anyhow::Result<()> {
        let menu = self.menu()?;
        let icon = TrayIconBuilder::new().with_menu(Box::new(menu)).with_icon(self.image()?);
        self.icon = Some(icon.with_tooltip(self.tooltip()).build()?);
        Ok(())
    }

    fn change(&mut self) -> anyhow::Result<()> {
        let shown = Shown::of(&self.desktop);
        if shown == self.shown {
            return Ok(());
        }
        self.shown = shown;
        let menu = self.menu()?;
        let (image, tooltip) = (self.image()?, self.tooltip());
        if let Some(icon) = &self.icon {
            icon.set_menu(Some(Box::new(menu)));
            icon.set_icon(Some(image))?;
            icon.set_tooltip(Some(tooltip))?;
        }
        Ok(())
    }
}

impl ApplicationHandler<Woken> for Tray {
    fn new_events(&mut self, _: &ActiveEventLoop, cause: StartCause) {
        // Before the loop runs, macOS shows no icon.
        if cause == StartCause::Init
            && let Err(error) = self.appear()
        {
            tracing::error!(
                "cannot show an icon in the tray: {error:#}; the settings page is opened instead"
            );
            self.desktop.show("");
        }
    }

    fn resumed(&mut self, _: &ActiveEventLoop) {}

    fn window_event(&mut self, _: &ActiveEventLoop, _: WindowId, _: WindowEvent) {}

    fn user_event(&mut self, events: &ActiveEventLoop, woken: Woken) {
        match woken {
            Woken::Changed => {
                if let Err(error) = self.change() {
                    tracing::warn!("cannot change the icon in the tray: {error:#}");
                }
            }
            Woken::Clicked(id) => {
                if let Some(click) = self.clicks.get(&id).cloned() {
                    self.desktop.click(click);
                }
            }
            Woken::Stopped => events.exit(),
        }
    }
}
