//! Going on with a run that was cut off, or that ended before its plan did.
//!
//! Steps that have completed are not done again: they answer from the journal. A call with an intent and no outcome may have
//! been applied: its layer is taken back first, so that its step begins with the files as they were before it. Where no
//! layer covers what a call may have done, a person decides.

use std::collections::BTreeSet;

use super::past::{OpenCall, Past};
use super::roll_back::is_staged;
use super::run::{Run, schema_hashes};
use super::running::Running;
use super::{AgenticExecutor, ExecutionResult};
use crate::id::{RunId, StepId};
use crate::journal::{EventBody, JournalError};
use crate::tools::Idempotency;
use crate::workspace::{RollBack, WorkspaceError, path_on_a_line};

/// Paths that an error lists.
const MOST_LISTED: usize = 20;

/// How a run is to go on.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    /// Go on although plan, tools or files are not what the run left.
    pub force: bool,
    /// Steps whose call may have had effects that no layer covers, and that are to be called again all the same.
    pub retry: Vec<StepId>,
}

/// What keeps a run from going on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The run cannot be read, or its going on not be recorded.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What the workspace said.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// It is being run.
    #[error("run {run} goes on in another process: {owner}")]
    Running {
        /// The run.
        run: RunId,
        /// Who runs it.
        owner: String,
    },
    /// Its plan is done.
    #[error("run {0} has succeeded: nothing is left to do")]
    Succeeded(RunId),
    /// Nothing that it did is there to go on from.
    #[error("run {0} was staged, and nothing of it reached the workspace: run the plan again")]
    Staged(RunId),
    /// Its events have no beginning.
    #[error("run {0} has no beginning in the journal")]
    NoBeginning(RunId),
    /// It worked in another folder than the executor does.
    #[error("run {run} worked in {folder}, and this executor works in {here}")]
    OtherWorkspace {
        /// The run.
        run: RunId,
        /// Where it worked.
        folder: String,
        /// Where the executor works.
        here: String,
    },
    /// Plan, tools or files are not what the run left.
    #[error("not all is as run {run} left it: {}", listed(.changed))]
    Changed {
        /// The run.
        run: RunId,
        /// What, in words.
        changed: Vec<String>,
    },
    /// A call with effects that no layer covers has no outcome.
    #[error(
        "step `{step}` was calling `{tool}` when run {run} was cut off, and what that may have done outside the workspace \
         is not known"
    )]
    Unknown {
        /// The run.
        run: RunId,
        /// The step.
        step: StepId,
        /// The tool.
        tool: String,
    },
    /// The state folder cannot be used.
    #[error("failed to take run {run} for this process: {why}")]
    State {
        /// The run.
        run: RunId,
        /// What the system said.
        why: String,
    },
}

fn listed(all: &[String]) -> String {
    let mut text = all.iter().take(MOST_LISTED).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > MOST_LISTED {
        text.push_str(&format!("; and {} more", all.len() - MOST_LISTED));
    }
    text
}

impl AgenticExecutor {
    /// Goes on with a run of the journal that was cut off, or that ended before its plan did: steps that completed
    /// answer as they did, all others are done. The result is that of the whole run, and the run keeps its id.
    ///
    /// Of a run that was cut off, a step that had failed and lets the plan continue has failed; of a run that ended, it is done
    /// again. A step that was cut off begins with the files as they were before it.
    ///
    /// # Errors
    /// [`ResumeError`]. Nothing is changed then, except that what was cut off may have been taken back already.
    pub fn resume(&self, run: &RunId, how: &Resume) -> Result<ExecutionResult, ResumeError> {
        let state = |why: std::io::Error| ResumeError::State { run: run.clone(), why: why.to_string() };
        let _running = match Running::take(&self.journal, run).map_err(state)? {
            Some(Err(owner)) => return Err(ResumeError::Running { run: run.clone(), owner: owner.0 }),
            mine => mine,
        };
        // Read once the run is ours: nobody adds to it any more.
        let events = self.journal.events(run)?;
        let past = Past::read(&self.journal, &events)?;
        let mut past = past.ok_or_else(|| ResumeError::NoBeginning(run.clone()))?;
        if past.succeeded {
            return Err(ResumeError::Succeeded(run.clone()));
        }
        if is_staged(&events) {
            return Err(ResumeError::Staged(run.clone()));
        }
        let here = &self.config.workspace;
        if past.workspace.canonicalize().ok() != here.canonicalize().ok() {
            let (folder, here) = (past.workspace.display().to_string(), here.display().to_string());
            return Err(ResumeError::OtherWorkspace { run: run.clone(), folder, here });
        }
        let open: Vec<OpenCall> = std::mem::take(&mut past.open);
        for call in &open {
            let agreed = call.step.as_ref().is_some_and(|step| how.retry.contains(step));
            if call.idempotency == Idempotency::External && !agreed {
                let step = call.step.clone().unwrap_or_else(|| "".into());
                return Err(ResumeError::Unknown { run: run.clone(), step, tool: call.tool.clone() });
            }
        }
        let lost = self.lost(&past)?;
        let (taken_back, changed) = self.compare(run, &past, &open, &lost, how.force)?;
        let again = past.reopen(&lost);
        let resumed = EventBody::RunResumed {
            mode: self.mode,
            plan: past.plan.clone(),
            tools: schema_hashes(&self.registry, &past.plan),
            again,
            taken_back,
            lost,
            changed,
        };
        let run = Run::again(self, &self.registry, run.clone(), past);
        run.recorder.record(resumed)?;
        let result = run.go_on(Ok(()));
        self.collect_now_and_then();
        Ok(result)
    }

    /// Layers of finished calls that waited to be applied when the process ended: they never were.
    fn lost(&self, past: &Past) -> Result<Vec<String>, ResumeError> {
        let mut lost = BTreeSet::new();
        for layer in past.unsettled() {
            if self.workspaces.records().find(layer)?.is_none() {
                lost.insert(layer.clone());
            }
        }
        Ok(lost.into_iter().collect())
    }

    /// Takes back what calls without an outcome had applied, and says what else is not as it was.
    fn compare(
        &self,
        run: &RunId,
        past: &Past,
        open: &[OpenCall],
        lost: &[String],
        force: bool,
    ) -> Result<(Vec<String>, Vec<String>), ResumeError> {
        let mut changed = Vec::new();
        if !past.plan_is_whole {
            changed.push("the plan in the journal is not the one that was begun".to_owned());
        }
        if let Some(file) = past.plan.changed_file() {
            let file = path_on_a_line(&file);
            changed.push(format!("{file} is another plan by now, and the run goes on with the one that it began with"));
        }
        let tools = schema_hashes(&self.registry, &past.plan);
        for (tool, hash) in &past.tools {
            match tools.get(tool) {
                None => changed.push(format!("the tool `{tool}` is not registered any more")),
                Some(now) if now != hash => changed.push(format!("the schema of the tool `{tool}` is another")),
                Some(_) => {}
            }
        }
        for one in self.workspaces.recovered() {
            if let (true, Err(error)) = (open.iter().any(|call| call.layer.as_ref() == Some(&one.layer)), &one.outcome)
            {
                changed.push(format!("what the step that was cut off had changed could not be put back: {error}"));
            }
        }
        let mut half = Vec::new();
        for layer in open.iter().filter_map(|call| call.layer.as_ref()) {
            if self.workspaces.records().find(layer)?.is_some() {
                half.push(layer.clone());
            }
        }
        // With what the calls without an outcome did on top, which is taken back next.
        let left: Vec<String> =
            past.layers.iter().filter(|layer| !lost.contains(layer)).chain(&half).cloned().collect();
        for one in self.workspaces.changed_since(&left)? {
            changed.push(format!("{} {}", path_on_a_line(&one.path), one.reason));
        }
        if !changed.is_empty() && !force {
            return Err(ResumeError::Changed { run: run.clone(), changed });
        }
        if !half.is_empty() {
            self.workspaces.roll_back(&half, &RollBack { force, ..RollBack::default() })?;
        }
        Ok((half, changed))
    }
}
