//! `edit`: replaces exact text, in one file or many, all or nothing.
//!
//! [`EditTool`] resolves every edit of a call in memory first ([`matching`]), in order, so that an edit sees what
//! the one before it did; only when all of them fit is anything written. What does not match is never guessed at:
//! two places are an error with their lines, none is an error with the nearest region.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::files::{MOST_IN_MEMORY, TextEncoding, is_binary, utf16_mark};
use super::place::{Folders, Place, Places, write_key};
use super::validate::{self, ArgumentError};
use super::{Resources, Tool, ToolCall, ToolContext, ToolResult, schema};
use crate::cause::Cause;

mod closest;
mod matching;
mod placeholder;

use closest::closest;
use matching::Tier;

/// Occurrences that are listed one by one.
const MOST_LISTED: usize = 20;
/// Bytes of a unified diff that a result holds for one file.
const MOST_DIFF: usize = 64 << 10;

/// The arguments of `edit`: one edit, or a list of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EditArgs {
    /// The file to change, relative to the workspace or absolute.
    path: Option<String>,
    /// The text to replace, byte for byte as it is in the file. Empty only to create a file that does not exist.
    old: Option<String>,
    /// The text to put in its place.
    new: Option<String>,
    /// Replace every occurrence instead of refusing when there is more than one.
    #[serde(default)]
    replace_all: bool,
    /// How many occurrences must be there; they are all replaced. Any other number is refused.
    #[schemars(range(min = 1))]
    expected_count: Option<u64>,
    /// Several edits instead of path, old and new, applied in order; either all of them or none.
    #[schemars(length(min = 1))]
    edits: Option<Vec<Edit>>,
}

/// One replacement.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Edit {
    /// The file to change.
    path: String,
    /// The text to replace, byte for byte as it is in the file.
    old: String,
    /// The text to put in its place.
    new: String,
    /// Replace every occurrence instead of refusing when there is more than one.
    #[serde(default)]
    replace_all: bool,
    /// How many occurrences must be there; they are all replaced.
    #[schemars(range(min = 1))]
    expected_count: Option<u64>,
}

/// Replaces text in files. Metadata: `occurrences` in all, `files` with each file's `path`, `tier`, `occurrences`, `ranges`
/// (`line:column-line:column` of what was replaced, as the file was when the edit came to it; columns count bytes), `diff`,
/// `before_hash` and `after_hash` (blake3, hex; `before_hash` is null for a new file); the same at the top when there is one file.
#[derive(Debug, Default)]
pub struct EditTool {
    allowed_paths: Folders,
}

/// A file in memory: as it was, as it is to be, and what happened to it.
struct Draft<'a> {
    place: Place<'a>,
    before: Option<Vec<u8>>,
    after: Vec<u8>,
    tier: Tier,
    occurrences: usize,
    ranges: Vec<String>,
}

impl EditTool {
    /// Edits in the workspace.
    pub fn new() -> Self {
        Self::default()
    }
    /// The folders it keeps to; `None`: the workspace.
    pub fn allowed_paths(&self) -> Option<Vec<PathBuf>> {
        self.allowed_paths.get()
    }
    /// Keeps it to these folders (relative ones resolve against the workspace), each a workspace root. Holds from the next call on.
    pub fn set_allowed_paths(&self, folders: Option<Vec<PathBuf>>) {
        self.allowed_paths.set(folders);
    }

    fn run(&self, call: &ToolCall, places: &Places<'_>) -> Result<ToolResult, ToolResult> {
        let args: EditArgs = validate::arguments(call, || self.schema())?;
        let listed = args.edits.is_some();
        let edits = args.into_edits()?;
        let mut drafts: BTreeMap<(PathBuf, PathBuf), Draft<'_>> = BTreeMap::new();
        let mut order = Vec::new();
        for (index, edit) in edits.iter().enumerate() {
            let at = if listed { format!("/edits/{index}") } else { String::new() };
            let place = places.find(&edit.path, &format!("{at}/path"))?;
            // Two spellings of one file are one draft, or the second edit would undo the first.
            let real = place.dir.resolve(&place.rel).unwrap_or_else(|_| place.rel.clone());
            let key = (place.dir.path().to_owned(), real);
            let draft = match drafts.entry(key.clone()) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    order.push(key);
                    entry.insert(Draft::open(place)?)
                }
            };
            draft.apply(edit, &at).map_err(|failure| of_many(failure, index, edits.len()))?;
        }
        let drafts: Vec<Draft<'_>> = order.iter().filter_map(|key| drafts.remove(key)).collect();
        write_all(&drafts)?;
        Ok(report(&drafts))
    }
}

impl EditArgs {
    fn into_edits(self) -> Result<Vec<Edit>, ToolResult> {
        if let Some(edits) = self.edits {
            let single = [("/path", self.path.is_some()), ("/old", self.old.is_some()), ("/new", self.new.is_some())];
            if let Some((pointer, _)) = single.iter().find(|(_, given)| *given) {
                let message = format!("Invalid parameter {pointer}: expected edits, or path, old and new; found both");
                return Err(ArgumentError::refused(*pointer, "edits, or path, old and new", message).into());
            }
            if edits.is_empty() {
                return Err(ArgumentError::invalid("/edits", "at least 1 items", &json!([])).into());
            }
            return Ok(edits);
        }
        let given = |value: Option<String>, pointer| value.ok_or_else(|| ArgumentError::missing(pointer).into_result());
        Ok(vec![Edit {
            path: given(self.path, "/path")?,
            old: given(self.old, "/old")?,
            new: given(self.new, "/new")?,
            replace_all: self.replace_all,
            expected_count: self.expected_count,
        }])
    }
}

/// Says which of several edits failed, and that none was applied.
fn of_many(mut failure: ToolResult, index: usize, count: usize) -> ToolResult {
    if count > 1 {
        if let Some(error) = failure.error.as_mut() {
            error.push_str(&format!("\n(edit {} of {count}; no file was changed)", index + 1));
        }
        failure = failure.with("edit", index);
    }
    failure
}

impl<'a> Draft<'a> {
    fn open(place: Place<'a>) -> Result<Self, ToolResult> {
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
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(place.failed("edit", &error));
            }
            None
        };
        let after = before.clone().unwrap_or_default();
        Ok(Self { place, before, after, tier: Tier::Exact, occurrences: 0, ranges: Vec::new() })
    }

    fn apply(&mut self, edit: &Edit, at: &str) -> Result<(), ToolResult> {
        let path = self.place.text();
        if edit.old == edit.new {
            let message = format!("Nothing to do: old and new are the same text ({path})");
            return Err(ArgumentError::refused(format!("{at}/new"), "a text that differs from old", message).into());
        }
        if let Some(line) = placeholder::placeholder(&edit.old, &edit.new) {
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
        let lines = || -> Vec<usize> { found.ranges.iter().map(|range| self.position(range.start).0).collect() };
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
        for range in &chosen {
            let ((line, column), (last, end)) = (self.position(range.start), self.position(range.end));
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

    /// Line and column of a byte, both from 1; columns count bytes (code units in UTF-16).
    fn position(&self, at: usize) -> (usize, usize) {
        let before = &self.after[..at];
        if let Some(encoding) = utf16_mark(&self.after) {
            let newline: [u8; 2] = if encoding == TextEncoding::Utf16Be { [0, b'\n'] } else { [b'\n', 0] };
            let units: Vec<&[u8]> = before.chunks(2).collect();
            let line = units.iter().filter(|unit| **unit == newline).count();
            let column = units.iter().rev().take_while(|unit| **unit != newline).count();
            return (line + 1, column + 1);
        }
        let line = before.iter().filter(|byte| **byte == b'\n').count();
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
        (line + 1, column + 1)
    }

    fn text(&self, encoding: TextEncoding) -> String {
        match encoding.decode(&self.after) {
            Ok(decoded) => decoded.text.into_owned(),
            Err(_) => String::from_utf8_lossy(&self.after).into_owned(),
        }
    }

    fn describe(&self) -> Map<String, Value> {
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
fn write_all(drafts: &[Draft<'_>]) -> Result<(), ToolResult> {
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

fn write(draft: &Draft<'_>) -> std::io::Result<()> {
    let Place { dir, rel, .. } = &draft.place;
    if let (None, Some(parent)) = (&draft.before, rel.parent().filter(|parent| !parent.as_os_str().is_empty())) {
        dir.create_dir_all(parent)?;
    }
    dir.write(rel, &draft.after, None)
}

fn report(drafts: &[Draft<'_>]) -> ToolResult {
    let occurrences: usize = drafts.iter().map(|draft| draft.occurrences).sum();
    let lines: Vec<String> = drafts
        .iter()
        .map(|draft| {
            let path = draft.place.text();
            match &draft.before {
                None => format!("Created {path}"),
                Some(_) if draft.occurrences == 1 => {
                    format!("Edited {path}: 1 replacement ({})", draft.ranges.join(", "))
                }
                Some(_) => format!("Edited {path}: {} replacements", draft.occurrences),
            }
        })
        .collect();
    let files: Vec<Map<String, Value>> = drafts.iter().map(Draft::describe).collect();
    let mut result = ToolResult::success(lines.join("\n"));
    if let [only] = files.as_slice() {
        result.metadata = only.clone();
    }
    result.with("occurrences", occurrences).with("files", json!(files))
}

impl Tool for EditTool {
    fn name(&self) -> &str {
        "edit"
    }
    fn description(&self) -> &str {
        "Replace exact text in one file (path, old, new) or in several (edits): all edits or none. The text must be there once, unless replace_all or expected_count says otherwise."
    }
    fn schema(&self) -> Value {
        let mut schema = schema::of::<EditArgs>();
        schema["anyOf"] = json!([{"required": ["path", "old", "new"]}, {"required": ["edits"]}]);
        schema
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        self.run(call, &Places::new(context, &self.allowed_paths)).unwrap_or_else(|failure| failure)
    }
    fn roots(&self, _params: &Map<String, Value>) -> Option<Vec<PathBuf>> {
        self.allowed_paths.get()
    }
    fn resources(&self, params: &Map<String, Value>) -> Resources {
        let listed = params.get("edits").and_then(Value::as_array).into_iter().flatten();
        let paths = listed.map(|edit| edit.get("path")).chain([params.get("path")]);
        let mut keys: Vec<String> =
            paths.flatten().filter_map(Value::as_str).map(|path| write_key(Path::new(path))).collect();
        keys.sort();
        keys.dedup();
        if keys.is_empty() { Resources::Undeclared } else { Resources::Keys(keys) }
    }
}

#[cfg(test)]
mod tests;
