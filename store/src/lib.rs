//! The only crate that names sqlx: one SQL body for SQLite and PostgreSQL.

mod engine;
mod postgres;
mod rows;

mod archive;
mod audit;
mod backup;
mod condition;
mod directory;
mod dump;
mod lease;
mod pages;
mod pairings;
mod password;
mod people;
mod reactions;
mod tokens;
mod tracklist;
mod voice;

#[cfg(test)]
mod explain;

pub use archive::{CoverRow, CursorRow, DeskRow, PlayRow, Record, SetRow};
pub use audit::{By, Change};
pub use backup::{BackupFormat, copy_sqlite, pg_dump, pg_restore, prepare_sqlite, release_sqlite};
pub use condition::{Condition, Connections};
pub use directory::{Event, FLOORS_MAX, Floor, FloorSet};
pub use dump::check_dump;
pub use engine::{BadDatabaseUrl, DatabaseUrl, Error, Store};
pub use lease::{LEASE_LASTS, Lease, Watch};
pub use pages::{LikedPlay, PastSet, SetPlay, TopTrack};
pub use pairings::{Grant, LetIn, PAIRING_LASTS_MS, Pairing};
pub use password::{BadPassword, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PasswordHash, made_up_password};
pub use people::{Kept, Person, Role, SESSION_IDLE_MS, Session};
pub use reactions::{Reaction, ReactionRow, Tally};
pub use tokens::{ListedToken, Token, TokenKind};
pub use tracklist::{TrackList, TrackListFormat, liked_list, listing};
pub use voice::{AnnouncementRow, AskedPoll, LastPoll, LastSongRow, PollRow, RequestRow, VoteRow};
