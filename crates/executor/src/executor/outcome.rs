//! The end of a run: what never started is said to be skipped, and the reason of the end is told truthfully.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::coordinate::Coordinator;
use super::expand::unanswered;
use super::run::Stop;
use super::{ExecutionResult, StopReason, lock};
use crate::cause::Cause;
use crate::journal::EventBody;
use crate::planner::StepStatus;
use crate::tools::ToolResult;

/// Steps by how they ended; those that a `for_each` expanded to are not counted.
#[derive(Debug, Default)]
struct Counts {
    total: usize,
    completed: usize,
    failed: usize,
    skipped: usize,
    /// Of those skipped: by no fault.
    blameless: usize,
}

impl Coordinator<'_, '_> {
    /// Ends the run; nothing runs any more.
    pub(super) fn finish(mut self, elapsed: Duration) -> ExecutionResult {
        let stop = self.run.stopped();
        self.end_what_is_open(stop.as_ref());
        let not_applied = self.settle_layers();
        // Asked to end while the last layers waited for somebody.
        let stop = stop.or_else(|| self.run.stopped());
        let counts = self.count();
        let mut stop_reason = self.reason(stop.as_ref(), &counts);
        let mut error = (stop_reason != StopReason::Succeeded).then(|| self.error(stop.as_ref()));
        let staged = self.run.staged.as_ref().map(|staged| self.apply_staged(staged, error.is_none()));
        let staged = staged.map(|(told, not_applied)| {
            if let Some(not_applied) = not_applied {
                (stop_reason, error) = (not_applied.reason, Some(not_applied.error));
            }
            told
        });
        let success = stop_reason == StopReason::Succeeded;

        let recoveries = std::mem::take(&mut *lock(&self.run.recoveries));
        let mut plan = lock(&self.run.plan);
        let skipped: Vec<Value> = plan
            .steps
            .iter()
            .filter(|step| step.status == StepStatus::Skipped)
            .map(|step| json!({ "step": step.id, "reason": step.error }))
            .collect();
        let mut metadata = Map::new();
        metadata.insert(
            "steps".into(),
            json!({
                "total": counts.total,
                "completed": counts.completed,
                "failed": counts.failed,
                "skipped": counts.skipped,
            }),
        );
        for (name, list) in [("skipped", skipped), ("recoveries", recoveries), ("not_applied", not_applied)] {
            if !list.is_empty() {
                metadata.insert(name.into(), list.into());
            }
        }
        if let Some(staged) = staged {
            metadata.insert("staged".into(), staged);
        }
        if let Some(assumptions) = plan.metadata.get("assumptions") {
            metadata.insert("assumptions".into(), assumptions.clone());
        }
        let task = std::mem::take(&mut plan.task);
        drop(plan);
        let recorded =
            self.run.recorder.record(EventBody::RunFinished { stop_reason, error: error.clone(), duration: elapsed });
        let unrecorded = recorded.err().filter(|_| success).map(|error| error.to_string());
        ExecutionResult {
            task,
            success: success && unrecorded.is_none(),
            steps: self.executed,
            total_time: elapsed.as_secs_f64(),
            stop_reason: if unrecorded.is_some() { StopReason::Partial } else { stop_reason },
            error: error.or(unrecorded),
            metadata,
            run_id: self.run.recorder.run().clone(),
        }
    }

    /// Waits until every layer of the run is applied. A step whose layer could not be has failed after all.
    fn settle_layers(&mut self) -> Vec<Value> {
        let late = match self.run.kept.settle(self.run.workspaces()) {
            Ok(late) => late,
            Err(error) => {
                self.causes.insert(Cause::Conflict);
                self.unsettled = Some(format!("failed to apply what steps wrote: {error}"));
                return Vec::new();
            }
        };
        let mut told = Vec::new();
        for late in late {
            self.run.record(late.event());
            told.push(json!({ "step": late.step, "paths": late.paths, "folder": late.folder.to_string_lossy() }));
            let id = late.step.clone();
            let at = lock(&self.run.plan).steps.iter().position(|step| Some(&step.id) == id.as_ref());
            if let Some(at) = at {
                self.undone(at, late.result);
            }
        }
        told
    }

    /// A step that had completed, and the `for_each` step it is an item of, fail.
    fn undone(&mut self, at: usize, result: ToolResult) {
        self.fail_late(at, result);
        if let Some(parent) = self.states[at].parent() {
            let result = self.aggregated(parent).result;
            self.fail_late(parent, result);
        }
    }

    fn fail_late(&mut self, at: usize, result: ToolResult) {
        let cause = result.cause.unwrap_or(Cause::Conflict);
        let error = result.error.clone().unwrap_or_default();
        let (id, tool, attempts) = {
            let mut plan = lock(&self.run.plan);
            let step = &mut plan.steps[at];
            step.status = StepStatus::Failed;
            step.error = Some(error.clone());
            let output = step.result.take().map(|before| before.output);
            step.result = Some(ToolResult { output: output.unwrap_or_default(), ..result });
            (step.id.clone(), step.tool.clone(), step.retry_count + 1)
        };
        let plan = lock(&self.run.plan);
        let executed = self.executed.iter_mut().find(|step| step.step_id == id);
        let duration = executed.as_ref().map_or(0.0, |step| step.duration());
        if let Some(executed) = executed {
            executed.result.clone_from(&plan.steps[at].result);
        }
        drop(plan);
        self.causes.insert(cause);
        self.first_failure.get_or_insert_with(|| (id.clone(), format!("{id} ({tool}): {error}")));
        self.run.record(EventBody::StepFinished {
            step: id,
            status: StepStatus::Failed,
            attempts,
            error: Some(error),
            duration: Duration::try_from_secs_f64(duration).unwrap_or_default(),
        });
    }

    fn end_what_is_open(&mut self, stop: Option<&Stop>) {
        let why = match stop {
            Some(Stop::Failed) => {
                let first = self.first_failure.as_ref().map_or("?", |(id, _)| id.as_str());
                format!("the run stopped after step `{first}` failed")
            }
            Some(Stop::Limit(spent)) => format!("the run stopped: {spent}"),
            Some(Stop::Cancelled) => "the run was asked to end".to_owned(),
            Some(Stop::Unrecorded(reason)) => format!("the run stopped: {reason}"),
            None => "what it depends on did not complete".to_owned(),
        };
        // From the last to the first: what a step expanded to or is replaced by comes after it.
        for at in (0..self.states.len()).rev() {
            let status = lock(&self.run.plan).steps[at].status;
            if status.is_final() {
                continue;
            }
            if let Some(failed) = self.states[at].failed.take() {
                self.seal(at, StepStatus::Failed, failed);
            } else if self.states[at].children.is_empty() {
                let unneeded = self.states[at].reserve && stop.is_none();
                let reason = if unneeded { "the step it would have stood in for did not fail" } else { &why };
                if status == StepStatus::Running {
                    let step = unanswered(&lock(&self.run.plan).steps[at]);
                    let done = self.done(at, step, ToolResult::failure(Cause::Cancelled, reason), 0);
                    self.seal(at, StepStatus::Failed, done);
                } else {
                    self.mark_skipped(at, reason, unneeded);
                }
            } else {
                let done = self.aggregated(at);
                self.seal(at, StepStatus::Failed, done);
            }
        }
    }

    fn count(&self) -> Counts {
        let plan = lock(&self.run.plan);
        let mut counts = Counts::default();
        for (step, state) in plan.steps.iter().zip(&self.states) {
            if state.is_item() {
                continue;
            }
            counts.total += 1;
            match step.status {
                StepStatus::Completed => counts.completed += 1,
                StepStatus::Failed => counts.failed += 1,
                _ => {
                    counts.skipped += 1;
                    counts.blameless += usize::from(state.blameless);
                }
            }
        }
        counts
    }

    fn reason(&self, stop: Option<&Stop>, counts: &Counts) -> StopReason {
        let all_done = self.unsettled.is_none() && counts.failed == 0 && counts.skipped == counts.blameless;
        match stop {
            _ if all_done => StopReason::Succeeded,
            Some(Stop::Cancelled) => StopReason::Cancelled,
            Some(Stop::Limit(_)) => StopReason::Limit,
            _ if self.declined || self.causes.contains(&Cause::Denied) || self.causes.contains(&Cause::Persistence) => {
                StopReason::Denied
            }
            _ if self.causes.contains(&Cause::Unenforceable) => StopReason::Unenforceable,
            _ if counts.completed > 0 => StopReason::Partial,
            _ => StopReason::Failed,
        }
    }

    fn error(&self, stop: Option<&Stop>) -> String {
        let first = self.first_failure.as_ref().map(|(_, said)| said.clone()).or_else(|| self.unsettled.clone());
        match stop {
            Some(Stop::Limit(spent)) => match first {
                Some(error) => format!("{spent}; {error}"),
                None => spent.to_string(),
            },
            Some(Stop::Unrecorded(reason)) => reason.clone(),
            Some(Stop::Cancelled) => "the run was asked to end".into(),
            _ => first.unwrap_or_else(|| {
                if self.declined { "a step was declined".into() } else { "some steps were skipped".into() }
            }),
        }
    }
}
