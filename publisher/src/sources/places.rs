//! Where programs keep their files for this user. The places come in as data; only `Places::of_this_machine` looks.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// Folders of the user in which DJ programs keep theirs.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// What VirtualDJ itself has noted down.
    pub virtualdj: Option<PathBuf>,
    pub home: Option<PathBuf>,
    pub documents: Option<PathBuf>,
    pub music: Option<PathBuf>,
    /// For the data of programs: that of this machine before that which follows the user.
    pub data: Vec<PathBuf>,
}

impl Places {
    /// The places of this user on this machine.
    pub fn of_this_machine() -> Self {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if cfg!(windows) {
            // People move these folders, to another drive or into OneDrive.
            const FOLDERS: &str =
                r"HKCU\Software\Microsoft\Windows\CurrentVersion\Explorer\User Shell Folders";
            let home = variable("USERPROFILE");
            let of_user = |value: &str, name: &str| {
                registry(FOLDERS, value).or_else(|| home.as_ref().map(|home| home.join(name)))
            };
            return Self {
                virtualdj: registry(r"HKCU\Software\VirtualDJ", "HomeFolder"),
                documents: of_user("Personal", "Documents"),
                music: of_user("My Music", "Music"),
                data: ["LOCALAPPDATA", "APPDATA"].into_iter().filter_map(variable).collect(),
                home,
            };
        }
        let Some(home) = variable("HOME") else { return Self::default() };
        Self {
            virtualdj: None,
            documents: Some(home.join("Documents")),
            music: Some(home.join("Music")),
            data: vec![home.join("Library/Application Support")],
            home: Some(home),
        }
    }
}

/// A value of the Windows registry, asked of the system's own tool: no other place needs an API for it.
fn registry(key: &str, value: &str) -> Option<PathBuf> {
    let output = std::process::Command::new("reg").args(["query", key, "/v", value]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.trim_start().starts_with(value))?;
    let kind = ["REG_EXPAND_SZ", "REG_SZ"].into_iter().find(|kind| line.contains(kind))?;
    let (_, path) = line.split_once(kind)?;
    let path = path.trim();
    (!path.is_empty()).then(|| PathBuf::from(expanded(path, |name| env::var_os(name))))
}

/// The text with `%NAME%` replaced.
fn expanded(text: &str, variable: impl Fn(&str) -> Option<OsString>) -> String {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    while let Some(name) = parts.next() {
        match variable(name) {
            Some(value) => plain.push_str(&value.to_string_lossy()),
            None => plain.push_str(&format!("%{name}%")),
        }
        plain.push_str(parts.next().unwrap_or_default());
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_registry() {
        let user = |name: &str| (name == "USERPROFILE").then(|| OsString::from(r"C:\Users\dj"));
        assert_eq!(expanded(r"%USERPROFILE%\OneDrive\Documents", user), r"C:\Users\dj\OneDrive\Documents");
        assert_eq!(expanded(r"D:\%X%", user), r"D:\%X%");
    }
}
