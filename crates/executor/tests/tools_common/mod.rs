//! A workspace, a sandbox and a tool call over an attempt, committed when it succeeds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Once};

use agentic_executor::config::{Budgets, Host, SandboxSettings};
use agentic_executor::sandbox::{Observer, Sandbox, Spawner};
use agentic_executor::tools::Access;
use agentic_executor::{Cancel, Config, Tool, ToolCall, ToolContext, ToolResult, Workspaces};
use agentic_testkit::{TestWorkspace, spawner_binary};
use serde_json::Value;

pub(crate) struct Place {
    pub(crate) workspace: TestWorkspace,
    pub(crate) config: Config,
    pub(crate) cancel: Cancel,
    on_output: Option<Observer>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let workspace = TestWorkspace::new();
        let env: BTreeMap<_, _> = std::env::vars_os().collect();
        let home = env.get(std::ffi::OsStr::new("HOME")).map(PathBuf::from);
        let config = Config {
            workspace: workspace.path().to_owned(),
            state: workspace.state().to_owned(),
            spawner: Spawner::Path(spawner_binary()),
            host: Host { home, env, memory: 4 << 30 },
            sandbox: SandboxSettings::default(),
            budgets: Budgets::default(),
        };
        Self { workspace, config, cancel: Cancel::new(), on_output: None }
    }
    /// Calls `hook` when the first piece of output arrives.
    #[allow(dead_code, reason = "only one of the test programs watches output")]
    pub(crate) fn on_first_output(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        let once = Once::new();
        self.on_output = Some(Arc::new(move |_: &[u8]| once.call_once(&hook)));
        self
    }
    pub(crate) fn call(&self, tool: &dyn Tool, params: Value) -> ToolResult {
        let Value::Object(params) = params else { panic!("arguments are an object") };
        let sandbox = Sandbox::new(self.config.spawner.clone()).unwrap();
        let workspaces = Workspaces::new(&self.config.state, sandbox.clone()).unwrap();
        let roots = vec![self.config.workspace.clone()];
        let attempt = workspaces.open(&roots, Access::Write).unwrap_or_else(|error| panic!("open a layer: {error}"));
        let context = ToolContext {
            attempt: &attempt,
            sandbox: &sandbox,
            config: &self.config,
            cancel: &self.cancel,
            timeout: None,
            memory: None,
            on_output: self.on_output.clone(),
            undo: None,
        };
        let result = tool.execute(&ToolCall::new(tool.name(), params), &context);
        if result.is_success() {
            attempt.commit().unwrap();
        }
        result
    }
}
