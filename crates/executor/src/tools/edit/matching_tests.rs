//! Tiers over bytes; through the whole tool in the table of cases.

use super::super::replacing::{Change, replace};
use super::*;
use proptest::prelude::*;

/// The tier and the range of a match that is the only one.
fn one(text: &[u8], old: &[u8]) -> Option<(Tier, Range<usize>)> {
    let found = find(text, old, Units::One, 0)?;
    assert_eq!(found.found.len(), 1);
    Some((found.tier, found.found[0].range.clone()))
}

#[test]
fn all_matches_are_found_overlapping_ones_too() {
    let found = find(b"aaa", b"aa", Units::One, 0).unwrap();
    assert_eq!(found.found.iter().map(|found| found.range.clone()).collect::<Vec<_>>(), [0..2, 1..3]);
    assert_eq!(found.disjoint().len(), 1);
    assert_eq!(one(b"abc", b"x"), None);
    assert_eq!(one(b"abc", b""), None);
}

#[test]
fn a_wide_match_begins_at_a_code_unit() {
    // U+6100 U+6200 in UTF-16LE holds the bytes of "a" (61 00) across two units.
    let text = b"\x00\x61\x00\x62";
    assert_eq!(find(text, b"\x61\x00", Units::TwoLittle, 0), None);
    assert_eq!(one(text, b"\x61\x00"), Some((Tier::Exact, 1..3)));
}

#[test]
fn a_line_feed_is_not_taken_out_of_a_crlf() {
    assert_eq!(one(b"a\r\nb", b"\nb"), Some((Tier::LineEndings, 1..4)));
    assert_eq!(one(b"a\r\nb\nb", b"\nb"), Some((Tier::Exact, 4..6)));
}

#[test]
fn each_tier_has_its_matches() {
    assert_eq!(one(b"xa\r\nbx", b"a\nb"), Some((Tier::LineEndings, 1..5)));
    assert_eq!(one(b"a\nb\n", b"a\r\nb"), Some((Tier::LineEndings, 0..3)));
    assert_eq!(one(b"0\na \nb\t\n", b"a\nb"), Some((Tier::TrailingWhitespace, 2..7)));
    assert_eq!(one(b"xa \nb\n", b"a\nb"), None, "a part of a line is no whole line");
    assert_eq!(one(b"0\n  a\n\n  b\n", b"a\n\nb\n"), Some((Tier::Reindented, 2..11)));
    assert_eq!(one(b" \n\n \n", b"  \n  \n"), None, "blank lines are everywhere");
    assert_eq!(one(b"\xEF\xBB\xBFa \nb\n", b"a\nb"), None, "the mark is before the first line");
    let marked = find(b"\xEF\xBB\xBFa \nb\n", b"a\nb", Units::One, 3).unwrap();
    assert_eq!(marked.found[0].range, 3..7);
}

proptest! {
    #[test]
    fn bytes_outside_the_ranges_never_change(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 1..6),
        old in prop::collection::vec(0_u8..4, 1..4),
        new in prop::collection::vec(any::<u8>(), 0..6),
    ) {
        let text = parts.join(old.as_slice());
        let found = find(&text, &old, Units::One, 0);
        let ranges: Vec<Range<usize>> =
            found.iter().flat_map(Matches::disjoint).map(|found| found.range.clone()).collect();
        let result = replace(&text, &ranges.iter().map(|range| (range.clone(), new.clone())).collect::<Vec<_>>());
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

    /// What differs in white space alone is found where it stands, and put back as it was when nothing changes.
    #[test]
    fn a_tolerant_match_differs_in_white_space_alone(
        text in "([ \t]{0,2}[ab]{0,2}[ \t]{0,1}(\n|\r\n)){1,12}",
        start in 0..12_usize, count in 1..5_usize, shift in "[ \t]{0,2}",
    ) {
        let lines: Vec<&str> = text.lines().collect();
        let window: Vec<String> =
            lines.iter().skip(start % lines.len()).take(count).map(|line| format!("{shift}{}", line.trim_end())).collect();
        let old = window.join("\n");
        let bare = |bytes: &[u8]| bytes.iter().copied().filter(|b| !b" \t\r\n".contains(b)).collect::<Vec<u8>>();
        if let Some(found) = find(text.as_bytes(), old.as_bytes(), Units::One, 0) {
            for one in &found.found {
                let place = &text.as_bytes()[one.range.clone()];
                prop_assert_eq!(bare(place), bare(old.as_bytes()));
                let change = Change { old: old.as_bytes(), new: old.as_bytes(), units: Units::One };
                if found.tier != Tier::Exact {
                    prop_assert_eq!(change.at(text.as_bytes(), one, found.tier).unwrap(), place);
                }
            }
        } else {
            prop_assert!(old.trim().is_empty());
        }
    }
}
