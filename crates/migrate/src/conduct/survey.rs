//! The first phase: what the rules and their commands change, found in a layer that is dropped.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use agentic_executor::workspace::{Metadata, WorkspaceError, path_to_text};
use agentic_executor::{Cancel, Cause, ToolContext, ToolResult};

use super::change::FileChange;
use super::report::{Again, ChangedFile, LeftOut, MigrationReport, MigrationStatus};
use super::tree::{Content, Tree};
use super::{MigrateParams, MigrateTool};

use crate::{Rewrite, RuleSet, Stage};

/// One file after the rules of a stage.
struct Seen {
    at: usize,
    before: Vec<u8>,
    outcome: Result<Rewrite, Content>,
}

/// The work so far.
pub(super) struct Survey<'a> {
    pub(super) tool: &'a MigrateTool,
    pub(super) changes: BTreeMap<PathBuf, FileChange>,
    pub(super) report: MigrationReport,
    /// Files whose content is no text.
    not_text: HashSet<PathBuf>,
    /// The files of the workspace as they stood before the first command.
    pub(super) stood: HashMap<PathBuf, Stood>,
}

/// What tells a file that was written again from the one that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stood {
    ino: u64,
    size: u64,
    mtime: SystemTime,
    ctime: SystemTime,
}

impl Stood {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { ino: metadata.ino, size: metadata.size, mtime: metadata.mtime, ctime: metadata.ctime }
    }
}

impl MigrateTool {
    pub(super) fn survey(
        &self,
        params: &MigrateParams,
        wall: Duration,
        context: &ToolContext<'_>,
    ) -> Result<ToolResult, ToolResult> {
        {
            let mut state = self.state();
            let spent = state.report.seconds.clone();
            (state.changes, state.kept) = (Vec::new(), Vec::new());
            state.report = MigrationReport { seconds: spent, ..MigrationReport::of(&self.rules) };
        }
        let mut survey = Survey {
            tool: self,
            changes: BTreeMap::new(),
            report: MigrationReport::of(&self.rules),
            not_text: HashSet::new(),
            stood: HashMap::new(),
        };
        let mut files = context.files(false)?;
        // A command sees what the rules before it did.
        let writes = self.rules.commands().next().is_some();
        if writes {
            let workspace = &context.config.workspace;
            let failed = |error: WorkspaceError| {
                ToolResult::failure(Cause::Failed, format!("failed to look at {}: {error}", workspace.display()))
            };
            let original = Tree::original(workspace).map_err(failed)?;
            let stood = |path: &PathBuf| Some((path.clone(), Stood::of(&original.metadata(path).ok()?)));
            survey.stood = files.paths.iter().filter_map(stood).collect();
        }
        for stage in self.rules.stages() {
            match stage {
                Stage::Rules(range) => survey.rules(range.clone(), &files.paths, writes, context)?,
                Stage::Command(command) => {
                    survey.command(command, wall, &mut files.paths, context)?;
                }
            }
        }
        survey.report.passed_over.unreadable_folders = files.unreadable;
        Ok(survey.finish(params))
    }
}

impl Survey<'_> {
    /// The rules of a stage, file by file.
    fn rules(
        &mut self,
        range: Range<usize>,
        files: &[PathBuf],
        writes: bool,
        context: &ToolContext<'_>,
    ) -> Result<(), ToolResult> {
        let (tree, cancel) = (Tree::open(context)?, context.cancel);
        let (rules, settled) = (&self.tool.rules, self.tool.state().settled.clone());
        let left_alone = |path: &PathBuf| self.tool.rules_file.as_ref() == Some(path) || settled.contains(path);
        let wanted: Vec<&PathBuf> =
            files.iter().filter(|path| rules.may_apply_stage(range.clone(), path) && !left_alone(path)).collect();
        let seen = rewrite_all(rules, range, &tree, &wanted, cancel);
        if cancel.is_cancelled() {
            return Err(ToolResult::failure(Cause::Cancelled, "the migration was cancelled"));
        }
        for one in seen {
            let path = wanted[one.at];
            match one.outcome {
                Ok(rewrite) => self.rewritten(path, one.before, rewrite, writes.then_some(&tree))?,
                Err(Content::NotText) => drop(self.not_text.insert(path.clone())),
                Err(Content::TooLarge) => self.left(path, "it is larger than the limit".into()),
                Err(Content::Unreadable(error)) => self.left(path, format!("it cannot be read: {error}")),
                Err(Content::Text(_)) => {}
            }
        }
        Ok(())
    }

    fn rewritten(
        &mut self,
        path: &Path,
        before: Vec<u8>,
        rewrite: Rewrite,
        write: Option<&Tree>,
    ) -> Result<(), ToolResult> {
        let name = path_to_text(path);
        for left in &rewrite.left {
            self.report.left.push(LeftOut {
                path: name.clone(),
                line: Some(left.line),
                rule: Some(left.rule.clone()),
                reason: left.reason.to_string(),
            });
        }
        for again in &rewrite.not_idempotent {
            self.report.not_idempotent.push(Again {
                path: name.clone(),
                rule: again.rule.clone(),
                line: again.line,
                before: again.before.clone(),
                after: again.after.clone(),
            });
        }
        for applied in &rewrite.applied {
            if let Some(row) = self.report.rule(&applied.rule) {
                row.matches += applied.matches;
                row.files += usize::from(applied.matches > 0);
                row.seconds += Duration::from_micros(applied.micros).as_secs_f64();
            }
        }
        let Some(text) = rewrite.text else { return Ok(()) };
        if let Some(tree) = write {
            tree.put(path, Some(text.as_bytes()), None)?;
        }
        let change = self.changes.entry(path.to_owned()).or_insert_with(|| FileChange {
            path: path.to_owned(),
            before: Some(before),
            ..FileChange::default()
        });
        change.after = Some(text.into_bytes());
        for applied in rewrite.applied.iter().filter(|applied| applied.matches > 0) {
            *change.matches.entry(applied.rule.clone()).or_default() += applied.matches;
        }
        Ok(())
    }

    pub(super) fn left(&mut self, path: &Path, reason: String) {
        self.report.left.push(LeftOut { path: path_to_text(path), line: None, rule: None, reason });
    }

    /// What was found, kept for the phases to come.
    fn finish(mut self, params: &MigrateParams) -> ToolResult {
        let mut state = self.tool.state();
        let mut changes: Vec<FileChange> = std::mem::take(&mut self.changes)
            .into_values()
            .filter(|change| change.changes_anything() && !state.settled.contains(&change.path))
            .collect();
        changes.truncate(params.most_files.unwrap_or(usize::MAX));
        let mut report = self.report;
        report.passed_over.not_text = self.not_text.len();
        report.files = changes.iter().map(ChangedFile::of).collect();
        report.status = if changes.is_empty() { MigrationStatus::Unchanged } else { MigrationStatus::Rewritten };
        report.seconds = state.report.seconds.clone();
        let files: Vec<String> = report.files.iter().map(|file| file.path.clone()).collect();
        state.kept = (0..changes.len()).collect();
        (state.changes, state.report) = (changes, report);
        let text = match files.len() {
            0 => "no file is changed".to_owned(),
            1 => "1 file is changed".to_owned(),
            count => format!("{count} files are changed"),
        };
        ToolResult::success(text).with("files", files)
    }
}

/// The rules over all these files, by as many threads as there are processors, in order.
fn rewrite_all(rules: &RuleSet, range: Range<usize>, tree: &Tree, wanted: &[&PathBuf], cancel: &Cancel) -> Vec<Seen> {
    let most = rules.limits().bytes as u64;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut seen = Vec::new();
        while !cancel.is_cancelled() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = wanted.get(at) else { break };
            let (before, outcome) = match tree.text(path, most) {
                Content::Text(text) => {
                    let rewrite = rules.rewrite_stage(range.clone(), path, &text);
                    let tells = rewrite.text.is_some() || !rewrite.applied.is_empty() || !rewrite.left.is_empty();
                    if !tells {
                        continue;
                    }
                    (if rewrite.text.is_some() { text.into_bytes() } else { Vec::new() }, Ok(rewrite))
                }
                other => (Vec::new(), Err(other)),
            };
            seen.push(Seen { at, before, outcome });
        }
        seen
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8).min(wanted.len().max(1));
    let mut all: Vec<Seen> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    });
    all.sort_by_key(|seen| seen.at);
    all
}
