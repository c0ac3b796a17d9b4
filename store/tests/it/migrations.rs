//! From one release to the next: what the older one stored is there, and the schema is that of a new database.

use std::borrow::Cow;

use pika_store::{Store, TokenKind};
use protocol::SetId;
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection, SqliteConnection};

static ALL: Migrator = sqlx::migrate!("./migrations");

/// How the migrations that were shipped begin their checksums. Databases have them on record, and refuse to be opened by
/// a release in which they are different.
const RECORDED: &[(i64, &str)] = &[
    (1, "e67a3c6b49d740c5"),
    (2, "320e7faa3ba2985c"),
    (3, "042e5bd56851ab01"),
    (4, "a53dc2d456e1423d"),
    (5, "2d4725cd224cc37c"),
    (6, "fff39243d4b743c6"),
    (7, "fd60f811031dbf8e"),
    (8, "422f3058547267d7"),
];

/// The release that knew no announcements and polls.
const OLD: i64 = 3;

const ROWS: &[&str] = &[
    "insert into events values ('tonight', 'Tonight', 'Europe/Warsaw', null, 1)",
    "insert into floors values ('tonight', 'main', 'Main floor', 0)",
    "
insert into tokens (name, kind, event_id, sha256, created_ms, verifier)
values ('booth', 'desk', 'tonight', '0000000000000000000000000000000000000000000000000000000000000000', 1, '$7$x')",
    "
insert into sets (id, event_id, floor_id, desk_id, started_ms)
values ('00000000-0001-7101-8101-010101010101', 'tonight', 'main', 'booth', 1)",
    "
insert into plays (id, event_id, floor_id, desk_id, set_id, started_ms, withdrawn, title, bpm, revision_ms)
values (
    '00000000-0000-5000-8000-000000000001', 'tonight', 'main', 'booth', '00000000-0001-7101-8101-010101010101', 5, 0,
    'Bølge', 92.5, 6)",
    "insert into cursors values ('tonight', 'booth', '00000000-0001-7101-8101-010101010101', 7, 8)",
    "
insert into reactions (play_id, kind, dancer, value, revision_ms)
values ('00000000-0000-5000-8000-000000000001', 'like', 'a-dancer', 1, 9)",
    "
insert into tallies (play_id, likes, slower, perfect, faster, thanks, open, last_ms)
values ('00000000-0000-5000-8000-000000000001', 1, 0, 0, 0, 0, 1, 9)",
    "insert into leases values ('archiver-tonight', 'one', 3, 4)",
    "
insert into desks (event_id, desk_id, floor_id, app, heard_ms)
values ('tonight', 'booth', 'main', 'pika 0.1.0', 9)",
];

fn old() -> Migrator {
    let migrations = ALL.iter().filter(|migration| migration.version <= OLD).cloned().collect();
    Migrator { migrations: Cow::Owned(migrations), ..Migrator::DEFAULT }
}

async fn has_what_the_old_one_stored(store: &Store) {
    let events = store.events().await.unwrap();
    assert_eq!((events[0].name.as_str(), events[0].floors[0].name.as_str()), ("Tonight", "Main floor"));
    let tokens = store.tokens().await.unwrap();
    assert_eq!((tokens[0].name.as_str(), tokens[0].kind), ("booth", TokenKind::Desk));
    assert_eq!(store.token_verifiers().await.unwrap()["booth"], "$7$x");
    let plays = store.plays_of_set(SetId::at(1, [1; 10])).await.unwrap();
    let track = &plays[0].past.play.track;
    assert_eq!((track.title.as_deref(), track.bpm), (Some("Bølge"), Some(92.5)));
    let tonight = "tonight".parse().unwrap();
    assert_eq!(store.cursors(&tonight).await.unwrap()[0].seq, 7);
    assert_eq!(plays[0].tally.likes, 1);
    assert_eq!(store.reactions(plays[0].past.play.id, 10).await.unwrap().len(), 1);
    assert_eq!(store.desks(&tonight).await.unwrap()[0].app, "pika 0.1.0");
    assert!(store.polls_of_event(&tonight).await.unwrap().is_empty());
}

#[test]
fn what_was_shipped_is_not_changed() {
    for (version, beginning) in RECORDED {
        let migration = ALL.iter().find(|migration| migration.version == *version).unwrap();
        let checksum = hex::encode(&migration.checksum);
        assert!(checksum.starts_with(beginning), "migration {version} is not what databases have on record");
    }
    assert_eq!(ALL.iter().count(), RECORDED.len(), "a new migration goes on record here");
}

/// Makes the database as the old release left it.
macro_rules! make_old {
    ($connection:ty, $url:expr) => {
        let mut connection = <$connection>::connect(&$url).await.unwrap();
        old().run(&mut connection).await.unwrap();
        for row in ROWS {
            sqlx::query(*row).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    };
}

/// Makes an old database and a new one, brings the old one up to date, and compares what `$schemas` say of both.
macro_rules! migrates {
    ($old:expr, $new:expr, $connection:ty, $schemas:expr) => {{
        let (before, fresh) = ($old, $new);
        make_old!($connection, before.url);
        let mut described = Vec::new();
        for database in [&before, &fresh] {
            let store = database.store();
            store.migrate().await.unwrap();
            store.migrate().await.unwrap();
            if database.url == before.url {
                has_what_the_old_one_stored(&store).await;
            }
            store.close().await;
            let mut connection = <$connection>::connect(&database.url).await.unwrap();
            let mut lines: Vec<(String,)> = Vec::new();
            for schema in $schemas {
                lines
                    .extend(sqlx::query_as::<_, (String,)>(schema).fetch_all(&mut connection).await.unwrap());
            }
            connection.close().await.unwrap();
            described.push(lines);
        }
        assert!(described[0].len() > 15, "{:#?}", described[0]);
        assert_eq!(described[0], described[1]);
    }};
}

#[tokio::test]
async fn an_old_archive_is_brought_up_to_date_on_sqlite() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let schema = "
select type || ' ' || name || ' ' || coalesce(sql, '')
from sqlite_master
order by 1";
    let (old, new) = (kit::Database::sqlite(old.path()), kit::Database::sqlite(new.path()));
    make_file(&old.url).await;
    migrates!(old, new, SqliteConnection, [schema]);
}

#[tokio::test]
async fn an_old_archive_is_brought_up_to_date_on_postgres() {
    let columns = "
select concat_ws(' ', table_name, ordinal_position, column_name, data_type, is_nullable, column_default)
from information_schema.columns
where table_schema = 'public'
order by 1";
    let indexes = "
select indexdef
from pg_indexes
where schemaname = 'public'
order by 1";
    let constraints = "
select conrelid::regclass::text || ' ' || pg_get_constraintdef(oid)
from pg_constraint
where connamespace = 'public'::regnamespace
order by 1";
    migrates!(
        kit::Database::postgres(),
        kit::Database::postgres(),
        PgConnection,
        [columns, indexes, constraints]
    );
}

/// SQLite makes no file unless it is asked to.
async fn make_file(url: &str) {
    SqliteConnection::connect(&format!("{url}?mode=rwc")).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_backup_of_the_old_release_is_restored_by_the_new_one_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let old = kit::Database::sqlite(folder.path());
    make_file(&old.url).await;
    make_old!(SqliteConnection, old.url);
    let (backup, new) = (folder.path().join("backup"), folder.path().join("new.db"));
    pika_store::copy_sqlite(&folder.path().join("archive.db"), &backup).await.unwrap();
    std::fs::write(&new, "").unwrap();
    pika_store::prepare_sqlite(&backup, &new).await.unwrap();
    let store = Store::open(&format!("sqlite://{}", new.display()).parse().unwrap()).unwrap();
    has_what_the_old_one_stored(&store).await;
}

#[tokio::test]
async fn a_backup_of_the_old_release_is_restored_by_the_new_one_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let (old, new) = (kit::Database::postgres(), kit::Database::postgres());
    make_old!(PgConnection, old.url);
    pika_store::pg_dump(&old.url, &backup).unwrap();
    // Tables of the new release are in the way, and tables of others, which stay.
    new.store().migrate().await.unwrap();
    let mut connection = PgConnection::connect(&new.url).await.unwrap();
    sqlx::query("create table others as select 1 as one").execute(&mut connection).await.unwrap();
    pika_store::pg_restore(&new.url, &backup).unwrap();
    let store = new.store();
    store.migrate().await.unwrap();
    has_what_the_old_one_stored(&store).await;
    assert!(sqlx::query("select one from others").fetch_one(&mut connection).await.is_ok());
}

/// A release that is older than the database leaves it alone.
#[tokio::test]
async fn a_newer_archive_is_refused() {
    let postgres = kit::Database::postgres();
    let folder = tempfile::tempdir().unwrap();
    let sqlite = kit::Database::sqlite(folder.path());
    for database in [&postgres, &sqlite] {
        let store = database.store();
        store.migrate().await.unwrap();
        store.close().await;
    }
    let newer = "
insert into _sqlx_migrations (version, description, success, checksum, execution_time)
select 9999, 'of the future', success, checksum, execution_time
from _sqlx_migrations
where version = 1";
    let mut connection = PgConnection::connect(&postgres.url).await.unwrap();
    sqlx::query(newer).execute(&mut connection).await.unwrap();
    let mut connection = SqliteConnection::connect(&sqlite.url).await.unwrap();
    sqlx::query(newer).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    for database in [&postgres, &sqlite] {
        let error = database.store().migrate().await.unwrap_err();
        assert!(format!("{error:?}").contains("9999"), "{error:?}");
    }
}
