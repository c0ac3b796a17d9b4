//! What is known of each floor, and how it reaches those who watch.

pub mod board;
pub mod code;
pub mod covers;
pub mod hub;
pub mod taps;

pub(crate) mod feed;
