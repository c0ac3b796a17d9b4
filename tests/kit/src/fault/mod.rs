//! A night in which everything that can break does: programs are killed and frozen, the database stops, cables are pulled,
//! disks are full, by a schedule that a seed repeats. Afterwards every play and every confirmed tap has to be in the
//! archive, once.

mod dancers;
mod stage;

use std::path::Path;
use std::time::{Duration, Instant};

use dancers::Dancers;
use stage::{Stage, Target};

use crate::{Browser, process};

/// Which night.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub faults: usize,
    pub desks: usize,
    pub dancers: usize,
    pub engine: Engine,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// What the night was like.
#[derive(Debug)]
pub struct Report {
    pub plays: usize,
    pub taps: usize,
    pub faults: usize,
    pub lasted: Duration,
}

/// One thing that breaks, and for how long.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill(Target, u64),
    Freeze(Target, u64),
    CutBroker(u64),
    CutDatabase(u64),
    StopDatabase(u64),
    FullDatabase(u64),
    FullJournal(usize, u64),
}

/// Draws the schedule: SplitMix64, the same numbers for the same seed.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of `0..below`.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

impl Fault {
    fn draw(dice: &mut Dice, plan: &Plan) -> Self {
        let target = match dice.below(6) {
            0 => Target::Broker,
            1 => Target::Archiver,
            2 => Target::Webapp,
            _ => Target::Desk(dice.below(plan.desks as u64) as usize),
        };
        let ms = 50 + dice.below(2_500);
        match (dice.below(14), plan.engine) {
            (0..=4, _) => Self::Kill(target, ms),
            (5..=7, _) => Self::Freeze(target, ms),
            (8, _) => Self::CutBroker(ms),
            (9, _) => Self::FullJournal(dice.below(plan.desks as u64) as usize, ms),
            (10, _) | (11..=13, Engine::Sqlite) => Self::FullDatabase(ms),
            (11, Engine::Postgres) => Self::CutDatabase(ms),
            (12..=13, Engine::Postgres) => Self::StopDatabase(ms),
            _ => unreachable!("below 14"),
        }
    }
}

/// Lives through the night, and looks at the archive afterwards.
///
/// # Panics
/// Something was lost, doubled or invented; the seed is in the output.
pub async fn run(plan: Plan) -> Report {
    println!("fault: seed {} on {:?}, {} faults", plan.seed, plan.engine, plan.faults);
    let (folder, since) = (tempfile::tempdir().unwrap(), Instant::now());
    let mut dice = Dice::new(plan.seed);
    let mut stage = Stage::set(folder.path(), &plan, process::executable()).await;
    let dancers = Dancers::enter(&plan, &stage.web());
    for number in 1..=plan.faults {
        let fault = Fault::draw(&mut dice, &plan);
        println!("fault: {number} {fault:?}");
        stage.play_for(200 + dice.below(700)).await;
        strike(&mut stage, fault).await;
    }
    // Quiet again: who still has something to say gets it through.
    stage.play_for(1_000).await;
    let taps = dancers.leave().await;
    let plays = stage.all_is_archived().await;
    taps.are_archived(&stage).await;
    stage.nobody_panicked();
    Report { plays, taps: taps.confirmed(), faults: plan.faults, lasted: since.elapsed() }
}

/// What it was like to replace one program.
#[derive(Debug)]
pub struct Replaced {
    pub what: String,
    /// From the word to stop until an open page, which nobody touched, shows what was played after that.
    pub live_after: Duration,
}

/// Replaces the programs of the release before, one at a time, while DJs play and dancers tap: broker, archiver, web app, and then
/// the publishers. Nothing may be lost, doubled or invented, and a page that was open goes on by itself.
///
/// # Panics
/// Something was.
pub async fn upgrade(plan: Plan, before: &Path) -> (Report, Vec<Replaced>) {
    let (folder, since) = (tempfile::tempdir().unwrap(), Instant::now());
    let mut stage = Stage::set(folder.path(), &plan, before.to_owned()).await;
    let dancers = Dancers::enter(&plan, &stage.web());
    let phone = Browser::open(500, 900).await;
    stage.plays("Before").await;
    phone.goto(&format!("http://{}/e/tonight/floor-0", stage.web())).await;
    phone.sees("#now .title", "Before").await;
    stage.executable = process::executable();
    let all = [Target::Broker, Target::Archiver, Target::Webapp];
    let mut replaced = Vec::new();
    for target in all.into_iter().chain((0..plan.desks).map(Target::Desk)) {
        let stopped = Instant::now();
        stage.stop(target).await;
        stage.start(target);
        let title = format!("After {target:?}");
        stage.plays(&title).await;
        phone.sees("#now .title", &title).await;
        replaced.push(Replaced { what: format!("{target:?}"), live_after: stopped.elapsed() });
        stage.play_for(1_500).await;
    }
    phone.close().await;
    let taps = dancers.leave().await;
    let plays = stage.all_is_archived().await;
    taps.are_archived(&stage).await;
    stage.nobody_panicked();
    (Report { plays, taps: taps.confirmed(), faults: replaced.len(), lasted: since.elapsed() }, replaced)
}

async fn strike(stage: &mut Stage, fault: Fault) {
    match fault {
        Fault::Kill(target, ms) => {
            stage.kill(target);
            stage.play_for(ms).await;
            stage.start(target);
        }
        Fault::Freeze(target, ms) => {
            stage.freeze(target);
            stage.play_for(ms).await;
            stage.thaw(target);
        }
        Fault::CutBroker(ms) => {
            stage.broker_cable.cut();
            stage.play_for(ms).await;
            stage.broker_cable.mend();
        }
        Fault::CutDatabase(ms) => {
            stage.cut_database();
            stage.play_for(ms).await;
            stage.mend_database();
        }
        Fault::StopDatabase(ms) => {
            stage.stop_database();
            stage.play_for(ms).await;
            stage.start_database().await;
        }
        Fault::FullDatabase(ms) => {
            if stage.fill_database() {
                stage.play_for(ms).await;
                stage.free_database().await;
            }
        }
        Fault::FullJournal(desk, ms) => {
            if stage.fill_journal(desk) {
                stage.play_for(ms).await;
                stage.free_journal(desk);
            }
        }
    }
}
