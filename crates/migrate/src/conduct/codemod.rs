//! The commands among the rules: a codemod of the user's, run over the tree between the rules before and after it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agentic_executor::workspace::{ChangeKind, ChangeSet, FileKind, Metadata, path_on_a_line};
use agentic_executor::{Cause, ToolContext, ToolResult};

use super::change::FileChange;
use super::survey::{Stood, Survey};
use super::tree::{Content, Tree, text_of};
use super::verify::{ended, last_lines};
use crate::Command;

/// Bytes of a file that a command wrote and that is kept.
const MOST_WRITTEN: u64 = 64 << 20;

impl Survey<'_> {
    /// Runs a command over the tree, and takes up what it changed there.
    pub(super) fn command(
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
        let set = context.attempt.change_set().map_err(|error| failure(&error))?;
        let there = context.files(false)?.paths;
        let original = Tree::original(workspace).map_err(|error| failure(&error))?;
        let tree = Tree::open(context)?;
        let written = written(&set, workspace, &original, &tree);
        // What the command put back as it was is no change any more.
        let now: HashSet<&PathBuf> = written.iter().collect();
        self.changes.retain(|path, _| now.contains(path));
        let seen: HashSet<&PathBuf> = files.iter().chain(&there).collect();
        let mut changed = 0;
        for path in written.iter().filter(|path| self.tool.rules_file.as_ref() != Some(path)) {
            changed += usize::from(self.take_up(path, seen.contains(path), (&original, &tree), &command.line)?);
        }
        *files = there;
        if let Some(row) = self.report.rule(&command.id) {
            (row.matches, row.files) = (changed, changed);
            row.seconds = began.elapsed().as_secs_f64();
        }
        Ok(())
    }

    /// Takes up what a command made of a file; whether it changed it.
    fn take_up(
        &mut self,
        path: &Path,
        is_seen: bool,
        (original, tree): (&Tree, &Tree),
        line: &str,
    ) -> Result<bool, ToolResult> {
        let after = match tree.read(path, MOST_WRITTEN) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.changes.remove(path);
                self.left(path, format!("`{line}` wrote it, and it cannot be read: {error}"));
                return Ok(false);
            }
        };
        let known = self.changes.get(path);
        if known.is_some_and(|known| known.after == after) {
            return Ok(false);
        }
        if !is_seen {
            self.left(path, format!("`{line}` wrote it, and it is hidden or ignored"));
            return Ok(false);
        }
        let (before, mode_before) = match known {
            Some(known) => (known.before.clone(), known.mode_before),
            None => {
                let bytes = match original.read(path, MOST_WRITTEN) {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        self.left(path, format!("`{line}` wrote it, and what was there cannot be read: {error}"));
                        return Ok(false);
                    }
                };
                // Looked at after it was read: what somebody saved since the migration began is not taken for what was there.
                let now = original.metadata(path).ok();
                if self.stood.get(path).copied() != now.as_ref().map(Stood::of) {
                    let path = path_on_a_line(path);
                    let message =
                        format!("{path} was changed by somebody else while `{line}` ran: run the migration again");
                    return Err(ToolResult::failure(Cause::Conflict, message));
                }
                (bytes, now.map(|metadata| metadata.mode & 0o777))
            }
        };
        let no_text = |bytes: &Option<Vec<u8>>| {
            bytes.as_ref().is_some_and(|bytes| !matches!(text_of(bytes.clone()), Content::Text(_)))
        };
        if no_text(&before) || no_text(&after) {
            self.changes.remove(path);
            self.left(path, format!("`{line}` wrote it, and it is no text"));
            return Ok(false);
        }
        let mode = match (&before, &after) {
            (None, Some(_)) => tree.metadata(path).ok().map(|metadata| metadata.mode & 0o777),
            _ => None,
        };
        let new = || FileChange { path: path.to_owned(), ..FileChange::default() };
        let entry = self.changes.entry(path.to_owned()).or_insert_with(new);
        (entry.before, entry.after, entry.by_command) = (before, after, true);
        (entry.mode, entry.mode_before) = (mode, mode_before);
        Ok(entry.changes_anything())
    }
}

/// The files that the layer has, or has no more: folders come and go with their files.
fn written(set: &ChangeSet, workspace: &Path, original: &Tree, tree: &Tree) -> Vec<PathBuf> {
    let is_folder = |found: std::io::Result<Metadata>| found.is_ok_and(|metadata| metadata.kind == FileKind::Dir);
    let mut written = Vec::new();
    for change in set.changes.iter().filter(|change| change.kind != ChangeKind::Mode) {
        let Ok(path) = change.path.strip_prefix(workspace) else { continue };
        if is_folder(original.metadata(path)) && !is_folder(tree.metadata(path)) {
            written.extend(beneath(original, path));
        }
        if change.kind != ChangeKind::Deleted && !is_folder(tree.metadata(path))
            || change.kind == ChangeKind::Deleted && !is_folder(original.metadata(path))
        {
            written.push(path.to_owned());
        }
    }
    written
}

/// The files beneath a folder, of what can be read.
fn beneath(tree: &Tree, folder: &Path) -> Vec<PathBuf> {
    let mut found = BTreeMap::new();
    let mut next = vec![folder.to_owned()];
    while let Some(folder) = next.pop() {
        for (path, kind) in tree.folder(&folder) {
            match kind {
                FileKind::Dir => next.push(path),
                _ => drop(found.insert(path, ())),
            }
        }
    }
    found.into_keys().collect()
}
