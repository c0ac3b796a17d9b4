//! SQLCipher 4 as it is by default, for reading: keys, pages and the write-ahead log. Bytes in, bytes out; no files.
//!
//! A page of the database is encrypted by itself (AES-256 in CBC mode) and ends with what vouches for it (HMAC-SHA512 over the
//! bytes and the page's number). So a page that was read while it was written, or with the wrong key, is noticed and never read
//! as data.

use std::collections::HashMap;
use std::io::{self, Read};
use std::num::NonZeroU32;

use aes::Aes256;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use ring::{hmac, pbkdf2};
use subtle::ConstantTimeEq;

pub const PAGE_BYTES: usize = 4096;
pub const SALT_BYTES: usize = 16;
const IV_BYTES: usize = 16;
const MAC_BYTES: usize = 64;
/// What vouches for a page stands behind its content.
pub const CONTENT_BYTES: usize = PAGE_BYTES - IV_BYTES - MAC_BYTES;
const KEY_BYTES: usize = 32;
const ROUNDS: NonZeroU32 = NonZeroU32::new(256_000).expect("not zero");
const MAC_ROUNDS: NonZeroU32 = NonZeroU32::new(2).expect("not zero");
/// By this the key that vouches differs from the one that hides.
const MAC_SALT: u8 = 0x3A;

/// With this a database begins; the salt stands in its place.
const MAGIC: &[u8; SALT_BYTES] = b"SQLite format 3\0";
/// Where the header says whether there is a log beside the database, and that there is none.
const VERSIONS: std::ops::Range<usize> = 18..20;
const WITHOUT_LOG: [u8; 2] = [1, 1];

const LOG_HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const FRAME_BYTES: usize = FRAME_HEADER_BYTES + PAGE_BYTES;
const LOG_MAGIC: u32 = 0x377F_0682;
const LOG_VERSION: u32 = 3_007_000;

/// What opens the pages of one database.
#[derive(Clone)]
pub struct Keys {
    page: [u8; KEY_BYTES],
    mac: hmac::Key,
    salt: [u8; SALT_BYTES],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// A page that nobody vouches for: the key is wrong, or it was not written to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("page {0} does not open")]
pub struct BadPage(pub u32);

impl Keys {
    /// The keys of the database with that salt. Takes a good part of a second, so that guessing takes years.
    pub fn derive(passphrase: &str, salt: [u8; SALT_BYTES]) -> Self {
        let mut page = [0; KEY_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, ROUNDS, &salt, passphrase.as_bytes(), &mut page);
        Self::of(page, salt)
    }

    /// The keys when that of the pages is known.
    pub fn of(page: [u8; KEY_BYTES], salt: [u8; SALT_BYTES]) -> Self {
        let mut mac = [0; KEY_BYTES];
        let mac_salt = salt.map(|byte| byte ^ MAC_SALT);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, MAC_ROUNDS, &mac_salt, &page, &mut mac);
        Self { page, mac: hmac::Key::new(hmac::HMAC_SHA512, &mac), salt }
    }

    pub fn salt(&self) -> &[u8; SALT_BYTES] {
        &self.salt
    }

    /// Opens a page in its place; pages are counted from 1.
    ///
    /// # Errors
    /// Nobody vouches for it.
    pub fn open(&self, number: u32, page: &mut [u8; PAGE_BYTES]) -> Result<(), BadPage> {
        // A page that was set aside and never written.
        if page.iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        let start = if number == 1 { SALT_BYTES } else { 0 };
        let (content, rest) = page.split_at_mut(CONTENT_BYTES);
        let (iv, mac) = rest.split_at(IV_BYTES);
        let mut vouched = hmac::Context::with_key(&self.mac);
        vouched.update(&content[start..]);
        vouched.update(iv);
        vouched.update(&number.to_le_bytes());
        // No fuzzer would guess it.
        if !cfg!(fuzzing) && !bool::from(vouched.sign().as_ref().ct_eq(mac)) {
            return Err(BadPage(number));
        }
        let cipher =
            cbc::Decryptor::<Aes256>::new_from_slices(&self.page, iv).map_err(|_| BadPage(number))?;
        cipher.decrypt_padded::<NoPadding>(&mut content[start..]).map_err(|_| BadPage(number))?;
        if number == 1 {
            content[..SALT_BYTES].copy_from_slice(MAGIC);
            // What is in the log is put in its place by us.
            content[VERSIONS].copy_from_slice(&WITHOUT_LOG);
        }
        rest.fill(0);
        Ok(())
    }
}

/// The write-ahead log beside a database: where the newest page of each number is, of what was committed.
#[derive(Debug, Default)]
pub struct Log {
    bytes: Vec<u8>,
    /// Where in the bytes each page begins.
    pages: HashMap<u32, usize>,
    /// How many pages the database has after the last commit.
    count: Option<u32>,
}

impl Log {
    /// Reads what was committed. What follows, was left over from an older log, or is still being written is none of it.
    pub fn of(bytes: Vec<u8>) -> Self {
        let (pages, count) = committed(&bytes).unwrap_or_default();
        Self { bytes, pages, count }
    }

    /// How many pages the database has; nothing if nothing was committed to the log.
    pub fn count(&self) -> Option<u32> {
        self.count
    }

    fn page(&self, number: u32) -> Option<&[u8; PAGE_BYTES]> {
        self.bytes.get(*self.pages.get(&number)?..)?.first_chunk()
    }
}

type Committed = (HashMap<u32, usize>, Option<u32>);

fn committed(bytes: &[u8]) -> Option<Committed> {
    let header = bytes.get(..LOG_HEADER_BYTES)?;
    let magic = word(header, 0)?;
    let is_log = magic & !1 == LOG_MAGIC && word(header, 4)? == LOG_VERSION;
    if !is_log || word(header, 8)? as usize != PAGE_BYTES {
        return None;
    }
    // The magic says in which order checksums take their bytes.
    let sums = Sums { is_big_endian: magic & 1 == 1 };
    let mut sum = sums.add([0, 0], &header[..24]);
    if !cfg!(fuzzing) && sum != [word(header, 24)?, word(header, 28)?] {
        return None;
    }
    let salts = &header[16..24];
    let (mut pages, mut count) = (HashMap::new(), None);
    let mut uncommitted = Vec::new();
    for (index, frame) in bytes[LOG_HEADER_BYTES..].chunks_exact(FRAME_BYTES).enumerate() {
        let (head, page) = frame.split_at(FRAME_HEADER_BYTES);
        sum = sums.add(sums.add(sum, &head[..8]), page);
        let number = word(head, 0)?;
        let is_whole = cfg!(fuzzing) || sum == [word(head, 16)?, word(head, 20)?];
        if number == 0 || &head[8..16] != salts || !is_whole {
            break;
        }
        uncommitted.push((number, LOG_HEADER_BYTES + index * FRAME_BYTES + FRAME_HEADER_BYTES));
        let pages_after = word(head, 4)?;
        if pages_after > 0 {
            pages.extend(uncommitted.drain(..));
            count = Some(pages_after);
        }
    }
    Some((pages, count))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// How the log's checksums are counted.
struct Sums {
    is_big_endian: bool,
}

impl Sums {
    fn add(&self, [mut one, mut two]: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        for pair in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = *pair;
            let read =
                |word| if self.is_big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) };
            one = one.wrapping_add(read([a, b, c, d])).wrapping_add(two);
            two = two.wrapping_add(read([e, f, g, h])).wrapping_add(one);
        }
        [one, two]
    }
}

/// The database in the clear, page by page: those of the log in place of those of the file. It never fails to give bytes;
/// `fault` tells afterwards whether they are good for anything.
#[derive(Debug)]
pub struct Plain<'a, R> {
    keys: &'a Keys,
    file: R,
    log: &'a Log,
    count: u32,
    /// Pages given so far.
    given: u32,
    page: Box<[u8; PAGE_BYTES]>,
    /// What of the page was given.
    at: usize,
    fault: Option<Fault>,
}

/// Why a database does not come out.
#[derive(Debug)]
pub enum Fault {
    Page(BadPage),
    File(io::Error),
}

impl<'a, R: Read> Plain<'a, R> {
    /// Of a file that begins now, in which there are so many pages.
    pub fn of(keys: &'a Keys, file: R, log: &'a Log, count: u32) -> Self {
        let page = Box::new([0; PAGE_BYTES]);
        Self { keys, file, log, count, given: 0, page, at: PAGE_BYTES, fault: None }
    }

    /// What went wrong, if something did.
    pub fn fault(self) -> Option<Fault> {
        self.fault
    }

    fn load(&mut self) -> Result<(), Fault> {
        // Also in place of what the log has: the file's next page is behind it.
        let read = self.file.read_exact(self.page.as_mut_slice());
        match self.log.page(self.given) {
            Some(page) => self.page.copy_from_slice(page),
            None => read.map_err(Fault::File)?,
        }
        self.keys.open(self.given, &mut self.page).map_err(Fault::Page)
    }
}

impl<R: Read> Read for Plain<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == PAGE_BYTES && self.given < self.count {
            (self.given, self.at) = (self.given + 1, 0);
            if self.fault.is_none() {
                self.fault = self.load().err();
            }
            if self.fault.is_some() {
                self.page.fill(0);
            }
        }
        let rest = &self.page[self.at..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use cbc::cipher::BlockModeEncrypt;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SALT: [u8; SALT_BYTES] = [7; SALT_BYTES];

    fn keys() -> Keys {
        Keys::of([1; KEY_BYTES], SALT)
    }

    /// A page as SQLCipher would write it.
    pub fn sealed(keys: &Keys, number: u32, content: &[u8; CONTENT_BYTES]) -> Vec<u8> {
        let start = if number == 1 { SALT_BYTES } else { 0 };
        let iv = [number as u8; IV_BYTES];
        let mut page = content.to_vec();
        let cipher =
            cbc::Encryptor::<Aes256>::new_from_slices(&keys.page, &iv).expect("they have their lengths");
        let hidden = &mut page[start..];
        let length = hidden.len();
        cipher.encrypt_padded::<NoPadding>(hidden, length).expect("whole blocks");
        page[..start].copy_from_slice(&SALT[..start]);
        let vouched = [&page[start..], &iv, &number.to_le_bytes()].concat();
        page.extend(iv);
        page.extend(hmac::sign(&keys.mac, &vouched).as_ref());
        page
    }

    fn content(byte: u8) -> [u8; CONTENT_BYTES] {
        [byte; CONTENT_BYTES]
    }

    /// A log of these frames: the page's number, the count after the commit, what fills the page.
    fn log(frames: &[(u32, u32, u8)]) -> Vec<u8> {
        let sums = Sums { is_big_endian: false };
        let mut log = Vec::new();
        for word in [LOG_MAGIC, LOG_VERSION, PAGE_BYTES as u32, 0, 11, 12] {
            log.extend(word.to_be_bytes());
        }
        let mut sum = sums.add([0, 0], &log);
        log.extend(sum.iter().flat_map(|word| word.to_be_bytes()));
        for &(number, count, byte) in frames {
            let head: Vec<u8> = [number, count].iter().flat_map(|word| word.to_be_bytes()).collect();
            let page = sealed(&keys(), number, &content(byte));
            sum = sums.add(sums.add(sum, &head), &page);
            log.extend(head);
            log.extend([11_u32, 12].iter().chain(&sum).flat_map(|word| word.to_be_bytes()));
            log.extend(page);
        }
        log
    }

    /// The first byte of each page's content behind the salt, or what is wrong.
    fn read(file: &[u8], log: &Log, count: u32) -> Result<Vec<u8>, String> {
        let keys = keys();
        let mut plain = Plain::of(&keys, file, log, count);
        let mut bytes = Vec::new();
        plain.read_to_end(&mut bytes).expect("it gives bytes");
        assert_eq!(bytes.len(), count as usize * PAGE_BYTES);
        match plain.fault() {
            None => Ok(bytes.chunks(PAGE_BYTES).map(|page| page[100]).collect()),
            Some(fault) => Err(format!("{fault:?}")),
        }
    }

    fn file(pages: &[u8]) -> Vec<u8> {
        let pages = (1..).zip(pages);
        pages.flat_map(|(number, &byte)| sealed(&keys(), number, &content(byte))).collect()
    }

    #[test]
    fn the_log_counts_as_far_as_it_was_committed() {
        let check = |frames: &[(u32, u32, u8)], expected: &[u8]| {
            let log = Log::of(log(frames));
            let count = log.count().unwrap_or(2);
            assert_eq!(read(&file(&[1, 2]), &log, count).expect("good"), expected, "{frames:?}");
        };
        check(&[], &[1, 2]);
        check(&[(2, 2, 5)], &[1, 5]);
        check(&[(2, 0, 5)], &[1, 2]);
        check(&[(3, 0, 5), (2, 3, 6)], &[1, 6, 5]);
        check(&[(2, 2, 5), (2, 2, 6), (1, 0, 7)], &[1, 6]);
        check(&[(1, 1, 9)], &[9]);
    }

    #[test]
    fn a_log_that_is_older_or_cut_counts_up_to_there() {
        let whole = log(&[(2, 2, 5), (2, 2, 6)]);
        for cut in 0..whole.len() {
            let log = Log::of(whole[..cut].to_vec());
            let frames = cut.saturating_sub(LOG_HEADER_BYTES) / FRAME_BYTES;
            let expected: &[u8] = [[1, 2], [1, 5]].get(frames).expect("it is cut");
            if cut % 509 == 0 {
                assert_eq!(read(&file(&[1, 2]), &log, 2).expect("good"), expected);
            }
        }
        let mut older = whole.clone();
        older[LOG_HEADER_BYTES + FRAME_BYTES + 8] ^= 1;
        assert_eq!(read(&file(&[1, 2]), &Log::of(older), 2).expect("good"), [1, 5]);
    }

    #[test]
    fn wrong_and_unfinished_pages_are_noticed() {
        let none = Log::default();
        let good = file(&[1, 2, 3]);
        assert_eq!(read(&good, &none, 3).expect("good"), [1, 2, 3]);
        for at in [PAGE_BYTES, 2 * PAGE_BYTES - 1, PAGE_BYTES + CONTENT_BYTES] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(read(&bad, &none, 3), Err("Page(BadPage(2))".to_owned()));
        }
        // Pages that changed their places, a file that is shorter, another key.
        let moved = [&good[..PAGE_BYTES], &good[2 * PAGE_BYTES..]].concat();
        assert_eq!(read(&moved, &none, 2), Err("Page(BadPage(2))".to_owned()));
        assert!(read(&good[..good.len() - 1], &none, 3).expect_err("it is cut").starts_with("File"));
        let mut page = *good.first_chunk().expect("a page");
        assert_eq!(Keys::of([2; KEY_BYTES], SALT).open(1, &mut page), Err(BadPage(1)));
        let mut unwritten = [0; PAGE_BYTES];
        assert_eq!(keys().open(7, &mut unwritten), Ok(()));
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(bytes in vec(any::<u8>(), 0..9000), count in 0_u32..4) {
            let log = Log::of(bytes.clone());
            let _ = read(&bytes, &log, count);
            let _ = Log::of([&super::tests::log(&[(2, 2, 5)])[..40], &bytes].concat());
        }
    }
}
