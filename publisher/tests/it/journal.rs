//! The journal under everything that can happen to a disk.

use std::fs;
use std::path::Path;

use pika_publisher::journal::{
    Draft, Entry, Journal, Limits, Memory, OpenError, OpenSet, Restored, WriteError,
};
use proptest::prelude::*;
use protocol::{MessageId, SetId, SetRef};

const FILE: &str = "plays.journal";

type Texts = Journal<String>;

fn open(dir: &Path, random: u8) -> (Texts, Restored<String>) {
    Journal::open(dir, Limits::default(), 1000, [random; 16]).expect("the journal opens")
}

fn draft(text: &str) -> Draft<String> {
    Draft { identity: Some(format!("id-{text}")), report: text.to_owned() }
}

fn some_set() -> OpenSet {
    let id = SetId::at(1, [7; 10]);
    OpenSet { floor: "main".parse().expect("a slug"), set: SetRef { id, started_ms: 5, dj: None } }
}

fn held(restored: &Restored<String>) -> Vec<(u64, String)> {
    restored.unconfirmed.iter().map(|entry| (entry.seq, entry.report.clone())).collect()
}

fn pairs(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|&(seq, text)| (seq, text.to_owned())).collect()
}

/// What a process that starts now would find in a copy of the folder.
fn after_a_crash(dir: &Path) -> Restored<String> {
    let copy = tempfile::tempdir().expect("a folder");
    for file in fs::read_dir(dir).expect("the journal's folder") {
        let file = file.expect("a file");
        fs::copy(file.path(), copy.path().join(file.file_name())).expect("a copy");
    }
    open(copy.path(), 99).1
}

/// A journal of three entries, the first confirmed, and its bytes.
fn three() -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut journal, _) = open(dir.path(), 1);
    journal.set_opened(some_set()).expect("written");
    journal.append(2000, vec![draft("one"), draft("two")]).expect("written");
    journal.confirm(1).expect("written");
    journal.append(1500, vec![draft("three")]).expect("written");
    drop(journal);
    let bytes = fs::read(dir.path().join(FILE)).expect("the journal");
    (dir, bytes)
}

#[test]
fn entries_with_dates_of_their_own_never_go_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut journal, _) = open(dir.path(), 1);
    let dated = vec![(500, draft("one")), (900, draft("two")), (700, draft("three"))];
    let at_ms = |entries: Vec<Entry<String>>| entries.iter().map(|entry| entry.at_ms).collect::<Vec<_>>();
    assert_eq!(at_ms(journal.append_dated(dated).expect("written")), [500, 900, 901]);
    assert_eq!(at_ms(journal.append(2000, vec![draft("four")]).expect("written")), [2000]);
    assert_eq!(at_ms(journal.append_dated(vec![(600, draft("five"))]).expect("written")), [2001]);
    drop(journal);
    assert_eq!(open(dir.path(), 2).1.unconfirmed.len(), 5);
}

#[test]
fn entries_are_numbered_and_come_back() {
    let (dir, _) = three();
    let (mut journal, restored) = open(dir.path(), 2);
    assert_eq!(held(&restored), pairs(&[(2, "two"), (3, "three")]));
    assert_eq!(restored.open_set, Some(some_set()));
    assert_eq!(restored.seen.len(), 3);
    assert_eq!(restored.last_play.map(|entry| entry.report), Some("three".to_owned()));
    let at_ms: Vec<i64> = journal.unconfirmed().map(|entry| entry.at_ms).collect();
    assert_eq!(at_ms, [2001, 2002], "the clock went back, the journal did not");
    assert_eq!(journal.append(0, vec![draft("four")]).expect("written")[0].seq, 4);
    journal.set_closed().expect("written");
    assert_eq!(after_a_crash(dir.path()).open_set, None);
}

#[test]
fn a_second_publisher_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = open(dir.path(), 1);
    let second = Texts::open(dir.path(), Limits::default(), 0, [2; 16]);
    assert!(matches!(second, Err(OpenError::InUse(_))));
    drop(first);
    open(dir.path(), 3);
}

#[test]
fn cut_at_any_byte_it_keeps_what_was_whole() {
    let (_, bytes) = three();
    let whole = open(three().0.path(), 2).0.id();
    for end in 0..bytes.len() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join(FILE), &bytes[..end]).expect("written");
        let (mut journal, restored) = open(dir.path(), 2);
        let lines = bytes[..end].iter().filter(|&&byte| byte == b'\n').count();
        let complete = lines + usize::from(bytes[end] == b'\n');
        let expected: &[(u64, &str)] = match complete {
            0..=2 => &[],
            3 => &[(1, "one")],
            4 => &[(1, "one"), (2, "two")],
            5 => &[(2, "two")],
            _ => &[(2, "two"), (3, "three")],
        };
        assert_eq!(held(&restored), pairs(expected), "cut at {end}");
        if complete > 0 {
            assert_eq!(journal.id(), whole, "cut at {end}");
            assert_eq!(restored.damaged, None, "cut at {end}");
        }
        journal.append(3000, vec![draft("next")]).expect("written");
        let again = after_a_crash(dir.path());
        assert_eq!(again.unconfirmed.last().map(|entry| entry.report.as_str()), Some("next"), "cut at {end}");
    }
}

#[test]
fn changed_at_any_byte_no_number_is_used_twice() {
    let (_, bytes) = three();
    let before = open(three().0.path(), 2).0.id();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join(FILE), &changed).expect("written");
        let (mut journal, restored) = open(dir.path(), 2);
        let next = journal.append(3000, vec![draft("next")]).expect("written");
        if journal.id() == before {
            assert_eq!(next[0].seq, 4, "changed at {at}");
        } else {
            let aside = restored.damaged.as_ref().expect("the rest is kept");
            assert!(changed.ends_with(&fs::read(aside).expect("kept")), "changed at {at}");
            let numbers: Vec<u64> = journal.unconfirmed().map(|entry| entry.seq).collect();
            assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "changed at {at}");
        }
    }
}

#[test]
fn zeros_after_a_power_loss_are_cut() {
    let (dir, mut bytes) = three();
    bytes.extend([0; 300]);
    fs::write(dir.path().join(FILE), bytes).expect("written");
    let (journal, restored) = open(dir.path(), 2);
    assert_eq!((journal.unconfirmed().len(), restored.damaged), (2, None));
}

#[test]
fn what_is_confirmed_makes_room_and_what_is_not_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let limits = Limits { confirmed_bytes_max: 2000, held_bytes_max: 2000 };
    let (mut journal, _) = Texts::open(dir.path(), limits, 0, [1; 16]).expect("the journal opens");
    let mut written = 0;
    let full = loop {
        match journal.append(1, vec![draft("x")]) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, WriteError::Full { .. }));
    assert_eq!(after_a_crash(dir.path()).unconfirmed.len(), written);
    for seq in 1..500 {
        journal.confirm(seq).expect("written");
        journal.append(1, vec![draft("x")]).expect("there is room again");
        let bytes = fs::metadata(dir.path().join(FILE)).expect("the journal").len();
        assert!(bytes < 6000, "{bytes} bytes after {seq}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Confirm(u64),
    OpenSet,
    CloseSet,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1usize..4).prop_map(Step::Append),
        (0u64..30).prop_map(Step::Confirm),
        Just(Step::OpenSet),
        Just(Step::CloseSet),
        Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Killed after any step, a restart finds what was written and not confirmed.
    #[test]
    fn killed_after_any_step(steps in proptest::collection::vec(step(), 1..25)) {
        let dir = tempfile::tempdir().expect("a folder");
        let limits = Limits { confirmed_bytes_max: 300, ..Limits::default() };
        let reopen = || Texts::open(dir.path(), limits, 0, [1; 16]).expect("the journal opens").0;
        let mut journal = Some(reopen());
        let (mut expected, mut next, mut open_set) = (Vec::<(u64, String)>::new(), 1, None);
        for step in steps {
            let live = journal.as_mut().expect("it is open");
            match step {
                Step::Append(count) => {
                    let drafts = (0..count as u64).map(|index| draft(&(next + index).to_string())).collect();
                    for entry in live.append(7, drafts).expect("written") {
                        prop_assert_eq!(entry.seq, next);
                        expected.push((next, next.to_string()));
                        next += 1;
                    }
                }
                Step::Confirm(seq) => {
                    live.confirm(seq).expect("written");
                    expected.retain(|(held, _)| *held > seq);
                }
                Step::OpenSet => {
                    live.set_opened(some_set()).expect("written");
                    open_set = Some(some_set());
                }
                Step::CloseSet => {
                    live.set_closed().expect("written");
                    open_set = None;
                }
                Step::Restart => {
                    drop(journal.take());
                    journal = Some(reopen());
                }
            }
            let found = after_a_crash(dir.path());
            prop_assert_eq!(held(&found), expected.clone());
            prop_assert_eq!(&found.open_set, &open_set);
            prop_assert_eq!(found.seen.len() as u64, next - 1);
        }
    }
}

#[test]
fn what_was_said_in_the_open_set_is_known_after_it_is_confirmed() {
    let dir = tempfile::tempdir().expect("a folder");
    let limits = Limits { confirmed_bytes_max: 10, ..Limits::default() };
    let (mut journal, _) = Texts::open(dir.path(), limits, 1000, [1; 16]).expect("the journal opens");
    journal.append(1000, vec![draft("before the set")]).expect("written");
    journal.set_opened(some_set()).expect("written");
    let mut said = Vec::new();
    for n in 0..20 {
        let text = format!("{n}");
        let unnamed = Draft { identity: None, report: text.clone() };
        journal.append(2000 + n, vec![unnamed]).expect("written");
        said.push(text);
        // Written anew almost each time.
        journal.confirm(n as u64).expect("written");
    }
    let memory = Memory { answered: [MessageId::at(1, [1; 10])].into(), hidden: None };
    journal.remember(memory.clone()).expect("written");
    journal.confirm(20).expect("written");
    let restored = after_a_crash(dir.path());
    let texts = |restored: &Restored<String>| -> Vec<String> {
        restored.of_set.iter().map(|entry| entry.report.clone()).collect()
    };
    let known = texts(&restored);
    assert!(known.ends_with(&said) && restored.memory == memory, "{known:?}");
    journal.set_closed().expect("written");
    let restored = after_a_crash(dir.path());
    assert!(restored.of_set.is_empty() && restored.memory == memory);
}
