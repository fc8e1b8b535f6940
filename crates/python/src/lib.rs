//! `agentic_executor._native`: the executor for Python programs.
#![forbid(unsafe_code)]

use pyo3::prelude::*;

/// The engine of the package `agentic_executor`. Private: its classes and functions may change with any version.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}
