//! Sources as they run: threads, the system's hints, real files and the real clock.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use pika_publisher::settings::Settings;
use pika_publisher::sources::observation::SourceKind;
use pika_publisher::sources::places::Places;
use pika_publisher::sources::{CatchUp, SourceEvent, SourceState, Sources, open};
use tokio_util::sync::CancellationToken;

use crate::writer::Writer;

pub(crate) const SOON: Duration = Duration::from_secs(20);

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

fn follow(path: &Path, force_polling: bool, stop: &CancellationToken) -> Sources {
    let settings = Settings { path: Some(path.to_owned()), force_polling, ..Settings::default() };
    follow_with(&settings, Places::default(), stop)
}

pub(crate) fn follow_with(settings: &Settings, places: Places, stop: &CancellationToken) -> Sources {
    let catch_up = CatchUp { since_ms: now_ms(), ..CatchUp::default() };
    open(settings, places, TimeZone::UTC, catch_up, stop.clone()).expect("the source opens")
}

pub(crate) async fn next(source: &mut Sources) -> SourceEvent {
    let event = tokio::time::timeout(SOON, source.events.recv()).await.expect("an event within 20 s");
    event.expect("the source runs").event
}

/// Titles of the next plays, as many as asked for.
pub(crate) async fn titles(source: &mut Sources, count: usize) -> Vec<String> {
    let mut titles = Vec::new();
    while titles.len() < count {
        if let SourceEvent::Plays(plays) = next(source).await {
            titles.extend(plays.into_iter().map(|play| play.track.title.unwrap_or_default()));
        }
    }
    titles
}

async fn night(force_polling: bool) {
    let dir = tempfile::tempdir().expect("a folder");
    let history = dir.path().join("History");
    let stop = CancellationToken::new();
    let mut source = follow(dir.path(), force_polling, &stop);
    assert!(matches!(next(&mut source).await, SourceEvent::State(SourceState::Missing { .. })));

    let mut writer = Writer::in_folder(&history, now_ms());
    assert!(matches!(next(&mut source).await, SourceEvent::State(SourceState::Found { .. })));
    writer.play(1, &[10, 60], |_| {});
    assert_eq!(titles(&mut source, 1).await, ["Søng 1"]);
    writer.play_truncating(2, 70, |_| {});
    assert_eq!(titles(&mut source, 1).await, ["Søng 2"]);
    writer.replace();
    writer.old_list(1);
    writer.play(3, &[], |_| {});
    writer.play(1, &[], |_| {});
    assert_eq!(titles(&mut source, 2).await, ["Søng 3", "Søng 1"]);

    let away = dir.path().join("Away");
    fs::rename(&history, &away).expect("moved");
    assert!(matches!(next(&mut source).await, SourceEvent::State(SourceState::Missing { .. })));
    fs::rename(&away, &history).expect("moved");
    assert!(matches!(next(&mut source).await, SourceEvent::State(SourceState::Found { .. })));
    writer.play(2, &[], |_| {});
    assert_eq!(titles(&mut source, 1).await, ["Søng 2"]);

    stop.cancel();
    let end = tokio::time::timeout(SOON, source.events.recv()).await.expect("the source stops within 20 s");
    assert_eq!(end, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_with_hints() {
    night(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_with_polling_only() {
    night(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_loses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let stop = CancellationToken::new();
    let mut writer = Writer::in_folder(&dir.path().join("History"), now_ms());
    let mut source = follow(dir.path(), false, &stop);
    assert!(matches!(next(&mut source).await, SourceEvent::State(SourceState::Found { .. })));
    for song in 0..60 {
        writer.play(song, &[20], |_| std::thread::yield_now());
    }
    let expected: Vec<String> = (0..60).map(|song| format!("Søng {song}")).collect();
    assert_eq!(titles(&mut source, 60).await, expected);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library_adds_what_the_history_leaves_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let xml =
        r#"<VirtualDJ_Database><Song FilePath="/music/søng 1.mp3"><Tags Title="Søng 1" Bpm="0.5"/></Song>"#;
    fs::write(dir.path().join("database.xml"), xml).expect("written");
    let mut writer = Writer::in_folder(&dir.path().join("History"), now_ms());
    let stop = CancellationToken::new();
    let mut source = follow(dir.path(), false, &stop);
    assert!(matches!(next(&mut source).await, SourceEvent::State(SourceState::Found { .. })));
    writer.play(1, &[], |_| {});
    // Known at once, or said again when the library is read.
    let mut identities = Vec::new();
    loop {
        let SourceEvent::Plays(plays) = next(&mut source).await else { continue };
        identities.extend(plays.iter().map(|play| play.identity.clone()));
        if plays.iter().any(|play| play.track.bpm == Some(120.0)) {
            break;
        }
    }
    identities.dedup();
    assert_eq!(identities.len(), 1);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_appears_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    let places = Places { documents: Some(dir.path().to_owned()), ..Places::default() };
    let stop = CancellationToken::new();
    let mut writer = Writer::in_folder(&dir.path().join("VirtualDJ/History"), now_ms());
    let mut source = follow_with(&Settings::default(), places, &stop);
    assert!(matches!(next(&mut source).await, SourceEvent::State(SourceState::Found { .. })));
    writer.play(1, &[], |_| {});
    assert_eq!(titles(&mut source, 1).await, ["Søng 1"]);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("now.txt");
    let stop = CancellationToken::new();
    let settings =
        Settings { source: SourceKind::Text.into(), path: Some(file.clone()), ..Settings::default() };
    let mut source = follow_with(&settings, Places::default(), &stop);
    assert!(matches!(next(&mut source).await, SourceEvent::State(SourceState::Found { .. })));
    fs::write(&file, "Ana - Night\n").expect("written");
    assert_eq!(titles(&mut source, 1).await, ["Night"]);
    fs::write(&file, "").expect("written");
    assert!(matches!(next(&mut source).await, SourceEvent::Stopped));
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generic_list() {
    let dir = tempfile::tempdir().expect("a folder");
    let list = dir.path().join("now.m3u");
    fs::write(&list, "").expect("written");
    let stop = CancellationToken::new();
    let mut source = follow(&list, false, &stop);
    assert!(matches!(next(&mut source).await, SourceEvent::State(SourceState::Found { .. })));
    fs::write(&list, "#EXTINF:198,Artist - One\none.mp3\n").expect("written");
    assert_eq!(titles(&mut source, 1).await, ["One"]);
    stop.cancel();
}
