//! Where subcommands meet the library: everything that plans, executes, calls and reads history goes
//! through these functions, so that a change of the library has one address here.

use std::path::Path;
use std::sync::Arc;

use agentic_executor::{Cancel, Event, ExecutionPlan, ExecutionResult, PlanStep, ToolResult};
use serde_json::{Map, Value};

use crate::args::{PlanFormat, SchemaFormat};
use crate::error::{Failure, Result};
use crate::settings::Settings;

/// What a person answers about a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Run it.
    Yes,
    /// Skip it.
    No,
    /// Run it with these parameters.
    Edit(Map<String, Value>),
    /// Run it and everything after it.
    All,
    /// End the run.
    Abort,
}

/// Asks a person about a step.
pub(crate) trait Prompt: Send + Sync {
    /// Waits for the answer.
    fn ask(&self, step: &PlanStep) -> Answer;
}

/// What an executor is given besides its settings.
pub(crate) struct Parts {
    /// Told each event as it happens.
    pub(crate) on_event: Box<dyn Fn(&Event) + Send + Sync>,
    /// Asked in interactive mode and by `ask` rules.
    pub(crate) prompt: Option<Arc<dyn Prompt>>,
    /// Ends the run.
    pub(crate) cancel: Cancel,
    /// Record in the journal of the state folder.
    pub(crate) journal: bool,
}

impl Default for Parts {
    fn default() -> Self {
        Self { on_event: Box::new(|_| ()), prompt: None, cancel: Cancel::new(), journal: false }
    }
}

/// An executor with every built-in tool.
#[derive(Debug)]
pub(crate) enum Engine {}

/// A plan file that was read.
#[derive(Debug)]
pub(crate) enum PlanText {}

impl PlanText {
    pub(crate) fn parse(_text: &str, _name: &str) -> Result<Self> {
        Err(absent("read the plan"))
    }
    pub(crate) fn workspace(&self) -> Option<&Path> {
        match *self {}
    }
    pub(crate) fn mode(&self) -> Option<&'static str> {
        match *self {}
    }
}

/// A tool's name and what it does.
#[derive(Debug, serde::Serialize)]
pub(crate) struct ToolLine {
    pub(crate) name: String,
    pub(crate) description: String,
}

/// A run in the journal's list.
#[derive(Debug, serde::Serialize)]
pub(crate) struct RunLine {
    pub(crate) id: String,
    pub(crate) task: String,
    pub(crate) started: String,
    /// Seconds; none while it runs or when it was cut off.
    pub(crate) duration: Option<f64>,
    /// As `stop_reason` of the result; none while it runs or when it was cut off.
    pub(crate) stop_reason: Option<String>,
    pub(crate) steps: usize,
}

fn absent(what: &str) -> Failure {
    Failure::failed(format!("failed to {what}: this build holds no engine for it"))
}

impl Engine {
    pub(crate) fn new(_settings: &Settings, _parts: Parts) -> Result<Self> {
        Err(absent("start the executor"))
    }
    pub(crate) fn plan(&self, _task: &str, _context: &Map<String, Value>) -> Result<ExecutionPlan> {
        Err(absent("plan the task"))
    }
    pub(crate) fn check(&self, _plan: PlanText, _context: Map<String, Value>) -> Result<ExecutionPlan> {
        Err(absent("check the plan"))
    }
    pub(crate) fn execute(&self, _plan: ExecutionPlan) -> ExecutionResult {
        match *self {}
    }
    pub(crate) fn call(&self, _tool: &str, _params: Map<String, Value>) -> ToolResult {
        match *self {}
    }
    pub(crate) fn edit(&self, _path: &Path, _old: &str, _new: &str) -> Result<ExecutionResult> {
        Err(absent("edit the file"))
    }
}

/// A plan in one of its forms.
pub(crate) fn show_plan(_plan: &ExecutionPlan, _format: PlanFormat) -> String {
    String::new()
}

/// Every built-in tool.
pub(crate) fn tools() -> Vec<ToolLine> {
    Vec::new()
}

/// The schemas of every built-in tool, or of one.
pub(crate) fn schemas(_name: Option<&str>, _format: SchemaFormat) -> Result<Value> {
    Err(absent("print the schemas"))
}

/// The newest runs of the journal; none when there is no journal yet.
pub(crate) fn runs(_state: &Path, _limit: usize) -> Result<Vec<RunLine>> {
    Err(absent("read the journal"))
}

/// The events of the run whose id begins or ends like this.
pub(crate) fn events(_state: &Path, _run: &str) -> Result<Vec<Event>> {
    Err(absent("read the journal"))
}
