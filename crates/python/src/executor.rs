//! Runs and bare calls: an executor for each, over what the process shares.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentic_executor::executor::{Answer, ExecutorError, Prompt};
use agentic_executor::planner::CommitPolicy;
use agentic_executor::runtime::Language;
use agentic_executor::sandbox::probe;
use agentic_executor::tools::run_tests::RunTestsParams;
use agentic_executor::workspace::{StagedChanges, unified};
use agentic_executor::{
    AgenticExecutor, Cancel as Request, Event, EventBody, ExecutionPlan, ExecutionResult, Journal, PlanStep,
    ToolRegistry,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Map, Value};

use crate::convert::{to_map, to_python, type_name};
use crate::desk::{Desk, serve};
use crate::errors;
use crate::forms;
use crate::process::Process;
use crate::settings::Settings;
use crate::tools::Tools;

/// A request to end, shared with the run it is given to.
#[pyclass(frozen, module = "agentic_executor._native")]
pub(crate) struct Cancel {
    request: Request,
}

#[pymethods]
impl Cancel {
    #[new]
    fn new() -> Self {
        Self { request: Request::new() }
    }
    /// Asks for the end; from any thread, any number of times.
    fn cancel(&self, py: Python<'_>) {
        py.detach(|| self.request.cancel());
    }
    /// Whether the end was asked for.
    fn is_cancelled(&self) -> bool {
        self.request.is_cancelled()
    }
}

impl Cancel {
    pub(crate) fn request(&self) -> Request {
        self.request.clone()
    }
}

/// What is told and asked while a run goes on.
#[derive(Default)]
pub(crate) struct Listeners {
    on_step: Option<Arc<Py<PyAny>>>,
    on_event: Option<Arc<Py<PyAny>>>,
    on_status: Option<Arc<Py<PyAny>>>,
    prompt: Option<Arc<Py<PyAny>>>,
    /// Decides what becomes of a staged run's changes.
    review: Option<Arc<Py<PyAny>>>,
}

impl Listeners {
    /// Of a call that makes no plan's steps.
    pub(crate) fn new(
        on_step: Option<Arc<Py<PyAny>>>,
        on_event: Option<Arc<Py<PyAny>>>,
        prompt: Option<Arc<Py<PyAny>>>,
    ) -> Self {
        Self { on_step, on_event, prompt, ..Self::default() }
    }
}

/// What is to be run.
enum Work {
    Plan(ExecutionPlan, Map<String, Value>),
    Code { code: String, description: String, language: Language },
    Edit { path: String, old: String, new: String },
    Tests { params: Box<RunTestsParams>, working_dir: Option<String>, commit: CommitPolicy },
}

impl Work {
    fn read(given: &Bound<'_, PyDict>) -> PyResult<Self> {
        let py = given.py();
        let member =
            |key: &str| given.get_item(key)?.ok_or_else(|| errors::wrong_value(py, format!("{key} is missing")));
        let text = |key: &str| -> PyResult<String> {
            match crate::convert::to_value(&member(key)?, key)? {
                Value::String(text) => Ok(text),
                _ => Err(errors::wrong_type(py, format!("{key} must be a str, not {}", type_name(&member(key)?)))),
            }
        };
        let kind: String = member("kind")?.extract()?;
        Ok(match kind.as_str() {
            "plan" => Self::Plan(forms::plan(&member("plan")?)?, to_map(&member("context")?, "context")?),
            "code" => {
                let language = crate::convert::to_value(&member("language")?, "language")?;
                let language = serde_json::from_value(language)
                    .map_err(|_| errors::wrong_value(py, "language must be python, bash or javascript".into()))?;
                Self::Code { code: text("code")?, description: text("description")?, language }
            }
            "edit" => Self::Edit { path: text("path")?, old: text("old")?, new: text("new")? },
            "tests" => {
                let folder = member("working_dir")?;
                let working_dir = if folder.is_none() { None } else { Some(text("working_dir")?) };
                let params = serde_json::from_value(Value::Object(to_map(&member("params")?, "params")?))
                    .map_err(|error| errors::wrong_value(py, format!("params: {error}")))?;
                let keep: bool = member("keep")?.extract()?;
                let commit = if keep { CommitPolicy::Always } else { CommitPolicy::Never };
                Self::Tests { params: Box::new(params), working_dir, commit }
            }
            other => return Err(errors::wrong_value(py, format!("kind: there is no request {other:?}"))),
        })
    }
    fn execute(self, executor: &AgenticExecutor) -> ExecutionResult {
        match self {
            Self::Plan(plan, context) => executor.execute_plan_with(plan, &context),
            Self::Code { code, description, language } => executor.execute_code_in(language, &code, &description),
            Self::Edit { path, old, new } => executor.edit_file(&path, &old, &new),
            Self::Tests { params, working_dir, commit } => {
                executor.run_tests_with(&params, working_dir.as_deref().map(Path::new), commit)
            }
        }
    }
}

/// Runs a plan, code, an edit or tests, or goes on with a run, and answers with the result's dict.
#[pyfunction]
#[pyo3(signature = (settings, tools, request, cancel=None, on_step=None, on_event=None, on_status=None, prompt=None, review=None))]
#[expect(clippy::too_many_arguments, reason = "the arguments of a Python function, given by name")]
pub(crate) fn run<'py>(
    py: Python<'py>,
    settings: &Bound<'py, PyDict>,
    tools: &Bound<'py, Tools>,
    request: &Bound<'py, PyDict>,
    cancel: Option<&Bound<'py, Cancel>>,
    on_step: Option<Py<PyAny>>,
    on_event: Option<Py<PyAny>>,
    on_status: Option<Py<PyAny>>,
    prompt: Option<Py<PyAny>>,
    review: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let listeners = Listeners {
        on_step: on_step.map(Arc::new),
        on_event: on_event.map(Arc::new),
        on_status: on_status.map(Arc::new),
        prompt: prompt.map(Arc::new),
        review: review.map(Arc::new),
    };
    if request.get_item("kind")?.is_some_and(|kind| kind.eq("resume").unwrap_or(false)) {
        return crate::resume::resume(py, settings, tools, request, cancel, listeners);
    }
    let work = Work::read(request)?;
    let result = with_executor(py, settings, tools, cancel, listeners, |executor| work.execute(executor))?;
    forms::run_dict(py, &result)
}

/// One call outside any run: through the same door, recorded in memory, committed at once. Answers with the result's dict.
#[pyfunction]
#[pyo3(signature = (settings, tools, name, params, cancel=None, on_event=None, prompt=None))]
#[expect(clippy::too_many_arguments, reason = "the arguments of a Python function, given by name")]
pub(crate) fn call<'py>(
    py: Python<'py>,
    settings: &Bound<'py, PyDict>,
    tools: &Bound<'py, Tools>,
    name: &str,
    params: &Bound<'py, PyDict>,
    cancel: Option<&Bound<'py, Cancel>>,
    on_event: Option<Py<PyAny>>,
    prompt: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let mut arguments = Map::new();
    for (key, value) in params {
        let key: String = key.extract()?;
        arguments.insert(key.clone(), crate::convert::to_value(&value, &key)?);
    }
    let listeners =
        Listeners { on_event: on_event.map(Arc::new), prompt: prompt.map(Arc::new), ..Listeners::default() };
    let result = with_executor(py, settings, tools, cancel, listeners, |executor| executor.call(name, arguments))?;
    forms::result_dict(py, &result)
}

fn with_executor<'py, T: Send>(
    py: Python<'py>,
    settings: &Bound<'py, PyDict>,
    tools: &Bound<'py, Tools>,
    cancel: Option<&Bound<'py, Cancel>>,
    listeners: Listeners,
    work: impl FnOnce(&AgenticExecutor) -> T + Send,
) -> PyResult<T> {
    let registry = tools.get().registry();
    let settings = Settings::read(settings, &roots(&registry))?;
    let cancel = cancel.map_or_else(Request::new, |cancel| cancel.get().request());
    let done = serve(py, &cancel.clone(), |desk| {
        build(settings, registry, cancel, listeners, desk).map(|executor| work(&executor))
    })?;
    done.map_err(|error| errors::not_built(py, &error))
}

/// The folders that the tools were told to work in. The state folder must lie in none of them.
pub(crate) fn roots(registry: &ToolRegistry) -> Vec<PathBuf> {
    let tools = registry.list_tools().into_iter().filter_map(|name| registry.get(&name));
    tools.filter_map(|tool| tool.roots(&Map::new())).flatten().collect()
}

pub(crate) fn build(
    settings: Settings,
    registry: ToolRegistry,
    cancel: Request,
    listeners: Listeners,
    desk: &Desk,
) -> Result<AgenticExecutor, ExecutorError> {
    let folder = settings.config.state.clone();
    let state = Process::current().state(&folder)?;
    let journal = if settings.durable { state.journal(&folder)? } else { Arc::new(Journal::in_memory()?) };
    let workspace = settings.config.workspace.clone();
    let mut builder = AgenticExecutor::builder(settings.config)
        .workspaces(state.workspaces)
        .registry(registry)
        .mode(settings.mode)
        .approval(settings.approval)
        .journal(journal)
        .cancel(cancel);
    if let Some(callback) = listeners.on_status {
        let desk = desk.clone();
        builder = builder.on_event(move |event| tell_status(&desk, &callback, event));
    }
    if let Some(callback) = listeners.on_event {
        let desk = desk.clone();
        builder = builder.on_event(move |event| tell_event(&desk, &callback, event));
    }
    if let Some(callback) = listeners.on_step {
        let desk = desk.clone();
        builder = builder.on_step_complete(move |step| {
            let (step, callback) = (step.clone(), Arc::clone(&callback));
            let told = desk.ask(move |py| callback.call1(py, (forms::executed_dict(py, &step)?,)));
            desk.taken(told);
        });
    }
    if let Some(callback) = listeners.prompt {
        builder = builder.prompt(Arc::new(PythonPrompt { desk: desk.clone(), callback }));
    }
    if let Some(callback) = listeners.review {
        let desk = desk.clone();
        builder = builder.staged(move |staged| reviewed(&desk, &callback, staged, &workspace));
    }
    builder.build()
}

/// Shows a staged run's changes as a unified diff; what the callback answers decides.
fn reviewed(desk: &Desk, callback: &Arc<Py<PyAny>>, staged: &StagedChanges, workspace: &Path) -> bool {
    let diff = staged.differences().map(|all| unified(&all, workspace)).map_err(|error| error.to_string());
    let callback = Arc::clone(callback);
    let answer = desk.ask(move |py| {
        let diff = diff.map_err(|why| errors::state(py, format!("what the run did cannot be shown: {why}")))?;
        callback.call1(py, (diff,))?.is_truthy(py)
    });
    desk.taken(answer).unwrap_or(false)
}

/// `on_status(step, status, attempts, error)`: a step that starts, and one that has ended.
fn tell_status(desk: &Desk, callback: &Arc<Py<PyAny>>, event: &Event) {
    let (step, status, attempts, error) = match &event.body {
        EventBody::StepStarted { step, .. } => (step.as_str().to_owned(), "running", 0, None),
        EventBody::StepFinished { step, status, attempts, error, .. } => {
            (step.as_str().to_owned(), status.as_str(), *attempts, error.clone())
        }
        _ => return,
    };
    let callback = Arc::clone(callback);
    desk.taken(desk.ask(move |py| callback.call1(py, (step, status, attempts, error))));
}

fn tell_event(desk: &Desk, callback: &Arc<Py<PyAny>>, event: &Event) {
    let Ok(event) = serde_json::to_value(event) else { return };
    let callback = Arc::clone(callback);
    desk.taken(desk.ask(move |py| callback.call1(py, (to_python(py, &event)?,))));
}

struct PythonPrompt {
    desk: Desk,
    callback: Arc<Py<PyAny>>,
}

impl Prompt for PythonPrompt {
    fn ask(&self, step: &PlanStep) -> Answer {
        let (step, callback) = (step.clone(), Arc::clone(&self.callback));
        let answer = self.desk.ask(move |py| {
            let answer = callback.call1(py, (forms::step_dict(py, &step)?,))?;
            read_answer(answer.bind(py))
        });
        self.desk.taken(answer).unwrap_or(Answer::Abort)
    }
}

fn read_answer(given: &Bound<'_, PyAny>) -> PyResult<Answer> {
    let word: String = given.get_item("answer")?.extract()?;
    Ok(match word.as_str() {
        "yes" => Answer::Yes,
        "no" => Answer::No,
        "all" => Answer::All,
        "abort" => Answer::Abort,
        "edit" => Answer::Edit(to_map(&given.get_item("params")?, "params")?),
        other => return Err(errors::wrong_value(given.py(), format!("prompt: there is no answer {other:?}"))),
    })
}

/// What this host can enforce, found by running a program under everything.
#[pyfunction]
pub(crate) fn doctor<'py>(py: Python<'py>, settings: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    // Nothing of them is used, but what is wrong with them is told here as anywhere.
    Settings::read(settings, &[])?;
    let report = serve(py, &Request::new(), |_| Process::current().sandbox().map(|sandbox| probe(&sandbox)))?;
    let report = report.map_err(|error| errors::not_built(py, &error))?;
    let advice = PyDict::new(py);
    for (control, text) in &report.advice {
        if let Ok(Value::String(name)) = serde_json::to_value(control) {
            advice.set_item(name, text)?;
        }
    }
    let answer = PyDict::new(py);
    answer.set_item("tier", &report.tier)?;
    answer.set_item("kernel", &report.kernel)?;
    answer.set_item("enforced", forms::enforced_dict(py, &report.enforced)?)?;
    answer.set_item("refused", &report.refused)?;
    answer.set_item("advice", advice)?;
    Ok(answer)
}

/// The lines of `ExecutionResult.summary()`.
#[pyfunction]
pub(crate) fn result_summary(result: &Bound<'_, PyAny>) -> PyResult<String> {
    forms::summary(result)
}
