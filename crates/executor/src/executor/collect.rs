//! Keeps what undo keeps within bounds: after a run, once an hour, so that nobody has to remember it.

use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime};

use super::AgenticExecutor;
use crate::journal::JournalError;
use crate::workspace::{Collect, Collected, WorkspaceError};

/// Bytes that originals and large outputs may take, unless told otherwise.
pub const MOST_KEPT: u64 = 4096 << 20;
/// How often a run looks.
const OFTEN: Duration = Duration::from_secs(3600);

/// What keeps garbage from being collected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store or a record cannot be read or removed.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

impl AgenticExecutor {
    /// Frees what undo keeps, the originals of the oldest calls first, until no more than `most` bytes are taken by it and by the
    /// journal's large outputs. What a run without an end needs stays, and so does what the journal speaks of. Layers that killed
    /// processes left are removed.
    ///
    /// # Errors
    /// When the state folder cannot be read or changed.
    pub fn collect(&self, most: u64, dry_run: bool) -> Result<Collected, CollectError> {
        let (needed, referenced) = (self.journal.layers_without_end()?, self.journal.stored()?);
        let done = self.workspaces.records().collect(&Collect { most, needed, referenced, dry_run })?;
        Ok(Collected { layers: self.workspaces.sweep(dry_run)?, ..done })
    }

    /// The same to [`MOST_KEPT`], when it was not done for a while. What goes wrong is told to whoever asks for it by name.
    pub(super) fn collect_now_and_then(&self) {
        let undo = self.workspaces.state().join("undo");
        if self.journal.path().is_none() || !undo.is_dir() {
            return;
        }
        let mark = undo.join("collected");
        let last = mark.metadata().and_then(|found| found.modified());
        let recent = last.is_ok_and(|last| SystemTime::now().duration_since(last).is_ok_and(|age| age < OFTEN));
        let touch = || std::fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(&mark);
        if !recent && touch().is_ok() {
            let _ = self.collect(MOST_KEPT, false);
        }
    }
}
