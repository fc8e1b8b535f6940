//! Plans, steps and results in the plain form that crosses to Python and back.

use std::collections::BTreeMap;
use std::time::Duration;

use agentic_executor::planner::{CommitPolicy, Expect, ForEach, OnFailure, RetryPolicy};
use agentic_executor::sandbox::{Enforced, Enforcement, Usage};
use agentic_executor::{
    Cause, ExecutionPlan, ExecutionResult, ExecutionStep, PlanStep, StepId, StepStatus, ToolResult, ToolStatus,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::convert::{dict, to_map, to_python, to_value, to_value_or_text};
use crate::errors;
use crate::tools::Returned;

/// A plan's step; as [`PlanStep`], but for the time in seconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepForm {
    id: StepId,
    tool: String,
    params: Map<String, Value>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    depends_on: Vec<StepId>,
    #[serde(default)]
    status: StepStatus,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    retry_count: u32,
    #[serde(default)]
    retry: RetryPolicy,
    #[serde(default)]
    commit: CommitPolicy,
    #[serde(default)]
    expect: Expect,
    #[serde(default)]
    timeout: Option<f64>,
    #[serde(default)]
    on_failure: OnFailure,
    #[serde(default)]
    when: Option<String>,
    #[serde(default)]
    for_each: Option<ForEach>,
}

/// Reads a plan's dict.
pub(crate) fn plan(given: &Bound<'_, PyAny>) -> PyResult<ExecutionPlan> {
    let py = given.py();
    let given = given.cast::<PyDict>()?;
    let missing = |key: &str| errors::wrong_value(py, format!("plan.{key} is missing"));
    let task = given.get_item("task")?.ok_or_else(|| missing("task"))?;
    let Value::String(task) = to_value(&task, "task")? else {
        return Err(errors::wrong_type(py, "task must be a str".into()));
    };
    let mut plan = ExecutionPlan::new(task);
    if let Some(metadata) = given.get_item("metadata")? {
        plan.metadata = to_map(&metadata, "metadata")?;
    }
    for item in given.get_item("steps")?.ok_or_else(|| missing("steps"))?.try_iter()? {
        plan.steps.push(step(&item?)?);
    }
    Ok(plan)
}

/// Reads a step's dict.
pub(crate) fn step(given: &Bound<'_, PyAny>) -> PyResult<PlanStep> {
    let py = given.py();
    let given = given.cast::<PyDict>()?;
    let id = given.get_item("id")?.map_or_else(|| "step".to_owned(), |id| id.to_string());
    let mut form = Map::new();
    for (key, value) in given {
        let key: String = key.extract()?;
        // A result may hold what only Python has.
        if key != "result" {
            form.insert(key.clone(), to_value(&value, &format!("{id}.{key}"))?);
        }
    }
    let form: StepForm = serde_json::from_value(Value::Object(form))
        .map_err(|error| errors::wrong_value(py, format!("step `{id}`: {error}")))?;
    let mut step = PlanStep::new(form.id.0, form.tool, form.params, form.description);
    let timeout = form.timeout.map(Duration::try_from_secs_f64).transpose();
    step.timeout = timeout.map_err(|_| errors::wrong_value(py, format!("step `{id}`: timeout must be seconds")))?;
    step.depends_on = form.depends_on;
    step.status = form.status;
    step.error = form.error;
    step.retry_count = form.retry_count;
    step.retry = form.retry;
    step.commit = form.commit;
    step.expect = form.expect;
    step.on_failure = form.on_failure;
    step.when = form.when;
    step.for_each = form.for_each;
    if let Some(result) = given.get_item("result")?.filter(|result| !result.is_none()) {
        step.result = tool_result(&result);
    }
    Ok(step)
}

/// The result of a failed step, as far as the planner needs it; `None` for what is none.
fn tool_result(given: &Bound<'_, PyAny>) -> Option<ToolResult> {
    let Value::Object(form) = to_value_or_text(given) else { return None };
    let mut result: ToolResult = serde_json::from_value(Value::Object(form)).ok()?;
    result.cause = cause(&result.metadata);
    Some(result)
}

/// The cause that a result's metadata names.
pub(crate) fn cause(metadata: &Map<String, Value>) -> Option<Cause> {
    serde_json::from_value(metadata.get("cause")?.clone()).ok()
}

/// The dict of a plan.
pub(crate) fn plan_dict<'py>(py: Python<'py>, plan: &ExecutionPlan) -> PyResult<Bound<'py, PyDict>> {
    let answer = PyDict::new(py);
    answer.set_item("task", &plan.task)?;
    answer.set_item("metadata", dict(py, &plan.metadata)?)?;
    let steps = plan.steps.iter().map(|step| step_dict(py, step)).collect::<PyResult<Vec<_>>>()?;
    answer.set_item("steps", steps)?;
    Ok(answer)
}

/// The dict of a plan's step.
pub(crate) fn step_dict<'py>(py: Python<'py>, step: &PlanStep) -> PyResult<Bound<'py, PyDict>> {
    let form = StepForm {
        id: step.id.clone(),
        tool: step.tool.clone(),
        params: step.params.clone(),
        description: step.description.clone(),
        depends_on: step.depends_on.clone(),
        status: step.status,
        error: step.error.clone(),
        retry_count: step.retry_count,
        retry: step.retry.clone(),
        commit: step.commit,
        expect: step.expect,
        timeout: step.timeout.map(|time| time.as_secs_f64()),
        on_failure: step.on_failure.clone(),
        when: step.when.clone(),
        for_each: step.for_each.clone(),
    };
    let Ok(Value::Object(form)) = serde_json::to_value(form) else {
        return Err(errors::fault(py, &"a step has no form"));
    };
    let answer = dict(py, &form)?;
    let result = step.result.as_ref().map(|result| result_dict(py, result)).transpose()?;
    answer.set_item("result", result)?;
    Ok(answer)
}

/// The dict of a tool's result, or of the very object that a Python tool returned.
pub(crate) fn result_dict<'py>(py: Python<'py>, result: &ToolResult) -> PyResult<Bound<'py, PyDict>> {
    let answer = PyDict::new(py);
    if let Some(object) = Returned::of(result) {
        answer.set_item("object", object)?;
        return Ok(answer);
    }
    answer.set_item("status", status_word(result.status))?;
    answer.set_item("output", to_python(py, &result.output)?)?;
    answer.set_item("error", &result.error)?;
    answer.set_item("metadata", dict(py, &result.metadata)?)?;
    answer.set_item("cause", result.cause.map(Cause::as_str))?;
    answer.set_item("usage", result.usage.as_ref().map(|usage| usage_dict(py, usage)).transpose()?)?;
    answer.set_item("enforced", result.enforced.as_ref().map(|enforced| enforced_dict(py, enforced)).transpose()?)?;
    Ok(answer)
}

fn status_word(status: ToolStatus) -> &'static str {
    match status {
        ToolStatus::Success => "success",
        ToolStatus::Error => "error",
        ToolStatus::Timeout => "timeout",
        ToolStatus::PermissionDenied => "permission_denied",
    }
}

fn usage_dict<'py>(py: Python<'py>, usage: &Usage) -> PyResult<Bound<'py, PyDict>> {
    let answer = PyDict::new(py);
    answer.set_item("wall", usage.wall.as_secs_f64())?;
    answer.set_item("user", usage.user.as_secs_f64())?;
    answer.set_item("system", usage.system.as_secs_f64())?;
    answer.set_item("peak_memory", usage.peak_memory)?;
    answer.set_item("exact", usage.exact)?;
    Ok(answer)
}

/// Control by control: `state`, and `reason` where it is not active.
pub(crate) fn enforced_dict<'py>(py: Python<'py>, enforced: &Enforced) -> PyResult<Bound<'py, PyDict>> {
    let named: BTreeMap<String, &Enforcement> = enforced
        .iter()
        .filter_map(|(control, state)| Some((serde_json::to_value(control).ok()?.as_str()?.to_owned(), state)))
        .collect();
    let answer = PyDict::new(py);
    for (control, state) in named {
        let (state, reason) = match state {
            Enforcement::Active => ("active", None),
            Enforcement::Degraded(reason) => ("degraded", Some(reason)),
            Enforcement::Off(reason) => ("off", Some(reason)),
        };
        let entry = PyDict::new(py);
        entry.set_item("state", state)?;
        entry.set_item("reason", reason)?;
        answer.set_item(control, entry)?;
    }
    Ok(answer)
}

/// The dict of an executed step.
pub(crate) fn executed_dict<'py>(py: Python<'py>, step: &ExecutionStep) -> PyResult<Bound<'py, PyDict>> {
    let answer = PyDict::new(py);
    answer.set_item("step_id", step.step_id.as_str())?;
    answer.set_item("tool", &step.tool)?;
    answer.set_item("params", dict(py, &step.params)?)?;
    answer.set_item("result", step.result.as_ref().map(|result| result_dict(py, result)).transpose()?)?;
    answer.set_item("start_time", step.start_time)?;
    answer.set_item("end_time", step.end_time)?;
    answer.set_item("retries", step.retries)?;
    Ok(answer)
}

/// The dict of a run's result.
pub(crate) fn run_dict<'py>(py: Python<'py>, result: &ExecutionResult) -> PyResult<Bound<'py, PyDict>> {
    let answer = PyDict::new(py);
    let steps = PyList::empty(py);
    for step in &result.steps {
        steps.append(executed_dict(py, step)?)?;
    }
    answer.set_item("task", &result.task)?;
    answer.set_item("success", result.success)?;
    answer.set_item("steps", steps)?;
    answer.set_item("total_time", result.total_time)?;
    answer.set_item("error", &result.error)?;
    answer.set_item("metadata", dict(py, &result.metadata)?)?;
    answer.set_item("run_id", result.run_id.as_str())?;
    answer.set_item("stop_reason", result.stop_reason.as_str())?;
    Ok(answer)
}

/// The lines for people of a run's result, from its dict.
pub(crate) fn summary(given: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = given.py();
    let form = to_value_or_text(given);
    let result: ExecutionResult =
        serde_json::from_value(form).map_err(|error| errors::wrong_value(py, format!("result: {error}")))?;
    Ok(result.summary())
}
