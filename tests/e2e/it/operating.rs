//! docs/operating.md is true: its commands run as they stand there, or name the test that runs them, or (those for an engine or a
//! provider that is not here) name only files, services, units, variables and commands that exist. `cargo xtask docs-check` is this.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kit::process;
use kit::stack::{compose_config, repository};
use serde_json::Value;

/// A block of commands, and what the comment before it says is to be done with it.
struct Block {
    what: String,
    code: String,
}

fn blocks() -> Vec<Block> {
    let text = fs::read_to_string(repository().join("docs/operating.md")).unwrap();
    let mut found = Vec::new();
    let parts: Vec<&str> = text.split("```sh\n").collect();
    for pair in parts.windows(2) {
        let comment = pair[0].trim_end().rsplit('\n').next().unwrap();
        let what = comment.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
        let code = pair[1].split("\n```").next().unwrap();
        let what = what.unwrap_or_else(|| panic!("nothing says what runs this:\n{code}"));
        found.push(Block { what: what.to_owned(), code: code.to_owned() });
    }
    assert!(found.len() > 15, "{} blocks", found.len());
    found
}

#[test]
fn every_command_that_needs_nothing_else_runs() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(process::executable(), bin.join("pika")).unwrap();
    let here = folder.path().join("here");
    fs::create_dir(&here).unwrap();
    let mut script = String::from("set -eu\n");
    let mut count = 0;
    for block in blocks().into_iter().filter(|block| block.what == "run") {
        script += &format!("{}\n", block.code);
        count += 1;
    }
    assert!(count >= 6, "{count} blocks run");
    // The environment of a test's command, for a shell.
    let pika = process::command(folder.path());
    let mut shell = Command::new("sh");
    for (name, value) in pika.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    shell.args(["-c", &script]).current_dir(&here).env("PATH", path);
    let done = shell.env("XDG_DATA_HOME", folder.path()).env("HOME", folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{script}\n{said}");
}

#[test]
fn every_test_that_is_named_exists() {
    let mut count = 0;
    for block in blocks() {
        let Some(test) = block.what.strip_prefix("test: ") else { continue };
        let (module, function) = test.split_once("::").unwrap();
        let file = repository().join("tests/e2e/it").join(module).with_extension("rs");
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(text.contains(&format!("fn {function}(")), "there is no test {test}");
        // What it runs is at least a command of ours.
        for line in block.code.lines() {
            understood(line.strip_prefix("pika ").unwrap_or_else(|| panic!("{line}")));
        }
        count += 1;
    }
    assert!(count >= 3, "{count} blocks name a test");
}

/// The executable knows this command with these flags.
fn understood(arguments: &str) {
    let words: Vec<&str> = arguments.split_whitespace().filter(|word| *word != "help").collect();
    let folder = tempfile::tempdir().unwrap();
    // Help is an answer only when everything before it made sense.
    let said = process::command(folder.path()).args(&words).arg("--help").output().unwrap();
    assert!(said.status.success(), "pika {arguments}: {}", String::from_utf8_lossy(&said.stderr));
}

/// Commands on machines that are not here: what they name is there.
#[test]
fn every_other_command_names_what_exists() {
    let mut looked = Look::new();
    for block in blocks().into_iter().filter(|block| block.what == "look") {
        // Each block begins where the one before it ended, as its reader does.
        for line in block.code.replace("\\\n", "").lines() {
            looked.line(line);
        }
    }
    let programs: Vec<&str> = looked.programs.iter().map(String::as_str).collect();
    for needed in ["docker", "systemctl", "fly", "railway", "systemd-run", "./upgrade.sh", "./prepare.sh"] {
        assert!(programs.contains(&needed), "{needed} is not among {programs:?}");
    }
}

struct Look {
    folder: PathBuf,
    programs: BTreeSet<String>,
    /// Each compose file, as docker-compose reads it.
    compose: BTreeMap<&'static str, Value>,
}

impl Look {
    fn new() -> Self {
        let docker = tempfile::tempdir().unwrap();
        for name in ["compose.yaml", "compose.laptop.yaml"] {
            fs::copy(repository().join("docker").join(name), docker.path().join(name)).unwrap();
        }
        fs::copy(repository().join("docker/.env.example"), docker.path().join(".env")).unwrap();
        let compose =
            ["compose.yaml", "compose.laptop.yaml"].map(|file| (file, compose_config(docker.path(), file)));
        Self { folder: repository(), programs: BTreeSet::new(), compose: compose.into() }
    }

    fn line(&mut self, line: &str) {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if words.first() == Some(&"sudo") {
            words.remove(0);
        }
        let program = words[0];
        self.programs.insert(program.to_owned());
        let rest = &words[1..];
        match program {
            "cd" => {
                self.folder = repository().join(rest[0]);
                assert!(self.folder.is_dir(), "{line}");
            }
            "cp" => self.exists(rest[0], line),
            // `.env` is made by the line before, the other is in the package.
            "nano" => assert!([".env", "/etc/pika/pika.toml"].contains(&rest[0]), "{line}"),
            "./prepare.sh" | "./upgrade.sh" => self.is_program(program, line),
            "systemd-run" => {
                let flags = rest.iter().take_while(|word| word.starts_with("--")).count();
                assert_eq!(rest[flags], "/usr/bin/pika", "{line}");
                understood(&rest[flags + 1..].join(" "));
            }
            "docker" if rest[0] == "compose" => self.compose(&rest[1..], line),
            "docker" => assert!(rest[..2] == ["load", "--input"] && released(rest[2]), "{line}"),
            "tar" => assert!(rest.iter().any(|word| released(word)), "{line}"),
            "apt-get" => {
                assert_eq!(rest[0], "install", "{line}");
                assert!(
                    rest[1..].iter().all(|word| !word.starts_with("./") || released(&word[2..])),
                    "{line}"
                );
            }
            "systemctl" => {
                assert!(["enable", "disable", "status", "restart"].contains(&rest[0]), "{line}");
                for unit in rest[1..].iter().filter(|word| **word != "--now") {
                    is_unit(unit, line);
                }
            }
            "journalctl" => is_unit(rest.iter().skip_while(|word| **word != "--unit").nth(1).unwrap(), line),
            "fly" => self.fly(rest, line),
            "railway" => assert!(["link", "up"].contains(&rest[0]), "{line}"),
            _ => panic!("nobody looked at `{line}`"),
        }
    }

    fn exists(&self, name: &str, line: &str) {
        assert!(self.folder.join(name).exists() || repository().join(name).exists(), "{line}: no {name}");
    }

    fn is_program(&self, name: &str, line: &str) {
        let path = self.folder.join(name);
        let path = if path.exists() { path } else { repository().join("docker").join(name) };
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert!(mode & 0o111 != 0, "{line}");
        let parsed = Command::new("sh").arg("-n").arg(path).status().unwrap();
        assert!(parsed.success(), "{line}");
    }

    fn compose(&self, words: &[&str], line: &str) {
        let (file, words) = match words[0] {
            "--file" => {
                assert!(repository().join(words[1]).is_file(), "{line}");
                (Path::new(words[1]).file_name().unwrap().to_str().unwrap(), &words[2..])
            }
            _ => ("compose.yaml", words),
        };
        let services = self.compose[file]["services"].as_object().unwrap();
        let flags: &[&str] = match words[0] {
            "up" => &["--detach", "--build", "--force-recreate", "--no-deps", "--wait"],
            "run" => &["--rm"],
            "ps" | "exec" | "stop" => &[],
            "logs" => &["--since", "10m"],
            other => panic!("{line}: {other}"),
        };
        let mut rest = words[1..].iter().filter(|word| !flags.contains(*word));
        if ["run", "exec"].contains(&words[0]) {
            let service = rest.next().unwrap();
            let command: Vec<&str> = rest.copied().collect();
            let service = &services[*service];
            let own: Vec<&str> =
                service["command"].as_array().unwrap().iter().filter_map(|it| it.as_str()).collect();
            match (words[0], &command[..]) {
                ("run", []) => understood(&own.join(" ")),
                ("run", command) => understood(&command.join(" ")),
                (_, ["/usr/bin/pika", command @ ..]) => understood(&command.join(" ")),
                (_, other) => panic!("{line}: {other:?} is in no image"),
            }
        } else {
            for service in rest {
                assert!(services.contains_key(*service), "{line}: there is no service {service}");
            }
        }
    }

    fn fly(&self, words: &[&str], line: &str) {
        let manifest: toml::Table =
            fs::read_to_string(repository().join("docker/fly.toml")).unwrap().parse().unwrap();
        let app = manifest["app"].as_str().unwrap();
        match words {
            ["apps", "create", name] | ["checks", "list", "--app", name] => assert_eq!(*name, app, "{line}"),
            ["secrets", "set", "--app", name, ..] => {
                assert_eq!(*name, app, "{line}");
                for secret in ["DATABASE_URL=", "PIKA__WEB__SECRET="] {
                    assert!(line.contains(secret), "{line}");
                }
            }
            ["deploy", "--config", file, "--ha=false"] => {
                assert!(repository().join(file).is_file(), "{line}");
                // Its place is beside the manifest.
                let dockerfile = manifest["build"]["dockerfile"].as_str().unwrap();
                assert!(repository().join("docker").join(dockerfile).is_file());
            }
            _ => panic!("nobody looked at `{line}`"),
        }
    }
}

/// A file that the release workflow makes, whatever the version.
fn released(name: &str) -> bool {
    let workflow = fs::read_to_string(repository().join(".github/workflows/release.yml")).unwrap();
    let Some((before, after)) = name.split_once("v0.1.0") else { return false };
    let after = after.replace("x86_64", "${{ matrix.name }}");
    workflow.contains(&format!("{before}${{{{ github.ref_name }}}}{after}"))
}

fn is_unit(name: &str, line: &str) {
    let file = match name.split_once('@') {
        Some((template, "broker" | "archiver" | "webapp")) => format!("{template}@.service"),
        Some(_) => panic!("{line}"),
        None => format!("{name}.service"),
    };
    let path = repository().join("pika/packaging/systemd").join(&file);
    assert!(path.is_file(), "{line}: there is no {file}");
}
