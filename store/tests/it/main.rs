//! The store's promises, each told once and run on both engines, on PostgreSQL also by way of a pooler.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dump;
mod network;

use dump::{
    a_dump_of_an_event_has_what_belongs_to_it, a_dump_that_was_loaded_is_dumped_the_same,
    an_interrupted_load_is_completed_by_the_next, the_newer_row_stays_whichever_came_first,
};
use kit::Database;
use pika_store::{CursorRow, Error, Event, Floor, PlayRow, Record, SetRow, Store, Token, TokenKind};
use protocol::{
    FloorAddress, JournalId, MessageId, Play, PlayId, PlayKind, PlayReport, SetId, SetRef, Track, V1,
};

/// Makes one test an engine, and one by a pooler in transaction mode, out of a story.
macro_rules! on_both_engines {
    ($($story:ident),* $(,)?) => {
        mod by_pgbouncer {
            $(#[tokio::test]
            async fn $story() {
                super::$story(super::opened(kit::Database::pgbouncer()).await).await;
            })*
        }
        mod on_sqlite {
            $(#[tokio::test]
            async fn $story() {
                let folder = tempfile::tempdir().unwrap();
                super::$story(super::opened(kit::Database::sqlite(folder.path())).await).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $story() {
                super::$story(super::opened(kit::Database::postgres()).await).await;
            })*
        }
    };
}

on_both_engines!(
    a_report_written_twice_is_one_play,
    the_newest_report_is_the_truth_in_whatever_order,
    another_desk_changes_nothing,
    a_withdrawn_play_is_not_shown,
    a_set_ends_once_and_keeps_its_start,
    a_cursor_never_goes_back,
    all_or_nothing,
    tokens_are_added_once_and_revoked_once,
    an_event_is_entered_once,
    every_text_survives,
    a_dump_that_was_loaded_is_dumped_the_same,
    a_dump_of_an_event_has_what_belongs_to_it,
    an_interrupted_load_is_completed_by_the_next,
    the_newer_row_stays_whichever_came_first,
);

async fn opened(database: Database) -> Store {
    let store = database.store();
    // Several programs start at the same time.
    let (one, two) = tokio::join!(store.migrate(), store.migrate());
    one.unwrap();
    two.unwrap();
    store
}

fn main_floor() -> FloorAddress {
    "tonight/main".parse().unwrap()
}

fn set(n: u8) -> SetRef {
    SetRef { id: SetId::at(i64::from(n), [n; 10]), started_ms: 1_000, dj: Some("DJ".into()) }
}

fn report(desk: &str, title: &str, kind: PlayKind, at_ms: i64) -> PlayRow {
    let track = Track { title: Some(title.into()), bpm: Some(92.5), ..Track::default() };
    PlayRow {
        floor: main_floor(),
        desk: desk.parse().unwrap(),
        report: PlayReport {
            v: V1,
            id: MessageId::at(at_ms, [1; 10]),
            at_ms,
            journal: JournalId::at(1, [1; 10]),
            seq: 1,
            held_from: 1,
            kind,
            set: set(1),
            play: Play {
                id: PlayId::derived(&"booth".parse().unwrap(), "test", "the play"),
                started_ms: 5_000,
                ended_ms: None,
                track,
            },
            set_ended: false,
        },
    }
}

fn play(row: PlayRow) -> Record {
    Record::Play(Box::new(row))
}

async fn titles(store: &Store) -> Vec<String> {
    let plays = store.recent(&main_floor(), 10).await.unwrap();
    plays.into_iter().map(|(_, past)| past.play.track.title.unwrap()).collect()
}

async fn a_report_written_twice_is_one_play(store: Store) {
    let records = [play(report("booth", "One", PlayKind::Started, 10))];
    store.record(&records, &[]).await.unwrap();
    store.record(&records, &[]).await.unwrap();
    let plays = store.recent(&main_floor(), 10).await.unwrap();
    assert_eq!(plays.len(), 1);
    let (desk, past) = &plays[0];
    assert_eq!((desk.as_str(), past.play.started_ms, past.play.track.bpm), ("booth", 5_000, Some(92.5)));
    assert_eq!(past.dj.as_ref().unwrap().name, "DJ");
}

async fn the_newest_report_is_the_truth_in_whatever_order(store: Store) {
    let old = play(report("booth", "Misspelt", PlayKind::Started, 10));
    let new = play(report("booth", "Right", PlayKind::Corrected, 20));
    store.record(std::slice::from_ref(&new), &[]).await.unwrap();
    store.record(&[old, new], &[]).await.unwrap();
    assert_eq!(titles(&store).await, ["Right"]);
}

async fn another_desk_changes_nothing(store: Store) {
    store.record(&[play(report("booth", "Mine", PlayKind::Started, 10))], &[]).await.unwrap();
    store.record(&[play(report("rogue", "Stolen", PlayKind::Withdrawn, 20))], &[]).await.unwrap();
    assert_eq!(titles(&store).await, ["Mine"]);
    let set = store.last_set(&main_floor()).await.unwrap().unwrap();
    assert_eq!(set.desk.as_str(), "booth");
}

async fn a_withdrawn_play_is_not_shown(store: Store) {
    store.record(&[play(report("booth", "Oops", PlayKind::Started, 10))], &[]).await.unwrap();
    store.record(&[play(report("booth", "Oops", PlayKind::Withdrawn, 20))], &[]).await.unwrap();
    assert!(titles(&store).await.is_empty());
}

async fn a_set_ends_once_and_keeps_its_start(store: Store) {
    let row = |started_ms, ended_ms| {
        let SetRef { id, dj, .. } = set(1);
        Record::Set(SetRow {
            floor: main_floor(),
            desk: "booth".parse().unwrap(),
            id,
            dj,
            started_ms,
            ended_ms,
        })
    };
    store.record(&[row(1_000, None)], &[]).await.unwrap();
    assert_eq!(store.last_set(&main_floor()).await.unwrap().unwrap().ended_ms, None);
    store.record(&[row(9_000, Some(8_000)), row(9_000, None)], &[]).await.unwrap();
    let set = store.last_set(&main_floor()).await.unwrap().unwrap();
    assert_eq!((set.started_ms, set.ended_ms, set.dj.as_deref()), (1_000, Some(8_000), Some("DJ")));
}

async fn a_cursor_never_goes_back(store: Store) {
    let cursor = |n: u8, seq, updated_ms| CursorRow {
        event: "tonight".parse().unwrap(),
        producer: "booth".parse().unwrap(),
        journal: JournalId::at(1, [n; 10]),
        seq,
        updated_ms,
    };
    store.record(&[], &[cursor(1, 7, 100)]).await.unwrap();
    store.record(&[], &[cursor(1, 5, 200)]).await.unwrap();
    store.record(&[], &[cursor(2, 1, 50)]).await.unwrap();
    let cursors = store.cursors(&"tonight".parse().unwrap()).await.unwrap();
    assert_eq!(cursors, [cursor(2, 1, 50), cursor(1, 7, 100)], "the one that moved last comes last");
}

async fn all_or_nothing(store: Store) {
    // PostgreSQL cannot hold NUL in a text, and SQLite can; so the refusal is made with a row too many.
    let mut bad = report("booth", "x", PlayKind::Started, 10);
    bad.report.play.track.title = Some("a\0b".into());
    let cursor = CursorRow {
        event: "tonight".parse().unwrap(),
        producer: "booth".parse().unwrap(),
        journal: JournalId::at(1, [1; 10]),
        seq: 1,
        updated_ms: 1,
    };
    let outcome = store.record(&[play(bad)], &[cursor]).await;
    let cursors = store.cursors(&"tonight".parse().unwrap()).await.unwrap();
    match outcome {
        Ok(()) => assert_eq!(cursors.len(), 1),
        Err(Error::Refused(_)) => assert!(cursors.is_empty(), "nothing is left behind"),
        Err(error) => panic!("{error:?} would be tried for ever"),
    }
}

async fn tokens_are_added_once_and_revoked_once(store: Store) {
    let token = Token {
        name: "booth".into(),
        kind: TokenKind::Desk,
        event: "tonight".parse().unwrap(),
        floor: Some("main".parse().unwrap()),
        sha256: Token::hash("secret"),
        expires_ms: Some(5),
        revoked_ms: None,
    };
    assert!(store.add_token(&token, "$7$one", 1).await.unwrap());
    assert!(!store.add_token(&token, "$7$two", 1).await.unwrap());
    let verifiers = store.token_verifiers().await.unwrap();
    assert_eq!(
        verifiers.get(&token.name).map(String::as_str),
        Some("$7$one"),
        "a taken name stays as it was"
    );
    assert_eq!(store.tokens().await.unwrap(), std::slice::from_ref(&token));
    assert!(store.revoke_token("booth", 3).await.unwrap());
    assert!(!store.revoke_token("booth", 4).await.unwrap());
    assert_eq!(store.tokens().await.unwrap(), [Token { revoked_ms: Some(3), ..token }]);
}

async fn an_event_is_entered_once(store: Store) {
    let floor = |id: &str| Floor { id: id.parse().unwrap(), name: id.to_uppercase() };
    let event = |name: &str, floors: &[&str]| Event {
        id: "tonight".parse().unwrap(),
        name: name.into(),
        time_zone: "Europe/Warsaw".into(),
        accent: None,
        floors: floors.iter().map(|id| floor(id)).collect(),
    };
    store.add_event(&event("Tonight", &["main"]), 1).await.unwrap();
    store.add_event(&event("Renamed", &["main", "cellar"]), 2).await.unwrap();
    assert_eq!(store.events().await.unwrap(), [event("Tonight", &["main", "cellar"])]);
}

async fn every_text_survives(store: Store) {
    for (at_ms, title) in (10..).zip(["Bølge", "'; drop table plays; --", "🐹 \u{202e}x", "a\\b\"c", "%_%"])
    {
        store.record(&[play(report("booth", title, PlayKind::Corrected, at_ms))], &[]).await.unwrap();
        assert_eq!(titles(&store).await, [title]);
    }
}

#[tokio::test]
async fn an_absent_database_is_away_and_not_refused() {
    let store = Store::open(&"postgres://pika@127.0.0.1:9/pika".parse().unwrap()).unwrap();
    assert!(matches!(store.migrate().await, Err(Error::Away(_))));
    let store = Store::open(&"sqlite:///nonexistent/folder/pika.db".parse().unwrap()).unwrap();
    assert!(matches!(store.tokens().await, Err(Error::Away(_))));
}
