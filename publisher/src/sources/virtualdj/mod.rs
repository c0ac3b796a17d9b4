//! VirtualDJ: its history lists, and its library for what the lists leave out.

pub mod database;
pub mod history;
pub mod reader;
mod tracklist;
