//! What earlier processes of a run had done, by its journal: which steps have ended, what they produced, and which calls
//! have an intent without an outcome.
//!
//! A run goes on by being run again from its beginning, and each step that has ended answers from here instead of being
//! called: what follows from it (items of a `for_each`, conditions, references) follows again in the same way.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::attempt::Done;
use super::expectation;
use crate::cause::Cause;
use crate::id::{CallId, StepId};
use crate::journal::{Event, EventBody, Journal, JournalError, OutputRef};
use crate::planner::{ExecutionPlan, OnFailure, PlanStep, StepStatus};
use crate::tools::{Idempotency, ToolResult};

/// A call whose outcome is not known.
#[derive(Debug, Clone)]
pub(super) struct OpenCall {
    pub(super) step: Option<StepId>,
    pub(super) tool: String,
    pub(super) layer: Option<String>,
    pub(super) idempotency: Idempotency,
}

/// A step that has ended.
#[derive(Debug, Clone)]
struct Ended {
    status: StepStatus,
    attempts: u32,
    error: Option<String>,
    duration: Duration,
    started: f64,
    finished: f64,
    call: Option<Answer>,
    /// Whether the journal says so itself: the end of a step is not waited for, and follows from its last call.
    recorded: bool,
}

/// What a step's last call was given and came to.
#[derive(Debug, Clone)]
struct Answer {
    params: Map<String, Value>,
    result: ToolResult,
    layer: Option<String>,
    /// Whether its layer may have waited to be applied when the process ended.
    unsettled: bool,
    attempt: u32,
    finished: f64,
}

/// What earlier processes of a run had done. Empty for a run that begins.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The sequence of the next event.
    pub(super) next: u64,
    pub(super) workspace: PathBuf,
    pub(super) plan: ExecutionPlan,
    pub(super) context: Map<String, Value>,
    pub(super) tools: std::collections::BTreeMap<String, String>,
    pub(super) plan_is_whole: bool,
    /// The run came to an end of its own.
    pub(super) finished: bool,
    pub(super) succeeded: bool,
    pub(super) open: Vec<OpenCall>,
    pub(super) recoveries: Vec<Value>,
    /// Layers that the run left in the folder.
    pub(super) layers: Vec<String>,
    ended: HashMap<StepId, Ended>,
    flaky: HashSet<StepId>,
}

impl Past {
    /// Reads a run's events; `None` when they have no beginning.
    pub(super) fn read(journal: &Journal, events: &[Event]) -> Result<Option<Self>, JournalError> {
        let mut past = Self::default();
        let (mut began, mut known) = (false, HashSet::new());
        let mut started: HashMap<StepId, f64> = HashMap::new();
        let mut open: HashMap<CallId, (OpenCall, Map<String, Value>, u32)> = HashMap::new();
        let mut answers: HashMap<StepId, Answer> = HashMap::new();
        let seconds = |event: &Event| event.time.as_duration().as_secs_f64();
        for event in events {
            past.next = event.sequence + 1;
            match &event.body {
                EventBody::RunStarted { workspace, plan, plan_hash, tools, context, .. } => {
                    began = true;
                    past.workspace.clone_from(workspace);
                    past.plan_is_whole = super::run::plan_hash(plan).is_ok_and(|hash| hash == *plan_hash);
                    (past.plan, past.context, past.tools) = (plan.clone(), context.clone(), tools.clone());
                    known = plan.steps.iter().map(|step| step.id.clone()).collect();
                }
                EventBody::RunResumed { plan, tools, again, lost, .. } => {
                    (past.plan, past.tools) = (plan.clone(), tools.clone());
                    again.iter().for_each(|step| drop(past.ended.remove(step)));
                    past.layers.retain(|layer| !lost.contains(layer));
                    (past.finished, past.succeeded) = (false, false);
                    open.clear();
                }
                EventBody::PlanChanged { plan, .. } => past.plan = plan.clone(),
                EventBody::StepStarted { step, .. } => {
                    past.ended.remove(step);
                    answers.remove(step);
                    started.insert(step.clone(), seconds(event));
                }
                EventBody::CallIntended { call, step, tool, params, layer, idempotency, attempt, .. } => {
                    let one = OpenCall {
                        step: step.clone(),
                        tool: tool.clone(),
                        layer: layer.clone(),
                        idempotency: *idempotency,
                    };
                    open.insert(call.clone(), (one, params.clone(), *attempt));
                }
                EventBody::CallRefused { step: Some(step), params, cause, error, .. } => {
                    let result = ToolResult::failure(*cause, error.clone());
                    let (finished, params) = (seconds(event), params.clone());
                    let answer = Answer { params, result, layer: None, unsettled: false, attempt: 1, finished };
                    answers.insert(step.clone(), answer);
                }
                EventBody::CallFinished {
                    call,
                    step,
                    status,
                    cause,
                    error,
                    output,
                    metadata,
                    usage,
                    enforced,
                    changes,
                    ..
                } => {
                    let Some((one, params, attempt)) = open.remove(call) else { continue };
                    let changed = changes.as_ref().is_some_and(|set| !set.changes.is_empty());
                    past.layers.extend(one.layer.clone().filter(|_| changed));
                    if one.tool == super::roll_back::NAME {
                        past.layers.extend(super::roll_back::layer_made(metadata));
                    }
                    let Some(step) = step else { continue };
                    let result = ToolResult {
                        status: *status,
                        output: journal.output(output)?,
                        error: error.clone(),
                        metadata: whole(journal, metadata)?,
                        cause: *cause,
                        usage: usage.clone(),
                        enforced: enforced.clone(),
                        attachment: None,
                    };
                    let finished = seconds(event);
                    let answer = Answer { params, result, layer: one.layer, unsettled: changed, attempt, finished };
                    answers.insert(step.clone(), answer);
                }
                EventBody::RecoveryTaken { step, cause, strategy, detail } => {
                    if strategy == "flaky" {
                        past.flaky.insert(step.clone());
                    }
                    past.recoveries.push(serde_json::json!({
                        "step": step, "cause": cause.as_str(), "strategy": strategy, "detail": detail
                    }));
                }
                EventBody::LayerNotApplied { layer, .. } => past.layers.retain(|known| known != layer),
                EventBody::StepFinished { step, status, attempts, error, duration } => {
                    let finished = seconds(event);
                    let started = started.get(step).copied().unwrap_or(finished);
                    let (status, attempts, error, duration) = (*status, *attempts, error.clone(), *duration);
                    let call = answers.remove(step).or_else(|| past.ended.remove(step).and_then(|before| before.call));
                    let ended = Ended { status, attempts, error, duration, started, finished, call, recorded: true };
                    past.ended.insert(step.clone(), ended);
                }
                EventBody::RunFinished { stop_reason, .. } => {
                    past.finished = true;
                    // All were applied, or it was said which could not be. Their records may go from now on.
                    let calls = past.ended.values_mut().filter_map(|ended| ended.call.as_mut());
                    calls.for_each(|call| call.unsettled = false);
                    past.succeeded = *stop_reason == super::StopReason::Succeeded;
                }
                _ => {}
            }
        }
        for (step, answer) in answers {
            // Whatever was to follow a failure did not.
            let planned = past.plan.steps.iter().find(|planned| planned.id == step);
            let completed = planned.is_some_and(|planned| expectation::is_met(planned, &answer.result));
            let started = started.get(&step).copied().unwrap_or(answer.finished);
            if completed && !past.finished {
                let ended = Ended {
                    status: StepStatus::Completed,
                    attempts: answer.attempt,
                    error: None,
                    duration: Duration::try_from_secs_f64(answer.finished - started).unwrap_or_default(),
                    started,
                    finished: answer.finished,
                    call: Some(answer),
                    recorded: false,
                };
                past.ended.insert(step, ended);
            }
        }
        past.open = open.into_values().map(|(one, ..)| one).collect();
        past.open.sort_by(|a, b| a.layer.cmp(&b.layer));
        past.plan.steps.retain(|step| known.contains(&step.id));
        for step in &mut past.plan.steps {
            (step.status, step.result, step.error, step.retry_count) = (StepStatus::Pending, None, None, 0);
        }
        Ok(began.then_some(past))
    }

    /// Gives up what is not to count, and says which steps are open again: all that failed or were skipped because of a
    /// failure or of the run's end, and those whose layer is among the lost ones.
    pub(super) fn reopen(&mut self, lost: &[String]) -> Vec<StepId> {
        let goes_on: HashSet<StepId> = self
            .plan
            .steps
            .iter()
            .filter(|step| step.on_failure == OnFailure::Continue)
            .map(|step| step.id.clone())
            .collect();
        let finished = self.finished;
        let mut again = Vec::new();
        self.ended.retain(|id, ended| {
            let lost =
                ended.call.as_ref().and_then(|call| call.layer.as_ref()).is_some_and(|layer| lost.contains(layer));
            let keeps = match ended.status {
                StepStatus::Completed => !lost,
                // An undisturbed run would have gone on over it.
                StepStatus::Failed => !finished && goes_on.contains(&written(id)),
                _ => false,
            };
            if !keeps {
                again.push(id.clone());
            }
            keeps
        });
        again.sort();
        again
    }

    /// The layers of finished calls of which only a record can say that they were applied.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = &String> {
        self.ended
            .values()
            .filter_map(|ended| ended.call.as_ref())
            .filter(|call| call.unsettled)
            .filter_map(|call| call.layer.as_ref())
    }

    /// Whether the journal has this end of the step already.
    pub(super) fn has(&self, step: &StepId, status: StepStatus) -> bool {
        self.ended.get(step).is_some_and(|ended| ended.recorded && ended.status == status)
    }

    /// Whether the step has come to an end that counts.
    pub(super) fn has_ended(&self, step: &StepId) -> bool {
        self.ended.contains_key(step)
    }

    /// How the step ended, when it was called.
    pub(super) fn done(&self, at: usize, step: &PlanStep) -> Option<Done> {
        let ended = self.ended.get(&step.id)?;
        let call = ended.call.as_ref()?;
        let step = PlanStep { params: call.params.clone(), ..super::expand::unanswered(step) };
        let (result, _) = expectation::judged(&step, call.result.clone());
        let mut result = expectation::given_up(&step, result);
        if ended.status == StepStatus::Completed && self.flaky.contains(&step.id) {
            result.metadata.insert("flaky".into(), true.into());
        }
        // What its layer met later is the step's failure, not the call's.
        if ended.status == StepStatus::Failed && result.is_success() {
            let said = ended.error.clone().unwrap_or_default();
            result = ToolResult { output: result.output, ..ToolResult::failure(Cause::Conflict, said) };
        }
        Some(Done {
            at,
            step,
            result,
            attempts: ended.attempts,
            start_time: ended.started,
            end_time: ended.finished,
            duration: ended.duration,
            spent: None,
            aborted: false,
        })
    }
}

/// Metadata with what was put into the store.
fn whole(journal: &Journal, metadata: &Map<String, Value>) -> Result<Map<String, Value>, JournalError> {
    let mut all = Map::new();
    for (name, value) in metadata {
        let stored = value.get("$stored").and_then(|stored| {
            let hash = stored.get("hash")?.as_str()?.to_owned();
            let json = stored.get("json").and_then(Value::as_bool).unwrap_or(false);
            Some(OutputRef::Stored { hash, size: 0, head: String::new(), json })
        });
        let value = match stored {
            Some(stored) => journal.output(&stored)?,
            None => value.clone(),
        };
        all.insert(name.clone(), value);
    }
    Ok(all)
}

/// The step of the plan that a step belongs to: itself, or the `for_each` that it is an item of.
fn written(step: &StepId) -> StepId {
    match step.as_str().rsplit_once('[') {
        Some((each, _)) => each.into(),
        None => step.clone(),
    }
}
