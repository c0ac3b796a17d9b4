//! The short form of `cargo xtask fault`.

use kit::fault::{self, Engine, Plan};
use kit::night;

async fn a_bad_night_on(engine: Engine) {
    let report = fault::run(Plan { seed: 7, faults: 8, desks: 3, dancers: 20, engine }).await;
    println!("{report:?}");
    assert!(report.plays > 10 && report.taps > 20, "something happened: {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_night_on_sqlite() {
    a_bad_night_on(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_night_on_postgres() {
    a_bad_night_on(Engine::Postgres).await;
}

/// The same release once more: what `cargo xtask upgrade` does with the one before.
#[tokio::test(flavor = "multi_thread")]
async fn programs_are_replaced_one_by_one() {
    let plan = Plan { seed: 5, faults: 0, desks: 3, dancers: 20, engine: Engine::Postgres };
    let (report, replaced) = fault::upgrade(plan, &kit::process::executable()).await;
    println!("{report:?} {replaced:?}");
    assert!(report.plays > 5 && report.taps > 5, "something happened: {report:?}");
}

/// The short form of `cargo xtask night`.
#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_a_djs_night() {
    let report = night::run(night::Plan { seed: 11, minutes: 90, speed: 120, faults: 6 }).await;
    assert!(report.plays > 10, "something was played: {report:?}");
}
