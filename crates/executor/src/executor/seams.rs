//! What the executor asks of the planner, the tools and the workspace, one thin function for each question.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::cause::Cause;
use crate::planner::{ExecutionPlan, OnFailure, PlanStep, TaskPlanner};
use crate::tools::{Access, Tool, ToolResult};
use crate::workspace::{Attempt, Backend, Dir, FileKind, WorkspaceError, Workspaces};

/// Opens private layers; on the copy backend where overlayfs could not do what the step wanted.
pub(super) fn open(
    workspaces: &Workspaces,
    roots: &[PathBuf],
    access: Access,
    copy: bool,
) -> Result<Attempt, WorkspaceError> {
    if copy { workspaces.open_with(roots, access, Backend::Copy) } else { workspaces.open(roots, access) }
}

/// The name of the layer that an attempt writes to.
pub(super) fn layer(_attempt: &Attempt) -> Option<String> {
    None
}

/// Checks arguments against the tool's schema.
pub(super) fn check(tool: &dyn Tool, params: &Map<String, Value>) -> Result<(), Box<ToolResult>> {
    let schema = tool.schema();
    let invalid = |message: String, pointer: String| {
        Err(Box::new(ToolResult::failure(Cause::InvalidArguments, message).with("pointer", pointer)))
    };
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if !params.contains_key(name) {
            return invalid(format!("Missing required parameter: {name}"), format!("/{name}"));
        }
    }
    if let (true, Some(known)) = (tool.refuses_unknown(), schema.get("properties").and_then(Value::as_object)) {
        if let Some(name) = params.keys().find(|name| !known.contains_key(*name)) {
            return invalid(format!("Unknown parameter: {name}"), format!("/{name}"));
        }
    }
    Ok(())
}

/// A plan for a task; the message of a refusal lists what is understood.
pub(super) fn plan(
    planner: &TaskPlanner,
    task: &str,
    context: &Map<String, Value>,
    project: &Path,
) -> Result<ExecutionPlan, String> {
    let dir = Dir::open_root(project).map_err(|error| error.to_string())?;
    planner.plan(task, context, &dir).map_err(|error| error.to_string())
}

/// A step that may stand in for one that has failed for good.
pub(super) fn replan(
    _planner: &TaskPlanner,
    _plan: &ExecutionPlan,
    _failed: &PlanStep,
    _error: &str,
) -> Option<PlanStep> {
    None
}

/// What is wrong with a plan, everything at once.
pub(super) fn validate(plan: &ExecutionPlan) -> Result<(), String> {
    let mut index = HashMap::new();
    for (at, step) in plan.steps.iter().enumerate() {
        if index.insert(&step.id, at).is_some() {
            return Err(format!("two steps are called `{}`", step.id));
        }
    }
    let mut waiting = vec![0usize; plan.steps.len()];
    let mut after = vec![Vec::new(); plan.steps.len()];
    for (at, step) in plan.steps.iter().enumerate() {
        let reserves = match &step.on_failure {
            OnFailure::Fallback(ids) => ids.as_slice(),
            _ => &[],
        };
        if let Some(missing) = step.depends_on.iter().chain(reserves).find(|id| !index.contains_key(id)) {
            return Err(format!("step `{}` names the step `{missing}`, which the plan does not have", step.id));
        }
        for dependency in &step.depends_on {
            after[index[dependency]].push(at);
            waiting[at] += 1;
        }
    }
    let mut free: VecDeque<usize> = (0..waiting.len()).filter(|at| waiting[*at] == 0).collect();
    let mut ordered = 0;
    while let Some(at) = free.pop_front() {
        ordered += 1;
        for next in &after[at] {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                free.push_back(*next);
            }
        }
    }
    if ordered == plan.steps.len() {
        return Ok(());
    }
    // Every step that is left waits for one that is left: following those ends in the cycle.
    let start = waiting.iter().position(|count| *count > 0).unwrap_or_default();
    let mut path = vec![start];
    loop {
        let at = path[path.len() - 1];
        let next = plan.steps[at].depends_on.iter().map(|id| index[id]).find(|next| waiting[*next] > 0);
        let Some(next) = next else { return Err("the plan has a cycle".into()) };
        if let Some(from) = path.iter().position(|seen| *seen == next) {
            let names = path[from..].iter().chain([&next]).map(|at| plan.steps[*at].id.as_str());
            return Err(format!("the plan has a cycle: {}", names.collect::<Vec<_>>().join(" -> ")));
        }
        path.push(next);
    }
}

/// The value with its `${{ … }}` references replaced.
pub(super) fn resolve(value: &Value, plan: &ExecutionPlan, item: Option<(&str, &Value)>) -> Result<Value, String> {
    match value {
        Value::String(text) => resolve_text(text, plan, item),
        Value::Array(items) => {
            items.iter().map(|part| resolve(part, plan, item)).collect::<Result<_, _>>().map(Value::Array)
        }
        Value::Object(members) => members
            .iter()
            .map(|(name, part)| Ok((name.clone(), resolve(part, plan, item)?)))
            .collect::<Result<_, String>>()
            .map(Value::Object),
        other => Ok(other.clone()),
    }
}

/// Whether a `when` holds.
pub(super) fn condition(text: &str, plan: &ExecutionPlan, item: Option<(&str, &Value)>) -> Result<bool, String> {
    let inner = text.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")).unwrap_or(text).trim();
    let side = |text: &str| {
        let text = text.trim();
        match serde_json::from_str(text) {
            Ok(value) => Ok(value),
            Err(_) => match text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
                Some(literal) => Ok(Value::String(literal.into())),
                None => look_up(text, plan, item),
            },
        }
    };
    if let Some((left, right)) = inner.split_once("==") {
        return Ok(side(left)? == side(right)?);
    }
    if let Some((left, right)) = inner.split_once("!=") {
        return Ok(side(left)? != side(right)?);
    }
    Ok(match side(inner)? {
        Value::Null => false,
        Value::Bool(truth) => truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    })
}

/// Text that [`resolve`] gives back as it is.
pub(super) fn escape(text: &str) -> Value {
    text.replace("${{", "$${{").into()
}

fn resolve_text(text: &str, plan: &ExecutionPlan, item: Option<(&str, &Value)>) -> Result<Value, String> {
    if !text.contains("${{") {
        return Ok(Value::String(text.to_owned()));
    }
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("${{") {
        if let Some(before) = before.strip_suffix('$') {
            whole.push_str(before);
            whole.push_str("${{");
            rest = from;
            continue;
        }
        let (reference, after) = from.split_once("}}").ok_or_else(|| format!("`{text}` lacks its `}}}}`"))?;
        let value = look_up(reference.trim(), plan, item)?;
        if before.is_empty() && after.is_empty() && whole.is_empty() {
            return Ok(value);
        }
        whole.push_str(before);
        match &value {
            Value::String(text) => whole.push_str(text),
            other => whole.push_str(&other.to_string()),
        }
        rest = after;
    }
    whole.push_str(rest);
    Ok(Value::String(whole))
}

fn look_up(reference: &str, plan: &ExecutionPlan, item: Option<(&str, &Value)>) -> Result<Value, String> {
    let mut parts = reference.split('.');
    let unknown = || format!("`{reference}` names nothing");
    let first = parts.next().ok_or_else(unknown)?;
    let mut value = match item {
        Some((name, value)) if name == first => value.clone(),
        _ if first == "steps" => {
            let id = parts.next().ok_or_else(unknown)?;
            let step = plan.steps.iter().find(|step| step.id.as_str() == id).ok_or_else(unknown)?;
            let result = step.result.as_ref();
            match parts.next().ok_or_else(unknown)? {
                "status" => step.status.as_str().into(),
                "error" => step.error.clone().into(),
                "output" => result.map(|result| result.output.clone()).ok_or_else(unknown)?,
                "metadata" => result.map(|result| Value::Object(result.metadata.clone())).ok_or_else(unknown)?,
                _ => return Err(unknown()),
            }
        }
        _ => return Err(unknown()),
    };
    for part in parts {
        let member = match &value {
            Value::Object(members) => members.get(part),
            Value::Array(items) => part.parse::<usize>().ok().and_then(|at| items.get(at)),
            _ => None,
        };
        value = member.cloned().ok_or_else(unknown)?;
    }
    Ok(value)
}

/// Folders that hold no source of anybody's.
const SKIPPED: [&str; 8] = [".git", "node_modules", "target", "__pycache__", ".venv", "venv", ".tox", ".mypy_cache"];
const MOST_ENTRIES: usize = 100_000;

/// Files of that name beneath a folder, relative to it. Symlinks are not followed; `most` are returned at most.
pub(super) fn files_named(root: &Path, name: &OsStr, most: usize) -> Result<Vec<PathBuf>, WorkspaceError> {
    let dir = Dir::open_root(root)?;
    let mut found = Vec::new();
    let mut folders = VecDeque::from([PathBuf::new()]);
    let mut seen = 0;
    while let Some(folder) = folders.pop_front() {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder.as_path() };
        // What cannot be read holds nothing that the step could read.
        let Ok(mut entries) = dir.read_dir(here) else { continue };
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            seen += 1;
            if found.len() >= most || seen > MOST_ENTRIES {
                return Ok(found);
            }
            let path = folder.join(&entry.name);
            if entry.kind == FileKind::Dir {
                if !SKIPPED.iter().any(|skipped| entry.name.as_os_str() == *skipped) {
                    folders.push_back(path);
                }
            } else if entry.name.as_os_str() == name {
                found.push(path);
            }
        }
    }
    Ok(found)
}
