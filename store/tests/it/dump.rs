//! The dump: the same bytes from either engine, and nothing of a damaged one is taken.

use std::collections::BTreeMap;

use pika_store::{Store, check_dump};
use serde_json::Value;

/// Every kind of row, as version 2 writes it: odd texts, nulls, the largest numbers. It never changes.
const SAMPLE: &str = include_str!("samples/dump-2.jsonl");

/// The same as version 1 wrote it, which knew no covers.
const FIRST: &str = include_str!("samples/dump-1.jsonl");

async fn dump(store: &Store, event: Option<&str>) -> String {
    let mut out = Vec::new();
    store.dump(event.map(|event| event.parse().unwrap()).as_ref(), &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

fn table(line: &str) -> String {
    let line: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
    line.into_keys().next().unwrap()
}

pub async fn a_dump_that_was_loaded_is_dumped_the_same(store: Store) {
    assert!(store.is_empty().await.unwrap());
    let rows = store.load(&mut SAMPLE.as_bytes()).await.unwrap();
    assert_eq!(rows as usize, SAMPLE.lines().count() - 2);
    assert!(!store.is_empty().await.unwrap());
    assert_eq!(dump(&store, None).await, SAMPLE);
    store.load(&mut SAMPLE.as_bytes()).await.unwrap();
    assert_eq!(dump(&store, None).await, SAMPLE, "a second time changes nothing");
}

pub async fn a_dump_of_an_older_release_is_read(store: Store) {
    store.load(&mut FIRST.as_bytes()).await.unwrap();
    let rows = |text: &str| {
        text.lines().skip(1).filter(|line| !line.contains("\"end\"")).map(str::to_owned).collect()
    };
    let (now, before): (Vec<String>, Vec<String>) = (rows(&dump(&store, None).await), rows(FIRST));
    let without: Vec<String> = now.iter().map(|line| line.replace(",\"cover\":null", "")).collect();
    assert_eq!(without, before);
    assert_ne!(now, before);
}

pub async fn a_dump_of_an_event_has_what_belongs_to_it(store: Store) {
    store.load(&mut SAMPLE.as_bytes()).await.unwrap();
    let tonight = dump(&store, Some("tonight")).await;
    check_dump(&mut tonight.as_bytes()).unwrap();
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for line in tonight.lines().skip(1) {
        *rows.entry(table(line)).or_default() += 1;
        assert!(!line.contains("budafest"), "{line}");
    }
    let rows: Vec<(&str, usize)> = rows.iter().map(|(table, rows)| (table.as_str(), *rows)).collect();
    let expected = [
        ("announcements", 1),
        ("covers", 1),
        ("cursors", 2),
        ("desks", 1),
        ("end", 1),
        ("events", 1),
        ("floors", 1),
        ("last_songs", 1),
        ("plays", 3),
        ("poll_options", 2),
        ("poll_votes", 2),
        ("polls", 1),
        ("reactions", 6),
        ("requests", 1),
        ("sets", 1),
        ("tallies", 1),
        ("tokens", 2),
    ];
    assert_eq!(rows, expected);
    assert_eq!(dump(&store, Some("nowhere")).await.lines().count(), 2);
}

pub async fn an_interrupted_load_is_completed_by_the_next(store: Store) {
    let half = &SAMPLE[..SAMPLE.len() / 2];
    store.load(&mut half.as_bytes()).await.unwrap_err();
    store.load(&mut SAMPLE.as_bytes()).await.unwrap();
    assert_eq!(dump(&store, None).await, SAMPLE);
}

pub async fn the_newer_row_stays_whichever_came_first(store: Store) {
    let of = |play: (&str, i64), revoked: &str, likes: (i64, i64)| {
        [
            format!(
                r#"{{"tokens":{{"name":"booth","kind":"desk","event_id":"e","floor_id":null,"sha256":"x","created_ms":1,"expires_ms":null,"revoked_ms":{revoked},"verifier":null}}}}"#
            ),
            format!(
                r#"{{"plays":{{"id":"p","event_id":"e","floor_id":"main","desk_id":"booth","set_id":"s","started_ms":1,"ended_ms":null,"withdrawn":0,"artist":null,"title":"{}","remix":null,"album":null,"genre":null,"year":null,"bpm":null,"musical_key":null,"duration_ms":null,"cover":null,"revision_ms":{}}}}}"#,
                play.0, play.1
            ),
            format!(
                r#"{{"reactions":{{"play_id":"p","kind":"like","dancer":"d","value":{},"revision_ms":{}}}}}"#,
                likes.0, likes.1
            ),
        ]
    };
    let newer = finished(&of(("Right", 20), "7", (0, 20)));
    let older = finished(&of(("Misspelt", 10), "null", (1, 10)));
    for dump in [&older, &newer, &older] {
        store.load(&mut dump.as_bytes()).await.unwrap();
    }
    assert_eq!(dump(&store, None).await, newer);
}

pub async fn what_was_forgotten_here_is_not_brought_back(store: Store) {
    let dancer: protocol::DancerId = "a-dancer".parse().unwrap();
    store.load(&mut SAMPLE.as_bytes()).await.unwrap();
    store
        .record(&[pika_store::Record::Forget { dancer: dancer.clone(), at_ms: 15 }], &[], None)
        .await
        .unwrap();
    store.load(&mut SAMPLE.as_bytes()).await.unwrap();
    let dump = dump(&store, None).await;
    let left: Vec<&str> = dump.lines().filter(|line| line.contains("\"a-dancer\"")).collect();
    assert!(left.len() == 1 && left[0].contains("\"revision_ms\":16"), "what came later stays: {left:?}");
}

/// A dump of these rows.
fn finished(rows: &[String]) -> String {
    let header = SAMPLE.lines().next().unwrap();
    let text: String =
        [header].into_iter().chain(rows.iter().map(String::as_str)).map(|line| format!("{line}\n")).collect();
    format!("{text}{}\n", end(&text, rows.len()))
}

fn end(text: &str, rows: usize) -> String {
    use sha2::Digest;
    let sum: String = hex::encode(sha2::Sha256::digest(text.as_bytes()));
    format!(r#"{{"end":{{"rows":{rows},"sha256":"{sum}"}}}}"#)
}

fn fault(dump: &[u8]) -> String {
    format!("{:#}", check_dump(&mut &*dump).unwrap_err())
}

#[test]
fn a_dump_that_was_cut_is_refused() {
    check_dump(&mut SAMPLE.as_bytes()).unwrap();
    for length in (0..SAMPLE.len()).step_by(7) {
        fault(&SAMPLE.as_bytes()[..length]);
    }
    let lines: Vec<&str> = SAMPLE.lines().collect();
    for left_out in 1..lines.len() - 1 {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != left_out);
        let dump: String = kept.map(|(_, line)| format!("{line}\n")).collect();
        assert!(fault(dump.as_bytes()).contains("damaged"));
    }
}

#[test]
fn a_damaged_line_is_named() {
    for (damage, said) in [
        (r#"{"plays":{}}"#, "line 2 of the dump is damaged: `plays` has 19 columns"),
        (r#"{"dragons":{}}"#, "line 2 of the dump is damaged: there is no table `dragons`"),
        ("{}", "line 2 of the dump is damaged: it is not one row"),
        ("\u{0}", "line 2 of the dump is damaged: expected value at line 1 column 1"),
        (
            r#"{"forgotten_dancers":{"dancer_sha256":"x","at_ms":"y"}}"#,
            r#"line 2 of the dump is damaged: `"y"` does not fit `at_ms`"#,
        ),
        (
            r#"{"forgotten_dancers":{"dancer_sha256":"x","at":1}}"#,
            "line 2 of the dump is damaged: `forgotten_dancers` lacks `at_ms`",
        ),
    ] {
        assert_eq!(fault(finished(&[damage.to_owned()]).as_bytes()), said);
    }
    let long = "x".repeat(2 << 20);
    assert_eq!(
        fault(finished(&[long]).as_bytes()),
        "line 2 of the dump is damaged: it has no end",
        "a file without lines does not fill the memory"
    );
    let changed = SAMPLE.replace("Smooth Operator", "Smooth operator");
    assert!(fault(changed.as_bytes()).contains("not those that were written"));
    assert!(fault(format!("{SAMPLE}{SAMPLE}").as_bytes()).contains("goes on after its last line"));
}

#[test]
fn what_is_no_dump_or_a_newer_one_is_refused() {
    for other in ["", "\n", "SQLite format 3\0", "{\"plays\":{}}\n", "[1]\n"] {
        let said = fault(other.as_bytes());
        assert!(said.contains("no dump of a Pika archive") || said.contains("has no end"), "{said}");
    }
    let newer = SAMPLE.replacen(r#"{"pika_dump":2"#, r#"{"pika_dump":3"#, 1);
    assert!(fault(newer.as_bytes()).contains("format version 3"));
}

/// A column that the dump does not know would be lost on the way to another server.
#[tokio::test]
async fn every_table_and_column_is_in_the_dump() {
    let folder = tempfile::tempdir().unwrap();
    let database = kit::Database::sqlite(folder.path());
    let store = super::opened(database).await;
    store.close().await;
    let file = folder.path().join("archive.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let columns: Vec<(String, String)> = sqlx::query_as(
        "
select t.name, c.name
from sqlite_master t
join pragma_table_info(t.name) c
where t.type = 'table'
    and t.name not in ('leases', 'pairings', '_sqlx_migrations', 'people', 'sessions', 'token_owners', 'token_uses', 'retired', 'event_settings', 'audit')",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(columns.len() > 50);
    for (table, column) in columns {
        let start = format!("{{\"{table}\":{{");
        let row = SAMPLE.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("no row of {table} in the dump"));
        assert!(row.contains(&format!("\"{column}\":")), "{table} without {column}");
    }
}
