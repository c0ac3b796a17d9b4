//! The MQTT broker.

pub mod codec;
pub mod topic;
