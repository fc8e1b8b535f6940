//! Indentation that differs everywhere by the same, and text indented like the place it is put in.
//!
//! Three differences count: the text has something more before every line, something less, or tabs where the other
//! has so many spaces for each. Anything else is not uniform, and no match.

use super::lines::Units;

/// How the indentation of a place in the text relates to that of what was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is the same.
    Same,
    /// Every line of the place has this before it.
    Deeper(Vec<u8>),
    /// Every line that was looked for has this before it.
    Shallower(Vec<u8>),
    /// The place has a tab for so many spaces.
    Tabs(usize),
    /// The place has so many spaces for a tab.
    Spaces(usize),
}

/// Spaces that a tab may stand for.
const TAB: std::ops::RangeInclusive<usize> = 2..=8;

/// How the second of each pair of lines is indented, beside the first. Blank lines say nothing.
pub(crate) fn fit<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>, units: Units) -> Option<Fit> {
    let indented = pairs.filter(|(old, _)| !old.is_empty());
    let both: Vec<(&[u8], &[u8])> =
        indented.map(|(old, text)| (&old[..units.indentation(old)], &text[..units.indentation(text)])).collect();
    let (old, text) = *both.first()?;
    if let Some(more) = text.strip_suffix(old)
        && both.iter().all(|(old, text)| text.strip_prefix(more) == Some(*old))
    {
        return Some(if more.is_empty() { Fit::Same } else { Fit::Deeper(more.to_vec()) });
    }
    if let Some(less) = old.strip_suffix(text)
        && both.iter().all(|(old, text)| old.strip_prefix(less) == Some(*text))
    {
        return Some(Fit::Shallower(less.to_vec()));
    }
    let (space, tab) = (units.ascii(" "), units.ascii("\t"));
    let of = |indent: &[u8], unit: &[u8]| {
        indent.chunks(unit.len()).all(|one| one == unit).then_some(indent.len() / unit.len())
    };
    let width = |counts: Vec<Option<(usize, usize)>>| -> Option<usize> {
        let counts: Vec<(usize, usize)> = counts.into_iter().collect::<Option<_>>()?;
        let (spaces, tabs) = *counts.iter().find(|(_, tabs)| *tabs > 0)?;
        let width = spaces / tabs;
        (TAB.contains(&width) && counts.iter().all(|(spaces, tabs)| *spaces == tabs * width)).then_some(width)
    };
    let tabs = width(both.iter().map(|(old, text)| Some((of(old, &space)?, of(text, &tab)?))).collect());
    let spaces = || width(both.iter().map(|(old, text)| Some((of(text, &space)?, of(old, &tab)?))).collect());
    tabs.map(Fit::Tabs).or_else(|| spaces().map(Fit::Spaces))
}

impl Fit {
    /// A line of new text, indented like the place; `None` when its own indentation does not allow that.
    pub(crate) fn indent(&self, line: &[u8], units: Units) -> Option<Vec<u8>> {
        let (indentation, rest) = line.split_at(units.indentation(line));
        if rest.is_empty() {
            return Some(line.to_vec());
        }
        let (space, tab) = (units.ascii(" "), units.ascii("\t"));
        let convert = |from: &[u8], each: usize, to: Vec<u8>| {
            let pure = indentation.chunks(units.width()).all(|unit| unit == from);
            let count = indentation.len() / units.width();
            (pure && count.is_multiple_of(each)).then(|| [to.repeat(count / each).as_slice(), rest].concat())
        };
        match self {
            Self::Same => Some(line.to_vec()),
            Self::Deeper(more) => Some([more, line].concat()),
            Self::Shallower(less) => line.strip_prefix(less.as_slice()).map(<[u8]>::to_vec),
            Self::Tabs(width) => convert(&space, *width, tab),
            Self::Spaces(width) => convert(&tab, 1, space.repeat(*width)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Option<Fit> {
        fit(pairs.iter().map(|(old, text)| (old.as_bytes(), text.as_bytes())), Units::One)
    }

    #[test]
    fn the_same_difference_everywhere_is_a_fit() {
        assert_eq!(of(&[("a", "  a"), ("", ""), ("  b", "    b")]), Some(Fit::Deeper(b"  ".to_vec())));
        assert_eq!(of(&[("\ta", "a"), ("\t\tb", "\tb")]), Some(Fit::Shallower(b"\t".to_vec())));
        assert_eq!(of(&[("a", "a"), ("    b", "\tb"), ("        c", "\t\tc")]), Some(Fit::Tabs(4)));
        assert_eq!(of(&[("\ta", "  a"), ("\t\tb", "    b")]), Some(Fit::Spaces(2)));
        assert_eq!(of(&[("a", "a")]), Some(Fit::Same));
    }

    #[test]
    fn any_other_difference_is_none() {
        assert_eq!(of(&[("a", "  a"), ("  b", "      b")]), None, "not by the same");
        assert_eq!(of(&[("    a", "\ta"), ("      b", "\t\tb")]), None, "four spaces, then two");
        assert_eq!(of(&[("  a", "\t\ta")]), None, "a tab is no single space");
        assert_eq!(of(&[(" \ta", "\t a")]), None);
        assert_eq!(of(&[("a", "\ta"), ("    b", "\t\tb")]), None, "deeper and of tabs at once");
    }

    #[test]
    fn new_lines_are_indented_like_the_place_or_not_at_all() {
        let line =
            |fit: &Fit, line: &str| fit.indent(line.as_bytes(), Units::One).map(|l| String::from_utf8(l).unwrap());
        assert_eq!(line(&Fit::Deeper(b"\t".to_vec()), "\tx").as_deref(), Some("\t\tx"));
        assert_eq!(line(&Fit::Deeper(b"\t".to_vec()), "").as_deref(), Some(""));
        assert_eq!(line(&Fit::Shallower(b"  ".to_vec()), "   x").as_deref(), Some(" x"));
        assert_eq!(line(&Fit::Shallower(b"  ".to_vec()), " x"), None);
        assert_eq!(line(&Fit::Tabs(4), "        x  y").as_deref(), Some("\t\tx  y"));
        assert_eq!(line(&Fit::Tabs(4), "      x"), None, "six spaces are one tab and a half");
        assert_eq!(line(&Fit::Spaces(2), "\t\tx\t").as_deref(), Some("    x\t"));
        assert_eq!(line(&Fit::Spaces(2), " x"), None);
    }
}
