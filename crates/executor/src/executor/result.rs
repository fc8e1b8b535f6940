//! What came of a run, in the names that every front end shows.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::id::{RunId, StepId};
use crate::testing::TestReport;
use crate::tools::ToolResult;

/// How steps are scheduled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionMode {
    /// One after the other, in the order of the plan.
    #[default]
    Sequential,
    /// Independent steps at once, bounded.
    Parallel,
    /// One after the other; each is shown and waits for yes, no, edit or all.
    Interactive,
}

/// Why a run ended. Each has its own exit code on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Every step completed (or was skipped by its own `when`).
    Succeeded,
    /// A step failed and nothing was done before it.
    Failed,
    /// Some steps completed, some failed or were skipped.
    Partial,
    /// A rule or a person refused a call.
    Denied,
    /// A budget or limit ended the run.
    Limit,
    /// The host cannot enforce a control.
    Unenforceable,
    /// The run was asked to end.
    Cancelled,
}

impl StopReason {
    /// The word used in JSON and on the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Denied => "denied",
            Self::Limit => "limit",
            Self::Unenforceable => "unenforceable",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One executed step of a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionStep {
    /// The step's id in the plan.
    pub step_id: StepId,
    /// The tool it called.
    pub tool: String,
    /// The arguments, references resolved.
    pub params: Map<String, Value>,
    /// What the last attempt answered.
    pub result: Option<ToolResult>,
    /// Seconds since the epoch when it started.
    pub start_time: f64,
    /// Seconds since the epoch when it ended.
    pub end_time: f64,
    /// Tries after the first.
    pub retries: u32,
}

impl ExecutionStep {
    /// Seconds from start to end; 0 for one that has not ended.
    pub fn duration(&self) -> f64 {
        if self.end_time > 0.0 { (self.end_time - self.start_time).max(0.0) } else { 0.0 }
    }
    /// The form in JSON: `step_id, tool, params, result, duration, retries`.
    pub fn to_dict(&self) -> Value {
        json!({
            "step_id": self.step_id,
            "tool": self.tool,
            "params": self.params,
            "result": self.result,
            "duration": self.duration(),
            "retries": self.retries,
        })
    }
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionResult {
    /// What was asked for.
    pub task: String,
    /// Whether all of it was done.
    pub success: bool,
    /// The steps of the plan that were executed, in the order they ended. What a `for_each` expanded to is
    /// in its step's `metadata.results`, and in the journal.
    pub steps: Vec<ExecutionStep>,
    /// Seconds from start to end.
    pub total_time: f64,
    /// What went wrong.
    pub error: Option<String>,
    /// Further facts. `steps`: counts by status. `skipped`: step and reason. `recoveries`: step, cause,
    /// strategy, detail. `staged`, of a staged run: `applied`, and `changes` or the `reason`. `assumptions`: what the planner assumed. `kind`: `bad_input` when nothing was started
    /// because the task or plan cannot be meant.
    pub metadata: Map<String, Value>,
    /// The run's identity in the journal.
    pub run_id: RunId,
    /// Why it ended.
    pub stop_reason: StopReason,
}

impl ExecutionResult {
    /// The refusal of a task or plan that cannot be meant: nothing was started, nothing is journaled.
    pub(super) fn bad_input(task: &str, error: impl Into<String>) -> Self {
        Self {
            task: task.to_owned(),
            success: false,
            steps: Vec::new(),
            total_time: 0.0,
            error: Some(error.into()),
            metadata: Map::from_iter([("kind".into(), "bad_input".into())]),
            run_id: RunId::new(),
            stop_reason: StopReason::Failed,
        }
    }

    /// The form in JSON: `task, success, steps, total_time, error, metadata, run_id, stop_reason`.
    pub fn to_dict(&self) -> Value {
        json!({
            "task": self.task,
            "success": self.success,
            "steps": self.steps.iter().map(ExecutionStep::to_dict).collect::<Vec<_>>(),
            "total_time": self.total_time,
            "error": self.error,
            "metadata": self.metadata,
            "run_id": self.run_id,
            "stop_reason": self.stop_reason,
        })
    }

    /// What came of the tests that the run ran: the last report of its steps; `None` when no step has one.
    pub fn tests(&self) -> Option<TestReport> {
        let of_step = |step: &ExecutionStep| step.result.as_ref()?.metadata.get("tests").cloned();
        serde_json::from_value(self.steps.iter().rev().find_map(of_step)?).ok()
    }

    /// A few lines for people: status, task, step counts, time, error, recoveries, assumptions.
    pub fn summary(&self) -> String {
        let mut text = format!("Status: {}", if self.success { "SUCCESS" } else { "FAILED" });
        if !matches!(self.stop_reason, StopReason::Succeeded | StopReason::Failed) {
            write!(text, " ({})", self.stop_reason.as_str()).ok();
        }
        write!(text, "\nTask: {}\n", self.task).ok();
        let done = self.steps.iter().filter(|step| step.result.as_ref().is_some_and(ToolResult::is_success)).count();
        let total = self.count("total").unwrap_or(self.steps.len() as u64);
        write!(text, "Steps: {done}/{total} completed").ok();
        for name in ["failed", "skipped"] {
            if let Some(count) = self.count(name).filter(|count| *count > 0) {
                write!(text, ", {count} {name}").ok();
            }
        }
        write!(text, "\nTime: {:.2}s\n", self.total_time).ok();
        if let Some(error) = &self.error {
            writeln!(text, "Error: {error}").ok();
        }
        for recovery in self.list("recoveries") {
            let part = |name: &str| recovery.get(name).and_then(Value::as_str).unwrap_or_default();
            writeln!(text, "Recovery: {} ({}): {}", part("step"), part("cause"), part("detail")).ok();
        }
        for assumption in self.list("assumptions") {
            writeln!(text, "Assumed: {}", assumption.as_str().unwrap_or_default()).ok();
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn count(&self, name: &str) -> Option<u64> {
        self.metadata.get("steps")?.get(name)?.as_u64()
    }
    fn list(&self, name: &str) -> &[Value] {
        self.metadata.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries_have_the_documented_keys() {
        let step = ExecutionStep {
            step_id: "step_1".into(),
            tool: "shell".into(),
            params: Map::new(),
            result: Some(ToolResult::success("out")),
            start_time: 10.0,
            end_time: 12.5,
            retries: 1,
        };
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&step.to_dict()), ["step_id", "tool", "params", "result", "duration", "retries"]);
        assert_eq!(keys(&step.to_dict()["result"]), ["status", "output", "error", "metadata"]);
        assert_eq!(step.to_dict()["duration"], 2.5);
        let mut result = ExecutionResult::bad_input("do", "no rule understands it");
        result.steps.push(step);
        assert_eq!(
            keys(&result.to_dict()),
            ["task", "success", "steps", "total_time", "error", "metadata", "run_id", "stop_reason"]
        );
        let summary = result.summary();
        for part in ["Status: FAILED", "Task: do", "Steps: 1/1 completed", "Time: 0.00s", "Error: no rule"] {
            assert!(summary.contains(part), "{part} in {summary}");
        }
    }
}
