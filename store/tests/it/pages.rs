//! What pages and exports ask: sets, their plays, likes and the most liked tracks.

use pika_store::{PlayRow, Reaction, ReactionRow, Record, SetRow, Store, Tally};
use protocol::{PlayId, PlayKind, SetId, TempoTally, TempoWish};

use crate::{main_floor, play, report};

/// A play of its own in the nth set, which started at `n * 1000`.
fn row(set: u8, title: &str, started_ms: i64, kind: PlayKind) -> PlayRow {
    let mut row = report("booth", title, kind, started_ms);
    row.report.set.id = SetId::at(i64::from(set), [set; 10]);
    row.report.set.started_ms = i64::from(set) * 1_000;
    row.report.play.id = id(started_ms);
    row.report.play.started_ms = started_ms;
    row
}

fn id(started_ms: i64) -> PlayId {
    PlayId::derived(&"booth".parse().unwrap(), "test", &started_ms.to_string())
}

fn said(dancer: &str, play: i64, reaction: Reaction, at_ms: i64) -> Record {
    Record::Reaction(ReactionRow { play_id: id(play), dancer: dancer.parse().unwrap(), reaction, at_ms })
}

/// Two sets at `tonight`, one at another event. A song was played in both sets, and one play was withdrawn.
async fn evening(store: &Store) {
    let mut elsewhere = row(3, "Elsewhere", 9_000, PlayKind::Started);
    elsewhere.floor = "other/main".parse().unwrap();
    let records = [
        play(row(2, "Encore", 2_300, PlayKind::Started)),
        play(row(1, "Second", 1_200, PlayKind::Started)),
        play(row(1, "First", 1_100, PlayKind::Started)),
        play(row(1, "Oops", 1_150, PlayKind::Withdrawn)),
        play(row(2, "First", 2_100, PlayKind::Started)),
        play(elsewhere),
        said("one", 1_100, Reaction::Like(true), 10),
        said("two", 1_100, Reaction::Like(true), 11),
        said("two", 1_100, Reaction::Tempo(Some(TempoWish::Slower)), 12),
        said("two", 1_100, Reaction::Thanks, 13),
        said("one", 2_100, Reaction::Like(true), 40),
        said("one", 2_300, Reaction::Like(true), 30),
        said("two", 2_300, Reaction::Like(true), 30),
        said("one", 1_200, Reaction::Like(true), 20),
        said("one", 1_200, Reaction::Like(false), 21),
        said("one", 1_150, Reaction::Like(true), 50),
        said("one", 9_000, Reaction::Like(true), 60),
    ];
    store.record(&records, &[], None).await.unwrap();
}

pub async fn an_event_has_its_sets_in_their_order(store: Store) {
    evening(&store).await;
    let sets = store.sets_of_event(&"tonight".parse().unwrap()).await.unwrap();
    let told: Vec<(i64, u32)> = sets.iter().map(|past| (past.set.started_ms, past.plays)).collect();
    assert_eq!(told, [(1_000, 2), (2_000, 2)], "withdrawn plays are not counted");
    let SetRow { floor, desk, dj, .. } = &sets[0].set;
    assert_eq!((floor, desk.as_str(), dj.as_deref()), (&main_floor(), "booth", Some("DJ")));
    assert_eq!(store.set(sets[1].set.id).await.unwrap().as_ref(), Some(&sets[1]));
    assert_eq!(store.set(SetId::at(7, [7; 10])).await.unwrap(), None);
    assert!(store.sets_of_event(&"nowhere".parse().unwrap()).await.unwrap().is_empty());
}

pub async fn a_set_has_its_plays_and_how_they_were_taken(store: Store) {
    evening(&store).await;
    let plays = store.plays_of_set(SetId::at(1, [1; 10])).await.unwrap();
    let titles: Vec<_> = plays.iter().map(|play| play.past.play.track.title.as_deref().unwrap()).collect();
    assert_eq!(titles, ["First", "Second"], "in their order, without the withdrawn one");
    let tempo = TempoTally { slower: 1, ..TempoTally::default() };
    assert_eq!(plays[0].tally, Tally { likes: 2, tempo, thanks: 1 });
    assert_eq!(plays[1].tally, Tally::default(), "taken back");
    assert_eq!(plays[0].past.dj.as_ref().unwrap().name, "DJ");
    assert!(store.plays_of_set(SetId::at(7, [7; 10])).await.unwrap().is_empty());
}

pub async fn a_dancer_finds_its_likes_the_newest_first(store: Store) {
    evening(&store).await;
    let likes = async |dancer: &str, limit| -> Vec<(String, i64)> {
        let likes = store.likes_of_dancer(&dancer.parse().unwrap(), limit).await.unwrap();
        let title = |like: pika_store::LikedPlay| (like.past.play.track.title.unwrap(), like.liked_ms);
        likes.into_iter().map(title).collect()
    };
    let all = [("Elsewhere", 60), ("First", 40), ("Encore", 30), ("First", 10)];
    assert_eq!(likes("one", 10).await, all.map(|(title, at)| (title.to_owned(), at)));
    assert_eq!(likes("one", 2).await.len(), 2);
    assert!(likes("nobody", 10).await.is_empty());
    let elsewhere = &store.likes_of_dancer(&"one".parse().unwrap(), 1).await.unwrap()[0];
    assert_eq!(elsewhere.floor, "other/main".parse().unwrap());
}

pub async fn the_plays_of_a_track_are_liked_together(store: Store) {
    evening(&store).await;
    let top = store.top_tracks(&"tonight".parse().unwrap(), 10).await.unwrap();
    let told: Vec<_> = top.iter().map(|top| (top.title.as_deref().unwrap(), top.likes, top.plays)).collect();
    assert_eq!(told, [("First", 3, 2), ("Encore", 2, 1)], "what nobody likes is not there");
    assert_eq!(store.top_tracks(&"tonight".parse().unwrap(), 1).await.unwrap().len(), 1);
}
