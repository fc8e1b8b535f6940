//! Where subcommands meet the library: everything that plans, executes, calls and reads history goes
//! through these functions, so that a change of the library has one address here.

use std::path::Path;
use std::sync::Arc;

pub(crate) use agentic_executor::executor::Review;
use agentic_executor::executor::{Action, Approval, ExecutorError, Pattern, Rule};
pub(crate) use agentic_executor::executor::{Answer, Prompt};
use agentic_executor::executor::{Resume, ResumeError, RollBackError, RunRolledBack, run_differences, running};
use agentic_executor::journal::JournalError;
use agentic_executor::planner::{CommitPolicy, Format, PlanError, PlanFile, render};
use agentic_executor::testing::{TestHistory, history};
use agentic_executor::tools::SchemaFormat as Shape;
use agentic_executor::tools::run_tests::RunTestsParams;
use agentic_executor::workspace::{
    Collected, Difference, Records, Recovered, RollBack, Store, WorkspaceError, Workspaces, path_on_a_line,
};
use agentic_executor::{
    AgenticExecutor, Cancel, Event, ExecutionMode, ExecutionPlan, ExecutionResult, Journal, RunId, Tool, ToolRegistry,
    ToolResult,
};
use serde_json::{Map, Value};

use crate::args::{PlanFormat, SchemaFormat};
use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;
use crate::settings::{Settings, approval};

/// What an executor is given besides its settings.
pub(crate) struct Parts {
    /// Told each event as it happens.
    pub(crate) on_event: Box<dyn Fn(&Event) + Send + Sync>,
    /// Asked in interactive mode and by `ask` rules.
    pub(crate) prompt: Option<Arc<dyn Prompt>>,
    /// Ends the run.
    pub(crate) cancel: Cancel,
    /// Runs are staged, and this decides whether what they did is applied.
    pub(crate) review: Option<Review>,
    /// Record in the journal of the state folder, rather than in memory.
    pub(crate) journal: bool,
}

impl Default for Parts {
    fn default() -> Self {
        Self { on_event: Box::new(|_| ()), prompt: None, cancel: Cancel::new(), journal: false, review: None }
    }
}

/// An executor with every built-in tool.
#[derive(Debug)]
pub(crate) struct Engine(AgenticExecutor);

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
    /// The process that runs it, as long as one does.
    pub(crate) running: Option<String>,
    pub(crate) steps: u64,
}

/// A plan file that was read.
#[derive(Debug)]
pub(crate) struct PlanText(PlanFile);

impl PlanText {
    /// Reads a plan; every mistake is told at its line and column.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Self> {
        PlanFile::parse(text, name).map(Self).map_err(|error| Failure::bad_input(error.to_string()))
    }
    /// The folder that its steps act on, as written.
    pub(crate) fn workspace(&self) -> Option<&Path> {
        self.0.workspace.as_deref()
    }
    /// How it wants its steps scheduled.
    pub(crate) fn mode(&self) -> Option<&'static str> {
        self.0.mode.map(|mode| match mode {
            ExecutionMode::Sequential => "sequential",
            ExecutionMode::Parallel => "parallel",
            ExecutionMode::Interactive => "interactive",
        })
    }
}

impl Engine {
    /// Builds an executor.
    pub(crate) fn new(settings: &Settings, parts: Parts) -> Result<Self> {
        let config = &settings.config;
        if config.state.starts_with(&config.workspace) {
            return Err(Failure::bad_input(format!(
                "failed to start: the state folder {} lies in the workspace {}",
                config.state.display(),
                config.workspace.display()
            ))
            .hint("choose another folder with -C, or set AGENTIC_STATE to a private folder outside it"));
        }
        let journal = if parts.journal { Journal::open(&journal_path(&config.state)) } else { Journal::in_memory() };
        let mut builder = AgenticExecutor::builder(config.clone())
            .registry(ToolRegistry::full_registry())
            .mode(if parts.prompt.is_some() { settings.mode } else { without_person(settings.mode) })
            .approval(approval(&settings.rules)?)
            .journal(Arc::new(journal.map_err(journal_failure)?))
            .on_event(parts.on_event)
            .on_wait(waits)
            .cancel(parts.cancel);
        if let Some(prompt) = parts.prompt {
            builder = builder.prompt(prompt);
        }
        if let Some(review) = parts.review {
            builder = builder.staged(move |staged| review(staged));
        }
        let built = builder.build().inspect(|executor| crate::warn(&cut_off(executor.workspaces())));
        built.map(Self).map_err(|error| match error {
            ExecutorError::Journal(error) => journal_failure(error),
            ExecutorError::NoPrompt | ExecutorError::ZeroBudget(_) | ExecutorError::SocketsClosed(_) => {
                Failure::bad_input(error.to_string())
            }
            ExecutorError::Sandbox(_) => Failure::new(ExitCode::Unenforceable, format!("failed to start: {error}"))
                .hint("`agentic doctor` says what this host can enforce"),
            ExecutorError::Workspace(_) => {
                Failure::bad_input(format!("failed to start: {error}")).hint("AGENTIC_STATE names another state folder")
            }
            _ => Failure::failed(format!("failed to start: {error}")),
        })
    }
    /// The plan for a task.
    pub(crate) fn plan(&self, task: &str, context: &Map<String, Value>) -> Result<ExecutionPlan> {
        self.0.plan(task, context).map_err(|error| {
            let failure = Failure::bad_input(error.to_string());
            match error {
                PlanError::MissingContext { .. } => failure.hint("the context is given with -c KEY=VALUE"),
                _ => failure,
            }
        })
    }
    /// The plan of a file, its tools checked; `context` beats what the file says.
    pub(crate) fn check(&self, plan: PlanText, context: Map<String, Value>) -> Result<ExecutionPlan> {
        let PlanText(mut file) = plan;
        file.check_tools(&self.0.registry().list_tools()).map_err(|error| Failure::bad_input(error.to_string()))?;
        file.context.extend(context);
        if !file.context.is_empty() {
            file.plan.metadata.insert("context".into(), Value::Object(file.context));
        }
        Ok(file.plan)
    }
    pub(crate) fn execute(&self, plan: ExecutionPlan) -> ExecutionResult {
        self.0.execute_plan(plan)
    }
    /// Goes on with a run.
    pub(crate) fn resume(&self, run: &RunId, how: &Resume) -> Result<ExecutionResult> {
        self.0.resume(run, how).map_err(resume_failure)
    }
    pub(crate) fn call(&self, tool: &str, params: Map<String, Value>) -> ToolResult {
        self.0.call(tool, params)
    }
    /// Takes back what a run did after a step, or all of it.
    pub(crate) fn roll_back(&self, run: &RunId, to: Option<&str>, how: &RollBack) -> Result<RunRolledBack> {
        self.0.roll_back(run, to, how).map_err(roll_back_failure)
    }
    /// Frees what undo keeps, down to so many megabytes.
    pub(crate) fn collect(&self, megabytes: u64, dry_run: bool) -> Result<Collected> {
        let most = megabytes.saturating_mul(agentic_sandbox::MB);
        self.0
            .collect(most, dry_run)
            .map_err(|error| Failure::failed(format!("failed to free what undo keeps: {error}")))
    }
    /// Replaces text in a file.
    pub(crate) fn edit(&self, path: &Path, old: &str, new: &str) -> Result<ExecutionResult> {
        let path = path
            .to_str()
            .ok_or_else(|| Failure::bad_input(format!("failed to edit {}: the path is not UTF-8", path.display())))?;
        Ok(self.0.edit_file(path, old, new))
    }
    /// Runs the project's tests.
    pub(crate) fn run_tests(&self, params: &RunTestsParams, commit: CommitPolicy) -> ExecutionResult {
        self.0.run_tests_with(params, None, commit)
    }
    /// Lets plans call one more tool.
    pub(crate) fn register(&self, tool: Arc<dyn Tool>) -> Result<()> {
        let name = tool.name().to_owned();
        let refused = |error| Failure::failed(format!("failed to add the tool `{name}`: {error}"));
        self.0.registry().register(tool).map_err(refused)
    }
    /// The tool of this name.
    pub(crate) fn tool(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.0.registry().get(name)
    }
    /// Applies a patch.
    pub(crate) fn apply_patch(&self, patch: &str) -> ExecutionResult {
        self.0.apply_patch(patch)
    }
}

/// What the journal knows of the tests of a workspace, in the newest `runs` runs of them.
pub(crate) fn test_history(state: &Path, workspace: &Path, runs: usize) -> Result<Vec<TestHistory>> {
    let path = journal_path(state);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let journal = Journal::open_read_only(&path).map_err(journal_failure)?;
    history(&journal, workspace, runs).map_err(journal_failure)
}

/// Says that what was written waits for another process.
pub(crate) fn waits(why: &str) {
    crate::warn(&[why.to_owned()]);
}

/// What was found of runs that were killed while they changed the workspace.
fn cut_off(workspaces: &Workspaces) -> Vec<String> {
    let told = |one: &Recovered| match &one.outcome {
        Ok(done) if done.changes.is_empty() && one.left.is_empty() && done.changed_since.is_empty() => None,
        Ok(done) => {
            let paths = crate::rollback::counted(done.changes.changes.len());
            let mut text = format!("a run was killed while it changed the workspace; put back: {paths}");
            let left = done.changed_since.iter().chain(&one.left);
            for left in left {
                text.push_str(&format!("; {} was left alone: {}", path_on_a_line(&left.path), left.reason));
            }
            Some(text)
        }
        Err(error) => Some(format!(
            "a run was killed while it changed the workspace, and that could not be put back yet: {error}"
        )),
    };
    workspaces.recovered().iter().filter_map(told).collect()
}

fn resume_failure(error: ResumeError) -> Failure {
    let message = format!("failed to go on: {error}");
    match error {
        ResumeError::Journal(error) => journal_failure(error),
        ResumeError::Changed { .. } => Failure::failed(message).hint(
            "nothing was done; put it back as it was, or --force goes on with what is there now; steps that completed \
             are not done again; `agentic run` begins anew",
        ),
        ResumeError::Unknown { ref step, .. } => {
            let hint = format!("look whether it happened; `--retry {step}` calls it again");
            Failure::failed(message).hint(hint)
        }
        ResumeError::Running { .. } => Failure::failed(message).hint("`agentic show RUN` says how far it has come"),
        _ => Failure::failed(message),
    }
}

fn roll_back_failure(error: RollBackError) -> Failure {
    let message = format!("failed to roll back: {error}");
    match error {
        RollBackError::Journal(error) => journal_failure(error),
        RollBackError::NoSuchStep { .. } => Failure::bad_input(error.to_string()),
        RollBackError::Staged { .. } => Failure::bad_input(error.to_string())
            .hint("leave the step out: the run is shown, and taken back, as a whole"),
        RollBackError::Workspace(WorkspaceError::NotTouched(_)) => {
            Failure::bad_input(message).hint("`agentic diff RUN --stat` lists what a run changed")
        }
        RollBackError::Workspace(WorkspaceError::ChangedSince(_)) => Failure::failed(message).hint(
            "nothing was done; `--dry-run` shows all of it, naming paths leaves the others alone, and `--force` \
             overwrites what was changed, which is kept first",
        ),
        RollBackError::Workspace(WorkspaceError::NotKept { .. }) => {
            Failure::failed(message).hint("`agentic diff RUN STEP` shows which steps can be taken back")
        }
        _ => Failure::failed(message),
    }
}

/// What a run did, or one of its steps.
pub(crate) fn differences(state: &Path, events: &[Event], step: Option<&str>) -> Result<Vec<Difference>> {
    let failed = |error: WorkspaceError| Failure::failed(format!("failed to compare: {error}"));
    let store = Store::open(state.join("store")).map_err(failed)?;
    run_differences(&Records::of(state, store), events, step).map_err(|error| match error {
        RollBackError::Workspace(error) => failed(error),
        error => roll_back_failure(error),
    })
}

/// Planning alone needs nobody to ask.
fn without_person(mode: ExecutionMode) -> ExecutionMode {
    match mode {
        ExecutionMode::Interactive => ExecutionMode::Sequential,
        other => other,
    }
}

fn approval(rules: &[approval::Rule]) -> Result<Approval> {
    let pattern = |text: &str| {
        Pattern::new(text)
            .map_err(|error| Failure::bad_input(format!("`{text}` in an approval rule is no glob: {error}")))
    };
    let rules = rules
        .iter()
        .map(|rule| {
            Ok(Rule {
                action: match rule.action {
                    approval::Action::Allow => Action::Allow,
                    approval::Action::Ask => Action::Ask,
                    approval::Action::Deny => Action::Deny,
                },
                tool: (!rule.tool.is_empty()).then(|| pattern(&rule.tool)).transpose()?,
                path: rule.path.as_deref().map(pattern).transpose()?,
                command: rule.command.as_deref().map(pattern).transpose()?,
            })
        })
        .collect::<Result<_>>()?;
    Ok(Approval { rules })
}

/// A plan in one of its forms.
pub(crate) fn show_plan(plan: &ExecutionPlan, format: PlanFormat) -> String {
    let format = match format {
        PlanFormat::Text => Format::Text,
        PlanFormat::Json => Format::Json,
        PlanFormat::Mermaid => Format::Mermaid,
        PlanFormat::Dot => Format::Dot,
        PlanFormat::Yaml => Format::Yaml,
    };
    render(plan, format)
}

/// Every built-in tool.
pub(crate) fn tools() -> Vec<ToolLine> {
    let registry = ToolRegistry::full_registry();
    let tools = registry.list_tools().into_iter().filter_map(|name| registry.get(&name));
    tools.map(|tool| ToolLine { name: tool.name().to_owned(), description: tool.description().to_owned() }).collect()
}

/// The schemas of every built-in tool, or of one.
pub(crate) fn schemas(name: Option<&str>, format: SchemaFormat) -> Result<Value> {
    let registry = ToolRegistry::full_registry();
    let shape = match format {
        SchemaFormat::Openai => Shape::OpenAi,
        SchemaFormat::Anthropic => Shape::Anthropic,
        SchemaFormat::Mcp => Shape::Mcp,
        SchemaFormat::Plain => Shape::Plain,
    };
    let names = registry.list_tools();
    let schemas = registry.get_schemas(shape);
    let Some(name) = name else { return Ok(Value::Array(schemas)) };
    match names.iter().position(|known| known == name) {
        Some(at) => Ok(Value::Array(schemas.into_iter().skip(at).take(1).collect())),
        None => {
            Err(Failure::bad_input(format!("Unknown tool: {name}")).hint(format!("the tools are {}", names.join(", "))))
        }
    }
}

fn journal_path(state: &Path) -> std::path::PathBuf {
    state.join("journal.sqlite3")
}

/// A journal that cannot be had is a state folder that was chosen badly; one that fails later is a failure.
fn journal_failure(error: JournalError) -> Failure {
    let message = error.to_string();
    match error {
        JournalError::NoSuchRun(_) | JournalError::Ambiguous { .. } => Failure::bad_input(message),
        JournalError::Create { .. } | JournalError::NotWritable { .. } => {
            Failure::bad_input(message).hint("AGENTIC_STATE names another state folder")
        }
        _ => Failure::failed(message).hint("AGENTIC_STATE names another state folder"),
    }
}

/// The newest runs of the journal; none when there is no journal yet.
pub(crate) fn runs(state: &Path, limit: usize) -> Result<Vec<RunLine>> {
    let path = journal_path(state);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let runs = Journal::open_read_only(&path).and_then(|journal| journal.runs(limit)).map_err(journal_failure)?;
    Ok(runs
        .into_iter()
        .map(|run| RunLine {
            id: run.id.to_string(),
            task: run.task,
            started: run.started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            duration: run.finished.map(|finished| finished.duration_since(run.started).as_secs_f64()),
            stop_reason: run.stop_reason.map(|reason| reason.as_str().to_owned()),
            running: run.finished.is_none().then(|| running(state, &run.id)).flatten(),
            steps: run.steps,
        })
        .collect())
}

/// The events of the run whose id begins or ends like this.
pub(crate) fn events(state: &Path, run: &str) -> Result<Vec<Event>> {
    let path = journal_path(state);
    if !path.exists() {
        return Err(Failure::bad_input(format!("no run matches `{run}`: there is no journal in {}", state.display())));
    }
    let journal = Journal::open_read_only(&path).map_err(journal_failure)?;
    journal.find(run).and_then(|run| journal.events(&run)).map_err(journal_failure)
}
