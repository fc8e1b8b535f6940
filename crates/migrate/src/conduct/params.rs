//! What the phases are asked for, and the plan that asks for them in turn.

use agentic_executor::planner::references::escape;
use agentic_executor::planner::{CommitPolicy, OnFailure, RetryPolicy};
use agentic_executor::{ExecutionPlan, PlanStep};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::NAME;
use crate::RuleSet;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Find out what the rules would change, and keep nothing.
    Rewrite,
    /// Find out whether it verifies, or which of it does, and keep nothing.
    Verify,
    /// Apply what was found.
    Apply,
}

/// The arguments of `migrate`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrateParams {
    /// What is done.
    pub phase: Phase,
    /// The name of the rules file.
    #[serde(default)]
    pub rules: String,
    /// The commands that are run: those of the rules, or those that verify.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Seconds that each command may take. Default 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
    /// Look for the largest part that verifies when the whole does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bisect: bool,
    /// How often the tree is verified at most. Default 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub max_verifications: Option<u32>,
    /// Do not verify the tree before the change: it was verified already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verified_before: bool,
    /// Change this many files at most; the others stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub most_files: Option<usize>,
    /// The files that are applied, as the phases before found them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// How a migration is to be made, for [`MigrateTool::plan`].
#[derive(Debug, Clone, Default)]
pub struct MigrateOptions {
    /// The commands that verify, in order.
    pub verify: Vec<String>,
    /// Seconds that each command may take. Default 600.
    pub timeout: Option<f64>,
    /// Look for the largest part that verifies when the whole does not.
    pub bisect: bool,
    /// How often the tree is verified at most. Default 200.
    pub max_verifications: Option<u32>,
    /// The tree was verified already as it is.
    pub verified_before: bool,
    /// Change this many files at most.
    pub most_files: Option<usize>,
    /// Apply nothing.
    pub dry_run: bool,
}

/// The plan of a migration by these rules.
pub(super) fn plan(name: &str, rules: &RuleSet, options: &MigrateOptions) -> ExecutionPlan {
    let mut plan = ExecutionPlan::new(format!("Migrate by {}", name));
    let params = MigrateParams {
        phase: Phase::Rewrite,
        rules: name.to_owned(),
        command: rules.commands().map(|command| command.line.clone()).collect(),
        timeout: options.timeout,
        bisect: false,
        max_verifications: None,
        verified_before: false,
        most_files: options.most_files,
        files: Vec::new(),
    };
    add(&mut plan, &params, "Rewrite in a layer", CommitPolicy::Never);
    if !options.verify.is_empty() {
        let verify = MigrateParams {
            phase: Phase::Verify,
            command: options.verify.clone(),
            bisect: options.bisect,
            max_verifications: options.max_verifications,
            verified_before: options.verified_before,
            most_files: None,
            ..params.clone()
        };
        add(&mut plan, &verify, "Verify in a layer", CommitPolicy::Never);
    }
    if !options.dry_run {
        let apply =
            MigrateParams { phase: Phase::Apply, command: Vec::new(), timeout: None, most_files: None, ..params };
        add(&mut plan, &apply, "Apply", CommitPolicy::OnSuccess);
    }
    plan
}

fn add(plan: &mut ExecutionPlan, params: &MigrateParams, title: &str, commit: CommitPolicy) {
    let Ok(Value::Object(mut arguments)) = serde_json::to_value(params) else { return };
    if let Some(Value::Array(lines)) = arguments.get_mut("command") {
        lines.iter_mut().for_each(|line| *line = escape(line.as_str().unwrap_or_default()).into());
    }
    arguments.insert("rules".into(), escape(&params.rules).into());
    let last = plan.steps.last().map(|step| step.id.clone());
    if let (Phase::Apply, Some(last)) = (params.phase, &last) {
        arguments.insert("files".into(), format!("${{{{ steps.{}.metadata.files }}}}", last.as_str()).into());
    }
    let step: &mut PlanStep = plan.add_step(NAME, arguments, title, last.into_iter().collect());
    step.commit = commit;
    step.retry = RetryPolicy { max: 0, ..RetryPolicy::default() };
    step.on_failure = OnFailure::Stop;
}
