//! The DJ's side: learns what a DJ program plays, decides what is now playing and keeps every play in a journal until
//! the archive has it. How it reaches the broker is in `run`.

pub mod choices;
pub mod controls;
pub mod cover;
pub mod desktop;
pub mod https;
mod import;
pub mod journal;
pub mod now_playing;
pub mod pattern;
mod run;
pub mod secrets;
pub mod settings;
pub mod sources;
pub mod speaker;

pub use import::{Imported, import};
pub use run::{Home, run};
pub use settings::{Chosen, Settings};
pub use sources::is_source_here;
pub use sources::observation::SourceKind;
