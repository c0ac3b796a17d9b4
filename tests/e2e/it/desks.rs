//! `pika desk list`: what the operator learns of the desks of the night.

use kit::{Database, Dj, process, wait};

use crate::export::pika;
use crate::road::up;

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_was_heard_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let refused = process::command(data).args(["desk", "list"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("there is no archive at"));

    let database = Database::sqlite(data);
    let settings = [("DATABASE_URL", database.url.as_str())];
    let mut dj = Dj::new(data);
    let pika_up = up(data, &database, &dj, &[]).await;
    pika_up.page().await;
    dj.plays("Glass Tide");
    let line = wait::until("the desk to be listed", || async {
        let (lines, said) = pika(data, &["desk", "list"], &settings);
        // A state that the broker had kept says nothing of the clock; the next one does.
        let line = lines.lines().next().filter(|line| line.contains(" s\t"));
        line.map(str::to_owned).ok_or(said + &lines)
    })
    .await;
    let cells: Vec<&str> = line.split('\t').collect();
    let [desk, floor, app, _source, clock, heard] = cells[..] else { panic!("{line}") };
    assert_eq!((desk, floor), ("pika-desk", "main"));
    assert!(app.starts_with("pika ") && clock.ends_with(" s") && heard.ends_with(" UTC"), "{line}");
    // Another event has no desks, and that is no error.
    let (lines, said) = pika(data, &["desk", "list"], &[settings[0], ("PIKA__EVENT__ID", "other")]);
    assert_eq!((lines.as_str(), said.trim()), ("", "no desk was heard at other yet"));
}
