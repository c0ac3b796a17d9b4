//! Dancers with phones: each taps now and then, keeps a tap until it is confirmed, and remembers what it was told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use protocol::{NowPlaying, PlayId, TempoWish};
use store::{Reaction, Tally};

use super::stage::Stage;
use super::{Dice, Plan};
use crate::http;

/// How long a dancer does nothing between two taps, and before sending one again.
const IDLE_MS: u64 = 3_000;
const AGAIN: Duration = Duration::from_millis(300);

/// Until a tap that was never confirmed is given up, at the end of the night.
const PATIENCE_TRIES: usize = 200;

pub(super) struct Dancers {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Taps>>,
}

/// What one or all dancers said, by dancer, play and kind.
#[derive(Debug, Default)]
pub(super) struct Taps {
    said: BTreeMap<(String, PlayId, &'static str), Said>,
    confirmed: usize,
}

#[derive(Debug, Default)]
struct Said {
    confirmed: Option<Reaction>,
    /// Sent later than that, and not known to be stored: the server did not know the play any more.
    perhaps: Vec<Reaction>,
}

impl Dancers {
    pub(super) fn enter(plan: &Plan, web: &str) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let floors = plan.desks.saturating_sub(1).max(1);
        let threads = (0..plan.dancers).map(|number| {
            let (web, is_over) = (web.to_owned(), is_over.clone());
            let mut dice = Dice::new(plan.seed ^ (number as u64 + 1).wrapping_mul(0x5851_f42d_4c95_7f2d));
            let floor = format!("/api/v1/tonight/floor-{}", number % floors);
            std::thread::spawn(move || {
                Dancer { web, floor, cookie: String::new(), last_ms: 0 }.dance(&mut dice, &is_over)
            })
        });
        Self { threads: threads.collect(), is_over }
    }

    /// Lets everybody finish the tap that is under way.
    pub(super) async fn leave(self) -> Taps {
        self.is_over.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(|| {
            let mut all = Taps::default();
            for thread in self.threads {
                let taps = thread.join().unwrap();
                all.confirmed += taps.confirmed;
                all.said.extend(taps.said);
            }
            all
        });
        joined.await.unwrap()
    }
}

struct Dancer {
    web: String,
    floor: String,
    cookie: String,
    last_ms: i64,
}

/// What became of one try.
enum Answer {
    Stored,
    NotYet,
    UnknownPlay,
}

impl Dancer {
    fn dance(mut self, dice: &mut Dice, is_over: &AtomicBool) -> Taps {
        let mut taps = Taps::default();
        let page = self.floor.replace("/api/v1", "/e");
        while !is_over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(dice.below(IDLE_MS))); // tidy: a dancer dances
            // A dancer opens the page first, and is somebody from then on.
            if self.cookie.is_empty() {
                let answer = http::get(&self.web, &page).ok();
                let cookie = answer.and_then(|answer| Some(answer.header("set-cookie")?.to_owned()));
                self.cookie = cookie.unwrap_or_default().split(';').next().unwrap_or_default().to_owned();
            }
            let Some(play) = self.play().filter(|_| !self.cookie.is_empty()) else { continue };
            let reaction = match dice.below(5) {
                0 => Reaction::Like(false),
                1 | 2 => Reaction::Like(true),
                3 => Reaction::Tempo(Some(TempoWish::Faster)),
                _ => Reaction::Tempo(None),
            };
            // Each tap of a phone has a time of its own.
            self.last_ms = config::clock::now_ms().max(self.last_ms + 1);
            let mut tries = 0;
            let stored = loop {
                match self.tap(play, reaction) {
                    Answer::Stored => break true,
                    Answer::UnknownPlay => break false,
                    Answer::NotYet => {
                        tries += 1;
                        assert!(
                            tries < PATIENCE_TRIES || !is_over.load(Ordering::Relaxed),
                            "a tap is never confirmed"
                        );
                        std::thread::sleep(AGAIN); // tidy: a phone waits before it tries again
                    }
                }
            };
            let Some((dancer, _)) = self.cookie.trim_start_matches("pika_dancer=").split_once('.') else {
                continue;
            };
            let said = taps.said.entry((dancer.to_owned(), play, reaction.kind())).or_default();
            if stored {
                *said = Said { confirmed: Some(reaction), perhaps: Vec::new() };
                taps.confirmed += 1;
            } else {
                said.perhaps.push(reaction);
            }
        }
        taps
    }

    fn play(&self) -> Option<PlayId> {
        let answer = http::get(&self.web, &format!("{}/now", self.floor)).ok()?;
        let now: NowPlaying = serde_json::from_slice(&answer.body).ok()?;
        Some(now.play?.id)
    }

    fn tap(&mut self, play: PlayId, reaction: Reaction) -> Answer {
        let (path, rest) = match reaction {
            Reaction::Like(on) => ("like", format!(",\"on\":{on}")),
            Reaction::Tempo(Some(_)) => ("tempo", ",\"wish\":\"faster\"".to_owned()),
            Reaction::Tempo(None) => ("tempo", String::new()),
            Reaction::Thanks => ("thanks", String::new()),
        };
        let hex = format!("{:012x}", self.last_ms);
        let key = format!("{}-{}-7000-8000-000000000000", &hex[..8], &hex[8..]);
        let headers =
            [("Content-Type", "application/json"), ("Cookie", &self.cookie), ("Idempotency-Key", &key)];
        let body = format!("{{\"play_id\":\"{play}\"{rest}}}");
        let Ok(answer) = http::post(&self.web, &format!("{}/{path}", self.floor), &headers, &body) else {
            return Answer::NotYet;
        };
        assert_eq!(answer.header("set-cookie"), None, "it stays the dancer it is");
        match answer.status {
            200 => Answer::Stored,
            404 => Answer::UnknownPlay,
            _ => Answer::NotYet,
        }
    }
}

impl Taps {
    pub(super) fn confirmed(&self) -> usize {
        self.confirmed
    }

    /// The archive holds what was confirmed, nothing that nobody said, and counts what it holds.
    pub(super) async fn are_archived(&self, stage: &Stage) {
        let store = stage.store();
        let plays: std::collections::BTreeSet<PlayId> = self.said.keys().map(|(_, play, _)| *play).collect();
        let mut missing: BTreeMap<_, _> =
            self.said.iter().filter(|(_, said)| said.confirmed.is_some()).collect();
        for play in plays {
            let mut counted = Tally::default();
            for row in store.reactions(play, 1_000_000).await.unwrap() {
                let key = (row.dancer.to_string(), play, row.reaction.kind());
                let said = self.said.get(&key).unwrap_or_else(|| panic!("nobody said {row:?}"));
                let is_right = said.confirmed == Some(row.reaction) || said.perhaps.contains(&row.reaction);
                assert!(is_right, "{row:?} is stored, and said was {said:?}");
                missing.remove(&key);
                match row.reaction {
                    Reaction::Like(on) => counted.likes += u32::from(on),
                    Reaction::Tempo(wish) => counted.tempo.faster += u32::from(wish.is_some()),
                    Reaction::Thanks => counted.thanks += 1,
                }
            }
            assert_eq!(store.tally(play).await.unwrap(), counted, "{play}");
        }
        store.close().await;
        assert!(missing.is_empty(), "confirmed and not stored: {missing:?}");
    }
}
