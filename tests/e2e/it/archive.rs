//! The archive in and out of files, by the commands an operator has: export, import, backup, restore.

use std::fs;
use std::path::Path;

use kit::{Database, Pika, process};

use crate::export::pika;

/// Every kind of row, odd texts, nulls.
const SAMPLE: &str = include_str!("../../../store/tests/it/samples/dump-2.jsonl");

/// What a command finds in its environment.
type Settings<'a> = &'a [(&'a str, &'a str)];

/// Runs a command that has to fail, and returns its exit status and what it says.
fn refused(data: &Path, arguments: &[&str], settings: Settings) -> (i32, String) {
    let done = process::command(data).args(arguments).envs(settings.iter().copied()).output().unwrap();
    assert!(!done.status.success(), "{arguments:?} was not refused");
    (done.status.code().unwrap(), String::from_utf8_lossy(&done.stderr).into_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_archive_moves_from_engine_to_engine_and_back_and_stays_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Database::postgres();
    let file = folder.path().join("night.jsonl");
    fs::write(&file, SAMPLE).unwrap();
    let machines: [(&str, Settings); 3] =
        [("laptop", &[]), ("server", &[("DATABASE_URL", &postgres.url)]), ("another laptop", &[])];
    for (machine, settings) in machines {
        let data = folder.path().join(machine);
        pika(&data, &["import", text(&file)], settings);
        pika(&data, &["export", "--format", "jsonl", "--out", text(&file)], settings);
        assert_eq!(fs::read_to_string(&file).unwrap(), SAMPLE, "after the {machine}");
        let (printed, said) = pika(&data, &["export", "--format", "jsonl"], settings);
        assert_eq!(printed, SAMPLE);
        // All lines but the first and the last.
        let rows = format!("{} rows", SAMPLE.lines().count() - 2);
        assert!(said.contains(&rows) && !said.contains('\r'), "no progress without a terminal: {said}");
    }
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "it is as secret as a password file");
    }
}

#[test]
fn a_damaged_dump_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let file = data.join("cut.jsonl");
    let lines: Vec<&str> = SAMPLE.lines().collect();
    fs::write(&file, lines[..lines.len() - 3].join("\n") + "\n").unwrap();
    let (status, said) = refused(data, &["import", text(&file)], &[]);
    assert_eq!(status, 1);
    let cut = format!("cut.jsonl: the dump ends after line {} without its last line", lines.len() - 3);
    assert!(said.contains(&cut), "{said}");
    let (out, _) = pika(data, &["export", "--format", "jsonl"], &[]);
    assert_eq!(out.lines().count(), 2, "a header and an end, no row");
}

#[test]
fn an_export_of_what_is_not_there_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let (_, said) = refused(data, &["export", "--format", "jsonl"], &[]);
    assert!(said.contains("there is no archive at") && said.contains("DATABASE_URL"), "{said}");
    assert!(!data.join("pika.db").exists(), "an export makes no archive");
    let file = data.join("night.jsonl");
    fs::write(&file, SAMPLE).unwrap();
    pika(data, &["import", text(&file)], &[]);
    let (_, said) = refused(data, &["export", "--format", "jsonl", "--event", "tonite"], &[]);
    assert!(said.contains("no event `tonite`") && said.contains("budafest-2026, tonight"), "{said}");
}

/// A data folder with the sample in its archive.
fn filled(data: &Path, settings: Settings) {
    let file = data.with_extension("jsonl");
    fs::write(&file, SAMPLE).unwrap();
    pika(data, &["import", text(&file)], settings);
}

fn exported(data: &Path, settings: Settings) -> String {
    pika(data, &["export", "--format", "jsonl"], settings).0
}

#[test]
fn a_backup_restored_on_an_empty_machine_is_the_same_archive() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Database::postgres(), Database::postgres());
    let engines: [(&str, Settings, Settings); 2] =
        [("sqlite", &[], &[]), ("postgres", &[("DATABASE_URL", &one.url)], &[("DATABASE_URL", &other.url)])];
    for (engine, here, there) in engines {
        let (data, fresh) = (folder.path().join(engine), folder.path().join(format!("{engine} fresh")));
        let (file, again) = (data.with_extension("backup"), data.with_extension("again"));
        filled(&data, here);
        pika(&data, &["backup", text(&file)], here);
        pika(&fresh, &["restore", text(&file)], there);
        assert_eq!(exported(&fresh, there), SAMPLE, "{engine}");
        // A second time there is something to lose.
        let (_, said) = refused(&fresh, &["restore", text(&file)], there);
        assert!(said.contains("holds an archive already") && said.contains("--force"), "{said}");
        pika(&fresh, &["restore", text(&file), "--force"], there);
        assert_eq!(exported(&fresh, there), SAMPLE, "{engine}, over another one");
        pika(&fresh, &["backup", text(&again)], there);
        for copy in [&file, &again] {
            let mode = fs::metadata(copy).unwrap();
            #[cfg(unix)]
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
        }
    }
}

#[test]
fn a_dump_is_restored_into_an_empty_archive_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("night.jsonl");
    fs::write(&file, SAMPLE).unwrap();
    pika(&data, &["restore", text(&file)], &[]);
    assert_eq!(exported(&data, &[]), SAMPLE);
    assert!(refused(&data, &["restore", text(&file)], &[]).1.contains("holds an archive already"));
    assert!(refused(&data, &["restore", text(&file), "--force"], &[]).1.contains("pika import"));
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let database = Database::postgres();
    let on_postgres: Settings = &[("DATABASE_URL", &database.url)];
    let (sqlite, postgres) = (folder.path().join("sqlite"), folder.path().join("postgres"));
    filled(&data, &[]);
    filled(&data, on_postgres);
    pika(&data, &["backup", text(&sqlite)], &[]);
    pika(&data, &["backup", text(&postgres)], on_postgres);
    for (file, settings) in [(&sqlite, on_postgres), (&postgres, &[])] {
        let (_, said) = refused(&data, &["restore", text(file), "--force"], settings);
        assert!(said.contains("of the other engine") && said.contains("pika import"), "{said}");
    }
    let cut = |file: &Path| {
        let mut bytes = fs::read(file).unwrap();
        bytes.truncate(bytes.len() / 2);
        let cut = file.with_extension("cut");
        fs::write(&cut, bytes).unwrap();
        cut
    };
    for (file, settings, reason) in
        [(cut(&sqlite), &[][..], "restore /"), (cut(&postgres), on_postgres, "pg_restore failed")]
    {
        let (_, said) = refused(&data, &["restore", text(&file), "--force"], settings);
        assert!(said.contains(reason), "{said}");
        assert_eq!(exported(&data, settings), SAMPLE, "as it was before");
    }
    let noise = folder.path().join("noise");
    fs::write(&noise, "no backup").unwrap();
    assert!(
        refused(&data, &["restore", text(&noise), "--force"], &[]).1.contains("no backup that Pika knows")
    );
    let archive = data.join("pika.db");
    assert!(refused(&data, &["backup", text(&archive)], &[]).1.contains("the archive itself"));
    let (_, said) =
        refused(&data, &["backup", text(&noise)], &[("DATABASE_URL", &database.url), ("PATH", "")]);
    assert!(said.contains("postgresql-client") && said.contains("export --format jsonl"), "{said}");
    let left: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{left:?}");
}

#[test]
fn a_folder_keeps_the_newest_backups_and_what_is_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backups) = (folder.path().join("data"), folder.path().join("backups"));
    fs::create_dir(&backups).unwrap();
    filled(&data, &[]);
    let others = ["pika.db", "pika-20250101T000000Z.pgdump", "pika-20250101T000000Z.db.mine", "zzz"];
    let old = ["pika-20250101T000000Z.db", "pika-20250102T000000Z.db", "pika-20250103T000000Z.db"];
    for name in others.iter().chain(&old) {
        fs::write(backups.join(name), "").unwrap();
    }
    pika(&data, &["backup", text(&backups), "--keep", "2"], &[]);
    let names: Vec<String> = fs::read_dir(&backups)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(others.iter().all(|name| names.iter().any(|left| left == name)), "{names:?}");
    assert!(names.iter().any(|name| name == old[2]) && names.len() == others.len() + 2, "{names:?}");
    assert_eq!(refused(&data, &["backup", text(&backups), "--keep", "0"], &[]).0, 2);
    let unmounted = format!("{}/", text(&folder.path().join("unmounted")));
    assert!(refused(&data, &["backup", &unmounted], &[]).1.contains("there is no folder"));
}

#[tokio::test]
async fn a_backup_that_is_killed_leaves_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    filled(&data, &[]);
    let file = folder.path().join("backup");
    pika(&data, &["backup", text(&file)], &[]);
    for wait_ms in [0, 5, 10, 20, 30, 40, 60, 90] {
        let mut running = process::command(&data).args(["backup", text(&file)]).spawn().unwrap();
        kit::wait::moment(wait_ms).await;
        // It may be done already.
        let _ = running.kill();
        running.wait().unwrap();
        let fresh = folder.path().join(format!("after {wait_ms}"));
        pika(&fresh, &["restore", text(&file)], &[]);
        assert_eq!(exported(&fresh, &[]), SAMPLE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_in_use_is_copied_and_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("backup");
    filled(&data, &[]);
    let mut running = Pika::up(&data, &[], &[]).await;
    running.page().await;
    pika(&data, &["backup", text(&file)], &[]);
    let (_, said) = refused(&data, &["restore", text(&file), "--force"], &[]);
    assert!(said.contains("stop the Pika"), "{said}");
    assert!(running.program.stop().await.success());
    pika(&data, &["restore", text(&file), "--force"], &[]);
    assert!(exported(&data, &[]).contains("Smooth Operator"));
}

#[test]
fn a_set_is_exported_as_a_track_list() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    filled(&data, &[]);
    let run =
        |arguments: &[&str]| pika(&data, &[&["export", "--event", "tonight"], arguments].concat(), &[]).0;
    let listed = run(&["--list"]);
    let set = listed.split('\t').next().unwrap();
    assert_eq!(listed.lines().count(), 1);
    assert!(listed.contains("\t1970-01-01 00:00\tmain\t") && listed.ends_with("\t2\n"), "{listed}");
    for (format, start, part) in [
        ("csv", "set,dj,floor,", ",Smooth Operator,Extended,"),
        ("json", "{", "\"title\": \"Smooth Operator\""),
        ("m3u8", "#EXTM3U\n", "#EXTINF:180,"),
        ("cue", "PERFORMER ", "INDEX 01 00:01:00"),
        ("txt", "", "[00:00] "),
        ("md", "## ", "| 1 | 00:00 |"),
    ] {
        let all = run(&["--format", format]);
        assert!(all.starts_with(start) && all.contains(part), "{format}: {all}");
        assert_eq!(run(&["--format", format, "--set", set]), all, "there is one set");
        let file = folder.path().join(format);
        run(&["--format", format, "--out", text(&file)]);
        assert_eq!(fs::read_to_string(&file).unwrap(), all);
    }
    let lines = run(&["--format", "jsonl", "--set", set]);
    assert_eq!(lines.lines().count(), 2, "the withdrawn one is not there: {lines}");
    assert!(
        run(&["--format", "jsonl"]).starts_with("{\"pika_dump\""),
        "without --set it is the dump of the event"
    );
    let other = set.replace('1', "2");
    let (status, said) =
        refused(&data, &["export", "--event", "tonight", "--format", "txt", "--set", &other], &[]);
    assert!(status == 1 && said.contains("no set") && said.contains("--list"), "{said}");
    for wrong in [
        &["export", "--format", "csv"][..],
        &["export", "--event", "tonight"],
        &["export", "--list"],
        &["export", "--format", "jsonl", "--set", set],
    ] {
        assert_eq!(refused(&data, wrong, &[]).0, 2, "{wrong:?} is a wrong usage");
    }
}

#[test]
fn a_pooler_is_named_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let signed = Database::pgbouncer().url;
    let (_, said) = refused(&data, &["token", "list"], &[("DATABASE_URL", &signed)]);
    assert!(said.contains("pgbouncer=true") && said.contains("PIKA__DATABASE__POOLER=transaction"), "{said}");
    let settings: Settings = &[("DATABASE_URL", &signed), ("PIKA__DATABASE__POOLER", "transaction")];
    filled(&data, settings);
    assert_eq!(exported(&data, settings), SAMPLE);
    let (_, said) = refused(&data, &["backup", text(&folder.path().join("backup"))], settings);
    assert!(said.contains("direct address") && said.contains("export --format jsonl"), "{said}");
}
