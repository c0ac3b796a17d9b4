//! A real Chromium, driven by its WebDriver.

use std::process::Stdio;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::wait;

/// One window. Ended when dropped.
#[derive(Debug)]
pub struct Browser {
    pub client: Client,
    driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Opens a window of that size, without a profile of anybody's.
    pub async fn open(width: u32, height: u32) -> Self {
        Self::open_with(width, height, &[]).await
    }

    /// The same with more of Chromium's arguments.
    pub async fn open_with(width: u32, height: u32, more: &[&str]) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let port = crate::ports::free();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            // A group of its own, so that a test that fails takes Chromium with it.
            .process_group(0)
            .spawn()
            .expect("chromedriver runs (cargo xtask test installs it)");
        let mut arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        arguments.push(format!("--window-size={width},{height}"));
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let capabilities = json!({ "goog:chromeOptions": { "args": arguments } });
        let client = wait::until("chromedriver", || {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.as_object().cloned().unwrap());
            async move {
                builder.connect(&format!("http://127.0.0.1:{port}")).await.map_err(|error| error.to_string())
            }
        })
        .await;
        Self { client, driver, _profile: profile }
    }

    pub async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Waits until the element shows the text.
    pub async fn sees(&self, css: &str, text: &str) {
        wait::until(&format!("{css} to show {text}"), || async {
            let element = self.client.find(Locator::Css(css)).await.map_err(|error| error.to_string())?;
            let shown = element.text().await.map_err(|error| error.to_string())?;
            if shown.contains(text) { Ok(()) } else { Err(shown) }
        })
        .await;
    }

    /// Runs a script in the page.
    pub async fn run(&self, script: &str) -> serde_json::Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// A picture of the window, as PNG.
    pub async fn picture(&self) -> Vec<u8> {
        self.client.screenshot().await.unwrap()
    }

    /// Closes the window.
    pub async fn close(self) {
        let _ = self.client.clone().close().await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = self.driver.id() {
            let _ = std::process::Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
        }
    }
}
