//! HTML. A view is a struct of data with `Render`: no state, no await, no SQL.

pub mod floor;
pub mod join;
pub mod layout;
pub mod lobby;
pub mod problem;
