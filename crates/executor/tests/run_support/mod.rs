//! What the run tests share: tools made of closures, a temporary workspace, a script of answers.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentic_executor::config::{Budgets, Host, SandboxSettings};
use agentic_executor::executor::{Answer, Builder, Prompt};
use agentic_executor::planner::OnFailure;
use agentic_executor::sandbox::Spawner;
use agentic_executor::tools::{Access, Idempotency, Resources};
use agentic_executor::{
    AgenticExecutor, Cause, Config, Event, ExecutionPlan, PlanStep, Tool, ToolCall, ToolContext, ToolRegistry,
    ToolResult,
};
use serde_json::{Map, Value, json};

pub type Run = dyn Fn(&ToolCall, &ToolContext<'_>) -> ToolResult + Send + Sync;

pub struct Fake {
    pub name: String,
    pub run: Box<Run>,
    pub resources: Resources,
    pub idempotency: Idempotency,
    pub timeout: Option<Duration>,
}

/// A tool that touches no files and may run beside anything.
pub fn fake(name: &str, run: impl Fn(&ToolCall, &ToolContext<'_>) -> ToolResult + Send + Sync + 'static) -> Fake {
    Fake {
        name: name.into(),
        run: Box::new(run),
        resources: Resources::Independent,
        idempotency: Idempotency::Layered,
        timeout: None,
    }
}

impl Tool for Fake {
    fn name(&self) -> &str {
        &self.name
    }
    fn description(&self) -> &str {
        "a tool of a test"
    }
    fn schema(&self) -> Value {
        json!({ "type": "object", "properties": {} })
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        (self.run)(call, context)
    }
    fn access(&self, _: &Map<String, Value>) -> Access {
        Access::None
    }
    fn resources(&self, _: &Map<String, Value>) -> Resources {
        self.resources.clone()
    }
    fn idempotency(&self) -> Idempotency {
        self.idempotency
    }
    fn refuses_unknown(&self) -> bool {
        false
    }
    fn default_timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

pub fn registry(tools: impl IntoIterator<Item = Fake>) -> ToolRegistry {
    let registry = ToolRegistry::new();
    tools.into_iter().for_each(|tool| registry.register(Arc::new(tool)).unwrap());
    registry
}

/// Fails with each of these causes in turn, then succeeds with its arguments as output.
pub fn failing_first(name: &str, causes: &[Cause]) -> Fake {
    let causes = Mutex::new(causes.iter().copied().collect::<VecDeque<_>>());
    fake(name, move |call, _| match causes.lock().unwrap().pop_front() {
        Some(cause) => ToolResult::failure(cause, format!("made to fail: {}", cause.as_str())),
        None => ToolResult::success(Value::Object(call.params.clone()).to_string()),
    })
}

/// Succeeds; fails with the cause in its `fail` argument.
pub fn obedient(name: &str) -> Fake {
    fake(name, |call, _| match call.params.get("fail").cloned() {
        Some(cause) => ToolResult::failure(serde_json::from_value(cause).unwrap(), "as it was told"),
        None => ToolResult::success(call.params.get("say").and_then(Value::as_str).unwrap_or("done")),
    })
}

pub struct Place {
    pub folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        Self { folder }
    }
    pub fn workspace(&self) -> PathBuf {
        self.folder.path().join("work").canonicalize().unwrap()
    }
    pub fn config(&self) -> Config {
        Config {
            workspace: self.workspace(),
            state: self.folder.path().join("state"),
            spawner: Spawner::Path(agentic_testkit::spawner_binary()),
            host: Host { memory: 16 << 30, ..Host::default() },
            sandbox: SandboxSettings::default(),
            budgets: Budgets { parallel: 4, ..Budgets::default() },
        }
    }
    /// An executor that never sleeps.
    pub fn builder(&self, tools: impl IntoIterator<Item = Fake>) -> Builder {
        AgenticExecutor::builder(self.config()).registry(registry(tools)).wait_with(|_, _| {})
    }
}

pub fn params(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub fn step(id: &str, tool: &str, arguments: Value, after: &[&str]) -> PlanStep {
    let mut step = PlanStep::new(id, tool, params(arguments), format!("do {id}"));
    step.depends_on = after.iter().map(|id| (*id).into()).collect();
    step
}

pub fn on_failure(policy: OnFailure, step: PlanStep) -> PlanStep {
    PlanStep { on_failure: policy, ..step }
}

pub fn plan(steps: impl IntoIterator<Item = PlanStep>) -> ExecutionPlan {
    let mut plan = ExecutionPlan::new("test");
    plan.steps.extend(steps);
    plan
}

/// Gives these answers, then yes; remembers what it was shown.
#[derive(Default)]
pub struct Script {
    answers: Mutex<VecDeque<Answer>>,
    pub shown: Mutex<Vec<(String, Map<String, Value>)>>,
}

impl Script {
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() })
    }
    pub fn shown_steps(&self) -> Vec<String> {
        self.shown.lock().unwrap().iter().map(|(id, _)| id.clone()).collect()
    }
}

impl Prompt for Script {
    fn ask(&self, step: &PlanStep) -> Answer {
        self.shown.lock().unwrap().push((step.id.0.clone(), step.params.clone()));
        self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Yes)
    }
}

/// Collects the kinds of events, `step_started:a` where a step is named.
pub fn kinds(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| {
            let body = serde_json::to_value(&event.body).unwrap();
            match body.get("step").and_then(Value::as_str) {
                Some(step) => format!("{}:{step}", event.body.kind()),
                None => event.body.kind().to_owned(),
            }
        })
        .collect()
}
