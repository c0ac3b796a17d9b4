//! Real browsers, driven by their WebDrivers: Chromium, and WebKitGTK, the nearest to a phone of the other kind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::screen::Screen;
use crate::wait;

/// Which browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Chromium,
    WebKit,
}

/// One window. Ended when dropped.
#[derive(Debug)]
pub struct Browser {
    pub client: Client,
    pub engine: Engine,
    programs: Vec<Child>,
    _screen: Option<Screen>,
    _profile: TempDir,
}

impl Browser {
    /// Opens a window of Chromium of that size, without a profile of anybody's.
    pub async fn open(width: u32, height: u32) -> Self {
        Self::open_with(width, height, &[]).await
    }

    /// The same of another browser.
    pub async fn open_in(engine: Engine, width: u32, height: u32) -> Self {
        match engine {
            Engine::Chromium => Self::open(width, height).await,
            Engine::WebKit => Self::webkit(width, height).await,
        }
    }

    /// Chromium with more arguments.
    pub async fn open_with(width: u32, height: u32, more: &[&str]) -> Self {
        Self::start(width, height, more, None).await
    }

    /// Chromium by another program that runs it elsewhere on this machine, such as in another network.
    pub async fn open_by(width: u32, height: u32, program: &Path) -> Self {
        // Its port would be in the other network.
        Self::start(width, height, &["--remote-debugging-pipe"], Some(program)).await
    }

    async fn start(width: u32, height: u32, more: &[&str], program: Option<&Path>) -> Self {
        let profile = tempfile::tempdir().unwrap();
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
        let mut options = json!({ "args": arguments });
        if let Some(program) = program {
            options["binary"] = json!(program);
        }
        let capabilities = json!({ "goog:chromeOptions": options });
        let port = crate::ports::free();
        let mut driver = Command::new("chromedriver");
        driver.arg(format!("--port={port}"));
        let driver = spawn(&mut driver, "chromedriver");
        let client = connect(port, &capabilities).await;
        Self { client, engine: Engine::Chromium, programs: vec![driver], _screen: None, _profile: profile }
    }

    async fn webkit(width: u32, height: u32) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // It has no mode without a screen, so it gets one that nobody sees.
        let screen = Screen::start().await;
        let port = crate::ports::free();
        let mut driver = Command::new("WebKitWebDriver");
        driver.arg(format!("--port={port}")).env("DISPLAY", &screen.display).env("GDK_BACKEND", "x11");
        driver
            .env("HOME", profile.path())
            .env("XDG_DATA_HOME", profile.path())
            .env("XDG_CACHE_HOME", profile.path());
        let driver = spawn(&mut driver, "WebKitWebDriver");
        let binary = minibrowser().expect("MiniBrowser of WebKitGTK is there (cargo xtask test installs it)");
        let options = json!({ "binary": binary, "args": ["--automation"] });
        let client = connect(port, &json!({ "webkitgtk:browserOptions": options })).await;
        client.set_window_size(width, height).await.unwrap();
        Self {
            client,
            engine: Engine::WebKit,
            programs: vec![driver],
            _screen: Some(screen),
            _profile: profile,
        }
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

    /// Waits until an element matches.
    pub async fn has(&self, css: &str) {
        wait::until(&format!("an element {css}"), || async {
            self.client.find(Locator::Css(css)).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Clicks, as soon as the element is there and nothing covers it.
    pub async fn clicks(&self, css: &str) {
        wait::until(&format!("a click on {css}"), || async {
            let element = self.client.find(Locator::Css(css)).await.map_err(|error| error.to_string())?;
            element.click().await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Types into a field.
    pub async fn types(&self, css: &str, text: &str) {
        wait::until(&format!("typing into {css}"), || async {
            let element = self.client.find(Locator::Css(css)).await.map_err(|error| error.to_string())?;
            element.clear().await.map_err(|error| error.to_string())?;
            element.send_keys(text).await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Waits until a script's result is true.
    pub async fn holds(&self, what: &str, script: &str) {
        wait::until(what, || async {
            match self.client.execute(script, Vec::new()).await {
                Ok(Value::Bool(true)) => Ok(()),
                Ok(other) => Err(other.to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// Runs a script in the page.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// A command of Chromium's own protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let command = Devtools { command: command.to_owned(), parameters };
        self.client.issue_cmd(command).await.unwrap()
    }

    /// A picture of the window, as PNG.
    pub async fn picture(&self) -> Vec<u8> {
        self.client.screenshot().await.unwrap()
    }

    /// Keeps a picture of the window among those of the last run, `target/pictures`.
    pub async fn keeps_picture(&self, name: &str) {
        let folder = pictures();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), self.picture().await).unwrap();
    }

    /// What axe-core finds wrong with the page for people who see, hear or move differently (WCAG 2.2 A and AA).
    pub async fn barriers(&self) -> Vec<String> {
        let axe =
            Path::new(&std::env::var_os("PIKA_TEST_CLIENTS").expect("run the tests by `cargo xtask test`"))
                .join("node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(axe).unwrap();
        // The page's own policy lets no script in; the driver's are not the page's.
        self.client.execute(&format!("{axe}\nwindow.axe = axe;"), Vec::new()).await.unwrap();
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
                .then(found => done(found.violations.map(one => one.id + ': ' + one.help + ': ' + one.nodes.map(node => node.html + ' ' + node.failureSummary).join('; '))),
                    error => done(['axe failed: ' + error]));";
        let found = self.client.execute_async(script, Vec::new()).await.unwrap();
        found.as_array().unwrap().iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Closes the window.
    pub async fn close(self) {
        let _ = self.client.clone().close().await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        for group in self.programs.iter().filter_map(Child::id) {
            let _ = std::process::Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
        }
    }
}

/// Where pictures of the pages are kept.
pub fn pictures() -> PathBuf {
    // The test is in `debug/deps` of the target folder.
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().join("pictures")
}

fn spawn(driver: &mut Command, name: &str) -> Child {
    driver.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    // A group of its own, so that a test that fails takes the browser with it.
    driver
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("{name} (cargo xtask test installs it): {error}"))
}

async fn connect(port: u16, capabilities: &Value) -> Client {
    wait::until("the browser's driver", || {
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities.as_object().cloned().unwrap());
        async move {
            builder.connect(&format!("http://127.0.0.1:{port}")).await.map_err(|error| error.to_string())
        }
    })
    .await
}

/// Debian keeps it beside the library, in a folder that has its version.
fn minibrowser() -> Option<PathBuf> {
    let triplets = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let folders = triplets
        .filter_map(|triplet| std::fs::read_dir(triplet.path()).ok())
        .flat_map(|inner| inner.flatten());
    let mut found: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for folder in folders.filter(|folder| folder.file_name().to_string_lossy().starts_with("webkit2gtk-4")) {
        let program = folder.path().join("MiniBrowser");
        if program.is_file() {
            found.insert(folder.path(), program);
        }
    }
    found.pop_last().map(|(_, program)| program)
}

#[derive(Debug)]
struct Devtools {
    command: String,
    parameters: Value,
}

impl fantoccini::wd::WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base_url: &url::Url, session_id: Option<&str>) -> Result<url::Url, url::ParseError> {
        base_url.join(&format!("session/{}/goog/cdp/execute", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (::http::Method, Option<String>) {
        let body = json!({ "cmd": self.command, "params": self.parameters });
        (::http::Method::POST, Some(body.to_string()))
    }
}
