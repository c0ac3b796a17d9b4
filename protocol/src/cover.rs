//! The picture of a track: small, a JPEG, and named by its own bytes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::MessageId;
use crate::message::V1;

/// The largest picture, in bytes.
pub const JPEG_BYTES_MAX: usize = 100_000;

/// How every JPEG begins.
const JPEG_BEGINS: &[u8] = &[0xff, 0xd8, 0xff];

/// Names a picture by its bytes: the first half of their SHA-256 in lower-case hex. The same picture has the same name
/// wherever it comes from, and another picture has another.
///
/// ```
/// # use pika_protocol::CoverId;
/// assert!("0123456789abcdef0123456789abcdef".parse::<CoverId>().is_ok());
/// assert!("0123456789ABCDEF0123456789ABCDEF".parse::<CoverId>().is_err());
/// assert!("../../etc/passwd".parse::<CoverId>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CoverId([u8; 16]);

/// The text is no name of a cover.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no cover id: 32 digits of lower-case hex")]
pub struct BadCoverId(String);

impl FromStr for CoverId {
    type Err = BadCoverId;
    fn from_str(text: &str) -> Result<Self, BadCoverId> {
        let bad = || BadCoverId(text.chars().take(40).flat_map(char::escape_debug).collect());
        let mut id = [0; 16];
        // One name for one cover: capitals would be another topic and another address of it.
        let is_lower = !text.bytes().any(|digit| digit.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut id) {
            Ok(()) if is_lower => Ok(Self(id)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for CoverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl TryFrom<String> for CoverId {
    type Error = BadCoverId;
    fn try_from(text: String) -> Result<Self, BadCoverId> {
        text.parse()
    }
}

impl From<CoverId> for String {
    fn from(id: CoverId) -> String {
        id.to_string()
    }
}

impl JsonSchema for CoverId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CoverId".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{32}$" })
    }
}

/// The bytes of a picture: a JPEG of at most [`JPEG_BYTES_MAX`]. Cheap to clone. Base64 in JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Jpeg(Arc<[u8]>);

/// Why bytes are no picture that we pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadJpeg {
    #[error("a picture of {0} bytes is over {JPEG_BYTES_MAX}")]
    TooLong(usize),
    #[error("a picture that is no JPEG")]
    NotAJpeg,
    #[error("a picture that is not base64")]
    NotBase64,
}

impl Jpeg {
    /// Takes bytes that begin as a JPEG does. Whether they can be drawn is for whoever draws them.
    ///
    /// # Errors
    /// There are too many, or they begin as something else.
    pub fn new(bytes: &[u8]) -> Result<Self, BadJpeg> {
        if bytes.len() > JPEG_BYTES_MAX {
            return Err(BadJpeg::TooLong(bytes.len()));
        }
        if !bytes.starts_with(JPEG_BEGINS) {
            return Err(BadJpeg::NotAJpeg);
        }
        Ok(Self(bytes.into()))
    }

    /// Reads what [`Jpeg::base64`] has written.
    ///
    /// # Errors
    /// It is not base64, or no JPEG of ours.
    pub fn from_base64(text: &str) -> Result<Self, BadJpeg> {
        // Four digits for three bytes: what is longer is not decoded at all.
        if text.len() > JPEG_BYTES_MAX.div_ceil(3) * 4 {
            return Err(BadJpeg::TooLong(text.len() / 4 * 3));
        }
        Self::new(&STANDARD.decode(text).map_err(|_| BadJpeg::NotBase64)?)
    }

    pub fn base64(&self) -> String {
        STANDARD.encode(&self.0)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What it is called.
    pub fn id(&self) -> CoverId {
        let sum: [u8; 32] = Sha256::digest(&self.0).into();
        let mut id = [0; 16];
        id.copy_from_slice(&sum[..16]);
        CoverId(id)
    }
}

impl fmt::Debug for Jpeg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jpeg({} bytes)", self.0.len())
    }
}

impl TryFrom<String> for Jpeg {
    type Error = BadJpeg;
    fn try_from(text: String) -> Result<Self, BadJpeg> {
        Self::from_base64(&text)
    }
}

impl From<Jpeg> for String {
    fn from(jpeg: Jpeg) -> String {
        jpeg.base64()
    }
}

impl JsonSchema for Jpeg {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Jpeg".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64", "contentMediaType": "image/jpeg" })
    }
}

/// `{floor}/desk/{desk}/cover`: a picture that a play names after it, on the same connection. Whoever reads it finds that
/// `cover` is the name of `jpeg`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cover {
    pub v: V1,
    pub id: MessageId,
    pub at_ms: i64,
    pub cover: CoverId,
    pub jpeg: Jpeg,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_picture_has_bounds_and_one_name() {
        let bytes = |length: usize| [JPEG_BEGINS, &vec![7; length - 3]].concat();
        let jpeg = Jpeg::new(&bytes(JPEG_BYTES_MAX)).unwrap();
        assert_eq!(Jpeg::from_base64(&jpeg.base64()), Ok(jpeg.clone()));
        assert_eq!(jpeg.id().to_string().parse::<CoverId>().unwrap(), jpeg.id());
        assert_ne!(jpeg.id(), Jpeg::new(&bytes(100)).unwrap().id());
        assert_eq!(Jpeg::new(&bytes(JPEG_BYTES_MAX + 1)), Err(BadJpeg::TooLong(JPEG_BYTES_MAX + 1)));
        assert_eq!(Jpeg::new(b"\x89PNG"), Err(BadJpeg::NotAJpeg));
        assert_eq!(Jpeg::from_base64("{}"), Err(BadJpeg::NotBase64));
        assert!(matches!(Jpeg::from_base64(&"A".repeat(200_000)), Err(BadJpeg::TooLong(_))));
    }

    #[test]
    fn a_name_never_changes() {
        // Archives hold it: it may never come out differently.
        let jpeg = Jpeg::new(b"\xff\xd8\xff\xe0").unwrap();
        let sum = hex::encode(Sha256::digest(b"\xff\xd8\xff\xe0"));
        assert_eq!(jpeg.id().to_string(), sum[..32]);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[0-9a-fA-Fx]{0,40}") {
            if let Ok(id) = text.parse::<CoverId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
