//! Runs plans: order, attempts, approval, recovery, budgets, events.
//!
//! [`AgenticExecutor`] is what front ends hold. It plans a task ([`AgenticExecutor::execute`]) or takes a plan,
//! runs its steps in one of three modes and tells every event to the journal first and to subscribers next.
//! Every call, of a step or a bare one, passes the one door in `call.rs`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentic_sandbox::{Network, Sandbox};
use serde_json::{Map, Value};

use crate::cancel::Cancel;
use crate::config::Config;
use crate::journal::{Event, Journal};
use crate::planner::{ExecutionPlan, NoProject, PlanError, PlanStep, TaskPlanner};
use crate::tools::{ToolRegistry, ToolResult};
use crate::wait::Waiter;
use crate::workspace::{Dir, StagedChanges, Workspaces};

mod approval;
mod attempt;
mod budget;
mod call;
mod collect;
mod commands;
mod coordinate;
mod edit_file;
mod error;
mod expand;
mod expectation;
mod find_file;
mod in_folder;
mod late;
mod one_step;
mod outcome;
mod past;
mod record;
mod recover;
mod result;
mod resume;
mod roll_back;
mod run;
mod running;
mod schedule;
mod sight;
mod staged;
mod undoing;

pub use approval::{Action, Answer, Approval, Judged, Pattern, Prompt, Rule};
pub use collect::{CollectError, MOST_KEPT};
pub use error::ExecutorError;
pub use result::{ExecutionMode, ExecutionResult, ExecutionStep, StopReason};
pub use resume::{Resume, ResumeError};
pub use roll_back::{RollBackError, RunRolledBack, layers_of, layers_of_step, run_differences, workspace_of};
pub use running::running;
pub use staged::Review;

use call::{Door, Request};
use record::{Recorder, Subscribers};
use run::Run;
use staged::Reviewer;

/// Told of every step that has ended.
pub type StepSubscriber = Arc<dyn Fn(&ExecutionStep) + Send + Sync>;

/// Plans and runs tasks over one workspace. Not to be used, nor dropped, in a forked child of the process, as its
/// [`Workspaces`] and [`Journal`] are not.
#[derive(Debug)]
pub struct AgenticExecutor {
    config: Config,
    registry: ToolRegistry,
    planner: TaskPlanner,
    workspaces: Workspaces,
    approval: Approval,
    prompt: Option<Arc<dyn Prompt>>,
    journal: Arc<Journal>,
    subscribers: Subscribers,
    cancel: Cancel,
    waiter: Waiter,
    mode: ExecutionMode,
    /// Runs are staged, and this decides what becomes of what they did.
    review: Option<Reviewer>,
}

/// What an [`AgenticExecutor`] is made of.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    config: Config,
    registry: ToolRegistry,
    mode: ExecutionMode,
    approval: Approval,
    workspaces: Option<Workspaces>,
    journal: Option<Arc<Journal>>,
    prompt: Option<Arc<dyn Prompt>>,
    subscribers: Subscribers,
    cancel: Cancel,
    waiter: Waiter,
    review: Option<Reviewer>,
}

impl Builder {
    /// The tools that steps may call. Default: none.
    pub fn registry(mut self, registry: ToolRegistry) -> Self {
        self.registry = registry;
        self
    }
    /// How steps are scheduled. Default: sequential.
    pub fn mode(mut self, mode: ExecutionMode) -> Self {
        self.mode = mode;
        self
    }
    /// Steps that one run may start. Default: what the configuration says (50).
    pub fn max_steps(mut self, steps: usize) -> Self {
        self.config.budgets.steps = steps;
        self
    }
    /// Which calls may be made. Default: all.
    pub fn approval(mut self, approval: Approval) -> Self {
        self.approval = approval;
        self
    }
    /// The workspaces, with their sandbox and their state folder, which takes the place of the configuration's.
    /// Default: of its own. Executors of one process that may work on one folder share them: layers that others have
    /// open on it are seen, and waited for where they must be.
    pub fn workspaces(mut self, workspaces: Workspaces) -> Self {
        self.workspaces = Some(workspaces);
        self
    }
    /// Told, in words, when what a step wrote has waited for another process on the same folder for a second. Default:
    /// nobody. Of workspaces that are given it is theirs to say ([`Workspaces::on_wait`]).
    pub fn on_wait(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.subscribers.on_wait = Some(Arc::new(tell));
        self
    }
    /// Where runs are recorded. Default: `journal.sqlite3` in the state folder.
    pub fn journal(mut self, journal: Arc<Journal>) -> Self {
        self.journal = Some(journal);
        self
    }
    /// Told of every event, in order, a durable one once it is on the disk. May be given several times.
    pub fn on_event(mut self, subscriber: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.subscribers.events.push(Arc::new(subscriber));
        self
    }
    /// Told of every step of a plan that has ended. May be given several times.
    pub fn on_step_complete(mut self, subscriber: impl Fn(&ExecutionStep) + Send + Sync + 'static) -> Self {
        self.subscribers.steps.push(Arc::new(subscriber));
        self
    }
    /// Whom to ask, in interactive mode and when a rule says `ask`.
    pub fn prompt(mut self, prompt: Arc<dyn Prompt>) -> Self {
        self.prompt = Some(prompt);
        self
    }
    /// Stages every run: what its steps write is held back from the workspace, where later steps see it, until all of them
    /// have succeeded. Then `review` looks at it and decides: it is applied as one change, or dropped. A run that does not
    /// succeed leaves the workspace as it was. Default: a step's changes are applied when the step ends.
    pub fn staged(mut self, review: impl Fn(&StagedChanges) -> bool + Send + Sync + 'static) -> Self {
        self.review = Some(Reviewer(Arc::new(review)));
        self
    }
    /// The request to end that the executor listens to. Default: one of its own.
    pub fn cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }
    /// How to wait between tries. Default: by sleeping, until the time is over or the run is cancelled.
    pub fn wait_with(mut self, wait: impl Fn(Duration, &Cancel) + Send + Sync + 'static) -> Self {
        self.waiter = Waiter::new(wait);
        self
    }
    /// The executor.
    ///
    /// # Errors
    /// [`ExecutorError`]: a journal or state folder that cannot be used, interactive mode without a prompt, a
    /// budget of 0, hosts allowed by name where code opens no socket.
    pub fn build(mut self) -> Result<AgenticExecutor, ExecutorError> {
        let budgets = &self.config.budgets;
        for (name, zero) in [
            ("max_steps", budgets.steps == 0),
            ("max_time", budgets.time.is_some_and(|time| time.is_zero())),
            ("max_identical_calls", budgets.identical_calls == 0),
            ("parallel", budgets.parallel == 0),
        ] {
            if zero {
                return Err(ExecutorError::ZeroBudget(name));
            }
        }
        let sandbox = &self.config.sandbox;
        if sandbox.network == Network::Proxied
            && let Some(why) = sandbox.sockets_closed()
        {
            return Err(ExecutorError::SocketsClosed(why));
        }
        if self.mode == ExecutionMode::Interactive && self.prompt.is_none() {
            return Err(ExecutorError::NoPrompt);
        }
        let workspaces = match self.workspaces {
            Some(workspaces) => workspaces,
            None => {
                let made = Workspaces::new(&self.config.state, Sandbox::new(self.config.spawner.clone())?)?;
                let made = made.with_tier(self.config.sandbox.tier);
                match self.subscribers.on_wait.clone() {
                    Some(tell) => made.on_wait(tell),
                    None => made,
                }
            }
        };
        let workspaces = workspaces.with_cancel(self.cancel.clone());
        self.config.state = workspaces.state().to_owned();
        let journal = match self.journal {
            Some(journal) => journal,
            None => Arc::new(Journal::open(&self.config.state.join("journal.sqlite3"))?),
        };
        Ok(AgenticExecutor {
            planner: TaskPlanner::new(self.registry.list_tools()),
            config: self.config,
            registry: self.registry,
            workspaces,
            approval: self.approval,
            prompt: self.prompt,
            journal,
            subscribers: self.subscribers,
            cancel: self.cancel,
            waiter: self.waiter,
            mode: self.mode,
            review: self.review,
        })
    }
}

impl AgenticExecutor {
    /// What an executor is made of; everything but the configuration has a default.
    pub fn builder(config: Config) -> Builder {
        Builder {
            config,
            registry: ToolRegistry::new(),
            mode: ExecutionMode::default(),
            approval: Approval::default(),
            workspaces: None,
            journal: None,
            prompt: None,
            subscribers: Subscribers::default(),
            cancel: Cancel::new(),
            waiter: Waiter::default(),
            review: None,
        }
    }

    /// Plans the task and runs the plan. A task that no rule understands is a failure whose error lists what is
    /// understood (`metadata["kind"]` is `bad_input`); nothing is started then.
    #[must_use = "a failure is told in the result"]
    pub fn execute(&self, task: &str, context: &Map<String, Value>) -> ExecutionResult {
        match self.plan(task, context) {
            Ok(plan) => self.run(&self.registry, plan, context.clone()),
            Err(error) => ExecutionResult::bad_input(task, error.to_string()),
        }
    }

    /// Runs a plan. One that cannot be meant (a cycle, a missing step, no steps) is a failure like a task that
    /// is not understood.
    #[must_use = "a failure is told in the result"]
    pub fn execute_plan(&self, plan: ExecutionPlan) -> ExecutionResult {
        self.execute_plan_with(plan, &Map::new())
    }

    /// The same, with what its `${{ context.… }}` references are to see.
    #[must_use = "a failure is told in the result"]
    pub fn execute_plan_with(&self, plan: ExecutionPlan, context: &Map<String, Value>) -> ExecutionResult {
        self.run(&self.registry, plan, context.clone())
    }

    /// One call outside any run: through the same door, recorded in memory, committed at once.
    #[must_use = "a failure is told in the result"]
    pub fn call(&self, tool: &str, params: Map<String, Value>) -> ToolResult {
        let journal = match Journal::in_memory() {
            Ok(journal) => Arc::new(journal),
            Err(error) => return ToolResult::failure(crate::Cause::Internal, error.to_string()),
        };
        let recorder = Arc::new(Recorder::new(journal, self.subscribers.clone()));
        let asking = approval::Asking::new(self.prompt.clone());
        let kept = late::Kept::default();
        let door = Door {
            executor: self,
            workspaces: &self.workspaces,
            registry: &self.registry,
            recorder: &recorder,
            cancel: &self.cancel,
            asking: &asking,
            kept: &kept,
        };
        let step = PlanStep::new("", tool, params, format!("Call {tool}"));
        let request = Request { step: &step, attempt: 1, memory: None, copy: false, consented: false };
        let result = door.call(&request).result;
        match kept.settle(&self.workspaces) {
            Ok(late) => late.into_iter().next().map_or(result, |late| {
                // A journal in memory that cannot take it tells nobody less.
                recorder.record(late.event()).ok();
                late.result
            }),
            Err(error) => call::workspace_failure("apply what was written", &error),
        }
    }

    /// The plan for a task, without running it.
    ///
    /// # Errors
    /// [`PlanError::NotUnderstood`] with the list of what is understood, and the planner's other refusals.
    pub fn plan(&self, task: &str, context: &Map<String, Value>) -> Result<ExecutionPlan, PlanError> {
        match Dir::open_root(&self.config.workspace) {
            Ok(project) => self.planner.plan(task, context, &project.read_only()),
            // The workspace is refused when a step opens it, with the reason; a plan may need no project.
            Err(_) => self.planner.plan(task, context, &NoProject),
        }
    }

    /// The tools; those registered later are called, too. The planner keeps the names it was built with.
    pub fn registry(&self) -> &ToolRegistry {
        &self.registry
    }
    /// The planner.
    pub fn planner(&self) -> &TaskPlanner {
        &self.planner
    }
    /// The planner, to be changed.
    pub fn planner_mut(&mut self) -> &mut TaskPlanner {
        &mut self.planner
    }
    /// The request to end. Once made it ends every run of this executor, later ones too.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }
    /// The workspaces, for another executor of this process to share.
    pub fn workspaces(&self) -> &Workspaces {
        &self.workspaces
    }
    /// What the executor was told.
    pub fn config(&self) -> &Config {
        &self.config
    }
    /// Where runs are recorded.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }
    /// How steps are scheduled.
    pub fn mode(&self) -> ExecutionMode {
        self.mode
    }
    /// Changes how steps are scheduled. Without a prompt, interactive mode declines every step.
    pub fn set_mode(&mut self, mode: ExecutionMode) {
        self.mode = mode;
    }
    /// Changes how many steps one run may start.
    pub fn set_max_steps(&mut self, steps: usize) {
        self.config.budgets.steps = steps;
    }
    /// Replaces everyone who is told of ended steps by one, or by nobody.
    pub fn set_on_step_complete(&mut self, subscriber: Option<StepSubscriber>) {
        self.subscribers.steps = subscriber.into_iter().collect();
    }

    fn run(&self, registry: &ToolRegistry, plan: ExecutionPlan, context: Map<String, Value>) -> ExecutionResult {
        if plan.steps.is_empty() {
            return ExecutionResult::bad_input(&plan.task, "the plan has no steps");
        }
        // A tool that is missing is told by its step, so that a plan can go around it.
        match plan.validate(None) {
            Ok(()) => {
                let result = Run::new(self, registry, plan, context).execute();
                self.collect_now_and_then();
                result
            }
            Err(error) => ExecutionResult::bad_input(&plan.task, error.to_string()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
