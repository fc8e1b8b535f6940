//! Where the text to replace stands, by tiers from strict to tolerant.
//!
//! [`find`] tries one [`Tier`] after the other and stops at the first that has any match; it returns *all* of that
//! tier's matches, because two are an ambiguity for the caller to report and never a choice to make. Today there is
//! one tier; a further one is a variant, its place in [`Tier::ORDER`] and its arm in [`Tier::matches`].

use std::ops::Range;

use serde::Serialize;

/// How closely the text had to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tier {
    /// Byte for byte.
    Exact,
}

/// The matches of the first tier that has any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Matches {
    pub(crate) tier: Tier,
    /// Byte ranges in order; they may overlap (`aa` in `aaa`).
    pub(crate) ranges: Vec<Range<usize>>,
}

impl Tier {
    const ORDER: [Self; 1] = [Self::Exact];

    fn matches(self, text: &[u8], old: &[u8], step: usize) -> Vec<Range<usize>> {
        match self {
            Self::Exact => exact(text, old, step),
        }
    }
}

/// Every place where `old` stands in `text`. `step` is the width of a code unit: matches begin at multiples of it.
pub(crate) fn find(text: &[u8], old: &[u8], step: usize) -> Option<Matches> {
    Tier::ORDER.into_iter().find_map(|tier| {
        let ranges = tier.matches(text, old, step);
        (!ranges.is_empty()).then_some(Matches { tier, ranges })
    })
}

impl Matches {
    /// The matches that do not overlap an earlier one.
    pub(crate) fn disjoint(&self) -> Vec<Range<usize>> {
        let mut kept: Vec<Range<usize>> = Vec::new();
        for range in &self.ranges {
            if kept.last().is_none_or(|last| last.end <= range.start) {
                kept.push(range.clone());
            }
        }
        kept
    }
}

fn exact(text: &[u8], old: &[u8], step: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (Some(first), true) = (old.first(), step > 0) else { return found };
    let mut at = 0;
    while let Some(offset) = text[at..].iter().position(|byte| byte == first) {
        let start = at + offset;
        if text[start..].starts_with(old) && start % step == 0 {
            found.push(start..start + old.len());
        }
        at = start + 1;
    }
    found
}

/// `text` with each of the (disjoint, ordered) ranges replaced by `new`.
pub(crate) fn replace(text: &[u8], ranges: &[Range<usize>], new: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    let mut done = 0;
    for range in ranges {
        result.extend_from_slice(&text[done..range.start]);
        result.extend_from_slice(new);
        done = range.end;
    }
    result.extend_from_slice(&text[done..]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_matches_are_found_overlapping_ones_too() {
        let found = find(b"aaa", b"aa", 1).unwrap();
        assert_eq!(found.ranges, [0..2, 1..3]);
        assert_eq!(found.disjoint(), std::slice::from_ref(&(0..2)));
        assert_eq!(find(b"abc", b"x", 1), None);
        assert_eq!(find(b"abc", b"", 1), None);
    }

    #[test]
    fn a_wide_match_begins_at_a_code_unit() {
        // U+6100 U+6200 in UTF-16LE holds the bytes of "a" (61 00) across two units.
        let text = b"\x00\x61\x00\x62";
        assert_eq!(find(text, b"\x61\x00", 2), None);
        assert_eq!(find(text, b"\x61\x00", 1).unwrap().ranges, std::slice::from_ref(&(1..3)));
    }

    proptest! {
        #[test]
        fn bytes_outside_the_ranges_never_change(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 1..6),
            old in prop::collection::vec(0_u8..4, 1..4),
            new in prop::collection::vec(any::<u8>(), 0..6),
        ) {
            let text = parts.join(old.as_slice());
            let ranges = find(&text, &old, 1).map(|found| found.disjoint()).unwrap_or_default();
            let result = replace(&text, &ranges, &new);
            // Walk both: outside the ranges every byte is the same and in the same order.
            let (mut before, mut after) = (0, 0);
            for range in &ranges {
                let kept = range.start - before;
                prop_assert_eq!(&text[before..range.start], &result[after..after + kept]);
                prop_assert_eq!(&text[range.clone()], old.as_slice());
                prop_assert_eq!(&result[after + kept..after + kept + new.len()], new.as_slice());
                before = range.end;
                after += kept + new.len();
            }
            prop_assert_eq!(&text[before..], &result[after..]);
            if parts.len() > 1 {
                prop_assert!(!ranges.is_empty());
            }
        }
    }
}
