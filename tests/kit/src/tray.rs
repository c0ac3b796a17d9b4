//! A desktop without a screen: a session bus of its own, a place for tray icons, and a browser that only notes what it is to open.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use zbus::zvariant::{OwnedValue, Value};
use zbus::{Connection, Proxy};

use crate::wait;

/// The desktop; its bus ends when it is dropped.
#[derive(Debug)]
pub struct Session {
    bus: Child,
    keyring: Option<Child>,
    address: String,
    opened: PathBuf,
    browser: PathBuf,
    connection: Connection,
    icons: Arc<Mutex<Vec<String>>>,
}

/// An item of a menu as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    id: i32,
    pub label: String,
    pub is_enabled: bool,
    /// Ticked or not, for items that can be.
    pub is_on: Option<bool>,
}

struct Watcher {
    icons: Arc<Mutex<Vec<String>>>,
}

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    async fn register_status_notifier_item(&self, service: String) {
        self.icons.lock().unwrap().push(service);
    }

    async fn register_status_notifier_host(&self, _service: String) {}

    #[zbus(property)]
    async fn registered_status_notifier_items(&self) -> Vec<String> {
        self.icons.lock().unwrap().clone()
    }

    #[zbus(property)]
    async fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    async fn protocol_version(&self) -> i32 {
        0
    }
}

impl Session {
    /// Starts it; `has_tray` says whether there is a place for icons from the beginning.
    pub async fn start(folder: &Path, has_tray: bool) -> Self {
        let mut bus = Command::new("dbus-daemon");
        bus.args(["--session", "--nofork", "--nopidfile", "--print-address=1"]);
        let mut bus = bus.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("dbus-daemon runs");
        let out = bus.stdout.take().unwrap();
        let mut address = String::new();
        BufReader::new(out).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        let connection = zbus::connection::Builder::address(address.as_str()).unwrap().build().await.unwrap();
        let (opened, browser) = (folder.join("opened"), folder.join("browser"));
        fs::write(&browser, format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >> '{}'\n", opened.display())).unwrap();
        fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
        let session =
            Self { bus, keyring: None, address, opened, browser, connection, icons: Arc::default() };
        if has_tray {
            session.gets_tray().await;
        }
        session
    }

    /// The panel with a place for icons starts.
    pub async fn gets_tray(&self) {
        let watcher = Watcher { icons: self.icons.clone() };
        self.connection.object_server().at("/StatusNotifierWatcher", watcher).await.unwrap();
        self.connection.request_name("org.kde.StatusNotifierWatcher").await.unwrap();
    }

    /// The desktop has a keyring, which is open.
    pub async fn gets_keyring(&mut self, folder: &Path) {
        let mut keyring = Command::new("gnome-keyring-daemon");
        keyring.args(["--unlock", "--components=secrets", "--foreground"]);
        keyring.env("DBUS_SESSION_BUS_ADDRESS", &self.address).env("HOME", folder);
        keyring.env("XDG_RUNTIME_DIR", folder).env("XDG_DATA_HOME", folder.join("keyring"));
        keyring.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut keyring = keyring.spawn().expect("gnome-keyring-daemon runs (cargo xtask test installs it)");
        // What opens it is all that it reads.
        keyring.stdin.take().unwrap().write_all(b"night").unwrap();
        self.keyring = Some(keyring);
        let bus = zbus::fdo::DBusProxy::new(&self.connection).await.unwrap();
        wait::until("the keyring", || async {
            let name = "org.freedesktop.secrets".try_into().unwrap();
            let is_there = bus.name_has_owner(name).await.map_err(|error| error.to_string())?;
            if is_there { Ok(()) } else { Err("nobody".to_owned()) }
        })
        .await;
    }

    /// What a program needs to be part of it.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("DBUS_SESSION_BUS_ADDRESS", self.address.clone()),
            // There is a desktop; nobody draws on it.
            ("DISPLAY", ":4242".to_owned()),
            ("BROWSER", self.browser.display().to_string()),
        ]
    }

    /// The addresses that were opened in the browser so far.
    pub fn opened(&self) -> Vec<String> {
        fs::read_to_string(&self.opened).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Waits until one more address was opened than `before`, and returns it.
    pub async fn opens(&self, before: usize) -> String {
        wait::until_some("a page to be opened", || self.opened().get(before).cloned()).await
    }

    async fn icon(&self) -> String {
        wait::until_some("an icon in the tray", || self.icons.lock().unwrap().last().cloned()).await
    }

    async fn proxy(&self, path: &'static str, interface: &'static str) -> Proxy<'static> {
        let icon = self.icon().await;
        Proxy::new(&self.connection, icon, path, interface).await.unwrap()
    }

    /// What the tooltip says: title and text.
    pub async fn tooltip(&self) -> Result<String, String> {
        let item = self.proxy("/StatusNotifierItem", "org.kde.StatusNotifierItem").await;
        let properties = zbus::fdo::PropertiesProxy::new(
            &self.connection,
            item.destination().clone(),
            "/StatusNotifierItem",
        )
        .await
        .map_err(|error| error.to_string())?;
        let name = "org.kde.StatusNotifierItem".try_into().unwrap();
        // Asked anew each time: nothing is to be remembered here.
        let value = properties.get(name, "ToolTip").await.map_err(|error| error.to_string())?;
        type Tooltip = (String, Vec<(i32, i32, Vec<u8>)>, String, String);
        let (_, _, title, text) = Tooltip::try_from(value).map_err(|error| error.to_string())?;
        Ok(format!("{title}\n{text}"))
    }

    /// Waits until the tooltip holds a text.
    pub async fn says(&self, text: &str) {
        wait::until(&format!("the icon to say {text}"), || async {
            let said = self.tooltip().await?;
            if said.contains(text) { Ok(()) } else { Err(said) }
        })
        .await;
    }

    /// The menu as it is.
    pub async fn menu(&self) -> Result<Vec<Item>, String> {
        type Node = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);
        let menu = self.proxy("/MenuBar", "com.canonical.dbusmenu").await;
        let asked = (0i32, -1i32, Vec::<String>::new());
        let answer: (u32, Node) = menu.call("GetLayout", &asked).await.map_err(|error| error.to_string())?;
        let items = answer.1.2.into_iter().filter_map(|child| {
            let (id, properties, _) = Node::try_from(child).ok()?;
            let label = properties.get("label").and_then(|label| String::try_from(label.clone()).ok())?;
            let is_enabled = properties.get("enabled").is_none_or(|on| bool::try_from(on) != Ok(false));
            let is_on = properties.get("toggle-type").map(|_| {
                properties.get("toggle-state").and_then(|state| i32::try_from(state).ok()) == Some(1)
            });
            Some(Item { id, label: label.replace("__", "_"), is_enabled, is_on })
        });
        Ok(items.collect())
    }

    /// Waits until the menu has an item that begins so, and can be clicked.
    pub async fn item(&self, label: &str) -> Item {
        wait::until(&format!("an item {label}"), || async {
            let menu = self.menu().await?;
            let item = menu.iter().find(|item| item.label.starts_with(label) && item.is_enabled);
            item.cloned().ok_or_else(|| format!("{menu:?}"))
        })
        .await
    }

    /// Clicks the item that begins so, as soon as it can be clicked.
    pub async fn clicks(&self, label: &str) {
        wait::until(&format!("{label} to be clicked"), || async {
            let item = self.item(label).await;
            let menu = self.proxy("/MenuBar", "com.canonical.dbusmenu").await;
            let clicked = (item.id, "clicked", Value::from(0i32), 0u32);
            match menu.call::<_, _, ()>("Event", &clicked).await.map_err(|error| error.to_string()) {
                // The menu was made anew after we had looked at it; a panel looks again, too.
                Err(error) if error.contains("id not found") => Err(error),
                // "Quit" is quicker than its answer.
                Err(error) if error.contains("without replying") => Ok(()),
                Err(error) => panic!("{error}"),
                Ok(()) => Ok(()),
            }
        })
        .await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(keyring) = &mut self.keyring {
            let _ = keyring.kill();
            let _ = keyring.wait();
        }
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}
