//! Every attempt at a step works in private layers over its workspace roots, committed or dropped as a whole.
//!
//! [`Workspaces`] knows which layers are open on each root and which finished ones wait to be applied;
//! [`Attempt`] is one call's set of open layers; [`ChangeSet`] is what a layer did; [`Dir`] is the one door
//! to host paths.

use std::path::{Path, PathBuf};

use agentic_sandbox::Sandbox;

mod attributes;
mod change_set;
mod error;
mod path;
mod resolve;

pub use change_set::{Change, ChangeKind, ChangeSet};
pub use error::{Conflict, WorkspaceError};
pub use path::{Dir, DirEntry, FileKind, Metadata};

use crate::tools::Access;

/// The workspace roots of an executor, with the layers that are open on them or wait to be applied.
#[derive(Debug)]
pub struct Workspaces {
    _state: PathBuf,
}

impl Workspaces {
    /// Over a state folder (private, on a file system that can hold an overlay's upper) and the sandbox that mounts.
    ///
    /// # Errors
    /// When the state folder cannot be made or is not private.
    pub fn new(state: &Path, _sandbox: Sandbox) -> Result<Self, WorkspaceError> {
        Ok(Self { _state: state.to_owned() })
    }
    /// Opens private layers over `roots` (absolute folders; one inside another is covered by the outer one).
    ///
    /// # Errors
    /// When a root is missing, no folder, or cannot be layered.
    pub fn open(&self, _roots: &[PathBuf], _access: Access) -> Result<Attempt, WorkspaceError> {
        Err(WorkspaceError::NotBuilt)
    }
}

/// One call's open layers. Dropping it without [`Attempt::commit`] drops what was written.
#[derive(Debug)]
pub struct Attempt {}

impl Attempt {
    /// The roots, absolute.
    pub fn roots(&self) -> Vec<PathBuf> {
        Vec::new()
    }
    /// The merged root that holds `path` (absolute) and the path beneath it; `None` when no root holds it.
    ///
    /// # Errors
    /// When the layer cannot be mounted.
    pub fn locate(&self, _path: &Path) -> Result<Option<(&Dir, PathBuf)>, WorkspaceError> {
        Ok(None)
    }
    /// What the sandbox is to mount for this attempt.
    pub fn mounts(&self) -> Vec<agentic_sandbox::Workspace> {
        Vec::new()
    }
    /// What was written so far.
    ///
    /// # Errors
    /// When the layer cannot be read.
    pub fn change_set(&self) -> Result<ChangeSet, WorkspaceError> {
        Ok(ChangeSet::default())
    }
    /// Applies what was written, as a whole, or names the conflicts and applies nothing.
    ///
    /// # Errors
    /// [`WorkspaceError::Conflict`] by path, or what the disk said.
    pub fn commit(self) -> Result<ChangeSet, WorkspaceError> {
        Ok(ChangeSet::default())
    }
    /// Drops what was written.
    pub fn discard(self) {}
}
