//! Undo: what a run did as a diff, and taking it back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentic_executor::executor::{ExecutorError, RollBackError, RunRolledBack, run_differences, workspace_of};
use agentic_executor::journal::JournalError;
use agentic_executor::workspace::{LeftOut, RollBack, Stat, WorkspaceError, plain_path, unified};
use agentic_executor::{Cancel as Request, Event};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde_json::Value;

use crate::desk::serve;
use crate::errors;
use crate::executor::{Cancel, Listeners, build, roots};
use crate::process::{Process, State};
use crate::settings::Settings;
use crate::tools::Tools;

/// What keeps a run from being found, shown or rolled back.
pub(crate) enum Failed {
    NotBuilt(ExecutorError),
    RollBack(RollBackError),
}

impl From<ExecutorError> for Failed {
    fn from(error: ExecutorError) -> Self {
        Self::NotBuilt(error)
    }
}

impl From<RollBackError> for Failed {
    fn from(error: RollBackError) -> Self {
        Self::RollBack(error)
    }
}

impl From<JournalError> for Failed {
    fn from(error: JournalError) -> Self {
        Self::RollBack(error.into())
    }
}

impl Failed {
    /// The exception; `step` is what the caller calls the argument that names a step.
    pub(crate) fn raise(&self, py: Python<'_>, step: &str) -> PyErr {
        let error = match self {
            Self::NotBuilt(error) => return errors::not_built(py, error),
            Self::RollBack(error) => error,
        };
        let message = error.to_string();
        match error {
            RollBackError::Journal(JournalError::NoSuchRun(_) | JournalError::Ambiguous { .. }) => {
                errors::wrong_value(py, format!("run: {message}"))
            }
            RollBackError::Journal(_) => errors::state(py, message),
            RollBackError::NoSuchStep { .. } => errors::wrong_value(py, format!("{step}: {message}")),
            RollBackError::Workspace(WorkspaceError::NotTouched(_)) => {
                errors::wrong_value(py, format!("paths: {message}"))
            }
            RollBackError::Workspace(WorkspaceError::ChangedSince(conflicts)) => {
                let hint = "nothing was done. `dry_run=True` shows all of it, `paths` leaves the others alone, and \
                            `force=True` overwrites what was changed, which is kept first";
                errors::rollback(py, format!("{message}; {hint}"), conflicts)
            }
            _ => errors::rollback(py, message, &[]),
        }
    }
}

/// The run that begins or ends like this, with its events and what belongs to its state folder.
pub(crate) fn find(settings: &Settings, run: &str) -> Result<(State, Vec<Event>), Failed> {
    let folder = &settings.config.state;
    let state = Process::current().state(folder)?;
    let journal = state.journal(folder)?;
    let events = journal.find(run).and_then(|run| journal.events(&run))?;
    Ok((state, events))
}

/// What a run or one of its steps changed, as a unified diff or as a table of how much.
#[pyfunction]
#[pyo3(signature = (settings, run, step=None, stat=false, cancel=None))]
pub(crate) fn diff<'py>(
    py: Python<'py>,
    settings: &Bound<'py, PyDict>,
    run: &str,
    step: Option<&str>,
    stat: bool,
    cancel: Option<&Bound<'py, Cancel>>,
) -> PyResult<String> {
    let settings = Settings::read(settings, &[])?;
    let cancel = cancel.map_or_else(Request::new, |cancel| cancel.get().request());
    let text = serve(py, &cancel, |_| -> Result<String, Failed> {
        let (state, events) = find(&settings, run)?;
        let base = workspace_of(&events).unwrap_or(Path::new(""));
        let all = run_differences(state.workspaces.records(), &events, step)?;
        Ok(if stat { Stat::of(&all, base).to_string() } else { unified(&all, base) })
    })?;
    text.map_err(|failed| failed.raise(py, "step"))
}

/// Takes back what a run did, and answers with what is different.
#[pyfunction]
#[pyo3(signature = (settings, tools, request, cancel=None, on_step=None, on_event=None, prompt=None))]
#[expect(clippy::too_many_arguments, reason = "the arguments of a Python function, given by name")]
pub(crate) fn roll_back<'py>(
    py: Python<'py>,
    settings: &Bound<'py, PyDict>,
    tools: &Bound<'py, Tools>,
    request: &Bound<'py, PyDict>,
    cancel: Option<&Bound<'py, Cancel>>,
    on_step: Option<Py<PyAny>>,
    on_event: Option<Py<PyAny>>,
    prompt: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let registry = tools.get().registry();
    let mut settings = Settings::read(settings, &roots(&registry))?;
    let member = |key: &str| request.get_item(key)?.ok_or_else(|| errors::wrong_value(py, format!("{key} is missing")));
    let run: String = member("run")?.extract()?;
    let to: Option<String> = member("to")?.extract()?;
    let paths: Vec<PathBuf> = member("paths")?.extract()?;
    let here = settings.config.workspace.clone();
    let how = RollBack {
        only: paths.iter().map(|path| plain_path(&here.join(path))).collect(),
        dry_run: member("dry_run")?.extract()?,
        force: member("force")?.extract()?,
        ..RollBack::default()
    };
    let cancel = cancel.map_or_else(Request::new, |cancel| cancel.get().request());
    let listeners = Listeners::new(on_step.map(Arc::new), on_event.map(Arc::new), prompt.map(Arc::new));
    let done = serve(py, &cancel.clone(), |desk| -> Result<_, Failed> {
        let (_, events) = find(&settings, &run)?;
        let first = events.first().ok_or_else(|| JournalError::NoSuchRun(run.clone()))?.run.clone();
        // Its own folder, wherever the caller is.
        if let Some(workspace) = workspace_of(&events) {
            settings.config.workspace = workspace.to_owned();
        }
        let executor = build(settings, registry, cancel, listeners, desk)?;
        Ok((executor.roll_back(&first, to.as_deref(), &how)?, first))
    })?;
    let (done, of) = done.map_err(|failed| failed.raise(py, "to"))?;
    let answer = rolled_back_dict(py, &done)?;
    answer.set_item("run", of.as_str())?;
    answer.set_item("dry_run", how.dry_run)?;
    Ok(answer)
}

fn rolled_back_dict<'py>(py: Python<'py>, of: &RunRolledBack) -> PyResult<Bound<'py, PyDict>> {
    let changes = PyList::empty(py);
    for change in &of.done.changes.changes {
        let Ok(Value::String(kind)) = serde_json::to_value(change.kind) else { continue };
        changes.append((change.path.as_os_str(), kind, change.size))?;
    }
    let list = |all: &[LeftOut]| -> PyResult<Bound<'py, PyList>> {
        let told = all.iter().map(|one| (one.path.as_os_str(), &one.reason));
        PyList::new(py, told.collect::<Vec<_>>())
    };
    let answer = PyDict::new(py);
    answer.set_item("rollback", of.run.as_ref().map(|run| run.as_str()))?;
    answer.set_item("changes", changes)?;
    answer.set_item("kept", list(&of.done.kept)?)?;
    answer.set_item("changed_since", list(&of.done.changed_since)?)?;
    Ok(answer)
}
