//! `agentic_executor._native`: the executor for Python programs.
//!
//! The state that Python programs see lives in ordinary Python objects; what crosses the border is plain data
//! (`convert.rs`). Every call builds an executor for itself over what the process shares (`process.rs`), runs it
//! on a thread of its own with the interpreter released, and leaves the calling thread free to answer signals and
//! to run what is Python's (`desk.rs`): tools (`tools.rs`), callbacks and prompts (`executor.rs`).
//!
//! Not a public interface: the package `agentic_executor` is.
#![forbid(unsafe_code)]

use pyo3::prelude::*;

mod convert;
mod desk;
mod errors;
mod executor;
mod forms;
mod planner;
mod process;
mod resume;
mod settings;
mod testing;
mod tools;
mod undo;

/// The engine of the package `agentic_executor`. Private: its classes and functions may change with any version.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<executor::Cancel>()?;
    module.add_class::<tools::Tools>()?;
    module.add_function(wrap_pyfunction!(executor::run, module)?)?;
    module.add_function(wrap_pyfunction!(executor::call, module)?)?;
    module.add_function(wrap_pyfunction!(undo::roll_back, module)?)?;
    module.add_function(wrap_pyfunction!(undo::diff, module)?)?;
    module.add_function(wrap_pyfunction!(executor::doctor, module)?)?;
    module.add_function(wrap_pyfunction!(settings::check_sandbox, module)?)?;
    module.add_function(wrap_pyfunction!(executor::result_summary, module)?)?;
    module.add_function(wrap_pyfunction!(testing::test_history, module)?)?;
    module.add_function(wrap_pyfunction!(testing::report_to_junit, module)?)?;
    module.add_function(wrap_pyfunction!(planner::plan, module)?)?;
    module.add_function(wrap_pyfunction!(planner::replan, module)?)?;
    module.add_function(wrap_pyfunction!(planner::parse_plan, module)?)?;
    module.add_function(wrap_pyfunction!(planner::render_plan, module)?)?;
    module.add_function(wrap_pyfunction!(planner::step_to_dict, module)?)?;
    process::forget_after_fork(py)?;
    process::end_with_interpreter(py)
}
