//! The package's exceptions, raised from here. They are Python classes (`agentic_executor/errors.py`), looked up
//! when one is raised, so that there is one definition of each.

use std::any::Any;

use agentic_executor::executor::ExecutorError;
use agentic_executor::planner::PlanFileError;
use agentic_executor::workspace::Conflict;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

fn raise(py: Python<'_>, class: &str, message: String) -> PyErr {
    let error = py.import("agentic_executor.errors").and_then(|module| module.getattr(class)?.call1((&message,)));
    error.map_or_else(|_| PyRuntimeError::new_err(message), PyErr::from_value)
}

/// An argument of the wrong type.
pub(crate) fn wrong_type(py: Python<'_>, message: String) -> PyErr {
    raise(py, "InvalidTypeError", message)
}
/// An argument that cannot be meant.
pub(crate) fn wrong_value(py: Python<'_>, message: String) -> PyErr {
    raise(py, "InvalidValueError", message)
}
/// A task that has no plan.
pub(crate) fn planning(py: Python<'_>, message: String) -> PyErr {
    raise(py, "PlanningError", message)
}
/// A state folder or journal that cannot be used.
pub(crate) fn state(py: Python<'_>, message: String) -> PyErr {
    raise(py, "StateError", message)
}
/// A host that cannot enforce a control.
pub(crate) fn unavailable(py: Python<'_>, message: String) -> PyErr {
    raise(py, "SandboxUnavailableError", message)
}
/// A call on another thread while the interpreter ends.
pub(crate) fn ending(py: Python<'_>) -> PyErr {
    raise(py, "AgenticError", "the interpreter is ending".into())
}
/// A fault of ours: nothing that a caller did.
pub(crate) fn fault(py: Python<'_>, panic: &(dyn Any + Send)) -> PyErr {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    raise(py, "AgenticError", format!("a fault of the engine: {}", said.unwrap_or("no message")))
}

/// What keeps an executor from being built.
pub(crate) fn not_built(py: Python<'_>, error: &ExecutorError) -> PyErr {
    let message = error.to_string();
    match error {
        ExecutorError::NoPrompt => wrong_value(py, format!("prompt: {message}")),
        ExecutorError::ZeroBudget(name) => wrong_value(py, format!("{name} must be at least 1")),
        ExecutorError::Sandbox(_) => unavailable(py, message),
        _ => state(py, message),
    }
}

/// A run that does not go on, with what is not as it was.
pub(crate) fn resume(py: Python<'_>, message: String, changed: &[String]) -> PyErr {
    let raised = raise(py, "ResumeError", message);
    // An exception without the list still has the text.
    let _kept = raised.value(py).setattr("changed", changed);
    raised
}

/// A run that was not rolled back, with what others changed since.
pub(crate) fn rollback(py: Python<'_>, message: String, changed_since: &[Conflict]) -> PyErr {
    let raised = raise(py, "RollbackError", message);
    let listed = || -> PyResult<Vec<Py<PyAny>>> {
        let class = py.import("agentic_executor.executor")?.getattr("LeftOut")?;
        let one = |one: &Conflict| Ok(class.call1((one.path.as_os_str(), &one.reason))?.unbind());
        changed_since.iter().map(one).collect()
    };
    // An exception without the list still has the text.
    let _kept = listed().and_then(|listed| raised.value(py).setattr("changed_since", listed));
    raised
}

/// A plan file with its problems: `problems` is a list of (line, column, message).
pub(crate) fn plan_file(py: Python<'_>, error: &PlanFileError) -> PyErr {
    let raised = raise(py, "PlanFileError", error.to_string());
    let problems = error.problems.iter().map(|problem| {
        let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        (problem.line, problem.column, format!("{}{hint}", problem.message))
    });
    let problems: Vec<_> = problems.collect();
    // An exception without the list still has the text.
    let _kept = raised.value(py).setattr("problems", problems);
    raised
}

/// Whether an exception is one that programs catch: not an interrupt or an exit.
pub(crate) fn is_ordinary(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<pyo3::exceptions::PyException>(py)
}

/// `Type: message` of an exception.
pub(crate) fn describe(py: Python<'_>, error: &PyErr) -> String {
    let name = error.get_type(py).name().map_or_else(|_| "exception".to_owned(), |name| name.to_string());
    let args = error.value(py).getattr("args").ok().and_then(|args| args.cast_into::<PyTuple>().ok());
    match args.filter(|args| !args.is_empty()) {
        Some(_) => format!("{name}: {}", error.value(py)),
        None => name,
    }
}
