//! `search`: a regular expression over the files of a workspace, with ripgrep's crates.

use std::path::PathBuf;

use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::place::{Folders, Places};
use super::validate::{self, ArgumentError};
use super::walk::{Filter, Glob, Stop};
use super::{Access, Idempotency, Resources, Tool, ToolCall, ToolContext, ToolResult, schema};
use crate::workspace::FileKind;

mod engine;
mod file;

/// Bytes of output text; what is found beyond is counted and listed in `files`, not printed.
const MOST_OUTPUT: usize = 16 << 20;

/// The arguments of `search`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SearchArgs {
    /// The regular expression to look for (Rust syntax: no look-around or back-references). `^` alone matches every
    /// file once, also an empty one: with file_pattern it finds files by name.
    pattern: String,
    /// The folder or file to look in, relative to the workspace or absolute. Default: the workspace.
    path: Option<String>,
    /// Only files that match: *.py is matched with names, src/**/*.rs with paths.
    #[serde(default = "every")]
    file_pattern: String,
    /// How many matches to return at most (files, when output_mode is files or count); 0 means all.
    #[serde(default = "fifty")]
    max_results: u64,
    /// Whether capital and small letters differ.
    #[serde(default)]
    case_sensitive: bool,
    /// Lines shown before and after each match.
    #[serde(default)]
    #[schemars(range(max = 100))]
    context_lines: u32,
    /// Leave out what .gitignore and .ignore files say, and .git.
    #[serde(default = "yes")]
    respect_gitignore: bool,
    /// Also names that begin with a dot.
    #[serde(default)]
    hidden: bool,
    /// Matching lines, or only the paths of the files that have some, or their number in each file.
    #[serde(default)]
    output_mode: OutputMode,
    /// Whether a match may span lines.
    #[serde(default)]
    multiline: bool,
}

fn every() -> String {
    "*".into()
}
fn fifty() -> u64 {
    50
}
fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OutputMode {
    #[default]
    Lines,
    Files,
    Count,
}

/// What to look for, and how.
struct Query {
    /// `None`: every file matches, at its first line.
    matcher: Option<RegexMatcher>,
    glob: Option<Glob>,
    filter: Filter,
    mode: OutputMode,
    multiline: bool,
    context: usize,
    /// Matches (or files) that are returned at most.
    most: u64,
}

/// Searches files. Output: `PATH:LINE: TEXT` lines (`PATH-LINE- TEXT` for context, `--` between groups), paths, or `PATH:COUNT`;
/// `No matches found` is a success. Metadata: `matches`, `files_searched`, `files` (that match), `truncated`, `binary_skipped`,
/// `unreadable`.
#[derive(Debug, Default)]
pub struct SearchTool {
    search_paths: Folders,
}

impl SearchTool {
    /// Searches the workspace.
    pub fn new() -> Self {
        Self::default()
    }
    /// The folders it keeps to; `None`: the workspace.
    pub fn search_paths(&self) -> Option<Vec<PathBuf>> {
        self.search_paths.get()
    }
    /// Keeps it to these folders (relative ones resolve against the workspace), each a workspace root. Holds from the next call on.
    pub fn set_search_paths(&self, folders: Option<Vec<PathBuf>>) {
        self.search_paths.set(folders);
    }

    fn run(&self, call: &ToolCall, places: &Places<'_>, stop: &Stop<'_>) -> Result<ToolResult, ToolResult> {
        let args: SearchArgs = validate::arguments(call, || self.schema())?;
        let query = args.query()?;
        let starts = match &args.path {
            Some(path) => vec![places.find(path, "/path")?],
            None => places.defaults()?,
        };
        for place in &starts {
            let kind = place.metadata().map_err(|error| place.failed("search", &error))?.kind;
            if !matches!(kind, FileKind::Dir | FileKind::File) {
                let message = format!("{} is {kind}, not a folder or a file", place.text());
                return Err(ArgumentError::refused("/path", "a folder or a file", message).into());
            }
        }
        let found = engine::search(&starts, &query, stop)?;
        let mut output = found.output;
        if output.is_empty() {
            output.push_str("No matches found");
        } else {
            output.truncate(output.trim_end_matches('\n').len());
        }
        let result = ToolResult::success(output)
            .with("matches", found.matches)
            .with("files_searched", found.files_searched)
            .with("files", found.files)
            .with("truncated", found.truncated)
            .with("binary_skipped", found.binary)
            .with("unreadable", found.unreadable);
        Ok(result)
    }
}

impl SearchArgs {
    fn query(&self) -> Result<Query, ToolResult> {
        let refused =
            |message: String| ToolResult::from(ArgumentError::refused("/pattern", "a regular expression", message));
        let matcher = match self.pattern.as_str() {
            "" => {
                return Err(refused(
                    "Invalid regex: it is empty and would match every line; `^` with file_pattern finds files by name"
                        .into(),
                ));
            }
            "^" => None,
            pattern => {
                let matcher = RegexMatcherBuilder::new()
                    .case_insensitive(!self.case_sensitive)
                    .multi_line(true)
                    .line_terminator((!self.multiline).then_some(b'\n'))
                    .build(pattern)
                    .map_err(|error| refused(format!("Invalid regex: {error}{}", advice(pattern, self.multiline))))?;
                Some(matcher)
            }
        };
        let glob = (self.file_pattern != "*").then(|| Glob::new(&self.file_pattern, "/file_pattern")).transpose()?;
        Ok(Query {
            matcher,
            glob,
            filter: Filter { hidden: self.hidden, gitignore: self.respect_gitignore },
            mode: self.output_mode,
            multiline: self.multiline,
            context: if self.output_mode == OutputMode::Lines { self.context_lines as usize } else { 0 },
            most: if self.max_results == 0 { u64::MAX } else { self.max_results },
        })
    }
}

fn advice(pattern: &str, multiline: bool) -> &'static str {
    if !multiline && (pattern.contains("\\n") || pattern.contains('\n')) {
        " (set multiline for a pattern that spans lines)"
    } else if ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|open| pattern.contains(open)) {
        " (look-around is not supported)"
    } else {
        ""
    }
}

impl Tool for SearchTool {
    fn name(&self) -> &str {
        "search"
    }
    fn description(&self) -> &str {
        "Search files with a regular expression, case-insensitively unless told otherwise. Binary files and what git ignores are passed over."
    }
    fn schema(&self) -> Value {
        schema::of::<SearchArgs>()
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        let places = Places::new(context, &self.search_paths);
        self.run(call, &places, &Stop::new(context)).unwrap_or_else(|failure| failure)
    }
    fn access(&self, _params: &Map<String, Value>) -> Access {
        Access::Read
    }
    fn roots(&self, _params: &Map<String, Value>) -> Option<Vec<PathBuf>> {
        self.search_paths.get()
    }
    fn resources(&self, _params: &Map<String, Value>) -> Resources {
        Resources::Independent
    }
    fn idempotency(&self) -> Idempotency {
        Idempotency::ReadOnly
    }
}

#[cfg(test)]
mod tests;
