//! Style, script, mark and icons: embedded, named by their content, compressed once, kept by browsers for ever.

use std::collections::HashMap;
use std::io::Write;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
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
    served: HashMap<String, Served>,
    names: HashMap<Asset, String>,
    worker: String,
    build: String,
}

#[derive(Debug)]
struct Served {
    kind: &'static str,
    plain: Bytes,
    /// Only where it is shorter.
    gzip: Option<Bytes>,
}

/// What a page links to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asset {
    Style,
    Script,
    Mark,
    Icon180,
    Icon192,
    Icon512,
}

impl Asset {
    const ALL: [Asset; 6] =
        [Asset::Style, Asset::Script, Asset::Mark, Asset::Icon180, Asset::Icon192, Asset::Icon512];

    fn file(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Asset::Style => ("pika", "css", "text/css; charset=utf-8"),
            Asset::Script => ("live", "js", "text/javascript; charset=utf-8"),
            Asset::Mark => ("mark", "svg", "image/svg+xml"),
            Asset::Icon180 => ("icon-180", "png", "image/png"),
            Asset::Icon192 => ("icon-192", "png", "image/png"),
            Asset::Icon512 => ("icon-512", "png", "image/png"),
        }
    }
}

impl Assets {
    /// Names every embedded file by its content.
    pub fn load() -> Self {
        let (mut served, mut names) = (HashMap::new(), HashMap::new());
        let mut all = Sha256::new();
        let read = |name: &str| Files::get(name).expect("the file is compiled in").data.into_owned();
        for asset in Asset::ALL {
            let (stem, extension, kind) = asset.file();
            let plain = Bytes::from(read(&format!("{stem}.{extension}")));
            let hash = Sha256::digest(&plain);
            all.update(hash);
            let name = format!("{stem}-{}.{extension}", hex::encode(&hash[..4]));
            let gzip = gzip(&plain).filter(|gzip| gzip.len() < plain.len());
            served.insert(name.clone(), Served { kind, plain, gzip });
            names.insert(asset, name);
        }
        let worker = String::from_utf8_lossy(&read("sw.js")).into_owned();
        all.update(&worker);
        let build = hex::encode(&all.finalize()[..4]);
        Self { served, names, worker, build }
    }

    /// Where a page finds it.
    pub fn path(&self, asset: Asset) -> String {
        format!("/assets/{}", self.names[&asset])
    }

    /// Differs when a page must be loaded again.
    pub fn build(&self) -> &str {
        &self.build
    }

    /// The service worker before it is told the build.
    pub(super) fn worker(&self) -> &str {
        &self.worker
    }
}

fn gzip(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Where the style sheet of an accent colour is.
pub(crate) fn accent_path(accent: Accent) -> String {
    format!("/assets/accent-{}.css", accent.hex())
}

pub(super) const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub(super) async fn serve(State(app): State<App>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let kept = |kind: &'static str| [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FOR_EVER)];
    if let Some(accent) =
        name.strip_prefix("accent-").and_then(|n| n.strip_suffix(".css")).and_then(Accent::read)
    {
        let on_accent = if accent.is_light() { "#111014" } else { "#ffffff" };
        let css = format!(
            ":root{{--accent:#{0};--on-accent:{on_accent};--accent-ink:#{1}}}:root.light{{--accent-ink:#{2}}}",
            accent.hex(),
            accent.readable_on_dark().hex(),
            accent.readable_on_light().hex(),
        );
        return (kept("text/css; charset=utf-8"), css).into_response();
    }
    let Some(Served { kind, plain, gzip }) = app.assets.served.get(&name) else {
        return Problem::NotFound.plain();
    };
    let accepted =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wants_gzip = accepted.split(',').any(|one| one.trim().split(';').next() == Some("gzip"));
    let mut response = match gzip.as_ref().filter(|_| wants_gzip) {
        Some(gzip) => (kept(kind), [(header::CONTENT_ENCODING, "gzip")], gzip.clone()).into_response(),
        None => (kept(kind), plain.clone()).into_response(),
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

pub(super) async fn favicon(State(app): State<App>) -> Response {
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, app.assets.path(Asset::Mark))]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a phone loads before the first song shows, without the page itself: at most 15 kB with it.
    #[test]
    fn the_first_load_is_small() {
        let assets = Assets::load();
        let sent = |asset| {
            let served = &assets.served[&assets.names[&asset]];
            served.gzip.as_ref().unwrap_or(&served.plain).len()
        };
        let (style, script, mark) = (sent(Asset::Style), sent(Asset::Script), sent(Asset::Mark));
        assert!(script <= 8_000, "the script is {script} bytes");
        assert!(style + script + mark <= 12_000, "style {style}, script {script}, mark {mark}");
    }
}
