//! What the DJ says and asks, what dancers answer, and what desks are asked to do.

use pika_store::{AnnouncementRow, AskedPoll, LastSongRow, PollRow, Record, RequestRow, Store, VoteRow};
use protocol::{EventId, MessageId, Request};

use crate::main_floor;

fn id(n: u8) -> MessageId {
    MessageId::at(i64::from(n), [n; 10])
}

fn tonight() -> EventId {
    "tonight".parse().unwrap()
}

fn poll(n: u8, asked_ms: i64, closes_ms: Option<i64>) -> Record {
    Record::Poll(PollRow {
        id: id(n),
        floor: main_floor(),
        question: format!("Question {n}?"),
        options: vec!["Bachata".into(), "Salsa".into()],
        by: Some("booth".parse().unwrap()),
        asked_ms,
        closes_ms,
    })
}

fn vote(n: u8, dancer: &str, option: u8, at_ms: i64) -> Record {
    let dancer = dancer.parse().unwrap();
    Record::Vote(VoteRow { floor: main_floor(), poll_id: id(n), dancer, option, at_ms })
}

async fn record(store: &Store, records: &[Record]) {
    store.record(records, &[], None).await.unwrap();
    // What comes again changes nothing.
    store.record(records, &[], None).await.unwrap();
}

async fn votes(store: &Store) -> Vec<(String, u32, u32)> {
    let polls = store.polls_of_event(&tonight()).await.unwrap();
    polls.into_iter().map(|poll| (poll.question, poll.options[0].1, poll.options[1].1)).collect()
}

pub async fn the_newest_announcement_is_the_last(store: Store) {
    assert_eq!(store.last_announcement(&main_floor()).await.unwrap(), None);
    let row = |n: u8, text: &str, at_ms| AnnouncementRow {
        id: id(n),
        floor: main_floor(),
        text: text.into(),
        by: Some("booth".parse().unwrap()),
        at_ms,
        until_ms: Some(900),
    };
    let newest = row(1, "Taxi at 02:30", 20);
    let elsewhere = AnnouncementRow { floor: "tonight/attic".parse().unwrap(), ..row(3, "Attic", 30) };
    let records = [newest.clone(), row(2, "Welcome", 10), elsewhere].map(Record::Announcement);
    record(&store, &records).await;
    assert_eq!(store.last_announcement(&main_floor()).await.unwrap(), Some(newest));
    let cleared = AnnouncementRow { by: None, until_ms: None, ..row(4, "", 40) };
    record(&store, &[Record::Announcement(cleared.clone())]).await;
    assert_eq!(store.last_announcement(&main_floor()).await.unwrap(), Some(cleared));
}

pub async fn a_vote_counts_once_and_only_while_asked(store: Store) {
    // Asked and answered in one batch.
    let mut elsewhere = vote(1, "six", 0, 20);
    if let Record::Vote(row) = &mut elsewhere {
        row.floor = "tonight/attic".parse().unwrap();
    }
    let batch = [
        vote(1, "one", 0, 20),
        poll(1, 10, Some(50)),
        vote(1, "one", 1, 30),
        vote(1, "one", 0, 25),
        vote(1, "two", 1, 50),
        vote(1, "three", 0, 51),
        vote(1, "four", 2, 20),
        vote(9, "five", 0, 20),
        elsewhere,
    ];
    record(&store, &batch).await;
    let asked = AskedPoll {
        id: id(1),
        floor: "main".parse().unwrap(),
        question: "Question 1?".into(),
        options: vec![("Bachata".into(), 0), ("Salsa".into(), 2)],
        asked_ms: 10,
        closes_ms: Some(50),
    };
    assert_eq!(store.polls_of_event(&tonight()).await.unwrap(), [asked]);
    for (dancer, expected) in [("one", Some(1)), ("two", Some(1)), ("three", None)] {
        let dancer = dancer.parse().unwrap();
        assert_eq!(store.vote_of_dancer(id(1), &dancer).await.unwrap(), expected);
    }
    // The DJ closes it early; what was said before that and comes late counts.
    let closed = Record::ClosedPoll { floor: main_floor(), poll_id: id(1), at_ms: 40 };
    let elsewhere = Record::ClosedPoll { floor: "tonight/attic".parse().unwrap(), poll_id: id(1), at_ms: 15 };
    record(&store, &[closed, elsewhere]).await;
    record(&store, &[vote(1, "seven", 0, 45), vote(1, "eight", 0, 40)]).await;
    assert_eq!(votes(&store).await, [("Question 1?".into(), 1, 2)]);
    let last = store.last_poll(&main_floor()).await.unwrap().unwrap();
    assert_eq!((last.poll.id, last.poll.closes_ms, last.folded), (id(1), Some(40), vec![0, 0]));
    assert_eq!(last.poll.options, ["Bachata", "Salsa"]);
    assert_eq!(store.votes(&last.poll, 100).await.unwrap().len(), 3);
    assert_eq!(store.votes(&last.poll, 1).await.unwrap().len(), 1);
}

pub async fn a_poll_is_closed_by_the_next_whatever_came_first(store: Store) {
    record(&store, &[poll(3, 300, None)]).await;
    record(&store, &[poll(1, 100, None), poll(2, 200, Some(250))]).await;
    let closes: Vec<Option<i64>> =
        store.polls_of_event(&tonight()).await.unwrap().iter().map(|poll| poll.closes_ms).collect();
    assert_eq!(closes, [Some(200), Some(250), None]);
    let changed =
        [poll(3, 1, Some(2)), vote(1, "one", 0, 200), vote(1, "two", 0, 201), vote(3, "one", 0, 999)];
    record(&store, &changed).await;
    let expected = [("Question 1?", 1), ("Question 2?", 0), ("Question 3?", 1)];
    assert_eq!(votes(&store).await, expected.map(|(question, votes)| (question.to_owned(), votes, 0)));
}

pub async fn votes_of_a_forgotten_dancer_stay_counted(store: Store) {
    let said = [vote(1, "one", 0, 20), vote(1, "two", 0, 20)];
    record(&store, &[poll(1, 10, None), poll(2, 9, None)]).await;
    record(&store, &said).await;
    let forget = Record::Forget { dancer: "one".parse().unwrap(), at_ms: 20 };
    store.record(&[forget], &[], None).await.unwrap();
    // What a phone sends late is not kept again.
    record(&store, &said).await;
    assert_eq!(votes(&store).await[1], ("Question 1?".into(), 2, 0));
    assert_eq!(store.vote_of_dancer(id(1), &"one".parse().unwrap()).await.unwrap(), None);
    let last = store.last_poll(&main_floor()).await.unwrap().unwrap();
    assert_eq!(last.folded, [1, 0]);
    assert_eq!(store.votes(&last.poll, 100).await.unwrap().len(), 1);
}

pub async fn old_votes_are_summed_up(store: Store) {
    let said = [poll(1, 10, None), vote(1, "one", 0, 20), vote(1, "two", 0, 20), vote(1, "three", 1, 30)];
    record(&store, &said).await;
    store.fold_reactions(30).await.unwrap();
    let last = store.last_poll(&main_floor()).await.unwrap().unwrap();
    assert_eq!((store.votes(&last.poll, 100).await.unwrap().len(), last.folded), (1, vec![2, 0]));
    assert_eq!(votes(&store).await, [("Question 1?".into(), 2, 1)]);
}

pub async fn a_request_is_kept_once(store: Store) {
    let play_id = protocol::PlayId::at(1, [1; 10]);
    let request = Record::Request(RequestRow {
        id: id(1),
        floor: main_floor(),
        desk: "booth".parse().unwrap(),
        request: Request::Hide { play_id, on: true },
        at_ms: 10,
    });
    record(&store, &[request.clone(), request]).await;
    let rows = dumped(&store, "requests").await;
    let detail = format!(r#"{{"on":true,"play_id":"{play_id}"}}"#);
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["what"], &rows[0]["detail"]), (&"hide".into(), &detail.into()));
}

pub async fn each_word_of_the_last_song_is_kept_once(store: Store) {
    let said = |n: u8, on: bool| {
        let by = Some("booth".parse().unwrap());
        Record::LastSong(LastSongRow { id: id(n), floor: main_floor(), on, by, at_ms: i64::from(n) })
    };
    record(&store, &[said(1, true), said(2, false), said(1, true)]).await;
    let rows = dumped(&store, "last_songs").await;
    let rows: Vec<(i64, i64)> =
        rows.iter().map(|row| (row["at_ms"].as_i64().unwrap(), row["said"].as_i64().unwrap())).collect();
    assert_eq!(rows, [(1, 1), (2, 0)]);
}

async fn dumped(store: &Store, table: &str) -> Vec<serde_json::Value> {
    let mut dump = Vec::new();
    store.dump(Some(&tonight()), &mut dump).await.unwrap();
    let lines = std::str::from_utf8(&dump).unwrap().lines();
    let rows = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.filter_map(|mut row| row.get_mut(table).map(serde_json::Value::take)).collect()
}
