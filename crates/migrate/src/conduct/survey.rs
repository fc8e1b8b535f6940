//! The first phase: what the rules and their commands change, found in a layer that is dropped.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agentic_executor::workspace::{ChangeKind, Dir, path_to_text};
use agentic_executor::{Cancel, Cause, ToolContext, ToolResult};

use super::change::FileChange;
use super::report::{Again, ChangedFile, LeftOut, MigrationReport, MigrationStatus};
use super::tree::{Content, Tree, failed, text_of};
use super::verify::{ended, last_lines};
use super::{MigrateParams, MigrateTool};

use crate::{Command, Rewrite, RuleSet, Stage};

/// Bytes of a file that a command wrote and that is kept.
const MOST_WRITTEN: u64 = 64 << 20;

/// One file after the rules of a stage.
struct Seen {
    at: usize,
    before: Vec<u8>,
    outcome: Result<Rewrite, Content>,
}

/// The work so far.
struct Survey<'a> {
    tool: &'a MigrateTool,
    tree: Tree<'a>,
    changes: BTreeMap<PathBuf, FileChange>,
    report: MigrationReport,
    /// Files whose content is no text.
    not_text: HashSet<PathBuf>,
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
            tree: Tree::open(context)?,
            changes: BTreeMap::new(),
            report: MigrationReport::of(&self.rules),
            not_text: HashSet::new(),
        };
        let mut files = context.files(false)?;
        // A command sees what the rules before it did.
        let writes = self.rules.commands().next().is_some();
        for stage in self.rules.stages() {
            match stage {
                Stage::Rules(range) => survey.rules(range.clone(), &files.paths, writes, context.cancel)?,
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
        cancel: &Cancel,
    ) -> Result<(), ToolResult> {
        let (rules, settled) = (&self.tool.rules, self.tool.state().settled.clone());
        let left_alone = |path: &PathBuf| self.tool.rules_file.as_ref() == Some(path) || settled.contains(path);
        let wanted: Vec<&PathBuf> =
            files.iter().filter(|path| rules.may_apply_stage(range.clone(), path) && !left_alone(path)).collect();
        let seen = rewrite_all(rules, range, &self.tree, &wanted, cancel);
        if cancel.is_cancelled() {
            return Err(ToolResult::failure(Cause::Cancelled, "the migration was cancelled"));
        }
        for one in seen {
            let path = wanted[one.at];
            match one.outcome {
                Ok(rewrite) => self.rewritten(path, one.before, rewrite, writes)?,
                Err(Content::NotText) => drop(self.not_text.insert(path.clone())),
                Err(Content::TooLarge) => self.left(path, "it is larger than the limit".into()),
                Err(Content::Unreadable(error)) => self.left(path, format!("it cannot be read: {error}")),
                Err(Content::Text(_)) => {}
            }
        }
        Ok(())
    }

    fn rewritten(&mut self, path: &Path, before: Vec<u8>, rewrite: Rewrite, writes: bool) -> Result<(), ToolResult> {
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
        if writes {
            self.tree.put(path, Some(text.as_bytes()), None)?;
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

    fn left(&mut self, path: &Path, reason: String) {
        self.report.left.push(LeftOut { path: path_to_text(path), line: None, rule: None, reason });
    }

    /// A command over the tree, and what it changed there.
    fn command(
        &mut self,
        command: &Command,
        wall: Duration,
        files: &mut Vec<PathBuf>,
        context: &ToolContext<'_>,
    ) -> Result<(), ToolResult> {
        let began = Instant::now();
        let workspace = &context.config.workspace;
        let output = context.shell(&command.line, workspace, wall, &self.tool.runtimes)?;
        if context.cancel.is_cancelled() {
            return Err(ToolResult::failure(Cause::Cancelled, "the migration was cancelled"));
        }
        if !output.reason.success() {
            let (how, said) = (ended(&output, wall), last_lines(&output));
            let message = format!("the command of rule `{}` failed: `{}` {how}\n{said}", command.id, command.line);
            return Err(ToolResult::failure(Cause::Failed, message.trim_end()));
        }
        let failure = |error: &dyn std::fmt::Display| {
            ToolResult::failure(Cause::Failed, format!("failed to see what `{}` changed: {error}", command.line))
        };
        let there = context.files(false)?.paths;
        let seen: HashSet<&PathBuf> = files.iter().chain(&there).collect();
        let original = Dir::open_root(workspace).map_err(|error| failure(&error))?.read_only();
        let set = context.attempt.change_set().map_err(|error| failure(&error))?;
        let mut found = BTreeMap::new();
        for change in set.changes.iter().filter(|change| change.kind != ChangeKind::Mode) {
            let Ok(path) = change.path.strip_prefix(workspace) else { continue };
            let exists = self.tree.metadata(path);
            let is_folder = exists.is_ok_and(|metadata| metadata.kind == agentic_executor::workspace::FileKind::Dir);
            let was_folder = || {
                let was = original.metadata(path);
                was.is_ok_and(|metadata| metadata.kind == agentic_executor::workspace::FileKind::Dir)
            };
            // Folders come and go with their files.
            if is_folder || change.kind == ChangeKind::Deleted && was_folder() {
                continue;
            }
            found.insert(path.to_owned(), seen.contains(&path.to_owned()));
        }
        let mut by_command = 0;
        // What the command put back as it was is no change any more.
        self.changes.retain(|path, _| found.contains_key(path));
        for (path, is_seen) in found {
            if self.tool.rules_file.as_ref() == Some(&path) {
                continue;
            }
            let known = self.changes.get(&path);
            let after = match self.tree.read(&path, MOST_WRITTEN) {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.left(&path, format!("`{}` wrote it, and it cannot be read: {error}", command.line));
                    continue;
                }
            };
            if known.is_some_and(|known| known.after == after) {
                continue;
            }
            if !is_seen {
                self.left(&path, format!("`{}` wrote it, and it is hidden or ignored", command.line));
                continue;
            }
            let before = match known {
                Some(known) => known.before.clone(),
                None => match original.read(&path, MOST_WRITTEN) {
                    Ok(bytes) => Some(bytes),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                    Err(error) => return Err(failed("read", &path, &error)),
                },
            };
            let binary = |bytes: &Option<Vec<u8>>| {
                bytes.as_ref().is_some_and(|bytes| !matches!(text_of(bytes.clone()), Content::Text(_)))
            };
            if binary(&before) || binary(&after) {
                self.left(&path, format!("`{}` wrote it, and it is no text", command.line));
                continue;
            }
            let mode = match (&before, &after) {
                (None, Some(_)) => self.tree.metadata(&path).ok().map(|metadata| metadata.mode & 0o777),
                _ => None,
            };
            by_command += 1;
            let entry =
                self.changes.entry(path.clone()).or_insert_with(|| FileChange { path, ..FileChange::default() });
            (entry.before, entry.after, entry.mode, entry.by_command) = (before, after, mode, true);
        }
        *files = there;
        if let Some(row) = self.report.rule(&command.id) {
            (row.matches, row.files) = (by_command, by_command);
            row.seconds = began.elapsed().as_secs_f64();
        }
        Ok(())
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
fn rewrite_all(
    rules: &RuleSet,
    range: Range<usize>,
    tree: &Tree<'_>,
    wanted: &[&PathBuf],
    cancel: &Cancel,
) -> Vec<Seen> {
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
