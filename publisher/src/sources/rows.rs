//! Rows of a program's history that are plays: which of them are news. Pure, and the same for every program that keeps one
//! row a play.

use std::collections::{HashMap, HashSet};

use protocol::Track;

use super::CatchUp;
use super::observation::{Arrival, Location, Observation, is_fresh};

/// Programs note times in whole seconds.
const WHOLE_SECONDS_MS: i64 = 1_000;

/// The memory of the rows that were met.
#[derive(Debug)]
pub(super) struct Rows {
    catch_up: CatchUp,
    looked: bool,
    /// The plays of the last look: as many as rows are asked for, and no more.
    met: HashMap<String, Met>,
}

#[derive(Debug)]
struct Met {
    track: Track,
    place: Option<(Location, i64)>,
    told: bool,
}

impl Rows {
    pub fn new(catch_up: CatchUp) -> Self {
        Self { catch_up, looked: false, met: HashMap::new() }
    }

    /// Of the newest rows, oldest first, those that are new and those of which more is known than before.
    pub fn news(&mut self, now_ms: i64, rows: Vec<Observation>) -> Vec<Observation> {
        let arrival = if self.looked { Arrival::Live } else { Arrival::Found };
        self.looked = true;
        let before = std::mem::take(&mut self.met);
        let places: HashSet<_> = before.values().filter_map(|met| met.place.clone()).collect();
        // When rows are deleted, older ones come into sight again: what stands before a known row is not new.
        let first_new = rows.iter().rposition(|row| before.contains_key(&row.identity));
        let first_new = first_new.map_or(0, |known| known + 1);
        let last = rows.len().saturating_sub(1);
        let mut news = Vec::new();
        for (index, mut row) in rows.into_iter().enumerate() {
            row.arrival = arrival;
            let place = row.location.clone().zip(row.started_ms);
            let known = before.get(&row.identity);
            let told = match known {
                Some(met) => met.told,
                None => {
                    // Some programs copy rows when histories are put together.
                    let is_copy = place.as_ref().is_some_and(|place| places.contains(place));
                    index >= first_new && !is_copy && self.is_wanted(&row, now_ms)
                }
            };
            let is_news = known.is_none_or(|met| met.track != row.track);
            self.met.insert(row.identity.clone(), Met { track: row.track.clone(), place, told });
            // What stands last is what is heard, also when more is known of an older one.
            if told && (is_news || (index == last && !news.is_empty())) {
                news.push(row);
            }
        }
        news
    }

    /// Whether a new row is a play of this set, or one that is still heard.
    fn is_wanted(&self, row: &Observation, now_ms: i64) -> bool {
        let in_time = match (row.started_ms, row.arrival) {
            (Some(started_ms), _) => {
                started_ms >= self.catch_up.since_ms.saturating_sub(WHOLE_SECONDS_MS)
                    || is_fresh(started_ms, row.track.duration_ms, now_ms)
            }
            (None, arrival) => arrival != Arrival::Found,
        };
        in_time && !self.catch_up.seen.contains(&row.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::observation::SourceKind;

    const T: i64 = 1_795_291_800_000;

    fn row(title: &str, started_s: i64, bpm: Option<f64>) -> Observation {
        let mut row = Observation::new(SourceKind::Mixxx, format!("{title}|{started_s}"));
        row.track.title = Some(title.to_owned());
        row.track.bpm = bpm;
        row.location = Some(Location::Path(format!("/m/{title}")));
        row.started_ms = Some(T + started_s * 1000);
        row
    }

    #[track_caller]
    fn check(rows: &mut Rows, at_s: i64, looked: Vec<Observation>, expected: &str) {
        let news = rows.news(T + at_s * 1000, looked);
        let titles: Vec<String> = news.into_iter().filter_map(|row| row.track.title).collect();
        assert_eq!(titles.join(" "), expected);
    }

    #[test]
    fn every_play_of_the_set_once() {
        let seen = HashSet::from(["told|10".to_owned()]);
        let mut rows = Rows::new(CatchUp { seen, since_ms: T });
        let mut all = vec![row("old", -5000, None), row("told", 10, None), row("missed", 200, None)];
        check(&mut rows, 2000, all.clone(), "missed");
        check(&mut rows, 2001, all.clone(), "");
        all.push(row("new", 2002, None));
        check(&mut rows, 2003, all.clone(), "new");
        // The clock was put back: a new row is a new play.
        all.push(row("newer", 1000, None));
        check(&mut rows, 2100, all, "newer");
    }

    #[test]
    fn what_is_still_heard_is_told_although_it_began_before() {
        let mut rows = Rows::new(CatchUp { since_ms: T, ..CatchUp::default() });
        check(&mut rows, 100, vec![row("before", -120, None)], "before");
    }

    #[test]
    fn better_known_plays_come_again_and_the_newest_stays_last() {
        let mut rows = Rows::new(CatchUp { since_ms: T, ..CatchUp::default() });
        check(&mut rows, 20, vec![row("a", 10, None)], "a");
        check(&mut rows, 300, vec![row("a", 10, None), row("b", 290, None)], "b");
        check(&mut rows, 301, vec![row("a", 10, Some(124.0)), row("b", 290, None)], "a b");
        check(&mut rows, 302, vec![row("a", 10, Some(124.0)), row("b", 290, Some(126.0))], "b");
    }

    #[test]
    fn deleted_and_copied_rows_are_no_plays() {
        let mut rows = Rows::new(CatchUp { since_ms: T, ..CatchUp::default() });
        check(&mut rows, 300, vec![row("b", 20, None), row("c", 290, None)], "b c");
        check(&mut rows, 301, vec![row("a", 10, None), row("b", 20, None)], "");
        let copy = Observation { identity: "copy".to_owned(), ..row("b", 20, None) };
        check(&mut rows, 302, vec![row("b", 20, None), copy], "");
    }
}
