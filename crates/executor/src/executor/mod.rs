//! Runs plans: order, attempts, approval, recovery, budgets, events.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{RunId, StepId};
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

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionResult {
    /// What was asked for.
    pub task: String,
    /// Whether all of it was done.
    pub success: bool,
    /// The steps that were executed.
    pub steps: Vec<ExecutionStep>,
    /// Seconds from start to end.
    pub total_time: f64,
    /// What went wrong.
    pub error: Option<String>,
    /// Further facts: the plan's assumptions, counts, recoveries.
    pub metadata: Map<String, Value>,
    /// The run's identity in the journal.
    pub run_id: RunId,
    /// Why it ended.
    pub stop_reason: StopReason,
}

/// Plans and runs tasks over one workspace.
#[derive(Debug)]
pub struct AgenticExecutor {}
