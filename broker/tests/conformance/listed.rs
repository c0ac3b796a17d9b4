//! What `docs/conformance.md` says is true as far as it can be checked: every test it names exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The file of a test such as `it::sessions::a_will_may_wait`, and its name.
fn place(test: &str) -> (PathBuf, &str) {
    let parts: Vec<&str> = test.split("::").collect();
    let (name, modules) = parts.split_last().expect("a name");
    let path = match modules {
        ["it", module] => format!("tests/it/{module}.rs"),
        ["conformance", module] => format!("tests/conformance/{module}.rs"),
        ["codec"] => "src/codec/tests.rs".to_owned(),
        [module] => format!("src/{module}.rs"),
        _ => panic!("{test} names no place"),
    };
    (root().join(path), name)
}

#[test]
fn every_test_that_is_named_exists() {
    let text = std::fs::read_to_string(root().join("../docs/conformance.md")).expect("the list");
    let mut statements = BTreeSet::new();
    let mut version = "";
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            version = heading;
        }
        let Some(row) = line.strip_prefix("| MQTT-") else { continue };
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let [statement, _, state, ""] = columns[..] else { panic!("three columns: {line}") };
        assert!(statements.insert(format!("{version} {statement}")), "listed twice: {line}");
        if let Some(tests) = state.strip_prefix("tested: ") {
            for test in tests.split(", ").map(|test| test.trim_matches('`')) {
                let (path, name) = place(test);
                let source = std::fs::read_to_string(&path).unwrap_or_default();
                let exists =
                    source.contains(&format!("fn {name}(")) || source.contains(&format!(" {name}: "));
                assert!(exists, "{statement}: there is no test {test}");
            }
        } else {
            let has_reason = state.starts_with("not applicable: ") || state.starts_with("deviates: ");
            assert!(has_reason, "{statement}: {state}");
        }
    }
    assert!(statements.len() > 300, "{} statements", statements.len());
}
