//! Topic names and filters as MQTT defines them: which are valid, and how they relate. Pure functions on bytes.

/// Levels of a filter. Ours have eight at most; the tree of subscriptions is walked recursively, so there is a bound.
const LEVELS_MAX: usize = 32;

/// A topic name to publish to: not empty, no wildcard. (UTF-8 and NUL are the codec's to check.)
pub fn is_name(topic: &[u8]) -> bool {
    !topic.is_empty() && !topic.iter().any(|byte| matches!(byte, b'+' | b'#' | 0))
}

/// A filter to subscribe to: `+` fills a level, `#` fills the last one.
pub fn is_filter(filter: &[u8]) -> bool {
    let last = filter.iter().filter(|byte| **byte == b'/').count();
    !filter.is_empty()
        && last < LEVELS_MAX
        && levels(filter).enumerate().all(|(index, level)| match level {
            b"+" => true,
            b"#" => index == last,
            level => !level.iter().any(|byte| matches!(byte, b'+' | b'#' | 0)),
        })
}

/// The group and the filter of a shared subscription, `$share/group/filter`.
pub fn shared(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = path.strip_prefix(b"$share/")?;
    let slash = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    Some((&rest[..slash], rest.get(slash + 1..).unwrap_or_default()))
}

pub fn levels(topic: &[u8]) -> impl Iterator<Item = &[u8]> {
    topic.split(|byte| *byte == b'/')
}

/// Whether a message on `topic` goes to a subscriber of `filter`.
pub fn matches(filter: &[u8], topic: &[u8]) -> bool {
    // Wildcards at the first level leave the broker's own `$` topics alone.
    if topic.first() == Some(&b'$') && matches!(filter.first(), Some(b'+' | b'#')) {
        return false;
    }
    let (mut filter, mut topic) = (levels(filter), levels(topic));
    loop {
        match (filter.next(), topic.next()) {
            (Some(b"#"), _) | (None, None) => return true,
            (Some(b"+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// Whether some topic matches both filters.
pub fn overlaps(one: &[u8], other: &[u8]) -> bool {
    let dollar = |filter: &[u8]| filter.first() == Some(&b'$');
    let wild = |filter: &[u8]| matches!(filter.first(), Some(b'+' | b'#'));
    if (dollar(one) && wild(other)) || (wild(one) && dollar(other)) {
        return false;
    }
    let (mut one, mut other) = (levels(one), levels(other));
    loop {
        match (one.next(), other.next()) {
            (Some(b"#"), _) | (_, Some(b"#")) | (None, None) => return true,
            (Some(b"+"), Some(_)) | (Some(_), Some(b"+")) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// Whether every topic that matches `narrow` also matches `wide`.
pub fn covers(wide: &[u8], narrow: &[u8]) -> bool {
    let wild = |filter: &[u8]| matches!(filter.first(), Some(b'+' | b'#'));
    if narrow.first() == Some(&b'$') && wild(wide) {
        return false;
    }
    let (mut wide, mut narrow) = (levels(wide), levels(narrow));
    loop {
        match (wide.next(), narrow.next()) {
            (Some(b"#"), _) | (None, None) => return true,
            (Some(b"+"), Some(level)) if level != b"#" => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn filters_and_names() {
        for good in ["a", "/", "+", "#", "a/#", "+/a/+", "a//b", "$SYS/#", "/+", "étoile/#"] {
            assert!(is_filter(good.as_bytes()), "{good}");
        }
        for bad in ["", "a#", "#/a", "a/#/b", "a+", "+a/b", "a\0b"] {
            assert!(!is_filter(bad.as_bytes()), "{bad}");
        }
        assert!(is_filter("a/".repeat(31).as_bytes()) && !is_filter("a/".repeat(32).as_bytes()));
        assert!(is_name("étoile/x".as_bytes()) && !is_name(b"") && !is_name(b"a/+"));
    }

    #[test]
    fn shared_subscriptions() {
        let parts = |path: &'static str| shared(path.as_bytes());
        assert_eq!(parts("$share/g/a/b"), Some((&b"g"[..], &b"a/b"[..])));
        assert_eq!(parts("$share/g//"), Some((&b"g"[..], &b"/"[..])));
        assert_eq!(parts("$share//a"), Some((&b""[..], &b"a"[..])));
        assert_eq!(parts("$share/g"), Some((&b"g"[..], &b""[..])));
        assert_eq!(parts("$shared/g/a"), None);
    }

    #[test]
    fn matching() {
        for (filter, topic, expected) in [
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("+/+", "/a", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(filter.as_bytes(), topic.as_bytes()), expected, "{filter} {topic}");
        }
    }

    proptest! {
        #[test]
        fn relations_agree_with_matching(
            one in "([abc]|\\+)(/([abc]|\\+)){0,3}(/#)?",
            other in "([abc]|\\+)(/([abc]|\\+)){0,3}(/#)?",
            topic in "[abc](/[abc]){0,4}",
        ) {
            let (one, other, topic) = (one.as_bytes(), other.as_bytes(), topic.as_bytes());
            prop_assert!(is_filter(one) && is_name(topic));
            if matches(one, topic) && matches(other, topic) {
                prop_assert!(overlaps(one, other));
            }
            if covers(one, other) && matches(other, topic) {
                prop_assert!(matches(one, topic));
            }
            prop_assert_eq!(overlaps(one, other), overlaps(other, one));
        }
    }
}
