//! Lines of a text that stays in the bytes of its file: UTF-8, a single-byte encoding, or UTF-16.
//!
//! Nothing is decoded to look for a text: positions are those of the file, and bytes that are no text at all stay what
//! they are.

use std::ops::Range;

/// The code units of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Units {
    /// Bytes, of which the first 128 values are ASCII.
    One,
    /// UTF-16, the low byte first.
    TwoLittle,
    /// UTF-16, the high byte first.
    TwoBig,
}

impl Units {
    /// Bytes of one.
    pub(crate) fn width(self) -> usize {
        if self == Self::One { 1 } else { 2 }
    }
    /// The unit at a byte offset; `None` past the end.
    pub(crate) fn at(self, bytes: &[u8], at: usize) -> Option<u16> {
        match self {
            Self::One => bytes.get(at).map(|byte| u16::from(*byte)),
            Self::TwoLittle => Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?])),
            Self::TwoBig => Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?])),
        }
    }
    /// An ASCII text.
    pub(crate) fn ascii(self, text: &str) -> Vec<u8> {
        let unit = |byte| match self {
            Self::One => vec![byte],
            Self::TwoLittle => vec![byte, 0],
            Self::TwoBig => vec![0, byte],
        };
        text.bytes().flat_map(unit).collect()
    }
    fn blank(unit: u16) -> bool {
        unit == u16::from(b' ') || unit == u16::from(b'\t')
    }
    /// Bytes of spaces and tabs at the beginning.
    pub(crate) fn indentation(self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while self.at(bytes, at).is_some_and(Self::blank) {
            at += self.width();
        }
        at
    }
    /// Without spaces and tabs at the end.
    pub(crate) fn trim_end(self, bytes: &[u8]) -> &[u8] {
        let mut end = bytes.len();
        while end >= self.width() && self.at(bytes, end - self.width()).is_some_and(Self::blank) {
            end -= self.width();
        }
        &bytes[..end]
    }
}

/// A line: what stands on it, and the line end, empty on a last line that has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) content: Range<usize>,
    pub(crate) ending: Range<usize>,
}

/// The lines of `text` from the byte `from` on. LF and CRLF end a line; a lone CR does not.
pub(crate) fn lines(text: &[u8], units: Units, from: usize) -> Vec<Line> {
    let width = units.width();
    let mut found = Vec::new();
    let (mut start, mut at) = (from, from);
    while let Some(unit) = units.at(text, at) {
        at += width;
        if unit == u16::from(b'\n') {
            let cr = at >= start + 2 * width && units.at(text, at - 2 * width) == Some(u16::from(b'\r'));
            let end = at - width * if cr { 2 } else { 1 };
            found.push(Line { content: start..end, ending: end..at });
            start = at;
        }
    }
    if start < text.len() {
        found.push(Line { content: start..text.len(), ending: text.len()..text.len() });
    }
    found
}

/// The line end that text put in place of `span` gets: the first in it, else that of its line, else that of the line before.
pub(crate) fn line_end(text: &[u8], units: Units, span: &Range<usize>) -> Option<Vec<u8>> {
    let width = units.width();
    let is = |at: usize, byte: u8| units.at(text, at) == Some(u16::from(byte));
    let begin = span.start - span.start % width;
    let after = (begin..text.len()).step_by(width).find(|at| is(*at, b'\n'));
    let found = after.or_else(|| (0..begin).step_by(width).rev().find(|at| is(*at, b'\n')))?;
    let cr = found >= width && is(found - width, b'\r');
    Some(units.ascii(if cr { "\r\n" } else { "\n" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_line_ends_end_a_line_and_a_lone_cr_does_not() {
        let text = b"a\r\n\nb\rc\nd";
        let found: Vec<_> =
            lines(text, Units::One, 0).into_iter().map(|l| (&text[l.content], l.ending.len())).collect();
        assert_eq!(found, [(b"a".as_slice(), 2), (b"", 1), (b"b\rc", 1), (b"d", 0)]);
        assert_eq!(lines(b"\n", Units::One, 0).len(), 1);
        assert_eq!(lines(b"", Units::One, 0), []);
    }

    #[test]
    fn wide_lines_are_split_at_whole_units() {
        // U+0A00 holds the byte of a line feed, and is none.
        let text: Vec<u8> = "\u{a00}\r\nb".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let found = lines(&text, Units::TwoLittle, 0);
        assert_eq!(found, [Line { content: 0..2, ending: 2..6 }, Line { content: 6..8, ending: 8..8 }]);
        assert_eq!(line_end(&text, Units::TwoLittle, &(0..0)), Some(b"\r\0\n\0".to_vec()));
    }

    #[test]
    fn the_line_end_is_that_of_the_place() {
        assert_eq!(line_end(b"a\nb\r\nc", Units::One, &(2..3)), Some(b"\r\n".to_vec()));
        assert_eq!(line_end(b"a\nb\r\nc", Units::One, &(5..6)), Some(b"\r\n".to_vec()));
        assert_eq!(line_end(b"abc", Units::One, &(1..2)), None);
    }
}
