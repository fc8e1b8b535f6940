//! The one door: every tool call of every front end passes [`Door::call`].
//!
//! Look up, check the arguments, ask for approval, open private layers, record the intent, run the tool,
//! commit or drop what it wrote, record the outcome. The layers are opened before the intent is recorded,
//! so that the intent can name them: opening has no effect outside the state folder.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agentic_sandbox::Observer;
use serde_json::{Map, Value, json};

use super::approval::{Action, Answer, Asking};
use super::late::{Inside, Kept};
use super::record::Recorder;
use super::roll_back::layer_of_call;
use super::undoing::Undoing;
use super::{AgenticExecutor, expectation, lock};
use crate::cancel::Cancel;
use crate::cause::Cause;
use crate::id::{CallId, StepId};
use crate::journal::{EventBody, JournalError};
use crate::planner::{CommitPolicy, OnFailure, PlanStep};
use crate::tools::{Access, Tool, ToolCall, ToolContext, ToolRegistry, ToolResult, ToolStatus};
use crate::workspace::{Attempt, Backend, ChangeSet, Persistence, WorkspaceError, Workspaces, path_to_text};

/// What a call passes through, for one run or one bare call.
pub(super) struct Door<'a> {
    pub(super) executor: &'a AgenticExecutor,
    /// Where calls work: the executor's, or those that hold back what is written.
    pub(super) workspaces: &'a Workspaces,
    pub(super) registry: &'a ToolRegistry,
    pub(super) recorder: &'a Arc<Recorder>,
    pub(super) cancel: &'a Cancel,
    pub(super) asking: &'a Asking,
    /// Gathers the layers that were committed.
    pub(super) kept: &'a Kept,
}

/// One attempt that is asked for.
pub(super) struct Request<'a> {
    /// The step with its references resolved; a bare call is a step without an id.
    pub(super) step: &'a PlanStep,
    /// 1 for the first.
    pub(super) attempt: u32,
    /// Bytes of memory, when a recovery raised them.
    pub(super) memory: Option<u64>,
    /// Work on a copy, where overlayfs could not do what the step wanted.
    pub(super) copy: bool,
    /// A person has just agreed to this very call.
    pub(super) consented: bool,
}

/// What came of it.
pub(super) struct Answered {
    pub(super) result: ToolResult,
    /// The arguments, when a person changed them.
    pub(super) edited: Option<Map<String, Value>>,
    /// A person wants the run to end.
    pub(super) aborted: bool,
}

/// Stops a call before it has any effect.
struct Refusal {
    result: Box<ToolResult>,
    aborted: bool,
}

impl From<ToolResult> for Refusal {
    fn from(result: ToolResult) -> Self {
        Self { result: Box::new(result), aborted: false }
    }
}

impl Door<'_> {
    /// Makes a call. A failure is a result; nothing panics and nothing is left open.
    pub(super) fn call(&self, request: &Request<'_>) -> Answered {
        let id = CallId::new();
        let mut params = request.step.params.clone();
        let admitted = self.admit(request, &mut params);
        let edited = (params != request.step.params).then(|| params.clone());
        match admitted {
            Ok(tool) => {
                let call = ToolCall { id, tool: tool.name().to_owned(), params };
                Answered { result: self.run(request, &*tool, &call), edited, aborted: false }
            }
            Err(refusal) => {
                let refused = EventBody::CallRefused {
                    call: id,
                    step: step_id(request.step),
                    tool: request.step.tool.clone(),
                    params,
                    cause: refusal.result.cause.unwrap_or(Cause::Failed),
                    error: refusal.result.error.clone().unwrap_or_default(),
                };
                // A journal that fails is noticed by the run through the recorder; the call did not happen either way.
                self.recorder.record(refused).ok();
                Answered { result: *refusal.result, edited, aborted: refusal.aborted }
            }
        }
    }

    /// The tool, if it exists, the arguments fit it and nobody objects.
    fn admit(&self, request: &Request<'_>, params: &mut Map<String, Value>) -> Result<Arc<dyn Tool>, Refusal> {
        let name = &request.step.tool;
        if self.cancel.is_cancelled() {
            return Err(ToolResult::failure(Cause::Cancelled, "the run was asked to end").into());
        }
        let Some(tool) = self.registry.get(name) else {
            let refused = self.registry.validate(name, params).err();
            let unknown = || ToolResult::failure(Cause::UnknownTool, format!("Unknown tool: {name}"));
            return Err(refused.unwrap_or_else(unknown).into());
        };
        // Checked, and in the form that the schema means.
        let check = |params: &mut Map<String, Value>| {
            *params = self.registry.validate(name, params)?;
            Ok::<(), Refusal>(())
        };
        check(params)?;
        let mut consented = request.consented;
        loop {
            let judged = self.executor.approval.judge(name, params, &self.executor.config.workspace);
            let rule = judged.rule.map(|rule| format!(" (rule: {rule})")).unwrap_or_default();
            let denied = |why: String| Refusal::from(ToolResult::failure(Cause::Denied, why));
            match judged.action {
                Action::Allow => return Ok(tool),
                Action::Deny => return Err(denied(format!("the call of `{name}` is denied{rule}"))),
                Action::Ask if consented => return Ok(tool),
                Action::Ask => {}
            }
            let shown = PlanStep { params: params.clone(), ..request.step.clone() };
            match self.asking.ask(&shown) {
                None => {
                    return Err(denied(format!(
                        "the call of `{name}` needs approval and there is nobody to ask{rule}"
                    )));
                }
                Some(Answer::Yes | Answer::All) => return Ok(tool),
                Some(Answer::No) => return Err(denied(format!("the call of `{name}` was declined{rule}"))),
                Some(Answer::Abort) => {
                    let refusal = denied(format!("the call of `{name}` was declined and the run ended{rule}"));
                    return Err(Refusal { aborted: true, ..refusal });
                }
                Some(Answer::Edit(edited)) => {
                    *params = edited;
                    check(params)?;
                    // Who wrote the arguments has agreed to them; a rule may still deny them.
                    consented = true;
                }
            }
        }
    }

    /// Layers, intent, effect, outcome.
    fn run(&self, request: &Request<'_>, tool: &dyn Tool, call: &ToolCall) -> ToolResult {
        let began = Instant::now();
        let declared = catch_unwind(AssertUnwindSafe(|| {
            (tool.access(&call.params), tool.roots(&call.params), tool.idempotency())
        }));
        let (access, roots, idempotency) = match declared {
            Ok(declared) => declared,
            Err(panic) => return panicked(tool.name(), &*panic),
        };
        let roots = self.roots(access, roots);
        let workspaces = self.workspaces;
        // On a copy where overlayfs could not do what the step wanted.
        let opened = if request.copy && access == Access::Write {
            workspaces.open_with(&roots, access, Backend::Copy)
        } else {
            workspaces.open(&roots, access)
        };
        let attempt = match opened {
            Ok(attempt) => attempt,
            Err(error) => return workspace_failure("open the workspace", &error),
        };
        let intended = EventBody::CallIntended {
            call: call.id.clone(),
            step: step_id(request.step),
            attempt: request.attempt,
            tool: call.tool.clone(),
            params_hash: params_hash(&call.params),
            params: call.params.clone(),
            layer: attempt.name().or_else(|| layer_of_call(&call.tool, &call.id)),
            idempotency,
        };
        if let Err(error) = self.recorder.record(intended) {
            return unrecorded(&error);
        }

        // A run that is remembered can be rolled back.
        if self.recorder.journal().path().is_some() {
            attempt.make_undoable();
        }
        let context = ToolContext {
            attempt: &attempt,
            sandbox: self.workspaces.sandbox(),
            config: &self.executor.config,
            cancel: self.cancel,
            timeout: request.step.timeout,
            memory: request.memory,
            on_output: self.observer(request.step, &call.id),
            undo: Some(&Undoing { door: self, step: request.step, call: &call.id }),
        };
        let inside = Inside::call();
        let result = match catch_unwind(AssertUnwindSafe(|| tool.execute(call, &context))) {
            Ok(result) => with_cause(result),
            Err(panic) => panicked(tool.name(), &*panic),
        };
        drop((context, inside));
        let layer = attempt.name();
        let (result, changes) = self.settle(request.step, access, attempt, result);
        if let (Some(layer), Some(_)) = (layer, changes.as_ref().filter(|set| !set.changes.is_empty())) {
            self.kept.add(layer, step_id(request.step));
        }
        self.finish(request.step, call, result, changes, began.elapsed())
    }

    /// Records the outcome.
    pub(super) fn finish(
        &self,
        step: &PlanStep,
        call: &ToolCall,
        result: ToolResult,
        changes: Option<ChangeSet>,
        duration: Duration,
    ) -> ToolResult {
        let journal = self.recorder.journal();
        let record = || {
            self.recorder.record(EventBody::CallFinished {
                call: call.id.clone(),
                step: step_id(step),
                status: result.status,
                cause: result.cause,
                error: result.error.clone(),
                output: journal.keep(&result.output)?,
                metadata: journal.keep_members(&result.metadata)?,
                duration,
                usage: result.usage.clone(),
                enforced: result.enforced.clone(),
                changes,
            })
        };
        match record() {
            Ok(()) => result,
            Err(error) => unrecorded(&error),
        }
    }

    fn roots(&self, access: Access, declared: Option<Vec<PathBuf>>) -> Vec<PathBuf> {
        match (access, declared) {
            (Access::None, _) => Vec::new(),
            // Relative folders of a tool mean those of the workspace.
            (_, Some(roots)) => roots.iter().map(|root| self.executor.config.workspace.join(root)).collect(),
            (_, None) => vec![self.executor.config.workspace.clone()],
        }
    }

    /// Passes output on as text, whole characters only.
    fn observer(&self, step: &PlanStep, call: &CallId) -> Option<Observer> {
        if !self.recorder.has_subscribers() {
            return None;
        }
        let (recorder, call, step) = (Arc::clone(self.recorder), call.clone(), step_id(step));
        let cut: Mutex<Vec<u8>> = Mutex::default();
        Some(Arc::new(move |bytes: &[u8]| {
            let text = {
                let mut cut = lock(&cut);
                cut.extend_from_slice(bytes);
                let whole = whole_characters(&cut);
                let text = String::from_utf8_lossy(&cut[..whole]).into_owned();
                cut.drain(..whole);
                text
            };
            if !text.is_empty() {
                recorder.show(EventBody::CallOutput { call: call.clone(), step: step.clone(), text });
            }
        }))
    }

    /// Commits or drops what the call wrote, by the step's policy.
    fn settle(
        &self,
        step: &PlanStep,
        access: Access,
        mut attempt: Attempt,
        result: ToolResult,
    ) -> (ToolResult, Option<ChangeSet>) {
        if access != Access::Write || !is_wanted(step, &result) {
            attempt.discard();
            return (result, None);
        }
        let allowed = &self.executor.config.sandbox.allow_persist;
        attempt.allow_persist(allowed.clone());
        let mut outcome = attempt.try_commit();
        if let Err(WorkspaceError::Persistence(found)) = &outcome
            && self.asking.persist(step, found)
        {
            attempt.allow_persist(allowed.clone().with(found.iter().map(|one| one.path.clone())));
            outcome = attempt.try_commit();
        }
        match outcome {
            Ok(changes) => (with_persistence(result, &changes.persistence), Some(changes)),
            Err(error) => {
                let failed = workspace_failure("apply what was written", &error);
                let metadata =
                    result.metadata.into_iter().filter(|(name, _)| name != "cause").chain(failed.metadata).collect();
                let settled = ToolResult {
                    output: result.output,
                    metadata,
                    usage: result.usage,
                    enforced: result.enforced,
                    ..failed
                };
                (settled, None)
            }
        }
    }
}

/// Whether what a call wrote is to be kept.
fn is_wanted(step: &PlanStep, result: &ToolResult) -> bool {
    match step.commit {
        CommitPolicy::OnSuccess => expectation::is_met(step, result),
        CommitPolicy::Always => {
            let fault = matches!(result.cause, Some(Cause::Cancelled | Cause::Internal));
            result.is_success() || (!fault && step.on_failure != OnFailure::Rollback)
        }
        CommitPolicy::Never => false,
    }
}

/// Paths that a result's metadata tells; the journal's change set has them all.
const MOST_TOLD: usize = 100;

/// The result with what it left behind, when it did.
fn with_persistence(result: ToolResult, found: &[Persistence]) -> ToolResult {
    if found.is_empty() {
        return result;
    }
    let mut strictest: Vec<&Persistence> = found.iter().collect();
    strictest.sort_by_key(|one| std::cmp::Reverse(one.level));
    let told: Vec<Value> = strictest
        .into_iter()
        .take(MOST_TOLD)
        .map(|one| json!({ "path": path_to_text(&one.path), "level": one.level, "kind": one.kind, "reason": one.reason }))
        .collect();
    result.with("persistence", told)
}

fn step_id(step: &PlanStep) -> Option<StepId> {
    (!step.id.as_str().is_empty()).then(|| step.id.clone())
}

/// A failure always has a cause, and says it in its metadata too.
fn with_cause(mut result: ToolResult) -> ToolResult {
    if result.is_success() {
        return result;
    }
    let cause = *result.cause.get_or_insert(match result.status {
        ToolStatus::Timeout => Cause::Timeout,
        ToolStatus::PermissionDenied => Cause::PermissionDenied,
        _ => Cause::Failed,
    });
    result.metadata.insert("cause".into(), cause.as_str().into());
    result
}

fn panicked(tool: &str, panic: &(dyn Any + Send)) -> ToolResult {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or("no message");
    ToolResult::failure(Cause::Internal, format!("the tool `{tool}` panicked: {said}; nothing it wrote was kept"))
}

fn unrecorded(error: &JournalError) -> ToolResult {
    ToolResult::failure(Cause::Internal, format!("{error}; a call that cannot be recorded is not made"))
}

pub(super) fn workspace_failure(action: &str, error: &WorkspaceError) -> ToolResult {
    let cause = match error {
        WorkspaceError::Conflict(_)
        | WorkspaceError::ChangedSince(_)
        | WorkspaceError::NotApplied(_)
        | WorkspaceError::Busy { .. } => Cause::Conflict,
        WorkspaceError::Ended { .. } => Cause::Cancelled,
        WorkspaceError::Persistence(_) => Cause::Persistence,
        WorkspaceError::Root { path, .. } if !path.exists() => Cause::NotFound,
        WorkspaceError::Root { .. } => Cause::InvalidArguments,
        WorkspaceError::TooLarge { .. } => Cause::Unenforceable,
        WorkspaceError::Mount { source: agentic_sandbox::Error::Unenforceable { .. }, .. } => Cause::Unenforceable,
        WorkspaceError::Io { source, .. } => match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Cause::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Cause::PermissionDenied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Cause::DiskFull,
            io::ErrorKind::CrossesDevices => Cause::CrossDevice,
            _ => Cause::Internal,
        },
        _ => Cause::Internal,
    };
    let mut result = ToolResult::failure(cause, format!("failed to {action}: {error}"));
    if let WorkspaceError::Conflict(conflicts) = error {
        let paths: Vec<Value> = conflicts.iter().map(|one| one.path.to_string_lossy().into()).collect();
        result = result.with("paths", paths);
    }
    if let WorkspaceError::Persistence(found) = error {
        result = with_persistence(result, found);
    }
    result
}

/// BLAKE3 of a value's JSON with sorted keys.
pub(super) fn params_hash(params: &Map<String, Value>) -> String {
    let mut text = String::new();
    canonical_object(params, &mut text);
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

fn canonical_object(members: &Map<String, Value>, text: &mut String) {
    let mut names: Vec<&String> = members.keys().collect();
    names.sort_unstable();
    text.push('{');
    for name in names {
        text.push_str(&Value::from(name.as_str()).to_string());
        text.push(':');
        canonical(&members[name], text);
        text.push(',');
    }
    text.push('}');
}

fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => canonical_object(members, text),
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

/// How many bytes are whole characters; a character that may still be completed is left for later.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        // What is not UTF-8 anywhere else is replaced by the caller; an unfinished end may follow it.
        Err(_) => {
            let tail = bytes.len().saturating_sub(3);
            (tail..bytes.len())
                .find(|at| {
                    std::str::from_utf8(&bytes[*at..]).is_err_and(|e| e.error_len().is_none() && e.valid_up_to() == 0)
                })
                .unwrap_or(bytes.len())
        }
        Ok(_) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_hash_of_arguments_ignores_their_order() {
        let hash = |value: Value| params_hash(value.as_object().unwrap());
        assert_eq!(
            hash(json!({ "a": 1, "b": { "c": 2, "d": [3] } })),
            hash(json!({ "b": { "d": [3], "c": 2 }, "a": 1 }))
        );
        assert_ne!(hash(json!({ "a": "1" })), hash(json!({ "a": 1 })));
        assert_ne!(hash(json!({ "a": [1, 2] })), hash(json!({ "a": [2, 1] })));
    }

    #[test]
    fn characters_are_not_cut() {
        assert_eq!(whole_characters("né".as_bytes()), 3);
        assert_eq!(whole_characters(&"né".as_bytes()[..2]), 1);
        assert_eq!(whole_characters(b"a\xffb"), 3);
        assert_eq!(whole_characters(b"a\xffb\xe2\x82"), 3);
    }
}
