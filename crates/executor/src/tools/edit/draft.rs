//! A file in memory while the edits of a call come to it.

use std::io;

use serde_json::{Map, Value, json};

use super::Edit;
use super::closest::closest;
use super::matching::{self, Tier};
use super::placeholder::placeholder;
use crate::cause::Cause;
use crate::tools::ToolResult;
use crate::tools::files::{MOST_IN_MEMORY, TextEncoding, is_binary, utf16_mark};
use crate::tools::place::Place;
use crate::tools::validate::ArgumentError;

/// Lines that an error lists one by one.
const MOST_LISTED: usize = 20;
/// Ranges that a result lists for one file; `occurrences` counts them all.
const MOST_RANGES: usize = 1_000;
/// Bytes of a unified diff that a result holds for one file.
const MOST_DIFF: usize = 64 << 10;

/// A file in memory: as it was, as it is to be, and what happened to it.
pub(super) struct Draft<'a> {
    pub(super) place: Place<'a>,
    pub(super) before: Option<Vec<u8>>,
    after: Vec<u8>,
    tier: Tier,
    pub(super) occurrences: usize,
    pub(super) ranges: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn open(place: Place<'a>) -> Result<Self, ToolResult> {
        let before = if place.dir.exists(&place.rel) {
            place.file()?;
            let bytes = place.dir.read(&place.rel, MOST_IN_MEMORY).map_err(|error| place.failed("edit", &error))?;
            if is_binary(&bytes) {
                let message = format!("{} is a binary file; edit changes text files only", place.text());
                return Err(ArgumentError::refused("/path", "a text file", message).into());
            }
            Some(bytes)
        } else {
            // What may not be looked at is not missing.
            if let Err(error) = place.metadata()
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(place.failed("edit", &error));
            }
            None
        };
        let after = before.clone().unwrap_or_default();
        Ok(Self { place, before, after, tier: Tier::Exact, occurrences: 0, ranges: Vec::new() })
    }

    pub(super) fn apply(&mut self, edit: &Edit, at: &str) -> Result<(), ToolResult> {
        let path = self.place.text();
        if edit.old == edit.new {
            let message = format!("Nothing to do: old and new are the same text ({path})");
            return Err(ArgumentError::refused(format!("{at}/new"), "a text that differs from old", message).into());
        }
        if let Some(line) = placeholder(&edit.old, &edit.new) {
            let message = format!(
                "Refused to edit {path}: new holds a placeholder for omitted code ({line:?}); write the code out, or edit only the lines that change"
            );
            return Err(ArgumentError::refused(format!("{at}/new"), "the whole replacement", message).into());
        }
        if edit.old.is_empty() {
            return self.create(edit, at);
        }
        if self.before.is_none() && self.occurrences == 0 {
            return Err(ToolResult::failure(Cause::NotFound, format!("File not found: {path}")));
        }
        let encoding = utf16_mark(&self.after).unwrap_or(TextEncoding::Utf8);
        let step = if encoding.is_wide() { 2 } else { 1 };
        let encode = |text: &str| encoding.encode(text, false).map(|bytes| bytes.into_owned()).unwrap_or_default();
        let (old, new) = (encode(&edit.old), encode(&edit.new));
        let Some(found) = matching::find(&self.after, &old, step) else {
            return Err(not_found(&path, &self.text(encoding), &edit.old, at));
        };
        let positions = Positions::of(&self.after);
        let lines = || -> Vec<usize> { found.ranges.iter().map(|range| positions.at(range.start).0).collect() };
        let disjoint = found.disjoint();
        let chosen = match edit.expected_count {
            Some(expected) if disjoint.len() as u64 != expected => {
                let count = disjoint.len();
                let message =
                    format!("Expected {expected} occurrences of old in {path}, found {count} ({})", listed(&lines()));
                return Err(mismatch(message, &path, &lines(), at, count));
            }
            None if found.ranges.len() > 1 && !edit.replace_all => {
                let message = format!(
                    "Old content is not unique in {path}: {} occurrences ({}); add surrounding lines to old, or set replace_all",
                    found.ranges.len(),
                    listed(&lines())
                );
                return Err(mismatch(message, &path, &lines(), at, found.ranges.len()));
            }
            _ => disjoint,
        };
        for range in chosen.iter().take(MOST_RANGES.saturating_sub(self.ranges.len())) {
            let ((line, column), (last, end)) = (positions.at(range.start), positions.at(range.end));
            self.ranges.push(format!("{line}:{column}-{last}:{end}"));
        }
        self.after = matching::replace(&self.after, &chosen, &new);
        self.occurrences += chosen.len();
        self.tier = found.tier;
        Ok(())
    }

    fn create(&mut self, edit: &Edit, at: &str) -> Result<(), ToolResult> {
        let path = self.place.text();
        if self.before.is_some() || self.occurrences > 0 {
            let message =
                format!("Refused to edit {path}: old is empty, which stands for a new file, but the file exists");
            return Err(ArgumentError::refused(format!("{at}/old"), "the text to replace", message).into());
        }
        self.after = edit.new.clone().into_bytes();
        self.occurrences = 1;
        self.ranges.push("1:1-1:1".into());
        Ok(())
    }

    fn text(&self, encoding: TextEncoding) -> String {
        match encoding.decode(&self.after) {
            Ok(decoded) => decoded.text.into_owned(),
            Err(_) => String::from_utf8_lossy(&self.after).into_owned(),
        }
    }

    pub(super) fn describe(&self) -> Map<String, Value> {
        let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
        let mut facts = Map::new();
        facts.insert("path".into(), self.place.text().into());
        facts.insert("tier".into(), json!(self.tier));
        facts.insert("occurrences".into(), self.occurrences.into());
        facts.insert("ranges".into(), self.ranges.clone().into());
        facts.insert("diff".into(), self.diff().into());
        facts.insert("before_hash".into(), self.before.as_deref().map(hash).into());
        facts.insert("after_hash".into(), hash(&self.after).into());
        facts
    }

    fn diff(&self) -> String {
        let path = self.place.text();
        let decode = |bytes: &[u8]| {
            let encoding = utf16_mark(bytes).unwrap_or(TextEncoding::Utf8);
            encoding.decode(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), |d| d.text.into_owned())
        };
        let (old, new) = (decode(self.before.as_deref().unwrap_or_default()), decode(&self.after));
        let from = if self.before.is_some() { format!("a/{path}") } else { "/dev/null".into() };
        let diff = similar::TextDiff::configure().timeout(std::time::Duration::from_secs(1)).diff_lines(&old, &new);
        let mut text = diff.unified_diff().context_radius(3).header(&from, &format!("b/{path}")).to_string();
        if text.len() > MOST_DIFF {
            let cut = (0..=MOST_DIFF).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let dropped = text.len() - cut;
            text.truncate(cut);
            text.push_str(&format!("\n[{dropped} bytes of the diff cut]\n"));
        }
        text
    }
}

/// Lines and columns of a text, both from 1; columns count bytes, in UTF-16 code units.
struct Positions {
    starts: Vec<usize>,
    width: usize,
}

impl Positions {
    fn of(bytes: &[u8]) -> Self {
        let (width, newline): (usize, &[u8]) = match utf16_mark(bytes) {
            Some(TextEncoding::Utf16Be) => (2, b"\0\n"),
            Some(_) => (2, b"\n\0"),
            None => (1, b"\n"),
        };
        let ends = bytes.chunks_exact(width).enumerate().filter(|(_, unit)| *unit == newline);
        let starts = std::iter::once(0).chain(ends.map(|(index, _)| (index + 1) * width)).collect();
        Self { starts, width }
    }
    fn at(&self, byte: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = line.checked_sub(1).and_then(|index| self.starts.get(index)).copied().unwrap_or(0);
        (line, (byte - start) / self.width + 1)
    }
}

fn listed(lines: &[usize]) -> String {
    let shown: Vec<String> = lines.iter().take(MOST_LISTED).map(usize::to_string).collect();
    let more =
        if lines.len() > MOST_LISTED { format!(" and {} more", lines.len() - MOST_LISTED) } else { String::new() };
    format!("{} {}{more}", if lines.len() == 1 { "line" } else { "lines" }, shown.join(", "))
}

fn mismatch(message: String, path: &str, lines: &[usize], at: &str, count: usize) -> ToolResult {
    ToolResult::failure(Cause::EditMismatch, message)
        .with("path", path)
        .with("pointer", format!("{at}/old"))
        .with("occurrences", count)
        .with("lines", lines.iter().take(MOST_LISTED).copied().collect::<Vec<_>>())
}

fn not_found(path: &str, text: &str, old: &str, at: &str) -> ToolResult {
    let mut message = "Old content not found in file".to_owned();
    let near = closest(text, old);
    let mut metadata = Map::new();
    match &near {
        None => message.push_str(&format!(" {path}, and nothing in it is like it; read the file again")),
        Some(near) => {
            let lines = if near.first == near.last {
                format!("line {}", near.first)
            } else {
                format!("lines {}-{}", near.first, near.last)
            };
            let hint = near.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            message.push_str(&format!(
                " {path}; the closest is {lines}{hint} (- looked for, + in the file):\n{}",
                near.diff
            ));
            metadata
                .insert("closest".into(), json!({"first_line": near.first, "last_line": near.last, "diff": near.diff}));
        }
    }
    let mut failure = mismatch(message, path, &[], at, 0);
    failure.metadata.append(&mut metadata);
    failure
}

/// Writes every draft, or puts back what was written when one fails.
pub(super) fn write_all(drafts: &[Draft<'_>]) -> Result<(), ToolResult> {
    for (index, draft) in drafts.iter().enumerate() {
        if let Err(error) = write(draft) {
            let mut failure = draft.place.failed("edit", &error);
            for done in &drafts[..index] {
                let restored = match &done.before {
                    Some(bytes) => done.place.dir.write(&done.place.rel, bytes, None),
                    None => done.place.dir.remove_file(&done.place.rel),
                };
                // Both are told: the failure, and the failure of the cleanup.
                if let (Err(error), Some(message)) = (restored, failure.error.as_mut()) {
                    message.push_str(&format!("; and failed to put {} back: {error}", done.place.text()));
                }
            }
            return Err(failure);
        }
    }
    Ok(())
}

fn write(draft: &Draft<'_>) -> io::Result<()> {
    let Place { dir, rel, .. } = &draft.place;
    if let (None, Some(parent)) = (&draft.before, rel.parent().filter(|parent| !parent.as_os_str().is_empty())) {
        dir.create_dir_all(parent)?;
    }
    dir.write(rel, &draft.after, None)
}
