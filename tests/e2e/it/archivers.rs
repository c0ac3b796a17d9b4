//! Two archivers on one database: one speaks, the other takes over when it is killed, and nothing is stored twice.

use std::path::Path;

use kit::mosquitto::Subscriber;
use kit::process::{self, Program, runtime};
use kit::{Database, Dj, wait};

use crate::road::archived;

/// A broker and a publisher that stay, and archivers that come and go.
struct Stage {
    folder: std::path::PathBuf,
    database: Database,
    mqtt: String,
    dj: Dj,
    _broker: Program,
    _publisher: Program,
}

impl Stage {
    async fn new(folder: &Path, database: Database) -> Self {
        let dj = Dj::new(folder);
        let broker_data = folder.join("broker");
        std::fs::create_dir_all(&broker_data).unwrap();
        let token = |name, kind| process::add_token(&broker_data, &database, name, &[kind]);
        let (desk, archiver) = (token("laptop", "desk"), token("archiver", "service"));
        let mut broker = process::command(&broker_data);
        broker.arg("broker").env("DATABASE_URL", &database.url);
        let broker = Program::start(broker, &broker_data, "broker");
        let runtime = runtime(&broker_data, "runtime-broker.json", None).await;
        let address = runtime["mqtt"].as_str().unwrap().to_owned();
        let mut publisher = process::publisher(&folder.join("laptop"), &dj.home);
        publisher.env("PIKA_BROKER_URL", format!("mqtt://laptop:{desk}@{address}"));
        let publisher = Program::start(publisher, &folder.join("laptop"), "publisher");
        Self {
            folder: folder.to_owned(),
            database,
            mqtt: format!("mqtt://archiver:{archiver}@{address}"),
            dj,
            _broker: broker,
            _publisher: publisher,
        }
    }

    fn archiver(&self, name: &str) -> Program {
        let data = self.folder.join(name);
        let mut archiver = process::command(&data);
        archiver.arg("archiver").env("DATABASE_URL", &self.database.url).env("PIKA_BROKER_URL", &self.mqtt);
        Program::start(archiver, &data, "archiver")
    }

    /// What is said on a topic.
    fn subscriber(&self, topic: &str) -> Subscriber {
        Subscriber::start(self.mqtt.rsplit_once('@').unwrap().1, &["-t", topic])
    }
}

async fn one_after_the_other(stage: &mut Stage) {
    let mut archivers = vec![stage.archiver("one")];
    wait::until_some("the first to speak", || archivers[0].log().contains("ours to write").then_some(()))
        .await;
    archivers.push(stage.archiver("two"));
    stage.dj.plays("Before");
    let now = stage.subscriber("pika/v1/tonight/main/now");
    now.prints("Before").await;
    for round in 0..4 {
        // Whoever speaks is killed, in the middle of it or not; the other one goes on.
        stage.dj.plays(&format!("Round {round}"));
        if round % 2 == 0 {
            now.prints(&format!("Round {round}")).await;
        }
        archivers.remove(0).kill();
        stage.dj.plays(&format!("After {round}"));
        now.prints(&format!("After {round}")).await;
        archivers.push(stage.archiver(&format!("round-{round}")));
    }
    archived(&stage.database, &stage.dj).await;
    // Each turn has a higher number than the one before.
    stage.subscriber("pika/v1/tonight/info").prints("\"term\":5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_killed_after_the_other_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(folder.path(), Database::sqlite(folder.path())).await;
    one_after_the_other(&mut stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_killed_after_the_other_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(folder.path(), Database::postgres()).await;
    one_after_the_other(&mut stage).await;
}

/// Frozen for longer than its lease lasts, then woken: it must neither speak nor store over its successor.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_frozen_stands_down() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(folder.path(), Database::postgres()).await;
    let first = stage.archiver("one");
    wait::until_some("the first to speak", || first.log().contains("ours to write").then_some(())).await;
    let second = stage.archiver("two");
    stage.dj.plays("Before");
    archived(&stage.database, &stage.dj).await;
    first.freeze();
    stage.dj.plays("While it was frozen");
    wait::until_some("the second to take over", || second.log().contains("ours to write").then_some(()))
        .await;
    archived(&stage.database, &stage.dj).await;
    first.thaw();
    wait::until_some("the first to stand down", || first.log().contains("listening only").then_some(()))
        .await;
    stage.dj.plays("Afterwards");
    archived(&stage.database, &stage.dj).await;
    assert_eq!(second.log().matches("listening only").count(), 1, "the second stays");
}
