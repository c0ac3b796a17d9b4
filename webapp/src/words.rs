//! What pages say, in each language: `words/*.ftl`, Fluent (<https://projectfluent.org/fluent/guide/>).

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};

/// A language that pages are written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Language {
    #[default]
    En,
    Pl,
}

impl Language {
    pub const ALL: [Language; 2] = [Language::En, Language::Pl];

    /// As in `lang` and `Accept-Language` (BCP 47).
    pub fn code(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::Pl => "pl",
        }
    }

    /// What it calls itself.
    pub fn name(self) -> &'static str {
        match self {
            Language::En => "English",
            Language::Pl => "Polski",
        }
    }

    /// Reads a code, whatever its region.
    pub fn read(code: &str) -> Option<Self> {
        let main = code.split(['-', '_']).next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| language.code().eq_ignore_ascii_case(main))
    }

    /// The best one for a browser that sends this `Accept-Language` (RFC 9110 section 12.5.4).
    pub fn negotiate(accepted: &str) -> Self {
        let mut best = (0.0, Self::default());
        for one in accepted.split(',').take(20) {
            let mut parts = one.split(';');
            let code = parts.next().unwrap_or_default().trim();
            let weight =
                parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
            if let (Some(language), Some(weight)) = (Self::read(code), weight)
                && weight > best.0
            {
                best = (weight, language);
            }
        }
        best.1
    }

    fn text(self) -> &'static str {
        match self {
            Language::En => include_str!("../words/en.ftl"),
            Language::Pl => include_str!("../words/pl.ftl"),
        }
    }
}

/// All sentences of one language. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Words {
    language: Language,
    bundle: &'static FluentBundle<FluentResource>,
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({})", self.language.code())
    }
}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        self.language == other.language
    }
}

static BUNDLES: LazyLock<[FluentBundle<FluentResource>; 2]> = LazyLock::new(|| Language::ALL.map(bundle));

fn bundle(language: Language) -> FluentBundle<FluentResource> {
    let tag = language.code().parse().expect("a language code");
    let mut bundle = FluentBundle::new_concurrent(vec![tag]);
    // Titles may be in any script, and browsers know where one ends: each stands in an element of its own.
    bundle.set_use_isolating(false);
    let resource = FluentResource::try_new(language.text().to_owned());
    // The files are compiled in and read by a test; what is wrong in one cannot depend on the machine.
    let resource = resource.unwrap_or_else(|(resource, _)| resource);
    bundle.add_resource_overriding(resource);
    bundle
}

impl Words {
    pub fn of(language: Language) -> Self {
        Self { language, bundle: &BUNDLES[language as usize] }
    }

    pub fn language(self) -> Language {
        self.language
    }

    /// The sentence of that key.
    pub fn say(self, key: &str) -> Cow<'static, str> {
        self.format(key, None)
    }

    /// The sentence with numbers and names in it.
    pub fn with<'a, const N: usize>(
        self,
        key: &str,
        values: [(&'static str, FluentValue<'a>); N],
    ) -> Cow<'static, str> {
        let arguments: FluentArgs<'a> = values.into_iter().collect();
        self.format(key, Some(&arguments))
    }

    fn format(self, key: &str, arguments: Option<&FluentArgs<'_>>) -> Cow<'static, str> {
        let Some(pattern) = self.bundle.get_message(key).and_then(|message| message.value()) else {
            // Views are shown in tests, and there it is an error; a page with a key in it still tells what plays.
            debug_assert!(false, "`{key}` is not written in {}", self.language.code());
            return Cow::Owned(key.to_owned());
        };
        let said = self.bundle.format_pattern(pattern, arguments, &mut Vec::new());
        Cow::Owned(said.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Keys of a language with the values that each needs.
    fn keys(language: Language) -> BTreeMap<String, BTreeSet<String>> {
        let resource = FluentResource::try_new(language.text().to_owned());
        let resource = resource.unwrap_or_else(|(_, errors)| panic!("{language:?}: {errors:?}"));
        assert!(resource.entries().count() > 0);
        let mut keys = BTreeMap::new();
        let mut key = String::new();
        for line in language.text().lines() {
            if let Some((name, _)) = line.split_once(" =")
                && line.starts_with(|c: char| c.is_ascii_lowercase())
            {
                key = name.to_owned();
                assert!(keys.insert(key.clone(), BTreeSet::new()).is_none(), "{key} stands twice");
            }
            for value in line.split('$').skip(1) {
                let name = value.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
                keys.get_mut(&key).unwrap().insert(name.to_owned());
            }
        }
        keys
    }

    /// All texts of this crate's sources, and those that stand in `say("…")` and `with("…")`.
    fn texts() -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut texts, mut said) = (BTreeSet::new(), BTreeSet::new());
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("words.rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    texts.extend(text.split('"').map(str::to_owned));
                    for call in [".say(", "words.with("] {
                        let literals =
                            text.split(call).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
                        said.extend(literals.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
                    }
                }
            }
        }
        (texts, said)
    }

    #[test]
    fn every_sentence_is_there_in_every_language() {
        let english = keys(Language::En);
        for language in Language::ALL {
            let theirs = keys(language);
            assert_eq!(
                theirs.keys().collect::<Vec<_>>(),
                english.keys().collect::<Vec<_>>(),
                "{language:?} has other sentences than English"
            );
            for (key, values) in &theirs {
                assert_eq!(values, &english[key], "{language:?}: {key} needs other values than in English");
            }
        }
        let (texts, said) = texts();
        let missing: Vec<_> = said.iter().filter(|key| !english.contains_key(*key)).collect();
        assert!(missing.is_empty() && said.len() > 50, "said and not written: {missing:?}");
        let idle: Vec<_> = english.keys().filter(|key| !texts.contains(*key)).collect();
        assert!(idle.is_empty(), "written and never said: {idle:?}");
    }

    #[test]
    fn numbers_have_their_forms() {
        let polish = Words::of(Language::Pl);
        let likes = |count: u32| polish.with("likes", [("count", count.into())]).into_owned();
        assert_eq!([1, 2, 5, 22].map(likes), ["1 polubienie", "2 polubienia", "5 polubień", "22 polubienia"]);
        assert_eq!(Words::of(Language::En).with("likes", [("count", 1.into())]), "1 like");
    }

    #[test]
    fn a_browser_gets_the_language_it_likes_best() {
        for (accepted, expected) in [
            ("pl-PL,pl;q=0.9,en;q=0.8", Language::Pl),
            ("en-GB,en;q=0.9,pl;q=0.8", Language::En),
            ("de,pl;q=0.5", Language::Pl),
            ("de", Language::En),
            ("", Language::En),
            ("pl;q=0", Language::En),
            ("en;q=0.2, pl;q=x, pl;q=0.3", Language::Pl),
        ] {
            assert_eq!(Language::negotiate(accepted), expected, "{accepted}");
        }
    }
}
