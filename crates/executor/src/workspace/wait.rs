//! Waiting for others who work in a folder: how long, who is told, and what ends it early.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::WorkspaceError;
use super::{Shared, Workspaces};

/// How long is waited for mounts to end where it must be.
pub(super) const LONGEST: Duration = Duration::from_secs(600);
/// How long before somebody is told.
const UNTOLD: Duration = Duration::from_secs(1);

/// Told of a wait for another process, in words.
pub type OnWait = Arc<dyn Fn(&str) + Send + Sync>;

/// One wait, from its beginning.
pub(super) struct Wait<'a> {
    workspaces: &'a Workspaces,
    began: Instant,
    told: bool,
}

/// Why nothing is waited for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// It took too long.
    TooLong,
    /// The run was asked to end.
    Ended,
}

impl Over {
    /// The error for `path`, with what was waited for.
    pub(super) fn error(self, path: PathBuf, reason: String) -> WorkspaceError {
        match self {
            Self::TooLong => WorkspaceError::Busy { path, reason },
            Self::Ended => WorkspaceError::Ended { path, reason },
        }
    }
}

impl<'a> Wait<'a> {
    pub(super) fn begin(workspaces: &'a Workspaces) -> Self {
        Self { workspaces, began: Instant::now(), told: false }
    }
    /// How much longer it may take; after a second somebody is told what it is for.
    pub(super) fn left(&mut self, what: impl FnOnce(&Shared) -> String) -> Result<Duration, Over> {
        let shared = &self.workspaces.shared;
        let waited = self.began.elapsed();
        if self.workspaces.cancel.as_ref().is_some_and(crate::Cancel::is_cancelled) {
            return Err(Over::Ended);
        }
        if waited >= shared.patience {
            return Err(Over::TooLong);
        }
        if !self.told
            && waited >= UNTOLD
            && let Some(tell) = &shared.on_wait
        {
            self.told = true;
            tell(&what(shared));
        }
        Ok(shared.patience - waited)
    }
}

impl Shared {
    /// What a finished layer, or a new one, waits for in these folders.
    pub(super) fn waited_for(&self, roots: &[PathBuf]) -> String {
        waits_for(self.locks.owner(roots))
    }
}

/// The same, where the owner is known.
pub(super) fn waits_for(owner: Option<String>) -> String {
    match owner {
        Some(owner) => format!("finished layers wait for {owner}, which works in the folder"),
        None => "finished layers wait for other steps on the same folder to end".to_owned(),
    }
}

/// The first of some folders, for an error that names one.
pub(super) fn first(roots: &[PathBuf]) -> PathBuf {
    roots.first().cloned().unwrap_or_default()
}
