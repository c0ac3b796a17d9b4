//! All floors of the event, for those who come without a code.

use std::sync::Arc;

use maud::html;
use protocol::NowState;

use crate::live::board::{FloorView, Signal};
use crate::views::Skin;
use crate::views::layout::Document;

/// The list of floors.
#[derive(Debug)]
pub struct Lobby<'a> {
    pub floors: &'a [Arc<FloorView>],
}

impl<'a> Lobby<'a> {
    /// The whole page.
    pub fn document(&self, skin: Skin<'a>) -> Document<'a> {
        let (first, words) = (self.floors.first(), skin.words);
        Document {
            accent: first.and_then(|view| view.accent),
            refresh_s: Some(15),
            ..Document::plain(
                skin,
                "lobby",
                first.map_or_else(|| "Pika".to_owned(), |view| view.event_name.clone()),
                html! {
                    h1.title { (words.say("where-dance")) }
                    ul.floors {
                        @for view in self.floors {
                            @let state = view.now.as_ref().map(|now| now.state);
                            @let live = view.signal == Signal::Live && matches!(state, Some(NowState::Playing | NowState::Hidden));
                            li {
                                a href={ "/e/" (view.address) } .live[live] {
                                    span.floor { (view.floor_name) }
                                    span.line {
                                        @match view.playing().filter(|_| live) {
                                            Some(play) => (play.track.line()),
                                            None if live => (words.say("secret")),
                                            None => (words.say("quiet")),
                                        }
                                    }
                                    span.small {
                                        @if let Some(dj) = view.now.as_ref().and_then(|now| now.dj.as_ref()).filter(|_| live) {
                                            (words.say("with")) " " (dj.name) " "
                                        }
                                        @if view.listeners > 0 { (words.with("here", [("count", view.listeners.into())])) }
                                    }
                                }
                            }
                        }
                    }
                    @if let Some(view) = first {
                        p.links { a href={ "/e/" (view.address.event) "/recap" } { (words.say("whole-event")) } }
                    }
                },
            )
        }
    }
}
