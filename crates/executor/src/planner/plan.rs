//! A plan: steps, what they depend on, and what follows when one fails.
//!
//! [`ExecutionPlan`] is plain data that front ends, journal and executor share. It may be wrong while it is
//! being built (a user adds steps one by one); [`ExecutionPlan::validate`] says whether it can run.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::id::StepId;
use crate::tools::ToolResult;
use crate::wait::Pace;
use crate::workspace::{path_from_text, path_to_text};

/// Bytes that a plan file has at most.
pub const MOST_PLAN_BYTES: u64 = 16 << 20;

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

/// What a step expects of its call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// That it succeeds.
    #[default]
    Success,
    /// That tests run and some fail (cause `test_failure`): for plans that show a bug before they mend it. Success
    /// fails the step, and so does any other cause.
    Failure,
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

impl From<&RetryPolicy> for Pace {
    fn from(policy: &RetryPolicy) -> Self {
        let RetryPolicy { max, delay, factor, max_delay, jitter } = *policy;
        Self { max, delay, factor, max_delay, jitter }
    }
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
    /// What it expects of its call.
    #[serde(default)]
    pub expect: Expect,
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
            expect: Expect::default(),
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
    /// The step as JSON: `id, tool, params, description, depends_on, status, result, error`, then those
    /// policies that differ from their defaults, named as in plan files.
    pub fn to_dict(&self) -> Value {
        let mut dict = json!({
            "id": self.id,
            "tool": self.tool,
            "params": self.params,
            "description": self.description,
            "depends_on": self.depends_on,
            "status": self.status,
            "result": self.result,
            "error": self.error,
        });
        if let (Value::Object(dict), Ok(Value::Object(policies))) =
            (&mut dict, serde_json::to_value(super::file::Policies::of(self)))
        {
            dict.extend(policies);
        }
        dict
    }
    /// The steps that stand in for this one when it has failed for good.
    pub fn fallback(&self) -> &[StepId] {
        match &self.on_failure {
            OnFailure::Fallback(steps) => steps,
            _ => &[],
        }
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
    /// Adds a pending step with the next free id (`step_1`, `step_2`, …) and returns it.
    pub fn add_step(
        &mut self,
        tool: impl Into<String>,
        params: Map<String, Value>,
        description: impl Into<String>,
        depends_on: Vec<StepId>,
    ) -> &mut PlanStep {
        let mut number = self.steps.len() + 1;
        while self.steps.iter().any(|step| step.id.0 == format!("step_{number}")) {
            number += 1;
        }
        let mut step = PlanStep::new(format!("step_{number}"), tool, params, description);
        step.depends_on = depends_on;
        self.steps.push(step);
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }
    /// The step of that id.
    pub fn get_step(&self, id: &StepId) -> Option<&PlanStep> {
        self.steps.iter().find(|step| step.id == *id)
    }
    /// The step of that id, to be changed.
    pub fn get_step_mut(&mut self, id: &StepId) -> Option<&mut PlanStep> {
        self.steps.iter_mut().find(|step| step.id == *id)
    }
    /// The steps that can start now: pending, every dependency completed, and no mere stand-in of another step.
    /// In the order of the plan.
    pub fn get_ready_steps(&self) -> Vec<&PlanStep> {
        let status: HashMap<&StepId, StepStatus> = self.steps.iter().map(|step| (&step.id, step.status)).collect();
        let stand_ins = self.stand_ins();
        self.steps
            .iter()
            .filter(|step| step.status == StepStatus::Pending && !stand_ins.contains(&step.id))
            .filter(|step| step.depends_on.iter().all(|id| status.get(id) == Some(&StepStatus::Completed)))
            .collect()
    }
    /// The steps that run only as another step's fallback.
    pub fn stand_ins(&self) -> HashSet<&StepId> {
        self.steps.iter().flat_map(PlanStep::fallback).collect()
    }
    /// Whether every step is completed, failed or skipped. True of a plan without steps.
    pub fn is_complete(&self) -> bool {
        self.steps.iter().all(|step| step.status.is_final())
    }
    /// What the planner assumed, in sentences (`metadata["assumptions"]`).
    pub fn assumptions(&self) -> Vec<&str> {
        let listed = self.metadata.get("assumptions").and_then(Value::as_array);
        listed.into_iter().flatten().filter_map(Value::as_str).collect()
    }
    /// Adds to `metadata["assumptions"]`, once.
    pub fn assume(&mut self, assumption: impl Into<String>) {
        let assumption = Value::String(assumption.into());
        let listed = self.metadata.entry("assumptions").or_insert_with(|| Value::Array(Vec::new()));
        match listed {
            Value::Array(all) if !all.contains(&assumption) => all.push(assumption),
            Value::Array(_) => {}
            other => *other = Value::Array(vec![assumption]),
        }
    }
    /// The values that steps refer to as `${{ context.key }}` (`metadata["context"]`); empty when there are none.
    pub fn context(&self) -> &Map<String, Value> {
        static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        self.metadata.get("context").and_then(Value::as_object).unwrap_or(&NONE)
    }
    /// Remembers the file that it was read from, with its text (`metadata["file"]`: `path`, which is to be absolute, and the
    /// text's `bytes` and `blake3`): a run that goes on later says when the file has become another.
    pub fn remember_file(&mut self, path: &Path, text: &str) {
        let blake3 = blake3::hash(text.as_bytes()).to_hex().to_string();
        let file = json!({ "path": path_to_text(path), "bytes": text.len(), "blake3": blake3 });
        self.metadata.insert("file".into(), file);
    }
    /// The file that it was read from, if that is a file with another text by now. One that is gone says nothing else.
    pub fn changed_file(&self) -> Option<PathBuf> {
        let known = self.metadata.get("file")?;
        let path = path_from_text(known.get("path")?.as_str()?)?;
        let bytes = known.get("bytes")?.as_u64().filter(|bytes| *bytes <= MOST_PLAN_BYTES)?;
        // Not opened before it is known to be a file: a pipe has somebody at its other end, a device acts.
        let now = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        if now.len() != bytes {
            return Some(path);
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(&path, flags, Mode::empty()).ok()?);
        let mut hash = blake3::Hasher::new();
        hash.update_reader(file.take(bytes + 1)).ok()?;
        (hash.finalize().to_hex().as_str() != known.get("blake3")?.as_str()?).then_some(path)
    }
    /// The plan as JSON: `task`, `steps` ([`PlanStep::to_dict`]), `metadata`. It is a plan file, too.
    pub fn to_dict(&self) -> Value {
        json!({
            "task": self.task,
            "steps": self.steps.iter().map(PlanStep::to_dict).collect::<Vec<_>>(),
            "metadata": self.metadata,
        })
    }
    /// The task and its numbered steps, a line each, as people read them. No newline at the end.
    pub fn summary(&self) -> String {
        let mut text = format!("Task: {}\nSteps:", self.task);
        for (index, step) in self.steps.iter().enumerate() {
            let (number, status) = (index + 1, step.status.as_str());
            let _ = write!(text, "\n  {number}. [{status}] {} - {}", step.tool, step.description);
            if step.expect == Expect::Failure {
                text.push_str(" (expects failed tests)");
            }
            if !step.depends_on.is_empty() {
                let ids: Vec<&str> = step.depends_on.iter().map(StepId::as_str).collect();
                let _ = write!(text, " (depends on: {})", ids.join(", "));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> ExecutionPlan {
        let mut plan = ExecutionPlan::new("t");
        let first = plan.add_step("search", Map::new(), "Find occurrences", vec![]).id.clone();
        plan.add_step("file_read", Map::new(), "Read files", vec![first]);
        plan
    }

    #[test]
    fn summary_is_the_documented_form() {
        assert_eq!(
            plan().summary(),
            "Task: t\nSteps:\n  1. [pending] search - Find occurrences\n  2. [pending] file_read - Read files (depends on: step_1)"
        );
    }

    #[test]
    fn a_step_is_ready_when_its_dependencies_completed() {
        let mut plan = plan();
        assert_eq!(plan.get_ready_steps().iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["step_1"]);
        plan.get_step_mut(&"step_1".into()).unwrap().status = StepStatus::Failed;
        assert!(plan.get_ready_steps().is_empty());
        plan.get_step_mut(&"step_1".into()).unwrap().status = StepStatus::Completed;
        assert_eq!(plan.get_ready_steps().iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["step_2"]);
        assert!(!plan.is_complete());
        plan.get_step_mut(&"step_2".into()).unwrap().status = StepStatus::Skipped;
        assert!(plan.is_complete());
    }

    #[test]
    fn a_stand_in_is_not_ready_by_itself() {
        let mut plan = plan();
        plan.add_step("shell", Map::new(), "Instead", vec![]);
        assert_eq!(plan.get_ready_steps().len(), 2);
        plan.steps[0].on_failure = OnFailure::Fallback(vec!["step_3".into()]);
        assert_eq!(plan.get_ready_steps().len(), 1);
    }

    #[test]
    fn to_dict_has_the_documented_keys_and_only_policies_that_were_set() {
        let mut plan = plan();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let base = ["id", "tool", "params", "description", "depends_on", "status", "result", "error"];
        assert_eq!(keys(&plan.steps[0].to_dict()), base);
        plan.steps[0].timeout = Some(Duration::from_secs(600));
        plan.steps[0].commit = CommitPolicy::Always;
        plan.steps[0].expect = Expect::Failure;
        let dict = plan.steps[0].to_dict();
        assert_eq!((&dict["timeout"], &dict["commit"]), (&json!(600), &json!("always")));
        assert_eq!(dict["expect"], "failure");
        assert_eq!(keys(&dict).len(), base.len() + 3);
        assert!(plan.summary().contains("Find occurrences (expects failed tests)"));
    }

    #[test]
    fn new_ids_never_repeat_old_ones() {
        let mut plan = ExecutionPlan::new("t");
        plan.steps.push(PlanStep::new("step_2", "shell", Map::new(), ""));
        assert_eq!(plan.add_step("shell", Map::new(), "", vec![]).id.as_str(), "step_3");
    }
}
