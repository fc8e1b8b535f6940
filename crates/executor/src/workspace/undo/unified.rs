//! Differences as people read them: in the form that git writes and `git apply` takes, and as a table of how much changed.
//!
//! Lines come with what they are, so that a terminal can give each its colour; [`unified`] and the `Display` of [`Stat`]
//! are the same as plain text.

use std::fmt;
use std::path::Path;

use super::difference::{Bytes, Difference};
use super::record::State;
use crate::workspace::change_set::path_on_a_line;

/// What a line of a diff is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffPart {
    /// It says which path follows, and what it was and became.
    Head,
    /// It says where in the file the lines after it are.
    Place,
    /// A line that is new.
    Added,
    /// A line that is gone.
    Removed,
    /// Anything else: a line that is the same, a folder.
    Context,
}

/// One line of a diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffLine {
    /// What it is.
    pub part: DiffPart,
    /// The line, without its end. What is a file's is as it is in the file.
    pub text: String,
}

/// How much each path changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// A row for each path.
    pub rows: Vec<StatRow>,
    /// Lines that are new, in all of them.
    pub added: usize,
    /// Lines that are gone.
    pub removed: usize,
}

/// How much one path changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatRow {
    /// Its path, relative where it lies in the folder that was named.
    pub name: String,
    /// The number of lines, or what happened in words.
    pub what: String,
    /// Length of the bar for new lines.
    pub plus: usize,
    /// And of that for lines that are gone.
    pub minus: usize,
}

/// Widest bar of a [`Stat`].
const WIDEST_BAR: usize = 40;
/// Widest column of names: longer ones move their bar.
const WIDEST_NAME: usize = 60;

/// The differences as one text; paths in `base` are told relative to it.
pub fn unified(all: &[Difference], base: &Path) -> String {
    let mut text = String::new();
    for line in all.iter().flat_map(|one| one.unified(base)) {
        text.push_str(&line.text);
        text.push('\n');
    }
    text
}

fn name(path: &Path, base: &Path) -> String {
    path_on_a_line(path.strip_prefix(base).unwrap_or(path))
}

impl Difference {
    /// The lines of one path, with the head lines that git writes; a path in `base` is told relative to it.
    pub fn unified(&self, base: &Path) -> Vec<DiffLine> {
        let line = |part, text: String| DiffLine { part, text };
        let name = name(&self.path, base);
        match (&self.before, &self.after) {
            (Some(State::Folder { .. }), None) => {
                return vec![line(DiffPart::Context, format!("folder {name} removed"))];
            }
            (None, Some(State::Folder { .. })) => return vec![line(DiffPart::Context, format!("folder {name} made"))],
            _ => {}
        }
        let bare = name.trim_start_matches('/');
        let (mut old, mut new) = (git_mode(&self.before), git_mode(&self.after));
        if old == new {
            (old, new) = (mode(&self.before), mode(&self.after));
        }
        let mut head = vec![format!("diff --git a/{bare} b/{bare}")];
        match (&old, &new) {
            (None, Some(new)) => head.push(format!("new file mode {new}")),
            (Some(old), None) => head.push(format!("deleted file mode {old}")),
            (Some(old), Some(new)) if old != new => {
                head.push(format!("old mode {old}"));
                head.push(format!("new mode {new}"));
            }
            _ => {}
        }
        let end = |side: &str, there: bool| if there { format!("{side}/{bare}") } else { "/dev/null".to_owned() };
        let (from, to) = (end("a", old.is_some()), end("b", new.is_some()));
        let hunks = match &self.bytes {
            Bytes::Text { hunks, .. } => hunks.clone(),
            Bytes::Same => link_hunk(&self.before, &self.after),
            Bytes::Binary => {
                head.push(format!("Binary files {from} and {to} differ"));
                String::new()
            }
            Bytes::Unknown => {
                head.push("Its bytes were changed since, and were not kept.".into());
                String::new()
            }
        };
        if !hunks.is_empty() {
            head.extend([format!("--- {from}"), format!("+++ {to}")]);
        }
        let mut lines: Vec<DiffLine> = head.into_iter().map(|text| line(DiffPart::Head, text)).collect();
        for text in hunks.split_inclusive('\n') {
            let text = text.strip_suffix('\n').unwrap_or(text);
            let part = match text.as_bytes().first() {
                Some(b'+') => DiffPart::Added,
                Some(b'-') => DiffPart::Removed,
                Some(b'@') => DiffPart::Place,
                _ => DiffPart::Context,
            };
            lines.push(line(part, text.to_owned()));
        }
        lines
    }
    /// What happened to a path whose lines are not counted.
    fn in_words(&self) -> String {
        let size = |state: &Option<State>| match state {
            Some(State::File { size, .. }) => *size,
            _ => 0,
        };
        match (&self.bytes, &self.before, &self.after) {
            (Bytes::Binary, before, after) => format!("binary, {} -> {} bytes", size(before), size(after)),
            (Bytes::Unknown, ..) => "bytes that were changed since".into(),
            (_, _, Some(State::Symlink { target })) => format!("link -> {}", path_on_a_line(target)),
            (_, Some(State::Symlink { .. }), None) => "link removed".into(),
            (_, None, Some(State::Folder { .. })) => "folder made".into(),
            (_, Some(State::Folder { .. }), None) => "folder removed".into(),
            (_, before, after) => match (mode(before), mode(after)) {
                (Some(old), Some(new)) => format!("mode {old} -> {new}"),
                _ => "empty".into(),
            },
        }
    }
}

impl Stat {
    /// That of these differences; paths in `base` are told relative to it.
    pub fn of(all: &[Difference], base: &Path) -> Self {
        let counted = |one: &Difference| match &one.bytes {
            Bytes::Text { added, removed, .. } => Some((*added, *removed)),
            _ => None,
        };
        let most = all.iter().filter_map(counted).map(|(added, removed)| added + removed).max().unwrap_or(0);
        let bar = |count: usize| if most > WIDEST_BAR { (count * WIDEST_BAR).div_ceil(most) } else { count };
        let mut stat = Self { rows: Vec::new(), added: 0, removed: 0 };
        for one in all {
            let name = name(&one.path, base);
            stat.rows.push(match counted(one) {
                Some((added, removed)) => {
                    (stat.added, stat.removed) = (stat.added + added, stat.removed + removed);
                    let what = format!("{:>4}", added + removed);
                    StatRow { name, what, plus: bar(added), minus: bar(removed) }
                }
                None => StatRow { name, what: format!(" {}", one.in_words()), plus: 0, minus: 0 },
            });
        }
        stat
    }
    /// Width of the column of names.
    pub fn width(&self) -> usize {
        self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).min(WIDEST_NAME)
    }
    /// The last line: the sum.
    pub fn sum(&self) -> String {
        let paths = if self.rows.len() == 1 { "path" } else { "paths" };
        format!("{} {paths} changed, {} lines added, {} removed", self.rows.len(), self.added, self.removed)
    }
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.width();
        for row in &self.rows {
            let line =
                format!(" {:<width$} | {} {}{}", row.name, row.what, "+".repeat(row.plus), "-".repeat(row.minus));
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f, " {}", self.sum())
    }
}

/// A link's text as the one line of a file.
fn link_hunk(before: &Option<State>, after: &Option<State>) -> String {
    const NO_END: &str = "\\ No newline at end of file\n";
    let link = |state: &Option<State>| match state {
        Some(State::Symlink { target }) => Some(path_on_a_line(target)),
        _ => None,
    };
    match (link(before), link(after)) {
        (None, None) => String::new(),
        (None, Some(new)) => format!("@@ -0,0 +1 @@\n+{new}\n{NO_END}"),
        (Some(old), None) => format!("@@ -1 +0,0 @@\n-{old}\n{NO_END}"),
        (Some(old), Some(new)) => format!("@@ -1 +1 @@\n-{old}\n{NO_END}+{new}\n{NO_END}"),
    }
}

/// The mode as git knows it: of permission bits, whether a file can be executed.
fn git_mode(state: &Option<State>) -> Option<String> {
    match state {
        Some(State::File { mode, .. }) => Some(if mode & 0o111 == 0 { "100644" } else { "100755" }.to_owned()),
        other => mode(other),
    }
}

/// Kind and permission bits, in octal.
fn mode(state: &Option<State>) -> Option<String> {
    Some(match state.as_ref()? {
        State::File { mode, .. } => format!("{:06o}", 0o100_000 | mode & 0o7777),
        State::Symlink { .. } => "120000".into(),
        State::Folder { mode } => format!("{:06o}", 0o040_000 | mode & 0o7777),
        State::Lost { .. } => return None,
    })
}
