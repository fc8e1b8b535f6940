//! What a run may spend. A budget that is spent stops the run, by its name and value.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use super::lock;
use crate::config::Budgets;

/// A budget that is spent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Spent {
    Steps(usize),
    Time(Duration),
    Retries(u32),
    IdenticalCalls { most: u32, tool: String },
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(most) => write!(
                f,
                "step budget reached: max_steps is {most} and steps are left; raise max_steps or split the plan"
            ),
            Self::Time(most) => {
                write!(f, "time budget reached: max_time is {} s and steps are left", most.as_secs_f64())
            }
            Self::Retries(most) => {
                write!(f, "retry budget reached: max_retries of the run is {most} and a step failed again")
            }
            Self::IdenticalCalls { most, tool } => write!(
                f,
                "identical-call budget reached: max_identical_calls is {most} and `{tool}` was to be called once more with the same arguments"
            ),
        }
    }
}

/// What a run has spent so far.
#[derive(Debug)]
pub(super) struct Budget {
    most: Budgets,
    steps: AtomicUsize,
    retries: AtomicU32,
    calls: Mutex<HashMap<String, u32>>,
}

impl Budget {
    pub(super) fn new(most: Budgets) -> Self {
        Self { most, steps: AtomicUsize::new(0), retries: AtomicU32::new(0), calls: Mutex::default() }
    }
    /// One more step of the plan. Those that a `for_each` expands to count as the one that was written:
    /// their number is bounded by the list.
    pub(super) fn step(&self) -> Result<(), Spent> {
        let started = self.steps.fetch_add(1, Ordering::Relaxed);
        if started < self.most.steps { Ok(()) } else { Err(Spent::Steps(self.most.steps)) }
    }
    /// One more try after a failure.
    pub(super) fn retry(&self) -> Result<(), Spent> {
        let taken = self.retries.fetch_add(1, Ordering::Relaxed);
        if taken < self.most.retries { Ok(()) } else { Err(Spent::Retries(self.most.retries)) }
    }
    /// One more step that calls `tool` with arguments of this hash. Retries have a budget of their own.
    pub(super) fn call(&self, tool: &str, params_hash: &str) -> Result<(), Spent> {
        let mut calls = lock(&self.calls);
        let count = calls.entry(format!("{tool} {params_hash}")).or_default();
        *count += 1;
        if *count <= self.most.identical_calls {
            return Ok(());
        }
        Err(Spent::IdenticalCalls { most: self.most.identical_calls, tool: tool.to_owned() })
    }
}
