//! Starting with the computer: the system's own list of what starts at login.

use anyhow::Context;
use auto_launch::{AutoLaunch, AutoLaunchBuilder};

/// Starts the publisher at each login from now on, or no more.
///
/// # Errors
/// The system does not let us.
pub fn set(on: bool) -> anyhow::Result<()> {
    let entry = entry()?;
    let done = if on { entry.enable() } else { entry.disable() };
    done.context("change what starts at login")
}

/// Whether it starts at login. What cannot be found out is no.
pub fn is_on() -> bool {
    entry().and_then(|entry| Ok(entry.is_enabled()?)).unwrap_or(false)
}

fn entry() -> anyhow::Result<AutoLaunch> {
    let program = std::env::current_exe().context("find our own program")?;
    let path = program.to_str().context("our own program's path is not text")?;
    AutoLaunchBuilder::new()
        .set_app_name("Pika")
        .set_app_path(path)
        .set_args(&["publisher"])
        .build()
        .context("prepare the entry for the start at login")
}
