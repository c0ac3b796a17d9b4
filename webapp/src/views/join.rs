//! The code on the wall.

use fast_qr::convert::Builder;
use fast_qr::convert::svg::SvgBuilder;
use fast_qr::{ECL, QRBuilder};
use maud::html;

use crate::live::board::FloorView;
use crate::views::Skin;
use crate::views::layout::Document;

/// The page that is shown to a friend, printed, or left on a screen.
#[derive(Debug)]
pub struct JoinPage<'a> {
    pub view: &'a FloorView,
    pub url: &'a str,
    /// A shorter address for those who type.
    pub short: &'a str,
}

impl<'a> JoinPage<'a> {
    /// The whole page.
    pub fn document(&self, skin: Skin<'a>) -> Document<'a> {
        let (view, words) = (self.view, skin.words);
        let short = self.short.trim_start_matches("https://").trim_start_matches("http://");
        Document {
            accent: view.accent,
            place: Some((&view.event_name, &view.floor_name)),
            ..Document::plain(
                skin,
                "join",
                format!("{} · {}", view.floor_name, view.event_name),
                html! {
                    h1.title { (words.say("what-plays")) }
                    p.line { (words.say("point-camera")) }
                    img.qr src={ "/qr.svg?floor=" (view.address) } alt=(words.with("code-of", [("url", self.url.into())])) width="320" height="320";
                    p.line { (words.say("or-type")) }
                    p.url { a href=(self.short) { (short) } }
                },
            )
        }
    }
}

/// A QR code, dark on light with a quiet zone of four modules, as scanners want it; `None` when the text is
/// too long for one. Error correction level Q: a quarter of it may be covered or torn.
pub fn qr_svg(text: &str) -> Option<String> {
    let code = QRBuilder::new(text).ecl(ECL::Q).build().ok()?;
    Some(SvgBuilder::default().margin(4).to_str(&code))
}
