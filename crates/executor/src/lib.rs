//! Plans tasks, runs their steps as sandboxed transactions, recovers from failures, records everything.
//!
//! ```text
//!  task ─► planner ─► ExecutionPlan ─► executor::call ─► tool ─► sandbox (kernel) over workspace (layers)
//!                                            └─► Event ─► journal (SQLite) · subscribers
//! ```
//!
//! Every tool call, from any front end, goes through one function, `Door::call` in `executor/call.rs`: it
//! validates the arguments, asks for approval, opens a private layer, records the intent, runs the tool,
//! commits or drops the layer, and records the outcome. [`AgenticExecutor`] is what a front end holds; a
//! whole program around it is `examples/library.rs`.
//!
//! Modules use only what stands below them, from above: [`executor`], [`journal`], [`planner`], [`tools`],
//! [`runtime`], [`workspace`], and the sandbox, which is a crate of its own ([`sandbox`]).
#![forbid(unsafe_code)]

pub mod cancel;
pub mod cause;
pub mod config;
pub mod executor;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod id;
pub mod journal;
pub mod planner;
mod project;
pub mod runtime;
pub mod testing;
pub mod tools;
mod wait;
pub mod workspace;

pub use agentic_sandbox as sandbox;
pub use cancel::Cancel;
pub use cause::Cause;
pub use config::Config;
pub use executor::{AgenticExecutor, ExecutionMode, ExecutionResult, ExecutionStep, StopReason};
pub use id::{CallId, RunId, StepId};
pub use journal::{Event, EventBody, Journal};
pub use planner::{ExecutionPlan, PlanStep, StepStatus, TaskPlanner};
pub use testing::TestReport;
pub use tools::{Tool, ToolCall, ToolContext, ToolRegistry, ToolResult, ToolStatus};
pub use workspace::{Attempt, ChangeSet, Workspaces};
