//! The attempts at one step, from its first call to its success or its end.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::budget::Spent;
use super::call::Request;
use super::expectation;
use super::recover::{Patient, Remedy};
use super::run::Run;
use crate::cause::Cause;
use crate::journal::EventBody;
use crate::planner::PlanStep;
use crate::tools::ToolResult;

/// A step that is due.
#[derive(Debug)]
pub(super) struct Job {
    /// Its place in the plan.
    pub(super) at: usize,
    /// The step, references resolved.
    pub(super) step: PlanStep,
    /// A person has just agreed to it.
    pub(super) consented: bool,
}

/// A step that has ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) at: usize,
    /// The step as it was last called.
    pub(super) step: PlanStep,
    pub(super) result: ToolResult,
    pub(super) attempts: u32,
    pub(super) start_time: f64,
    pub(super) end_time: f64,
    pub(super) duration: Duration,
    /// The budget that ended it.
    pub(super) spent: Option<Spent>,
    /// A person wants the run to end.
    pub(super) aborted: bool,
}

/// Seconds since the epoch.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Calls the step's tool until it succeeds or nothing is left to try.
pub(super) fn execute(run: &Run<'_>, job: Job) -> Done {
    let (start_time, began) = (now(), Instant::now());
    let door = run.door();
    let mut patient = Patient::new(job.step);
    let mut attempts = 0;
    let mut spent = None;
    let mut consented = job.consented;
    let (mut result, aborted) = loop {
        attempts += 1;
        let request =
            Request { step: &patient.step, attempt: attempts, memory: patient.memory, copy: patient.copy, consented };
        let answered = run.call(&request, patient.alone);
        if let Some(edited) = answered.edited {
            patient.step.params = edited;
            run.edit(job.at, &patient.step, "a person changed the arguments");
        }
        let (result, settled) = expectation::judged(&patient.step, answered.result);
        let cause = result.cause.unwrap_or(Cause::Failed);
        if result.is_success() || settled || answered.aborted || run.is_over() || cause == Cause::Cancelled {
            break (result, answered.aborted);
        }
        match patient.treat(&door, &result) {
            Ok(remedy) => {
                if let Err(out) = run.budget.retry() {
                    spent = Some(out);
                    break (result, false);
                }
                // What a person agreed to may be repeated; what a recovery changed is asked about anew.
                consented = !remedy.edited;
                announce(run, job.at, &patient, cause, &remedy);
                run.executor.waiter.wait(remedy.wait, run.cancel());
            }
            Err(reason) => {
                // A refusal says everything itself; the rest says why nothing more was tried.
                if cause != Cause::Denied {
                    run.recovery(&patient.step.id, cause, "give_up", &reason);
                }
                break (result, false);
            }
        }
    };
    if result.is_success() && patient.reran {
        result.metadata.insert("flaky".into(), true.into());
        run.recovery(&patient.step.id, Cause::Flaky, "flaky", "failed, then passed unchanged when run again");
    }
    let result = expectation::given_up(&patient.step, result);
    Done {
        at: job.at,
        step: patient.step,
        result,
        attempts,
        start_time,
        end_time: now(),
        duration: began.elapsed(),
        spent,
        aborted,
    }
}

fn announce(run: &Run<'_>, at: usize, patient: &Patient, cause: Cause, remedy: &Remedy) {
    run.recovery(&patient.step.id, cause, remedy.strategy.as_str(), &remedy.detail);
    if remedy.edited {
        run.edit(at, &patient.step, &remedy.detail);
    }
}

impl Run<'_> {
    /// Records what is done about a failure.
    pub(super) fn recovery(&self, step: &crate::id::StepId, cause: Cause, strategy: &str, detail: &str) {
        let entry: Value = json!({ "step": step, "cause": cause.as_str(), "strategy": strategy, "detail": detail });
        super::lock(&self.recoveries).push(entry);
        self.record(EventBody::RecoveryTaken {
            step: step.clone(),
            cause,
            strategy: strategy.to_owned(),
            detail: detail.to_owned(),
        });
    }
}
