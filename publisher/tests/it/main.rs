//! The publisher as seen from outside: bytes on disk in, plays out.

mod fixtures;
mod folder;
mod history;
mod journal;
mod live;
mod source;
mod writer;
