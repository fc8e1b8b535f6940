//! Planning: tasks to plans, failed steps to what follows, plan files, and the forms a plan is shown in.

use std::path::PathBuf;

use agentic_executor::TaskPlanner;
use agentic_executor::planner::{FACTS, Format, NoProject, PlanFile, render};
use agentic_executor::workspace::Dir;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use serde_json::{Map, Value};

use crate::convert::{dict, to_map, to_python};
use crate::{errors, forms};

/// The plan for a task, as a dict.
#[pyfunction]
pub(crate) fn plan<'py>(
    py: Python<'py>,
    task: &Bound<'py, PyString>,
    context: &Bound<'py, PyAny>,
    available_tools: Vec<String>,
    workspace: PathBuf,
) -> PyResult<Bound<'py, PyDict>> {
    let task = text(task, "task")?;
    let context = to_map(context, "context")?;
    let plan = py.detach(|| {
        let planner = TaskPlanner::new(available_tools);
        let context = &context;
        match Dir::open_root(&workspace) {
            Ok(project) => planner.plan(&task, context, &project.read_only()),
            // A plan may need no project; a workspace that cannot be had is refused when the plan runs.
            Err(_) => planner.plan(&task, context, &NoProject),
        }
    });
    forms::plan_dict(py, &plan.map_err(|error| errors::planning(py, format!("{error}{}", strangers(&context))))?)
}

/// What of a context no rule looks at, for a task that got no plan: one of them may be misspelt.
fn strangers(context: &Map<String, Value>) -> String {
    let unknown = context.keys().filter(|key| !FACTS.contains(&key.as_str())).map(|key| format!("`{key}`"));
    let unknown: Vec<String> = unknown.collect();
    if unknown.is_empty() {
        return String::new();
    }
    format!(
        "; {} in the context means nothing to the planner, which knows {}",
        unknown.join(", "),
        FACTS.map(|fact| format!("`{fact}`")).join(", ")
    )
}

/// What to run instead of a failed step, as a dict; `None` when nothing can help.
#[pyfunction]
pub(crate) fn replan<'py>(
    py: Python<'py>,
    available_tools: Vec<String>,
    plan: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
    error: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let (plan, step, error) = (forms::plan(plan)?, forms::step(step)?, text(error, "error")?);
    let next = TaskPlanner::new(available_tools).replan_on_failure(&plan, &step, &error);
    next.map(|step| forms::step_dict(py, &step)).transpose()
}

/// A plan file: `plan`, `context`, `workspace`, `mode`.
#[pyfunction]
pub(crate) fn parse_plan<'py>(
    py: Python<'py>,
    content: &Bound<'py, PyString>,
    source: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let content = text(content, "text")?;
    let file = PlanFile::parse(&content, source).map_err(|error| errors::plan_file(py, &error))?;
    let answer = PyDict::new(py);
    answer.set_item("workspace", file.workspace.as_ref().map(|path| path.to_string_lossy().into_owned()))?;
    let mode = file.mode.and_then(|mode| serde_json::to_value(mode).ok());
    answer.set_item("mode", mode.map(|mode| to_python(py, &mode)).transpose()?)?;
    answer.set_item("context", dict(py, &file.context)?)?;
    answer.set_item("plan", forms::plan_dict(py, &file.plan)?)?;
    Ok(answer)
}

/// A plan as `text`, `json`, `yaml`, `mermaid` or `dot`.
#[pyfunction]
pub(crate) fn render_plan(plan: &Bound<'_, PyAny>, format: &str) -> PyResult<String> {
    let format = match format {
        "text" => Format::Text,
        "json" => Format::Json,
        "yaml" => Format::Yaml,
        "mermaid" => Format::Mermaid,
        "dot" => Format::Dot,
        other => {
            let message = format!("format must be text, json, yaml, mermaid or dot, not {other:?}");
            return Err(errors::wrong_value(plan.py(), message));
        }
    };
    Ok(render(&forms::plan(plan)?, format))
}

/// A step as JSON has it: the documented keys, then the policies that differ from their defaults.
#[pyfunction]
pub(crate) fn step_to_dict<'py>(py: Python<'py>, step: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    to_python(py, &forms::step(step)?.to_dict())
}

/// The text of an argument.
fn text(given: &Bound<'_, PyString>, name: &str) -> PyResult<String> {
    let text = given.to_cow().map(std::borrow::Cow::into_owned);
    text.map_err(|error| {
        let why = error.value(given.py()).to_string();
        errors::wrong_value(given.py(), format!("{name}: the text is not valid Unicode: {why}"))
    })
}
