//! The only crate that names sqlx: one SQL body for SQLite and PostgreSQL.

mod engine;

mod archive;
mod directory;
mod dump;
mod tokens;

pub use archive::{CursorRow, PlayRow, Record, SetRow};
pub use directory::{Event, Floor};
pub use dump::check_dump;
pub use engine::{BadDatabaseUrl, DatabaseUrl, Error, Store};
pub use tokens::{Token, TokenKind};
