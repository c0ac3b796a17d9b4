//! Who subscribed to what: a tree of filter levels, walked along a topic's levels.

use std::collections::HashMap;
use std::hash::Hash;

use bytes::Bytes;

use crate::topic::levels;

/// Subscribers `K` with a value each, by filter.
#[derive(Debug)]
pub(crate) struct Tree<K, V> {
    root: Node<K, V>,
}

#[derive(Debug)]
struct Node<K, V> {
    children: HashMap<Bytes, Node<K, V>>,
    /// Subscribers of the filter that ends here.
    here: HashMap<K, V>,
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Self { children: HashMap::new(), here: HashMap::new() }
    }
}

impl<K, V> Default for Tree<K, V> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<K: Eq + Hash, V> Tree<K, V> {
    /// Gives back what the subscriber had on this filter before.
    pub(crate) fn insert(&mut self, filter: &[u8], subscriber: K, value: V) -> Option<V> {
        self.node(filter).here.insert(subscriber, value)
    }

    pub(crate) fn entry(&mut self, filter: &[u8], subscriber: K) -> &mut V
    where
        V: Default,
    {
        self.node(filter).here.entry(subscriber).or_default()
    }

    fn node(&mut self, filter: &[u8]) -> &mut Node<K, V> {
        levels(filter).fold(&mut self.root, |node, level| {
            node.children.entry(Bytes::copy_from_slice(level)).or_default()
        })
    }

    pub(crate) fn get_mut(&mut self, filter: &[u8], subscriber: &K) -> Option<&mut V> {
        let mut node = &mut self.root;
        for level in levels(filter) {
            node = node.children.get_mut(level)?;
        }
        node.here.get_mut(subscriber)
    }

    pub(crate) fn remove(&mut self, filter: &[u8], subscriber: &K) -> Option<V> {
        let mut rest = levels(filter);
        remove(&mut self.root, &mut rest, subscriber)
    }

    pub(crate) fn has_branch(&self, level: &[u8]) -> bool {
        self.root.children.contains_key(level)
    }

    /// All subscribers whose filter matches, one group per filter; a subscriber is in a group at most once.
    pub(crate) fn matching<'a>(&'a self, topic: &[u8], found: &mut impl FnMut(&'a HashMap<K, V>)) {
        let dollar = topic.first() == Some(&b'$');
        matching(&self.root, Some(topic), !dollar, found);
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.root.children.is_empty()
    }
}

fn remove<'l, K: Eq + Hash, V>(
    node: &mut Node<K, V>,
    rest: &mut impl Iterator<Item = &'l [u8]>,
    subscriber: &K,
) -> Option<V> {
    let Some(level) = rest.next() else { return node.here.remove(subscriber) };
    let child = node.children.get_mut(level)?;
    let removed = remove(child, rest, subscriber);
    // Empty branches go, or the tree would remember every filter ever used.
    if child.here.is_empty() && child.children.is_empty() {
        node.children.remove(level);
    }
    removed
}

fn matching<'a, K, V>(
    node: &'a Node<K, V>,
    rest: Option<&[u8]>,
    wildcards: bool,
    found: &mut impl FnMut(&'a HashMap<K, V>),
) {
    if wildcards && let Some(hash) = node.children.get(&b"#"[..]) {
        found(&hash.here);
    }
    let Some(rest) = rest else {
        if !node.here.is_empty() {
            found(&node.here);
        }
        return;
    };
    let (level, rest) = match rest.iter().position(|byte| *byte == b'/') {
        Some(slash) => (&rest[..slash], Some(&rest[slash + 1..])),
        None => (rest, None),
    };
    if let Some(child) = node.children.get(level) {
        matching(child, rest, true, found);
    }
    if wildcards && let Some(child) = node.children.get(&b"+"[..]) {
        matching(child, rest, true, found);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::topic;

    proptest! {
        #[test]
        fn the_tree_agrees_with_naive_matching(
            filters in proptest::collection::vec("([ab$]|\\+|)(/([ab]|\\+|)){0,3}(/#)?|#", 0..20),
            removed in proptest::collection::vec(any::<bool>(), 20),
            topics in proptest::collection::vec("[ab$]?(/[ab]?){0,4}", 1..10),
        ) {
            let mut tree = Tree::default();
            let mut kept = Vec::new();
            for (number, filter) in filters.iter().enumerate() {
                tree.insert(filter.as_bytes(), number, ());
            }
            for (number, filter) in filters.iter().enumerate() {
                if removed[number] {
                    prop_assert!(tree.remove(filter.as_bytes(), &number).is_some());
                } else {
                    kept.push((number, filter));
                }
            }
            prop_assert_eq!(tree.is_empty(), kept.is_empty());
            for topic in topics {
                let expected: BTreeSet<usize> = kept
                    .iter()
                    .filter(|(_, filter)| topic::matches(filter.as_bytes(), topic.as_bytes()))
                    .map(|(number, _)| *number)
                    .collect();
                let mut found = BTreeSet::new();
                tree.matching(topic.as_bytes(), &mut |group| found.extend(group.keys().copied()));
                prop_assert_eq!(&found, &expected, "{}", topic);
            }
        }
    }
}
