//! The store's promises, each told once and run on both engines, on PostgreSQL also by way of a pooler.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dump;
mod migrations;
mod network;
mod pages;
mod pairings;
mod people;
mod voice;

use dump::{
    a_dump_of_an_event_has_what_belongs_to_it, a_dump_of_an_older_release_is_read,
    a_dump_that_was_loaded_is_dumped_the_same, an_interrupted_load_is_completed_by_the_next,
    the_newer_row_stays_whichever_came_first, what_was_forgotten_here_is_not_brought_back,
};
use kit::Database;
use pages::{
    a_dancer_finds_its_likes_the_newest_first, a_set_has_its_plays_and_how_they_were_taken,
    an_event_has_its_sets_in_their_order, the_plays_of_a_track_are_liked_together,
};
use pairings::{
    a_desk_is_let_in_once_and_by_its_code_alone, as_many_desks_wait_as_may,
    of_two_desks_with_one_code_none_is_let_in,
};
use people::{
    a_new_password_logs_out_everywhere_else, a_person_logs_in_and_out, changes_are_on_record,
    floors_come_and_go, there_is_always_an_organizer, with_a_dj_go_his_desks_and_sessions,
};
use std::time::{Duration, Instant};
use voice::{
    a_poll_is_closed_by_the_next_whatever_came_first, a_request_is_kept_once,
    a_vote_counts_once_and_only_while_asked, each_word_of_the_last_song_is_kept_once,
    old_votes_are_summed_up, the_newest_announcement_is_the_last, votes_of_a_forgotten_dancer_stay_counted,
};

use pika_store::{
    By, CoverRow, CursorRow, DeskRow, Error, Event, Floor, LEASE_LASTS, PlayRow, Reaction, ReactionRow,
    Record, SetRow, Store, Tally, Token, TokenKind, Watch,
};
use protocol::{
    CoverId, FloorAddress, JournalId, Jpeg, MessageId, Play, PlayId, PlayKind, PlayReport, SetId, SetRef,
    TempoTally, TempoWish, Track, V1,
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
    a_desk_is_let_in_once_and_by_its_code_alone,
    of_two_desks_with_one_code_none_is_let_in,
    as_many_desks_wait_as_may,
    a_person_logs_in_and_out,
    a_new_password_logs_out_everywhere_else,
    there_is_always_an_organizer,
    with_a_dj_go_his_desks_and_sessions,
    changes_are_on_record,
    floors_come_and_go,
    an_event_is_what_settings_and_people_said_last,
    every_text_survives,
    a_cover_is_kept_once_and_found_by_its_name,
    a_play_names_a_cover_that_may_never_come,
    a_dump_that_was_loaded_is_dumped_the_same,
    a_dump_of_an_event_has_what_belongs_to_it,
    a_dump_of_an_older_release_is_read,
    an_interrupted_load_is_completed_by_the_next,
    the_newer_row_stays_whichever_came_first,
    what_was_forgotten_here_is_not_brought_back,
    an_event_has_its_sets_in_their_order,
    a_set_has_its_plays_and_how_they_were_taken,
    a_dancer_finds_its_likes_the_newest_first,
    the_plays_of_a_track_are_liked_together,
    a_flood_is_what_its_reports_are_one_by_one,
    two_desks_in_one_batch_stay_apart,
    a_dancer_counts_once_and_the_newest_counts,
    a_forgotten_dancer_leaves_the_tally,
    old_reactions_are_summed_up,
    a_lease_has_one_holder,
    who_lost_the_lease_writes_nothing,
    a_desk_is_remembered,
    the_newest_announcement_is_the_last,
    a_vote_counts_once_and_only_while_asked,
    a_poll_is_closed_by_the_next_whatever_came_first,
    votes_of_a_forgotten_dancer_stay_counted,
    old_votes_are_summed_up,
    a_request_is_kept_once,
    each_word_of_the_last_song_is_kept_once,
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
    store.record(&records, &[], None).await.unwrap();
    store.record(&records, &[], None).await.unwrap();
    let plays = store.recent(&main_floor(), 10).await.unwrap();
    assert_eq!(plays.len(), 1);
    let (desk, past) = &plays[0];
    assert_eq!((desk.as_str(), past.play.started_ms, past.play.track.bpm), ("booth", 5_000, Some(92.5)));
    assert_eq!(past.dj.as_ref().unwrap().name, "DJ");
}

async fn the_newest_report_is_the_truth_in_whatever_order(store: Store) {
    let old = play(report("booth", "Misspelt", PlayKind::Started, 10));
    let new = play(report("booth", "Right", PlayKind::Corrected, 20));
    store.record(std::slice::from_ref(&new), &[], None).await.unwrap();
    store.record(&[old, new], &[], None).await.unwrap();
    assert_eq!(titles(&store).await, ["Right"]);
}

async fn another_desk_changes_nothing(store: Store) {
    store.record(&[play(report("booth", "Mine", PlayKind::Started, 10))], &[], None).await.unwrap();
    store.record(&[play(report("rogue", "Stolen", PlayKind::Withdrawn, 20))], &[], None).await.unwrap();
    assert_eq!(titles(&store).await, ["Mine"]);
    let set = store.last_set(&main_floor()).await.unwrap().unwrap();
    assert_eq!(set.desk.as_str(), "booth");
}

async fn a_withdrawn_play_is_not_shown(store: Store) {
    store.record(&[play(report("booth", "Oops", PlayKind::Started, 10))], &[], None).await.unwrap();
    store.record(&[play(report("booth", "Oops", PlayKind::Withdrawn, 20))], &[], None).await.unwrap();
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
    store.record(&[row(1_000, None)], &[], None).await.unwrap();
    assert_eq!(store.last_set(&main_floor()).await.unwrap().unwrap().ended_ms, None);
    store.record(&[row(9_000, Some(8_000)), row(9_000, None)], &[], None).await.unwrap();
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
    store.record(&[], &[cursor(1, 7, 100)], None).await.unwrap();
    store.record(&[], &[cursor(1, 5, 200)], None).await.unwrap();
    store.record(&[], &[cursor(2, 1, 50)], None).await.unwrap();
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
    let outcome = store.record(&[play(bad)], &[cursor], None).await;
    let cursors = store.cursors(&"tonight".parse().unwrap()).await.unwrap();
    match outcome {
        Ok(()) => assert_eq!(cursors.len(), 1),
        Err(Error::Refused(_)) => assert!(cursors.is_empty(), "nothing is left behind"),
        Err(error) => panic!("{error:?} would be tried for ever"),
    }
}

fn by(at_ms: i64) -> By {
    By { who: "ada".to_owned(), at_ms, id: MessageId::at(at_ms, [2; 10]) }
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
    assert!(store.add_token(&token, "$7$one", None, &by(1)).await.unwrap());
    assert!(!store.add_token(&token, "$7$two", None, &by(1)).await.unwrap());
    let verifiers = store.token_verifiers().await.unwrap();
    assert_eq!(
        verifiers.get(&token.name).map(String::as_str),
        Some("$7$one"),
        "a taken name stays as it was"
    );
    assert_eq!(store.tokens().await.unwrap(), std::slice::from_ref(&token));
    assert!(store.revoke_token("booth", &by(3)).await.unwrap());
    assert!(!store.revoke_token("booth", &by(4)).await.unwrap());
    assert_eq!(store.tokens().await.unwrap(), [Token { revoked_ms: Some(3), ..token }]);
}

async fn an_event_is_what_settings_and_people_said_last(store: Store) {
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
    assert_eq!(store.events().await.unwrap(), [event("Renamed", &["main", "cellar"])]);
    // What people have changed stays, until the settings change once more.
    store.set_event(&event("By people", &[]), &by(3)).await.unwrap();
    store.add_event(&event("Renamed", &["main", "cellar"]), 4).await.unwrap();
    assert_eq!(store.events().await.unwrap(), [event("By people", &["main", "cellar"])]);
    store.add_event(&event("Again", &["cellar"]), 5).await.unwrap();
    assert_eq!(store.events().await.unwrap(), [event("Again", &["cellar"])]);
    let entered = Event { id: "entered".parse().unwrap(), ..event("Entered", &["attic"]) };
    store.set_event(&entered, &by(6)).await.unwrap();
    store
        .add_event(&Event { id: "entered".parse().unwrap(), ..event("Default", &["main"]) }, 7)
        .await
        .unwrap();
    assert_eq!(store.events().await.unwrap()[0], entered, "a program that is new here changes nothing");
}

async fn every_text_survives(store: Store) {
    for (at_ms, title) in (10..).zip(["Bølge", "'; drop table plays; --", "🐹 \u{202e}x", "a\\b\"c", "%_%"])
    {
        store.record(&[play(report("booth", title, PlayKind::Corrected, at_ms))], &[], None).await.unwrap();
        assert_eq!(titles(&store).await, [title]);
    }
}

async fn a_cover_is_kept_once_and_found_by_its_name(store: Store) {
    let jpeg = Jpeg::new(&[&[0xff, 0xd8, 0xff][..], &[0x5a; 99_997]].concat()).unwrap();
    let kept = |stored_ms| Record::Cover(CoverRow { jpeg: jpeg.clone(), stored_ms });
    store.record(&[kept(1), kept(2)], &[], None).await.unwrap();
    store.record(&[kept(3)], &[], None).await.unwrap();
    assert_eq!(store.cover(jpeg.id()).await.unwrap(), Some(jpeg));
    let other: CoverId = "00000000000000000000000000000000".parse().unwrap();
    assert_eq!(store.cover(other).await.unwrap(), None);
}

async fn a_play_names_a_cover_that_may_never_come(store: Store) {
    let jpeg = Jpeg::new(&[0xff, 0xd8, 0xff, 1]).unwrap();
    let mut named = report("booth", "One", PlayKind::Corrected, 20);
    named.report.play.track.cover = Some(jpeg.id());
    store
        .record(&[play(report("booth", "One", PlayKind::Started, 10)), play(named)], &[], None)
        .await
        .unwrap();
    let (_, past) = store.recent(&main_floor(), 1).await.unwrap().remove(0);
    assert_eq!(past.play.track.cover, Some(jpeg.id()));
    let of_set = store.plays_of_set(set(1).id).await.unwrap();
    assert_eq!(of_set[0].past.play.track.cover, Some(jpeg.id()));
    let of_floor = store.play(&main_floor(), past.play.id).await.unwrap().unwrap();
    assert_eq!(of_floor.play.track.cover, Some(jpeg.id()));
    assert_eq!(store.cover(jpeg.id()).await.unwrap(), None);
}

/// The play of that number.
fn numbered(n: usize, title: &str, at_ms: i64) -> Record {
    let mut row = report("booth", title, PlayKind::Corrected, at_ms);
    row.report.play.id = PlayId::derived(&"booth".parse().unwrap(), "test", &n.to_string());
    row.report.play.started_ms = 5_000 + n as i64;
    play(row)
}

async fn a_flood_is_what_its_reports_are_one_by_one(store: Store) {
    // Each of 150 plays three times, in an order in which the newest is neither first nor last.
    let mut records = Vec::new();
    for (at_ms, title) in [(20, "Second"), (30, "Third"), (10, "First")] {
        records.extend((0..150).map(|n| numbered(n, &format!("{title} {n}"), at_ms)));
    }
    if let Record::Play(row) = &mut records[7] {
        row.report.play.ended_ms = Some(9_000);
    }
    store.record(&records, &[], None).await.unwrap();
    let plays = store.recent(&main_floor(), 1_000).await.unwrap();
    assert_eq!(plays.len(), 150);
    for (n, (_, past)) in plays.iter().rev().enumerate() {
        assert_eq!(past.play.track.title.as_deref(), Some(&*format!("Third {n}")));
        assert_eq!(past.play.ended_ms, (n == 7).then_some(9_000), "an end, once told, stays");
    }
}

async fn two_desks_in_one_batch_stay_apart(store: Store) {
    let mine = play(report("booth", "Mine", PlayKind::Started, 10));
    let stolen = play(report("rogue", "Stolen", PlayKind::Withdrawn, 20));
    let corrected = play(report("booth", "Mine, corrected", PlayKind::Corrected, 15));
    store.record(&[mine, stolen, corrected], &[], None).await.unwrap();
    assert_eq!(titles(&store).await, ["Mine, corrected"]);
}

fn play_id() -> PlayId {
    PlayId::derived(&"booth".parse().unwrap(), "test", "the play")
}

fn reaction(dancer: &str, reaction: Reaction, at_ms: i64) -> Record {
    Record::Reaction(ReactionRow { play_id: play_id(), dancer: dancer.parse().unwrap(), reaction, at_ms })
}

fn tally(likes: u32, (slower, perfect, faster): (u32, u32, u32), thanks: u32) -> Tally {
    Tally { likes, tempo: TempoTally { slower, perfect, faster }, thanks }
}

async fn a_dancer_counts_once_and_the_newest_counts(store: Store) {
    assert_eq!(store.tally(play_id()).await.unwrap(), Tally::default());
    let (like, unlike) = (Reaction::Like(true), Reaction::Like(false));
    let faster = Reaction::Tempo(Some(TempoWish::Faster));
    let batch = [
        reaction("one", like, 10),
        reaction("one", like, 11),
        reaction("two", like, 10),
        reaction("two", faster, 10),
        reaction("two", Reaction::Tempo(Some(TempoWish::Slower)), 9),
        reaction("three", Reaction::Thanks, 10),
    ];
    store.record(&batch, &[], None).await.unwrap();
    assert_eq!(store.tally(play_id()).await.unwrap(), tally(2, (0, 0, 1), 1));
    // The same again, an older one that comes late, and a change of mind.
    store.record(&batch, &[], None).await.unwrap();
    let changes =
        [reaction("one", unlike, 12), reaction("two", unlike, 9), reaction("two", Reaction::Tempo(None), 12)];
    store.record(&changes, &[], None).await.unwrap();
    assert_eq!(store.tally(play_id()).await.unwrap(), tally(1, (0, 0, 0), 1));
    let Record::Reaction(thanks) = reaction("three", Reaction::Thanks, 10) else { panic!() };
    assert!(store.reactions(play_id(), 100).await.unwrap().contains(&thanks));
}

async fn a_forgotten_dancer_leaves_the_tally(store: Store) {
    let said = [reaction("one", Reaction::Like(true), 10), reaction("two", Reaction::Like(true), 10)];
    store.record(&said, &[], None).await.unwrap();
    // In one batch with what was said before and after.
    let forget = Record::Forget { dancer: "one".parse().unwrap(), at_ms: 20 };
    let batch = [forget, reaction("one", Reaction::Tempo(Some(TempoWish::Faster)), 20)];
    store.record(&batch, &[], None).await.unwrap();
    // What comes late, from a phone that kept it, is not kept again. What is said anew is.
    store.record(&said, &[], None).await.unwrap();
    assert_eq!(store.tally(play_id()).await.unwrap(), tally(2, (0, 0, 1), 0));
    assert_eq!(store.reactions(play_id(), 100).await.unwrap().len(), 1);
    store.record(&[reaction("one", Reaction::Thanks, 21)], &[], None).await.unwrap();
    assert_eq!(store.tally(play_id()).await.unwrap(), tally(2, (0, 0, 1), 1));
    assert_eq!(store.reactions(play_id(), 100).await.unwrap().len(), 2);
}

async fn old_reactions_are_summed_up(store: Store) {
    let said = [
        reaction("one", Reaction::Like(true), 10),
        reaction("two", Reaction::Like(true), 20),
        reaction("two", Reaction::Tempo(Some(TempoWish::Perfect)), 20),
        reaction("three", Reaction::Like(false), 20),
    ];
    store.record(&said, &[], None).await.unwrap();
    assert_eq!(store.fold_reactions(20).await.unwrap(), 0, "somebody said something since");
    assert_eq!(store.fold_reactions(21).await.unwrap(), 1);
    assert_eq!(store.fold_reactions(21).await.unwrap(), 0);
    assert_eq!(store.reactions(play_id(), 100).await.unwrap(), []);
    assert_eq!(store.tally(play_id()).await.unwrap(), tally(2, (0, 1, 0), 0));
    store.record(&[reaction("four", Reaction::Like(true), 30)], &[], None).await.unwrap();
    assert_eq!(store.tally(play_id()).await.unwrap(), tally(3, (0, 1, 0), 0));
}

async fn a_lease_has_one_holder(store: Store) {
    let (mut first, mut second, start) = (Watch::default(), Watch::default(), Instant::now());
    let held = store.try_lease("archive", "one", &mut first, start).await.unwrap().unwrap();
    assert_eq!(held.fence, 1);
    assert!(store.try_lease("archive", "two", &mut second, start).await.unwrap().is_none());
    assert!(store.renew(&held).await.unwrap());
    store.release(held).await.unwrap();
    let next =
        store.try_lease("archive", "two", &mut second, start + Duration::from_millis(1)).await.unwrap();
    assert_eq!(next.unwrap().fence, 2, "given back, it need not be waited for");
}

async fn who_lost_the_lease_writes_nothing(store: Store) {
    let (mut first, mut second, start) = (Watch::default(), Watch::default(), Instant::now());
    let mut lost = store.try_lease("archive", "one", &mut first, start).await.unwrap().unwrap();
    store.record(&[play(report("booth", "One", PlayKind::Started, 10))], &[], Some(&lost)).await.unwrap();
    // It hangs, or is cut off from the database: the operating system's lock, where there is one, is gone with it.
    lost.let_go_of_lock();
    let mut taken = store.try_lease("archive", "two", &mut second, start).await.unwrap();
    if taken.is_none() {
        taken = store.try_lease("archive", "two", &mut second, start + LEASE_LASTS).await.unwrap();
    }
    assert_eq!(taken.unwrap().fence, 2);
    assert!(!store.renew(&lost).await.unwrap());
    let late = [play(report("booth", "Two", PlayKind::Corrected, 20))];
    assert!(matches!(store.record(&late, &[], Some(&lost)).await, Err(Error::Superseded)));
    assert_eq!(titles(&store).await, ["One"]);
}

async fn a_desk_is_remembered(store: Store) {
    let desk = |app: &str, skew_ms| DeskRow {
        floor: main_floor(),
        desk: "booth".parse().unwrap(),
        source: Some("virtualdj".into()),
        app: app.into(),
        skew_ms,
        heard_ms: 5,
    };
    let records = [Record::Desk(desk("pika 0.1", Some(-1_500))), Record::Desk(desk("pika 0.2", None))];
    for record in records {
        store.record(&[record], &[], None).await.unwrap();
    }
    assert_eq!(store.desks(&"tonight".parse().unwrap()).await.unwrap(), [desk("pika 0.2", Some(-1_500))]);
}

/// What is written after the disk was full is on disk, for others to see.
#[tokio::test]
async fn a_full_disk_is_away_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = kit::disk::Disk::mount(&folder.path().join("disk"), 8) else { return };
    let database = Database::sqlite(&folder.path().join("disk"));
    let (store, other) = (opened(database).await, Database::sqlite(&folder.path().join("disk")).store());
    store.record(&[numbered(0, "Before", 10)], &[], None).await.unwrap();
    disk.fill();
    for round in 1..=5 {
        let batch: Vec<_> = (0..200).map(|n| numbered(n, &format!("Full {round}"), 10 + round)).collect();
        let outcome = tokio::time::timeout(kit::wait::PATIENCE, store.record(&batch, &[], None)).await;
        let outcome = outcome.expect("an answer");
        assert!(matches!(outcome, Err(Error::Away(_))), "{outcome:?}");
    }
    disk.free();
    for round in 6..=9 {
        let title = format!("Free {round}");
        store.record(&[numbered(0, &title, 10 + round)], &[], None).await.unwrap();
        let seen = other.recent(&main_floor(), 1).await.unwrap();
        assert_eq!(seen[0].1.play.track.title.as_deref(), Some(&*title));
    }
}

#[tokio::test]
async fn an_absent_database_is_away_and_not_refused() {
    let store = Store::open(&"postgres://pika@127.0.0.1:9/pika".parse().unwrap()).unwrap();
    assert!(matches!(store.migrate().await, Err(Error::Away(_))));
    let store = Store::open(&"sqlite:///nonexistent/folder/pika.db".parse().unwrap()).unwrap();
    assert!(matches!(store.tokens().await, Err(Error::Away(_))));
}
