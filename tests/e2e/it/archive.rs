//! The archive in and out of files, by the commands an operator has: `export` and `import`.

use std::fs;
use std::path::Path;

use kit::{Database, process};

use crate::export::pika;

/// Every kind of row, odd texts, nulls.
const SAMPLE: &str = include_str!("../../../store/tests/it/samples/dump-1.jsonl");

/// Runs a command that has to fail, and returns its exit status and what it says.
fn refused(data: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> (i32, String) {
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
    let machines: [(&str, &[(&str, &str)]); 3] =
        [("laptop", &[]), ("server", &[("DATABASE_URL", &postgres.url)]), ("another laptop", &[])];
    for (machine, settings) in machines {
        let data = folder.path().join(machine);
        pika(&data, &["import", text(&file)], settings);
        pika(&data, &["export", "--format", "jsonl", "--out", text(&file)], settings);
        assert_eq!(fs::read_to_string(&file).unwrap(), SAMPLE, "after the {machine}");
        let (printed, said) = pika(&data, &["export", "--format", "jsonl"], settings);
        assert_eq!(printed, SAMPLE);
        assert!(said.contains("30 rows") && !said.contains('\r'), "no progress without a terminal: {said}");
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
    assert!(said.contains("cut.jsonl: the dump ends after line 29 without its last line"), "{said}");
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
