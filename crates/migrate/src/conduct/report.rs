//! What came of a migration, as people and programs read it.

use std::collections::BTreeMap;

use agentic_executor::workspace::{ChangeKind, path_to_text};
use serde::{Deserialize, Serialize};

use super::change::FileChange;
use crate::RuleSet;

/// How far a migration came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MigrationStatus {
    /// The rules were not looked at, or could not be applied.
    #[default]
    Failed,
    /// No rule changes anything.
    Unchanged,
    /// It is known what would change, and nothing was applied.
    Rewritten,
    /// The workspace does not verify as it is. Nothing was applied.
    RedBefore,
    /// It does not verify with the changes. Nothing was applied.
    Red,
    /// It verifies with the changes that are kept.
    Verified,
    /// All changes were applied.
    Applied,
    /// The changes that verify were applied, and some were not.
    PartlyApplied,
}

/// What came of a migration.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MigrationReport {
    /// How far it came.
    pub status: MigrationStatus,
    /// The files that are changed, by path.
    pub files: Vec<ChangedFile>,
    /// What each rule came to, in order.
    pub rules: Vec<RuleReport>,
    /// What was left as it was though a rule or command would have changed it.
    pub left: Vec<LeftOut>,
    /// Rules that would change their own result again.
    pub not_idempotent: Vec<Again>,
    /// Files that no rule was tried on.
    pub passed_over: PassedOver,
    /// How it was verified; `null` when it was not.
    pub verification: Option<Verification>,
    /// Files that were left as they were because the workspace does not verify with their change.
    pub rejected: Vec<Rejected>,
    /// What the phases took.
    pub seconds: Seconds,
}

/// One changed file.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ChangedFile {
    /// Relative to the workspace.
    pub path: String,
    /// `added`, `modified` or `deleted`.
    pub change: String,
    /// How often each rule matched.
    pub matches: BTreeMap<String, usize>,
    /// Whether a command of the rules had a hand in it.
    pub by_command: bool,
    /// Whether it is applied, or would be.
    pub kept: bool,
}

/// What one rule came to.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RuleReport {
    /// Its id.
    pub id: String,
    /// `identifier`, `regex`, `pattern` or `command`.
    pub kind: String,
    /// What it is for.
    pub message: Option<String>,
    /// How often it matched; for a command the files that it changed.
    pub matches: usize,
    /// In how many files.
    pub files: usize,
    /// The time it took, summed over all files.
    pub seconds: f64,
}

/// Something that was left as it was.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LeftOut {
    /// Relative to the workspace.
    pub path: String,
    /// The line, from 1, where it is about one.
    pub line: Option<usize>,
    /// The rule.
    pub rule: Option<String>,
    /// Why, in words.
    pub reason: String,
}

/// A place that a rule would change again.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Again {
    /// Relative to the workspace.
    pub path: String,
    /// The rule.
    pub rule: String,
    /// The line, from 1, of the rule's result.
    pub line: usize,
    /// What stands there.
    pub before: String,
    /// What the rule would make of it.
    pub after: String,
}

/// Files that no rule was tried on, though one was for files of their names.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PassedOver {
    /// They are not UTF-8, or have a NUL byte.
    pub not_text: usize,
    /// Folders that could not be read.
    pub unreadable_folders: u64,
}

/// How a migration was verified.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Verification {
    /// The commands, in order.
    pub commands: Vec<String>,
    /// How often they were run.
    pub runs: usize,
    /// Whether the search for what verifies came to its end; `false` when `--max-verifications` ended it.
    pub complete: bool,
    /// What failed: before the change, or with all of it.
    pub trouble: Option<Trouble>,
    /// Files of the change that the commands wrote to themselves, as a formatter does: with that text it verified, and the
    /// text of the rules is what is applied.
    pub rewritten: Vec<String>,
}

/// A command that failed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Trouble {
    /// The command.
    pub command: String,
    /// How it ended: `exited with status 1`.
    pub ended: String,
    /// The end of what it printed.
    pub output: String,
    /// More of it, to look for names of files in.
    #[serde(skip)]
    pub(super) whole: String,
}

/// A file that was left as it was because of what a command said with its change.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Rejected {
    /// Relative to the workspace.
    pub path: String,
    /// What failed with it; `null` when the verifications were used up before it was tried alone.
    pub trouble: Option<Trouble>,
}

/// Seconds by phase.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Seconds {
    /// Finding out what changes, with the commands of the rules.
    pub rewrite: f64,
    /// Verifying.
    pub verify: f64,
    /// Applying.
    pub apply: f64,
}

impl MigrationReport {
    /// The JSON Schema of a report.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
    /// An empty one for these rules.
    pub(super) fn of(rules: &RuleSet) -> Self {
        let row = |rule: &crate::Rule| RuleReport {
            id: rule.id().to_owned(),
            kind: rule.kind().to_owned(),
            message: rule.message().map(str::to_owned),
            matches: 0,
            files: 0,
            seconds: 0.0,
        };
        Self { rules: rules.rules().iter().map(row).collect(), ..Self::default() }
    }
    /// The same when the last step did not come to its end: nothing was applied.
    #[must_use]
    pub fn not_applied(mut self) -> Self {
        self.files.iter_mut().for_each(|file| file.kept = false);
        if matches!(self.status, MigrationStatus::Applied | MigrationStatus::PartlyApplied) {
            self.status = MigrationStatus::Failed;
        }
        self
    }
    /// This one and that of the batch after it, as one.
    #[must_use]
    pub fn followed_by(mut self, next: Self) -> Self {
        let status = match (self.status, next.status) {
            // Nothing was left to do.
            (before, MigrationStatus::Unchanged) => before,
            (MigrationStatus::PartlyApplied, MigrationStatus::Applied) => MigrationStatus::PartlyApplied,
            (_, next) => next,
        };
        for (row, other) in self.rules.iter_mut().zip(&next.rules) {
            row.seconds += other.seconds;
        }
        if let Some(other) = next.verification {
            let told = self.verification.get_or_insert_with(Verification::default);
            told.rewritten.extend(other.rewritten.iter().cloned());
            told.runs += other.runs;
            told.complete &= other.complete;
            (told.commands, told.trouble) = (other.commands, other.trouble.or(told.trouble.take()));
        }
        self.files.extend(next.files);
        self.rejected.extend(next.rejected);
        // What was left in files to come was told by the first batch already.
        self.passed_over = next.passed_over;
        self.seconds = next.seconds;
        let some = self.files.iter().any(|file| file.kept);
        let status = match status {
            MigrationStatus::Applied | MigrationStatus::PartlyApplied if !self.rejected.is_empty() => {
                if some {
                    MigrationStatus::PartlyApplied
                } else {
                    MigrationStatus::Red
                }
            }
            status => status,
        };
        Self { status, ..self }
    }
    pub(super) fn rule(&mut self, id: &str) -> Option<&mut RuleReport> {
        self.rules.iter_mut().find(|row| row.id == id)
    }
    /// Files that are kept.
    pub fn kept(&self) -> impl Iterator<Item = &ChangedFile> {
        self.files.iter().filter(|file| file.kept)
    }
}

impl ChangedFile {
    pub(super) fn of(change: &FileChange) -> Self {
        let kind = match change.kind() {
            ChangeKind::Added => "added",
            ChangeKind::Deleted => "deleted",
            _ => "modified",
        };
        Self {
            path: path_to_text(&change.path),
            change: kind.to_owned(),
            matches: change.matches.clone(),
            by_command: change.by_command,
            kept: true,
        }
    }
}
