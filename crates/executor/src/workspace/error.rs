//! What keeps a layer from being opened, read or applied.

use std::io;
use std::path::PathBuf;

/// A path that somebody else changed while a step changed it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path, absolute.
    pub path: PathBuf,
    /// What was found.
    pub reason: String,
}

/// What keeps a layer from being opened, read or applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// Somebody else changed the same paths.
    #[error("conflict on {}", .0.iter().map(|c| format!("{} ({})", c.path.display(), c.reason)).collect::<Vec<_>>().join(", "))]
    Conflict(Vec<Conflict>),
    /// A file operation failed.
    #[error("failed to {action} {}: {source}", .path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Skeleton only.
    #[error("not built yet")]
    NotBuilt,
}
