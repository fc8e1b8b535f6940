//! What the references of a step (`params`, `when`, `for_each`) can see while the plan runs.

use serde_json::{Map, Value};

use crate::planner::references::{self, Scope};
use crate::planner::{ExecutionPlan, ForEach, ReferenceError};

/// What the references of a step can see.
pub(super) struct Sight<'a> {
    pub(super) plan: &'a ExecutionPlan,
    pub(super) context: &'a Map<String, Value>,
    pub(super) item: Option<(&'a str, &'a Value)>,
}

impl Sight<'_> {
    fn scope(&self) -> Scope<'_> {
        Scope { task: &self.plan.task, steps: self.plan, context: self.context, item: self.item }
    }
    /// The arguments with their references replaced.
    pub(super) fn resolve(&self, params: &Map<String, Value>) -> Result<Map<String, Value>, ReferenceError> {
        references::resolve(params, &self.scope())
    }
    /// The list of a `for_each`.
    pub(super) fn items(&self, each: &ForEach) -> Result<Vec<Value>, ReferenceError> {
        references::items(each, &self.scope())
    }
    /// Whether a `when` holds.
    pub(super) fn holds(&self, when: &str) -> Result<bool, ReferenceError> {
        references::eval_condition(when, &self.scope())
    }
}
