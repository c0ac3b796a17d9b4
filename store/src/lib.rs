//! The only crate that names sqlx: one SQL body for SQLite and PostgreSQL.

mod engine;
mod postgres;

mod archive;
mod backup;
mod directory;
mod dump;
mod pages;
mod tokens;
mod tracklist;

pub use archive::{CursorRow, PlayRow, Record, SetRow};
pub use backup::{BackupFormat, copy_sqlite, pg_dump, pg_restore, prepare_sqlite, release_sqlite};
pub use directory::{Event, Floor};
pub use dump::check_dump;
pub use engine::{BadDatabaseUrl, DatabaseUrl, Error, Store};
pub use pages::{LikedPlay, PastSet, SetPlay, Tally, TopTrack};
pub use tokens::{Token, TokenKind};
pub use tracklist::{TrackList, TrackListFormat, listing};
