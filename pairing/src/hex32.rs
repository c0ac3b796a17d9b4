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
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map(|()| Self(bytes)).map_err(|_| BadHex32)
    }
}

impl fmt::Display for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
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
