//! What keeps a layer from being opened, read or applied.

use std::io;
use std::path::{Path, PathBuf};

use super::change_set::path_on_a_line;
use super::persistence::Persistence;

/// A path that somebody else changed while a step changed it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path, absolute.
    pub path: PathBuf,
    /// What was found.
    pub reason: String,
}

/// A finished layer that could not be applied: its bytes are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Why, by path.
    pub conflicts: Vec<Conflict>,
    /// The folder that holds what the step wrote.
    pub folder: PathBuf,
}

impl Aside {
    /// The layer's name, as [`super::Attempt::name`] said it.
    pub fn layer(&self) -> String {
        self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// What keeps a layer from being opened, read or applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// Somebody else changed the same paths. Nothing was applied.
    #[error("conflict on {}", conflicts(.0))]
    Conflict(Vec<Conflict>),
    /// Finished layers met conflicts when they were applied; what they wrote is kept.
    #[error("{}", asides(.0))]
    NotApplied(Vec<Aside>),
    /// Protected paths were changed that nobody allowed. Nothing was applied.
    #[error(
        "{}; nothing was kept. Allow it with --allow-persist PATH (or `all`), or `allow_persist` in the settings",
        persistence(.0)
    )]
    Persistence(Vec<Persistence>),
    /// A root that no layer can be opened on.
    #[error("workspace {} refused: {reason}", .path.display())]
    Root {
        /// The root, as it was given.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder that would have to be copied is too large for it.
    #[error("workspace {} is too large to be copied: {found} and more, the limit is {limit}; this host has no overlay for it ({why})", .path.display())]
    TooLarge {
        /// The root.
        path: PathBuf,
        /// What was counted when counting stopped.
        found: String,
        /// The limit that was passed.
        limit: String,
        /// Why a copy was needed.
        why: String,
    },
    /// Other layers are mounted on the root and did not end in time.
    #[error("workspace {} is busy: {reason}", .path.display())]
    Busy {
        /// The root.
        path: PathBuf,
        /// What was waited for.
        reason: String,
    },
    /// Others work in the root, and the run was asked to end rather than to wait.
    #[error("workspace {} was not waited for any longer: the run was asked to end ({reason})", .path.display())]
    Ended {
        /// The root.
        path: PathBuf,
        /// What was waited for.
        reason: String,
    },
    /// An entry of the content-addressed store does not hold the bytes of its name.
    #[error("store entry {hash} is corrupted ({reason}): remove {}", .path.display())]
    Corrupted {
        /// The entry's name.
        hash: String,
        /// Where it lies.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Somebody else changed paths since the layers that were to be rolled back. Nothing was done.
    #[error("{} changed since by somebody else: {}", counted(.0), conflicts(.0))]
    ChangedSince(Vec<Conflict>),
    /// A path that was named, and that none of the layers changed.
    #[error("nothing was changed at or beneath {}", path_on_a_line(.0))]
    NotTouched(PathBuf),
    /// A record of what a layer replaced cannot be used.
    #[error("the record {} cannot be used: {why}", .path.display())]
    Record {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A layer changed the workspace, and what it replaced was not kept, or is gone.
    #[error("layer {layer} cannot be rolled back: what it replaced is not there any more, or was never kept")]
    NotKept {
        /// Its name.
        layer: String,
    },
    /// A failure, and a failure of undoing what was done up to it.
    #[error("{failure}; and undoing it left: {}", .left.join("; "))]
    HalfUndone {
        /// What went wrong first.
        failure: Box<WorkspaceError>,
        /// What could not be undone, with paths.
        left: Vec<String>,
    },
    /// The sandbox could not mount a layer.
    #[error("failed to mount the layer over {}: {source}", .path.display())]
    Mount {
        /// The root.
        path: PathBuf,
        /// What the sandbox said.
        source: agentic_sandbox::Error,
    },
    /// A file operation failed.
    #[error("failed to {action} {}: {source}", path_on_a_line(.path))]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl WorkspaceError {
    /// For `map_err`: what was attempted, on what.
    pub(super) fn io<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self + use<E> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source: source.into() }
    }
    pub(super) fn root(path: &Path, reason: impl Into<String>) -> Self {
        Self::Root { path: path.to_owned(), reason: reason.into() }
    }
}

/// Paths that an error names; the rest is counted.
const NAMED: usize = 20;

fn conflicts(conflicts: &[Conflict]) -> String {
    let each = conflicts.iter().take(NAMED);
    let each = each.map(|conflict| format!("{} ({})", path_on_a_line(&conflict.path), conflict.reason));
    let mut each: Vec<String> = each.collect();
    if conflicts.len() > NAMED {
        each.push(format!("and {} more", conflicts.len() - NAMED));
    }
    each.join(", ")
}

fn counted(conflicts: &[Conflict]) -> String {
    if conflicts.len() == 1 { "1 path was".to_owned() } else { format!("{} paths were", conflicts.len()) }
}

fn persistence(found: &[Persistence]) -> String {
    let mut each: Vec<String> = found.iter().take(NAMED).map(ToString::to_string).collect();
    if found.len() > NAMED {
        each.push(format!("and {} more", found.len() - NAMED));
    }
    format!("the step would leave behind what runs later outside: {}", each.join("; "))
}

fn asides(asides: &[Aside]) -> String {
    let each = asides.iter().map(|one| {
        format!("conflict on {}; what the step wrote is kept in {}", conflicts(&one.conflicts), one.folder.display())
    });
    each.collect::<Vec<_>>().join(", ")
}
