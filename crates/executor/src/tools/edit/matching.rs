//! Where the text to replace stands, by tiers from strict to tolerant.
//!
//! [`find`] tries one [`Tier`] after the other and stops at the first that has any match; it returns *all* of that
//! tier's matches, because two are an ambiguity for the caller to report and never a choice to make. The tolerant
//! tiers differ in white space alone, and those of blanks go by whole lines: what is not white space is always the same.

use std::ops::Range;

use serde::Serialize;

use super::indent::{Fit, fit};
use super::lines::{Line, Units, lines};

/// How closely the text had to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tier {
    /// Byte for byte.
    Exact,
    /// But for LF and CRLF.
    LineEndings,
    /// Whole lines, but for spaces and tabs at their ends too.
    TrailingWhitespace,
    /// Whole lines, all of them indented differently by the same.
    Reindented,
}

/// A place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Bytes of the text.
    pub(crate) range: Range<usize>,
    pub(crate) fit: Fit,
}

/// The matches of the first tier that has any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Matches {
    pub(crate) tier: Tier,
    /// In order; they may overlap (`aa` in `aaa`).
    pub(crate) found: Vec<Found>,
}

impl Tier {
    pub(crate) const ORDER: [Self; 4] = [Self::Exact, Self::LineEndings, Self::TrailingWhitespace, Self::Reindented];
    /// Whether line ends have to be the same ones.
    fn is_exact(self) -> bool {
        self == Self::Exact
    }
}

/// What ends a line that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// A line end, at the exact tier this one.
    Line(Vec<u8>),
    /// The same, or the end of the text.
    LineOrText(Vec<u8>),
    /// The end of the text.
    Text,
    /// It is not looked at.
    Open,
}

impl End {
    fn fits(&self, actual: &[u8], exact: bool) -> bool {
        match self {
            Self::Line(wanted) => {
                if exact {
                    actual == wanted.as_slice()
                } else {
                    !actual.is_empty()
                }
            }
            Self::LineOrText(wanted) => actual.is_empty() || !exact || actual == wanted.as_slice(),
            Self::Text => actual.is_empty(),
            Self::Open => true,
        }
    }
}

/// A line that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) content: Vec<u8>,
    pub(crate) end: End,
}

/// A text by its lines.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) units: Units,
    pub(crate) lines: Vec<Line>,
}

impl<'a> Lines<'a> {
    /// `body`: where the text begins, after a byte order mark.
    pub(crate) fn of(text: &'a [u8], units: Units, body: usize) -> Self {
        Self { text, units, lines: lines(text, units, body) }
    }
    pub(crate) fn content(&self, index: usize) -> &'a [u8] {
        self.lines.get(index).map_or(&[], |line| &self.text[line.content.clone()])
    }

    /// How the wanted lines agree with those from `start` on, at a tier.
    pub(crate) fn fit_at(&self, start: usize, wanted: &[Wanted], tier: Tier) -> Option<Fit> {
        let window = self.lines.get(start..start.checked_add(wanted.len())?)?;
        let units = self.units;
        let same = |(line, wanted): (&Line, &Wanted)| {
            let (have, want) = (&self.text[line.content.clone()], wanted.content.as_slice());
            let content = match tier {
                Tier::Exact | Tier::LineEndings => have == want,
                Tier::TrailingWhitespace => units.trim_end(have) == units.trim_end(want),
                Tier::Reindented => {
                    let (have, want) = (units.trim_end(have), units.trim_end(want));
                    have[units.indentation(have)..] == want[units.indentation(want)..]
                }
            };
            content && wanted.end.fits(&self.text[line.ending.clone()], tier.is_exact())
        };
        // Blank lines alone are everywhere: but for blanks they would say nothing.
        let blank = |wanted: &Wanted| units.trim_end(&wanted.content).is_empty();
        if !window.iter().zip(wanted).all(same) || (tier >= Tier::TrailingWhitespace && wanted.iter().all(blank)) {
            return None;
        }
        if tier != Tier::Reindented {
            return Some(Fit::Same);
        }
        let pairs = window
            .iter()
            .zip(wanted)
            .map(|(line, wanted)| (units.trim_end(&wanted.content), units.trim_end(&self.text[line.content.clone()])));
        fit(pairs, units)
    }

    /// Every window of lines that agrees at a tier, by its first line.
    pub(crate) fn windows(&self, wanted: &[Wanted], tier: Tier) -> Vec<(usize, Fit)> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let last = (self.lines.len() + 1).saturating_sub(wanted.len());
        (0..last).filter_map(|start| Some((start, self.fit_at(start, wanted, tier)?))).collect()
    }
}

/// Every place where `old` stands in `text`, which begins at `body`.
pub(crate) fn find(text: &[u8], old: &[u8], units: Units, body: usize) -> Option<Matches> {
    let matches = |tier, found: Vec<Found>| (!found.is_empty()).then_some(Matches { tier, found });
    let plain = |ranges: Vec<Range<usize>>| ranges.into_iter().map(|range| Found { range, fit: Fit::Same }).collect();
    if let found @ Some(_) = matches(Tier::Exact, plain(exact(text, old, units))) {
        return found;
    }
    let whole = Lines::of(text, units, body);
    let wanted = wanted(old, units);
    if let found @ Some(_) = matches(Tier::LineEndings, plain(but_for_line_endings(&whole, &wanted))) {
        return found;
    }
    Tier::ORDER.into_iter().filter(|tier| *tier >= Tier::TrailingWhitespace).find_map(|tier| {
        let found = whole.windows(&wanted, tier).into_iter().map(|(start, fit)| {
            let (first, last) = (&whole.lines[start], &whole.lines[start + wanted.len() - 1]);
            let open = wanted.last().is_some_and(|line| line.end == End::Open);
            Found { range: first.content.start..if open { last.content.end } else { last.ending.end }, fit }
        });
        matches(tier, found.collect())
    })
}

/// The lines of a text that is looked for as it is.
fn wanted(old: &[u8], units: Units) -> Vec<Wanted> {
    let wanted = |line: Line| Wanted {
        content: old[line.content].to_vec(),
        end: if line.ending.is_empty() { End::Open } else { End::Line(old[line.ending].to_vec()) },
    };
    lines(old, units, 0).into_iter().map(wanted).collect()
}

impl Matches {
    /// The matches that do not overlap an earlier one.
    pub(crate) fn disjoint(&self) -> Vec<&Found> {
        let mut kept: Vec<&Found> = Vec::new();
        for found in &self.found {
            if kept.last().is_none_or(|last| last.range.end <= found.range.start) {
                kept.push(found);
            }
        }
        kept
    }
}

fn exact(text: &[u8], old: &[u8], units: Units) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let Some(first) = old.first() else { return found };
    let width = units.width();
    // A line feed alone is no part of a CRLF: replacing it would leave half a line end behind.
    let halves = |start: usize| {
        let is = |at: usize, bytes: &[u8], byte: u8| units.at(bytes, at) == Some(u16::from(byte));
        is(0, old, b'\n') && start >= width && is(start - width, text, b'\r')
    };
    let mut at = 0;
    while let Some(offset) = text[at..].iter().position(|byte| byte == first) {
        let start = at + offset;
        if text[start..].starts_with(old) && start % width == 0 && !halves(start) {
            found.push(start..start + old.len());
        }
        at = start + 1;
    }
    found
}

/// Matches of a text of several lines, which may begin and end within a line.
fn but_for_line_endings(whole: &Lines<'_>, wanted: &[Wanted]) -> Vec<Range<usize>> {
    let breaks = wanted.iter().filter(|line| line.end != End::Open).count();
    let (Some(first), true) = (wanted.first(), breaks > 0) else { return Vec::new() };
    let tail = wanted.get(breaks).map_or(&[][..], |line| line.content.as_slice());
    let width = whole.units.width();
    let at = |start: usize| -> Option<Range<usize>> {
        let window = whole.lines.get(start..start + breaks)?;
        let head = whole.content(start).ends_with(&first.content).then_some(&window[0])?;
        let begin = head.content.end - first.content.len();
        let middle = window
            .iter()
            .zip(wanted)
            .skip(1)
            .all(|(line, wanted)| whole.text[line.content.clone()] == wanted.content[..]);
        let ended = window.iter().all(|line| !line.ending.is_empty());
        let end = window.last()?.ending.end;
        (middle
            && ended
            && (begin - head.content.start) % width == 0
            && whole.content(start + breaks).starts_with(tail))
        .then(|| begin..end + tail.len())
    };
    (0..whole.lines.len()).filter_map(at).collect()
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
