//! Which of several archivers speaks and writes for the event: whoever has the lease. The others listen, so that they
//! know the floors when their turn comes.
//!
//! While the database is away nobody can take a lease, and nobody loses one: whoever speaks goes on, and an archiver that
//! has never heard of another one begins. An archiver that hears of a higher term than its own falls silent.

use std::time::{Duration, Instant};

use config::clock::seed;
use config::health::Part;
use protocol::{DeskId, FloorAddress, PastPlay};
use store::{AnnouncementRow, CursorRow, LEASE_LASTS, LastPoll, Lease, ReactionRow};
use store::{SetRow, Store, Tally, VoteRow, Watch};
use tokio::sync::mpsc;

use crate::run::Finished;
use crate::settings::EventSettings;

/// How often the holder shows itself: several times before its lease is over.
pub(crate) const RENEW_EVERY: Duration = Duration::from_millis(300);

/// How often the others look.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) enum Standing {
    /// Another archiver may be speaking: we say nothing. Until we know of one, what comes in may be ours to store.
    Waiting { knows_another: bool },
    /// The database is away since we began: we say what desks say, and store it later.
    Acting,
    Holding {
        lease: Lease,
        /// When the database was last asked with success whether we have it still.
        renewed: Instant,
        is_database_away: bool,
    },
}

impl Standing {
    /// Whether to say anything now.
    pub(crate) fn speaks(&self, now: Instant) -> bool {
        match self {
            Self::Waiting { .. } => false,
            Self::Acting => true,
            // A process that was frozen for a while may have been replaced, and finds out in a moment.
            Self::Holding { renewed, is_database_away, lease } => {
                *is_database_away || lease.is_locked() || now.duration_since(*renewed) < LEASE_LASTS
            }
        }
    }

    /// Whether what comes in is ours to store.
    pub(crate) fn is_ours(&self) -> bool {
        !matches!(self, Self::Waiting { knows_another: true })
    }

    pub(crate) fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Holding { lease, .. } => Some(lease),
            Self::Waiting { .. } | Self::Acting => None,
        }
    }

    /// The number of our turn, higher than that of everybody who spoke before.
    pub(crate) fn term(&self) -> Option<u64> {
        u64::try_from(self.lease()?.fence).ok()
    }
}

/// What the archive remembered when we got our turn.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) lease: Lease,
    pub(crate) renewed: Instant,
    pub(crate) cursors: Vec<CursorRow>,
    pub(crate) floors: Vec<RestoredFloor>,
}

#[derive(Debug)]
pub(crate) struct RestoredFloor {
    pub(crate) address: FloorAddress,
    pub(crate) plays: Vec<(DeskId, PastPlay)>,
    pub(crate) last_set: Option<SetRow>,
    /// Of the newest play.
    pub(crate) reactions: Vec<ReactionRow>,
    pub(crate) folded: Tally,
    pub(crate) announcement: Option<AnnouncementRow>,
    /// The last one, and its votes.
    pub(crate) poll: Option<(LastPoll, Vec<VoteRow>)>,
}

/// Waits for our turn and reads what floors and cursors were, trying until the database is there.
pub(crate) async fn take_up(
    store: Store,
    event: EventSettings,
    floors: Vec<FloorAddress>,
    health: Part,
    done: mpsc::Sender<Finished>,
) {
    let holder = format!("{}-{:016x}", std::process::id(), seed());
    let mut candidate =
        Candidate { store, event, floors, holder, watch: Watch::default(), is_migrated: false };
    let mut wait = LOOK_EVERY;
    let mut told_away = false;
    loop {
        let outcome = match candidate.try_take_up().await {
            Ok(Turn::Ours(restored)) => Finished::Restored(Box::new(restored)),
            Ok(Turn::Of(event)) => Finished::Directory(event),
            Ok(Turn::Another) => {
                health.ready();
                wait = LOOK_EVERY;
                if done.send(Finished::Another).await.is_err() {
                    return;
                }
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            Err(store::Error::Away(error)) => {
                health.lacks(error.to_string());
                if !std::mem::replace(&mut told_away, true) {
                    tracing::warn!("the database is away: {error}; phones stay live, reports wait");
                }
                if done.send(Finished::Away).await.is_err() {
                    return;
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(2));
                continue;
            }
            Err(error) => Finished::Hopeless(error.into()),
        };
        // The receiver is gone when the archiver stopped meanwhile.
        let _ = done.send(outcome).await;
        return;
    }
}

struct Candidate {
    store: Store,
    event: EventSettings,
    floors: Vec<FloorAddress>,
    /// Another one for each process and each try.
    holder: String,
    watch: Watch,
    is_migrated: bool,
}

impl Candidate {
    async fn try_take_up(&mut self) -> Result<Turn, store::Error> {
        if !self.is_migrated {
            self.store.migrate().await?;
            let ours = self.event.directory();
            self.store.add_event(&ours, config::clock::now_ms()).await?;
            self.is_migrated = true;
            if let Some(event) = changed(&ours, self.store.events().await?) {
                return Ok(Turn::Of(event));
            }
        }
        let name = format!("archiver-{}", self.event.id);
        let now = Instant::now();
        let Some(lease) = self.store.try_lease(&name, &self.holder, &mut self.watch, now).await? else {
            return Ok(Turn::Another);
        };
        let cursors = self.store.cursors(&self.event.id).await?;
        let mut restored = Restored { lease, renewed: now, cursors, floors: Vec::new() };
        for floor in &self.floors {
            let plays = self.store.recent(floor, crate::floor::HISTORY_PLAYS as u32 + 1).await?;
            let last_set = self.store.last_set(floor).await?;
            let (mut reactions, mut folded) = (Vec::new(), Tally::default());
            if let Some((_, newest)) = plays.first() {
                reactions = self.store.reactions(newest.play.id, crate::voices::ROWS_MAX).await?;
                folded = self.store.folded(newest.play.id).await?;
            }
            let announcement = self.store.last_announcement(floor).await?;
            let mut poll = None;
            if let Some(last) = self.store.last_poll(floor).await? {
                let votes = self.store.votes(&last.poll, crate::polls::VOTES_MAX).await?;
                poll = Some((last, votes));
            }
            restored.floors.push(RestoredFloor {
                address: floor.clone(),
                plays,
                last_set,
                reactions,
                folded,
                announcement,
                poll,
            });
        }
        Ok(Turn::Ours(restored))
    }
}

/// Whose turn it is.
enum Turn {
    Ours(Restored),
    /// Somebody else has the lease.
    Another,
    /// Ours as soon as we know the event as it is.
    Of(store::Event),
}

/// What the event has become, if it is not ours any more. One that is over, or not entered yet, is what the settings say.
pub(crate) fn changed(ours: &store::Event, events: Vec<store::Event>) -> Option<store::Event> {
    events
        .into_iter()
        .find(|event| event.id == ours.id)
        .filter(|event| event != ours && !event.floors.is_empty())
}
