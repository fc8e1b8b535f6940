//! Taking back what a run did, as a run of its own: journaled like any other, and so taken back like any other.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

use super::call::workspace_failure;
use super::one_step::one_step;
use super::run::Run;
use super::{AgenticExecutor, lock};
use crate::cause::Cause;
use crate::id::{CallId, RunId, StepId};
use crate::journal::{Event, EventBody, JournalError};
use crate::planner::{OnFailure, PlanStep, RetryPolicy};
use crate::tools::{Access, Idempotency, Tool, ToolCall, ToolContext, ToolRegistry, ToolResult};
use crate::workspace::{
    Difference, PlannedRollBack, Records, RollBack, RolledBack, WorkspaceError, differences, path_to_text,
};

/// The tool's name in the journal of a rollback.
pub(super) const NAME: &str = "rollback";
/// The member of its result's metadata that names the layer: a short one, which the journal keeps as it is.
const LAYER: &str = "rollback_layer";

/// What keeps a run from being rolled back or shown. Nothing is changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RollBackError {
    /// The run cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It has no such step.
    #[error("run {run} has no step `{step}` that ended; it has {}", listed(.has))]
    NoSuchStep {
        /// The run.
        run: RunId,
        /// The step.
        step: String,
        /// Its steps, in the order in which they ended.
        has: Vec<String>,
    },
    /// Its steps were applied together.
    #[error("run {run} was staged: what its steps did was applied as one change, and no step stands for itself")]
    Staged {
        /// The run.
        run: RunId,
    },
    /// What the workspace said.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The rollback was not made: denied by a rule or a person, or it could not be recorded.
    #[error("the rollback was not made: {0}")]
    NotMade(String),
}

fn listed(steps: &[String]) -> String {
    if steps.is_empty() { "none".to_owned() } else { steps.join(", ") }
}

/// A run that was rolled back.
#[derive(Debug, Clone)]
pub struct RunRolledBack {
    /// The run that did it; `None` when nothing was to be done, and for a dry run.
    pub run: Option<RunId>,
    /// What was done.
    pub done: RolledBack,
}

/// The folder that a run worked in, as its beginning says.
pub fn workspace_of(events: &[Event]) -> Option<&Path> {
    events.iter().find_map(|event| match &event.body {
        EventBody::RunStarted { workspace, .. } => Some(workspace.as_path()),
        _ => None,
    })
}

/// What a run did, or one step of it, by path; no journal or sandbox is needed for it.
///
/// # Errors
/// [`RollBackError::NoSuchStep`]; [`WorkspaceError::NotKept`] when what was replaced is gone; what the disk said.
pub fn run_differences(
    records: &Records,
    events: &[Event],
    step: Option<&str>,
) -> Result<Vec<Difference>, RollBackError> {
    let layers = match step {
        Some(step) => layers_of_step(events, step),
        None => layers_of(events, None),
    };
    let mut list = Vec::new();
    for layer in layers? {
        list.push(records.find(&layer)?.ok_or(WorkspaceError::NotKept { layer })?);
    }
    Ok(differences(records, &list)?)
}

/// The layers that a run applied after a step (`None`: all), in the order in which their calls finished.
///
/// # Errors
/// [`RollBackError::NoSuchStep`]; [`RollBackError::Staged`] for a step of a staged run.
pub fn layers_of(events: &[Event], after: Option<&str>) -> Result<Vec<String>, RollBackError> {
    let mut from = 0;
    if let Some(after) = after {
        let mut has: Vec<String> = Vec::new();
        let mut found = None;
        for (index, event) in events.iter().enumerate() {
            if let EventBody::StepFinished { step, .. } = &event.body {
                if step.as_str() == after {
                    found = Some(index);
                }
                if !has.iter().any(|known| known == step.as_str()) {
                    has.push(step.to_string());
                }
            }
        }
        let run = || events.first().map_or_else(RunId::new, |event| event.run.clone());
        from = found.ok_or_else(|| RollBackError::NoSuchStep { run: run(), step: after.to_owned(), has })?;
        if is_staged(events) {
            return Err(RollBackError::Staged { run: run() });
        }
    }
    Ok(layers(events).into_iter().filter(|(index, ..)| *index >= from).map(|(.., layer)| layer).collect())
}

/// The layers that one step of a run applied.
///
/// # Errors
/// As [`layers_of`].
pub fn layers_of_step(events: &[Event], step: &str) -> Result<Vec<String>, RollBackError> {
    layers_of(events, Some(step))?;
    let of = |(_, by, layer): (usize, Option<StepId>, String)| (by?.as_str() == step).then_some(layer);
    Ok(layers(events).into_iter().filter_map(of).collect())
}

/// Whether the steps of a run wrote to the workspace only in the end, together.
pub(super) fn is_staged(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(&event.body, EventBody::RunStarted { staged: true, .. }))
}

fn layers(events: &[Event]) -> Vec<(usize, Option<StepId>, String)> {
    let staged = is_staged(events);
    let (mut of_calls, mut rollbacks) = (HashMap::new(), HashSet::new());
    let mut layers: Vec<(usize, Option<StepId>, String)> = Vec::new();
    for (index, event) in events.iter().enumerate() {
        match &event.body {
            // What it changed is known when it ends. What another tool says in its result is no layer.
            EventBody::CallIntended { call, tool, .. } if tool == NAME => {
                rollbacks.insert(call.clone());
            }
            // The steps of a staged run change nothing by themselves.
            EventBody::CallIntended { step: Some(_), .. } if staged => {}
            EventBody::CallIntended { call, layer: Some(layer), .. } => {
                of_calls.insert(call.clone(), layer.clone());
            }
            EventBody::CallFinished { call, step, changes: Some(changes), .. } if !changes.changes.is_empty() => {
                layers.extend(of_calls.remove(call).map(|layer| (index, step.clone(), layer)));
            }
            EventBody::CallFinished { call, step, changes: None, metadata, .. } if rollbacks.contains(call) => {
                layers.extend(layer_made(metadata).map(|layer| (index, step.clone(), layer)));
            }
            EventBody::LayerNotApplied { layer, .. } => layers.retain(|(.., known)| known != layer),
            EventBody::RunResumed { lost, .. } => layers.retain(|(.., known)| !lost.contains(known)),
            _ => {}
        }
    }
    layers
}

impl AgenticExecutor {
    /// What a run of the journal did, or one step of it, by path: see [`unified`](crate::workspace::unified).
    ///
    /// # Errors
    /// [`RollBackError`], as [`run_differences`].
    pub fn differences(&self, run: &RunId, step: Option<&str>) -> Result<Vec<Difference>, RollBackError> {
        run_differences(self.workspaces.records(), &self.journal.events(run)?, step)
    }

    /// Takes back what a run of the journal did after a step (`None`: all of it): files, links, folders and permission
    /// bits are again what they were. It is a run of its own, whose id the answer has, and can be rolled back itself.
    ///
    /// # Errors
    /// [`RollBackError`]; paths that others changed since are [`WorkspaceError::ChangedSince`]. Nothing is changed then.
    pub fn roll_back(&self, run: &RunId, to: Option<&str>, how: &RollBack) -> Result<RunRolledBack, RollBackError> {
        let layers = layers_of(&self.journal.events(run)?, to)?;
        let planned = self.workspaces.plan_roll_back(&layers, how)?;
        // Without a run in the journal: it is refused, or nothing is to be done.
        if !how.dry_run && !how.force && !planned.told().changed_since.is_empty() {
            return Ok(RunRolledBack { run: None, done: planned.apply()? });
        }
        if how.dry_run || planned.told().changes.is_empty() {
            return Ok(RunRolledBack { run: None, done: planned.told().clone() });
        }
        let made = Arc::new(Mutex::new(None));
        let tool = Rollback { planned: Mutex::new(Some(planned)), made: Arc::clone(&made) };
        let registry = ToolRegistry::new();
        registry.register(Arc::new(tool)).map_err(|error| RollBackError::NotMade(error.to_string()))?;
        let task = match to {
            Some(step) => format!("Roll back run {run} to step {step}"),
            None => format!("Roll back run {run}"),
        };
        let mut params = Map::from_iter([("run".to_owned(), Value::from(run.to_string()))]);
        params.extend(to.map(|step| ("to".to_owned(), step.into())));
        if !how.only.is_empty() {
            let paths: Vec<Value> = how.only.iter().map(|path| path_to_text(path).into()).collect();
            params.insert("paths".to_owned(), paths.into());
        }
        if how.force {
            params.insert("force".to_owned(), true.into());
        }
        let mut step = PlanStep::new("rollback", NAME, params, task.as_str());
        step.retry = RetryPolicy { max: 0, ..RetryPolicy::default() };
        step.on_failure = OnFailure::Stop;
        let result = Run::new(self, &registry, one_step(&task, step), Map::new()).at_once().execute();
        self.collect_now_and_then();
        let made = lock(&made).take();
        match made {
            Some(Ok(done)) => Ok(RunRolledBack { run: Some(result.run_id), done }),
            Some(Err(error)) => Err(error.into()),
            None => Err(RollBackError::NotMade(result.error.unwrap_or_default())),
        }
    }
}

/// The name of the layer that a call of [`NAME`] is to make: known before it does, so that the journal has it when the
/// process ends in between.
pub(super) fn layer_of_call(tool: &str, call: &CallId) -> Option<String> {
    (tool == NAME).then(|| call.as_str().replace('-', ""))
}

/// The layer that a call of [`NAME`] made, by its result's metadata.
pub(super) fn layer_made(metadata: &Map<String, Value>) -> Option<String> {
    metadata.get(LAYER).and_then(Value::as_str).map(str::to_owned)
}

/// The result of a rollback that was made: the journal finds its layer in it.
pub(super) fn told(text: String, done: &RolledBack) -> ToolResult {
    let told = json!({ "changes": done.changes.changes, "kept": done.kept, "changed_since": done.changed_since });
    ToolResult::success(text).with(LAYER, done.layer.clone()).with(NAME, told)
}

#[derive(Debug)]
struct Rollback {
    planned: Mutex<Option<PlannedRollBack>>,
    made: Arc<Mutex<Option<Result<RolledBack, WorkspaceError>>>>,
}

impl Tool for Rollback {
    fn name(&self) -> &str {
        NAME
    }
    fn description(&self) -> &str {
        "Takes back what a run did."
    }
    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "run": { "type": "string" },
                "to": { "type": "string" },
                "paths": { "type": "array", "items": { "type": "string" } },
                "force": { "type": "boolean" },
            },
            "required": ["run"],
        })
    }
    fn execute(&self, call: &ToolCall, _: &ToolContext<'_>) -> ToolResult {
        let Some(planned) = lock(&self.planned).take() else {
            return ToolResult::failure(Cause::Internal, "the rollback was made already");
        };
        let outcome = planned.named(layer_of_call(NAME, &call.id)).apply();
        let result = match &outcome {
            Ok(done) => told(format!("{} paths are as they were", done.changes.changes.len()), done),
            Err(error) => workspace_failure("roll back", error),
        };
        *lock(&self.made) = Some(outcome);
        result
    }
    fn access(&self, _: &Map<String, Value>) -> Access {
        Access::None
    }
    fn roots(&self, _: &Map<String, Value>) -> Option<Vec<PathBuf>> {
        None
    }
    fn idempotency(&self) -> Idempotency {
        Idempotency::Layered
    }
}
