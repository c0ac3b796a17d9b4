//! The only crate that names sqlx: one SQL body for SQLite and PostgreSQL.

mod engine;
mod rows;

mod archive;
mod directory;
mod lease;
mod reactions;
mod tokens;

pub use archive::{CursorRow, DeskRow, PlayRow, Record, SetRow};
pub use directory::{Event, Floor};
pub use engine::{BadDatabaseUrl, DatabaseUrl, Error, Store};
pub use lease::{LEASE_LASTS, Lease, Watch};
pub use reactions::{Reaction, ReactionRow, Tally};
pub use tokens::{Token, TokenKind};
