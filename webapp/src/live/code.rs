//! Short codes of floors, for those who type: four letters that cannot be mistaken for each other.

use protocol::FloorAddress;
use sha2::{Digest, Sha256};

/// No vowels, so that no word comes out, and nothing that looks or sounds like another one.
const LETTERS: &[u8; 16] = b"bcdfghjkmnprtvwx";

const LENGTH: usize = 4;

/// The code of one of these floors. It depends on the floor's address; only when two of an event would share one, the
/// later one in the order of addresses takes another.
pub fn of(floor: &FloorAddress, all: &[FloorAddress]) -> String {
    let mut all: Vec<&FloorAddress> = all.iter().collect();
    all.sort();
    let mut taken = Vec::new();
    for other in all {
        let code = candidates(other).find(|code| !taken.contains(code)).unwrap_or_default();
        if other == floor {
            return code;
        }
        taken.push(code);
    }
    candidates(floor).next().unwrap_or_default()
}

/// The floor with that code.
pub fn find<'a>(code: &str, all: &'a [FloorAddress]) -> Option<&'a FloorAddress> {
    let code = code.to_ascii_lowercase();
    let is_code = code.len() == LENGTH && code.bytes().all(|letter| LETTERS.contains(&letter));
    if is_code { all.iter().find(|floor| of(floor, all) == code) } else { None }
}

fn candidates(floor: &FloorAddress) -> impl Iterator<Item = String> {
    let hash = Sha256::digest(floor.to_string().as_bytes());
    let letter = |half: u8| char::from(LETTERS[usize::from(half & 0xf)]);
    let letters: Vec<char> = hash.iter().flat_map(|byte| [letter(byte >> 4), letter(*byte)]).collect();
    (0..letters.len() - LENGTH).map(move |at| letters[at..at + LENGTH].iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_floor_is_found_by_its_code_and_nothing_else_is() {
        let all: Vec<FloorAddress> = (0..40).map(|n| format!("night/floor-{n}").parse().unwrap()).collect();
        let mut codes: Vec<String> = all.iter().map(|floor| of(floor, &all)).collect();
        for (floor, code) in all.iter().zip(&codes) {
            assert_eq!(find(&code.to_uppercase(), &all), Some(floor));
        }
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), all.len());
        let alone = vec![all[7].clone()];
        assert!(codes.contains(&of(&all[7], &alone)), "the code stays the same as a rule");
        for other in ["", "abcd", "bcd", "bcdfg", "łłłł", "join"] {
            assert_eq!(find(other, &all), None, "{other}");
        }
    }
}
