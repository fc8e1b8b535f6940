//! A workspace with the real sandbox and the real tools, and a folder that steps write through to, so that a step
//! can know which attempt it is although its layer is dropped.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentic_executor::config::{Budgets, Host, SandboxSettings};
use agentic_executor::executor::Builder;
use agentic_executor::sandbox::{Sandbox, Spawner};
use agentic_executor::tools::Access;
use agentic_executor::workspace::Backend;
use agentic_executor::{
    AgenticExecutor, Cause, Config, EventBody, ExecutionPlan, ExecutionResult, PlanStep, ToolRegistry, Workspaces,
};
use agentic_testkit::{TestWorkspace, find_program, spawner_binary};
use serde_json::Value;

pub struct Real {
    pub workspace: TestWorkspace,
    pub config: Config,
    /// Outside every layer.
    pub outside: TestWorkspace,
}

impl Real {
    pub fn new() -> Self {
        let (workspace, outside) = (TestWorkspace::new(), TestWorkspace::beside_states());
        let mut env: BTreeMap<_, _> = std::env::vars_os().collect();
        env.remove(std::ffi::OsStr::new("VIRTUAL_ENV"));
        let home = env.get(std::ffi::OsStr::new("HOME")).map(PathBuf::from);
        let config = Config {
            workspace: workspace.path().to_owned(),
            state: workspace.state().to_owned(),
            spawner: Spawner::Path(spawner_binary()),
            host: Host { home, env, memory: 4 << 30 },
            sandbox: SandboxSettings { read_write: vec![outside.path().to_owned()], ..SandboxSettings::default() },
            budgets: Budgets { parallel: 4, ..Budgets::default() },
        };
        Self { workspace, config, outside }
    }
    /// Never sleeps between tries.
    pub fn builder(&self) -> Builder {
        let registry = ToolRegistry::full_registry();
        AgenticExecutor::builder(self.config.clone()).registry(registry).wait_with(|_, _| {})
    }
    pub fn run(&self, steps: impl IntoIterator<Item = PlanStep>) -> Ran {
        self.run_with(self.builder(), steps)
    }
    pub fn run_with(&self, builder: Builder, steps: impl IntoIterator<Item = PlanStep>) -> Ran {
        let executor = builder.build().unwrap_or_else(|error| panic!("build the executor: {error}"));
        let mut plan = ExecutionPlan::new("test");
        plan.steps.extend(steps);
        let result = executor.execute_plan(plan);
        Ran { executor: Arc::new(executor), result }
    }
    /// Shell text that does `first` in the first attempt and `then` in later ones.
    pub fn first_then(&self, first: &str, then: &str) -> String {
        let mark = self.outside.join("attempted");
        format!("if [ -e {0} ]; then {then}; else : > {0}; {first}; fi", mark.display())
    }
    /// How a writing attempt is kept apart on this host.
    pub fn backend(&self) -> Backend {
        let sandbox = Sandbox::new(self.config.spawner.clone()).unwrap();
        let workspaces = Workspaces::new(&self.config.state, sandbox).unwrap();
        workspaces.open(std::slice::from_ref(&self.config.workspace), Access::Write).unwrap().backend()
    }
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        self.workspace.read(path)
    }
}

/// Whether there is a Python that the sandbox can show.
pub fn has_python() -> bool {
    find_program("python3").is_some()
}

pub struct Ran {
    pub executor: Arc<AgenticExecutor>,
    pub result: ExecutionResult,
}

impl Ran {
    /// Causes and strategies, as the journal has them.
    pub fn taken(&self) -> Vec<(Cause, String)> {
        let events = self.executor.journal().events(&self.result.run_id).unwrap();
        let taken = events.into_iter().filter_map(|event| match event.body {
            EventBody::RecoveryTaken { cause, strategy, .. } => Some((cause, strategy)),
            _ => None,
        });
        taken.collect()
    }
    #[track_caller]
    pub fn recovered(&self, cause: Cause, strategies: &[&str]) {
        assert!(self.result.success, "{}", self.result.summary());
        let expected: Vec<_> = strategies.iter().map(|strategy| (cause, (*strategy).to_owned())).collect();
        assert_eq!(self.taken(), expected, "{}", self.result.summary());
    }
    /// Ended with this cause after these strategies; the error is returned.
    #[track_caller]
    pub fn given_up(&self, cause: Cause, strategies: &[&str]) -> String {
        assert!(!self.result.success, "{}", self.result.summary());
        let last = self.result.steps.last().and_then(|step| step.result.as_ref()).unwrap();
        assert_eq!(last.cause, Some(cause), "{last:?}");
        let expected: Vec<_> =
            strategies.iter().chain(&["give_up"]).map(|strategy| (cause, (*strategy).to_owned())).collect();
        assert_eq!(self.taken(), expected, "{}", self.result.summary());
        last.error.clone().unwrap()
    }
    #[track_caller]
    pub fn output(&self, step: &str) -> String {
        let step = self.result.steps.iter().find(|found| found.step_id.as_str() == step).unwrap();
        step.result.as_ref().unwrap().output_text().into_owned()
    }
}

pub fn step(id: &str, tool: &str, params: Value) -> PlanStep {
    let Value::Object(params) = params else { panic!("arguments are an object") };
    PlanStep::new(id, tool, params, format!("do {id}"))
}

pub fn shell(id: &str, command: impl AsRef<str>) -> PlanStep {
    step(id, "shell", serde_json::json!({ "command": command.as_ref() }))
}

pub fn bash(id: &str, code: impl AsRef<str>) -> PlanStep {
    step(id, "run_code", serde_json::json!({ "language": "bash", "code": code.as_ref() }))
}

pub fn python(id: &str, code: impl AsRef<str>) -> PlanStep {
    step(id, "run_code", serde_json::json!({ "code": code.as_ref() }))
}
