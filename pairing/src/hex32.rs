//! Thirty-two bytes as 64 lower-case hexadecimal digits: keys and commitments on the wire.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use x25519_dalek::PublicKey;

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hex32(pub [u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 64 hexadecimal digits")]
pub struct BadHex32;

impl FromStr for Hex32 {
    type Err = BadHex32;
    fn from_str(text: &str) -> Result<Self, BadHex32> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(BadHex32);
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| BadHex32)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Hex32 {
    type Error = BadHex32;
    fn try_from(text: String) -> Result<Self, BadHex32> {
        text.parse()
    }
}

impl From<Hex32> for String {
    fn from(hex: Hex32) -> Self {
        hex.to_string()
    }
}

impl From<PublicKey> for Hex32 {
    fn from(key: PublicKey) -> Self {
        Self(key.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_it_is_is_read() {
        let text = "00ff".repeat(16);
        assert_eq!(text.parse::<Hex32>().map(|hex| hex.to_string()), Ok(text.clone()));
        for wrong in ["", "00", &"zz".repeat(32), &"+1".repeat(32), &"é".repeat(32), &"0".repeat(65)] {
            assert_eq!(wrong.parse::<Hex32>(), Err(BadHex32), "{wrong}");
        }
    }
}
