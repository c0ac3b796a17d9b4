//! A screen that nobody sees, for programs that need one (X11, by Xvfb).

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use tokio::process::{Child, Command};

/// It ends when it is dropped.
#[derive(Debug)]
pub struct Screen {
    _server: Child,
    /// As `DISPLAY` has it.
    pub display: String,
}

impl Screen {
    pub async fn start() -> Self {
        let mut server = Command::new("Xvfb");
        server.args(["-displayfd", "1", "-screen", "0", "2000x1600x24", "-nolisten", "tcp"]);
        server.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).process_group(0);
        let mut server = server.spawn().expect("Xvfb runs (cargo xtask test installs it)");
        let out = server.stdout.take().unwrap().into_owned_fd().unwrap();
        let display = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(std::fs::File::from(out)).read_line(&mut line).map(|_| line.trim().to_owned())
        });
        let display = format!(":{}", display.await.unwrap().unwrap());
        Self { _server: server, display }
    }

    /// What somebody would paste now. Needs xclip.
    pub async fn clipboard(&self) -> Result<String, String> {
        let mut command = Command::new("xclip");
        let command = command.args(["-o", "-selection", "clipboard"]).env("DISPLAY", &self.display);
        let pasted = command.output().await.expect("xclip runs (cargo xtask test installs it)");
        match pasted.status.success() {
            true => Ok(String::from_utf8_lossy(&pasted.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&pasted.stderr).into_owned()),
        }
    }
}
