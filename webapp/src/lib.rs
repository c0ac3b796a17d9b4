//! The pages dancers hold in the hand: topics in, HTML out, live over WebSocket.

pub mod live;
pub mod views;
pub mod web;
pub mod words;

mod announce;
mod counters;
mod run;
mod settings;

pub use run::{Sources, run};
pub use settings::Settings;
