//! Passwords of people, as they are stored: Argon2id (RFC 9106) in the form that names its own parameters.

use std::fmt;
use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc};

/// Shorter ones are guessed.
pub const PASSWORD_CHARS_MIN: usize = 10;

/// Longer ones are none that somebody types.
pub const PASSWORD_CHARS_MAX: usize = 200;

/// What is stored of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// Why a text is no password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPassword {
    #[error("a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters")]
    Length,
    #[error("this password is among the first that are tried")]
    Guessed,
    #[error("the password cannot be hashed")]
    Unhashed,
}

/// Those of ten characters and more at the head of every list.
const GUESSED: &[&str] = &[
    "1234567890",
    "0123456789",
    "0987654321",
    "qwertyuiop",
    "password123",
    "password1234",
    "1q2w3e4r5t",
    "iloveyou123",
    "qwerty12345",
    "qwerty123456",
    "abcdefghij",
    "1111111111",
    "0000000000",
    "administrator",
    "letmein123",
    "welcome123",
    "changeme123",
    "passwordpassword",
    "12345678910",
    "123456789a",
];

impl PasswordHash {
    /// Takes some 20 ms and 19 MiB: one at a time, and not on a thread that others wait for.
    ///
    /// # Errors
    /// The password is too short, too long, or one that everybody tries.
    pub fn of(password: &str, salt: &[u8; 16]) -> Result<Self, BadPassword> {
        if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&password.chars().count()) {
            return Err(BadPassword::Length);
        }
        let plain = password.to_lowercase();
        let first = plain.chars().next();
        if GUESSED.contains(&plain.as_str()) || plain.chars().all(|character| Some(character) == first) {
            return Err(BadPassword::Guessed);
        }
        // The defaults are OWASP's choice for servers with little memory: 19 MiB, two passes, one lane.
        let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), salt);
        hash.map(|hash: phc::PasswordHash| Self(hash.to_string())).map_err(|_| BadPassword::Unhashed)
    }

    /// As it was read from the database.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is this password's. As slow as hashing, whatever comes of it.
    pub fn is_of(&self, password: &str) -> bool {
        // A longer one is refused when it is set, so its time is not spent.
        password.chars().count() <= PASSWORD_CHARS_MAX
            && phc::PasswordHash::new(&self.0)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    }

    /// No password's: to look for an unknown person takes as long as for a known one.
    pub fn of_nobody() -> &'static Self {
        static NOBODY: LazyLock<PasswordHash> = LazyLock::new(|| {
            let hash = PasswordHash::of("nobody has this one", b"pika-of-nobody-0");
            hash.unwrap_or_else(|_| PasswordHash(String::new()))
        });
        &NOBODY
    }
}

/// A password of 80 random bits, in four groups that can be read out.
pub fn made_up_password(random: &[u8; 16]) -> String {
    // Without letters that look like others. 32 of them: each takes five bits.
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let letters: Vec<char> = random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    letters.chunks(4).map(String::from_iter).collect::<Vec<_>>().join("-")
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_hash_and_no_other() {
        let hash = PasswordHash::of("correct horse", &[7; 16]).expect("hashed");
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        let again = PasswordHash::stored(hash.as_str().to_owned());
        assert!(again.is_of("correct horse"));
        assert!(!again.is_of("correct horsf") && !again.is_of("") && !again.is_of(&"x".repeat(100_000)));
        assert_ne!(hash, PasswordHash::of("correct horse", &[8; 16]).expect("hashed"));
        assert!(!PasswordHash::of_nobody().is_of("nobody has this one!"));
        assert!(!PasswordHash::stored("$argon2id$nonsense".to_owned()).is_of("x"));
        assert!(!format!("{hash:?}").contains("argon2id"));
    }

    #[test]
    fn a_made_up_password_can_be_read_out() {
        assert_eq!(made_up_password(&[0; 16]), "aaaa-aaaa-aaaa-aaaa");
        let random = std::array::from_fn(|n| 255 - n as u8);
        assert_eq!(made_up_password(&random), "9876-5432-zyxw-vuts");
        assert!(PasswordHash::of(&made_up_password(&random), &[1; 16]).is_ok());
    }

    #[test]
    fn what_is_no_password() {
        let refused = |password: &str| PasswordHash::of(password, &[7; 16]).expect_err("refused");
        assert_eq!(refused("short"), BadPassword::Length);
        assert_eq!(refused(&"x".repeat(201)), BadPassword::Length);
        assert_eq!(refused("Password123"), BadPassword::Guessed);
        assert_eq!(refused("zzzzzzzzzzzz"), BadPassword::Guessed);
    }
}
