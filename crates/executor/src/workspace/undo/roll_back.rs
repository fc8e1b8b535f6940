//! Rolling back, as one more layer that is applied.

use std::path::PathBuf;
use std::time::Instant;

use super::record::Record;
use super::restore::{RollBack, RolledBack, Way};
use crate::workspace::board::Ground;
use crate::workspace::change_set::LeftOut;
use crate::workspace::error::{Conflict, WorkspaceError};
use crate::workspace::layer::{Layer, Root};
use crate::workspace::path::Dir;
use crate::workspace::reading::beneath;
use crate::workspace::{Workspaces, tree};

impl Workspaces {
    /// Takes back what layers did ([`Attempt::name`](super::super::Attempt::name)): files, links, folders and their
    /// permission bits are again what they were before the first of them, as a whole over all folders.
    ///
    /// The layers are those that were committed undoably; one that changed nothing is passed over only when it is not
    /// given. Paths that others changed since are not overwritten. The rollback is a layer of its own and can be rolled
    /// back.
    ///
    /// # Errors
    /// [`WorkspaceError::NotKept`] for a layer without a record; [`WorkspaceError::NotTouched`]; [`WorkspaceError::ChangedSince`] by path, unless
    /// [`RollBack::force`] or [`RollBack::dry_run`]; [`WorkspaceError::Conflict`] when somebody changes a path at this
    /// moment; what the disk said. Nothing is changed then.
    pub fn roll_back(&self, layers: &[String], how: &RollBack) -> Result<RolledBack, WorkspaceError> {
        let mut records = Vec::new();
        for layer in layers {
            let record = self.records().find(layer)?;
            records.push(record.ok_or_else(|| WorkspaceError::NotKept { layer: layer.clone() })?);
        }
        self.take_back(records, how, false)
    }
    /// `cut_off`: the one record is of a layer that was being applied when its process ended. What others changed since is
    /// left alone then.
    pub(super) fn take_back(
        &self,
        mut records: Vec<Record>,
        how: &RollBack,
        cut_off: bool,
    ) -> Result<RolledBack, WorkspaceError> {
        records.sort_by(|a, b| a.order.cmp(&b.order));
        let touched = |path: &PathBuf| records.iter().any(|one| one.paths.iter().any(|kept| beneath(&kept.path, path)));
        if let Some(path) = how.only.iter().find(|path| !touched(path)) {
            return Err(WorkspaceError::NotTouched(path.clone()));
        }
        let mut paths: Vec<PathBuf> = records.iter().flat_map(|record| record.roots.clone()).collect();
        paths.sort();
        paths.dedup_by(|inner, outer| inner.starts_with(&*outer));
        let name = how.layer.clone().unwrap_or_else(|| uuid::Uuid::now_v7().simple().to_string());
        let place = Place(self.state().join("layers").join(&name));
        let mut staged = Vec::new();
        for (index, path) in paths.into_iter().enumerate() {
            // The folder that was worked in, and not one that a link leads to by now.
            if path.canonicalize().ok().as_ref() != Some(&path) {
                return Err(WorkspaceError::root(&path, "it is not there any more, or a link took its place"));
            }
            let root = Root { dir: Dir::open_root(&path)?, path };
            staged.push(Layer::staged(root, place.0.join(index.to_string()), self.state())?);
        }
        let roots: Vec<Root> = staged.iter().map(|layer| layer.root.clone()).collect();
        let mut way = Way::find(&records, &roots, how, cut_off)?;
        let told = |conflicts: &[Conflict]| -> Vec<LeftOut> {
            conflicts.iter().map(|one| LeftOut { path: one.path.clone(), reason: one.reason.clone() }).collect()
        };
        if !way.changed_since.is_empty() && !how.force && !how.dry_run && !cut_off {
            return Err(WorkspaceError::ChangedSince(way.changed_since));
        }
        let mut done =
            RolledBack { kept: told(&way.kept), changed_since: told(&way.changed_since), ..RolledBack::default() };
        let folders: Vec<PathBuf> = staged.iter().map(Layer::written).collect();
        if !how.dry_run {
            way.stage(&folders, self.store())?;
        }
        for (root, reading) in &way.readings {
            done.changes.changes.extend(reading.change_set(root).changes);
        }
        done.changes.sort();
        if how.dry_run || way.is_empty() {
            return Ok(done);
        }
        let mut readings: Vec<_> = way.readings.into_iter().map(|(_, reading)| reading).collect();
        let (started, asides) = (Instant::now(), self.shared.asides());
        // What was cut off half-way is not left so until others have ended.
        let ground = Ground { alone: !cut_off, ..self.shared.ground(&asides) };
        let mut board = self.shared.board();
        board.drain(&ground);
        let applied = loop {
            if let Some(applied) = board.apply_staged(&staged, &mut readings, how.guard.as_ref(), &ground, &name)? {
                break applied;
            }
            let left = self.shared.patience.saturating_sub(started.elapsed());
            if left.is_zero() {
                let paths: Vec<PathBuf> = roots.iter().map(|root| root.path.clone()).collect();
                let reason = match self.shared.locks.owner(&paths) {
                    Some(owner) => format!("{owner} works in it and did not end"),
                    None => "steps that run on the same folder did not end".to_owned(),
                };
                return Err(WorkspaceError::Busy { path: roots[0].path.clone(), reason });
            }
            board = self.shared.wait(board, left);
        };
        drop(board);
        done.kept.extend(applied.left.into_iter().map(|(path, reason)| LeftOut { path, reason }));
        done.layer = Some(name);
        Ok(done)
    }
}

/// A folder that is removed in the end.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is swept with the layers.
        let _ = tree::remove(&self.0);
    }
}
