//! The archive as lines of JSON: the same bytes from either engine, and the way from one to the other.
//!
//! `docs/adr/0006-the-dump.md` says what the lines are and why.

use std::collections::HashMap;
use std::io::{BufRead, Read, Write};
use std::sync::LazyLock;

use anyhow::{Context, bail, ensure};
use futures_util::TryStreamExt;
use protocol::EventId;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use sqlx::Row;

use crate::engine::{Error, Store, on_engine};
use crate::reactions::{FORGOTTEN, hash};
use crate::rows::Rows;

/// What this release writes. It reads the older ones too.
const VERSION: u64 = 2;

/// Columns that came with a later version: in an older dump they are not there, and empty.
const ADDED: &[(&str, &str, u64)] = &[("plays", "cover", 2)];

/// Rows in a transaction: few enough to wait in memory, enough that commits do not cost more than rows.
const BATCH_ROWS: usize = 2_000;

/// Longer than any row can be. A file without line ends must not fill the memory.
const LINE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug)]
struct Table {
    name: &'static str,
    columns: &'static [Column],
    /// Every column in that order, of one event (`$1`) or of all (null), by primary key. Collation "C" is the
    /// order of the bytes, which SQLite has anyway and PostgreSQL only when asked.
    select: &'static str,
    /// Writes rows; where there is one already, the newer of the two stays.
    insert: LazyLock<Rows>,
}

#[derive(Debug)]
enum Column {
    Text(&'static str),
    Integer(&'static str),
    Float(&'static str),
}

use Column::{Float, Integer, Text};

/// In the order in which rows need each other. Not here: `leases`, which say what process is at work just now, and who may log in
/// (`people` and what belongs to them), for an archive that is moved is not yet in the hands of the same people.
static TABLES: [Table; 17] = [
    Table {
        name: "events",
        columns: &[Text("id"), Text("name"), Text("time_zone"), Text("accent"), Integer("created_ms")],
        select: r#"
select id, name, time_zone, accent, created_ms
from events
where cast($1 as text) is null
    or id = $1
order by id collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into events (id, name, time_zone, accent, created_ms)",
                5,
                "on conflict (id) do nothing",
            )
        }),
    },
    Table {
        name: "floors",
        columns: &[Text("event_id"), Text("id"), Text("name"), Integer("position")],
        select: r#"
select event_id, id, name, position
from floors
where cast($1 as text) is null
    or event_id = $1
order by event_id collate "C", id collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into floors (event_id, id, name, position)",
                4,
                "on conflict (event_id, id) do nothing",
            )
        }),
    },
    Table {
        name: "tokens",
        columns: &[
            Text("name"),
            Text("kind"),
            Text("event_id"),
            Text("floor_id"),
            Text("sha256"),
            Integer("created_ms"),
            Integer("expires_ms"),
            Integer("revoked_ms"),
            Text("verifier"),
        ],
        select: r#"
select name, kind, event_id, floor_id, sha256, created_ms, expires_ms, revoked_ms, verifier
from tokens
where cast($1 as text) is null
    or event_id = $1
order by name collate "C""#,
        // What one side has revoked is not let in again by the other.
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into tokens (name, kind, event_id, floor_id, sha256, created_ms, expires_ms, revoked_ms, verifier)",
                9,
                "on conflict (name) do update set
    revoked_ms = excluded.revoked_ms
where tokens.sha256 = excluded.sha256
    and tokens.revoked_ms is null",
            )
        }),
    },
    Table {
        name: "sets",
        columns: &[
            Text("id"),
            Text("event_id"),
            Text("floor_id"),
            Text("desk_id"),
            Text("dj"),
            Integer("started_ms"),
            Integer("ended_ms"),
        ],
        select: r#"
select id, event_id, floor_id, desk_id, dj, started_ms, ended_ms
from sets
where cast($1 as text) is null
    or event_id = $1
order by id collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into sets (id, event_id, floor_id, desk_id, dj, started_ms, ended_ms)",
                7,
                "on conflict (id) do update set
    dj = coalesce(sets.dj, excluded.dj),
    ended_ms = coalesce(sets.ended_ms, excluded.ended_ms)
where sets.event_id = excluded.event_id
    and sets.desk_id = excluded.desk_id",
            )
        }),
    },
    Table {
        name: "plays",
        columns: &[
            Text("id"),
            Text("event_id"),
            Text("floor_id"),
            Text("desk_id"),
            Text("set_id"),
            Integer("started_ms"),
            Integer("ended_ms"),
            Integer("withdrawn"),
            Text("artist"),
            Text("title"),
            Text("remix"),
            Text("album"),
            Text("genre"),
            Integer("year"),
            Float("bpm"),
            Text("musical_key"),
            Integer("duration_ms"),
            Text("cover"),
            Integer("revision_ms"),
        ],
        select: r#"
select
    id, event_id, floor_id, desk_id, set_id, started_ms, ended_ms, withdrawn,
    artist, title, remix, album, genre, year, bpm, musical_key, duration_ms, cover, revision_ms
from plays
where cast($1 as text) is null
    or event_id = $1
order by id collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into plays (
    id, event_id, floor_id, desk_id, set_id, started_ms, ended_ms, withdrawn,
    artist, title, remix, album, genre, year, bpm, musical_key, duration_ms, cover, revision_ms)",
                19,
                "on conflict (id) do update set
    started_ms = excluded.started_ms,
    ended_ms = coalesce(excluded.ended_ms, plays.ended_ms),
    withdrawn = excluded.withdrawn,
    artist = excluded.artist,
    title = excluded.title,
    remix = excluded.remix,
    album = excluded.album,
    genre = excluded.genre,
    year = excluded.year,
    bpm = excluded.bpm,
    musical_key = excluded.musical_key,
    duration_ms = excluded.duration_ms,
    cover = excluded.cover,
    revision_ms = excluded.revision_ms
where plays.event_id = excluded.event_id
    and plays.desk_id = excluded.desk_id
    and plays.revision_ms < excluded.revision_ms",
            )
        }),
    },
    Table {
        name: "cursors",
        columns: &[
            Text("event_id"),
            Text("producer"),
            Text("journal"),
            Integer("seq"),
            Integer("updated_ms"),
        ],
        select: r#"
select event_id, producer, journal, seq, updated_ms
from cursors
where cast($1 as text) is null
    or event_id = $1
order by event_id collate "C", producer collate "C", journal collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into cursors (event_id, producer, journal, seq, updated_ms)",
                5,
                "on conflict (event_id, producer, journal) do update set
    seq = excluded.seq,
    updated_ms = excluded.updated_ms
where cursors.seq < excluded.seq",
            )
        }),
    },
    Table {
        name: "forgotten_dancers",
        columns: &[Text("dancer_sha256"), Integer("at_ms")],
        // They belong to no event, so they are in a dump of everything alone.
        select: r#"
select dancer_sha256, at_ms
from forgotten_dancers
where cast($1 as text) is null
order by dancer_sha256 collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into forgotten_dancers (dancer_sha256, at_ms)",
                2,
                "on conflict (dancer_sha256) do update set
    at_ms = excluded.at_ms
where forgotten_dancers.at_ms < excluded.at_ms",
            )
        }),
    },
    Table {
        name: "reactions",
        columns: &[Text("play_id"), Text("kind"), Text("dancer"), Integer("value"), Integer("revision_ms")],
        select: r#"
select play_id, kind, dancer, value, revision_ms
from reactions
where cast($1 as text) is null
    or exists (select 1 from plays where plays.id = reactions.play_id and plays.event_id = $1)
order by play_id collate "C", kind collate "C", dancer collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into reactions (play_id, kind, dancer, value, revision_ms)",
                5,
                "on conflict (play_id, kind, dancer) do update set
    value = excluded.value,
    revision_ms = excluded.revision_ms
where reactions.revision_ms < excluded.revision_ms",
            )
        }),
    },
    Table {
        name: "tallies",
        columns: &[
            Text("play_id"),
            Integer("likes"),
            Integer("slower"),
            Integer("perfect"),
            Integer("faster"),
            Integer("thanks"),
            Integer("folded_likes"),
            Integer("folded_slower"),
            Integer("folded_perfect"),
            Integer("folded_faster"),
            Integer("folded_thanks"),
            Integer("open"),
            Integer("last_ms"),
        ],
        select: r#"
select
    play_id, likes, slower, perfect, faster, thanks,
    folded_likes, folded_slower, folded_perfect, folded_faster, folded_thanks, open, last_ms
from tallies
where cast($1 as text) is null
    or exists (select 1 from plays where plays.id = tallies.play_id and plays.event_id = $1)
order by play_id collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into tallies (
    play_id, likes, slower, perfect, faster, thanks,
    folded_likes, folded_slower, folded_perfect, folded_faster, folded_thanks, open, last_ms)",
                13,
                "on conflict (play_id) do update set
    likes = excluded.likes,
    slower = excluded.slower,
    perfect = excluded.perfect,
    faster = excluded.faster,
    thanks = excluded.thanks,
    folded_likes = excluded.folded_likes,
    folded_slower = excluded.folded_slower,
    folded_perfect = excluded.folded_perfect,
    folded_faster = excluded.folded_faster,
    folded_thanks = excluded.folded_thanks,
    open = excluded.open,
    last_ms = excluded.last_ms
where tallies.last_ms < excluded.last_ms",
            )
        }),
    },
    Table {
        name: "desks",
        columns: &[
            Text("event_id"),
            Text("desk_id"),
            Text("floor_id"),
            Text("source"),
            Text("app"),
            Integer("skew_ms"),
            Integer("heard_ms"),
        ],
        select: r#"
select event_id, desk_id, floor_id, source, app, skew_ms, heard_ms
from desks
where cast($1 as text) is null
    or event_id = $1
order by event_id collate "C", desk_id collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into desks (event_id, desk_id, floor_id, source, app, skew_ms, heard_ms)",
                7,
                "on conflict (event_id, desk_id) do update set
    floor_id = excluded.floor_id,
    source = excluded.source,
    app = excluded.app,
    skew_ms = excluded.skew_ms,
    heard_ms = excluded.heard_ms
where desks.heard_ms < excluded.heard_ms",
            )
        }),
    },
    Table {
        name: "announcements",
        columns: &[
            Text("id"),
            Text("event_id"),
            Text("floor_id"),
            Text("text"),
            Text("desk_id"),
            Integer("at_ms"),
            Integer("until_ms"),
        ],
        select: r#"
select id, event_id, floor_id, text, desk_id, at_ms, until_ms
from announcements
where cast($1 as text) is null
    or event_id = $1
order by id collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into announcements (id, event_id, floor_id, text, desk_id, at_ms, until_ms)",
                7,
                "on conflict (id) do nothing",
            )
        }),
    },
    Table {
        name: "polls",
        columns: &[
            Text("id"),
            Text("event_id"),
            Text("floor_id"),
            Text("question"),
            Text("desk_id"),
            Integer("asked_ms"),
            Integer("closes_ms"),
        ],
        select: r#"
select id, event_id, floor_id, question, desk_id, asked_ms, closes_ms
from polls
where cast($1 as text) is null
    or event_id = $1
order by id collate "C""#,
        // What is closed on one side is closed.
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into polls (id, event_id, floor_id, question, desk_id, asked_ms, closes_ms)",
                7,
                "on conflict (id) do update set
    closes_ms = excluded.closes_ms
where polls.event_id = excluded.event_id
    and excluded.closes_ms is not null
    and (polls.closes_ms is null or polls.closes_ms > excluded.closes_ms)",
            )
        }),
    },
    Table {
        name: "poll_options",
        columns: &[Text("poll_id"), Integer("position"), Text("text"), Integer("folded_votes")],
        select: r#"
select poll_id, position, text, folded_votes
from poll_options
where cast($1 as text) is null
    or exists (select 1 from polls where polls.id = poll_options.poll_id and polls.event_id = $1)
order by poll_id collate "C", position"#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into poll_options (poll_id, position, text, folded_votes)",
                4,
                "on conflict (poll_id, position) do update set
    folded_votes = excluded.folded_votes
where poll_options.folded_votes < excluded.folded_votes",
            )
        }),
    },
    Table {
        name: "poll_votes",
        columns: &[Text("poll_id"), Text("dancer"), Integer("option"), Integer("revision_ms")],
        select: r#"
select poll_id, dancer, option, revision_ms
from poll_votes
where cast($1 as text) is null
    or exists (select 1 from polls where polls.id = poll_votes.poll_id and polls.event_id = $1)
order by poll_id collate "C", dancer collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into poll_votes (poll_id, dancer, option, revision_ms)",
                4,
                "on conflict (poll_id, dancer) do update set
    option = excluded.option,
    revision_ms = excluded.revision_ms
where poll_votes.revision_ms < excluded.revision_ms",
            )
        }),
    },
    Table {
        name: "requests",
        columns: &[
            Text("id"),
            Text("event_id"),
            Text("floor_id"),
            Text("desk_id"),
            Text("what"),
            Text("detail"),
            Integer("at_ms"),
        ],
        select: r#"
select id, event_id, floor_id, desk_id, what, detail, at_ms
from requests
where cast($1 as text) is null
    or event_id = $1
order by id collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into requests (id, event_id, floor_id, desk_id, what, detail, at_ms)",
                7,
                "on conflict (id) do nothing",
            )
        }),
    },
    Table {
        name: "last_songs",
        columns: &[
            Text("id"),
            Text("event_id"),
            Text("floor_id"),
            Text("desk_id"),
            Integer("said"),
            Integer("at_ms"),
        ],
        select: r#"
select id, event_id, floor_id, desk_id, said, at_ms
from last_songs
where cast($1 as text) is null
    or event_id = $1
order by id collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new(
                "insert into last_songs (id, event_id, floor_id, desk_id, said, at_ms)",
                6,
                "on conflict (id) do nothing",
            )
        }),
    },
    Table {
        name: "covers",
        columns: &[Text("id"), Text("jpeg"), Integer("stored_ms")],
        // Those that plays of the event name.
        select: r#"
select id, jpeg, stored_ms
from covers
where cast($1 as text) is null
    or id in (select cover from plays where event_id = $1)
order by id collate "C""#,
        insert: LazyLock::new(|| {
            Rows::new("insert into covers (id, jpeg, stored_ms)", 3, "on conflict (id) do nothing")
        }),
    },
];

// Whatever is empty holds nothing that a restore could destroy.
const HELD: &str = "
select count(*)
from (
    select id from events
    union all select id from plays
    union all select name from tokens) as held";

impl Store {
    /// Whether there is an event, a play or a token in the archive.
    pub async fn is_empty(&self) -> Result<bool, Error> {
        let (held,): (i64,) =
            on_engine!(&self.engine, read pool => sqlx::query_as(HELD).fetch_one(pool).await)?;
        Ok(held == 0)
    }

    /// Writes the archive, or what belongs to one event, as it is at one moment. Returns the number of rows.
    pub async fn dump(&self, event: Option<&EventId>, out: &mut (dyn Write + Send)) -> anyhow::Result<u64> {
        let mut lines = Lines { out, rows: 0, hash: Sha256::new() };
        let tables: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        // By hand: a map would put the names in its own order, and readers look at the first one.
        let (event_json, tables) = (json!(event), json!(tables));
        lines.write(&format!(r#"{{"pika_dump":{VERSION},"event":{event_json},"tables":{tables}}}"#))?;
        on_engine!(&self.engine, read pool => {
            let mut tx = pool.begin_with(self.engine.snapshot()).await.map_err(Error::from)?;
            for table in &TABLES {
                let mut rows = sqlx::query(table.select).bind(event.map(EventId::as_str)).fetch(&mut *tx);
                while let Some(row) = rows.try_next().await.map_err(Error::from)? {
                    let cell = |(at, column): (usize, &Column)| match column {
                        Text(_) => row.try_get(at).map(Cell::Text),
                        Integer(_) => row.try_get(at).map(Cell::Integer),
                        Float(_) => row.try_get(at).map(Cell::Float),
                    };
                    let cells: Result<Vec<Cell>, sqlx::Error> =
                        table.columns.iter().enumerate().map(cell).collect();
                    let cells = cells.map_err(Error::from)?;
                    lines.row(&DumpRow { line: 0, table, cells })?;
                }
            }
            tx.rollback().await.map_err(Error::from)?;
        });
        lines.end()
    }

    /// Writes the rows of a dump. What is there stays unless the dump has something newer, so a second run
    /// completes one that was interrupted. Returns the number of rows read.
    ///
    /// Rows before a damaged line may have been written when this fails: [`check_dump`] comes first.
    pub async fn load(&self, dump: &mut (dyn BufRead + Send)) -> anyhow::Result<u64> {
        let forgotten: Vec<(String, i64)> =
            on_engine!(&self.engine, read pool => sqlx::query_as(FORGOTTEN).fetch_all(pool).await)
                .map_err(Error::from)?;
        let forgotten: HashMap<String, i64> = forgotten.into_iter().collect();
        let mut reader = DumpReader::new(dump);
        loop {
            let mut batch = Vec::with_capacity(BATCH_ROWS);
            while batch.len() < BATCH_ROWS
                && let Some(row) = reader.row()?
            {
                batch.push(row);
            }
            if batch.is_empty() {
                return Ok(reader.rows);
            }
            batch.retain(|row| !row.is_forgotten(&forgotten));
            let tables = batch.chunk_by(|one, two| one.table.name == two.table.name);
            let statements = tables.flat_map(|rows| rows[0].table.insert.of(rows));
            on_engine!(&self.engine, write pool => {
                let mut tx = pool.begin().await.map_err(Error::from)?;
                for (statement, rows) in statements {
                    let mut query = sqlx::query(statement);
                    for cell in rows.iter().flat_map(|row| &row.cells) {
                        query = match cell {
                            Cell::Text(text) => query.bind(text.as_deref()),
                            Cell::Integer(integer) => query.bind(*integer),
                            Cell::Float(float) => query.bind(*float),
                        };
                    }
                    let tried = || {
                        let line = |row: Option<&DumpRow>| row.map_or(0, |row| row.line);
                        format!("write lines {} to {} of the dump", line(rows.first()), line(rows.last()))
                    };
                    query.execute(&mut *tx).await.map_err(Error::from).with_context(tried)?;
                }
                tx.commit().await.map_err(Error::from)?;
            });
        }
    }
}

/// Reads a dump to its end without writing anything: whether it is whole, and how many rows it has.
pub fn check_dump(dump: &mut (dyn BufRead + Send)) -> anyhow::Result<u64> {
    let mut reader = DumpReader::new(dump);
    while reader.row()?.is_some() {}
    Ok(reader.rows)
}

#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Text(Option<String>),
    Integer(Option<i64>),
    Float(Option<f64>),
}

#[derive(Debug)]
struct DumpRow {
    /// Where it stands in the dump, if it was read from there.
    line: u64,
    table: &'static Table,
    cells: Vec<Cell>,
}

impl DumpRow {
    /// Whether a dancer said it who wanted to be forgotten afterwards: another archive does not bring it back.
    fn is_forgotten(&self, forgotten: &HashMap<String, i64>) -> bool {
        let (dancer, at_ms) = match (self.table.name, &self.cells[..]) {
            ("reactions", [_, _, Cell::Text(Some(dancer)), _, Cell::Integer(Some(at_ms))]) => (dancer, at_ms),
            ("poll_votes", [_, Cell::Text(Some(dancer)), _, Cell::Integer(Some(at_ms))]) => (dancer, at_ms),
            _ => return false,
        };
        let at = dancer.parse().ok().and_then(|dancer| forgotten.get(&hash(&dancer)));
        at.is_some_and(|forgotten_ms| at_ms <= forgotten_ms)
    }
}

impl Column {
    fn name(&self) -> &'static str {
        match self {
            Text(name) | Integer(name) | Float(name) => name,
        }
    }

    fn cell(&self, value: &Value) -> Option<Cell> {
        Some(match (self, value) {
            (Text(_), Value::Null) => Cell::Text(None),
            (Integer(_), Value::Null) => Cell::Integer(None),
            (Float(_), Value::Null) => Cell::Float(None),
            (Text(_), value) => Cell::Text(Some(value.as_str()?.to_owned())),
            (Integer(_), value) => Cell::Integer(Some(value.as_i64()?)),
            (Float(_), value) => Cell::Float(Some(value.as_f64()?)),
        })
    }
}

/// `{"plays":{"id":"…",…}}`
impl Serialize for DumpRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(Some(1))?;
        line.serialize_entry(self.table.name, &Cells(self))?;
        line.end()
    }
}

struct Cells<'a>(&'a DumpRow);

impl Serialize for Cells<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut cells = serializer.serialize_map(Some(self.0.cells.len()))?;
        for (column, cell) in self.0.table.columns.iter().zip(&self.0.cells) {
            match cell {
                Cell::Text(text) => cells.serialize_entry(column.name(), text)?,
                Cell::Integer(integer) => cells.serialize_entry(column.name(), integer)?,
                Cell::Float(float) => cells.serialize_entry(column.name(), float)?,
            }
        }
        cells.end()
    }
}

/// The writing side: counts and sums up what it writes.
struct Lines<'a> {
    out: &'a mut (dyn Write + Send),
    rows: u64,
    hash: Sha256,
}

impl Lines<'_> {
    fn write(&mut self, line: &str) -> anyhow::Result<()> {
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
        writeln!(self.out, "{line}").context("write the dump")
    }

    fn row(&mut self, row: &DumpRow) -> anyhow::Result<()> {
        self.rows += 1;
        self.write(&serde_json::to_string(row).context("write a row as JSON")?)
    }

    fn end(self) -> anyhow::Result<u64> {
        let end = json!({ "end": { "rows": self.rows, "sha256": hex::encode(self.hash.finalize()) } });
        writeln!(self.out, "{end}").context("write the dump")?;
        self.out.flush().context("write the dump")?;
        Ok(self.rows)
    }
}

/// The reading side: hands out rows, and an error unless the last line says that they were all.
struct DumpReader<'a> {
    dump: &'a mut (dyn BufRead + Send),
    /// Of the line that was read last; the first is 1.
    number: u64,
    rows: u64,
    hash: Sha256,
    version: u64,
    over: bool,
}

impl<'a> DumpReader<'a> {
    fn new(dump: &'a mut (dyn BufRead + Send)) -> Self {
        Self { dump, number: 0, rows: 0, hash: Sha256::new(), version: VERSION, over: false }
    }

    fn row(&mut self) -> anyhow::Result<Option<DumpRow>> {
        if self.number == 0 {
            let first = self.line()?.unwrap_or_default();
            self.version = version(&first)?;
        }
        if self.over {
            return Ok(None);
        }
        let before = self.hash.clone();
        let Some(line) = self.line()? else {
            bail!("the dump ends after line {} without its last line: it was cut off", self.number);
        };
        let number = self.number;
        let (name, value) = entry(&line).with_context(|| format!("line {number} of the dump is damaged"))?;
        if name == "end" {
            ensure!(
                value["rows"] == self.rows && value["sha256"] == hex::encode(before.finalize()),
                "the dump is damaged: its {} rows are not those that were written",
                self.rows
            );
            ensure!(self.line()?.is_none(), "the dump goes on after its last line, line {number}");
            self.over = true;
            return Ok(None);
        }
        self.rows += 1;
        let row = row(self.version, number, &name, &value)
            .with_context(|| format!("line {number} of the dump is damaged"))?;
        Ok(Some(row))
    }

    /// The next line, without its end.
    fn line(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let number = self.number + 1;
        self.dump
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .with_context(|| format!("read line {number} of the dump"))?;
        if line.is_empty() {
            return Ok(None);
        }
        self.number = number;
        self.hash.update(&line);
        // Only a line that was cut off, or one that never was a row, has no end.
        ensure!(line.pop() == Some(b'\n'), "line {number} of the dump is damaged: it has no end");
        Ok(Some(line))
    }
}

/// The version that the first line names.
fn version(line: &[u8]) -> anyhow::Result<u64> {
    let header: Value = serde_json::from_slice(line).unwrap_or_default();
    let Some(version) = header.get("pika_dump") else {
        bail!("this is no dump of a Pika archive: its first line does not say so");
    };
    let known = version.as_u64().filter(|version| (1..=VERSION).contains(version));
    known.with_context(|| {
        format!(
            "this dump has format version {version}, and this Pika reads up to {VERSION}: use a newer Pika"
        )
    })
}

/// A line is an object with one entry.
fn entry(line: &[u8]) -> anyhow::Result<(String, Value)> {
    let object: Map<String, Value> = serde_json::from_slice(line)?;
    let mut entries = object.into_iter();
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry),
        _ => bail!("it is not one row"),
    }
}

fn row(version: u64, line: u64, name: &str, value: &Value) -> anyhow::Result<DumpRow> {
    let table = TABLES.iter().find(|table| table.name == name);
    let table = table.with_context(|| format!("there is no table `{name}`"))?;
    let object = value.as_object().context("a row is an object")?;
    let is_later = |column: &Column| {
        ADDED.iter().any(|added| (added.0, added.1) == (table.name, column.name()) && version < added.2)
    };
    let columns = table.columns.iter().filter(|column| !is_later(column)).count();
    ensure!(object.len() == columns, "`{name}` has {columns} columns");
    let cell = |column: &Column| {
        let value = if is_later(column) { Some(&Value::Null) } else { object.get(column.name()) };
        let value = value.with_context(|| format!("`{name}` lacks `{}`", column.name()))?;
        column.cell(value).with_context(|| format!("`{value}` does not fit `{}`", column.name()))
    };
    Ok(DumpRow { line, table, cells: table.columns.iter().map(cell).collect::<anyhow::Result<_>>()? })
}
