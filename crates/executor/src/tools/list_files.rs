//! `list_files`: the files under a folder, by name or glob.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::place::{Folders, Places};
use super::validate::{self, ArgumentError};
use super::walk::{Filter, Glob, Stop, walk};
use super::{Access, Idempotency, Resources, Tool, ToolCall, ToolContext, ToolResult, schema};
use crate::workspace::FileKind;

/// The arguments of `list_files`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListArgs {
    /// The folder to look in, relative to the workspace or absolute. Default: the workspace.
    path: Option<String>,
    /// Only files of exactly this name.
    name: Option<String>,
    /// Only files that match: *.py is matched with names, src/**/*.rs with paths.
    glob: Option<String>,
    /// Also names that begin with a dot.
    #[serde(default)]
    hidden: bool,
    /// Leave out what .gitignore and .ignore files say, and .git.
    #[serde(default = "yes")]
    respect_gitignore: bool,
    /// How many paths to return at most; 0 means all.
    #[serde(default = "thousand")]
    max_results: u64,
}

fn yes() -> bool {
    true
}
fn thousand() -> u64 {
    1_000
}

/// Lists files and links, sorted. Output: one path a line, or `No files found`. Metadata: `files` (the paths), `count`,
/// `truncated`, `unreadable` (folders that could not be read).
#[derive(Debug, Default)]
pub struct ListFilesTool {
    search_paths: Folders,
}

impl ListFilesTool {
    /// Lists the workspace.
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
        let args: ListArgs = validate::arguments(call, || self.schema())?;
        let glob = args.glob.as_deref().map(|glob| Glob::new(glob, "/glob")).transpose()?;
        let wanted = |path: &Path| {
            args.name.as_deref().is_none_or(|name| path.file_name().is_some_and(|other| other == name))
                && glob.as_ref().is_none_or(|glob| glob.matches(path))
        };
        let starts = match &args.path {
            Some(path) => vec![places.find(path, "/path")?],
            None => places.defaults()?,
        };
        let most =
            if args.max_results == 0 { usize::MAX } else { usize::try_from(args.max_results).unwrap_or(usize::MAX) };
        let filter = Filter { hidden: args.hidden, gitignore: args.respect_gitignore };
        let (mut files, mut truncated, mut unreadable, mut ended) = (Vec::new(), false, 0, None);
        for place in &starts {
            let metadata = place.metadata().map_err(|error| place.failed("list", &error))?;
            if metadata.kind != FileKind::Dir {
                let message = format!("{} is {}, not a folder", place.text(), metadata.kind);
                return Err(ArgumentError::refused("/path", "a folder", message).into());
            }
            unreadable += walk(place, filter, &mut |path, _| {
                if let Some(reason) = stop.reason("Listing files") {
                    ended = Some(reason);
                    return ControlFlow::Break(());
                }
                if wanted(path) {
                    if files.len() == most {
                        truncated = true;
                        return ControlFlow::Break(());
                    }
                    files.push(place.join(path).display().to_string());
                }
                ControlFlow::Continue(())
            })?;
        }
        if let Some(reason) = ended {
            return Err(reason.with("files", files));
        }
        let output = if files.is_empty() { "No files found".to_owned() } else { files.join("\n") };
        Ok(ToolResult::success(output)
            .with("count", files.len())
            .with("files", files)
            .with("truncated", truncated)
            .with("unreadable", unreadable))
    }
}

impl Tool for ListFilesTool {
    fn name(&self) -> &str {
        "list_files"
    }
    fn description(&self) -> &str {
        "List the files under a folder, by name or glob, sorted. Links are listed, not followed."
    }
    fn schema(&self) -> Value {
        schema::of::<ListArgs>()
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
#[path = "list_files_tests.rs"]
mod tests;
