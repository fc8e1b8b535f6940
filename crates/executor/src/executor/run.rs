//! One execution of a plan: what its threads share, and the loop that starts steps and takes them back.
//!
//! The coordinator alone decides (`coordinate.rs`); workers only make attempts. A run ends when every step
//! has reached its end, or when it is stopped: then what runs is cancelled, and nothing further starts.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::approval::Asking;
use super::attempt::{Done, Job, execute};
use super::budget::{Budget, Spent};
use super::call::{Answered, Door, Request};
use super::coordinate::Coordinator;
use super::late::Kept;
use super::past::Past;
use super::record::Recorder;
use super::running::Running;
use super::{AgenticExecutor, ExecutionMode, ExecutionResult, lock};
use crate::cancel::Cancel;
use crate::cause::Cause;
use crate::id::RunId;
use crate::journal::{EventBody, JournalError};
use crate::planner::{ExecutionPlan, PlanStep};
use crate::tools::{ToolRegistry, ToolResult};
use crate::workspace::Workspaces;

/// Why a run ends before its plan does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stop {
    /// A step failed whose policy is to stop.
    Failed,
    /// A budget is spent.
    Limit(Spent),
    /// The run was asked to end.
    Cancelled,
    /// The journal cannot be written.
    Unrecorded(String),
}

/// What the threads of a run share.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) executor: &'a AgenticExecutor,
    pub(super) registry: &'a ToolRegistry,
    pub(super) recorder: Arc<Recorder>,
    pub(super) asking: Asking,
    pub(super) budget: Budget,
    /// The plan as it stands.
    pub(super) plan: Mutex<ExecutionPlan>,
    /// What the run was given.
    pub(super) context: Map<String, Value>,
    pub(super) recoveries: Mutex<Vec<Value>>,
    pub(super) kept: Kept,
    /// What the steps write goes here first, in a staged run.
    pub(super) staged: Option<Workspaces>,
    /// What earlier processes of the run had done.
    pub(super) past: Past,
    /// Held alone by a call that met a conflict with another step, so that it cannot meet the next.
    floor: RwLock<()>,
    cancel: Cancel,
    stop: Mutex<Option<Stop>>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        executor: &'a AgenticExecutor,
        registry: &'a ToolRegistry,
        plan: ExecutionPlan,
        context: Map<String, Value>,
    ) -> Self {
        let recorder = Recorder::new(Arc::clone(&executor.journal), executor.subscribers.clone());
        let staged = executor.review.is_some().then(|| executor.workspaces.staged());
        Self { staged, ..Self::with(executor, registry, (plan, context), recorder, Past::default()) }
    }
    /// The same, with its changes applied as they are made.
    pub(super) fn at_once(self) -> Self {
        Self { staged: None, ..self }
    }
    /// A run that goes on where earlier processes of it had ended.
    pub(super) fn again(executor: &'a AgenticExecutor, registry: &'a ToolRegistry, run: RunId, mut past: Past) -> Self {
        let recorder = Recorder::new(Arc::clone(&executor.journal), executor.subscribers.clone()).of(run, past.next);
        let plan = (std::mem::take(&mut past.plan), std::mem::take(&mut past.context));
        Self::with(executor, registry, plan, recorder, past)
    }
    fn with(
        executor: &'a AgenticExecutor,
        registry: &'a ToolRegistry,
        (plan, context): (ExecutionPlan, Map<String, Value>),
        recorder: Recorder,
        mut past: Past,
    ) -> Self {
        let recoveries = Mutex::new(std::mem::take(&mut past.recoveries));
        Self {
            executor,
            registry,
            recorder: Arc::new(recorder),
            past,
            asking: Asking::new(executor.prompt.clone()),
            budget: Budget::new(executor.config.budgets.clone()),
            plan: Mutex::new(plan),
            context,
            recoveries,
            kept: Kept::default(),
            staged: None,
            floor: RwLock::default(),
            cancel: Cancel::new(),
            stop: Mutex::default(),
        }
    }
    /// Makes a call, beside others or alone.
    pub(super) fn call(&self, request: &Request<'_>, alone: bool) -> Answered {
        let door = self.door();
        if alone {
            let _alone = self.floor.write().unwrap_or_else(PoisonError::into_inner);
            door.call(request)
        } else {
            let _beside = self.floor.read().unwrap_or_else(PoisonError::into_inner);
            door.call(request)
        }
    }
    pub(super) fn door(&self) -> Door<'_> {
        Door {
            executor: self.executor,
            workspaces: self.workspaces(),
            registry: self.registry,
            recorder: &self.recorder,
            cancel: &self.cancel,
            asking: &self.asking,
            kept: &self.kept,
        }
    }
    /// Where its steps work.
    pub(super) fn workspaces(&self) -> &Workspaces {
        self.staged.as_ref().unwrap_or(&self.executor.workspaces)
    }
    /// The request to end of this run: made by the executor's, or by a stop.
    pub(super) fn cancel(&self) -> &Cancel {
        &self.cancel
    }
    /// Ends the run; the first reason counts. What runs is cancelled, except by a budget of calls or steps.
    pub(super) fn stop(&self, why: Stop) {
        let ends_what_runs = !matches!(why, Stop::Limit(Spent::Steps(_) | Spent::IdenticalCalls { .. }));
        lock(&self.stop).get_or_insert(why);
        if ends_what_runs {
            self.cancel.cancel();
        }
    }
    /// Why the run ends early, if it does.
    pub(super) fn stopped(&self) -> Option<Stop> {
        if self.executor.cancel.is_cancelled() {
            self.stop(Stop::Cancelled);
        }
        if let Some(reason) = self.recorder.broken() {
            self.stop(Stop::Unrecorded(reason.to_owned()));
        }
        lock(&self.stop).clone()
    }
    pub(super) fn is_over(&self) -> bool {
        self.stopped().is_some()
    }
    /// Records what happened; a failure stops the run when it is next looked at.
    pub(super) fn record(&self, body: EventBody) {
        self.recorder.record(body).ok();
    }
    /// The step of the plan becomes what it was last called with.
    pub(super) fn edit(&self, at: usize, step: &PlanStep, reason: &str) {
        {
            let mut plan = lock(&self.plan);
            if let Some(planned) = plan.steps.get_mut(at) {
                planned.params.clone_from(&step.params);
                planned.timeout = step.timeout;
            }
        }
        self.plan_changed(format!("{}: {reason}", step.id));
    }
    pub(super) fn plan_changed(&self, reason: String) {
        let plan = without_results(&mut lock(&self.plan));
        self.record(EventBody::PlanChanged { reason, plan });
    }

    /// Runs the plan to its end.
    pub(super) fn execute(self) -> ExecutionResult {
        let running = Running::take(&self.executor.journal, self.recorder.run());
        let started = match &running {
            Ok(Some(Err(owner))) => Err(format!("{} runs this run", owner.0)),
            Ok(_) => self.started().map_err(|error| error.to_string()),
            Err(error) => Err(format!("failed to take the run for this process: {error}")),
        };
        self.go_on(started)
    }

    /// Runs what is left of the plan, once the journal has its beginning.
    pub(super) fn go_on(self, started: Result<(), String>) -> ExecutionResult {
        let began = Instant::now();
        let linked = {
            let cancel = self.cancel.clone();
            self.executor.cancel.on_cancel(move || cancel.cancel())
        };
        if let Err(why) = started {
            self.stop(Stop::Unrecorded(why));
        }
        let parallel = match self.executor.mode {
            ExecutionMode::Parallel => self.executor.config.budgets.parallel.max(1),
            ExecutionMode::Sequential | ExecutionMode::Interactive => 1,
        };
        let (over, ends) = mpsc::channel::<()>();
        let result = std::thread::scope(|scope| {
            if let Some(most) = self.executor.config.budgets.time {
                let run = &self;
                scope.spawn(move || {
                    if ends.recv_timeout(most) == Err(RecvTimeoutError::Timeout) {
                        run.stop(Stop::Limit(Spent::Time(most)));
                    }
                });
            }
            let mut coordinator = Coordinator::new(&self);
            if parallel == 1 {
                while let Some(job) = coordinator.next() {
                    let done = contained(&self, job);
                    coordinator.take_back(done);
                }
            } else {
                let mut workers = Workers::new(scope, &self, parallel);
                loop {
                    while workers.busy < parallel {
                        let Some(job) = coordinator.next() else { break };
                        workers.send(job);
                    }
                    if workers.busy == 0 {
                        break;
                    }
                    let Some(done) = workers.receive() else { break };
                    coordinator.take_back(done);
                }
            }
            let result = coordinator.finish(began.elapsed());
            drop(over);
            result
        });
        drop(linked);
        result
    }

    fn started(&self) -> Result<(), JournalError> {
        let plan = without_results(&mut lock(&self.plan));
        self.recorder.record(EventBody::RunStarted {
            task: plan.task.clone(),
            mode: self.executor.mode,
            workspace: self.executor.config.workspace.clone(),
            plan_hash: plan_hash(&plan)?,
            tools: schema_hashes(self.registry, &plan),
            plan,
            context: self.context.clone(),
            staged: self.staged.is_some(),
        })
    }
}

/// BLAKE3 of a plan's JSON.
pub(super) fn plan_hash(plan: &ExecutionPlan) -> Result<String, JournalError> {
    let text = serde_json::to_vec(plan).map_err(|source| JournalError::Encode { kind: "run_started", source })?;
    Ok(blake3::hash(&text).to_hex().to_string())
}

/// BLAKE3 of the schema of each tool that a plan calls, by tool; those that are not registered are left out.
pub(super) fn schema_hashes(registry: &ToolRegistry, plan: &ExecutionPlan) -> BTreeMap<String, String> {
    let mut tools = BTreeMap::new();
    for step in &plan.steps {
        if !tools.contains_key(&step.tool) {
            let schema =
                registry.get(&step.tool).and_then(|tool| catch_unwind(AssertUnwindSafe(|| tool.schema())).ok());
            if let Some(schema) = schema {
                tools.insert(step.tool.clone(), blake3::hash(schema.to_string().as_bytes()).to_hex().to_string());
            }
        }
    }
    tools
}

/// A copy of the plan without what its steps produced, which the journal has already.
fn without_results(plan: &mut ExecutionPlan) -> ExecutionPlan {
    let results: Vec<_> = plan.steps.iter_mut().map(|step| step.result.take()).collect();
    let copy = plan.clone();
    for (step, result) in plan.steps.iter_mut().zip(results) {
        step.result = result;
    }
    copy
}

/// A fault of ours in the attempts at a step ends that step, not the process.
fn contained(run: &Run<'_>, job: Job) -> Done {
    let (at, step, start_time) = (job.at, job.step.clone(), super::attempt::now());
    catch_unwind(AssertUnwindSafe(|| execute(run, job))).unwrap_or_else(|_| Done {
        at,
        result: ToolResult::failure(Cause::Internal, format!("a fault of the executor ended step `{}`", step.id)),
        step,
        attempts: 1,
        start_time,
        end_time: super::attempt::now(),
        duration: Duration::ZERO,
        spent: None,
        aborted: false,
    })
}

/// Threads that make attempts, started as they are needed.
struct Workers<'scope, 'env, 'run> {
    scope: &'scope std::thread::Scope<'scope, 'env>,
    run: &'scope Run<'run>,
    most: usize,
    started: usize,
    busy: usize,
    jobs: Sender<Job>,
    queue: Arc<Mutex<Receiver<Job>>>,
    results: Sender<Done>,
    done: Receiver<Done>,
}

impl<'scope, 'env, 'run> Workers<'scope, 'env, 'run> {
    fn new(scope: &'scope std::thread::Scope<'scope, 'env>, run: &'scope Run<'run>, most: usize) -> Self {
        let (jobs, queue) = mpsc::channel();
        let (results, done) = mpsc::channel();
        Self { scope, run, most, started: 0, busy: 0, jobs, queue: Arc::new(Mutex::new(queue)), results, done }
    }
    fn send(&mut self, job: Job) {
        if self.started == self.busy && self.started < self.most {
            self.started += 1;
            let (run, queue, results) = (self.run, Arc::clone(&self.queue), self.results.clone());
            self.scope.spawn(move || {
                loop {
                    // Dropped with the workers: then there is nothing left to do.
                    let Ok(job) = lock(&queue).recv() else { return };
                    if results.send(contained(run, job)).is_err() {
                        return;
                    }
                }
            });
        }
        self.busy += 1;
        // The queue's receiver lives in `self`.
        self.jobs.send(job).ok();
    }
    fn receive(&mut self) -> Option<Done> {
        let done = self.done.recv().ok()?;
        self.busy -= 1;
        Some(done)
    }
}
