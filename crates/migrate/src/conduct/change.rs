//! What a migration does to one file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agentic_executor::workspace::{ChangeKind, Difference};

/// What a migration does to one file.
#[derive(Debug, Clone, Default)]
pub(super) struct FileChange {
    /// Relative to the workspace.
    pub(super) path: PathBuf,
    /// `None`: there was no file.
    pub(super) before: Option<Vec<u8>>,
    /// `None`: the file is removed.
    pub(super) after: Option<Vec<u8>>,
    /// Permission bits of a file that a command made.
    pub(super) mode: Option<u32>,
    /// Those that a file had which a command removed.
    pub(super) mode_before: Option<u32>,
    /// How often each rule matched.
    pub(super) matches: BTreeMap<String, usize>,
    /// A command had a hand in it.
    pub(super) by_command: bool,
}

impl FileChange {
    pub(super) fn kind(&self) -> ChangeKind {
        match (&self.before, &self.after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Deleted,
            _ => ChangeKind::Modified,
        }
    }
    pub(super) fn changes_anything(&self) -> bool {
        self.before != self.after
    }
    pub(super) fn difference(&self, workspace: &Path) -> Difference {
        let mode = self.mode.unwrap_or(0o644);
        Difference::between(workspace.join(&self.path), self.before.as_deref(), self.after.as_deref(), mode)
    }
}
