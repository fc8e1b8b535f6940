//! Rolling back, as one more layer that is applied.

use std::path::PathBuf;

use super::record::Record;
use super::restore::{RollBack, RolledBack, Way};
use crate::workspace::Workspaces;
use crate::workspace::change_set::LeftOut;
use crate::workspace::error::{Conflict, WorkspaceError};
use crate::workspace::layer::{Layer, Root};
use crate::workspace::path::Dir;
use crate::workspace::reading::beneath;
use crate::workspace::tree::Place;

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
        self.plan_roll_back(layers, how)?.apply()
    }
    /// Compares the folders with what the layers left there, for [`PlannedRollBack::apply`]. What somebody changes from now
    /// on is a conflict then.
    ///
    /// # Errors
    /// As [`Self::roll_back`], but for what applying it meets.
    pub fn plan_roll_back(&self, layers: &[String], how: &RollBack) -> Result<PlannedRollBack, WorkspaceError> {
        let mut records = Vec::new();
        for layer in layers {
            let record = self.records().find(layer)?;
            records.push(record.ok_or_else(|| WorkspaceError::NotKept { layer: layer.clone() })?);
        }
        self.plan_back(records, how, false)
    }
    /// `cut_off`: the one record is of a layer that was being applied when its process ended. What others changed since is
    /// left alone then.
    pub(super) fn plan_back(
        &self,
        mut records: Vec<Record>,
        how: &RollBack,
        cut_off: bool,
    ) -> Result<PlannedRollBack, WorkspaceError> {
        records.sort_by(|a, b| a.order.cmp(&b.order));
        let touched = |path: &PathBuf| records.iter().any(|one| one.paths.iter().any(|kept| beneath(&kept.path, path)));
        if let Some(path) = how.only.iter().find(|path| !touched(path)) {
            return Err(WorkspaceError::NotTouched(path.clone()));
        }
        let mut paths: Vec<PathBuf> = records.iter().flat_map(|record| record.roots.clone()).collect();
        paths.sort();
        paths.dedup_by(|inner, outer| inner.starts_with(&*outer));
        let name = uuid::Uuid::now_v7().simple().to_string();
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
        let way = Way::find(&records, &roots, how, cut_off)?;
        let told = |conflicts: &[Conflict]| -> Vec<LeftOut> {
            conflicts.iter().map(|one| LeftOut { path: one.path.clone(), reason: one.reason.clone() }).collect()
        };
        let mut done =
            RolledBack { kept: told(&way.kept), changed_since: told(&way.changed_since), ..RolledBack::default() };
        for (root, reading) in &way.readings {
            done.changes.changes.extend(reading.change_set(root).changes);
        }
        done.changes.sort();
        Ok(PlannedRollBack {
            workspaces: self.clone(),
            how: how.clone(),
            cut_off,
            name,
            staged,
            way,
            done,
            _place: place,
        })
    }
}

/// A rollback that can be applied. Dropped, nothing is done.
#[derive(Debug)]
#[must_use = "nothing is done before it is applied"]
pub struct PlannedRollBack {
    workspaces: Workspaces,
    how: RollBack,
    cut_off: bool,
    name: String,
    staged: Vec<Layer>,
    way: Way,
    done: RolledBack,
    _place: Place,
}

impl PlannedRollBack {
    /// What would be done.
    pub fn told(&self) -> &RolledBack {
        &self.done
    }
    /// The same with this name for the layer that it makes: letters and digits, new each time.
    pub fn named(mut self, layer: Option<String>) -> Self {
        self.name = layer.unwrap_or(self.name);
        self
    }
    /// Does it, unless it is a dry run.
    ///
    /// # Errors
    /// As [`Workspaces::roll_back`]. Nothing is changed then.
    pub fn apply(mut self) -> Result<RolledBack, WorkspaceError> {
        if self.how.dry_run {
            return Ok(self.done);
        }
        if !self.way.changed_since.is_empty() && !self.how.force && !self.cut_off {
            return Err(WorkspaceError::ChangedSince(self.way.changed_since));
        }
        if self.way.is_empty() {
            return Ok(self.done);
        }
        let (workspaces, staged) = (&self.workspaces, &self.staged);
        let folders: Vec<PathBuf> = staged.iter().map(Layer::written).collect();
        self.way.stage(&folders, workspaces.store())?;
        let mut readings: Vec<_> = self.way.readings.into_iter().map(|(_, reading)| reading).collect();
        let guard = self.how.guard.as_ref();
        // What was cut off half-way is not left so until others have ended.
        let applied = workspaces.apply_filled(staged, &mut readings, guard, !self.cut_off, &self.name)?;
        let mut done = self.done;
        done.kept.extend(applied.left.into_iter().map(|(path, reason)| LeftOut { path, reason }));
        done.layer = Some(self.name);
        Ok(done)
    }
}
