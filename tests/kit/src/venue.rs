//! A venue's network: a laptop and a phone, each in a network namespace of its own, and the cable between them. Needs root.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The address that the laptop has at the venue.
pub const LAPTOP: &str = "10.77.0.1";
const PHONE: &str = "10.77.0.2";

/// Both namespaces; gone when it is dropped.
#[derive(Debug)]
pub struct Venue {
    laptop: String,
    phone: String,
}

impl Venue {
    pub fn open() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // An interface's name has 15 letters at most.
        let name = |end: &str| format!("pk{}-{number}{end}", std::process::id());
        let venue = Self { laptop: name("l"), phone: name("p") };
        let (laptop, phone) = (&*venue.laptop, &*venue.phone);
        for namespace in [laptop, phone] {
            ip(&["netns", "add", namespace]);
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
        }
        ip(&["-n", laptop, "link", "add", "wlan0", "type", "veth", "peer", "name", "wlan0", "netns", phone]);
        for (namespace, address) in [(laptop, LAPTOP), (phone, PHONE)] {
            ip(&["-n", namespace, "address", "add", &format!("{address}/24"), "dev", "wlan0"]);
            ip(&["-n", namespace, "link", "set", "wlan0", "up"]);
        }
        venue
    }

    /// The same command, at the laptop.
    pub fn at_laptop(&self, command: &Command) -> Command {
        inside(&self.laptop, command)
    }

    /// The same command, where the phone is: it may be another laptop as well.
    pub fn beside_it(&self, command: &Command) -> Command {
        inside(&self.phone, command)
    }

    /// A program that runs another one on the phone, with whatever it is given.
    pub fn on_phone(&self, program: impl AsRef<OsStr>, folder: &Path) -> PathBuf {
        let path = folder.join("on-phone");
        let program = program.as_ref().to_string_lossy();
        let script = format!("#!/bin/sh\nexec ip netns exec {} '{program}' \"$@\"\n", self.phone);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Pulls the cable out of the laptop.
    pub fn pull_cable(&self) {
        ip(&["-n", &self.laptop, "link", "set", "wlan0", "down"]);
    }

    pub fn put_cable_back(&self) {
        ip(&["-n", &self.laptop, "link", "set", "wlan0", "up"]);
    }

    /// The laptop joins another network, where it has that address; the phone too.
    pub fn moves(&self, laptop: &str, phone: &str) {
        for (namespace, address) in [(&self.laptop, laptop), (&self.phone, phone)] {
            ip(&["-n", namespace, "address", "flush", "dev", "wlan0"]);
            ip(&["-n", namespace, "address", "add", &format!("{address}/24"), "dev", "wlan0"]);
        }
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        for namespace in [&self.laptop, &self.phone] {
            let _ = Command::new("ip").args(["netns", "delete", namespace]).status();
        }
    }
}

pub(crate) fn inside(namespace: &str, command: &Command) -> Command {
    let mut inside = Command::new("ip");
    inside.args(["netns", "exec", namespace]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    inside
}

pub(crate) fn ip(arguments: &[&str]) {
    let done =
        Command::new("ip").args(arguments).output().expect("ip is there (cargo xtask test installs it)");
    assert!(
        done.status.success(),
        "ip {} failed, which needs root: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&done.stderr)
    );
}
