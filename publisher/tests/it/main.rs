//! The publisher as seen from outside: bytes on disk in, plays out.

mod databases;
mod fixtures;
mod folder;
mod history;
mod journal;
mod source;
mod writer;
