//! The MQTT broker.

pub mod codec;
pub mod message;
pub mod pipe;
pub mod topic;
