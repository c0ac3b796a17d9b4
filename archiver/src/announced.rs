//! What the DJ says to a floor: the newest announcement, until it is over. Pure.

use protocol::Announcement;

/// The newest announcement of one floor. One without text clears, and is remembered, so that an older one that comes late
/// changes nothing.
#[derive(Debug, Default)]
pub struct Announced {
    newest: Option<Announcement>,
}

impl Announced {
    /// Whether this is the newest one.
    pub fn say(&mut self, said: Announcement) -> bool {
        let place = |said: &Announcement| (said.at_ms, said.id);
        let is_newer = self.newest.as_ref().is_none_or(|newest| place(newest) < place(&said));
        if is_newer {
            self.newest = Some(said);
        }
        is_newer
    }

    /// What is to be read on the floor.
    pub fn current(&self, now_ms: i64) -> Option<&Announcement> {
        let is_over = |said: &Announcement| said.until_ms.is_some_and(|until_ms| until_ms <= now_ms);
        self.newest.as_ref().filter(|said| !said.text.is_empty() && !is_over(said))
    }
}

#[cfg(test)]
mod tests {
    use protocol::{MessageId, V1};

    use super::*;

    fn said(text: &str, at_ms: i64, until_ms: Option<i64>) -> Announcement {
        Announcement { v: V1, id: MessageId::at(at_ms, [1; 10]), at_ms, text: text.into(), until_ms }
    }

    fn current(announced: &Announced, now_ms: i64) -> Option<&str> {
        announced.current(now_ms).map(|said| said.text.as_str())
    }

    #[test]
    fn the_newest_counts_until_it_is_over() {
        let mut announced = Announced::default();
        assert_eq!(current(&announced, 0), None);
        assert!(announced.say(said("Taxi at two", 20, Some(100))));
        assert!(!announced.say(said("Taxi at two", 20, Some(100))), "the same again");
        assert!(!announced.say(said("Welcome", 10, None)), "an old one that comes late");
        assert_eq!((current(&announced, 99), current(&announced, 100)), (Some("Taxi at two"), None));
        assert!(!announced.say(said("Welcome", 10, None)), "also when the newest is over");
    }

    #[test]
    fn one_without_text_clears() {
        let mut announced = Announced::default();
        announced.say(said("Taxi at two", 20, None));
        assert!(announced.say(said("", 30, None)));
        assert!(!announced.say(said("Taxi at two", 20, None)));
        assert_eq!(current(&announced, 40), None);
    }
}
