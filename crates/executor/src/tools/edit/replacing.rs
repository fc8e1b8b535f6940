//! The new text as it goes into its place: with the line ends of the place, indented like it, and with the place's own
//! bytes for every line that stays.

use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::indent::Fit;
use super::lines::{Line, Units, line_end, lines};
use super::matching::{Found, Tier};

/// Products of line numbers up to which old and new are compared line by line.
const MOST_COMPARED: usize = 25_000_000;

/// A text to replace and what to put there, in the bytes of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) old: &'a [u8],
    pub(crate) new: &'a [u8],
    pub(crate) units: Units,
}

impl Change<'_> {
    /// What takes the place of `found` in `text`.
    ///
    /// # Errors
    /// The number of a line of the new text, from 1, that cannot be indented like the place.
    pub(crate) fn at(&self, text: &[u8], found: &Found, tier: Tier) -> Result<Vec<u8>, usize> {
        let end = line_end(text, self.units, &found.range);
        if tier != Tier::Exact {
            return self.line_by_line(&text[found.range.clone()], &found.fit, end.as_deref());
        }
        // Who looks for a text with a line end in it knows what line ends there are.
        let breaks = lines(self.old, self.units, 0).iter().any(|line| !line.ending.is_empty());
        Ok(if breaks { self.new.to_vec() } else { with_line_ends(self.new, self.units, end.as_deref()) })
    }

    fn line_by_line(&self, place: &[u8], fit: &Fit, end: Option<&[u8]>) -> Result<Vec<u8>, usize> {
        let (have, old, new) =
            (lines(place, self.units, 0), lines(self.old, self.units, 0), lines(self.new, self.units, 0));
        let put = |range: Range<usize>| -> Result<Vec<u8>, usize> {
            let mut put = Vec::new();
            for index in range {
                let line = &new[index];
                put.extend(fit.indent(&self.new[line.content.clone()], self.units).ok_or(index + 1)?);
                if !line.ending.is_empty() {
                    put.extend_from_slice(end.unwrap_or(&self.new[line.ending.clone()]));
                }
            }
            Ok(put)
        };
        let mut whole = Vec::with_capacity(self.new.len());
        for op in operations(&key(self.old, &old), &key(self.new, &new)) {
            match op {
                DiffOp::Equal { old_index, len, .. } => {
                    for line in have.iter().skip(old_index).take(len) {
                        whole.extend_from_slice(&place[line.content.start..line.ending.end]);
                    }
                }
                DiffOp::Insert { new_index, new_len, .. } | DiffOp::Replace { new_index, new_len, .. } => {
                    whole.extend(put(new_index..new_index + new_len)?);
                }
                DiffOp::Delete { .. } => {}
            }
        }
        Ok(whole)
    }
}

fn key<'a>(text: &'a [u8], lines: &[Line]) -> Vec<(&'a [u8], bool)> {
    lines.iter().map(|line| (&text[line.content.clone()], line.ending.is_empty())).collect()
}

fn operations(old: &[(&[u8], bool)], new: &[(&[u8], bool)]) -> Vec<DiffOp> {
    if old.len().saturating_mul(new.len()) > MOST_COMPARED {
        return vec![DiffOp::Replace { old_index: 0, old_len: old.len(), new_index: 0, new_len: new.len() }];
    }
    capture_diff_slices(Algorithm::Myers, old, new)
}

/// `new` with `end` for each line feed that stands alone.
pub(crate) fn with_line_ends(new: &[u8], units: Units, end: Option<&[u8]>) -> Vec<u8> {
    let Some(end) = end else { return new.to_vec() };
    let mut result = Vec::with_capacity(new.len());
    for line in lines(new, units, 0) {
        result.extend_from_slice(&new[line.content.clone()]);
        let own = &new[line.ending.clone()];
        result.extend_from_slice(if own.len() == units.width() { end } else { own });
    }
    result
}

/// `text` with each of the (disjoint, ordered) ranges replaced.
pub(crate) fn replace(text: &[u8], changes: &[(Range<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    let mut done = 0;
    for (range, new) in changes {
        result.extend_from_slice(&text[done..range.start]);
        result.extend_from_slice(new);
        done = range.end;
    }
    result.extend_from_slice(&text[done..]);
    result
}
