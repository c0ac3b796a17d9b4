//! What the desks of one floor were asked from elsewhere and have not answered. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::{DeskId, DeskRequest, MessageId, message};

/// Of one desk; an older one gives way.
const REQUESTS_MAX: usize = 16;

/// Desks that wait for something; a request to another one is refused.
const DESKS_MAX: usize = 64;

/// Requests remembered after they were answered, so that one that is sent again is not new.
const SEEN_MAX: usize = 256;

/// Room for what surrounds the list in its message.
const AROUND_BYTES: usize = 200;

/// The lists of one floor.
#[derive(Debug, Default)]
pub struct Requests {
    /// In the order in which they came: a desk that names one has seen all before it.
    desks: BTreeMap<DeskId, VecDeque<DeskRequest>>,
    seen: VecDeque<MessageId>,
    changed: BTreeSet<DeskId>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    Added,
    /// It is there already, or was.
    Known,
    /// The oldest one of the desk had to give way.
    Crowded,
    /// Too many desks are asked.
    Refused,
}

impl Requests {
    pub fn add(&mut self, desk: &DeskId, request: DeskRequest) -> Added {
        if self.seen.contains(&request.id) {
            return Added::Known;
        }
        if !self.desks.contains_key(desk) && self.desks.len() >= DESKS_MAX {
            return Added::Refused;
        }
        self.seen.push_back(request.id);
        if self.seen.len() > SEEN_MAX {
            self.seen.pop_front();
        }
        self.changed.insert(desk.clone());
        let list = self.desks.entry(desk.clone()).or_default();
        list.push_back(request);
        let mut added = Added::Added;
        while list.len() > REQUESTS_MAX || !fits(list) {
            list.pop_front();
            added = Added::Crowded;
        }
        added
    }

    /// Takes up what was published before we came. It stands before what came since.
    pub fn resume(&mut self, desk: &DeskId, published: Vec<DeskRequest>) {
        let since = self.desks.remove(desk).unwrap_or_default();
        self.seen.retain(|id| !since.iter().any(|request| request.id == *id));
        for request in published.into_iter().chain(since) {
            self.add(desk, request);
        }
    }

    /// The desk has dealt with this one and all before it. One that is not on the list says nothing.
    pub fn answered(&mut self, desk: &DeskId, answered: MessageId) {
        let Some(list) = self.desks.get_mut(desk) else { return };
        if let Some(place) = list.iter().position(|request| request.id == answered) {
            list.drain(..=place);
            self.changed.insert(desk.clone());
        }
        if list.is_empty() {
            self.desks.remove(desk);
        }
    }

    /// Everything is to be said anew.
    pub fn change_all(&mut self) {
        self.changed.extend(self.desks.keys().cloned());
    }

    /// Desks whose list has changed since the last time, with what they have not answered.
    pub fn take_changed(&mut self) -> Vec<(DeskId, Vec<DeskRequest>)> {
        let list = |desk: &DeskId| self.desks.get(desk).into_iter().flatten().cloned().collect();
        std::mem::take(&mut self.changed).into_iter().map(|desk| (desk.clone(), list(&desk))).collect()
    }
}

fn fits(list: &VecDeque<DeskRequest>) -> bool {
    let bytes: usize = list.iter().map(|request| message::write(request).len() + 1).sum();
    list.len() <= 1 || bytes + AROUND_BYTES <= message::PAYLOAD_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use protocol::{PlayId, Request};

    use super::*;

    fn desk(name: &str) -> DeskId {
        name.parse().unwrap()
    }

    fn id(n: u16) -> MessageId {
        MessageId::at(i64::from(n), [1; 10])
    }

    fn request(n: u16) -> DeskRequest {
        DeskRequest { id: id(n), at_ms: i64::from(n), request: Request::GoLive }
    }

    fn changed(requests: &mut Requests) -> Vec<(String, Vec<MessageId>)> {
        let ids = |list: Vec<DeskRequest>| list.into_iter().map(|request| request.id).collect();
        requests.take_changed().into_iter().map(|(desk, list)| (desk.to_string(), ids(list))).collect()
    }

    #[test]
    fn a_list_has_what_is_not_answered() {
        let mut requests = Requests::default();
        let booth = desk("booth");
        for n in [2, 1, 3] {
            assert_eq!(requests.add(&booth, request(n)), Added::Added);
        }
        assert_eq!(requests.add(&booth, request(1)), Added::Known);
        assert_eq!(changed(&mut requests), [("booth".into(), vec![id(2), id(1), id(3)])]);
        requests.answered(&booth, id(1));
        requests.answered(&booth, id(9));
        assert_eq!(changed(&mut requests), [("booth".into(), vec![id(3)])]);
        requests.answered(&booth, id(3));
        assert_eq!(changed(&mut requests), [("booth".into(), vec![])]);
        assert_eq!(requests.add(&booth, request(2)), Added::Known, "sent again, and answered already");
        assert_eq!(changed(&mut requests), []);
    }

    #[test]
    fn what_was_published_stands_before_what_came_since() {
        let mut requests = Requests::default();
        let booth = desk("booth");
        requests.add(&booth, request(3));
        requests.resume(&booth, vec![request(1), request(2), request(3)]);
        assert_eq!(changed(&mut requests), [("booth".into(), vec![id(1), id(2), id(3)])]);
    }

    #[test]
    fn nothing_grows_without_end() {
        let mut requests = Requests::default();
        let booth = desk("booth");
        for n in 0..1000 {
            requests.add(&booth, request(n));
        }
        assert_eq!(requests.add(&booth, request(1000)), Added::Crowded);
        assert_eq!((requests.desks[&booth].len(), requests.seen.len()), (REQUESTS_MAX, SEEN_MAX));
        for n in 1..1000 {
            requests.add(&desk(&format!("desk-{n}")), request(2000 + n));
        }
        assert_eq!(requests.desks.len(), DESKS_MAX);
        let long = Request::Correct {
            play_id: PlayId::at(1, [1; 10]),
            artist: Some("🐹".repeat(200)),
            title: "🐹".repeat(200),
        };
        for n in 5000..5020 {
            requests.add(&booth, DeskRequest { id: id(n), at_ms: 1, request: long.clone() });
        }
        let bytes: usize = requests.desks[&booth].iter().map(|request| message::write(request).len()).sum();
        assert!(bytes < message::PAYLOAD_BYTES_MAX && requests.desks[&booth].len() > 5);
    }
}
