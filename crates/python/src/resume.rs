//! Going on with a run that was cut off, or that ended before its plan did.

use agentic_executor::Cancel as Request;
use agentic_executor::executor::{ExecutorError, Resume, ResumeError, workspace_of};
use agentic_executor::journal::JournalError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::desk::serve;
use crate::executor::{Cancel, Listeners, build, roots};
use crate::settings::Settings;
use crate::tools::Tools;
use crate::{errors, forms, undo};

enum Failed {
    NotFound(undo::Failed),
    NotBuilt(ExecutorError),
    Resume(ResumeError),
}

impl Failed {
    fn raise(&self, py: Python<'_>) -> PyErr {
        let error = match self {
            Self::NotBuilt(error) => return errors::not_built(py, error),
            Self::NotFound(failed) => return failed.raise(py, "retry"),
            Self::Resume(ResumeError::Journal(error)) => return errors::state(py, error.to_string()),
            Self::Resume(error) => error,
        };
        let message = error.to_string();
        match error {
            ResumeError::Changed { changed, .. } => {
                let hint = "nothing was done. Put it back as it was, or `force=True` goes on with what is there now";
                errors::resume(py, format!("{message}; {hint}"), changed)
            }
            ResumeError::Unknown { step, .. } => {
                let hint = format!("look whether it happened; `retry=[\"{step}\"]` calls it again");
                errors::resume(py, format!("{message}; {hint}"), &[])
            }
            _ => errors::resume(py, message, &[]),
        }
    }
}

/// Goes on with the run that `request` names, in the run's own workspace, and answers with the result's dict.
pub(crate) fn resume<'py>(
    py: Python<'py>,
    settings: &Bound<'py, PyDict>,
    tools: &Bound<'py, Tools>,
    request: &Bound<'py, PyDict>,
    cancel: Option<&Bound<'py, Cancel>>,
    listeners: Listeners,
) -> PyResult<Bound<'py, PyDict>> {
    let registry = tools.get().registry();
    let mut settings = Settings::read(settings, &roots(&registry))?;
    let member = |key: &str| request.get_item(key)?.ok_or_else(|| errors::wrong_value(py, format!("{key} is missing")));
    let run: String = member("run")?.extract()?;
    let retry: Vec<String> = member("retry")?.extract()?;
    let retry = retry.iter().map(|step| step.as_str().into()).collect();
    let how = Resume { force: member("force")?.extract()?, retry };
    let cancel = cancel.map_or_else(Request::new, |cancel| cancel.get().request());
    let done = serve(py, &cancel.clone(), |desk| {
        let (_, events) = undo::find(&settings, &run).map_err(Failed::NotFound)?;
        let missing = || Failed::NotFound(JournalError::NoSuchRun(run.clone()).into());
        let of = events.first().ok_or_else(missing)?.run.clone();
        // Its own folder, wherever the caller is.
        if let Some(workspace) = workspace_of(&events) {
            settings.config.workspace = workspace.to_owned();
        }
        let executor = build(settings, registry, cancel, listeners, desk).map_err(Failed::NotBuilt)?;
        executor.resume(&of, &how).map_err(Failed::Resume)
    })?;
    let result = done.map_err(|failed| failed.raise(py))?;
    forms::run_dict(py, &result)
}
