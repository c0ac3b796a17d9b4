//! What one dancer likes, to take along or to delete.

use jiff::tz::TimeZone;
use maud::html;
use store::LikedPlay;

use crate::views::layout::Document;
use crate::views::song::path;
use crate::views::{Skin, times};

/// The dancer's own page.
#[derive(Debug)]
pub struct MePage<'a> {
    /// The newest like first.
    pub likes: &'a [LikedPlay],
    pub time_zone: &'a TimeZone,
    /// The browser has a cookie that is ours.
    pub known: bool,
}

impl<'a> MePage<'a> {
    /// The whole page.
    pub fn document(&self, skin: Skin<'a>) -> Document<'a> {
        let words = skin.words;
        Document::plain(
            skin,
            "me",
            words.say("my-likes").into_owned(),
            html! {
                h1.title { (words.say("my-likes")) }
                @if self.likes.is_empty() {
                    p.line { (words.say("no-likes")) }
                } @else {
                    p.small { (words.with("likes", [("count", self.likes.len().into())])) }
                    ol.plays {
                        @for like in self.likes {
                            li {
                                time datetime=(times::machine(like.past.play.started_ms)) { (times::day(like.past.play.started_ms, self.time_zone)) }
                                a.song href=(path(&like.floor, &like.past)) {
                                    span.title { (like.past.play.track.display_title()) }
                                    @if let Some(artist) = &like.past.play.track.artist { span.artist { (artist) } }
                                }
                            }
                        }
                    }
                    nav.exports aria-label=(words.say("take-along")) {
                        span { (words.say("take-along")) }
                        @for format in ["txt", "csv", "m3u8", "json"] { a.button.quiet href={ "/me/likes." (format) } { (format) } }
                    }
                }
                section.private {
                    h2 { (words.say("your-data")) }
                    p { (words.say("your-data-line")) }
                    @if self.known {
                        form method="post" action="/api/v1/me/forget" { button.quiet.danger { (words.say("delete-all")) } }
                    }
                }
            },
        )
    }
}

/// After everything was deleted.
#[derive(Debug)]
pub struct ForgottenPage;

impl ForgottenPage {
    /// The whole page.
    pub fn document<'a>(&self, skin: Skin<'a>) -> Document<'a> {
        let words = skin.words;
        let content = html! {
            h1.title { (words.say("forgotten")) }
            p.line { (words.say("forgotten-line")) }
            p.links { a href="/" { (words.say("to-the-floors")) } }
        };
        Document {
            data: vec![("forgotten", "1".to_owned())],
            ..Document::plain(skin, "me", words.say("forgotten").into_owned(), content)
        }
    }
}
