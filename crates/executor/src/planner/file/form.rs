//! The form of a plan file: what is written, and the JSON Schema that is published.
//!
//! Reading goes through [`super::read`], which keeps positions; a test holds the two to the same keys.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::executor::ExecutionMode;
use crate::planner::plan::{CommitPolicy, Expect, OnFailure, PlanStep, RetryPolicy};

/// A plan for Agentic Code Executor: steps with tools, dependencies and policies.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Plan file")]
pub(super) struct PlanForm {
    /// What the plan is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<String>,
    /// The folder that steps act on. Default: the current folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) workspace: Option<String>,
    /// How steps are scheduled. Default: sequential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<ExecutionMode>,
    /// Values that steps refer to as `${{ context.key }}`; `-c key=value` goes before them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) context: Map<String, Value>,
    /// The steps, in the order in which sequential mode runs them.
    #[schemars(length(min = 1))]
    pub(super) steps: Vec<StepForm>,
    /// Further facts that `agentic plan` writes, such as its assumptions.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) metadata: Map<String, Value>,
}

/// One tool call with its place and its policies.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StepForm {
    /// Its name, by which other steps refer to it. Default: `step_1`, `step_2`, … by its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(super) id: Option<String>,
    /// The tool it calls.
    #[schemars(length(min = 1))]
    pub(super) tool: String,
    /// The tool's arguments; texts may hold `${{ … }}` references.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) params: Map<String, Value>,
    /// What it is for. Default: the tool's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    /// The steps that must have completed before it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) depends_on: Option<OneOrMany>,
    #[serde(flatten)]
    #[schemars(flatten)]
    pub(super) policies: Policies,
    /// As `agentic plan --format json` writes it; a plan that is read always starts over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<Value>,
    /// As `agentic plan --format json` writes it; a plan that is read always starts over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<Value>,
    /// As `agentic plan --format json` writes it; a plan that is read always starts over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Value>,
}

/// A step's policies, those that differ from the defaults.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::planner) struct Policies {
    /// Tries after the first, or a policy with its waits. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retries: Option<RetriesForm>,
    /// The time it may take: seconds, or text such as `90s`, `10m`, `1h30m`. Default: the tool's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<TimeoutForm>,
    /// When what it wrote reaches the workspace. Default: on_success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit: Option<CommitPolicy>,
    /// What it expects of its call; `failure` completes the step when tests ran and some failed, and only then.
    /// Default: success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expect: Option<Expect>,
    /// What follows when it has failed for good. Default: stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_failure: Option<OnFailureForm>,
    /// Runs only if this is true: a `${{ … }}` expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<WhenForm>,
    /// Repeats it over a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    for_each: Option<ForEachForm>,
}

impl Policies {
    pub(in crate::planner) fn of(step: &PlanStep) -> Self {
        let plain = |max| RetryPolicy { max, ..RetryPolicy::default() };
        Self {
            retries: (step.retry != RetryPolicy::default()).then(|| {
                if step.retry == plain(step.retry.max) {
                    RetriesForm::Number(step.retry.max)
                } else {
                    RetriesForm::Policy(step.retry.clone())
                }
            }),
            timeout: step.timeout.map(TimeoutForm::of),
            commit: (step.commit != CommitPolicy::default()).then_some(step.commit),
            expect: (step.expect != Expect::default()).then_some(step.expect),
            on_failure: (step.on_failure != OnFailure::default()).then(|| OnFailureForm::of(&step.on_failure)),
            when: step.when.clone().map(WhenForm::Expression),
            for_each: step.for_each.as_ref().map(|each| ForEachForm {
                items: each.items.clone(),
                name: (each.name != "item").then(|| each.name.clone()),
            }),
        }
    }
}

/// A name, or a list of names.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum RetriesForm {
    Number(#[schemars(range(max = 1000))] u32),
    Policy(RetryPolicy),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum TimeoutForm {
    Whole(#[schemars(range(min = 1, max = 604_800))] u64),
    Seconds(#[schemars(range(max = 604_800))] f64),
    #[expect(dead_code, reason = "for the schema; a plan is written in seconds")]
    Text(#[schemars(regex(pattern = r"^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d)\s*)+$"))] String),
}

impl TimeoutForm {
    fn of(time: Duration) -> Self {
        if time.subsec_nanos() == 0 { Self::Whole(time.as_secs()) } else { Self::Seconds(time.as_secs_f64()) }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnFailureForm {
    /// The run stops.
    Stop,
    /// Steps that do not depend on it go on.
    Continue,
    /// As `stop`, and what the step wrote is dropped.
    Rollback,
    /// The planner may put another step in its place.
    Replan,
    /// These steps run instead, in order.
    Fallback(Vec<String>),
}

impl OnFailureForm {
    fn of(policy: &OnFailure) -> Self {
        match policy {
            OnFailure::Stop => Self::Stop,
            OnFailure::Continue => Self::Continue,
            OnFailure::Rollback => Self::Rollback,
            OnFailure::Replan => Self::Replan,
            OnFailure::Fallback(steps) => Self::Fallback(steps.iter().map(|id| id.0.clone()).collect()),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum WhenForm {
    #[expect(dead_code, reason = "for the schema; a plan is written with an expression")]
    Always(bool),
    Expression(String),
}

/// Repeats a step over a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ForEachForm {
    /// A list, or a reference to one: `${{ steps.step_1.metadata.files }}`.
    items: Value,
    /// The name the item has in this step's references. Default `item`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl StepForm {
    pub(super) fn of(step: &PlanStep) -> Self {
        let depends_on: Vec<String> = step.depends_on.iter().map(|id| id.0.clone()).collect();
        Self {
            id: Some(step.id.0.clone()),
            tool: step.tool.clone(),
            params: step.params.clone(),
            description: step.description.clone(),
            depends_on: match depends_on.as_slice() {
                [] => None,
                [one] => Some(OneOrMany::One(one.clone())),
                _ => Some(OneOrMany::Many(depends_on)),
            },
            policies: Policies::of(step),
            status: None,
            result: None,
            error: None,
        }
    }
}

/// The JSON Schema (2020-12) of plan files, as published in `docs/reference/plan.schema.json`.
pub fn schema() -> Value {
    schemars::schema_for!(PlanForm).to_value()
}
