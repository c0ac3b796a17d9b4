//! When there is no page to show.

use maud::html;

use crate::views::Skin;
use crate::views::layout::Document;

/// A kind sentence and a way back.
#[derive(Debug)]
pub struct ProblemPage<'a> {
    pub sentence: &'a str,
    /// The page tries again by itself after so many seconds.
    pub retry_s: Option<u32>,
    /// What the request is called in the log.
    pub request: Option<&'a str>,
}

impl ProblemPage<'_> {
    /// The whole page.
    pub fn document<'a>(&self, skin: Skin<'a>) -> Document<'a> {
        let words = skin.words;
        let content = html! {
            h1.title { @if self.retry_s.is_some() { (words.say("one-moment")) } @else { (words.say("hm")) } }
            p.line { (self.sentence) }
            @if self.retry_s.is_none() {
                p.links { a href="/" { (words.say("to-the-floors")) } }
                @if let Some(request) = self.request {
                    p { small { (words.say("problem-reference")) " " code { (request) } } }
                }
            }
        };
        Document { refresh_s: self.retry_s, ..Document::plain(skin, "problem", "Pika".to_owned(), content) }
    }
}
