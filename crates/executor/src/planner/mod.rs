//! From a task to a DAG of steps, without a model; and what is done about a step that failed.
//!
//! ```text
//!  task ─► words ─► split ─► rules (project, context) ─┐
//!                                                      ├─► ExecutionPlan ─► validate ─► render, executor
//!  plan.yaml ─► file ──────────────────────────────────┘
//! ```
//!
//! [`TaskPlanner`] only looks: it runs nothing, and the text of a task never becomes a command. What it assumed
//! stands in the plan's `metadata["assumptions"]`. Steps refer to each other's results by [`references`]; what
//! follows a failure is a table, [`recovery`].

mod error;
mod file;
mod plan;
pub mod recovery;
pub mod references;
mod render;
mod rules;
mod split;
mod validate;
mod words;

pub use crate::project::{MemoryProject, NoProject, ProjectEntry, ProjectView};
pub use error::{PlanError, PlanProblem};
pub use file::{FileProblem, PlanFile, PlanFileError, schema};
pub use plan::{
    CommitPolicy, ExecutionPlan, Expect, ForEach, MOST_PLAN_BYTES, OnFailure, PlanStep, RetryPolicy, StepStatus,
};
pub use references::ReferenceError;
pub use render::{Format, render};
pub use rules::{FACTS, TaskPlanner, understood};
