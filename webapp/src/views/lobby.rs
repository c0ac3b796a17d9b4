//! All floors of the event, for those who come without a code.

use std::sync::Arc;

use maud::html;

use crate::live::board::{FloorView, Signal};
use crate::views::layout::Document;
use crate::web::Assets;

/// The list of floors.
#[derive(Debug)]
pub struct Lobby<'a> {
    pub floors: &'a [Arc<FloorView>],
}

impl<'a> Lobby<'a> {
    /// The whole page.
    pub fn document(&self, assets: &'a Assets) -> Document<'a> {
        let first = self.floors.first();
        Document {
            assets,
            title: first.map_or_else(|| "Pika".to_owned(), |view| view.event_name.clone()),
            accent: first.and_then(|view| view.accent),
            place: None,
            live: None,
            refresh_s: Some(15),
            class: "lobby",
            content: html! {
                h1.title { "Where do you dance?" }
                ul.floors {
                    @for view in self.floors {
                        @let play = view.now.as_ref().and_then(|now| now.play.as_ref());
                        li {
                            a href={ "/e/" (view.address) } {
                                span.floor { (view.floor_name) }
                                span.line {
                                    @match (view.signal, play) {
                                        (Signal::Live, Some(play)) => (play.track.line()),
                                        _ => "quiet at the moment",
                                    }
                                }
                            }
                        }
                    }
                }
            },
        }
    }
}
