//! Style, script and mark: embedded, named by their content, kept by browsers for ever.

use std::collections::HashMap;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::Embed;
use sha2::{Digest, Sha256};

use crate::live::board::Accent;
use crate::web::{App, Problem};

#[derive(Embed)]
#[folder = "assets/"]
struct Files;

/// The embedded files under the names that pages use.
#[derive(Debug)]
pub struct Assets {
    served: HashMap<String, (&'static str, Vec<u8>)>,
    names: HashMap<Asset, String>,
    build: String,
}

/// What a page links to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asset {
    Style,
    Script,
    Mark,
}

impl Asset {
    const ALL: [Asset; 3] = [Asset::Style, Asset::Script, Asset::Mark];

    fn file(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Asset::Style => ("pika", "css", "text/css; charset=utf-8"),
            Asset::Script => ("live", "js", "text/javascript; charset=utf-8"),
            Asset::Mark => ("mark", "svg", "image/svg+xml"),
        }
    }
}

impl Assets {
    /// Names every embedded file by its content.
    pub fn load() -> Self {
        let mut assets = Self { served: HashMap::new(), names: HashMap::new(), build: String::new() };
        let mut all = Sha256::new();
        for asset in Asset::ALL {
            let (stem, extension, kind) = asset.file();
            let file = Files::get(&format!("{stem}.{extension}")).expect("the file is compiled in");
            let hash = Sha256::digest(&file.data);
            all.update(hash);
            let name =
                format!("{stem}-{:02x}{:02x}{:02x}{:02x}.{extension}", hash[0], hash[1], hash[2], hash[3]);
            assets.served.insert(name.clone(), (kind, file.data.into_owned()));
            assets.names.insert(asset, name);
        }
        assets.build = all.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        assets
    }

    /// Where a page finds it.
    pub fn path(&self, asset: Asset) -> String {
        format!("/assets/{}", self.names[&asset])
    }

    /// Differs when a page must be loaded again.
    pub fn build(&self) -> &str {
        &self.build
    }
}

/// Where the style sheet of an accent colour is.
pub(crate) fn accent_path(accent: Accent) -> String {
    format!("/assets/accent-{}.css", accent.hex())
}

const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub(super) async fn serve(State(app): State<App>, Path(name): Path<String>) -> Response {
    if let Some(accent) =
        name.strip_prefix("accent-").and_then(|n| n.strip_suffix(".css")).and_then(Accent::read)
    {
        let on_accent = if accent.is_light() { "#111014" } else { "#ffffff" };
        let css = format!(":root{{--accent:#{};--on-accent:{on_accent}}}", accent.hex());
        return ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, FOR_EVER)], css)
            .into_response();
    }
    match app.assets.served.get(&name) {
        Some((kind, bytes)) => {
            ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, FOR_EVER)], bytes.clone())
                .into_response()
        }
        None => Problem::NotFound.plain(),
    }
}

pub(super) async fn favicon(State(app): State<App>) -> Response {
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, app.assets.path(Asset::Mark))]).into_response()
}
