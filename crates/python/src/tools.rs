//! Tools as Python has them, for the engine: its own, whose settings are a Python object's attributes, and the user's.
//!
//! Both hold their Python object weakly: the registry in Python owns it, so that no cycle runs through here.
#![expect(
    clippy::result_large_err,
    reason = "a refusal is a ToolResult, moved once per call: a box would save nothing"
)]

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentic_executor::tools::{
    Access, ApplyPatchTool, Attachment, EditTool, FileReadTool, FileWriteTool, Idempotency, ListFilesTool, Resources,
    RollbackTool, RunCodeTool, RunTestsTool, SchemaFormat, SearchTool, ShellTool,
};
use agentic_executor::{Cause, Tool, ToolCall, ToolContext, ToolRegistry, ToolResult, ToolStatus};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyWeakrefReference};
use serde_json::{Map, Value, json};

use crate::convert::{dict, to_map, to_value_or_text};
use crate::desk::Desk;
use crate::{errors, forms};

/// A registry as the engine has it.
#[pyclass(frozen, module = "agentic_executor._native")]
pub(crate) struct Tools {
    registry: ToolRegistry,
}

#[pymethods]
impl Tools {
    #[new]
    fn new() -> Self {
        Self { registry: ToolRegistry::new() }
    }
    /// Adds a tool; one of the same name is replaced, in its place. `run_tests` keeps to the commands of the `shell` that
    /// is here by then.
    fn register(&self, tool: &Bound<'_, PyAny>, built_in: bool) -> PyResult<()> {
        let py = tool.py();
        let shell = || self.registry.get("shell");
        let tool: Arc<dyn Tool> =
            if built_in { Arc::new(BuiltIn::new(tool, shell)?) } else { Arc::new(PythonTool::new(tool)?) };
        self.registry.register(tool).map_err(|error| errors::wrong_value(py, error.to_string()))
    }
    /// Every tool in a provider's shape.
    fn schemas<'py>(&self, py: Python<'py>, format: &str) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let format = match format {
            "plain" => SchemaFormat::Plain,
            "openai" => SchemaFormat::OpenAi,
            "anthropic" => SchemaFormat::Anthropic,
            "mcp" => SchemaFormat::Mcp,
            other => {
                let message = format!("format must be plain, openai, anthropic or mcp, not {other:?}");
                return Err(errors::wrong_value(py, message));
            }
        };
        self.registry.get_schemas(format).iter().map(|schema| crate::convert::to_python(py, schema)).collect()
    }
}

impl Tools {
    pub(crate) fn registry(&self) -> ToolRegistry {
        self.registry.clone()
    }
}

/// A weak reference to the Python object of a tool.
struct Owned {
    name: String,
    object: Py<PyWeakrefReference>,
}

impl Owned {
    fn new(tool: &Bound<'_, PyAny>) -> PyResult<Self> {
        let name: String = tool.getattr("name")?.extract().map_err(|_| {
            errors::wrong_type(tool.py(), format!("tool.name must be a str (of {})", crate::convert::type_name(tool)))
        })?;
        Ok(Self { name, object: PyWeakrefReference::new(tool)?.unbind() })
    }
    fn get<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>, ToolResult> {
        use pyo3::types::PyWeakrefMethods;
        self.object.bind(py).upgrade().ok_or_else(|| {
            ToolResult::failure(
                Cause::UnknownTool,
                format!("the tool `{}` was removed while the run used it", self.name),
            )
        })
    }
}

/// A failure of the glue: an attribute that cannot be read or meant.
fn unusable(py: Python<'_>, name: &str, error: &PyErr) -> ToolResult {
    ToolResult::failure(Cause::InvalidArguments, format!("{name}: {}", errors::describe(py, error)))
}

/// One of our tools; its settings are read from the Python object at every call.
struct BuiltIn {
    owned: Owned,
    tool: Kind,
}

enum Kind {
    FileRead(FileReadTool),
    FileWrite(FileWriteTool),
    Edit(EditTool),
    ApplyPatch(ApplyPatchTool),
    Search(SearchTool),
    ListFiles(ListFilesTool),
    Shell(ShellTool),
    RunCode(RunCodeTool),
    RunTests(RunTestsTool),
    Rollback(RollbackTool),
}

impl Kind {
    fn tool(&self) -> &dyn Tool {
        match self {
            Self::FileRead(tool) => tool,
            Self::FileWrite(tool) => tool,
            Self::Edit(tool) => tool,
            Self::ApplyPatch(tool) => tool,
            Self::Search(tool) => tool,
            Self::ListFiles(tool) => tool,
            Self::Shell(tool) => tool,
            Self::RunCode(tool) => tool,
            Self::RunTests(tool) => tool,
            Self::Rollback(tool) => tool,
        }
    }
    fn configure(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let folders = |name: &str| {
            object.getattr(name)?.extract::<Option<Vec<PathBuf>>>().map_err(|_| {
                let message = format!("{name} must be a list of paths, or None");
                errors::wrong_type(object.py(), message)
            })
        };
        match self {
            Self::FileRead(tool) => tool.set_allowed_paths(folders("allowed_paths")?),
            Self::FileWrite(tool) => tool.set_allowed_paths(folders("allowed_paths")?),
            Self::Edit(tool) => tool.set_allowed_paths(folders("allowed_paths")?),
            Self::ApplyPatch(tool) => tool.set_allowed_paths(folders("allowed_paths")?),
            Self::Search(tool) => tool.set_search_paths(folders("search_paths")?),
            Self::ListFiles(tool) => tool.set_search_paths(folders("search_paths")?),
            Self::Shell(tool) => configure_shell(tool, object)?,
            Self::RunCode(_) | Self::RunTests(_) | Self::Rollback(_) => {}
        }
        Ok(())
    }
}

fn configure_shell(tool: &ShellTool, object: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = object.py();
    let commands = |name: &str| {
        object
            .getattr(name)?
            .extract::<Option<Vec<String>>>()
            .map_err(|_| errors::wrong_type(py, format!("{name} must be a list of commands, or None")))
    };
    tool.set_allowed_commands(commands("allowed_commands")?);
    tool.set_blocked_commands(commands("blocked_commands")?.unwrap_or_default());
    let timeout: f64 = object.getattr("timeout")?.extract()?;
    let timeout = Duration::try_from_secs_f64(timeout).ok().filter(|time| !time.is_zero());
    let Some(timeout) = timeout else {
        return Err(errors::wrong_value(py, "timeout must be a number of seconds above 0".into()));
    };
    tool.set_timeout(timeout);
    let working_dir: Option<PathBuf> = object.getattr("working_dir")?.extract()?;
    tool.set_working_dir(working_dir);
    Ok(())
}

impl BuiltIn {
    fn new(tool: &Bound<'_, PyAny>, shell: impl FnOnce() -> Option<Arc<dyn Tool>>) -> PyResult<Self> {
        let owned = Owned::new(tool)?;
        let kind = match owned.name.as_str() {
            "file_read" => Kind::FileRead(FileReadTool::new()),
            "file_write" => Kind::FileWrite(FileWriteTool::new()),
            "edit" => Kind::Edit(EditTool::new()),
            "apply_patch" => Kind::ApplyPatch(ApplyPatchTool::new()),
            "search" => Kind::Search(SearchTool::new()),
            "list_files" => Kind::ListFiles(ListFilesTool::new()),
            "shell" => Kind::Shell(ShellTool::new()),
            "run_code" => Kind::RunCode(RunCodeTool::new()),
            "run_tests" => Kind::RunTests(RunTestsTool::beside(shell())),
            "rollback" => Kind::Rollback(RollbackTool::new()),
            other => {
                return Err(errors::wrong_value(tool.py(), format!("there is no built-in tool `{other}`")));
            }
        };
        Ok(Self { owned, tool: kind })
    }
    /// Takes over the object's attributes as they are now.
    fn configured(&self) -> Result<&dyn Tool, ToolResult> {
        let configured = Python::try_attach(|py| {
            let object = self.owned.get(py)?;
            self.tool.configure(&object).map_err(|error| unusable(py, &self.owned.name, &error))
        });
        match configured {
            Some(Ok(())) => Ok(self.tool.tool()),
            Some(Err(refusal)) => Err(refusal),
            None => Err(ending()),
        }
    }
}

/// Python is being shut down.
fn ending() -> ToolResult {
    ToolResult::failure(Cause::Cancelled, "the interpreter is ending")
}

impl Tool for BuiltIn {
    fn name(&self) -> &str {
        &self.owned.name
    }
    fn description(&self) -> &str {
        self.tool.tool().description()
    }
    fn schema(&self) -> Value {
        self.tool.tool().schema()
    }
    fn title(&self) -> String {
        self.tool.tool().title()
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        match self.configured() {
            Ok(tool) => tool.execute(call, context),
            Err(refusal) => refusal,
        }
    }
    fn access(&self, params: &Map<String, Value>) -> Access {
        self.tool.tool().access(params)
    }
    fn roots(&self, params: &Map<String, Value>) -> Option<Vec<PathBuf>> {
        // Settings that cannot be meant are told by `execute`.
        self.configured().map_or_else(|_| self.tool.tool().roots(params), |tool| tool.roots(params))
    }
    fn resources(&self, params: &Map<String, Value>) -> Resources {
        self.configured().map_or(Resources::Undeclared, |tool| tool.resources(params))
    }
    fn idempotency(&self) -> Idempotency {
        self.tool.tool().idempotency()
    }
    fn retried_by_default(&self) -> bool {
        self.tool.tool().retried_by_default()
    }
    fn refuses_unknown(&self) -> bool {
        self.tool.tool().refuses_unknown()
    }
    fn admits(&self, command: &str) -> Result<(), String> {
        match self.configured() {
            Ok(tool) => tool.admits(command),
            Err(refusal) => Err(refusal.error.unwrap_or_default()),
        }
    }
    fn default_timeout(&self) -> Option<Duration> {
        self.configured().ok().and_then(Tool::default_timeout)
    }
}

/// A tool written in Python. It runs in the caller's process, outside every layer and sandbox.
struct PythonTool {
    owned: Arc<Owned>,
    description: String,
    schema: Value,
    takes_unknown: bool,
}

impl PythonTool {
    fn new(tool: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = tool.py();
        let owned = Owned::new(tool)?;
        let name = &owned.name;
        let description: String = tool
            .getattr("description")?
            .extract()
            .map_err(|_| errors::wrong_type(py, format!("the description of the tool `{name}` must be a str")))?;
        let schema = tool.call_method0("to_schema")?;
        let schema = to_map(&schema, &format!("schema of `{name}`"))?;
        let parameters = schema.get("parameters").cloned();
        let schema = parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}, "required": []}));
        let takes_unknown = tool.call_method0("_takes_unknown")?.extract()?;
        Ok(Self { owned: Arc::new(owned), description, schema, takes_unknown })
    }
}

impl Tool for PythonTool {
    fn name(&self) -> &str {
        &self.owned.name
    }
    fn description(&self) -> &str {
        &self.description
    }
    fn schema(&self) -> Value {
        self.schema.clone()
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        let began = Instant::now();
        let result = match Desk::here() {
            Some(desk) => {
                let (owned, params, raising) = (Arc::clone(&self.owned), call.params.clone(), desk.clone());
                let answer = desk.ask(move |py| invoke(py, &owned, &params, Some(&raising)));
                answer.unwrap_or_else(|| ToolResult::failure(Cause::Cancelled, "the run was asked to end"))
            }
            None => Python::try_attach(|py| invoke(py, &self.owned, &call.params, None)).unwrap_or_else(ending),
        };
        match context.timeout.filter(|most| result.is_success() && began.elapsed() > *most) {
            // Nothing can end Python code in this process from outside, so that it took too long is told afterwards.
            Some(most) => ToolResult::failure(
                Cause::Timeout,
                format!("took {:.1}s, and may take {}s", began.elapsed().as_secs_f64(), most.as_secs_f64()),
            ),
            None => result,
        }
    }
    fn access(&self, _params: &Map<String, Value>) -> Access {
        Access::None
    }
    fn resources(&self, params: &Map<String, Value>) -> Resources {
        let declared = Python::try_attach(|py| {
            let object = self.owned.get(py).ok()?;
            let keys = object.call_method1("resources", (dict(py, params).ok()?,)).ok()?;
            keys.extract::<Option<Vec<String>>>().ok()?
        });
        match declared.flatten() {
            None => Resources::Undeclared,
            Some(keys) if keys.is_empty() => Resources::Independent,
            Some(keys) => Resources::Keys(keys),
        }
    }
    fn idempotency(&self) -> Idempotency {
        Idempotency::External
    }
    /// In Python every step says how often it is tried (`max_retries`), and a tool that fails has said so itself.
    fn retried_by_default(&self) -> bool {
        true
    }
    fn refuses_unknown(&self) -> bool {
        !self.takes_unknown
    }
    /// A `ShellTool` with code of its own still has its lists.
    fn admits(&self, command: &str) -> Result<(), String> {
        let judged = Python::try_attach(|py| {
            let object = self.owned.get(py).map_err(|gone| gone.error.unwrap_or_default())?;
            let shell = ShellTool::new();
            let class = py.import("agentic_executor.tools").and_then(|module| module.getattr("ShellTool"));
            if class.and_then(|class| object.is_instance(&class)).is_ok_and(|is_one| !is_one) {
                return Ok(());
            }
            configure_shell(&shell, &object).map_err(|error| errors::describe(py, &error))?;
            shell.admits(command)
        });
        judged.unwrap_or(Ok(()))
    }
}

/// Calls the tool. What is no ordinary exception ends the work, where somebody serves it.
fn invoke(py: Python<'_>, owned: &Owned, params: &Map<String, Value>, desk: Option<&Desk>) -> ToolResult {
    let object = match owned.get(py) {
        Ok(object) => object,
        Err(gone) => return gone,
    };
    let answer = dict(py, params).and_then(|params: Bound<'_, PyDict>| object.call_method1("_invoke", (params,)));
    match answer.and_then(|answer| read(&answer)) {
        Ok(result) => result,
        Err(error) => {
            let said = errors::describe(py, &error);
            if let Some(desk) = desk.filter(|_| !errors::is_ordinary(py, &error)) {
                desk.raise(error);
                return ToolResult::failure(Cause::Cancelled, said);
            }
            ToolResult::failure(Cause::Failed, said)
        }
    }
}

/// A Python `ToolResult`, with the object itself attached.
fn read(object: &Bound<'_, PyAny>) -> PyResult<ToolResult> {
    let py = object.py();
    let status: String = object.getattr("status")?.getattr("value")?.extract()?;
    let status = match status.as_str() {
        "success" => ToolStatus::Success,
        "timeout" => ToolStatus::Timeout,
        "permission_denied" => ToolStatus::PermissionDenied,
        "error" => ToolStatus::Error,
        other => return Err(errors::wrong_value(py, format!("status: there is no tool status {other:?}"))),
    };
    let error = object.getattr("error")?;
    let error = if error.is_none() { None } else { Some(error.str()?.to_string_lossy().into_owned()) };
    let mut result = ToolResult::success(to_value_or_text(&object.getattr("output")?));
    result.status = status;
    result.error = error.clone();
    if let Value::Object(metadata) = to_value_or_text(&object.getattr("metadata")?) {
        result.metadata = metadata;
    }
    result.cause = if result.is_success() { None } else { forms::cause(&result.metadata) };
    result.attachment = Some(Attachment::new(Returned { object: object.clone().unbind(), status, error }));
    Ok(result)
}

/// The object that a Python tool returned, and what it said then.
pub(crate) struct Returned {
    object: Py<PyAny>,
    status: ToolStatus,
    error: Option<String>,
}

impl fmt::Debug for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Returned({:?})", self.status)
    }
}

impl Returned {
    /// The object, unless the engine has something else to say by now.
    pub(crate) fn of(result: &ToolResult) -> Option<&Py<PyAny>> {
        let returned = result.attachment.as_ref()?.downcast_ref::<Self>()?;
        (returned.status == result.status && returned.error == result.error).then_some(&returned.object)
    }
}
