//! How sessions of the system's media controls are read, on Windows. Nothing is polled: they are read when the system says that
//! something has changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::clock::now_ms;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use windows::Foundation::TypedEventHandler;
use windows::Media::Control::{
    GlobalSystemMediaTransportControlsSession as Session,
    GlobalSystemMediaTransportControlsSessionManager as Manager,
    GlobalSystemMediaTransportControlsSessionPlaybackStatus as Status,
};
use windows::core;

use super::{Doing, Told, wanted};
use crate::settings::Smtc;
use crate::sources::live::{Ears, Voice};

/// A player tells of one track in several events, and of its name last.
const SETTLING: Duration = Duration::from_millis(300);
/// So many times more a track without a name is looked at.
const LOOKS_MAX: u32 = 5;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_secs(10);
/// Nobody plays with more at once; those beyond are not listened to.
const PLAYERS_MAX: usize = 16;
const GENRES_MAX: usize = 8;

/// Listens to players until dropped.
pub(in crate::sources) async fn run(settings: Smtc, mut voice: Voice, mut ears: Ears) {
    loop {
        let Err(error) = follow(&settings, &mut voice, &mut ears).await;
        ears.forget();
        let why = format!("the system's media controls cannot be used: {error}");
        voice.missing(settings.players.join(", "), why).await;
        sleep(RETRY).await;
    }
}

async fn follow(
    settings: &Smtc,
    voice: &mut Voice,
    ears: &mut Ears,
) -> core::Result<std::convert::Infallible> {
    let manager = Manager::RequestAsync()?.await?;
    // Of hints that come together, one is enough.
    let (sessions_changed, changed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let _listening = Listening::to_manager(&manager, &sessions_changed)?;
    let mut numbers = Numbers::default();
    loop {
        let players = players(&manager, settings)?;
        let _listening = players
            .iter()
            .map(|(_, session)| Listening::to_session(session, &changed))
            .collect::<core::Result<Vec<_>>>()?;
        for number in numbers.keep(players.iter().map(|(app, _)| app.as_str())) {
            ears.hear(now_ms(), number, None);
        }
        let mut looks = LOOKS_MAX;
        loop {
            let mut is_unfinished = false;
            for (app, session) in &players {
                // It may have left meanwhile, or hang.
                let Ok(Ok(told)) = timeout(ANSWER_TIMEOUT, read(app, session)).await else { continue };
                is_unfinished |= told.is_unfinished();
                if let Some(number) = numbers.of(app) {
                    ears.hear(now_ms(), number, told.sound());
                }
            }
            tell(voice, ears, &players, settings).await;
            let again = is_unfinished && looks > 0;
            let silence_ms = ears.due_ms().map(|due_ms| (due_ms - now_ms()).max(0).unsigned_abs());
            let wake = async {
                match silence_ms {
                    _ if again => sleep(SETTLING).await,
                    Some(ms) => sleep(Duration::from_millis(ms)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sessions_changed.notified() => break,
                () = changed.notified() => looks = LOOKS_MAX,
                () = wake => {
                    looks = looks.saturating_sub(1);
                    continue;
                }
            }
            sleep(SETTLING).await;
        }
    }
}

async fn tell(voice: &mut Voice, ears: &mut Ears, players: &[(String, Session)], settings: &Smtc) {
    if players.is_empty() {
        voice.waiting(settings.players.join(", "), "none of these players runs (yet)").await;
    } else {
        let names: Vec<String> =
            players.iter().filter_map(|(app, _)| wanted(app, &settings.players)).collect();
        voice.found(names.join(", "), "it is in the system's media controls").await;
    }
    if let Some(event) = ears.news(now_ms()) {
        voice.say(event).await;
    }
}

/// The sessions of players that are listened to, one for each application.
fn players(manager: &Manager, settings: &Smtc) -> core::Result<Vec<(String, Session)>> {
    let mut players = BTreeMap::new();
    for session in &manager.GetSessions()? {
        // One that ends just now.
        let Ok(app) = session.SourceAppUserModelId() else { continue };
        let app = app.to_string_lossy();
        if players.len() < PLAYERS_MAX && wanted(&app, &settings.players).is_some() {
            players.entry(app).or_insert(session);
        }
    }
    Ok(players.into_iter().collect())
}

async fn read(app: &str, session: &Session) -> core::Result<Told> {
    let doing = match session.GetPlaybackInfo()?.PlaybackStatus()? {
        Status::Playing => Doing::Playing,
        Status::Paused | Status::Changing => Doing::Holding,
        _ => Doing::Nothing,
    };
    let properties = session.TryGetMediaPropertiesAsync()?.await?;
    // Not every player has them.
    let genres = properties.Genres().map(|genres| {
        let texts = genres.into_iter().take(GENRES_MAX);
        texts.map(|genre| genre.to_string_lossy()).collect()
    });
    let length = session
        .GetTimelineProperties()
        .and_then(|timeline| Ok(timeline.EndTime()?.Duration.saturating_sub(timeline.StartTime()?.Duration)));
    Ok(Told {
        app: app.to_owned(),
        doing,
        title: properties.Title()?.to_string_lossy(),
        artist: properties.Artist()?.to_string_lossy(),
        album_artist: properties.AlbumArtist()?.to_string_lossy(),
        album: properties.AlbumTitle()?.to_string_lossy(),
        genres: genres.unwrap_or_default(),
        length_ticks: length.unwrap_or_default(),
    })
}

/// Which deck of ours each application is.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<u8, String>);

impl Numbers {
    /// Keeps those that are there, and gives the numbers of those that are not any more.
    fn keep<'a>(&mut self, apps: impl Iterator<Item = &'a str> + Clone) -> Vec<u8> {
        let is_gone = |app: &String| !apps.clone().any(|there| there == app);
        let gone: Vec<u8> =
            self.0.iter().filter(|(_, app)| is_gone(app)).map(|(number, _)| *number).collect();
        gone.iter().for_each(|number| {
            self.0.remove(number);
        });
        for app in apps.clone() {
            if self.of(app).is_none()
                && let Some(free) = (0..PLAYERS_MAX as u8).find(|number| !self.0.contains_key(number))
            {
                self.0.insert(free, app.to_owned());
            }
        }
        gone
    }

    fn of(&self, app: &str) -> Option<u8> {
        self.0.iter().find(|(_, known)| *known == app).map(|(number, _)| *number)
    }
}

/// Something that tells of changes until this is dropped.
enum Listening {
    ToManager { manager: Manager, token: i64 },
    ToSession { session: Session, properties: i64, playback: i64 },
}

impl Listening {
    fn to_manager(manager: &Manager, hint: &Arc<Notify>) -> core::Result<Self> {
        let hint = Arc::clone(hint);
        let token = manager.SessionsChanged(&TypedEventHandler::new(move |_, _| {
            hint.notify_one();
            Ok(())
        }))?;
        Ok(Self::ToManager { manager: manager.clone(), token })
    }

    fn to_session(session: &Session, hint: &Arc<Notify>) -> core::Result<Self> {
        let properties_hint = Arc::clone(hint);
        let properties = session.MediaPropertiesChanged(&TypedEventHandler::new(move |_, _| {
            properties_hint.notify_one();
            Ok(())
        }))?;
        let playback_hint = Arc::clone(hint);
        let playback = session.PlaybackInfoChanged(&TypedEventHandler::new(move |_, _| {
            playback_hint.notify_one();
            Ok(())
        }))?;
        Ok(Self::ToSession { session: session.clone(), properties, playback })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // A session that has ended knows no listeners any more.
        match self {
            Self::ToManager { manager, token } => {
                let _ = manager.RemoveSessionsChanged(*token);
            }
            Self::ToSession { session, properties, playback } => {
                let _ = session.RemoveMediaPropertiesChanged(*properties);
                let _ = session.RemovePlaybackInfoChanged(*playback);
            }
        }
    }
}
