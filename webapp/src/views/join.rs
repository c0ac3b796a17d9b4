//! The code on the wall.

use fast_qr::convert::Builder;
use fast_qr::convert::svg::SvgBuilder;
use fast_qr::{ECL, QRBuilder};
use maud::html;

use crate::live::board::FloorView;
use crate::views::layout::Document;
use crate::web::Assets;

/// The page that is shown to a friend, printed, or left on a screen.
#[derive(Debug)]
pub struct JoinPage<'a> {
    pub view: &'a FloorView,
    pub url: &'a str,
}

impl<'a> JoinPage<'a> {
    /// The whole page.
    pub fn document(&self, assets: &'a Assets) -> Document<'a> {
        let view = self.view;
        Document {
            assets,
            title: format!("Join {} · {}", view.floor_name, view.event_name),
            accent: view.accent,
            place: Some((&view.event_name, &view.floor_name)),
            live: None,
            refresh_s: None,
            class: "join",
            content: html! {
                h1.title { "What is playing?" }
                p.line { "Point your camera here." }
                img.qr src={ "/qr.svg?floor=" (view.address) } alt={ "QR code of " (self.url) } width="320" height="320";
                p.url { a href=(self.url) { (self.url.trim_start_matches("http://").trim_start_matches("https://")) } }
            },
        }
    }
}

/// A QR code, dark on light with a quiet zone of four modules, as scanners want it; `None` when the text is
/// too long for one. Error correction level Q: a quarter of it may be covered or torn.
pub fn qr_svg(text: &str) -> Option<String> {
    let code = QRBuilder::new(text).ecl(ECL::Q).build().ok()?;
    Some(SvgBuilder::default().margin(4).to_str(&code))
}
