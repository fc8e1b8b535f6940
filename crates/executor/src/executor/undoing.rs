//! The tool `rollback` within a run: what it may take back, and what it may not.
//!
//! A person who rolls back says so and sees what happens; here a plan or a model does. So more is refused, by name: runs
//! that have not ended (but for the run that the call is part of, as far as its calls have finished), files outside
//! this workspace, paths that a rule denies, what would leave behind something that runs later outside, and calls that nobody records.

use super::approval::{Action, Answer};
use super::call::{Door, workspace_failure};
use super::roll_back::{NAME, RollBackError, layer_of_call, layers_of, told, workspace_of};
use crate::cause::Cause;
use crate::id::CallId;
use crate::journal::{Event, EventBody, JournalError};
use crate::planner::{CommitPolicy, PlanStep};
use crate::tools::{RollbackArgs, ToolResult, Undo};
use crate::workspace::{RollBack, RolledBack, WorkspaceError, path_on_a_line, path_to_text, plain_path};

/// Lent to a call of the tool.
pub(super) struct Undoing<'a> {
    pub(super) door: &'a Door<'a>,
    pub(super) step: &'a PlanStep,
    pub(super) call: &'a CallId,
}

impl Undo for Undoing<'_> {
    fn roll_back(&self, asked: &RollbackArgs) -> ToolResult {
        self.attempt(asked).unwrap_or_else(|refusal| *refusal)
    }
}

type Refusal = Box<ToolResult>;

fn refused(cause: Cause, why: impl Into<String>) -> Refusal {
    Box::new(ToolResult::failure(cause, why))
}

impl Undoing<'_> {
    fn attempt(&self, asked: &RollbackArgs) -> Result<ToolResult, Refusal> {
        let (executor, recorder) = (self.door.executor, self.door.recorder);
        let journal = recorder.journal();
        if journal.path().is_none() {
            let why = "this call is part of no run that is recorded, so nothing could take it back again; use \
                       `agentic rollback RUN`, or `rollback` of an executor";
            return Err(refused(Cause::PermissionDenied, why));
        }
        if executor.review.is_some() {
            let why = "the run is staged: nothing of it is in the workspace yet, and nothing goes there before its end";
            return Err(refused(Cause::PermissionDenied, why));
        }
        if self.step.commit == CommitPolicy::Never && !asked.dry_run {
            let why = "a rollback is applied at once, which `commit: never` excludes; `dry_run` says what it would do";
            return Err(refused(Cause::InvalidArguments, why));
        }
        let found = match &asked.run {
            None => Ok(recorder.run().clone()),
            Some(text) if text.trim().is_empty() => Err(JournalError::NoSuchRun(text.clone())),
            Some(text) => journal.find(text),
        };
        let run = found.map_err(|error| refused(Cause::InvalidArguments, format!("run: {error}")))?;
        let events = journal.events(&run).map_err(|error| refused(Cause::Internal, error.to_string()))?;
        let own = run == *recorder.run();
        if !own && !has_ended(&events) {
            let why =
                format!("run {run} has not ended: it still runs, or was cut off. `agentic rollback` takes it back");
            return Err(refused(Cause::PermissionDenied, why));
        }
        let layers = layers_of(&events, asked.to.as_deref()).map_err(|error| match error {
            RollBackError::NoSuchStep { .. } => refused(Cause::InvalidArguments, format!("to: {error}")),
            error => refused(Cause::Internal, error.to_string()),
        })?;
        if own && layers.is_empty() {
            let since = asked.to.as_ref().map(|step| format!(" since the step `{step}`")).unwrap_or_default();
            let why = format!("this run has changed nothing{since}; `run` names another one");
            return Err(refused(Cause::InvalidArguments, why));
        }
        let workspaces = &executor.workspaces;
        if workspaces.waits_for_one_of(&layers) {
            let why =
                "what this run wrote is not in the workspace yet: steps of another run work there; nothing was done";
            return Err(refused(Cause::Conflict, why));
        }
        self.check_place(&events, &layers)?;
        let workspace = &executor.config.workspace;
        let how = RollBack {
            only: asked.paths.iter().flatten().map(|path| plain_path(&workspace.join(path))).collect(),
            dry_run: asked.dry_run,
            force: asked.force,
            guard: Some(executor.config.sandbox.allow_persist.clone()),
        };
        let failed = |error| Box::new(failure(&error));
        let planned = workspaces.plan_roll_back(&layers, &how).map_err(failed)?;
        self.judge(planned.told())?;
        let done = planned.named(layer_of_call(NAME, self.call)).apply().map_err(failed)?;
        let text = self.said(&done, asked);
        Ok(told(text, &done).with("run", run.to_string()).with("dry_run", asked.dry_run))
    }

    /// Only files of this workspace: a plan that works in one folder has no business in another.
    fn check_place(&self, events: &[Event], layers: &[String]) -> Result<(), Refusal> {
        let executor = self.door.executor;
        let failed = |error: WorkspaceError| Box::new(failure(&error));
        let given = &executor.config.workspace;
        let workspace = given.canonicalize().unwrap_or_else(|_| given.clone());
        for layer in layers {
            let record = executor.workspaces.records().find(layer).map_err(failed)?;
            let record = record.ok_or_else(|| failed(WorkspaceError::NotKept { layer: layer.clone() }))?;
            if let Some(root) = record.roots.iter().find(|root| !root.starts_with(&workspace)) {
                let at = workspace_of(events).unwrap_or(root);
                let why = format!(
                    "the run worked in {}, outside the workspace {}; `agentic rollback` takes it back",
                    path_on_a_line(at),
                    path_on_a_line(&workspace)
                );
                return Err(refused(Cause::PermissionDenied, why));
            }
        }
        Ok(())
    }

    /// The rules have judged the arguments; here they judge what is really touched.
    fn judge(&self, planned: &RolledBack) -> Result<(), Refusal> {
        let executor = self.door.executor;
        let (approval, workspace) = (&executor.approval, &executor.config.workspace);
        let mut params = self.step.params.clone();
        let asked_already = approval.judge(NAME, &params, workspace).action == Action::Ask;
        let touched = planned.changes.changes.iter().map(|change| path_to_text(&change.path).into()).collect();
        params.insert("paths".to_owned(), serde_json::Value::Array(touched));
        let judged = approval.judge(NAME, &params, workspace);
        let rule = judged.rule.map(|rule| format!(" (rule: {rule})")).unwrap_or_default();
        match judged.action {
            Action::Allow => Ok(()),
            Action::Deny => Err(refused(Cause::Denied, format!("what the rollback would change is denied{rule}"))),
            Action::Ask if asked_already => Ok(()),
            Action::Ask => match self.door.asking.ask(&PlanStep { params, ..self.step.clone() }) {
                Some(Answer::Yes | Answer::All) => Ok(()),
                Some(_) => Err(refused(Cause::Denied, format!("what the rollback would change was declined{rule}"))),
                None => {
                    let why = format!("what the rollback would change needs approval and there is nobody to ask{rule}");
                    Err(refused(Cause::Denied, why))
                }
            },
        }
    }

    fn said(&self, done: &RolledBack, asked: &RollbackArgs) -> String {
        let workspace = &self.door.executor.config.workspace;
        let name = |path: &std::path::Path| path_on_a_line(path.strip_prefix(workspace).unwrap_or(path));
        let mut lines: Vec<String> = Vec::new();
        let changes = &done.changes.changes;
        let count = if changes.len() == 1 { "1 path".to_owned() } else { format!("{} paths", changes.len()) };
        lines.push(match (asked.dry_run, asked.force) {
            (true, false) if !done.changed_since.is_empty() => format!("It would be refused: {count} would change."),
            (true, _) => format!("{count} would change; nothing was done."),
            (false, _) if changes.is_empty() => "Everything is as it was; nothing to take back.".to_owned(),
            (false, _) if changes.len() == 1 => "1 path is as before.".to_owned(),
            (false, _) => format!("{count} are as before."),
        });
        let kind = |kind| serde_json::to_value(kind).map(|kind| kind.as_str().unwrap_or_default().to_owned());
        for change in changes.iter().take(MOST) {
            lines.push(format!("{} {}", kind(change.kind).unwrap_or_default(), name(&change.path)));
        }
        if changes.len() > MOST {
            lines.push(format!("and {} more", changes.len() - MOST));
        }
        for (word, list) in [("kept", &done.kept), ("changed since", &done.changed_since)] {
            lines.extend(list.iter().take(MOST).map(|one| format!("{word} {}: {}", name(&one.path), one.reason)));
        }
        lines.join("\n")
    }
}

/// Paths that the output lists; the metadata has them all.
const MOST: usize = 100;

fn has_ended(events: &[Event]) -> bool {
    events.last().is_some_and(|event| matches!(event.body, EventBody::RunFinished { .. }))
}

/// With the paths that are in the way.
fn failure(error: &WorkspaceError) -> ToolResult {
    let result = workspace_failure("roll back", error);
    match error {
        WorkspaceError::ChangedSince(conflicts) => {
            let paths: Vec<serde_json::Value> = conflicts.iter().map(|one| path_to_text(&one.path).into()).collect();
            result.with("paths", paths)
        }
        WorkspaceError::NotTouched(_) => ToolResult::failure(Cause::InvalidArguments, format!("paths: {error}")),
        _ => result,
    }
}
