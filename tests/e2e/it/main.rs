//! The road of a play, from the history file to phone, archive and any MQTT client; and what happens when
//! something breaks on the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod archive;
mod archivers;
mod attacks;
mod bad_input;
mod cheating;
mod check;
mod console;
mod covers;
mod demo;
mod desks;
mod export;
mod fault;
mod health;
mod hostile;
mod import;
mod integrating;
mod killed;
mod laptop;
mod observing;
mod operating;
mod other_brokers;
mod page;
mod pages;
mod pairing;
mod phones;
mod reactions;
mod reports;
mod road;
mod secrets;
mod size;
mod sockets;
mod stack;
mod stopping;
mod tunnel;
mod voice;
