//! One call's layers, from their opening to the end of the attempt.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::board::Terms;
use super::change_set::ChangeSet;
use super::error::WorkspaceError;
use super::folder_lock::Held;
use super::layer::{Backend, Layer};
use super::path::Dir;
use super::persistence::AllowPersist;
use super::{Shared, Spellings};

/// One call's open layers. Dropping it without [`Attempt::commit`] drops what was written.
pub struct Attempt {
    pub(super) shared: Arc<Shared>,
    pub(super) id: u64,
    /// Taken when the attempt has ended.
    pub(super) folder: Option<PathBuf>,
    pub(super) layers: Vec<Layer>,
    /// Roots as they were given, and without links.
    pub(super) spellings: Spellings,
    pub(super) terms: Mutex<Terms>,
    pub(super) degraded: Option<String>,
    /// Whether the sandbox can cover hidden paths: where it has no mounts they are left out of the copy.
    pub(super) covered: bool,
    /// The folders over which it has layers mounted.
    pub(super) held: Option<Held>,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("folder", &self.folder).field("layers", &self.layers).finish_non_exhaustive()
    }
}

impl Attempt {
    /// The roots, absolute and without links; none lies inside another.
    pub fn roots(&self) -> Vec<PathBuf> {
        self.layers.iter().map(|layer| layer.root.path.clone()).collect()
    }
    /// The name of the folder that holds its layers, as the journal has it; `None` without layers.
    pub fn name(&self) -> Option<String> {
        let folder = self.folder.as_ref().filter(|_| !self.layers.is_empty())?;
        folder.file_name().map(|name| name.to_string_lossy().into_owned())
    }
    /// How the layers are kept apart: the most expensive one where they differ.
    pub fn backend(&self) -> Backend {
        let all = || self.layers.iter().map(|layer| layer.backend);
        let one = [Backend::Copy, Backend::Overlay].into_iter().find(|backend| all().any(|one| one == *backend));
        one.unwrap_or(Backend::Direct)
    }
    /// Why a copy stands in for an overlay, when one does.
    pub fn degraded(&self) -> Option<&str> {
        self.degraded.as_deref()
    }
    /// Paths (absolute) that the policy hides from the step: what it makes there is a conflict.
    /// Where the step's layers are copies and the sandbox has no mounts, they are taken out of the copies at once.
    ///
    /// # Errors
    /// When one cannot be taken out.
    pub fn hide(&self, paths: impl IntoIterator<Item = PathBuf>) -> Result<(), WorkspaceError> {
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        if !self.covered {
            for path in &paths {
                let within = |layer: &&Layer| layer.backend == Backend::Copy && path.starts_with(&layer.root.path);
                for layer in self.layers.iter().filter(within) {
                    layer.leave_out(path)?;
                }
            }
        }
        self.terms().hidden.extend(paths);
        Ok(())
    }
    /// A folder of this attempt that the program's user can pass, for what it is to be shown; `None` where the state
    /// folder serves.
    pub(crate) fn passable(&self) -> Option<&Path> {
        self.folder.as_deref().filter(|_| !self.covered && agentic_sandbox::reserves_users())
    }
    /// What may be left behind that runs later outside. Default: nothing that is protected, and a layer that would is
    /// refused as a whole.
    pub fn allow_persist(&self, allowed: AllowPersist) {
        self.terms().allowed = allowed;
    }
    /// Leaves protected paths out when committing, each listed in [`ChangeSet::left_out`], rather than refuse the whole.
    pub fn hold_back_protected(&self) {
        self.terms().hold_back = true;
    }
    /// Keeps what is replaced when the layers are applied, so that they can be rolled back by [`Self::name`]
    /// ([`Workspaces::roll_back`]). Default: no.
    pub fn make_undoable(&self) {
        self.terms().undoable = true;
    }
    fn terms(&self) -> MutexGuard<'_, Terms> {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The merged root that holds `path` (absolute) and the path beneath it; `None` when no root holds it. The first
    /// use mounts the layer for this process, until the attempt ends.
    ///
    /// # Errors
    /// When the layer cannot be mounted.
    pub fn locate(&self, path: &Path) -> Result<Option<(&Dir, PathBuf)>, WorkspaceError> {
        match self.layer_of(path) {
            None => Ok(None),
            Some((layer, rest)) => Ok(Some((layer.merged(&self.shared.sandbox)?, rest))),
        }
    }
    /// As [`Self::locate`], by a mount of its own that ends when the folder is dropped: for a tool that looks at files
    /// between programs. What a program writes to the layer while another mount of it is open is not seen there, so such
    /// a tool does not call `locate`, and drops the folder before it runs the next one.
    ///
    /// # Errors
    /// When the layer cannot be mounted.
    pub fn look(&self, path: &Path) -> Result<Option<(Dir, PathBuf)>, WorkspaceError> {
        match self.layer_of(path) {
            None => Ok(None),
            Some((layer, rest)) => Ok(Some((layer.mount(&self.shared.sandbox)?, rest))),
        }
    }
    fn layer_of(&self, path: &Path) -> Option<(&Layer, PathBuf)> {
        let direct = |layer: &Layer| path.strip_prefix(&layer.root.path).ok().map(Path::to_owned);
        let found = self.layers.iter().find_map(|layer| Some((layer, direct(layer)?)));
        let spelled = || {
            self.spellings.iter().find_map(|(given, real)| {
                let real = real.join(path.strip_prefix(given).ok()?);
                let layer = self.layers.iter().find(|layer| real.starts_with(&layer.root.path))?;
                Some((layer, real.strip_prefix(&layer.root.path).ok()?.to_owned()))
            })
        };
        found.or_else(spelled)
    }
    /// What the sandbox is to mount for this attempt.
    pub fn mounts(&self) -> Vec<agentic_sandbox::Workspace> {
        let mount =
            |layer: &Layer| agentic_sandbox::Workspace { path: layer.root.path.clone(), source: layer.source() };
        self.layers.iter().map(mount).collect()
    }
    /// What was written so far. Exact once every process of the step has ended.
    ///
    /// # Errors
    /// When the layer cannot be read.
    pub fn change_set(&self) -> Result<ChangeSet, WorkspaceError> {
        self.shared.board().change_set(&self.layers, self.id)
    }
    /// The folder that holds what was written at `path` (absolute), and the path in it: without a mount, and so
    /// after [`Self::try_commit`] too. What the step did not write is not there.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    pub fn written(&self, path: &Path) -> Result<Option<(Dir, PathBuf)>, WorkspaceError> {
        for layer in &self.layers {
            if let Ok(rest) = path.strip_prefix(&layer.root.path) {
                return Ok(Some((layer.dir()?.called(&layer.root.path), rest.to_owned())));
            }
        }
        Ok(None)
    }
    /// Applies what was written, as a whole over all roots, or names the conflicts and applies nothing. Where another
    /// attempt is open on the same folder the finished layer waits (later attempts see it) and is applied when the
    /// folder is free; [`Workspaces::settle`] waits for that and tells late conflicts.
    ///
    /// # Errors
    /// [`WorkspaceError::Conflict`] or [`WorkspaceError::Persistence`] by path, or what the disk said; the layer is
    /// dropped then.
    pub fn commit(mut self) -> Result<ChangeSet, WorkspaceError> {
        self.try_commit()
    }
    /// As [`Self::commit`], but after an error the attempt is still there: to be tried again with more allowed
    /// ([`Self::allow_persist`], [`Self::hold_back_protected`]), kept aside or dropped. After a success it has ended.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub fn try_commit(&mut self) -> Result<ChangeSet, WorkspaceError> {
        let Some(folder) = self.folder.clone() else { return Ok(ChangeSet::default()) };
        self.layers.iter_mut().for_each(Layer::unmount);
        self.held = None;
        let terms = self.terms.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut board = self.shared.board();
        board.unmount(self.id);
        let asides = self.shared.asides();
        let ground = self.shared.ground(&asides);
        let outcome = board.finish(self.id, &mut self.layers, &folder, terms, &ground);
        drop(board);
        if outcome.is_ok() {
            self.folder = None;
        }
        outcome
    }
    /// Drops what was written.
    pub fn discard(self) {}
    /// Keeps what was written in a folder aside, unapplied, and says where: for a program that a limit killed.
    ///
    /// # Errors
    /// When the layer cannot be moved; it is dropped then.
    pub fn keep_aside(mut self) -> Result<PathBuf, WorkspaceError> {
        self.layers.iter_mut().for_each(Layer::unmount);
        let Some(folder) = self.folder.clone() else { return Ok(self.shared.asides()) };
        let aside = super::tree::aside(&folder, &self.shared.asides());
        std::fs::rename(&folder, &aside).map_err(WorkspaceError::io("keep aside", &folder))?;
        self.folder = None;
        Ok(aside)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.layers.clear();
        self.held = None;
        if let Some(folder) = self.folder.take() {
            // What cannot be removed is swept later; a drop has nobody to tell.
            let _ = super::tree::remove(&folder);
        }
        self.shared.close(self.id);
    }
}
