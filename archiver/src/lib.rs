//! Decides what is on each floor and keeps the night on record: bus → floor → bus and store.

pub mod announced;
pub mod batch;
pub mod crowd;
pub mod floor;
pub mod frontier;
pub mod lag;
pub mod polls;
pub mod requests;
pub mod skew;
pub mod voices;

mod counters;
mod run;
mod settings;
mod standing;

pub use run::run;
pub use settings::{EventSettings, FloorSettings, Settings};
