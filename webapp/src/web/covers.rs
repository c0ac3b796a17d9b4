//! Pictures of tracks, named by their bytes: what was fetched once is right for ever.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use protocol::CoverId;

use super::assets::FOR_EVER;
use super::{App, Problem};

/// Where a page finds a picture.
pub(crate) fn path(cover: CoverId) -> String {
    format!("/cover/{cover}.jpg")
}

pub(super) async fn serve(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cover = name.strip_suffix(".jpg").and_then(|id| id.parse::<CoverId>().ok());
    let cover = cover.ok_or(Problem::NoCover)?;
    let tag = format!("\"{cover}\"");
    let seen = headers.get(header::IF_NONE_MATCH).and_then(|seen| seen.to_str().ok()).unwrap_or_default();
    let kept = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, FOR_EVER.to_owned())];
    if seen.split(',').any(|seen| seen.trim().trim_start_matches("W/") == tag) {
        // Whoever names it has it, and it cannot have changed.
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    let jpeg = match app.covers.find(cover) {
        Some(jpeg) => jpeg,
        None => {
            let jpeg = app.archive.ask(app.archive.store().cover(cover)).await?.ok_or(Problem::NoCover)?;
            app.covers.keep(jpeg.clone());
            jpeg
        }
    };
    let bytes = Bytes::copy_from_slice(jpeg.as_bytes());
    Ok((kept, [(header::CONTENT_TYPE, "image/jpeg")], bytes).into_response())
}
