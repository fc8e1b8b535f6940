//! What the executor asks of the planner and the workspace, one thin function for each question.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::planner::references::{self, Scope};
use crate::planner::{ExecutionPlan, ForEach, PlanError, ReferenceError, TaskPlanner};
use crate::tools::Access;
use crate::workspace::{Attempt, Backend, Dir, FileKind, WorkspaceError, Workspaces};

/// Opens private layers; on the copy backend where overlayfs could not do what the step wanted.
pub(super) fn open(
    workspaces: &Workspaces,
    roots: &[PathBuf],
    access: Access,
    copy: bool,
) -> Result<Attempt, WorkspaceError> {
    if copy && access == Access::Write {
        workspaces.open_with(roots, access, Backend::Copy)
    } else {
        workspaces.open(roots, access)
    }
}

/// A plan for a task over the project in `folder`.
pub(super) fn plan(
    planner: &TaskPlanner,
    task: &str,
    context: &Map<String, Value>,
    folder: &Path,
) -> Result<ExecutionPlan, PlanError> {
    match Dir::open_root(folder) {
        Ok(project) => planner.plan(task, context, &project.read_only()),
        // The workspace is refused when a step opens it, with the reason; a plan may need no project.
        Err(_) => planner.plan(task, context, &crate::planner::NoProject),
    }
}

/// What the references of a step can see.
pub(super) struct Sight<'a> {
    pub(super) plan: &'a ExecutionPlan,
    pub(super) context: &'a Map<String, Value>,
    pub(super) item: Option<(&'a str, &'a Value)>,
}

impl Sight<'_> {
    fn scope(&self) -> Scope<'_> {
        Scope { task: &self.plan.task, steps: self.plan, context: self.context, item: self.item }
    }
    /// The arguments with their references replaced.
    pub(super) fn resolve(&self, params: &Map<String, Value>) -> Result<Map<String, Value>, ReferenceError> {
        references::resolve(params, &self.scope())
    }
    /// The list of a `for_each`.
    pub(super) fn items(&self, each: &ForEach) -> Result<Vec<Value>, ReferenceError> {
        references::items(each, &self.scope())
    }
    /// Whether a `when` holds.
    pub(super) fn holds(&self, when: &str) -> Result<bool, ReferenceError> {
        references::eval_condition(when, &self.scope())
    }
}

/// Text that resolves to itself.
pub(super) fn escape(text: &str) -> Value {
    references::escape(text).into()
}

/// Folders that hold no source of anybody's.
const SKIPPED: [&str; 8] = [".git", "node_modules", "target", "__pycache__", ".venv", "venv", ".tox", ".mypy_cache"];
const MOST_ENTRIES: usize = 100_000;

/// Files of that name beneath a folder, relative to it. Symlinks are not followed; `most` are returned at most.
pub(super) fn files_named(root: &Path, name: &OsStr, most: usize) -> Result<Vec<PathBuf>, WorkspaceError> {
    let dir = Dir::open_root(root)?;
    let mut found = Vec::new();
    let mut folders = VecDeque::from([PathBuf::new()]);
    let mut seen = 0;
    while let Some(folder) = folders.pop_front() {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder.as_path() };
        // What cannot be read holds nothing that the step could read.
        let Ok(mut entries) = dir.read_dir(here) else { continue };
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            seen += 1;
            if found.len() >= most || seen > MOST_ENTRIES {
                return Ok(found);
            }
            let path = folder.join(&entry.name);
            if entry.kind == FileKind::Dir {
                if !SKIPPED.iter().any(|skipped| entry.name.as_os_str() == *skipped) {
                    folders.push_back(path);
                }
            } else if entry.name.as_os_str() == name {
                found.push(path);
            }
        }
    }
    Ok(found)
}
