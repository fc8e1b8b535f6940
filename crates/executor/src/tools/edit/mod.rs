//! `edit`: replaces text where it stands exactly once, in one file or many, all or nothing.
//!
//! [`EditTool`] resolves every edit of a call in memory first ([`draft`]), in order, so that an edit sees what
//! the one before it did; only when all of them fit is anything written. Text that differs from the file in white space
//! alone is found by tiers ([`matching`]) and the result says by which. What does not match is never guessed at: two
//! places are an error with their lines, none is an error with the nearest region. `apply_patch` builds on the same parts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::files::{TextEncoding, unknown_encoding};
use super::place::{Folders, Places, write_key};
use super::validate::{self, ArgumentError};
use super::{Resources, Tool, ToolCall, ToolContext, ToolResult, schema};

mod closest;
mod draft;
mod indent;
mod lines;
mod matching;
mod mismatch;
mod placeholder;
mod replacing;
mod writing;

pub(super) use draft::{Draft, Positions, omits};
pub(super) use indent::Fit;
#[cfg(any(test, fuzzing))]
pub(super) use lines::Units;
pub(super) use lines::line_end;
pub(super) use matching::{End, Lines, Tier, Wanted};
pub(super) use mismatch::{failure, listed, nearest};
pub(super) use placeholder::placeholder;
#[cfg(any(test, fuzzing))]
pub(super) use replacing::replace;
pub(super) use writing::write_all;

/// The arguments of `edit`: one edit, or a list of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EditArgs {
    /// The file to change, relative to the workspace or absolute.
    path: Option<String>,
    /// The text to replace, as it is in the file. Empty only to create a file that does not exist.
    old: Option<String>,
    /// The text to put in its place.
    new: Option<String>,
    /// Replace every occurrence instead of refusing when there is more than one.
    #[serde(default)]
    replace_all: bool,
    /// How many occurrences must be there; they are all replaced. Any other number is refused.
    #[schemars(range(min = 1))]
    expected_count: Option<u64>,
    /// The BLAKE3 hash that the file had when it was read (`hash` of file_read); refused when it has another by now.
    expected_hash: Option<String>,
    /// How the file's text is encoded, such as latin-1. A byte order mark says it by itself.
    encoding: Option<String>,
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
    /// The text to replace, as it is in the file.
    old: String,
    /// The text to put in its place.
    new: String,
    /// Replace every occurrence instead of refusing when there is more than one.
    #[serde(default)]
    replace_all: bool,
    /// How many occurrences must be there; they are all replaced.
    #[schemars(range(min = 1))]
    expected_count: Option<u64>,
    /// The BLAKE3 hash that the file had when it was read; it is compared before the first edit.
    expected_hash: Option<String>,
    /// How the file's text is encoded.
    encoding: Option<String>,
}

/// Replaces text in files. Metadata: `occurrences` in all, `files` with each file's `path`, `tier` (the loosest that an edit took:
/// `exact`, `line_endings`, `trailing_whitespace`, `reindented`), `occurrences`, `ranges`
/// (`line:column-line:column` of what was replaced, as the file was when the edit came to it; columns count bytes; the first 1,000), `diff`,
/// `before_hash` and `after_hash` (blake3, hex; `before_hash` is null for a new file); the same at the top when there is one file.
#[derive(Debug, Default)]
pub struct EditTool {
    allowed_paths: Folders,
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
                    entry.insert(Draft::open(place, encoding(edit, &at)?)?)
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
            expected_hash: self.expected_hash,
            encoding: self.encoding,
        }])
    }
}

/// The encoding that an edit names. Where a character may be several bytes that look like others, bytes cannot be searched.
fn encoding(edit: &Edit, at: &str) -> Result<Option<TextEncoding>, ToolResult> {
    let Some(name) = &edit.encoding else { return Ok(None) };
    match TextEncoding::named(name) {
        None => Err(unknown_encoding(name).with("pointer", format!("{at}/encoding"))),
        Some(TextEncoding::Other(other)) if !other.is_single_byte() => {
            let message = format!(
                "edit takes UTF-8, UTF-16 and encodings of one byte a character, not {name}; use file_read and file_write with it"
            );
            Err(ArgumentError::refused(format!("{at}/encoding"), "utf-8, utf-16 or a single-byte encoding", message)
                .into())
        }
        found => Ok(found),
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

fn report(drafts: &[Draft<'_>]) -> ToolResult {
    let occurrences: usize = drafts.iter().map(|draft| draft.occurrences).sum();
    let lines: Vec<String> = drafts
        .iter()
        .map(|draft| {
            let path = draft.place.text();
            match &draft.before {
                None => format!("Created {path}"),
                Some(_) if draft.occurrences == 1 => {
                    format!("Edited {path}: 1 replacement ({}){}", draft.ranges.join(", "), tolerated(draft.tier))
                }
                Some(_) => format!("Edited {path}: {} replacements{}", draft.occurrences, tolerated(draft.tier)),
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

/// What the text in the file was allowed to differ in.
pub(super) fn tolerated(tier: Tier) -> &'static str {
    match tier {
        Tier::Exact => "",
        Tier::LineEndings => "; it differed in its line ends",
        Tier::TrailingWhitespace => "; it differed in spaces at line ends",
        Tier::Reindented => "; it differed in its indentation",
    }
}

impl Tool for EditTool {
    fn name(&self) -> &str {
        "edit"
    }
    fn description(&self) -> &str {
        "Replace text in one file (path, old, new) or in several (edits): all edits or none. The text must be there once, unless replace_all or expected_count says otherwise; only white space may differ, and the result says so."
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
pub(super) mod table;
#[cfg(test)]
mod tests;
