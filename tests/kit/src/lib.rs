//! What tests of the whole system share: real processes, real databases, a real browser, and waiting for
//! conditions.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and this is part of tests")]

pub mod apart;
pub mod brokers;
pub mod browser;
pub mod database;
pub mod desk;
pub mod disk;
pub mod dj;
pub mod fault;
pub mod http;
pub mod mosquitto;
pub mod mqtt;
pub mod night;
pub mod phone;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod screen;
pub mod sink;
pub mod stack;
pub mod tray;
pub mod venue;
pub mod wait;

pub use apart::Apart;
pub use brokers::Broker;
pub use browser::{Browser, Engine};
pub use database::Database;
pub use desk::Desk;
pub use dj::Dj;
pub use phone::Phone;
pub use process::{Pika, Program};
pub use sink::Sink;
