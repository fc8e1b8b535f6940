//! What became of a project's tests: the journal's memory of them, and a report for other programs.

use agentic_executor::Cancel as Request;
use agentic_executor::executor::ExecutorError;
use agentic_executor::journal::JournalError;
use agentic_executor::testing::{TestHistory, TestReport, history};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{to_python, to_value};
use crate::desk::serve;
use crate::errors;
use crate::process::Process;
use crate::settings::Settings;

enum Failed {
    NotBuilt(ExecutorError),
    Journal(JournalError),
}

/// What the journal remembers of the tests of the workspace, as a list of dicts.
#[pyfunction]
pub(crate) fn test_history<'py>(
    py: Python<'py>,
    settings: &Bound<'py, PyDict>,
    runs: usize,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let settings = Settings::read(settings, &[])?;
    let tests = serve(py, &Request::new(), |_| -> Result<Vec<TestHistory>, Failed> {
        let folder = &settings.config.state;
        let journal = Process::current().state(folder).and_then(|state| state.journal(folder));
        history(&*journal.map_err(Failed::NotBuilt)?, &settings.config.workspace, runs).map_err(Failed::Journal)
    })?;
    let tests = tests.map_err(|failed| match failed {
        Failed::NotBuilt(error) => errors::not_built(py, &error),
        Failed::Journal(error) => errors::state(py, error.to_string()),
    })?;
    let told = tests.iter().map(|test| {
        let form = serde_json::to_value(test).map_err(|error| errors::state(py, error.to_string()))?;
        to_python(py, &form)
    });
    told.collect()
}

/// A report, from its dict, as JUnit XML.
#[pyfunction]
pub(crate) fn report_to_junit(report: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = report.py();
    let report: TestReport = serde_json::from_value(to_value(report, "report")?)
        .map_err(|error| errors::wrong_value(py, format!("report: {error}")))?;
    Ok(py.detach(|| report.to_junit()))
}
