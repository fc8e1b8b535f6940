//! What a patch says, whichever way it is written: files, and hunks of lines in them.
//!
//! [`parse`] tells the two forms apart by their first lines. Both parsers are strict: a line that is no part of the form
//! is an error with its number, never text to pass over, because what is passed over is a change that is lost.

use std::fmt;

use super::{envelope, unified};

/// A patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) form: Form,
    /// In order, no path twice by its text.
    pub(crate) files: Vec<FilePatch>,
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `*** Begin Patch` … `*** End Patch`: places are found by their text.
    Envelope,
    /// `---`, `+++`, `@@ -l,s +l,s @@`: what diff and git write.
    Unified,
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Add,
    Delete,
    Update,
}

/// What a patch says about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePatch {
    /// The line of the patch where it begins, from 1.
    pub(crate) line: usize,
    pub(crate) action: Action,
    pub(crate) path: String,
    /// Where it moves to.
    pub(crate) to: Option<String>,
    /// Whether it is to be a program, when the patch says so.
    pub(crate) executable: Option<bool>,
    pub(crate) hunks: Vec<Hunk>,
}

/// Lines that change together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hunk {
    /// The line of the patch where it begins, from 1.
    pub(crate) line: usize,
    /// Envelope: the lines (`@@ class A`) within whose blocks it stands, outermost first.
    pub(crate) within: Vec<String>,
    /// Envelope: it ends where the file does.
    pub(crate) at_end: bool,
    /// Unified: the line of the old file where it begins, from 1; 0 for an empty one.
    pub(crate) stated: Option<usize>,
    pub(crate) lines: Vec<HunkLine>,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Keep,
    Remove,
    Add,
}

/// A line of a hunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HunkLine {
    pub(crate) op: Op,
    pub(crate) text: String,
    /// `\n`, `\r\n`, or nothing for a last line without a line end.
    pub(crate) ending: &'static str,
}

/// What is wrong with a patch, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PatchError {
    /// The line of the patch, from 1.
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the patch: {}", self.line, self.what)
    }
}

impl Hunk {
    /// The lines that are in the old file.
    pub(crate) fn old(&self) -> impl Iterator<Item = &HunkLine> {
        self.lines.iter().filter(|line| line.op != Op::Add)
    }
    /// The lines that are in the new file.
    pub(crate) fn renewed(&self) -> impl Iterator<Item = &HunkLine> {
        self.lines.iter().filter(|line| line.op != Op::Remove)
    }
}

impl FilePatch {
    /// Every path that it touches.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        [Some(self.path.as_str()), self.to.as_deref()].into_iter().flatten()
    }
}

/// Reads a patch of either form.
pub(crate) fn parse(text: &str) -> Result<Patch, PatchError> {
    let mut lines = Cursor::of(text);
    lines.skip_blank();
    let begins = lines.peek().unwrap_or_default().trim_end();
    let patch = if begins.starts_with("*** Begin") || is_file_line(begins) {
        envelope::parse(lines)?
    } else {
        unified::parse(lines)?
    };
    for (index, file) in patch.files.iter().enumerate() {
        let twice = |path: &&str| patch.files[..index].iter().any(|other| other.paths().any(|seen| seen == *path));
        if file.paths().any(str::is_empty) {
            return Err(PatchError { line: file.line, what: "expected a path, found an empty name".into() });
        }
        if let Some(path) = file.paths().find(twice) {
            return Err(PatchError {
                line: file.line,
                what: format!(
                    "{path} is named a second time; one patch changes a file once, with all its hunks together"
                ),
            });
        }
    }
    Ok(patch)
}

/// A line of the envelope that names a file.
pub(super) fn is_file_line(line: &str) -> bool {
    ["*** Add File:", "*** Delete File:", "*** Update File:"].iter().any(|word| line.starts_with(word))
}

/// The lines of a patch, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn of(text: &'a str) -> Self {
        Self { lines: text.split_inclusive('\n').collect(), at: 0 }
    }
    /// The number of the next line, from 1.
    pub(super) fn number(&self) -> usize {
        self.at + 1
    }
    /// The next line without its line end; `None` at the end.
    pub(super) fn peek(&self) -> Option<&'a str> {
        self.ahead(0)
    }
    /// The line so many after the next one.
    pub(super) fn ahead(&self, count: usize) -> Option<&'a str> {
        let line = self.lines.get(self.at + count)?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        Some(line.strip_suffix('\r').unwrap_or(line))
    }
    /// The same, and goes on.
    pub(super) fn next(&mut self) -> Option<&'a str> {
        let line = self.peek()?;
        self.at += 1;
        Some(line)
    }
    /// The line end of the next line. One that was cut off at the end of the patch is a line feed.
    pub(super) fn ending(&self) -> &'static str {
        if self.lines.get(self.at).is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" }
    }
    pub(super) fn skip_blank(&mut self) {
        while self.peek().is_some_and(|line| line.trim().is_empty()) {
            self.at += 1;
        }
    }
    pub(super) fn error<T>(&self, what: impl Into<String>) -> Result<T, PatchError> {
        Err(PatchError { line: self.number().min(self.lines.len().max(1)), what: what.into() })
    }
}

/// A line of a patch as an error shows it.
pub(super) fn shown(line: &str) -> String {
    let mut text: String = line.chars().take(60).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    format!("{text:?}")
}
