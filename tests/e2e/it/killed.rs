//! kill -9 at any moment of a running set: afterwards the archive equals the history file.

use std::path::Path;

use kit::process::{self, Program};
use kit::{Database, Dj, Pika, wait};

use crate::road::{archived, up};

/// A moment that differs from one round to the next; the schedule is the same in every run.
fn moment_ms(round: u64) -> u64 {
    (round * 7919 + 131) % 400
}

async fn the_whole_killed_ten_times(database: Database, folder: &Path) {
    let mut dj = Dj::new(folder);
    let mut pika = up(folder, &database, &dj, &[]).await;
    pika.page().await;
    for round in 0..10 {
        dj.plays(&format!("Round {round} before"));
        wait::moment(moment_ms(round)).await;
        pika.program.kill();
        // The DJ plays on while everything is dead.
        dj.plays(&format!("Round {round} during"));
        pika = up(folder, &database, &dj, &[]).await;
    }
    archived(&database, &dj).await;
    pika.shows("Round 9 during").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_killed_ten_times_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    the_whole_killed_ten_times(Database::sqlite(folder.path()), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_killed_ten_times_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    the_whole_killed_ten_times(Database::postgres(), folder.path()).await;
}

/// Server and publisher as processes of their own, as with a VPS and a laptop.
struct Apart {
    folder: std::path::PathBuf,
    database: Database,
    dj: Dj,
    token: String,
    server: Pika,
    publisher: Program,
}

impl Apart {
    async fn new(folder: &Path) -> Self {
        let database = Database::sqlite(folder);
        let dj = Dj::new(folder);
        let server_data = folder.join("server");
        std::fs::create_dir_all(&server_data).unwrap();
        let mut add = process::command(&server_data);
        let added = add
            .args(["token", "add", "laptop", "--kind", "desk"])
            .env("DATABASE_URL", &database.url)
            .output()
            .unwrap();
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let token = String::from_utf8(added.stdout).unwrap().trim().lines().last().unwrap().to_owned();
        let server = Self::server(&server_data, &database, &[]).await;
        let publisher = Self::publisher(folder, &dj, &server, &token);
        Self { folder: folder.to_owned(), database, dj, token, server, publisher }
    }

    async fn server(data: &Path, database: &Database, ports: &[(&'static str, String)]) -> Pika {
        let mut settings = vec![("DATABASE_URL", database.url.as_str())];
        settings.extend(ports.iter().map(|(name, value)| (*name, value.as_str())));
        Pika::up(data, &[], &settings).await
    }

    fn publisher(folder: &Path, dj: &Dj, server: &Pika, token: &str) -> Program {
        let data = folder.join("laptop");
        let mut command = process::publisher(&data, &dj.home);
        // Over WebSocket, as from behind a hotel's WiFi.
        command
            .args(["--floor", "main", "--server"])
            .arg(format!("ws://laptop:{token}@{}/ws", server.mqtt_websocket));
        Program::start(command, &data, "publisher")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publisher_and_server_killed_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let mut it = Apart::new(folder.path()).await;
    it.server.page().await;
    for round in 0..10 {
        it.dj.plays(&format!("Round {round} before"));
        wait::moment(moment_ms(round)).await;
        if round % 2 == 0 {
            it.publisher.kill();
            it.dj.plays(&format!("Round {round} without the publisher"));
            it.publisher = Apart::publisher(&it.folder, &it.dj, &it.server, &it.token);
        } else {
            let ports = it.server.same_ports();
            it.server.program.kill();
            it.dj.plays(&format!("Round {round} without the server"));
            it.server = Apart::server(&it.folder.join("server"), &it.database, &ports).await;
        }
    }
    it.dj.plays("The last one");
    archived(&it.database, &it.dj).await;
    it.server.shows("The last one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_desk_is_shut_out_and_keeps_its_plays() {
    let folder = tempfile::tempdir().unwrap();
    let mut it = Apart::new(folder.path()).await;
    it.dj.plays("Allowed");
    archived(&it.database, &it.dj).await;
    let data = it.folder.join("server");
    let revoked = process::command(&data)
        .args(["token", "revoke", "laptop"])
        .env("DATABASE_URL", &it.database.url)
        .status()
        .unwrap();
    assert!(revoked.success());
    wait::until_some("the publisher to be refused", || {
        it.publisher.log().contains("refuses our name or token").then_some(())
    })
    .await;
    it.dj.plays("Kept");
    wait::until_some("the play to be noted", || it.publisher.log().contains("Kept").then_some(())).await;
    assert_eq!(it.database.plays().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_is_quick_and_says_goodbye() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let database = Database::sqlite(folder.path());
    let mut pika = up(folder.path(), &database, &dj, &[]).await;
    dj.plays("Half Life");
    pika.shows("Half Life").await;
    let status = pika.program.stop().await;
    assert!(status.success(), "{status}");
    dj.is_archived(&database.plays().await.unwrap()).unwrap();
}
