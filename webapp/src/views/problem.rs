//! When there is no page to show.

use maud::html;

use crate::views::layout::Document;
use crate::web::Assets;

/// A kind sentence and a way back.
#[derive(Debug)]
pub struct ProblemPage {
    pub status: u16,
    pub sentence: &'static str,
    /// The page tries again by itself after so many seconds.
    pub retry_s: Option<u32>,
}

impl ProblemPage {
    /// The whole page.
    pub fn document<'a>(&self, assets: &'a Assets) -> Document<'a> {
        Document {
            assets,
            title: "Pika".to_owned(),
            accent: None,
            place: None,
            live: None,
            refresh_s: self.retry_s,
            class: "problem",
            content: html! {
                h1.title { @if self.retry_s.is_some() { "One moment" } @else { "Hm." } }
                p.line { (self.sentence) }
                @if self.retry_s.is_none() { p.links { a href="/" { "To the floors" } } }
            },
        }
    }
}
