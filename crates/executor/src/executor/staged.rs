//! Staged runs: what the steps write is held back until the plan has succeeded and somebody has seen it.
//!
//! The workspace is changed by one further call, `apply`, which belongs to no step: its intent is in the journal before the
//! first file changes, and rolling back the run takes back that one layer.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::StopReason;
use super::call::{params_hash, workspace_failure};
use super::coordinate::Coordinator;
use crate::cause::Cause;
use crate::id::CallId;
use crate::journal::EventBody;
use crate::planner::PlanStep;
use crate::tools::{Idempotency, ToolCall, ToolResult};
use crate::workspace::{ChangeSet, StagedChanges, WorkspaceError, Workspaces, path_to_text};

/// The tool's name in the journal.
pub(super) const NAME: &str = "apply";

/// Decides whether what a staged run did is applied to the workspace.
pub type Review = Arc<dyn Fn(&StagedChanges) -> bool + Send + Sync>;

/// The same, to be held by what is printed.
#[derive(Clone)]
pub(super) struct Reviewer(pub(super) Review);

impl fmt::Debug for Reviewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reviewer")
    }
}

/// How a staged run ended, where its steps succeeded and yet nothing was applied.
#[derive(Debug)]
pub(super) struct NotApplied {
    pub(super) reason: StopReason,
    pub(super) error: String,
}

impl Coordinator<'_, '_> {
    /// Applies what a staged run did, or says why not. The metadata of the run has what became of it.
    pub(super) fn apply_staged(&self, staged: &Workspaces, succeeded: bool) -> (Value, Option<NotApplied>) {
        let told = |applied: bool, further: Value| {
            let mut told = Map::from_iter([("applied".to_owned(), applied.into())]);
            if let Value::Object(further) = further {
                told.extend(further);
            }
            Value::Object(told)
        };
        if !succeeded {
            return (told(false, json!({ "reason": "the run did not succeed" })), None);
        }
        let not = |reason, error: String, further: Value| {
            let (mut value, said) = (told(false, further), error.clone());
            value["reason"] = said.into();
            (value, Some(NotApplied { reason, error }))
        };
        let failed = |error: &WorkspaceError| format!("failed to apply what was staged: {error}");
        let taken = match staged.take_staged(&self.run.executor.workspaces) {
            Ok(taken) => taken,
            Err(error) => return not(StopReason::Failed, failed(&error), Value::Null),
        };
        let Some(taken) = taken.filter(|taken| !taken.changes().changes.is_empty()) else {
            return (told(false, json!({ "reason": "the run changed nothing" })), None);
        };
        let count = taken.changes().changes.len();
        let call = CallId::new();
        if !self.run.executor.review.as_ref().is_some_and(|review| (review.0)(&taken)) {
            let error = "the changes were not agreed to: the workspace is as it was".to_owned();
            self.run.record(EventBody::CallRefused {
                call,
                step: None,
                tool: NAME.to_owned(),
                params: Map::new(),
                cause: Cause::Denied,
                error: error.clone(),
            });
            // Who ends the run instead of answering has not said no.
            let ended = self.run.executor.cancel.is_cancelled();
            let reason = if ended { StopReason::Cancelled } else { StopReason::Denied };
            return not(reason, error, json!({ "changes": count }));
        }
        match self.apply_call(call, taken) {
            Ok(changes) => (told(true, json!({ "changes": changes.changes.len() })), None),
            Err(result) => {
                let further = Value::Object(result.metadata.clone());
                let reason = match result.cause {
                    Some(Cause::Cancelled) => StopReason::Cancelled,
                    Some(Cause::Persistence) => StopReason::Denied,
                    _ => StopReason::Failed,
                };
                not(reason, result.error.unwrap_or_default(), further)
            }
        }
    }

    /// Intent, effect, outcome.
    fn apply_call(&self, id: CallId, mut staged: StagedChanges) -> Result<ChangeSet, Box<ToolResult>> {
        let began = Instant::now();
        let call = ToolCall { id, tool: NAME.to_owned(), params: Map::new() };
        let intended = self.run.recorder.record(EventBody::CallIntended {
            call: call.id.clone(),
            step: None,
            attempt: 1,
            tool: call.tool.clone(),
            params_hash: params_hash(&call.params),
            params: call.params.clone(),
            layer: Some(staged.layer()),
            idempotency: Idempotency::Layered,
        });
        if let Err(error) = intended {
            return Err(Box::new(ToolResult::failure(Cause::Internal, error.to_string())));
        }
        let (result, changes) = match staged.apply() {
            Ok(changes) => (ToolResult::success(""), Some(changes)),
            Err(error) => {
                let failure = workspace_failure("apply what was staged", &error);
                // What the steps wrote is work, and is not lost because somebody else worked too.
                let failure = match staged.keep_aside() {
                    Ok(folder) => {
                        let error = failure.error.clone().unwrap_or_default();
                        let error = format!("{error}; what the run wrote is kept in {}", folder.display());
                        ToolResult { error: Some(error), ..failure }.with("kept_in", path_to_text(&folder))
                    }
                    Err(_) => failure,
                };
                (failure, None)
            }
        };
        let applied = changes.is_some();
        // A call of no step.
        let nobody = PlanStep::new("", NAME, Map::new(), "");
        let result = self.run.door().finish(&nobody, &call, result, changes.clone(), began.elapsed());
        match changes {
            Some(changes) if result.is_success() => Ok(changes),
            _ if applied => {
                let why = result.error.unwrap_or_default();
                let error = format!("the changes were applied, which could not be recorded: {why}");
                Err(Box::new(ToolResult::failure(Cause::Internal, error)))
            }
            _ => Err(Box::new(result)),
        }
    }
}
