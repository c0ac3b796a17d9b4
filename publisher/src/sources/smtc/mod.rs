//! Music players on Windows, which tell what they play in the system's media controls (SMTC). What a session's properties mean is
//! decided here and is pure; how they are read is in `session`, for Windows alone.

#[cfg(windows)]
mod session;

#[cfg(windows)]
pub(super) use self::session::run;

use protocol::Track;

use super::decode;
use super::live::{Sound, key};

/// The system counts in tenths of a microsecond.
const TICKS_PER_MS: i64 = 10_000;
/// Genres that begin so are a shop's numbers.
const SHOP: &str = "NCID-";
/// What a video site adds to an artist's name.
const TOPIC: &str = " - Topic";

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Playing,
    /// Paused, or between two tracks.
    Holding,
    Nothing,
}

/// A session as the system tells of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    /// Tells one player's sessions from another's.
    pub app: String,
    pub doing: Doing,
    pub title: String,
    pub artist: String,
    pub album_artist: String,
    pub album: String,
    pub genres: Vec<String>,
    pub length_ticks: i64,
}

impl Told {
    /// Whether the rest is still to come: some players change the track first and name it afterwards.
    pub fn is_unfinished(&self) -> bool {
        self.doing != Doing::Nothing && decode::field(&self.title).is_none()
    }

    /// What is on; nothing when it is stopped, or has no name (yet).
    pub fn sound(&self) -> Option<Sound> {
        let level = match self.doing {
            Doing::Playing => 1.0,
            Doing::Holding => 0.0,
            Doing::Nothing => return None,
        };
        let artist = |text: &str| decode::field(text.strip_suffix(TOPIC).unwrap_or(text));
        let genres: Vec<&str> =
            self.genres.iter().map(|genre| genre.trim()).filter(|genre| !genre.starts_with(SHOP)).collect();
        let track = Track {
            artist: artist(&self.artist).or_else(|| artist(&self.album_artist)),
            title: Some(decode::field(&self.title)?),
            album: decode::field(&self.album),
            genre: decode::field(&genres.join(", ")),
            duration_ms: Some(self.length_ticks / TICKS_PER_MS).filter(|ms| *ms > 0),
            ..Track::default()
        };
        let key = format!("{}|{}", self.app, key(&track));
        Some(Sound { level, key, ..Sound::of(track) })
    }
}

/// The player that the application is, if it is one of those that are listened to. Applications are named as their program
/// (`Player.exe`), or as their package (`Maker.Player_x1y2z3!App`).
pub(super) fn wanted(app: &str, players: &[String]) -> Option<String> {
    let is_part =
        |player: &String| app.split(['.', '_', '!', '\\', '/']).any(|part| part.eq_ignore_ascii_case(player));
    players.iter().find(|player| app.eq_ignore_ascii_case(player) || is_part(player)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(doing: Doing, artist: &str, title: &str) -> Told {
        Told {
            app: "player.exe".to_owned(),
            doing,
            title: title.to_owned(),
            artist: artist.to_owned(),
            album_artist: String::new(),
            album: "Shore".to_owned(),
            genres: vec!["NCID-7".to_owned(), "House ".to_owned(), "Deep".to_owned()],
            length_ticks: 2_416_220_000,
        }
    }

    #[test]
    fn sessions() {
        let check = |told: Told| told.sound().map(|sound| format!("{} {}", sound.track.line(), sound.level));
        let line = |text: &str| Some(text.to_owned());
        assert_eq!(
            check(told(Doing::Playing, "Nova Harbor", "Glass Tide")),
            line("Nova Harbor – Glass Tide 1")
        );
        assert_eq!(
            check(told(Doing::Holding, "Nova Harbor", "Glass Tide")),
            line("Nova Harbor – Glass Tide 0")
        );
        assert_eq!(check(told(Doing::Nothing, "Nova Harbor", "Glass Tide")), None);
        assert_eq!(check(told(Doing::Playing, "Ana Ruiz - Topic", "Night")), line("Ana Ruiz – Night 1"));
        let of_album = Told { album_artist: "Kilo".to_owned(), ..told(Doing::Playing, " ", "Night") };
        assert_eq!(check(of_album), line("Kilo – Night 1"));
        let track = told(Doing::Playing, "", "Night").sound().expect("it plays").track;
        assert_eq!((track.album.as_deref(), track.genre.as_deref()), (Some("Shore"), Some("House, Deep")));
        assert_eq!((track.artist, track.duration_ms), (None, Some(241_622)));
        let live = Told { length_ticks: 0, ..told(Doing::Playing, "", "Night") };
        assert_eq!(live.sound().expect("it plays").track.duration_ms, None);
        let negative = Told { length_ticks: i64::MIN, ..live };
        assert_eq!(negative.sound().expect("it plays").track.duration_ms, None);
    }

    #[test]
    fn a_track_without_a_name_is_not_told_yet() {
        let unnamed = told(Doing::Playing, "Nova Harbor", " ");
        assert_eq!((unnamed.sound(), unnamed.is_unfinished()), (None, true));
        assert!(!told(Doing::Nothing, "", "").is_unfinished());
        assert!(!told(Doing::Playing, "", "Night").is_unfinished());
    }

    #[test]
    fn names_of_applications() {
        let players = ["spotify".to_owned(), "foobar2000".to_owned(), "Some Player".to_owned()];
        let check = |app: &str, expected: Option<&str>| {
            assert_eq!(wanted(app, &players).as_deref(), expected, "{app}")
        };
        check("Spotify.exe", Some("spotify"));
        check("SpotifyAB.SpotifyMusic_zpdnekdrzrea0!Spotify", Some("spotify"));
        check(r"C:\Players\foobar2000.exe", Some("foobar2000"));
        check("some player", Some("Some Player"));
        check("chrome.exe", None);
        check("MSEdge", None);
        check("", None);
    }
}
