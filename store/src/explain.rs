//! Every question that pages ask finds its rows by an index, on both engines: a night must not be slower for those
//! that came before it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sqlx::{Connection, PgConnection, Row, SqliteConnection};

use crate::engine::Store;
use crate::{archive, pages, reactions, voice};

enum Value {
    Text(&'static str),
    Integer(i64),
}

use Value::{Integer, Text};

/// What is asked, and with what.
const QUESTIONS: &[(&str, &str, &[Value])] = &[
    ("recent plays of a floor", archive::RECENT, &[Text("e7"), Text("main"), Integer(20)]),
    ("the last set of a floor", archive::LAST_SET, &[Text("e7"), Text("main")]),
    ("cursors of an event", archive::CURSORS, &[Text("e7")]),
    ("a cover", archive::COVER, &[Text("c777")]),
    ("desks of an event", archive::DESKS, &[Text("e7")]),
    ("sets of an event", pages::SETS_OF_EVENT, &[Text("e7")]),
    ("a set", pages::SET, &[Text("s77")]),
    ("plays and tallies of a set", pages::PLAYS_OF_SET, &[Text("s77")]),
    ("a play of a floor", pages::PLAY, &[Text("p777"), Text("e277"), Text("main")]),
    ("what a dancer said lately", pages::REACTIONS_OF_DANCER, &[Text("d7"), Integer(5), Integer(500)]),
    ("likes of a dancer", pages::LIKES_OF_DANCER, &[Text("d7"), Integer(50)]),
    ("top tracks of an event", pages::TOP_TRACKS, &[Text("e7"), Integer(20)]),
    ("the tally of a play", reactions::TALLY, &[Text("p777")]),
    ("reactions to a play", reactions::OF_PLAY, &[Text("p777"), Integer(100)]),
    ("plays that a dancer reacted to", reactions::PLAYS_OF_DANCER, &[Text("d7")]),
    ("reactions that are old enough", reactions::TO_FOLD, &[Integer(1_000), Integer(200)]),
    ("the last announcement on a floor", voice::LAST_ANNOUNCEMENT, &[Text("e7"), Text("main")]),
    ("the last poll on a floor", voice::LAST_POLL, &[Text("e7"), Text("main")]),
    ("options of a poll", voice::OPTIONS, &[Text("q77")]),
    ("what a vote has to fit", voice::BALLOT, &[Text("q77")]),
    ("votes in a poll", voice::VOTES, &[Text("q77"), Integer(100)]),
    ("polls of an event", voice::POLLS_OF_EVENT, &[Text("e7")]),
    ("the vote of a dancer", voice::VOTE_OF_DANCER, &[Text("q77"), Text("d7")]),
    ("votes of a dancer to count without the dancer", voice::FOLD_DANCER, &[Text("d7"), Integer(1_000)]),
    ("votes of a dancer", voice::DROP_DANCER, &[Text("d7"), Integer(1_000)]),
    ("votes that are old enough", voice::DROP_OLD, &[Integer(1_000)]),
    ("polls that another one followed", voice::CLOSE_FORMER, &[Text("e7"), Text("main")]),
];

/// Nothing helps to answer this one: the test would see it.
const CONTROL: (&str, &str, &[Value]) = ("a title", "select id from plays where title = $1", &[Text("t7")]);

/// 500 events with 200 plays each: so many that no planner takes all rows to find a few.
const FILL: &[&str] = &[
    "
insert into plays (id, event_id, floor_id, desk_id, set_id, started_ms, withdrawn, title, revision_ms)
with recursive n (i) as (select 0 union all select i + 1 from n where i < 99999)
select 'p' || i, 'e' || (i % 500), 'main', 'booth', 's' || (i % 5000), i, 0, 't' || (i % 900), i
from n",
    "
insert into sets (id, event_id, floor_id, desk_id, started_ms)
with recursive n (i) as (select 0 union all select i + 1 from n where i < 4999)
select 's' || i, 'e' || (i % 500), 'main', 'booth', i
from n",
    "
insert into reactions (play_id, kind, dancer, value, revision_ms)
with recursive n (i) as (select 0 union all select i + 1 from n where i < 99999)
select 'p' || i, 'like', 'd' || (i % 3000), 1, i
from n",
    "
insert into tallies (play_id, likes, slower, perfect, faster, thanks, open, last_ms)
with recursive n (i) as (select 0 union all select i + 1 from n where i < 99999)
select 'p' || i, i % 9, 0, 0, 0, 0, 1, i
from n",
    "
insert into cursors (event_id, producer, journal, seq, updated_ms)
with recursive n (i) as (select 0 union all select i + 1 from n where i < 9999)
select 'e' || (i % 500), 'booth' || i, 'j', i, i
from n",
    "
insert into desks (event_id, desk_id, floor_id, app, heard_ms)
with recursive n (i) as (select 0 union all select i + 1 from n where i < 9999)
select 'e' || (i % 500), 'booth' || i, 'main', 'pika', i
from n",
    "
insert into covers (id, jpeg, stored_ms)
with recursive n (i) as (select 0 union all select i + 1 from n where i < 9999)
select 'c' || i, '/9j/', i
from n",
    "
insert into announcements (id, event_id, floor_id, text, at_ms)
with recursive n (i) as (select 0 union all select i + 1 from n where i < 9999)
select 'a' || i, 'e' || (i % 500), 'main', 'a taxi', i
from n",
    "
insert into polls (id, event_id, floor_id, question, asked_ms)
with recursive n (i) as (select 0 union all select i + 1 from n where i < 9999)
select 'q' || i, 'e' || (i % 500), 'main', 'what next', i
from n",
    "
insert into poll_options (poll_id, position, text)
with recursive n (i) as (select 0 union all select i + 1 from n where i < 19999)
select 'q' || (i / 2), i % 2, 'salsa'
from n",
    "
insert into poll_votes (poll_id, dancer, option, revision_ms)
with recursive n (i) as (select 0 union all select i + 1 from n where i < 99999)
select 'q' || (i / 10), 'd' || (i % 3000), i % 2, i
from n",
    "analyze",
];

/// The lines of every plan. The engines say it in different words, so each is asked in its own.
macro_rules! plans {
    ($connection:expr, $explain:literal, $column:literal) => {{
        for statement in FILL {
            sqlx::query(*statement).execute(&mut $connection).await.unwrap();
        }
        let mut plans = Vec::new();
        for (what, question, values) in QUESTIONS.iter().chain([&CONTROL]) {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(format!("{} {question}", $explain)));
            for value in *values {
                query = match value {
                    Text(text) => query.bind(*text),
                    Integer(integer) => query.bind(*integer),
                };
            }
            let rows = query.fetch_all(&mut $connection).await.unwrap();
            let lines: Vec<String> = rows.iter().map(|row| row.get($column)).collect();
            plans.push((*what, lines));
        }
        plans
    }};
}

async fn migrate(url: &str) {
    let store = Store::open(&url.parse().unwrap()).unwrap();
    store.migrate().await.unwrap();
    store.close().await;
}

fn assert_none_but_the_control(scan: &str, mut plans: Vec<(&str, Vec<String>)>) {
    let (_, control) = plans.pop().unwrap();
    assert!(control.iter().any(|line| line.contains(scan)), "{control:#?}");
    assert_eq!(plans.len(), QUESTIONS.len());
    for (what, lines) in plans {
        assert!(!lines.is_empty() && lines.iter().all(|line| !line.contains(scan)), "{what}: {lines:#?}");
    }
}

#[tokio::test]
async fn sqlite_finds_everything_by_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let url = kit::Database::sqlite(folder.path()).url;
    migrate(&url).await;
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    assert_none_but_the_control("SCAN", plans!(connection, "explain query plan", "detail"));
}

#[tokio::test]
async fn postgres_finds_everything_by_an_index() {
    let url = kit::Database::postgres().url;
    migrate(&url).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    assert_none_but_the_control("Seq Scan", plans!(connection, "explain", "QUERY PLAN"));
}
