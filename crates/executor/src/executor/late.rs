//! Conflicts that show only when a finished layer is applied: the layers of a run, and what became of them at its end.
//!
//! A step whose folder is still mounted by another finishes with its layer waiting. [`Kept`] remembers whose layer
//! is whose, so that a layer that could not be applied is told as the failure of its own step.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::Value;

use super::{call, lock};
use crate::id::StepId;
use crate::journal::EventBody;
use crate::tools::ToolResult;
use crate::workspace::{Aside, WorkspaceError, Workspaces};

/// The committed layers of a run or of a bare call, with the steps they belong to.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<String, Option<StepId>>>);

/// A layer that could not be applied.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) step: Option<StepId>,
    pub(super) layer: String,
    pub(super) paths: Vec<String>,
    /// The folder that keeps what the step wrote.
    pub(super) folder: PathBuf,
    /// The failure of its step.
    pub(super) result: ToolResult,
}

impl Kept {
    pub(super) fn add(&self, layer: String, step: Option<StepId>) {
        lock(&self.0).insert(layer, step);
    }

    /// Waits until every layer is applied or could not be, and tells those that could not. The error is one of ours:
    /// waiting took too long.
    pub(super) fn settle(&self, workspaces: &Workspaces) -> Result<Vec<Late>, WorkspaceError> {
        let kept = std::mem::take(&mut *lock(&self.0));
        // Within a tool's call the folder is mounted by that call: waiting for it would never end.
        if kept.is_empty() || DEPTH.get() > 0 {
            return Ok(Vec::new());
        }
        match workspaces.settle_only(&|layer| kept.contains_key(layer)) {
            Ok(()) => Ok(Vec::new()),
            Err(WorkspaceError::NotApplied(asides)) => Ok(asides
                .into_iter()
                .map(|aside| {
                    let layer = aside.layer();
                    let step = kept.get(&layer).cloned().flatten();
                    let paths = aside.conflicts.iter().map(|one| one.path.to_string_lossy().into_owned()).collect();
                    Late { step, layer, paths, folder: aside.folder.clone(), result: failure(aside) }
                })
                .collect()),
            Err(error) => Err(error),
        }
    }
}

impl Late {
    pub(super) fn event(&self) -> EventBody {
        EventBody::LayerNotApplied {
            step: self.step.clone(),
            layer: self.layer.clone(),
            paths: self.paths.clone(),
            folder: self.folder.to_string_lossy().into_owned(),
            error: self.result.error.clone().unwrap_or_default(),
        }
    }
}

fn failure(aside: Aside) -> ToolResult {
    let folder: Value = aside.folder.to_string_lossy().into();
    let paths: Vec<Value> = aside.conflicts.iter().map(|one| one.path.to_string_lossy().into()).collect();
    let failed = call::workspace_failure("apply what was written", &WorkspaceError::NotApplied(vec![aside]));
    failed.with("paths", paths).with("kept_in", folder)
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, this thread is inside a tool's call.
#[derive(Debug)]
pub(super) struct Inside;

impl Inside {
    pub(super) fn call() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}
