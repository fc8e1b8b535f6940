//! A plan: steps, what they depend on, and what follows when one fails.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::StepId;
use crate::tools::ToolResult;

/// Where a step stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not started.
    #[default]
    Pending,
    /// Started.
    Running,
    /// Done.
    Completed,
    /// Failed for good.
    Failed,
    /// Never started: a dependency failed, its `when` was false, or a person said no.
    Skipped,
}

impl StepStatus {
    /// The word used in JSON and on the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
    /// Completed, failed or skipped.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Skipped)
    }
}

/// When what a step wrote reaches the workspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommitPolicy {
    /// When it succeeds.
    #[default]
    OnSuccess,
    /// Whether it succeeds or not (test reports are wanted when red, too).
    Always,
    /// Never.
    Never,
}

/// What follows when a step has failed for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The run stops; what is running ends.
    #[default]
    Stop,
    /// Steps that do not depend on it go on.
    Continue,
    /// As `stop`, and what the step wrote is dropped whatever its `commit` says.
    Rollback,
    /// The planner may put another step in its place.
    Replan,
    /// These steps run instead, in order; if all succeed the step counts as done.
    Fallback(Vec<StepId>),
}

/// How often and how soon a failed step is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Tries after the first. Default 2.
    pub max: u32,
    /// Seconds before the first of them. Default 0.2.
    pub delay: f64,
    /// Each wait is this many times the one before. Default 2.
    pub factor: f64,
    /// The longest wait in seconds. Default 30.
    pub max_delay: f64,
    /// Whether each wait is shortened by a random part. Default true.
    pub jitter: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max: 2, delay: 0.2, factor: 2.0, max_delay: 30.0, jitter: true }
    }
}

/// Repeats a step over a list that an earlier step produced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForEach {
    /// A reference or a literal list: `${{ steps.step_1.metadata.files }}`.
    pub items: Value,
    /// The name the item has in this step's references. Default `item`.
    #[serde(default = "item")]
    pub name: String,
}

fn item() -> String {
    "item".into()
}

/// One tool call of a plan, with its place and its policies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    /// Its name in the plan: `step_1`, …
    pub id: StepId,
    /// The tool it calls.
    pub tool: String,
    /// The tool's arguments; strings may hold `${{ … }}` references.
    pub params: Map<String, Value>,
    /// What it is for.
    pub description: String,
    /// Steps that must have completed before it starts.
    #[serde(default)]
    pub depends_on: Vec<StepId>,
    /// Where it stands.
    #[serde(default)]
    pub status: StepStatus,
    /// What its last attempt answered.
    #[serde(default)]
    pub result: Option<ToolResult>,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<String>,
    /// Tries after the first, so far.
    #[serde(default)]
    pub retry_count: u32,
    /// How often and how soon it is tried again.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// When its writes reach the workspace.
    #[serde(default)]
    pub commit: CommitPolicy,
    /// Seconds it may take. Precedence: the tool's own argument, this, the tool's default.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// What follows when it has failed for good.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Runs only if this is true: a `${{ … }}` expression.
    #[serde(default)]
    pub when: Option<String>,
    /// Repeats it over a list.
    #[serde(default)]
    pub for_each: Option<ForEach>,
}

impl PlanStep {
    /// A pending step with default policies.
    pub fn new(
        id: impl Into<String>,
        tool: impl Into<String>,
        params: Map<String, Value>,
        description: impl Into<String>,
    ) -> Self {
        Self {
            id: StepId(id.into()),
            tool: tool.into(),
            params,
            description: description.into(),
            depends_on: Vec::new(),
            status: StepStatus::Pending,
            result: None,
            error: None,
            retry_count: 0,
            retry: RetryPolicy::default(),
            commit: CommitPolicy::default(),
            timeout: None,
            on_failure: OnFailure::default(),
            when: None,
            for_each: None,
        }
    }
    /// Whether a try is left.
    pub fn can_retry(&self) -> bool {
        self.retry_count < self.retry.max
    }
}

/// A DAG of steps for a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExecutionPlan {
    /// What was asked for.
    pub task: String,
    /// The steps, in the order they were written.
    pub steps: Vec<PlanStep>,
    /// Further facts; `assumptions` lists what the planner assumed.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

impl ExecutionPlan {
    /// A plan without steps.
    pub fn new(task: impl Into<String>) -> Self {
        Self { task: task.into(), ..Self::default() }
    }
    /// The step of that id.
    pub fn get_step(&self, id: &StepId) -> Option<&PlanStep> {
        self.steps.iter().find(|step| step.id == *id)
    }
}
