//! How a desk and a server that have never met agree on a token: what they say to each other, and what each of them computes. No
//! I/O, no clock; randomness is passed in.
//!
//! ```text
//! desk                                                         server
//!   Ask { desk, name, commitment = SHA-256(desk's key) }  ──▶
//!                                  ◀──  Answer { id, event, server's key }
//!   Reveal { desk's key }                                 ──▶  is it what was committed to?
//!   six digits on the screen            =            six digits that the organizer types
//!                                  ◀──  Granted { desk, token, … }, sealed with the key that both have
//! ```
//!
//! Both keys are X25519 (RFC 7748). Whoever stands in between has to choose his keys before he knows the other one's, so he has
//! one chance in a million that both sides see the same six digits, and each try needs two people to compare them. The
//! commitment is what makes six digits enough, as in ZRTP (RFC 6189, section 4.4.1.1).

mod code;
mod hex32;
mod words;

pub use code::{BadCode, Code};
pub use hex32::Hex32;
pub use words::{Answer, Ask, Floor, Granted, Outcome, Reveal, Sealed, V};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use x25519_dalek::{PublicKey, StaticSecret};

use protocol::{DeskId, EventId};

/// Mixed into everything, so that nothing of it means anything elsewhere.
const LABEL: &[u8] = b"pika pairing 1";

/// Why the two cannot agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The desk's key is not the one it committed to: somebody is in between, or the message is broken.
    #[error("the desk's key is not the one that it committed to")]
    OtherKey,
    /// A key that gives the same secret with any other (RFC 7748, section 6.1).
    #[error("the other side's key is none")]
    WeakKey,
}

/// What was sealed is not for us, or is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what the server has sealed cannot be opened with the key that was agreed on")]
pub struct NotForUs;

/// The desk's half.
pub struct DeskSide {
    secret: StaticSecret,
    ask: Ask,
}

impl DeskSide {
    /// `random` is used for nothing else.
    pub fn new(random: [u8; 32], desk: DeskId, name: Option<String>) -> Self {
        let secret = StaticSecret::from(random);
        let commitment = commitment(&PublicKey::from(&secret));
        Self { secret, ask: Ask { v: V, desk, name, commitment } }
    }

    pub fn ask(&self) -> &Ask {
        &self.ask
    }

    pub fn reveal(&self) -> Reveal {
        Reveal { v: V, key: PublicKey::from(&self.secret).into() }
    }

    /// What the server's answer comes to.
    ///
    /// # Errors
    /// The server's key is weak.
    pub fn agree(&self, answer: &Answer) -> Result<Agreement, Refused> {
        let ours = PublicKey::from(&self.secret);
        let theirs = PublicKey::from(answer.key.0);
        let said = transcript(answer.id, &answer.event, &self.ask, &ours, &theirs);
        Agreement::of(&self.secret, &theirs, &said)
    }
}

/// The server's half.
pub struct ServerSide {
    secret: StaticSecret,
}

impl ServerSide {
    /// `secret` belongs to one pairing. The server need not keep it if it can derive it again.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret: StaticSecret::from(secret) }
    }

    pub fn key(&self) -> Hex32 {
        PublicKey::from(&self.secret).into()
    }

    /// What the desk's key comes to.
    ///
    /// # Errors
    /// It is not the one that was committed to, or it is weak.
    pub fn agree(&self, id: Uuid, event: &EventId, ask: &Ask, reveal: &Reveal) -> Result<Agreement, Refused> {
        let theirs = PublicKey::from(reveal.key.0);
        if !bool::from(commitment(&theirs).0.ct_eq(&ask.commitment.0)) {
            return Err(Refused::OtherKey);
        }
        let said = transcript(id, event, ask, &theirs, &PublicKey::from(&self.secret));
        Agreement::of(&self.secret, &theirs, &said)
    }
}

/// What both sides have then, if nobody is in between.
pub struct Agreement {
    code: Code,
    key: [u8; 32],
}

impl Agreement {
    fn of(ours: &StaticSecret, theirs: &PublicKey, said: &[u8]) -> Result<Self, Refused> {
        let shared = ours.diffie_hellman(theirs);
        if !shared.was_contributory() {
            return Err(Refused::WeakKey);
        }
        let extracted = Salt::new(HKDF_SHA256, said).extract(shared.as_bytes());
        let mut key = [0; 32];
        let mut digits = [0; 8];
        let expand = |what: &[u8], out: &mut [u8]| {
            let info = [LABEL, what];
            let okm = extracted.expand(&info, Length(out.len()));
            okm.and_then(|okm| okm.fill(out)).expect("a few bytes are never too many for HKDF");
        };
        expand(b"seal", &mut key);
        expand(b"code", &mut digits);
        Ok(Self { code: Code::of(u64::from_be_bytes(digits)), key })
    }

    /// What two people compare.
    pub fn code(&self) -> Code {
        self.code
    }

    /// For the other side alone. Called once for a pairing, or again with the same content: the key seals nothing else.
    pub fn seal(&self, granted: &Granted) -> Sealed {
        let mut bytes = serde_json::to_vec(granted).expect("texts can be written as JSON");
        let sealed = self.cipher().seal_in_place_append_tag(nonce(), Aad::from(LABEL), &mut bytes);
        sealed.expect("a few hundred bytes are never too many for ChaCha20");
        Sealed(bytes)
    }

    /// What the other side has sealed.
    ///
    /// # Errors
    /// It was not, or somebody has changed it.
    pub fn open(&self, sealed: &Sealed) -> Result<Granted, NotForUs> {
        let mut bytes = sealed.0.clone();
        let opened = self.cipher().open_in_place(nonce(), Aad::from(LABEL), &mut bytes);
        serde_json::from_slice(opened.map_err(|_| NotForUs)?).map_err(|_| NotForUs)
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &self.key).expect("a key of 32 bytes"))
    }
}

/// A key that seals one message needs no other one.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn commitment(key: &PublicKey) -> Hex32 {
    let digest = digest(&SHA256, &[LABEL, b"commitment", key.as_bytes()].concat());
    Hex32(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// Everything that was said, each part behind its length, so that no two conversations read the same.
fn transcript(id: Uuid, event: &EventId, ask: &Ask, desk: &PublicKey, server: &PublicKey) -> Vec<u8> {
    let name = ask.name.as_deref().unwrap_or_default();
    let parts: [&[u8]; 7] = [
        LABEL,
        id.as_bytes(),
        event.as_str().as_bytes(),
        ask.desk.as_str().as_bytes(),
        name.as_bytes(),
        desk.as_bytes(),
        server.as_bytes(),
    ];
    parts.iter().flat_map(|part| [&(part.len() as u64).to_be_bytes(), *part].concat()).collect()
}

macro_rules! says_nothing {
    ($($secret:ident),*) => {$(
        /// Secrets are not for logs.
        impl std::fmt::Debug for $secret {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($secret), " { .. }"))
            }
        }
    )*};
}
says_nothing!(DeskSide, ServerSide, Agreement);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id() -> Uuid {
        Uuid::from_u128(7)
    }

    fn event() -> EventId {
        "budafest-2026".parse().expect("a slug")
    }

    fn desk(random: [u8; 32]) -> DeskSide {
        DeskSide::new(random, "booth".parse().expect("a slug"), Some("Booth".to_owned()))
    }

    fn answer(server: &ServerSide) -> Answer {
        Answer {
            v: V,
            id: id(),
            event: event(),
            event_name: "Budafest".to_owned(),
            key: server.key(),
            good_for_s: 600,
        }
    }

    fn granted() -> Granted {
        Granted {
            desk: "booth".parse().expect("a slug"),
            token: "secret".to_owned(),
            floor: None,
            floors: vec![Floor { id: "main".parse().expect("a slug"), name: "Main floor".to_owned() }],
            broker_url: None,
        }
    }

    proptest! {
        #[test]
        fn both_see_the_same_and_the_desk_alone_can_open_it(ours: [u8; 32], theirs: [u8; 32]) {
            let (desk, server) = (desk(ours), ServerSide::new(theirs));
            let at_desk = desk.agree(&answer(&server)).expect("a key");
            let at_server = server.agree(id(), &event(), desk.ask(), &desk.reveal()).expect("the right key");
            prop_assert_eq!(at_desk.code(), at_server.code());
            prop_assert_eq!(at_desk.open(&at_server.seal(&granted())), Ok(granted()));
        }

        #[test]
        fn what_was_changed_on_the_way_is_noticed(ours: [u8; 32], at in 0usize..64, flip in 1u8..) {
            let (desk, server) = (desk(ours), ServerSide::new([9; 32]));
            let agreed = desk.agree(&answer(&server)).expect("a key");
            let mut sealed = agreed.seal(&granted());
            sealed.0[at] ^= flip;
            prop_assert_eq!(agreed.open(&sealed), Err(NotForUs));
        }
    }

    #[test]
    fn who_stands_in_between_is_seen() {
        let (desk, server) = (desk([1; 32]), ServerSide::new([2; 32]));
        // To the desk he is the server, and to the server the desk.
        let (as_server, as_desk) = (ServerSide::new([3; 32]), super::tests::desk([4; 32]));
        let at_desk = desk.agree(&answer(&as_server)).expect("a key");
        let at_server = server.agree(id(), &event(), as_desk.ask(), &as_desk.reveal()).expect("his own key");
        assert_ne!(at_desk.code(), at_server.code());
        assert_eq!(at_desk.open(&at_server.seal(&granted())), Err(NotForUs));
        // He cannot look for a key that fits once he knows the server's.
        assert_eq!(
            server.agree(id(), &event(), desk.ask(), &as_desk.reveal()).err(),
            Some(Refused::OtherKey)
        );
    }

    #[test]
    fn another_name_or_event_is_another_code() {
        let server = ServerSide::new([2; 32]);
        let desk = desk([1; 32]);
        let code = |ask: &Ask, event: &str| {
            let event = event.parse().expect("a slug");
            server.agree(id(), &event, ask, &desk.reveal()).expect("the right key").code()
        };
        let right = code(desk.ask(), "budafest-2026");
        assert_ne!(right, code(desk.ask(), "budafest-2027"));
        assert_ne!(right, code(&Ask { name: None, ..desk.ask().clone() }, "budafest-2026"));
        assert_ne!(
            right,
            code(&Ask { desk: "boothx".parse().expect("a slug"), ..desk.ask().clone() }, "budafest-2026")
        );
    }

    #[test]
    fn keys_that_fit_everything_are_refused() {
        let desk = desk([1; 32]);
        for weak in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            let answer = Answer { key: Hex32(weak), ..answer(&ServerSide::new([2; 32])) };
            assert_eq!(desk.agree(&answer).err(), Some(Refused::WeakKey));
        }
    }

    #[test]
    fn secrets_are_not_in_debug_output() {
        let desk = desk([77; 32]);
        let agreed = desk.agree(&answer(&ServerSide::new([2; 32]))).expect("a key");
        assert_eq!(format!("{desk:?} {agreed:?}"), "DeskSide { .. } Agreement { .. }");
        assert!(!format!("{:?}", granted()).contains("secret"));
    }
}
