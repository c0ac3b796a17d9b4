//! Decides what is on each floor and keeps the night on record: bus → floor → bus and store.

pub mod batch;
pub mod floor;
pub mod frontier;

mod run;
mod settings;

pub use run::run;
pub use settings::{EventSettings, FloorSettings, Settings};
