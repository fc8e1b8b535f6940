//! Plans tasks, runs their steps as sandboxed transactions, recovers from failures, records everything.
//!
//! ```text
//!  task ─► planner ─► ExecutionPlan ─► executor::call ─► tool ─► sandbox (kernel) over workspace (layers)
//!                                            └─► Event ─► journal (SQLite) · subscribers
//! ```
//!
//! Every tool call, from any front end, goes through one function, [`executor::call`]: it validates the
//! arguments, asks for approval, records the intent, runs the tool over a private layer, commits or drops
//! the layer, and records the outcome. Modules use only what stands below them: `executor` uses `planner`,
//! `journal`, `tools`, `workspace`; `tools` use `workspace` and the sandbox; `workspace` uses the sandbox.
#![forbid(unsafe_code)]

pub mod cancel;
pub mod cause;
pub mod config;
pub mod executor;
pub mod id;
pub mod journal;
pub mod planner;
pub mod runtime;
pub mod tools;
pub mod workspace;

pub use agentic_sandbox as sandbox;
pub use cancel::Cancel;
pub use cause::Cause;
pub use config::Config;
pub use executor::{AgenticExecutor, ExecutionMode, ExecutionResult, ExecutionStep, StopReason};
pub use id::{CallId, RunId, StepId};
pub use journal::{Event, EventBody, Journal};
pub use planner::{ExecutionPlan, PlanStep, StepStatus, TaskPlanner};
pub use tools::{Tool, ToolCall, ToolContext, ToolRegistry, ToolResult, ToolStatus};
pub use workspace::{Attempt, ChangeSet, Workspaces};
