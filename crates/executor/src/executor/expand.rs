//! What a due step turns into: a call, a skip, or one call for each item of a list; and the list's result.

use serde_json::{Value, json};

use super::sight::Sight;
use crate::cause::Cause;
use crate::id::StepId;
use crate::planner::{ExecutionPlan, OnFailure, PlanStep, StepStatus};
use crate::tools::ToolResult;

/// Items that one `for_each` may expand to.
const MOST_ITEMS: usize = 10_000;
/// Bytes of output of all items together that are still joined into one text.
const MOST_JOINED: usize = 64 * 1024;

/// What a due step turns into.
#[derive(Debug)]
pub(super) enum Prepared {
    /// One call, references resolved.
    Call(Box<PlanStep>),
    /// One call for each of these.
    Each { name: String, items: Vec<Value> },
    /// Its `when` is false.
    Unwanted,
}

/// Reads a step's `when`, `for_each` and references, now that everything before it is done.
pub(super) fn prepare(at: usize, sight: &Sight<'_>) -> Result<Prepared, String> {
    let step = &sight.plan.steps[at];
    if let Some(when) = step.when.as_deref().filter(|when| sight.item.is_some() || !depends_on_item(when, step)) {
        let holds = sight.holds(when).map_err(|error| format!("failed to judge `when: {when}`: {error}"))?;
        if !holds {
            return Ok(Prepared::Unwanted);
        }
    }
    if let Some(each) = &step.for_each {
        let items = sight.items(each).map_err(|error| format!("failed to expand `for_each`: {error}"))?;
        if items.len() > MOST_ITEMS {
            return Err(format!("failed to expand `for_each`: {} items, {MOST_ITEMS} at most", items.len()));
        }
        return Ok(Prepared::Each { name: each.name.clone(), items });
    }
    let params = sight.resolve(&step.params).map_err(|error| format!("failed to resolve the arguments: {error}"))?;
    Ok(Prepared::Call(Box::new(PlanStep { params, ..unanswered(step) })))
}

/// The step that makes the call for one item.
pub(super) fn child(parent: &PlanStep, number: usize) -> PlanStep {
    PlanStep {
        id: StepId(format!("{}[{number}]", parent.id)),
        for_each: None,
        when: parent.when.clone().filter(|when| depends_on_item(when, parent)),
        status: StepStatus::Pending,
        // Another step in its place is the business of the step that was written.
        on_failure: match &parent.on_failure {
            OnFailure::Stop => OnFailure::Stop,
            OnFailure::Rollback => OnFailure::Rollback,
            OnFailure::Continue | OnFailure::Replan | OnFailure::Fallback(_) => OnFailure::Continue,
        },
        ..unanswered(parent)
    }
}

/// What the items' calls come to: a failure if one failed.
pub(super) fn aggregate(plan: &ExecutionPlan, children: &[usize], items: &[(Value, Option<Value>)]) -> ToolResult {
    let steps: Vec<&PlanStep> = children.iter().filter_map(|at| plan.steps.get(*at)).collect();
    let results: Vec<Value> = steps
        .iter()
        .zip(items)
        .map(|(step, (item, path))| {
            let path = path.clone().or_else(|| item.is_string().then(|| item.clone()));
            json!({ "item": item, "path": path, "status": step.status.as_str(), "error": step.error })
        })
        .collect();
    let completed = steps.iter().filter(|step| step.status == StepStatus::Completed).count();
    let unfinished = |step: &&&PlanStep| !matches!(step.status, StepStatus::Completed | StepStatus::Skipped);
    let failed = steps.iter().find(unfinished).or_else(|| steps.iter().find(|step| step.error.is_some()));
    let texts: Option<Vec<&str>> =
        steps.iter().filter_map(|step| step.result.as_ref()).map(|result| result.output.as_str()).collect();
    let output = match texts.filter(|texts| texts.iter().map(|text| text.len()).sum::<usize>() <= MOST_JOINED) {
        Some(texts) => {
            let lines = texts.iter().map(|text| text.trim_end_matches('\n')).filter(|text| !text.is_empty());
            lines.collect::<Vec<_>>().join("\n")
        }
        None => format!("{completed} of {} items done", steps.len()),
    };
    let result = match failed {
        None => ToolResult::success(output),
        Some(first) => {
            let cause = first.result.as_ref().and_then(|result| result.cause).unwrap_or(Cause::Failed);
            let failed = steps.len() - completed;
            let error = first.error.as_deref().unwrap_or("it never started");
            let message = format!("{failed} of {} items were not done; {}: {error}", steps.len(), first.id);
            ToolResult { output: output.into(), ..ToolResult::failure(cause, message) }
        }
    };
    result.with("items", steps.len()).with("completed", completed).with("results", results)
}

/// A copy of a step without what its last attempt produced, which can be large.
pub(super) fn unanswered(step: &PlanStep) -> PlanStep {
    PlanStep {
        id: step.id.clone(),
        tool: step.tool.clone(),
        params: step.params.clone(),
        description: step.description.clone(),
        depends_on: step.depends_on.clone(),
        status: step.status,
        result: None,
        error: None,
        retry_count: 0,
        retry: step.retry.clone(),
        commit: step.commit,
        expect: step.expect,
        timeout: step.timeout,
        on_failure: step.on_failure.clone(),
        when: step.when.clone(),
        for_each: step.for_each.clone(),
    }
}

/// Whether a `for_each` step's `when` speaks of the item, so that it is judged for each.
fn depends_on_item(when: &str, step: &PlanStep) -> bool {
    let Some(each) = &step.for_each else { return false };
    let word = |c: char| c.is_alphanumeric() || c == '_';
    when.match_indices(&each.name).any(|(at, found)| {
        !when[..at].ends_with(|c| word(c) || c == '.') && !when[at + found.len()..].starts_with(word)
    })
}
