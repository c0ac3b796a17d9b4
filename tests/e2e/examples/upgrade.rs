//! An upgrade from another release on both engines. Run by `cargo xtask upgrade`, which builds that release.

use std::path::Path;

use kit::fault::{self, Engine, Plan};

#[tokio::main]
async fn main() {
    let before = std::env::args().nth(1).expect("say where the executable of the release before is");
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let plan = Plan { seed: 5, faults: 0, desks: 3, dancers: 100, engine };
        let (report, replaced) = fault::upgrade(plan, Path::new(&before)).await;
        for one in replaced {
            println!("{engine:?}: {} replaced, live again after {:?}", one.what, one.live_after);
        }
        let (plays, taps) = (report.plays, report.taps);
        println!("{engine:?}: {plays} plays and {taps} taps, each stored once, nothing else stored");
    }
}
