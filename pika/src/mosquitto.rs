//! Tokens and their rights as mosquitto reads them, for whoever runs that broker in place of ours. The rights
//! are asked of our own gate, topic by topic, so there is no second copy of the rules.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Context;
use broker::access::Principal;
use protocol::topic::ROOT;
use store::Token;

use crate::contract::CHANNELS;

/// Writes `pika.passwd` and `pika.acl` into `folder`, and prints the lines of mosquitto's configuration that
/// name them.
pub fn export(
    folder: &Path,
    tokens: &[Token],
    verifiers: &HashMap<String, String>,
    anonymous: bool,
    now_ms: i64,
) -> anyhow::Result<()> {
    let in_force: Vec<&Token> = tokens
        .iter()
        .filter(|token| token.revoked_ms.is_none() && token.expires_ms.is_none_or(|at| now_ms < at))
        .collect();
    fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
    let folder = std::path::absolute(folder)?;
    let (passwords, access) = (folder.join("pika.passwd"), folder.join("pika.acl"));
    let mut lines = String::new();
    for token in &in_force {
        match verifiers.get(&token.name) {
            Some(verifier) => writeln!(lines, "{}:{verifier}", token.name)?,
            None => eprintln!(
                "`{}` is left out: it was made before tokens could be exported, and nobody knows it but its \
                 owner; revoke it and add another",
                token.name
            ),
        }
        if token.expires_ms.is_some() {
            eprintln!(
                "`{}` expires, and mosquitto does not know of it: export again after that day",
                token.name
            );
        }
    }
    write_whole(&passwords, &lines)?;
    write_whole(&access, &access_file(&in_force, anonymous))?;
    eprintln!(
        "{} tokens in {}; after each `pika token` command export again and send mosquitto a SIGHUP",
        lines.lines().count(),
        folder.display()
    );
    println!("allow_anonymous {anonymous}");
    println!("password_file {}", passwords.display());
    println!("acl_file {}", access.display());
    Ok(())
}

/// mosquitto's access file: what our gate would let each of them write and read.
pub fn access_file(tokens: &[&Token], anonymous: bool) -> String {
    let mut text = String::from("# Written by `pika token export`; changes are lost with the next one.\n");
    if anonymous {
        // Lines before the first user are for clients without a name.
        text += &rights(&Principal::anonymous(), "+", "+", "+");
    }
    for token in tokens {
        let floor = token.floor.as_ref().map_or("+", |floor| floor.as_str());
        text += &format!("\nuser {}\n", token.name);
        text += &rights(&Principal::of(token), token.event.as_str(), floor, &token.name);
    }
    text
}

/// One line a topic, the widest first; what a wider line says already is left out.
fn rights(who: &Principal, event: &str, floor: &str, name: &str) -> String {
    let mut topics = vec!["$SYS/#".to_owned(), format!("{ROOT}/{event}/#")];
    for (_, address, ..) in CHANNELS {
        let mut shapes = Vec::new();
        for (floor, name) in [("+", "+"), (floor, "+"), ("+", name), (floor, name)] {
            let levels = address.split('/').map(|level| match level {
                "{floor}" => floor,
                "{desk}" | "{producer}" | "{webapp}" => name,
                "{field}" => "+",
                level => level,
            });
            let topic = format!("{ROOT}/{event}/{}", levels.collect::<Vec<_>>().join("/"));
            if !shapes.contains(&topic) {
                shapes.push(topic);
            }
        }
        topics.append(&mut shapes);
    }
    let (mut readable, mut writable): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut text = String::new();
    for topic in &topics {
        // A `+` in the place of an id is allowed only where every id is, so one that nobody has stands for it.
        // (Our gate knows that `cursor` and `audience` are no floors. mosquitto's patterns cannot say so.)
        let may_read = match topic.ends_with('#') {
            true => who.may_read_all(topic.as_bytes()),
            false => who.may_read(topic.replace('+', "any-id").as_bytes()),
        };
        let read = may_read && !readable.iter().any(|wider| covers(wider, topic));
        let write = who.may_publish(topic.as_bytes()) && !writable.iter().any(|wider| covers(wider, topic));
        let right = match (read, write) {
            (true, true) => "readwrite",
            (true, false) => "read",
            (false, true) => "write",
            (false, false) => continue,
        };
        if read {
            readable.push(topic);
        }
        if write {
            writable.push(topic);
        }
        text += &format!("topic {right} {topic}\n");
    }
    text
}

/// Whether all that matches `filter` matches `wider` too.
fn covers(wider: &str, filter: &str) -> bool {
    let (mut wider, mut filter) = (wider.split('/'), filter.split('/'));
    loop {
        match (wider.next(), filter.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(same), Some(level)) if same == level => {}
            _ => return false,
        }
    }
}

/// Whole or not at all: mosquitto may read at any moment. Names and hashes are no secret like the tokens, but
/// nobody's business either.
fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
        std::io::Write::write_all(&mut options.open(&new)?, text.as_bytes())?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use store::TokenKind;

    use super::*;

    fn token(name: &str, kind: TokenKind, floor: Option<&str>) -> Token {
        Token {
            name: name.to_owned(),
            kind,
            event: "night".parse().unwrap(),
            floor: floor.map(|floor| floor.parse().unwrap()),
            sha256: [0; 32],
            expires_ms: None,
            revoked_ms: None,
        }
    }

    #[test]
    fn a_desk_may_write_its_own_topics_and_read_its_floor() {
        let anna = token("anna", TokenKind::Desk, Some("main"));
        let lines = rights(&Principal::of(&anna), "night", "main", "anna");
        for line in [
            "topic readwrite pika/v1/night/main/desk/anna/status",
            "topic readwrite pika/v1/night/main/desk/anna/play",
            "topic readwrite pika/v1/night/main/desk/anna/cover",
            "topic write pika/v1/night/main/in/anna",
            "topic read pika/v1/night/cursor/anna",
            "topic read pika/v1/night/main/now",
            "topic read pika/v1/night/main/now/+",
            "topic read pika/v1/night/info",
            "topic read $SYS/#",
        ] {
            assert!(lines.lines().any(|found| found == line), "{line}\n{lines}");
        }
        assert!(!lines.contains("pika/v1/night/+") && !lines.contains("audience"), "{lines}");
    }

    #[test]
    fn wider_lines_make_others_needless() {
        let service = token("archiver", TokenKind::Service, None);
        let lines = rights(&Principal::of(&service), "night", "+", "archiver");
        assert!(lines.contains("topic read pika/v1/night/#\n"));
        assert!(lines.contains("topic write pika/v1/night/cursor/+\n"), "{lines}");
        assert!(!lines.contains("/state") && !lines.contains("cursor/archiver"), "{lines}");
        let text = access_file(&[&service], false);
        assert!(!text.contains("pika/v1/+"), "nobody without a name: {text}");
    }

    #[test]
    fn a_verifier_is_salted() {
        let (one, other) = (Token::verifier("secret", &[1; 12]), Token::verifier("secret", &[2; 12]));
        assert!(one.starts_with("$7$101$") && one != other);
    }
}
