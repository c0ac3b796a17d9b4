//! Values from a file, the environment and flags, merged, and handed out by section.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Variables that begin with this carry a setting: `PIKA__WEB__PORT` is `port` in `[web]`.
const PREFIX: &str = "PIKA__";

/// What settings are read from. Later ones win.
#[derive(Default)]
pub struct Sources<'a> {
    /// A TOML file, and it must be there.
    pub file: Option<&'a Path>,
    /// A TOML file that a program of ours has written; it counts more than the other one, and need not be there.
    pub written: Option<&'a Path>,
    /// The environment, as [`std::env::vars`] gives it.
    pub environment: Vec<(String, String)>,
    /// Short names of the environment for a setting, for example `PORT` for `web.port`.
    pub well_known: &'a [(&'a str, &'a str)],
    /// Flags of the command line: flag, dotted setting, value.
    pub flags: Vec<(&'a str, &'a str, Value)>,
}

/// Without values, which may be secrets.
impl fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// What is wrong with the settings, in words for whoever wrote them.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    #[error("read the configuration file {}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{} is not TOML: {message}", path.display())]
    NotToml { path: PathBuf, message: String },
    #[error("read the secret that {variable} names, {path}")]
    SecretUnreadable { variable: String, path: String, source: std::io::Error },
    #[error("{origin}: there is no setting `{name}`{}", maybe(nearest))]
    Unknown { name: String, origin: Origin, nearest: Option<String> },
    #[error("{origin}: `{name}` cannot be used: {message}")]
    Wrong { name: String, origin: Origin, message: String },
}

fn maybe(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File { path: PathBuf, line: usize },
    Environment(String),
    Flag(String),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// Merged settings, not yet looked at by the programs that own them.
#[derive(Default)]
pub struct Settings {
    values: Table,
    origins: BTreeMap<String, Origin>,
    /// Values of the environment are texts; this is the text where the value was read as something else.
    texts: BTreeMap<String, String>,
}

/// Which settings there are and where they come from. Which of their values are secrets, only their owners know.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.origins).finish()
    }
}

impl Settings {
    /// Reads everything in [`Sources`].
    pub fn load(sources: Sources<'_>) -> Result<Settings, BadSettings> {
        let mut settings = Settings::default();
        if let Some(path) = sources.file {
            settings.read_file(path)?;
        }
        if let Some(path) = sources.written.filter(|path| path.exists()) {
            settings.read_file(path)?;
        }
        for (name, value) in sources.environment {
            let setting = match name.strip_prefix(PREFIX) {
                Some(rest) => rest.to_lowercase().replace("__", "."),
                None => {
                    let plain = name.strip_suffix("_FILE").unwrap_or(&name);
                    match sources.well_known.iter().find(|(short, _)| *short == plain) {
                        Some((_, setting)) if plain == name => (*setting).to_owned(),
                        Some((_, setting)) => format!("{setting}_file"),
                        None => continue,
                    }
                }
            };
            let (setting, value) = match setting.strip_suffix("_file") {
                Some(setting) => (setting.to_owned(), secret(&name, &value)?),
                None => (setting, value),
            };
            settings.set_text(setting, value, Origin::Environment(name));
        }
        for (flag, setting, value) in sources.flags {
            settings.set(setting, value, Origin::Flag(flag.to_owned()));
        }
        Ok(settings)
    }

    /// The section of that name as its owner's type. An absent section is all defaults.
    pub fn section<T: DeserializeOwned>(&self, section: &str) -> Result<T, BadSettings> {
        let mut value = self.values.get(section).cloned().unwrap_or_else(|| Value::Table(Table::new()));
        loop {
            let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
                Ok(settings) => return Ok(settings),
                Err(error) => error,
            };
            let at = error.path().to_string();
            let name = if at == "." { section.to_owned() } else { format!("{section}.{at}") };
            // A token of digits looks like a number until its owner wants a text.
            if let Some(text) = self.texts.get(&name)
                && let Some(slot) = slot(&mut value, &at)
                && !slot.is_str()
            {
                *slot = Value::String(text.clone());
                continue;
            }
            return Err(self.complaint(section, name, &error.into_inner().to_string()));
        }
    }

    /// Refuses sections that nobody owns.
    pub fn only(&self, sections: &[&str]) -> Result<(), BadSettings> {
        match self.values.keys().find(|key| !sections.contains(&key.as_str())) {
            None => Ok(()),
            Some(stranger) => Err(BadSettings::Unknown {
                name: stranger.clone(),
                origin: self.origin(stranger),
                nearest: nearest(stranger, sections.iter().copied()),
            }),
        }
    }

    fn read_file(&mut self, path: &Path) -> Result<(), BadSettings> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| BadSettings::Unreadable { path: path.to_owned(), source })?;
        let not_toml = |error: toml::de::Error| BadSettings::NotToml {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        };
        lay_over(&mut self.values, text.parse().map_err(not_toml)?);
        let spanned = toml::de::DeTable::parse(&text).map_err(not_toml)?;
        note_lines(spanned.get_ref(), "", &mut |name, offset| {
            let line = text[..offset.min(text.len())].matches('\n').count() + 1;
            self.origins.insert(name, Origin::File { path: path.to_owned(), line });
        });
        Ok(())
    }

    fn set_text(&mut self, setting: String, text: String, origin: Origin) {
        let value = format!("it = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| table.remove("it"))
            .unwrap_or_else(|| Value::String(text.clone()));
        self.set(&setting, value, origin);
        self.texts.insert(setting, text);
    }

    fn set(&mut self, setting: &str, value: Value, origin: Origin) {
        let mut table = &mut self.values;
        let mut levels = setting.split('.').peekable();
        while let Some(level) = levels.next() {
            if levels.peek().is_none() {
                table.insert(level.to_owned(), value);
                break;
            }
            let next = table.entry(level).or_insert_with(|| Value::Table(Table::new()));
            if !next.is_table() {
                *next = Value::Table(Table::new());
            }
            let Value::Table(next) = next else { break };
            table = next;
        }
        self.texts.remove(setting);
        self.origins.insert(setting.to_owned(), origin);
    }

    fn complaint(&self, section: &str, name: String, message: &str) -> BadSettings {
        match unknown_field(message) {
            Some((field, known)) => {
                // serde names the table that holds the stranger, or the stranger itself.
                let holder = name.strip_suffix(&format!(".{field}")).unwrap_or(&name);
                let full = format!("{holder}.{field}");
                let nearest = nearest(&field, known.iter().map(String::as_str));
                let nearest = nearest.map(|key| format!("{holder}.{key}"));
                BadSettings::Unknown { origin: self.origin(&full), name: full, nearest }
            }
            None => {
                let name = if name == section { section.to_owned() } else { name };
                BadSettings::Wrong { origin: self.origin(&name), name, message: message.trim().to_owned() }
            }
        }
    }

    /// Of the setting itself, or of the nearest thing around it that somebody wrote.
    fn origin(&self, name: &str) -> Origin {
        let mut name = name;
        loop {
            if let Some(origin) = self.origins.get(name) {
                return origin.clone();
            }
            let inside = format!("{name}.");
            if let Some((_, origin)) =
                self.origins.range(inside.clone()..).next().filter(|(key, _)| key.starts_with(&inside))
            {
                return origin.clone();
            }
            match name.rsplit_once('.') {
                Some((outer, _)) => name = outer,
                None => return Origin::Default,
            }
        }
    }
}

/// Puts what a later file says into the place of what an earlier one says, table by table.
fn lay_over(values: &mut Table, later: Table) {
    for (key, value) in later {
        match (values.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => lay_over(old, new),
            (_, value) => {
                values.insert(key, value);
            }
        }
    }
}

fn secret(variable: &str, path: &str) -> Result<String, BadSettings> {
    let text = std::fs::read_to_string(path).map_err(|source| BadSettings::SecretUnreadable {
        variable: variable.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn slot<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').try_fold(value, |value, level| value.as_table_mut()?.get_mut(level))
}

fn note_lines(table: &toml::de::DeTable<'_>, prefix: &str, note: &mut impl FnMut(String, usize)) {
    for (key, value) in table.iter() {
        let name =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        note(name.clone(), key.span().start);
        if let toml::de::DeValue::Table(inner) = value.get_ref() {
            note_lines(inner, &name, note);
        }
    }
}

/// Takes serde's "unknown field `a`, expected one of `b`, `c`" apart.
fn unknown_field(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.split_once("unknown field `")?.1;
    let (field, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((field.to_owned(), known))
}

fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|known| (strsim::damerau_levenshtein(word, known), known))
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 3)
        .map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Web {
        port: u16,
        host: String,
        token: String,
        limits: Limits,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Limits {
        connections: u32,
    }

    const KNOWN: &[(&str, &str)] = &[("PORT", "web.port"), ("SECRET", "web.token")];

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn load(text: &str, environment: &[(&str, &str)], flags: Vec<(&str, &str, Value)>) -> Settings {
        let file = file(text);
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::load(Sources {
            file: Some(file.path()),
            written: None,
            environment,
            well_known: KNOWN,
            flags,
        })
        .unwrap()
    }

    #[test]
    fn later_sources_win() {
        let text = "[web]\nport = 1\nhost = 'file'\nlimits.connections = 7\n";
        let from_file: Web = load(text, &[], vec![]).section("web").unwrap();
        assert_eq!((from_file.port, from_file.host.as_str(), from_file.limits.connections), (1, "file", 7));
        let from_env: Web = load(text, &[("PORT", "2"), ("PIKA__WEB__LIMITS__CONNECTIONS", "8")], vec![])
            .section("web")
            .unwrap();
        assert_eq!((from_env.port, from_env.limits.connections), (2, 8));
        let flags = vec![("--port", "web.port", Value::Integer(3))];
        let from_flag: Web = load(text, &[("PORT", "2")], flags).section("web").unwrap();
        assert_eq!(from_flag.port, 3);
    }

    #[test]
    fn a_text_of_digits_stays_a_text() {
        let web: Web = load("", &[("PIKA__WEB__TOKEN", "1234"), ("PIKA__WEB__HOST", "1e5")], vec![])
            .section("web")
            .unwrap();
        assert_eq!((web.token.as_str(), web.host.as_str()), ("1234", "1e5"));
    }

    #[test]
    fn a_secret_comes_from_a_file() {
        let secret = file("s3cret\n");
        let web: Web =
            load("", &[("SECRET_FILE", secret.path().to_str().unwrap())], vec![]).section("web").unwrap();
        assert_eq!(web.token, "s3cret");
    }

    #[test]
    fn a_wrong_key_is_answered_with_its_name_its_place_and_the_right_one() {
        let error =
            load("# top\n[web]\nprot = 1\n", &[], vec![]).section::<Web>("web").unwrap_err().to_string();
        assert!(
            error.contains("line 3") && error.contains("`web.prot`") && error.contains("`web.port`"),
            "{error}"
        );
        let error = load("[web.limits]\nconections = 1\n", &[], vec![])
            .section::<Web>("web")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 2") && error.contains("did you mean `web.limits.connections`"),
            "{error}"
        );
        let error =
            load("", &[("PIKA__WEB__HOTS", "x")], vec![]).section::<Web>("web").unwrap_err().to_string();
        assert!(error.contains("PIKA__WEB__HOTS") && error.contains("`web.host`"), "{error}");
        let error = load("[wbe]\nport = 1\n", &[], vec![]).only(&["web", "broker"]).unwrap_err().to_string();
        assert!(error.contains("`wbe`") && error.contains("`web`") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_answered_with_its_place() {
        let error = load("[web]\nport = 'x'\n", &[], vec![]).section::<Web>("web").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("`web.port`"), "{error}");
        let error = load("", &[("PORT", "70000")], vec![]).section::<Web>("web").unwrap_err().to_string();
        assert!(error.contains("PORT") && error.contains("70000"), "{error}");
    }

    #[test]
    fn broken_toml_names_the_file_and_the_line() {
        let file = file("[web\n");
        let error = Settings::load(Sources { file: Some(file.path()), ..Sources::default() })
            .unwrap_err()
            .to_string();
        assert!(error.contains("not TOML") && error.contains("line 1"), "{error}");
    }
}
