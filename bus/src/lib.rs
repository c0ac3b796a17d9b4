//! The only crate that names rumqttc: a session that reconnects, typed publish and receive, the outbox.
//!
//! A program [`open`]s one [`Bus`], keeps its states on it and reads its [`Inbox`]. Neither [`Bus::keep`]
//! nor [`Bus::say`] ever waits, so a program's one loop can read and write without fear of a standstill.

mod address;
mod outbox;
mod session;

pub use address::{BadBrokerUrl, BrokerUrl};
pub use outbox::Outbox;
pub use session::{Bus, Inbox, Incoming, Options, open};
