//! The third phase: just what was found, onto files that are still what they were.

use std::collections::HashSet;

use agentic_executor::workspace::path_to_text;
use agentic_executor::{Cause, ToolContext, ToolResult};

use super::report::MigrationStatus;
use super::tree::Tree;
use super::verify::unchanged;
use super::{MigrateParams, MigrateTool};

impl MigrateTool {
    pub(super) fn apply(&self, params: &MigrateParams, context: &ToolContext<'_>) -> Result<ToolResult, ToolResult> {
        let wanted: HashSet<&str> = params.files.iter().map(String::as_str).collect();
        let state = self.state();
        let kept: Vec<_> = state.kept.iter().filter_map(|at| state.changes.get(*at)).cloned().collect();
        drop(state);
        let known: HashSet<String> = kept.iter().map(|change| path_to_text(&change.path)).collect();
        if let Some(other) = wanted.iter().find(|path| !known.contains(**path)) {
            let message =
                format!("nothing is known of {other}: the phases before were not run here; run the migration again");
            return Err(ToolResult::failure(Cause::InvalidArguments, message).with("pointer", "/files"));
        }
        let kept: Vec<_> =
            kept.into_iter().filter(|change| wanted.contains(path_to_text(&change.path).as_str())).collect();
        let tree = Tree::open(context)?;
        unchanged(&tree, kept.iter())?;
        for change in &kept {
            tree.put(&change.path, change.after.as_deref(), change.mode)?;
        }
        let mut state = self.state();
        state.settled.extend(kept.iter().map(|change| change.path.clone()));
        for file in &mut state.report.files {
            file.kept = wanted.contains(file.path.as_str());
        }
        state.report.status = match (kept.is_empty(), state.report.rejected.is_empty()) {
            (true, true) => MigrationStatus::Unchanged,
            (_, true) => MigrationStatus::Applied,
            (_, false) => MigrationStatus::PartlyApplied,
        };
        Ok(ToolResult::success(format!("{} files are changed", kept.len())))
    }
}
