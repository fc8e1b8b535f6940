//! A file in memory while the changes of a call come to it.

use std::io;
use std::ops::Range;

use serde_json::{Map, Value, json};

use super::Edit;
use super::lines::Units;
use super::matching::{self, Found, Matches, Tier};
use super::mismatch::{indented_otherwise, listed, mismatch, not_found};
use super::placeholder::placeholder;
use super::replacing::{Change, replace};
use crate::cause::Cause;
use crate::tools::ToolResult;
use crate::tools::files::{MOST_IN_MEMORY, TextEncoding, is_binary, utf16_mark};
use crate::tools::place::Place;
use crate::tools::validate::ArgumentError;

/// Ranges that a result lists for one file; `occurrences` counts them all.
const MOST_RANGES: usize = 1_000;
/// Bytes of a unified diff that a result holds for one file.
const MOST_DIFF: usize = 64 << 10;

/// A file in memory: as it was, as it is to be, and what happened to it.
pub(crate) struct Draft<'a> {
    pub(crate) place: Place<'a>,
    /// Where it was, when it is being moved.
    pub(crate) from: Option<Place<'a>>,
    pub(crate) before: Option<Vec<u8>>,
    /// Its permission bits as they were.
    pub(crate) mode: Option<u32>,
    pub(crate) after: Vec<u8>,
    /// It is to be removed.
    pub(crate) removed: bool,
    /// It is to become a program, or none any more.
    pub(crate) executable: Option<bool>,
    encoding: Option<TextEncoding>,
    pub(crate) tier: Tier,
    pub(crate) occurrences: usize,
    pub(crate) ranges: Vec<String>,
}

impl<'a> Draft<'a> {
    /// Takes a text file in, if it is there. `encoding`: what the caller says that its text is in.
    pub(crate) fn open(place: Place<'a>, encoding: Option<TextEncoding>) -> Result<Self, ToolResult> {
        let draft = Self::open_bytes(place, encoding)?;
        if draft.is_binary() {
            let message = format!("{} is a binary file; edit changes text files only", draft.place.text());
            return Err(ArgumentError::refused("/path", "a text file", message).into());
        }
        Ok(draft)
    }

    /// The same with any file, to be moved or removed.
    pub(crate) fn open_bytes(place: Place<'a>, encoding: Option<TextEncoding>) -> Result<Self, ToolResult> {
        let (mut before, mut mode) = (None, None);
        if place.dir.exists(&place.rel) {
            mode = Some(place.file()?.mode);
            let bytes = place.dir.read(&place.rel, MOST_IN_MEMORY).map_err(|error| place.failed("edit", &error))?;
            before = Some(bytes);
        } else {
            // What may not be looked at is not missing.
            if let Err(error) = place.metadata()
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(place.failed("edit", &error));
            }
        }
        let after = before.clone().unwrap_or_default();
        let (tier, ranges) = (Tier::Exact, Vec::new());
        let (from, removed, executable, occurrences) = (None, false, None, 0);
        Ok(Self { place, from, before, mode, after, removed, executable, encoding, tier, occurrences, ranges })
    }

    fn is_binary(&self) -> bool {
        self.before.as_deref().is_some_and(is_binary) && !self.encoding.is_some_and(TextEncoding::is_wide)
    }

    /// The encoding of its text: what a mark or the caller says, else UTF-8.
    pub(crate) fn encoding(&self) -> TextEncoding {
        utf16_mark(&self.after).or(self.encoding).unwrap_or(TextEncoding::Utf8)
    }
    pub(crate) fn units(&self) -> Units {
        match self.encoding() {
            TextEncoding::Utf16Be | TextEncoding::Utf16BeSig => Units::TwoBig,
            other if other.is_wide() => Units::TwoLittle,
            _ => Units::One,
        }
    }
    /// Where its text begins, after a byte order mark.
    pub(crate) fn body(&self) -> usize {
        if self.after.starts_with(b"\xEF\xBB\xBF") { 3 } else { utf16_mark(&self.after).map_or(0, |_| 2) }
    }

    pub(super) fn apply(&mut self, edit: &Edit, at: &str) -> Result<(), ToolResult> {
        let path = self.place.text();
        self.agrees(edit, at)?;
        if edit.old == edit.new {
            let message = format!("Nothing to do: old and new are the same text ({path})");
            return Err(ArgumentError::refused(format!("{at}/new"), "a text that differs from old", message).into());
        }
        if let Some(line) = placeholder(&edit.old, &edit.new) {
            return Err(omits(&path, "new", line, &format!("{at}/new")));
        }
        if edit.old.is_empty() {
            return self.create_by(edit, at);
        }
        if self.before.is_none() && self.occurrences == 0 {
            return Err(ToolResult::failure(Cause::NotFound, format!("File not found: {path}")));
        }
        let old = self.encode(&edit.old, &format!("{at}/old"))?;
        let Some(found) = matching::find(&self.after, &old, self.units(), self.body()) else {
            return Err(not_found(&path, &self.text(), &edit.old, at).with("encoding", self.encoding().name()));
        };
        if edit.old.is_ascii() && !edit.new.is_ascii() {
            self.speaks_utf8(&format!("{at}/new"))?;
        }
        let new = self.encode(&edit.new, &format!("{at}/new"))?;
        let positions = Positions::of(&self.after, self.units());
        let change = Change { old: &old, new: &new, units: self.units() };
        let mut changes = Vec::new();
        for one in chosen(&found, edit, &positions, &path, at)? {
            let put = change.at(&self.after, one, found.tier).map_err(|line| indented_otherwise(&path, line, at))?;
            changes.push((one.range.clone(), put));
        }
        self.put(&changes, found.tier, &positions);
        Ok(())
    }

    /// Puts changes in: disjoint, in order.
    pub(crate) fn put(&mut self, changes: &[(Range<usize>, Vec<u8>)], tier: Tier, positions: &Positions) {
        for (range, _) in changes.iter().take(MOST_RANGES.saturating_sub(self.ranges.len())) {
            self.ranges.push(positions.span(range));
        }
        self.after = replace(&self.after, changes);
        self.occurrences += changes.len();
        self.tier = self.tier.max(tier);
    }

    /// What the caller says about the file is so.
    fn agrees(&mut self, edit: &Edit, at: &str) -> Result<(), ToolResult> {
        let path = self.place.text();
        if let Some(encoding) = super::encoding(edit, at)? {
            if self.encoding.is_some_and(|other| other != encoding) {
                let message = format!("Refused to edit {path}: its edits name two encodings");
                return Err(ArgumentError::refused(format!("{at}/encoding"), "one encoding a file", message).into());
            }
            if self.encoding.is_none() && self.occurrences > 0 && self.encoding() != encoding {
                let message = format!("Refused to edit {path}: the first of its edits has to name the encoding");
                return Err(ArgumentError::refused(format!("{at}/encoding"), "one encoding a file", message).into());
            }
            self.encoding = Some(encoding);
        }
        let Some(expected) = &edit.expected_hash else { return Ok(()) };
        let hex = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex(expected) {
            let wanted = "a BLAKE3 hash of 64 hexadecimal digits (`hash` of file_read, `after_hash` of edit)";
            return Err(ArgumentError::invalid(format!("{at}/expected_hash"), wanted, &json!(expected)).into());
        }
        let actual = self.before.as_deref().map(hash);
        if actual.as_deref().is_some_and(|actual| actual.eq_ignore_ascii_case(expected)) {
            return Ok(());
        }
        let message = match &actual {
            None => format!("{path} is not there any more; it was when it had the hash {expected}"),
            Some(actual) => format!(
                "{path} has changed since it was read: its hash is {actual}, and expected_hash is {expected}; read it again"
            ),
        };
        Err(ToolResult::failure(Cause::Conflict, message)
            .with("path", path)
            .with("pointer", format!("{at}/expected_hash"))
            .with("before_hash", actual))
    }

    /// A text in the file's own encoding.
    pub(crate) fn encode(&self, text: &str, pointer: &str) -> Result<Vec<u8>, ToolResult> {
        let encoding = self.encoding();
        let bytes = encoding.encode(text, false).map_err(|character| {
            let message = format!("failed to edit {}: {} has no {character:?}", self.place.text(), encoding.name());
            ToolResult::from(ArgumentError::refused(pointer, "characters that the file's encoding has", message))
        })?;
        Ok(bytes.into_owned())
    }

    /// That what is beyond ASCII may be written as UTF-8: the file is not in another encoding that nobody named.
    pub(crate) fn speaks_utf8(&self, pointer: &str) -> Result<(), ToolResult> {
        match (self.encoding(), std::str::from_utf8(&self.after)) {
            (TextEncoding::Utf8 | TextEncoding::Utf8Sig, Err(error)) => {
                let message = format!(
                    "Refused to edit {}: it is not UTF-8 (byte {}), and the new text has characters beyond ASCII; say its encoding, for example latin-1",
                    self.place.text(),
                    error.valid_up_to()
                );
                Err(ArgumentError::refused(pointer, "a named encoding, or ASCII", message).into())
            }
            _ => Ok(()),
        }
    }

    /// A new file of this text.
    pub(crate) fn create(&mut self, text: String) {
        self.after = text.into_bytes();
        self.occurrences = 1;
        self.ranges.push("1:1-1:1".into());
    }

    fn create_by(&mut self, edit: &Edit, at: &str) -> Result<(), ToolResult> {
        let path = self.place.text();
        if self.before.is_some() || self.occurrences > 0 {
            let message =
                format!("Refused to edit {path}: old is empty, which stands for a new file, but the file exists");
            return Err(ArgumentError::refused(format!("{at}/old"), "the text to replace", message).into());
        }
        self.create(String::new());
        self.after = match self.encoding.unwrap_or(TextEncoding::Utf8).encode(&edit.new, true) {
            Ok(bytes) => bytes.into_owned(),
            Err(_) => self.encode(&edit.new, &format!("{at}/new"))?,
        };
        Ok(())
    }

    /// Its text as it is now, to be shown.
    pub(crate) fn text(&self) -> String {
        self.encoding().decode_lossy(&self.after).text.into_owned()
    }

    pub(crate) fn describe(&self) -> Map<String, Value> {
        let after = (!self.removed).then_some(self.after.as_slice());
        let mut facts = Map::new();
        facts.insert("path".into(), self.place.text().into());
        facts.insert("tier".into(), json!(self.tier));
        facts.insert("occurrences".into(), self.occurrences.into());
        facts.insert("ranges".into(), self.ranges.clone().into());
        facts.insert("diff".into(), self.diff(after).into());
        facts.insert("before_hash".into(), self.before.as_deref().map(hash).into());
        facts.insert("after_hash".into(), after.map(hash).into());
        facts
    }

    fn diff(&self, after: Option<&[u8]>) -> String {
        let (path, old_path) = (self.place.text(), self.from.as_ref().unwrap_or(&self.place).text());
        let text = |bytes: &[u8]| self.encoding().decode_lossy(bytes).text.into_owned();
        let (old, new) = (text(self.before.as_deref().unwrap_or_default()), text(after.unwrap_or_default()));
        let name =
            |side: &str, path: &str, there: bool| if there { format!("{side}/{path}") } else { "/dev/null".into() };
        if self.is_binary() {
            return format!("Binary file {old_path}, {} bytes\n", self.before.as_ref().map_or(0, Vec::len));
        }
        let (from, to) = (name("a", &old_path, self.before.is_some()), name("b", &path, after.is_some()));
        let diff = similar::TextDiff::configure().timeout(std::time::Duration::from_secs(1)).diff_lines(&old, &new);
        let mut text = diff.unified_diff().context_radius(3).header(&from, &to).to_string();
        if text.len() > MOST_DIFF {
            let cut = (0..=MOST_DIFF).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let dropped = text.len() - cut;
            text.truncate(cut);
            text.push_str(&format!("\n[{dropped} bytes of the diff cut]\n"));
        }
        text
    }
}

/// BLAKE3, hexadecimal: what `expected_hash` is compared with.
pub(crate) fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The refusal of a text that stands for code left out.
pub(crate) fn omits(path: &str, what: &str, line: &str, pointer: &str) -> ToolResult {
    let message = format!(
        "Refused to edit {path}: {what} holds a placeholder for omitted code ({line:?}); write the code out, or edit only the lines that change"
    );
    ArgumentError::refused(pointer, "the whole replacement", message).into()
}

/// The matches that are replaced: one, unless the edit says otherwise.
fn chosen<'m>(
    found: &'m Matches,
    edit: &Edit,
    positions: &Positions,
    path: &str,
    at: &str,
) -> Result<Vec<&'m Found>, ToolResult> {
    let lines = || -> Vec<usize> { found.found.iter().map(|one| positions.at(one.range.start).0).collect() };
    let disjoint = found.disjoint();
    match edit.expected_count {
        Some(expected) if disjoint.len() as u64 != expected => {
            let count = disjoint.len();
            let message =
                format!("Expected {expected} occurrences of old in {path}, found {count} ({})", listed(&lines()));
            Err(mismatch(message, path, &lines(), at, count))
        }
        None if found.found.len() > 1 && !edit.replace_all => {
            let count = found.found.len();
            let message = format!(
                "Old content is not unique in {path}: {count} occurrences ({}); add surrounding lines to old, or set replace_all",
                listed(&lines())
            );
            Err(mismatch(message, path, &lines(), at, count))
        }
        _ => Ok(disjoint),
    }
}

/// Lines and columns of a text, both from 1; columns count bytes, in UTF-16 code units.
pub(crate) struct Positions {
    starts: Vec<usize>,
    width: usize,
}

impl Positions {
    pub(crate) fn of(bytes: &[u8], units: Units) -> Self {
        let (width, newline) = (units.width(), units.ascii("\n"));
        let ends = bytes.chunks_exact(width).enumerate().filter(|(_, unit)| *unit == newline);
        let starts = std::iter::once(0).chain(ends.map(|(index, _)| (index + 1) * width)).collect();
        Self { starts, width }
    }
    pub(crate) fn at(&self, byte: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = line.checked_sub(1).and_then(|index| self.starts.get(index)).copied().unwrap_or(0);
        (line, (byte - start) / self.width + 1)
    }
    /// `line:column-line:column`.
    pub(crate) fn span(&self, range: &Range<usize>) -> String {
        let ((line, column), (last, end)) = (self.at(range.start), self.at(range.end));
        format!("{line}:{column}-{last}:{end}")
    }
}
