//! Named actions with a JSON Schema each: the built-in ones and the user's own.
//!
//! A [`Tool`] is told what to do ([`ToolCall`]) and where ([`ToolContext`]: an open attempt over the
//! workspace, the sandbox, the time it has) and answers with a [`ToolResult`], never with a panic or an
//! error type of its own: a failure is a result that a plan or a model can act on.
#![expect(
    clippy::result_large_err,
    reason = "a refusal is a ToolResult, moved once per call: a box would save nothing"
)]

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use agentic_sandbox::{Enforced, Observer, Sandbox, Usage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cancel::Cancel;
use crate::cause::Cause;
use crate::config::Config;
use crate::id::CallId;
use crate::workspace::Attempt;

mod attachment;
pub mod code;
pub mod commands;
mod edit;
mod files;
mod function;
pub(crate) mod host;
mod list_files;
pub(crate) mod patch;
mod place;
mod registry;
mod rollback;
pub mod run_tests;
pub mod schema;
mod search;
pub mod shell;
pub mod validate;
mod walk;

pub use attachment::Attachment;
pub use code::RunCodeTool;
pub(crate) use code::not_started;
pub use edit::EditTool;
pub use files::{FileReadTool, FileWriteTool};
pub use function::FunctionTool;
pub use list_files::ListFilesTool;
pub use patch::ApplyPatchTool;
pub use registry::{RegistryError, ToolRegistry};
pub use rollback::{RollbackArgs, RollbackTool, Undo};
pub use run_tests::RunTestsTool;
pub use schema::{SchemaFormat, ToolParameter};
pub use search::SearchTool;
pub use shell::ShellTool;
pub use validate::{ArgumentError, Validator};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolStatus {
    /// It did what was asked.
    Success,
    /// It did not.
    Error,
    /// Time ran out.
    Timeout,
    /// It is not allowed.
    PermissionDenied,
}

/// A request to a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Its identity in the journal.
    pub id: CallId,
    /// The tool's name.
    pub tool: String,
    /// The arguments, an object.
    pub params: Map<String, Value>,
}

impl ToolCall {
    /// A call with a fresh id.
    pub fn new(tool: impl Into<String>, params: Map<String, Value>) -> Self {
        Self { id: CallId::new(), tool: tool.into(), params }
    }
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// How the call ended.
    pub status: ToolStatus,
    /// What it produced; text for the built-in tools.
    pub output: Value,
    /// What went wrong, when something did.
    #[serde(default)]
    pub error: Option<String>,
    /// Further facts, by the names in the tool's documentation. `metadata["cause"]` repeats `cause`.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// Why it failed, when it failed.
    #[serde(skip)]
    pub cause: Option<Cause>,
    /// What it spent in the sandbox, when it ran there.
    #[serde(skip)]
    pub usage: Option<Usage>,
    /// What the sandbox enforced, when it ran there.
    #[serde(skip)]
    pub enforced: Option<Enforced>,
    /// The caller's own form of the result, when the tool gave one.
    #[serde(skip)]
    pub attachment: Option<Attachment>,
}

impl ToolResult {
    /// A success.
    pub fn success(output: impl Into<Value>) -> Self {
        Self {
            status: ToolStatus::Success,
            output: output.into(),
            error: None,
            metadata: Map::new(),
            cause: None,
            usage: None,
            enforced: None,
            attachment: None,
        }
    }
    /// A failure with its cause. Timeouts and refusals get their own status.
    pub fn failure(cause: Cause, error: impl Into<String>) -> Self {
        let status = match cause {
            Cause::Timeout => ToolStatus::Timeout,
            Cause::PermissionDenied | Cause::Denied | Cause::Persistence => ToolStatus::PermissionDenied,
            _ => ToolStatus::Error,
        };
        let mut result = Self::success("");
        result.status = status;
        result.error = Some(error.into());
        result.cause = Some(cause);
        result.metadata.insert("cause".into(), cause.as_str().into());
        result
    }
    /// The same with one more fact.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
    /// Whether it did what was asked.
    pub fn is_success(&self) -> bool {
        self.status == ToolStatus::Success
    }
    /// What went wrong, in one line: an error of one line as it is, else the line that decided (`metadata["message"]`)
    /// or the first, with `…` for the rest. `None` for a success.
    pub fn brief(&self) -> Option<String> {
        if self.is_success() {
            return None;
        }
        let error = self.error.as_deref().unwrap_or("no reason given").trim();
        let mut lines = error.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or("no reason given");
        if lines.next().is_none() {
            return Some(first.to_owned());
        }
        let decided = self.metadata.get("message").and_then(Value::as_str);
        Some(format!("{} …", decided.filter(|line| error.contains(line)).unwrap_or(first)))
    }
    /// The output as text: a string as it is, anything else as JSON.
    pub fn output_text(&self) -> Cow<'_, str> {
        match &self.output {
            Value::String(text) => Cow::Borrowed(text),
            Value::Null => Cow::Borrowed(""),
            other => Cow::Owned(other.to_string()),
        }
    }
}

/// What a call touches, so that calls which share nothing can run at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resources {
    /// Not declared: the call runs alone.
    Undeclared,
    /// Safe beside any other call (its layer is private, conflicts are found at commit).
    Independent,
    /// Calls that share one of these keys run one after the other.
    Keys(Vec<String>),
}

/// Whether repeating a call that may or may not have happened is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Idempotency {
    /// Nothing changes outside the layer, which is dropped: repeat freely.
    Layered,
    /// It changes nothing at all.
    ReadOnly,
    /// It may have had effects that no layer covers.
    External,
}

/// Which layers a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// None: the tool touches no files.
    None,
    /// It reads; nothing it does is committed.
    Read,
    /// It reads and writes.
    Write,
}

/// What a tool works with besides its arguments.
pub struct ToolContext<'a> {
    /// The open attempt: the merged workspace, and what the sandbox is to mount.
    pub attempt: &'a Attempt,
    /// The door to the kernel enclosure.
    pub sandbox: &'a Sandbox,
    /// What the front end decided.
    pub config: &'a Config,
    /// The request to end.
    pub cancel: &'a Cancel,
    /// The time this call has, when a step or a recovery set it; the tool's own default otherwise.
    pub timeout: Option<Duration>,
    /// Bytes of memory this call may use, when a recovery raised it.
    pub memory: Option<u64>,
    /// Shown output as it arrives.
    pub on_output: Option<Observer>,
    /// What can take back a run; `None` where there is no executor around the call.
    pub undo: Option<&'a dyn Undo>,
}

impl fmt::Debug for ToolContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolContext")
            .field("attempt", self.attempt)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A named action with a JSON Schema.
pub trait Tool: Send + Sync {
    /// The name it is called by: `[a-zA-Z0-9_-]{1,64}`.
    fn name(&self) -> &str;
    /// What it does, for people and models.
    fn description(&self) -> &str;
    /// The JSON Schema (2020-12) of its arguments: an object schema.
    fn schema(&self) -> Value;
    /// Its name as people read it. Default: the name in words (`File read`).
    fn title(&self) -> String {
        let words = self.name().replace(['_', '-'], " ");
        let mut letters = words.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
    }
    /// Runs it. A failure is a result.
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult;

    /// Which layers a call needs. Default: it writes.
    fn access(&self, _params: &Map<String, Value>) -> Access {
        Access::Write
    }
    /// The folders a call works in, each a workspace root with a layer of its own. Default: the configured workspace.
    fn roots(&self, _params: &Map<String, Value>) -> Option<Vec<PathBuf>> {
        None
    }
    /// What a call touches. Default: undeclared, so it runs alone.
    fn resources(&self, _params: &Map<String, Value>) -> Resources {
        Resources::Undeclared
    }
    /// Whether repeating a call is harmless. Default: its effects are in the layer only.
    fn idempotency(&self) -> Idempotency {
        Idempotency::Layered
    }
    /// Whether a call that failed may be made again when its step has no retry policy of its own. Default: unless it may
    /// have had effects that no layer covers.
    fn retried_by_default(&self) -> bool {
        self.idempotency() != Idempotency::External
    }
    /// Whether arguments that the schema does not name are refused. Default: yes.
    fn refuses_unknown(&self) -> bool {
        true
    }
    /// Whether it would run this command line; other tools that run one ask the `shell` of their registry. Default: yes.
    ///
    /// # Errors
    /// Why not.
    fn admits(&self, _command: &str) -> Result<(), String> {
        Ok(())
    }
    /// The time a call may take when neither the step nor an argument says. Default: none.
    fn default_timeout(&self) -> Option<Duration> {
        None
    }
}

impl fmt::Debug for dyn Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tool({})", self.name())
    }
}
