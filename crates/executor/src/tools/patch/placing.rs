//! Where the hunks of a patch stand in a file, and what the file becomes.
//!
//! A hunk has to fit at exactly one place. Its context and its removed lines are looked for as whole lines by the tiers
//! of `edit`; at the first tier with a match, two are an ambiguity. It is resolved by what the patch itself says and by
//! nothing else: a unified diff by its line number, when the hunk fits there to the line; an envelope by the block of
//! its `@@` line, or by `*** End of File`. Nearest is never asked.

use std::ops::Range;

use super::parse::{Form, Hunk, HunkLine, Op};
use crate::tools::edit::{End, Fit, Lines, Tier, Wanted, line_end};

/// Hunks in their places.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// What to put where, in order.
    pub(super) changes: Vec<(Range<usize>, Vec<u8>)>,
    /// The tier of each hunk.
    pub(super) tiers: Vec<Tier>,
}

/// Why a hunk has no place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misplaced {
    /// It fits nowhere.
    Nowhere,
    /// It fits at these lines.
    Ambiguous(Vec<usize>),
    /// No line, or one of several, is the one that `@@` names.
    NoSuchBlock(String),
    /// It has no line of the old file to find its place by.
    NoContext,
    /// It stands before the hunk before it, or over it: the lines where it fits.
    OutOfOrder(usize),
    /// A new line cannot be indented like the place; its number within the hunk's new lines.
    Indentation(usize),
    /// A character that the file's encoding lacks.
    Unspeakable(char),
}

/// A file that hunks are put into.
pub(super) struct Target<'a, E> {
    pub(super) whole: Lines<'a>,
    pub(super) form: Form,
    /// Text in the file's encoding.
    pub(super) encode: E,
}

impl<E: Fn(&str) -> Result<Vec<u8>, char>> Target<'_, E> {
    /// Every hunk in its place, or the index of the one that has none.
    pub(super) fn place(&self, hunks: &[Hunk]) -> Result<Placed, (usize, Misplaced)> {
        let mut placed = Placed::default();
        let mut free = 0;
        for (index, hunk) in hunks.iter().enumerate() {
            let at = |misplaced| (index, misplaced);
            let (start, fit, tier) = self.find(hunk).map_err(at)?;
            if start < free {
                return Err(at(Misplaced::OutOfOrder(start + 1)));
            }
            let count = hunk.old().count();
            let change = self.change(hunk, start, count, &fit, tier).map_err(at)?;
            free = start + count;
            placed.changes.push(change);
            placed.tiers.push(tier);
        }
        Ok(placed)
    }

    fn encoded(&self, text: &str) -> Result<Vec<u8>, Misplaced> {
        (self.encode)(text).map_err(Misplaced::Unspeakable)
    }

    /// The line where a hunk begins, from 0, and how it agrees.
    fn find(&self, hunk: &Hunk) -> Result<(usize, Fit, Tier), Misplaced> {
        let wanted: Vec<Wanted> = hunk.old().map(|line| self.wanted(line)).collect::<Result<_, _>>()?;
        if wanted.is_empty() {
            return self.without_context(hunk);
        }
        for tier in Tier::ORDER {
            // The line number spares the search where it is right; it counts only where the hunk fits to the line.
            let stated = hunk.stated.and_then(|line| line.checked_sub(1));
            if let Some(start) = stated
                && let Some(fit) = self.whole.fit_at(start, &wanted, tier)
            {
                return Ok((start, fit, tier));
            }
            let mut found = self.whole.windows(&wanted, tier);
            if hunk.at_end {
                found.retain(|(start, _)| start + wanted.len() == self.whole.lines.len());
            }
            if !hunk.within.is_empty() {
                found = self.within(hunk, found, wanted.len())?;
            }
            match found.len() {
                0 => {}
                1 => return Ok(found.remove(0)).map(|(start, fit)| (start, fit, tier)),
                _ => return Err(Misplaced::Ambiguous(found.iter().map(|(start, _)| start + 1).collect())),
            }
        }
        Err(Misplaced::Nowhere)
    }

    fn wanted(&self, line: &HunkLine) -> Result<Wanted, Misplaced> {
        let ending = self.whole.units.ascii(line.ending);
        let end = match (self.form, line.ending) {
            (Form::Unified, "") => End::Text,
            (Form::Unified, _) => End::Line(ending),
            // An envelope has no way to say that the last line has no line end.
            (Form::Envelope, _) => End::LineOrText(ending),
        };
        Ok(Wanted { content: self.encoded(&line.text)?, end })
    }

    /// Where lines go that are added to nothing.
    fn without_context(&self, hunk: &Hunk) -> Result<(usize, Fit, Tier), Misplaced> {
        let lines = self.whole.lines.len();
        let start = if lines == 0 {
            0
        } else if hunk.at_end && hunk.within.is_empty() {
            lines
        } else if hunk.within.is_empty() || hunk.at_end {
            return Err(Misplaced::NoContext);
        } else {
            // Below the line that `@@` names, when that is one line.
            let blocks = self.blocks(&hunk.within)?;
            let [only] = blocks.as_slice() else {
                return Err(Misplaced::Ambiguous(blocks.iter().map(|block| block.start + 1).collect()));
            };
            only.start + 1
        };
        Ok((start, Fit::Same, Tier::Exact))
    }

    /// The matches within the blocks of the hunk's `@@` lines; when there is none, those anywhere below the lines.
    fn within(&self, hunk: &Hunk, found: Vec<(usize, Fit)>, count: usize) -> Result<Vec<(usize, Fit)>, Misplaced> {
        let blocks = self.blocks(&hunk.within)?;
        let inside = |start: usize| blocks.iter().any(|block| block.start <= start && start + count <= block.end);
        let below = |start: usize| blocks.iter().any(|block| block.start <= start);
        let (within, without): (Vec<_>, Vec<_>) = found.into_iter().partition(|(start, _)| inside(*start));
        Ok(if within.is_empty() { without.into_iter().filter(|(start, _)| below(*start)).collect() } else { within })
    }

    /// The blocks below each line that reads like the last of `heads`, within those of the heads before it: up to the next line
    /// that is indented no deeper, blank lines and lines that begin with a bracket or `#` aside.
    fn blocks(&self, heads: &[String]) -> Result<Vec<Range<usize>>, Misplaced> {
        let units = self.whole.units;
        let trimmed = |index: usize| {
            let line = units.trim_end(self.whole.content(index));
            line.split_at(units.indentation(line))
        };
        let mut blocks: Vec<Range<usize>> = std::iter::once(0..self.whole.lines.len()).collect();
        for head in heads {
            let wanted = self.encoded(head.trim())?;
            let mut inner = Vec::new();
            for block in blocks {
                for index in block.clone().filter(|index| trimmed(*index).1 == wanted) {
                    let depth = trimmed(index).0.len();
                    let ends = |line: &usize| {
                        let (indentation, text) = trimmed(*line);
                        let first = units.at(text, 0).and_then(|unit| u8::try_from(unit).ok());
                        indentation.len() <= depth && first.is_some_and(|byte| !b"{}()[]#".contains(&byte))
                            || indentation.len() <= depth && first.is_none() && !text.is_empty()
                    };
                    let end = (index + 1..block.end).find(ends).unwrap_or(block.end);
                    inner.push(index..end);
                }
            }
            if inner.is_empty() {
                return Err(Misplaced::NoSuchBlock(head.clone()));
            }
            blocks = inner;
        }
        Ok(blocks)
    }

    /// The place of a hunk in bytes, and what goes there. What stays keeps the file's own bytes.
    fn change(
        &self,
        hunk: &Hunk,
        start: usize,
        count: usize,
        fit: &Fit,
        tier: Tier,
    ) -> Result<(Range<usize>, Vec<u8>), Misplaced> {
        let Lines { text, units, lines } = &self.whole;
        let begin = lines.get(start).map_or(text.len(), |line| line.content.start);
        let end = start.checked_add(count).filter(|_| count > 0).and_then(|end| lines.get(end - 1));
        let range = begin..end.map_or(begin, |line| line.ending.end);
        let own_end = line_end(text, *units, &range);
        let mut put: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let (mut at, mut number) = (start, 0);
        for line in &hunk.lines {
            number += usize::from(line.op != Op::Remove);
            match line.op {
                Op::Add => {
                    let content = self.encoded(&line.text)?;
                    let content = fit.indent(&content, *units).ok_or(Misplaced::Indentation(number))?;
                    let given = units.ascii(line.ending);
                    let as_given = tier == Tier::Exact && self.form == Form::Unified;
                    let ending =
                        if line.ending.is_empty() || as_given { given } else { own_end.clone().unwrap_or(given) };
                    put.push((content, ending));
                }
                Op::Keep => {
                    put.extend(
                        lines
                            .get(at)
                            .map(|line| (text[line.content.clone()].to_vec(), text[line.ending.clone()].to_vec())),
                    );
                    at += 1;
                }
                Op::Remove => at += 1,
            }
        }
        let last = range.end == text.len() && !text.is_empty();
        let unended = lines.last().is_some_and(|line| line.ending.is_empty());
        let mut whole = Vec::new();
        if self.form == Form::Envelope && last && unended {
            // The file goes on without a last line end, and every other line has one.
            let ending = own_end.unwrap_or_else(|| units.ascii("\n"));
            if range.is_empty() {
                whole.extend_from_slice(&ending);
            }
            let final_line = put.len().saturating_sub(1);
            for (index, (content, end)) in put.iter_mut().enumerate() {
                // An empty line is there by its line end alone.
                if index == final_line && !content.is_empty() {
                    end.clear();
                } else if end.is_empty() {
                    end.clone_from(&ending);
                }
            }
        }
        for (content, ending) in put {
            whole.extend(content);
            whole.extend(ending);
        }
        Ok((range, whole))
    }
}

/// The text of a new file.
pub(super) fn new_text(hunks: &[Hunk]) -> String {
    hunks.iter().flat_map(Hunk::renewed).flat_map(|line| [line.text.as_str(), line.ending]).collect()
}

/// The old lines of a hunk as one text, to be shown.
pub(super) fn old_text(hunk: &Hunk) -> String {
    hunk.old().flat_map(|line| [line.text.as_str(), line.ending]).collect()
}
