//! The broker as its clients see it: every test starts a real one on a free port.

// The name that the other crates give it.
extern crate pika_broker as broker;

mod access;
mod clients;
#[path = "../conformance/mod.rs"]
mod conformance;
mod delivery;
mod durable;
mod exactly_once;
mod faults;
mod hostile;
mod kit;
mod limits;
mod proxy;
mod robust;
mod sessions;
mod shared;
mod status;
mod storm;
mod tls;
mod websocket;
