//! A registered tool that works in another folder than the workspace, for `AgenticExecutor::run_tests`.
//!
//! The folder becomes the call's only root and the workspace that the tool is told of, so that no tool needs
//! an argument for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::Config;
use crate::tools::{Access, Idempotency, Resources, Tool, ToolCall, ToolContext, ToolResult};

#[derive(Debug)]
pub(super) struct InFolder {
    pub(super) tool: Arc<dyn Tool>,
    /// Absolute.
    pub(super) folder: PathBuf,
}

impl Tool for InFolder {
    fn name(&self) -> &str {
        self.tool.name()
    }
    fn description(&self) -> &str {
        self.tool.description()
    }
    fn schema(&self) -> Value {
        self.tool.schema()
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        let config = Config { workspace: self.folder.clone(), ..context.config.clone() };
        let context = ToolContext {
            attempt: context.attempt,
            sandbox: context.sandbox,
            config: &config,
            cancel: context.cancel,
            timeout: context.timeout,
            memory: context.memory,
            on_output: context.on_output.clone(),
            undo: context.undo,
        };
        self.tool.execute(call, &context)
    }
    fn title(&self) -> String {
        self.tool.title()
    }
    fn access(&self, params: &Map<String, Value>) -> Access {
        self.tool.access(params)
    }
    fn roots(&self, params: &Map<String, Value>) -> Option<Vec<PathBuf>> {
        let own = self.tool.roots(params);
        let own = own.map(|roots| roots.iter().map(|root| self.folder.join(root)).collect());
        Some(own.unwrap_or_else(|| vec![self.folder.clone()]))
    }
    fn resources(&self, params: &Map<String, Value>) -> Resources {
        self.tool.resources(params)
    }
    fn idempotency(&self) -> Idempotency {
        self.tool.idempotency()
    }
    fn retried_by_default(&self) -> bool {
        self.tool.retried_by_default()
    }
    fn refuses_unknown(&self) -> bool {
        self.tool.refuses_unknown()
    }
    fn admits(&self, command: &str) -> Result<(), String> {
        self.tool.admits(command)
    }
    fn default_timeout(&self) -> Option<Duration> {
        self.tool.default_timeout()
    }
}
