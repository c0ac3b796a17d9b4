//! A rule that hides tracks, as a regular expression.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// More than any rule needs; a longer one is a mistake.
const CHARS_MAX: usize = 500;
/// What it may take when it is compiled. Matching is linear in the text (the crate `regex` guarantees it).
const COMPILED_BYTES_MAX: usize = 1024 * 1024;

/// A regular expression (the syntax of the crate `regex`) that is found anywhere in a text, in upper or lower case.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Regex);

/// The text is no regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no pattern: {why}")]
pub struct BadPattern {
    text: String,
    why: String,
}

impl Pattern {
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;
    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let bad = |why: String| BadPattern { text: text.chars().take(60).collect(), why };
        if text.chars().count() > CHARS_MAX {
            return Err(bad(format!("it is longer than {CHARS_MAX} characters")));
        }
        let built = RegexBuilder::new(text).case_insensitive(true).size_limit(COMPILED_BYTES_MAX).build();
        built.map(Self).map_err(|error| {
            // The first lines show the place with a picture that needs a fixed font.
            let error = error.to_string();
            bad(error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned())
        })
    }
}

impl TryFrom<String> for Pattern {
    type Error = BadPattern;
    fn try_from(text: String) -> Result<Self, BadPattern> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_found_anywhere_in_any_case() {
        let pattern: Pattern = r"\b(jingle|żółw)\s+\d+".parse().expect("a pattern");
        assert!(pattern.is_in("Club – JINGLE 12 (long)") && pattern.is_in("Żółw 3"));
        assert!(!pattern.is_in("Jingles") && !pattern.is_in("Jingle all the way"));
    }

    #[test]
    fn what_is_none_or_would_cost_too_much_is_refused_with_a_sentence() {
        for wrong in ["(", "[a", r"\p{Nonsense}", "(?P<x>a", "a{1000}{1000}{1000}", &"x".repeat(501)] {
            let error = wrong.parse::<Pattern>().expect_err(wrong).to_string();
            assert!(error.contains("is no pattern: ") && error.lines().count() == 1, "{error}");
        }
    }
}
