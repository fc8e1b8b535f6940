//! What is run as a plan of one step: code, an edit, a patch, a project's tests.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::in_folder::InFolder;
use super::result::ExecutionResult;
use super::{AgenticExecutor, edit_file};
use crate::planner::references::escape;
use crate::planner::{CommitPolicy, ExecutionPlan, OnFailure, PlanStep, RetryPolicy};
use crate::runtime::Language;
use crate::tools::code::{MOST_CODE, check_code};
use crate::tools::run_tests::RunTestsParams;
use crate::tools::{ApplyPatchTool, RegistryError, RunCodeTool, RunTestsTool, Tool, ToolRegistry, ToolResult};

impl AgenticExecutor {
    /// Runs Python code as a plan of one step, which the result calls `sandbox`; registry and journal call the
    /// tool `run_code`. Code that fails is not run again; code of more than [`MOST_CODE`] bytes is refused like a task
    /// that is not understood.
    #[must_use = "a failure is told in the result"]
    pub fn execute_code(&self, code: &str, description: &str) -> ExecutionResult {
        self.execute_code_in(Language::Python, code, description)
    }

    /// The same in another language.
    #[must_use = "a failure is told in the result"]
    pub fn execute_code_in(&self, language: Language, code: &str, description: &str) -> ExecutionResult {
        // Anything else that is wrong with it is the step's failure, and recorded.
        if code.len() > MOST_CODE
            && let Err(error) = check_code(code)
        {
            return ExecutionResult::bad_input(description, error);
        }
        let mut params = Map::from_iter([("code".to_owned(), escape(code).into())]);
        if language != Language::Python {
            params.insert("language".to_owned(), language.as_str().into());
        }
        let mut step = PlanStep::new("step_1", "run_code", params, description);
        step.retry = RetryPolicy { max: 0, ..RetryPolicy::default() };
        let registry = match self.only("run_code", || Arc::new(RunCodeTool::new())) {
            Ok(registry) => registry,
            Err(error) => return ExecutionResult::bad_input(description, error.to_string()),
        };
        let mut result = self.run(&registry, one_step(description, step), Map::new());
        for step in &mut result.steps {
            if step.tool == "run_code" {
                step.tool = "sandbox".into();
            }
        }
        in_its_own_words(result)
    }

    /// Replaces every occurrence of `old` in a file and reports the count (`metadata["replacements"]` of the
    /// step), within the paths that `file_read` and `file_write` allow, in one layer.
    #[must_use = "a failure is told in the result"]
    pub fn edit_file(&self, path: &str, old: &str, new: &str) -> ExecutionResult {
        let task = format!("Edit {path}");
        // A registry of its own: cloning one shares it.
        let registry = ToolRegistry::new();
        if let Err(error) = registry.register(Arc::new(edit_file::EditFile::over(&self.registry))) {
            return ExecutionResult::bad_input(&task, error.to_string());
        }
        let params = [("path", path), ("old_content", old), ("new_content", new)];
        let params = params.map(|(name, text)| (name.to_owned(), escape(text).into()));
        let step = PlanStep::new("step_1", edit_file::NAME, Map::from_iter(params), task.as_str());
        in_its_own_words(self.run(&registry, one_step(&task, step), Map::new()))
    }

    /// Applies a patch (the `apply_patch` envelope or a unified diff) as a plan of one step: all of it or nothing. A hunk
    /// that fits nowhere, or at two places, is a failure that names it.
    #[must_use = "a failure is told in the result"]
    pub fn apply_patch(&self, patch: &str) -> ExecutionResult {
        let task = "Apply a patch";
        let registry = match self.only("apply_patch", || Arc::new(ApplyPatchTool::new())) {
            Ok(registry) => registry,
            Err(error) => return ExecutionResult::bad_input(task, error.to_string()),
        };
        let params = Map::from_iter([("patch".to_owned(), escape(patch).into())]);
        let step = PlanStep::new("step_1", "apply_patch", params, task);
        in_its_own_words(self.run(&registry, one_step(task, step), Map::new()))
    }

    /// Runs a test command (default `pytest`) as a plan of one step; what it writes is kept when tests fail, too. The
    /// report is in the step's `metadata["tests"]` ([`ExecutionResult::tests`]).
    #[must_use = "a failure is told in the result"]
    pub fn run_tests(&self, command: Option<&str>, working_dir: Option<&Path>) -> ExecutionResult {
        let params = RunTestsParams {
            command: Some(command.unwrap_or("pytest").to_owned()),
            global_timeout: Some(600.0),
            ..RunTestsParams::default()
        };
        self.run_tests_with(&params, working_dir, CommitPolicy::Always)
    }

    /// Runs a project's tests as a plan of one step: by the command that is given, or by what the project's files say.
    /// `commit` decides whether what the tests write is kept.
    #[must_use = "a failure is told in the result"]
    pub fn run_tests_with(
        &self,
        params: &RunTestsParams,
        working_dir: Option<&Path>,
        commit: CommitPolicy,
    ) -> ExecutionResult {
        let shell = self.registry.get("shell");
        let registry = self.only("run_tests", || Arc::new(RunTestsTool::beside(shell))).and_then(|registry| {
            if let (Some(folder), Some(tool)) = (working_dir, registry.get("run_tests")) {
                registry.register(Arc::new(InFolder { tool, folder: self.config.workspace.join(folder) }))?;
            }
            Ok(registry)
        });
        let registry = match registry {
            Ok(registry) => registry,
            Err(error) => return ExecutionResult::bad_input("Run tests", error.to_string()),
        };
        let mut told = params.clone();
        told.command = told.command.map(|command| escape(&command));
        let Ok(Value::Object(arguments)) = serde_json::to_value(&told) else {
            return ExecutionResult::bad_input("Run tests", "the arguments are no JSON");
        };
        let title = params.command.as_ref().map_or_else(|| "Run tests".to_owned(), |it| format!("Run tests: {it}"));
        let mut step = PlanStep::new("step_1", "run_tests", arguments, title);
        step.commit = commit;
        // What failed was run again by the tool itself.
        step.retry = RetryPolicy { max: 0, ..RetryPolicy::default() };
        step.on_failure = OnFailure::Stop;
        self.run(&registry, one_step("Run tests", step), Map::new())
    }

    /// A registry with one tool: the registered one, else a built-in one. Our own commands work whatever a
    /// program registered for its plans.
    pub(super) fn only(
        &self,
        name: &str,
        built_in: impl FnOnce() -> Arc<dyn Tool>,
    ) -> Result<ToolRegistry, RegistryError> {
        let registry = ToolRegistry::new();
        registry.register(self.registry.get(name).unwrap_or_else(built_in))?;
        Ok(registry)
    }
}

/// The error of a run with one step is what the step said, without the step's name; that nothing was done about it
/// goes without saying.
pub(super) fn in_its_own_words(mut result: ExecutionResult) -> ExecutionResult {
    if let [step] = result.steps.as_slice()
        && let Some(said) = step.result.as_ref().and_then(ToolResult::brief)
    {
        result.error = Some(said);
    }
    let given_up = |recovery: &Value| recovery.get("strategy").and_then(Value::as_str) == Some("give_up");
    if result.metadata.get("recoveries").and_then(Value::as_array).is_some_and(|all| all.iter().all(given_up)) {
        result.metadata.remove("recoveries");
    }
    result
}

pub(super) fn one_step(task: &str, step: PlanStep) -> ExecutionPlan {
    let mut plan = ExecutionPlan::new(task);
    plan.steps.push(step);
    plan
}
