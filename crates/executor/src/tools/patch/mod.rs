//! `apply_patch`: a patch over many files, all or nothing.
//!
//! [`ApplyPatchTool`] takes the `apply_patch` envelope ([`envelope`]) and unified diffs ([`unified`], [`git`]), finds the place
//! of every hunk in memory ([`placing`]) and writes only when all of them have one. It is stricter than the tools that the
//! forms come from: a hunk that fits at two places is an error and not the first of them, and nothing is half applied.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::edit::write_all;
use super::place::{Folders, Places, write_key};
use super::validate::{self, ArgumentError};
use super::{Resources, Tool, ToolCall, ToolContext, ToolResult, schema};

mod change;
mod envelope;
mod git;
mod parse;
mod placing;
mod unified;

use change::Changed;
pub(crate) use parse::{PatchError, parse};

/// The arguments of `apply_patch`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PatchArgs {
    /// A patch: `*** Begin Patch`, `*** Update File: PATH` (or Add, Delete; `*** Move to: PATH`), hunks that begin with `@@`
    /// and hold lines with ` `, `-` or `+` before them, `*** End Patch`. Or a unified diff as git writes it.
    patch: String,
}

/// Applies a patch. Metadata: `files` with each file's `path`, `action` (`add`, `update`, `delete`, `move`), `from` when it moved,
/// `hunks` (each `line` of the patch and its `tier`), and `tier`, `ranges`, `diff`, `before_hash` and `after_hash` as of `edit`. A
/// failure has the `path`, the `hunk` (from 1), the `patch_line`, and `lines` or `closest`.
#[derive(Debug, Default)]
pub struct ApplyPatchTool {
    allowed_paths: Folders,
}

impl ApplyPatchTool {
    /// Applies patches in the workspace.
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
        let args: PatchArgs = validate::arguments(call, || self.schema())?;
        let patch = parse(&args.patch).map_err(|error| refused(&error))?;
        let mut changed: Vec<Changed<'_>> = Vec::new();
        for file in &patch.files {
            let one = Changed::by(file, patch.form, places).and_then(|one| one.apart_from(&changed));
            changed.push(one.map_err(|failure| nothing_changed(failure, patch.files.len()))?);
        }
        let (drafts, facts): (Vec<_>, Vec<_>) = changed.into_iter().map(|one| (one.draft, one.facts)).unzip();
        write_all(&drafts)?;
        let lines: Vec<String> = drafts.iter().zip(&facts).map(|(draft, facts)| facts.line(draft)).collect();
        let files: Vec<Map<String, Value>> =
            drafts.iter().zip(&facts).map(|(draft, facts)| facts.describe(draft)).collect();
        let mut result = ToolResult::success(lines.join("\n"));
        if let [only] = files.as_slice() {
            result.metadata = only.clone();
        }
        Ok(result.with("files", json!(files)))
    }
}

fn refused(error: &PatchError) -> ToolResult {
    ToolResult::from(ArgumentError::refused("/patch", "a patch", error.to_string())).with("patch_line", error.line)
}

fn nothing_changed(mut failure: ToolResult, files: usize) -> ToolResult {
    if let Some(error) = failure.error.as_mut().filter(|_| files > 1) {
        error.push_str("\n(no file was changed)");
    }
    failure
}

/// The paths that a patch touches; none when it cannot be read, for then it is not applied.
pub(crate) fn paths(patch: &str) -> Vec<String> {
    let files = parse(patch).map(|patch| patch.files).unwrap_or_default();
    files.iter().flat_map(|file| file.paths().map(str::to_owned)).collect()
}

/// What hunks come to on bytes, for the fuzz targets: the changes, and the bytes afterwards.
#[cfg(any(test, fuzzing))]
pub(crate) type PlacedHunks = (Vec<(std::ops::Range<usize>, Vec<u8>)>, Vec<u8>);

/// Puts hunks into a text of UTF-8 or of unknown bytes; `None` when one has no place.
#[cfg(any(test, fuzzing))]
pub(crate) fn place(text: &[u8], form: parse::Form, hunks: &[parse::Hunk]) -> Option<PlacedHunks> {
    use super::edit::{Lines, Units, replace};
    let body = if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    let encode = |text: &str| Ok(text.as_bytes().to_vec());
    let target = placing::Target { whole: Lines::of(text, Units::One, body), form, encode };
    let placed = target.place(hunks).ok()?;
    let after = replace(text, &placed.changes);
    Some((placed.changes, after))
}

impl Tool for ApplyPatchTool {
    fn name(&self) -> &str {
        "apply_patch"
    }
    fn description(&self) -> &str {
        "Apply a patch to the workspace: the `*** Begin Patch` envelope or a unified diff, over one file or many, all of it or nothing. Every hunk must fit at exactly one place."
    }
    fn schema(&self) -> Value {
        schema::of::<PatchArgs>()
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        self.run(call, &Places::new(context, &self.allowed_paths)).unwrap_or_else(|failure| failure)
    }
    fn roots(&self, _params: &Map<String, Value>) -> Option<Vec<PathBuf>> {
        self.allowed_paths.get()
    }
    fn resources(&self, params: &Map<String, Value>) -> Resources {
        let paths = params.get("patch").and_then(Value::as_str).map(paths).unwrap_or_default();
        let mut keys: Vec<String> = paths.iter().map(|path| write_key(Path::new(path))).collect();
        keys.sort();
        keys.dedup();
        if keys.is_empty() { Resources::Undeclared } else { Resources::Keys(keys) }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod table;
