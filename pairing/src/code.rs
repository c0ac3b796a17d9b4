//! Six digits that two people compare.

use std::fmt;
use std::str::FromStr;

/// From 000 000 to 999 999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(u32);

const CODES: u64 = 1_000_000;

/// The text is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code is six digits, for example 123 456")]
pub struct BadCode;

impl Code {
    /// 2⁶⁴ numbers fall on a million codes; the first ones are likelier by less than one in 10¹³.
    pub(crate) fn of(number: u64) -> Self {
        Self((number % CODES) as u32)
    }
}

/// As it is shown: `123 456`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// As people type it: with a space, a dash, or nothing in between.
impl FromStr for Code {
    type Err = BadCode;
    fn from_str(text: &str) -> Result<Self, BadCode> {
        if text.len() > 32 || !text.chars().all(|c| c.is_ascii_digit() || c == '-' || c.is_whitespace()) {
            return Err(BadCode);
        }
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        if digits.len() != 6 {
            return Err(BadCode);
        }
        digits.parse().map(Self).map_err(|_| BadCode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_are_shown_and_as_they_are_typed() {
        let code = Code::of(5_000_042);
        assert_eq!(code.to_string(), "000 042");
        for text in ["000 042", "000042", "000-042", " 000042\n", "0 0 0 0 4 2"] {
            assert_eq!(text.parse(), Ok(code), "{text}");
        }
        for wrong in ["", "42", "0000042", "000 04x", "-------", "००००४२"] {
            assert_eq!(wrong.parse::<Code>(), Err(BadCode), "{wrong}");
        }
    }
}
