//! Edits of a text, and the text that results.

use std::borrow::Cow;
use std::ops::Range;

/// These bytes become this text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) range: Range<usize>,
    pub(crate) new: String,
}

/// What one application of a rule would do.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// In order, without overlap; each changes something. Of matches that overlap, the first and outermost is here.
    pub(crate) made: Vec<Edit>,
    /// Where the matches begin that overlap one of these.
    pub(crate) overlapping: Vec<usize>,
}

impl Edits {
    /// The text with the edits made, unless it would be longer than `most` bytes.
    pub(crate) fn apply(&self, text: &str, most: usize) -> Option<String> {
        let removed: usize = self.made.iter().map(|edit| edit.range.len()).sum();
        let added: usize = self.made.iter().map(|edit| edit.new.len()).sum();
        let length = text.len() - removed + added;
        if length > most {
            return None;
        }
        let mut result = String::with_capacity(length);
        let mut kept = 0;
        for edit in &self.made {
            result.push_str(&text[kept..edit.range.start]);
            result.push_str(&edit.new);
            kept = edit.range.end;
        }
        result.push_str(&text[kept..]);
        Some(result)
    }

    /// The first edit that put something into this range of the result, or else the nearest before it, or the first.
    pub(crate) fn nearest(&self, range: &Range<usize>) -> Option<&Edit> {
        let mut found = self.made.first();
        let mut grown = 0isize;
        for edit in &self.made {
            let start = edit.range.start.saturating_add_signed(grown);
            if start >= range.end.max(range.start + 1) {
                break;
            }
            found = Some(edit);
            if start >= range.start {
                break;
            }
            grown += edit.new.len() as isize - edit.range.len() as isize;
        }
        found
    }
}

/// The line ends of a text, which what is put into it takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnds {
    /// Every line ends in CR LF.
    CrLf,
    /// Anything else, a mixture too: text is put in as it is.
    Other,
}

impl LineEnds {
    pub(crate) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut any = false;
        for end in memchr::memchr_iter(b'\n', bytes) {
            if end == 0 || bytes[end - 1] != b'\r' {
                return Self::Other;
            }
            any = true;
        }
        if any { Self::CrLf } else { Self::Other }
    }

    /// `new` with these line ends.
    pub(crate) fn adapt(self, new: String) -> String {
        if self == Self::Other || !new.contains('\n') {
            return new;
        }
        let mut adapted = String::with_capacity(new.len() + 16);
        for line in new.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(body) if !body.ends_with('\r') => {
                    adapted.push_str(body);
                    adapted.push_str("\r\n");
                }
                _ => adapted.push_str(line),
            }
        }
        adapted
    }
}

/// Lines and columns of ascending places of a text, in one pass over it.
#[derive(Debug)]
pub(crate) struct Places<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    /// Where that line begins.
    begin: usize,
}

impl<'t> Places<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0, line: 1, begin: 0 }
    }
    /// Line and column, both from 1, the column in characters.
    pub(crate) fn of(&mut self, offset: usize) -> (usize, usize) {
        if offset < self.at {
            *self = Self::new(self.text);
        }
        for end in memchr::memchr_iter(b'\n', &self.text.as_bytes()[self.at..offset]) {
            self.line += 1;
            self.begin = self.at + end + 1;
        }
        self.at = offset;
        (self.line, self.text[self.begin..offset].chars().count() + 1)
    }
}

/// A text short enough for a report.
pub(crate) fn short(text: &str) -> String {
    const MOST: usize = 120;
    let cut: Cow<'_, str> = match text.char_indices().nth(MOST) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    };
    cut.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(range: Range<usize>, new: &str) -> Edit {
        Edit { range, new: new.into() }
    }

    #[test]
    fn edits_are_made_unless_the_result_is_too_long() {
        let edits = Edits { made: vec![edit(0..5, "b"), edit(6..6, "cd")], overlapping: Vec::new() };
        assert_eq!(edits.apply("0123456789", 8).unwrap(), "b5cd6789");
        assert_eq!(edits.apply("0123456789", 7), None);
    }

    #[test]
    fn the_nearest_edit_is_found_from_the_result() {
        let edits = Edits { made: vec![edit(0..2, "longer"), edit(6..8, "x")], overlapping: Vec::new() };
        assert_eq!(edits.nearest(&(0..0)).unwrap().range, 0..2);
        assert_eq!(edits.nearest(&(3..9)).unwrap().range, 0..2);
        assert_eq!(edits.nearest(&(3..12)).unwrap().range, 6..8);
    }

    #[test]
    fn new_lines_take_over_the_line_ends_of_the_file() {
        assert_eq!(LineEnds::of("a\r\nb\r\n"), LineEnds::CrLf);
        assert_eq!(LineEnds::of("a\r\nb\n"), LineEnds::Other);
        assert_eq!(LineEnds::of("\nb\r\n"), LineEnds::Other);
        assert_eq!(LineEnds::of("a"), LineEnds::Other);
        assert_eq!(LineEnds::CrLf.adapt("a\nb\r\nc\n".into()), "a\r\nb\r\nc\r\n");
        assert_eq!(LineEnds::Other.adapt("a\nb".into()), "a\nb");
    }

    #[test]
    fn lines_and_columns_are_counted_from_one_in_characters() {
        let mut places = Places::new("añb\ncd\r\nef");
        assert_eq!(places.of(0), (1, 1));
        assert_eq!(places.of(3), (1, 3));
        assert_eq!(places.of(6), (2, 2));
        assert_eq!(places.of(9), (3, 1));
        assert_eq!(places.of(0), (1, 1), "backwards too");
    }

    #[test]
    fn what_is_shown_is_short() {
        assert_eq!(short("abc"), "abc");
        assert_eq!(short(&"é".repeat(500)).chars().count(), 121);
    }
}
