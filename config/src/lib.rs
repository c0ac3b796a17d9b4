//! How settings are read (file < environment < flags), logging and its ids, health and metrics, the clock, the stop signal, and
//! the lobby of those who have just come.
//!
//! Each program owns its section as a documented struct; this crate only carries values there and says
//! exactly which one is wrong, where it came from and what was probably meant.

pub mod clock;
pub mod health;
pub mod lobby;
pub mod logfile;
pub mod logging;
pub mod metrics;
pub mod network;
pub mod secret;
pub mod settings;
pub mod stop;
pub mod trace;

pub use health::Health;
pub use lobby::Lobby;
pub use network::{Network, Surroundings};
pub use secret::Secret;
pub use settings::{BadSettings, Settings, Sources};
pub use tokio_util::sync::CancellationToken as Stop;
pub use trace::{Sparing, TraceId};
