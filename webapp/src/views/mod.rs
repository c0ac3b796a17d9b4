//! HTML. A view is a struct of data with `Render`: no state, no await, no SQL.

use maud::Render;
use protocol::PlayId;

use crate::live::board::FloorView;
use crate::words::Words;

pub mod layout;

pub mod floor;
pub mod overlay;
pub mod song;
pub mod stage;

pub mod join;
pub mod lobby;
pub mod me;
pub mod problem;
pub mod recap;

pub mod admin;
pub mod console;

mod curve;
mod times;

pub use layout::{Look, Skin};

/// Pages that are kept current by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// A dancer's phone.
    Floor,
    /// A projector.
    Stage,
    /// A browser source in a video.
    Overlay,
    /// A DJ's console.
    Console,
}

impl Screen {
    pub const ALL: [Screen; 4] = [Screen::Floor, Screen::Stage, Screen::Overlay, Screen::Console];

    /// As in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Screen::Floor => "floor",
            Screen::Stage => "stage",
            Screen::Overlay => "overlay",
            Screen::Console => "console",
        }
    }

    pub fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|screen| screen.as_str() == text)
    }

    /// The parts that change by themselves, each an element with an id, in the order of the page. Nobody's own likes
    /// and votes are in them: they go out to everybody.
    pub fn parts(self, view: &FloorView, words: Words) -> Vec<Part> {
        match self {
            Screen::Floor => {
                let mut parts = vec![
                    Part::new("notices", &floor::Notices { view, words }),
                    Part::new("now", &floor::NowCard { view, words, mine: None }),
                    Part::new("pulse", &floor::Pulse { view, words }),
                    Part::new("poll", &floor::PollCard { view, words, mine: None }),
                ];
                // Each row by itself: a new track sends one of them and the new order, not all of the list.
                parts.extend(view.history.iter().map(|past| Part {
                    key: Key::Play(past.play.id),
                    html: floor::Row { view, past, words, mine: None }.render().into_string(),
                }));
                parts.push(Part::new("order", &floor::Order { view }));
                parts
            }
            Screen::Stage => vec![
                Part::new("notices", &stage::Banner { view, words }),
                Part::new("now", &stage::Playing { view, words }),
                Part::new("foot", &stage::Foot { view, words }),
            ],
            Screen::Overlay => vec![Part::new("now", &overlay::Strip { view })],
            Screen::Console => vec![
                Part::new("onair", &console::OnAir { view, words, desk: None }),
                Part::new("crowd", &console::Crowd { view, words }),
                Part::new("said", &console::Said { view, words }),
            ],
        }
    }
}

/// Something of a screen that changes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub key: Key,
    pub html: String,
}

/// Which part it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The element's id.
    Id(&'static str),
    /// A row of the history.
    Play(PlayId),
}

impl Part {
    fn new(id: &'static str, view: &dyn Render) -> Self {
        Self { key: Key::Id(id), html: view.render().into_string() }
    }
}
