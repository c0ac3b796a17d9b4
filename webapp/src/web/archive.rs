//! The database as pages ask it: with a bound on how long anybody waits for it.

use std::time::Duration;

use protocol::{DancerId, FloorAddress, MessageId, PlayId};
use store::{Reaction, Store};
use tokio::time::timeout;

use crate::views::floor::Mine;
use crate::web::Problem;

/// After this long the archive counts as away. A page is no use to a dancer later.
const PATIENCE: Duration = Duration::from_secs(3);

/// The floor's page is whole without it, so it does not wait for long.
const PATIENCE_OF_FLOOR: Duration = Duration::from_millis(150);

/// What is on record, and who may do what. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Archive(Store);

impl Archive {
    pub(super) fn new(store: Store) -> Self {
        Self(store)
    }

    pub(super) fn store(&self) -> &Store {
        &self.0
    }

    /// The answer, or that the archive is away.
    pub(super) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, store::Error>>,
    ) -> Result<T, Problem> {
        match timeout(PATIENCE, question).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::warn!("the archive cannot be asked: {:#}", anyhow::Error::from(error));
                Err(Problem::ArchiveAway)
            }
            Err(_) => {
                tracing::warn!("the archive has not answered within {PATIENCE:?}");
                Err(Problem::ArchiveAway)
            }
        }
    }

    /// What a dancer said since then, and to a poll. Empty when the archive is away: the browser knows it as well.
    pub(super) async fn mine(&self, dancer: &DancerId, since_ms: i64, poll: Option<MessageId>) -> Mine {
        let mut mine = Mine::default();
        let asked = async {
            let vote = match poll {
                Some(poll) => self.0.vote_of_dancer(poll, dancer).await?.map(|option| (poll, option)),
                None => None,
            };
            Ok::<_, store::Error>((self.0.reactions_of_dancer(dancer, since_ms).await?, vote))
        };
        let Ok(Ok((said, vote))) = timeout(PATIENCE_OF_FLOOR, asked).await else { return mine };
        mine.vote = vote;
        for row in said {
            match row.reaction {
                Reaction::Like(true) => drop(mine.likes.insert(row.play_id)),
                Reaction::Tempo(Some(wish)) => drop(mine.tempo.insert(row.play_id, wish)),
                Reaction::Thanks => drop(mine.thanks.insert(row.play_id)),
                Reaction::Like(false) | Reaction::Tempo(None) => {}
            }
        }
        mine
    }

    /// Whether a play was on that floor at any time.
    pub(super) async fn has_played(&self, floor: &FloorAddress, play: PlayId) -> Result<bool, Problem> {
        Ok(self.ask(self.0.play(floor, play)).await?.is_some())
    }
}
