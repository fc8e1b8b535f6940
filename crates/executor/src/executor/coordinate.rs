//! Decides what happens next in a run: which step starts, and what the end of one means for the others.
//!
//! One thread, no waiting: everything here is bookkeeping over the plan and the schedule. A step that ends can
//! end others (the `for_each` it belongs to, the step it stands in for, those that depend on it); that is a
//! loop over `Ended`, never recursion, so that long chains cost no stack.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::approval::Answer;
use super::attempt::{Done, Job, now};
use super::expand::{Prepared, aggregate, child, prepare, unanswered};
use super::run::{Run, Stop};
use super::schedule::Schedule;
use super::sight::Sight;
use super::{ExecutionMode, ExecutionStep, call, lock};
use crate::cause::Cause;
use crate::id::StepId;
use crate::journal::EventBody;
use crate::planner::{OnFailure, PlanStep, StepStatus};
use crate::tools::{Resources, ToolResult};

/// Steps that the planner may put in place of failed ones, in one run.
const MOST_REPLANS: u32 = 3;

/// What the coordinator knows of a step besides the plan.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The `for_each` step it belongs to, with its item.
    parent: Option<usize>,
    item: Option<(String, Value)>,
    /// What its own `for_each` expanded to.
    pub(super) children: Vec<usize>,
    left: usize,
    /// The step in whose place it runs.
    owner: Option<usize>,
    /// What runs in its place, one after the other; and how it failed.
    stand_ins: VecDeque<usize>,
    pub(super) failed: Option<Done>,
    replaced: bool,
    /// Ready to start as soon as its resources are free.
    job: Option<Job>,
    began: Option<(f64, Instant)>,
    path: Option<Value>,
    /// It was skipped for no fault: its `when`, or a fallback that was not needed.
    pub(super) blameless: bool,
    pub(super) reserve: bool,
}

impl State {
    /// Whether a `for_each` made it.
    pub(super) fn is_item(&self) -> bool {
        self.parent.is_some()
    }
    /// The `for_each` step that made it.
    pub(super) fn parent(&self) -> Option<usize> {
        self.parent
    }
}

/// Decides what happens next.
#[derive(Debug)]
pub(super) struct Coordinator<'r, 'a> {
    pub(super) run: &'r Run<'a>,
    pub(super) schedule: Schedule,
    pub(super) states: Vec<State>,
    pub(super) executed: Vec<ExecutionStep>,
    pub(super) declined: bool,
    pub(super) causes: HashSet<Cause>,
    /// The step that failed first, and how.
    pub(super) first_failure: Option<(StepId, String)>,
    /// Why it is not known whether everything was applied.
    pub(super) unsettled: Option<String>,
    replans: u32,
}

/// How a step ended, for those it belongs to.
type Ended = (usize, Done);

impl<'r, 'a> Coordinator<'r, 'a> {
    pub(super) fn new(run: &'r Run<'a>) -> Self {
        let plan = lock(&run.plan);
        let index: HashMap<&StepId, usize> = plan.steps.iter().enumerate().map(|(at, step)| (&step.id, at)).collect();
        let mut reserves: HashMap<usize, HashSet<usize>> = HashMap::new();
        for (owner, step) in plan.steps.iter().enumerate() {
            if let OnFailure::Fallback(ids) = &step.on_failure {
                for reserve in ids.iter().filter_map(|id| index.get(id).copied()) {
                    reserves.entry(reserve).or_default().insert(owner);
                }
            }
        }
        let schedule = Schedule::new(&plan, &reserves);
        let states =
            (0..plan.steps.len()).map(|at| State { reserve: reserves.contains_key(&at), ..State::default() }).collect();
        drop(plan);
        Self {
            run,
            schedule,
            states,
            executed: Vec::new(),
            declined: false,
            causes: HashSet::new(),
            first_failure: None,
            unsettled: None,
            replans: 0,
        }
    }

    /// The next step to start now, if one can.
    pub(super) fn next(&mut self) -> Option<Job> {
        loop {
            if self.run.is_over() {
                return None;
            }
            let at = self.schedule.next()?;
            let Some(job) = self.due(at) else { continue };
            if !self.schedule.start(at, self.resources(&job)) {
                self.states[at].job = Some(job);
                continue;
            }
            self.started(&job.step, at);
            return Some(job);
        }
    }

    /// Takes back a step that has ended.
    pub(super) fn take_back(&mut self, done: Done) {
        self.schedule.release(done.at);
        if done.aborted {
            self.run.stop(Stop::Cancelled);
        }
        if let Some(spent) = done.spent.clone() {
            self.run.stop(Stop::Limit(spent));
        }
        self.settle(Some((done.at, done)));
    }

    fn resources(&self, job: &Job) -> Resources {
        if self.run.executor.mode != ExecutionMode::Parallel {
            return Resources::Independent;
        }
        // A call that will be refused anyway disturbs nobody.
        let Some(tool) = self.run.registry.get(&job.step.tool) else { return Resources::Independent };
        catch_unwind(AssertUnwindSafe(|| tool.resources(&job.step.params))).unwrap_or(Resources::Undeclared)
    }

    fn started(&mut self, step: &PlanStep, at: usize) {
        self.states[at].began = Some((now(), Instant::now()));
        lock(&self.run.plan).steps[at].status = StepStatus::Running;
        if self.run.past.has_ended(&step.id) {
            return;
        }
        self.run.record(EventBody::StepStarted {
            step: step.id.clone(),
            tool: step.tool.clone(),
            description: step.description.clone(),
        });
    }

    /// What a ready step turns into. `None`: it was skipped, expanded, refused, or the run has ended.
    fn due(&mut self, at: usize) -> Option<Job> {
        if let Some(job) = self.states[at].job.take() {
            return Some(job);
        }
        let item = self.states[at].item.clone();
        let prepared = {
            let plan = lock(&self.run.plan);
            let item = item.as_ref().map(|(name, value)| (name.as_str(), value));
            prepare(at, &Sight { plan: &plan, context: &self.run.context, item })
        };
        let counts = !matches!(prepared, Ok(Prepared::Unwanted)) && !self.states[at].is_item();
        if counts && let Err(spent) = self.run.budget.step() {
            self.run.stop(Stop::Limit(spent));
            return None;
        }
        let step = match prepared {
            Ok(Prepared::Call(step)) => *step,
            Ok(Prepared::Unwanted) => {
                let ended = self.skip(at, "its `when` is false", true);
                self.settle(ended);
                return None;
            }
            Ok(Prepared::Each { name, items }) => {
                self.expand(at, &name, items);
                return None;
            }
            Err(error) => {
                let step = unanswered(&lock(&self.run.plan).steps[at]);
                self.started(&step, at);
                let result = ToolResult::failure(Cause::InvalidArguments, error);
                let done = self.done(at, step, result, 0);
                self.settle(Some((at, done)));
                return None;
            }
        };
        if let Err(spent) = self.run.budget.call(&step.tool, &call::params_hash(&step.params)) {
            self.run.stop(Stop::Limit(spent));
            return None;
        }
        // Done by an earlier process of the run: its answer stands.
        if let Some(done) = self.run.past.done(at, &step) {
            self.settle(Some((at, done)));
            return None;
        }
        if self.run.executor.mode == ExecutionMode::Interactive {
            self.shown(at, step)
        } else {
            Some(Job { at, step, consented: false })
        }
    }

    /// Shows the step and awaits the answer.
    fn shown(&mut self, at: usize, mut step: PlanStep) -> Option<Job> {
        match self.run.asking.ask(&step) {
            Some(Answer::Yes | Answer::All) => {}
            Some(Answer::Edit(params)) => {
                step.params = params;
                self.run.edit(at, &step, "a person changed the arguments");
            }
            Some(Answer::Abort) => {
                self.run.stop(Stop::Cancelled);
                return None;
            }
            Some(Answer::No) | None => {
                self.declined = true;
                let ended = self.skip(at, "declined", false);
                self.settle(ended);
                return None;
            }
        }
        Some(Job { at, step, consented: true })
    }

    fn expand(&mut self, at: usize, name: &str, items: Vec<Value>) {
        let (parent, count) = (unanswered(&lock(&self.run.plan).steps[at]), items.len());
        self.started(&parent, at);
        let mut children = Vec::with_capacity(count);
        {
            let mut plan = lock(&self.run.plan);
            for (number, item) in items.into_iter().enumerate() {
                let node = self.schedule.add(at, number + 1, false);
                plan.steps.push(child(&parent, number));
                self.states.push(State { parent: Some(at), item: Some((name.to_owned(), item)), ..State::default() });
                children.push(node);
            }
        }
        self.states[at].left = children.len();
        self.states[at].children = children;
        self.run.plan_changed(format!("{}: expanded over {count} items", parent.id));
        if count == 0 {
            let result =
                ToolResult::success("").with("items", 0).with("completed", 0).with("results", Vec::<Value>::new());
            let done = self.done(at, parent, result, 0);
            self.settle(Some((at, done)));
        }
    }

    /// An end that no attempt was made for.
    pub(super) fn done(&self, at: usize, step: PlanStep, result: ToolResult, attempts: u32) -> Done {
        let (start_time, began) = self.states[at].began.unwrap_or_else(|| (now(), Instant::now()));
        Done {
            at,
            step,
            result,
            attempts,
            start_time,
            end_time: now(),
            duration: began.elapsed(),
            spent: None,
            aborted: false,
        }
    }

    /// Follows an end to every end that it brings about.
    pub(super) fn settle(&mut self, ended: Option<Ended>) {
        let mut ended = ended;
        while let Some((at, done)) = ended.take() {
            ended = if done.result.is_success() { self.completed(at, done) } else { self.failed(at, done) };
        }
    }

    fn completed(&mut self, at: usize, done: Done) -> Option<Ended> {
        self.seal(at, StepStatus::Completed, done);
        self.schedule.complete(at);
        self.tell_family(at, true)
    }

    fn failed(&mut self, at: usize, mut done: Done) -> Option<Ended> {
        let policy = lock(&self.run.plan).steps[at].on_failure.clone();
        if !self.states[at].replaced && self.states[at].owner.is_none() && !self.run.is_over() {
            let stand_ins = match &policy {
                OnFailure::Fallback(ids) => self.fallback(at, &done, ids),
                OnFailure::Replan => self.replan(at, &done),
                _ => None,
            };
            if let Some(stand_ins) = stand_ins {
                self.states[at].replaced = true;
                self.states[at].stand_ins = stand_ins;
                self.states[at].failed = Some(done);
                return self.next_stand_in(at);
            }
        }
        let cause = *done.result.cause.get_or_insert(Cause::Failed);
        let id = done.step.id.clone();
        let stands_in = self.states[at].owner.is_some();
        self.causes.insert(cause);
        // What went wrong is neither a step that failed because the run ended, nor one in the place of another.
        if cause != Cause::Cancelled && !stands_in && self.first_failure.is_none() {
            // The step's result has all of it.
            let said = done.result.brief().unwrap_or_default();
            self.first_failure = Some((id.clone(), format!("{id} ({}): {said}", done.step.tool)));
        }
        self.seal(at, StepStatus::Failed, done);
        if policy != OnFailure::Continue && !stands_in {
            self.run.stop(Stop::Failed);
        }
        self.skip_dependents(at, &format!("step `{id}` failed"), false);
        self.tell_family(at, false)
    }

    /// Tells the `for_each` step it belongs to, or the step it stands in for.
    fn tell_family(&mut self, at: usize, well: bool) -> Option<Ended> {
        if let Some(parent) = self.states[at].parent {
            self.states[parent].left -= 1;
            return (self.states[parent].left == 0).then(|| (parent, self.aggregated(parent)));
        }
        let owner = self.states[at].owner?;
        if well {
            return self.next_stand_in(owner);
        }
        self.states[owner].failed.take().map(|failed| (owner, failed))
    }

    /// The `for_each` step as its items make it.
    pub(super) fn aggregated(&self, parent: usize) -> Done {
        let state = &self.states[parent];
        let items: Vec<_> = state
            .children
            .iter()
            .map(|at| {
                let state = &self.states[*at];
                (state.item.as_ref().map(|(_, item)| item.clone()).unwrap_or_default(), state.path.clone())
            })
            .collect();
        let plan = lock(&self.run.plan);
        let result = aggregate(&plan, &state.children, &items);
        self.done(parent, unanswered(&plan.steps[parent]), result, 1)
    }

    fn fallback(&mut self, at: usize, done: &Done, ids: &[StepId]) -> Option<VecDeque<usize>> {
        let found: VecDeque<usize> = {
            let plan = lock(&self.run.plan);
            ids.iter().filter_map(|id| plan.steps.iter().position(|step| step.id == *id)).collect()
        };
        if found.len() != ids.len() || found.is_empty() || found.contains(&at) {
            return None;
        }
        let names = ids.iter().map(StepId::as_str).collect::<Vec<_>>().join(", ");
        let cause = done.result.cause.unwrap_or(Cause::Failed);
        self.run.recovery(&done.step.id, cause, "fallback", &format!("running {names} instead"));
        Some(found)
    }

    fn replan(&mut self, at: usize, done: &Done) -> Option<VecDeque<usize>> {
        if self.replans >= MOST_REPLANS {
            return None;
        }
        let error = done.result.error.clone().unwrap_or_default();
        let mut failed = PlanStep { status: StepStatus::Failed, ..unanswered(&done.step) };
        failed.error = Some(error.clone());
        failed.retry_count = done.attempts.saturating_sub(1).max(failed.retry.max);
        failed.result = Some(done.result.clone());
        let mut step = {
            let plan = lock(&self.run.plan);
            let asked =
                catch_unwind(AssertUnwindSafe(|| self.run.executor.planner.replan_on_failure(&plan, &failed, &error)));
            asked.ok().flatten()?
        };
        self.replans += 1;
        if step.id == failed.id {
            step.id = StepId(format!("{}_again", failed.id));
        }
        (step.status, step.depends_on, step.on_failure) = (StepStatus::Pending, Vec::new(), OnFailure::Continue);
        let detail = format!("running `{}` instead: {}", step.id, step.description);
        let node = self.schedule.add(at, 1, true);
        lock(&self.run.plan).steps.push(step);
        self.states.push(State { reserve: true, ..State::default() });
        let cause = done.result.cause.unwrap_or(Cause::Failed);
        self.run.recovery(&failed.id, cause, "replan", &detail);
        self.run.plan_changed(format!("{}: {detail}", failed.id));
        Some(VecDeque::from([node]))
    }

    /// Starts what is next in a failed step's place; after the last one the step counts as done.
    fn next_stand_in(&mut self, owner: usize) -> Option<Ended> {
        let mut last = None;
        while let Some(at) = self.states[owner].stand_ins.pop_front() {
            let status = lock(&self.run.plan).steps[at].status;
            match status {
                StepStatus::Completed => last = Some(at),
                StepStatus::Pending if self.states[at].owner.is_none() && self.schedule.call_up(at) => {
                    self.states[at].owner = Some(owner);
                    self.states[owner].stand_ins.push_front(at);
                    self.states[at].reserve = true;
                    return None;
                }
                // Called upon: it is this one that has just completed, or was not wanted.
                StepStatus::Skipped if self.states[at].blameless => {}
                _ => return self.states[owner].failed.take().map(|failed| (owner, failed)),
            }
        }
        let mut done = self.states[owner].failed.take()?;
        let plan = lock(&self.run.plan);
        let stood_in = last.map(|at| &plan.steps[at]);
        let why = done.result.error.take().unwrap_or_default();
        done.result = stood_in.and_then(|step| step.result.clone()).unwrap_or_else(|| ToolResult::success(""));
        done.result.metadata.insert("failed_first".into(), why.into());
        if let Some(step) = stood_in {
            done.result.metadata.insert("instead".into(), step.id.as_str().into());
        }
        drop(plan);
        done.end_time = now();
        done.duration = self.states[owner].began.map_or(done.duration, |(_, began)| began.elapsed());
        Some((owner, done))
    }

    /// The step will not start, and neither will what depends on it.
    pub(super) fn skip(&mut self, at: usize, reason: &str, blameless: bool) -> Option<Ended> {
        self.mark_skipped(at, reason, blameless);
        let id = lock(&self.run.plan).steps[at].id.clone();
        self.skip_dependents(at, &format!("step `{id}` was skipped: {reason}"), blameless);
        self.tell_family(at, blameless)
    }

    /// Only steps that were written have dependents, and none of those has been called upon: no family to tell.
    fn skip_dependents(&mut self, at: usize, reason: &str, blameless: bool) {
        let mut left: Vec<usize> = self.schedule.abandon(at);
        while let Some(at) = left.pop() {
            if lock(&self.run.plan).steps[at].status == StepStatus::Pending {
                self.mark_skipped(at, reason, blameless);
                left.extend(self.schedule.abandon(at));
            }
        }
    }

    pub(super) fn mark_skipped(&mut self, at: usize, reason: &str, blameless: bool) {
        self.states[at].blameless = blameless;
        let step = {
            let mut plan = lock(&self.run.plan);
            let step = &mut plan.steps[at];
            step.status = StepStatus::Skipped;
            step.error = Some(reason.to_owned());
            step.id.clone()
        };
        if self.run.past.has(&step, StepStatus::Skipped) {
            return;
        }
        self.run.record(EventBody::StepFinished {
            step,
            status: StepStatus::Skipped,
            attempts: 0,
            error: Some(reason.to_owned()),
            duration: Duration::ZERO,
        });
    }

    /// Writes the end of a step into the plan, the journal and the result.
    pub(super) fn seal(&mut self, at: usize, status: StepStatus, done: Done) {
        self.states[at].path = done.step.params.get("path").cloned();
        {
            let mut plan = lock(&self.run.plan);
            let step = &mut plan.steps[at];
            step.status = status;
            step.retry_count = done.attempts.saturating_sub(1);
            step.error.clone_from(&done.result.error);
            step.result = Some(done.result.clone());
        }
        let known = self.run.past.has(&done.step.id, status);
        if !known {
            self.run.record(EventBody::StepFinished {
                step: done.step.id.clone(),
                status,
                attempts: done.attempts,
                error: done.result.error.clone(),
                duration: done.duration,
            });
        }
        if self.states[at].parent.is_some() {
            return;
        }
        let step = ExecutionStep {
            step_id: done.step.id,
            tool: done.step.tool,
            params: done.step.params,
            result: Some(done.result),
            start_time: done.start_time,
            end_time: done.end_time,
            retries: done.attempts.saturating_sub(1),
        };
        if !known {
            self.run.executor.subscribers.tell_step(&step);
        }
        self.executed.push(step);
    }
}
