//! The second phase: whether the workspace verifies with the changes, or with which of them, in a layer that is dropped.

use std::time::{Duration, Instant, SystemTime};

use agentic_executor::sandbox::{ExitReason, Output};
use agentic_executor::workspace::{path_on_a_line, path_to_text};
use agentic_executor::{Cause, ToolContext, ToolResult};

use super::bisect::{self, Found, Tried};
use super::change::FileChange;
use super::report::{MigrationReport, MigrationStatus, Rejected, Trouble, Verification};
use super::tree::Tree;
use super::{MigrateParams, MigrateTool, VERIFICATIONS};

/// Lines of a failed command's output that are kept.
const MOST_LINES: usize = 40;
/// Bytes of them.
const MOST_BYTES: usize = 8 << 10;

/// What the commands are run over.
struct Bench<'a, 'c> {
    tool: &'a MigrateTool,
    context: &'a ToolContext<'c>,
    commands: &'a [String],
    wall: Duration,
    changes: &'a [FileChange],
    runs: usize,
    most: usize,
    /// When the last of them ended.
    ended: Option<SystemTime>,
}

impl MigrateTool {
    pub(super) fn verify(
        &self,
        params: &MigrateParams,
        wall: Duration,
        context: &ToolContext<'_>,
    ) -> Result<ToolResult, ToolResult> {
        let changes = std::mem::take(&mut self.state().changes);
        if changes.is_empty() {
            return Ok(ToolResult::success("no file is changed: nothing to verify").with("files", Vec::<String>::new()));
        }
        let mut bench = Bench {
            tool: self,
            context,
            commands: &params.command,
            wall,
            changes: &changes,
            runs: 0,
            most: params.max_verifications.unwrap_or(VERIFICATIONS) as usize,
            ended: None,
        };
        let result = bench.decide(params);
        {
            let mut state = self.state();
            let told = told(&mut state.report);
            (told.commands, told.runs) = (params.command.clone(), told.runs + bench.runs);
        }
        self.state().changes = changes;
        result
    }
}

impl Bench<'_, '_> {
    fn decide(&mut self, params: &MigrateParams) -> Result<ToolResult, ToolResult> {
        unchanged(&Tree::open(self.context)?, self.changes.iter())?;
        if !params.verified_before
            && let Tried::Red(trouble) = self.run("before the change")?
        {
            let said = format!("it does not verify as it is, before any change: {}", in_words(&trouble));
            return Err(self.red(MigrationStatus::RedBefore, trouble, said));
        }
        let all: Vec<usize> = (0..self.changes.len()).collect();
        let trouble = match self.try_with(&all)? {
            Tried::Green => return Ok(self.keep(Found { kept: all, named: Vec::new(), complete: true }, None)),
            Tried::Red(trouble) => trouble,
        };
        if !params.bisect {
            let said = format!("it does not verify with the change: {}", in_words(&trouble));
            return Err(self.red(MigrationStatus::Red, trouble, said));
        }
        let changes = self.changes;
        let names = |trouble: &Trouble| -> Vec<usize> {
            let named = |change: &FileChange| mentions(&trouble.whole, &path_to_text(&change.path));
            (0..changes.len()).filter(|at| named(&changes[*at])).collect()
        };
        let found = bisect::largest(changes.len(), &trouble, names, |on| {
            if self.runs >= self.most { Ok(None) } else { self.try_with(on).map(Some) }
        })?;
        if found.kept.is_empty() {
            let why = if found.complete { "" } else { " (the verifications were used up)" };
            let said = format!("no part of the change verifies{why}: {}", in_words(&trouble));
            self.reject(&found);
            return Err(self.red(MigrationStatus::Red, trouble, said));
        }
        Ok(self.keep(found, Some(trouble)))
    }

    /// The commands over the workspace with these changes and no others.
    fn try_with(&mut self, on: &[usize]) -> Result<Tried<Trouble>, ToolResult> {
        let mut apply = vec![false; self.changes.len()];
        on.iter().for_each(|at| apply[*at] = true);
        let tree = Tree::open(self.context)?;
        for (change, on) in self.changes.iter().zip(apply) {
            let (wanted, mode) = if on { (&change.after, change.mode) } else { (&change.before, change.mode_before) };
            if !tree.is(&change.path, wanted.as_deref()) {
                tree.settle(&change.path, self.ended);
                tree.put(&change.path, wanted.as_deref(), mode).map_err(|refused| {
                    let path = path_on_a_line(&change.path);
                    let why = refused.error.unwrap_or_default();
                    let message =
                        format!("a command that verifies has put something else in the place of {path}: {why}");
                    ToolResult::failure(Cause::Failed, message)
                })?;
            }
        }
        drop(tree);
        let files = if on.len() == 1 { "1 file".to_owned() } else { format!("{} files", on.len()) };
        let tried = self.run(&format!("with {files}"))?;
        if matches!(tried, Tried::Green) {
            self.look_for_rewritten(on)?;
        }
        Ok(tried)
    }
    /// What verified should be what is applied: a command that formats or mends on the way verifies another text.
    fn look_for_rewritten(&self, on: &[usize]) -> Result<(), ToolResult> {
        let tree = Tree::open(self.context)?;
        let mut rewritten = Vec::new();
        for change in on.iter().filter_map(|at| self.changes.get(*at)) {
            if !tree.is(&change.path, change.after.as_deref()) {
                rewritten.push(path_to_text(&change.path));
            }
        }
        told(&mut self.tool.state().report).rewritten = rewritten;
        Ok(())
    }

    fn run(&mut self, what: &str) -> Result<Tried<Trouble>, ToolResult> {
        self.runs += 1;
        let began = Instant::now();
        for line in self.commands {
            let workspace = &self.context.config.workspace;
            let output = self.context.shell(line, workspace, self.wall, &self.tool.runtimes)?;
            self.ended = Some(SystemTime::now());
            if self.context.cancel.is_cancelled() {
                return Err(ToolResult::failure(Cause::Cancelled, "the migration was cancelled while it was verified"));
            }
            if !output.reason.success() {
                let trouble = Trouble {
                    command: line.clone(),
                    ended: ended(&output, self.wall),
                    output: last_lines(&output),
                    whole: whole(&output),
                };
                self.tell(&format!("red    {what}: `{line}` {}", trouble.ended), began);
                return Ok(Tried::Red(trouble));
            }
        }
        self.tell(&format!("green  {what}"), began);
        Ok(Tried::Green)
    }

    fn tell(&self, text: &str, began: Instant) {
        if let Some(observer) = &self.context.on_output {
            observer(format!("{text} ({:.1} s)\n", began.elapsed().as_secs_f64()).as_bytes());
        }
    }

    fn red(&self, status: MigrationStatus, trouble: Trouble, said: String) -> ToolResult {
        let mut state = self.tool.state();
        state.kept.clear();
        state.report.status = status;
        state.report.files.iter_mut().for_each(|file| file.kept = false);
        let told = told(&mut state.report);
        told.trouble = Some(trouble);
        // Not `test_failure`, which the executor answers by running it all again.
        ToolResult::failure(Cause::Failed, said)
    }

    fn reject(&self, found: &Found<Trouble>) {
        let mut state = self.tool.state();
        for (at, trouble) in &found.named {
            let path = &self.changes[*at].path;
            state.settled.insert(path.clone());
            state.report.rejected.push(Rejected { path: path_to_text(path), trouble: trouble.clone() });
        }
        told(&mut state.report).complete = found.complete;
    }

    fn keep(&self, found: Found<Trouble>, trouble: Option<Trouble>) -> ToolResult {
        self.reject(&found);
        let mut state = self.tool.state();
        told(&mut state.report).trouble = trouble;
        state.report.status = MigrationStatus::Verified;
        for (at, file) in state.report.files.iter_mut().enumerate() {
            file.kept = found.kept.contains(&at);
        }
        let files: Vec<String> = state.report.kept().map(|file| file.path.clone()).collect();
        state.kept = found.kept;
        let text = format!("{} of {} changed files verify", files.len(), self.changes.len());
        ToolResult::success(text).with("files", files)
    }
}

/// What is told of the verification.
fn told(report: &mut MigrationReport) -> &mut Verification {
    report.verification.get_or_insert_with(|| Verification { complete: true, ..Verification::default() })
}

/// That every file is still what it was when the rules read it.
pub(super) fn unchanged<'a>(tree: &Tree, changes: impl Iterator<Item = &'a FileChange>) -> Result<(), ToolResult> {
    let mut others = Vec::new();
    for change in changes {
        if !tree.is(&change.path, change.before.as_deref()) {
            others.push(path_on_a_line(&change.path));
        }
    }
    if others.is_empty() {
        return Ok(());
    }
    let message = format!(
        "somebody else changed what was to be migrated: {}; nothing was applied, and running it again takes the files as \
         they are now",
        others.join(", ")
    );
    Err(ToolResult::failure(Cause::Conflict, message).with("paths", others))
}

/// How a command ended, in words.
pub(super) fn ended(output: &Output, wall: Duration) -> String {
    match output.reason {
        ExitReason::Exited(code) => format!("exited with status {code}"),
        ExitReason::Signalled(signal) => format!("died of signal {signal}"),
        ExitReason::TimedOut => format!("timed out after {} s", wall.as_secs_f64()),
        ExitReason::MemoryExceeded => "exceeded the memory limit".into(),
        ExitReason::DiskExceeded => "exceeded the disk limit".into(),
        ExitReason::Cancelled => "was cancelled".into(),
    }
}

/// What a command printed.
fn whole(output: &Output) -> String {
    let (stdout, stderr) = (output.stdout.text(), output.stderr.text());
    let gap = if stdout.is_empty() || stdout.ends_with('\n') { "" } else { "\n" };
    format!("{stdout}{gap}{stderr}")
}

/// Whether a text names a path, not as a part of a longer name: below a folder it may be.
fn mentions(text: &str, path: &str) -> bool {
    let word = |character: char| character.is_alphanumeric() || "_-.".contains(character);
    text.match_indices(path).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + path.len()..].chars();
        let next = after.next();
        // A full stop may end a sentence.
        let ends = match next {
            Some('.') => after.next().is_none_or(|then| !word(then)),
            next => next.is_none_or(|next| !word(next)),
        };
        before.is_none_or(|before| !word(before)) && ends
    })
}

/// The end of what a command printed.
pub(super) fn last_lines(output: &Output) -> String {
    let all = whole(output);
    let all = all.trim_end();
    let lines: Vec<&str> = all.lines().collect();
    let mut text = lines[lines.len().saturating_sub(MOST_LINES)..].join("\n");
    if text.len() > MOST_BYTES {
        let cut = (text.len() - MOST_BYTES..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.drain(..cut);
    }
    text
}

fn in_words(trouble: &Trouble) -> String {
    format!("`{}` {}", trouble.command, trouble.ended)
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn a_path_is_named_as_a_whole() {
        for text in ["a.py", "File \"/srv/a.py\", line 3", "a.py:3: error", "in ./a.py.", "(a.py)"] {
            assert!(mentions(text, "a.py"), "{text}");
        }
        for text in ["data.py", "a.pyc", "a.py.orig", "a_py", "-a.py", ""] {
            assert!(!mentions(text, "a.py"), "{text}");
        }
    }
}
