//! The publisher as seen from outside: bytes on disk in, plays out.

mod databases;
mod fixtures;
mod folder;
mod history;
mod journal;
#[cfg(target_os = "linux")]
mod live;
mod rekordbox;
mod source;
mod writer;
