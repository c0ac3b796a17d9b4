//! Statements that write many rows at once: one round trip for many rows, and still a handful of fixed texts.

use std::collections::HashMap;
use std::hash::Hash;

/// Rows of one statement. Each size is a text of its own that the database prepares once.
const SIZES: [usize; 3] = [64, 8, 1];

/// `insert into … values (…), (…) on conflict …`, for each of the sizes.
#[derive(Debug)]
pub(crate) struct Rows([String; SIZES.len()]);

impl Rows {
    /// `head` ends with the columns in parentheses, `tail` begins with `on conflict`.
    pub(crate) fn new(head: &str, columns: usize, tail: &str) -> Self {
        Self(SIZES.map(|rows| {
            let row = |row: usize| {
                let columns = (1..=columns).map(|column| format!("${}", row * columns + column));
                format!("({})", columns.collect::<Vec<_>>().join(", "))
            };
            let values = (0..rows).map(row).collect::<Vec<_>>().join(",\n    ");
            format!("{head}\nvalues {values}\n{tail}")
        }))
    }

    /// All rows, as few statements as the sizes allow.
    pub(crate) fn of<'a, T>(
        &'static self,
        mut rows: &'a [T],
    ) -> impl Iterator<Item = (&'static str, &'a [T])> {
        std::iter::from_fn(move || {
            let at = SIZES.iter().position(|size| *size <= rows.len())?;
            let (now, later) = rows.split_at(SIZES[at]);
            rows = later;
            Some((self.0[at].as_str(), now))
        })
    }
}

/// Rows for one statement, which must not touch a row of the table twice.
#[derive(Debug)]
pub(crate) struct Distinct<K, T> {
    groups: Vec<Vec<T>>,
    places: HashMap<K, usize>,
}

impl<K: Eq + Hash, T> Distinct<K, T> {
    pub(crate) fn new() -> Self {
        Self { groups: vec![Vec::new()], places: HashMap::new() }
    }

    /// Adds a row. If there is one with its key, `merge` makes one of both, as the statement would; if they cannot be
    /// one (`false`), the new one goes into a later statement.
    pub(crate) fn add(&mut self, key: K, row: T, merge: impl FnOnce(&mut T, &T) -> bool) {
        let last = self.groups.len() - 1;
        if let Some(place) = self.places.get(&key) {
            if merge(&mut self.groups[last][*place], &row) {
                return;
            }
            self.groups.push(Vec::new());
            self.places.clear();
        }
        let last = self.groups.len() - 1;
        self.places.insert(key, self.groups[last].len());
        self.groups[last].push(row);
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &[T]> {
        self.groups.iter().map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static ROWS: LazyLock<Rows> =
        LazyLock::new(|| Rows::new("insert into t (a, b)", 2, "on conflict do nothing"));

    #[test]
    fn parameters_are_numbered_through() {
        let two: Vec<_> = ROWS.of(&[1; 9]).collect();
        assert_eq!((two[0].1.len(), two[1].1.len()), (8, 1));
        assert_eq!(two[1].0, "insert into t (a, b)\nvalues ($1, $2)\non conflict do nothing");
        assert!(two[0].0.contains("($15, $16)\n"), "{}", two[0].0);
    }

    #[test]
    fn every_row_is_in_there_once() {
        for count in [0, 1, 7, 8, 9, 63, 64, 65, 200] {
            let all: Vec<usize> = (0..count).collect();
            let written: Vec<usize> = ROWS.of(&all).flat_map(|(_, rows)| rows.to_vec()).collect();
            assert_eq!(written, all);
        }
    }

    #[test]
    fn a_row_that_cannot_be_merged_comes_later() {
        let mut distinct = Distinct::new();
        for (key, owner) in [("a", 1), ("b", 1), ("a", 1), ("a", 2), ("b", 1), ("a", 2)] {
            distinct.add(key, (key, owner), |old, new| old.1 == new.1);
        }
        let groups: Vec<&[_]> = distinct.groups().collect();
        assert_eq!(groups, [&[("a", 1), ("b", 1)][..], &[("a", 2), ("b", 1)]]);
    }
}
