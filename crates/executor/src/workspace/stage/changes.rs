//! What a staged run comes to: looked at, applied as a whole, or dropped.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, OnceLock};

use crate::workspace::apply::Applied;
use crate::workspace::board::{Board, Ground, parts};
use crate::workspace::change_set::{ChangeSet, LeftOut};
use crate::workspace::commit::Plan;
use crate::workspace::error::WorkspaceError;
use crate::workspace::layer::Layer;
use crate::workspace::path::Dir;
use crate::workspace::persistence::AllowPersist;
use crate::workspace::reading::Reading;
use crate::workspace::tree::{self, Place};
use crate::workspace::undo::{Difference, capture, differences_in};
use crate::workspace::wait::{Wait, first};
use crate::workspace::{Shared, Workspaces};

use super::Stage;

impl Workspaces {
    /// Workspaces over the same state folder and sandbox whose attempts are held back when they are committed: later
    /// attempts see what they did, the folders do not ([`Self::take_staged`]). Dropped, so is all that was staged.
    #[must_use]
    pub fn staged(&self) -> Self {
        let shared = &self.shared;
        let place = shared.state.join("layers").join(uuid::Uuid::now_v7().simple().to_string());
        let shared = Shared {
            state: shared.state.clone(),
            sandbox: shared.sandbox.clone(),
            store: shared.store.clone(),
            records: shared.records.clone(),
            recovered: OnceLock::from(Vec::new()),
            locks: shared.locks.clone(),
            board: Mutex::new(Board::staging(Stage::new(place, shared.state.clone()))),
            changed: Condvar::new(),
            probes: Mutex::default(),
            watcher: None,
            patience: shared.patience,
            on_wait: shared.on_wait.clone(),
            staged: true,
        };
        Self { shared: Arc::new(shared), limits: self.limits, tier: self.tier, cancel: self.cancel.clone() }
    }
    /// What was staged, to be applied by `main`, whose folders it is for. `None` when it was taken before, and of workspaces
    /// that stage nothing. Every attempt has ended.
    ///
    /// # Errors
    /// When what was staged cannot be read, or a step's changes could not be added to it.
    pub fn take_staged(&self, main: &Self) -> Result<Option<StagedChanges>, WorkspaceError> {
        self.settle()?;
        let Some(stage) = self.shared.board().take_stage() else { return Ok(None) };
        let readings = stage.read()?;
        let mut changes = ChangeSet::default();
        for (staged, reading) in stage.roots.iter().zip(&readings) {
            let one = reading.change_set(&staged.layer.root.path);
            changes.changes.extend(one.changes);
            changes.left_out.extend(one.left_out);
        }
        changes.sort();
        let Stage { roots, allowed, place, .. } = stage;
        let layers = roots.into_iter().map(|staged| staged.layer).collect();
        Ok(Some(StagedChanges { main: main.clone(), layers, readings, changes, allowed, place }))
    }
    /// Applies layers that were filled by us, undoably, as soon as nobody works in their folders.
    ///
    /// # Errors
    /// [`WorkspaceError::Busy`] when somebody does for longer than this waits; as applying a step's layers.
    pub(in crate::workspace) fn apply_filled(
        &self,
        layers: &[Layer],
        readings: &mut [Reading],
        guard: Option<&AllowPersist>,
        alone: bool,
        name: &str,
    ) -> Result<Applied, WorkspaceError> {
        let shared = &self.shared;
        let (mut wait, asides) = (Wait::begin(self), shared.asides());
        let ground = Ground { alone, ..shared.ground(&asides) };
        let mut board = shared.board();
        board.drain(&ground);
        loop {
            if let Some(applied) = board.apply_staged(layers, readings, guard, &ground, name)? {
                return Ok(applied);
            }
            let paths: Vec<PathBuf> = layers.iter().map(|layer| layer.root.path.clone()).collect();
            let what = |shared: &Shared| match shared.locks.owner(&paths) {
                Some(owner) => format!("waiting for {owner}, which works in the folder"),
                None => "waiting for steps that run on the same folder".to_owned(),
            };
            let left = wait.left(what).map_err(|over| over.error(first(&paths), what(shared)))?;
            board = shared.wait(board, left);
        }
    }
}

/// What the steps of a staged run wrote, over all folders. Dropped, it is gone, and the folders are as they were.
#[derive(Debug)]
#[must_use = "dropped, what the run did is gone"]
pub struct StagedChanges {
    main: Workspaces,
    layers: Vec<Layer>,
    readings: Vec<Reading>,
    changes: ChangeSet,
    allowed: AllowPersist,
    place: Place,
}

impl StagedChanges {
    /// What would be done to the folders.
    pub fn changes(&self) -> &ChangeSet {
        &self.changes
    }
    /// The name of the layer that it is, by which it can be rolled back once it is applied.
    pub fn layer(&self) -> String {
        self.place.0.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
    /// The same by path, with the lines that differ: see [`unified`](crate::workspace::unified). The originals are kept then.
    ///
    /// # Errors
    /// When bytes cannot be read, or the originals cannot be kept.
    pub fn differences(&self) -> Result<Vec<Difference>, WorkspaceError> {
        let written: Vec<Dir> = self.layers.iter().map(Layer::dir).collect::<Result<_, _>>()?;
        let plans = self.readings.iter().zip(&written).zip(&self.layers);
        let plans: Vec<Plan> = plans
            .map(|((reading, dir), layer)| Plan::of(reading, dir, &[&layer.root.dir]))
            .collect::<Result<_, _>>()?;
        let record = capture(&self.layer(), &parts(&self.layers, &written, &plans), self.main.store())?;
        let roots = self.layers.iter().map(|layer| layer.root.path.as_path());
        let new: Vec<(&Path, Dir)> = roots.zip(written.iter().cloned()).collect();
        differences_in(self.main.records(), &[record], &new)
    }
    /// Applies all of it, or nothing, undoably. After an error it is still there, to be kept ([`Self::keep_aside`]).
    ///
    /// # Errors
    /// [`WorkspaceError::Conflict`] by path, where somebody else changed since the run began what it changed too;
    /// [`WorkspaceError::Busy`]; what the disk said.
    pub fn apply(&mut self) -> Result<ChangeSet, WorkspaceError> {
        if self.readings.iter().all(|reading| reading.items.is_empty()) {
            return Ok(self.changes.clone());
        }
        let (name, guard) = (self.layer(), Some(&self.allowed));
        let applied = self.main.apply_filled(&self.layers, &mut self.readings, guard, true, &name)?;
        let mut changes = self.changes.clone();
        changes.left_out.extend(applied.left.into_iter().map(|(path, reason)| LeftOut { path, reason }));
        Ok(changes)
    }
    /// Keeps what was written in a folder aside, unapplied, and says where.
    ///
    /// # Errors
    /// When it cannot be moved; it is dropped then.
    pub fn keep_aside(self) -> Result<PathBuf, WorkspaceError> {
        let asides = self.main.shared.asides();
        let aside = tree::aside(&self.place.0, &asides);
        std::fs::rename(&self.place.0, &aside).map_err(WorkspaceError::io("keep aside", &self.place.0))?;
        Ok(aside)
    }
}
