//! From the located tree to the plan, collecting every mistake on the way.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::node::{At, Kind, Node};
use super::{FileProblem, PlanFile};
use crate::executor::ExecutionMode;
use crate::id::StepId;
use crate::planner::error::PlanProblem;
use crate::planner::plan::{CommitPolicy, ExecutionPlan, Expect, ForEach, OnFailure, PlanStep, RetryPolicy};
use crate::planner::validate::nearest;

/// The longest timeout and wait: a week. More is a slip of the pen.
const LONGEST: f64 = 604_800.0;
/// The most retries of a step.
const RETRIES: u32 = 1000;

const PLAN_KEYS: [&str; 6] = ["task", "workspace", "mode", "context", "steps", "metadata"];
const STEP_KEYS: [&str; 15] = [
    "id",
    "tool",
    "params",
    "description",
    "depends_on",
    "retries",
    "timeout",
    "commit",
    "expect",
    "on_failure",
    "when",
    "for_each",
    "status",
    "result",
    "error",
];
const RETRY_KEYS: [&str; 5] = ["max", "delay", "factor", "max_delay", "jitter"];

/// Where the parts of a plan stand in its file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Places {
    steps: Vec<StepPlaces>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct StepPlaces {
    id: At,
    tool: At,
    depends_on: Vec<(StepId, At)>,
    fallback: Vec<(StepId, At)>,
    /// Each text that holds a reference.
    texts: Vec<(String, At)>,
}

impl Places {
    /// Where a problem is best shown.
    pub(super) fn of(&self, problem: &PlanProblem, plan: &ExecutionPlan) -> At {
        let step =
            |id: &StepId| plan.steps.iter().position(|step| step.id == *id).and_then(|place| self.steps.get(place));
        let entry = |list: &[(StepId, At)], id: &StepId| list.iter().find(|(other, _)| other == id).map(|(_, at)| *at);
        let at = match problem {
            PlanProblem::Cycle { steps } => steps.first().and_then(step).map(|places| {
                let next = steps.get(1).or_else(|| steps.first());
                next.and_then(|next| entry(&places.depends_on, next)).unwrap_or(places.id)
            }),
            PlanProblem::UnknownDependency { step: id, dependency, .. } => {
                // Among steps of one id it is the one that has the entry.
                self.steps
                    .iter()
                    .zip(&plan.steps)
                    .filter(|(_, step)| step.id == *id)
                    .find_map(|(places, _)| entry(&places.depends_on, dependency))
            }
            PlanProblem::UnknownTool { step: id, tool, .. } => self
                .steps
                .iter()
                .zip(&plan.steps)
                .find(|(_, step)| step.id == *id && step.tool == *tool)
                .map(|(places, _)| places.tool),
            PlanProblem::DuplicateId { index, .. } | PlanProblem::EmptyId { index } => {
                self.steps.get(*index).map(|places| places.id)
            }
            PlanProblem::BadReference { step: id, reference, .. } => step(id).map(|places| {
                let text = places.texts.iter().find(|(text, _)| text.contains(reference.as_str()));
                text.map_or(places.id, |(_, at)| *at)
            }),
            PlanProblem::BadFallback { step: id, fallback, .. } => {
                step(id).map(|places| entry(&places.fallback, fallback).unwrap_or(places.id))
            }
        };
        at.unwrap_or(At { line: 1, column: 1 })
    }
}

/// Reads the tree; what is wrong gathers in `problems`, and defaults stand in for it.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<FileProblem>,
}

type Fields = [(At, String, Node)];

impl Reader {
    fn problem(&mut self, at: At, message: impl Into<String>) {
        self.problems.push(FileProblem::new(at, message));
    }
    fn expected(&mut self, what: &str, expected: &str, node: &Node) {
        self.problem(node.at, format!("`{what}` must be {expected}, not {}", node.shown()));
    }

    pub(super) fn plan(&mut self, root: &Node, source: &str) -> PlanFile {
        let mut file = PlanFile::of(ExecutionPlan::default());
        file.source = source.to_owned();
        let Kind::Fields(fields) = &root.kind else {
            let problem = FileProblem::new(root.at, format!("a plan is a mapping with `steps`, not {}", root.shown()));
            self.problems.push(problem.hint("start with `task: …` and `steps:`"));
            return file;
        };
        self.unknown(fields, &PLAN_KEYS, "a plan");
        let mut steps = None;
        for (_, key, node) in fields {
            match key.as_str() {
                "task" => file.plan.task = self.optional_text("task", node).unwrap_or_default(),
                "workspace" => file.workspace = self.optional_text("workspace", node).map(PathBuf::from),
                "mode" => {
                    file.mode = self.word(
                        "mode",
                        node,
                        &[
                            ("sequential", ExecutionMode::Sequential),
                            ("parallel", ExecutionMode::Parallel),
                            ("interactive", ExecutionMode::Interactive),
                        ],
                    );
                }
                "context" => file.context = self.mapping("context", node),
                "metadata" => {
                    file.plan.metadata = self.mapping("metadata", node);
                    // Of the file that it was written out from, which is not this one.
                    file.plan.metadata.remove("file");
                }
                "steps" => steps = Some(node),
                _ => {}
            }
        }
        match steps.map(|node| (node, &node.kind)) {
            Some((_, Kind::List(list))) if !list.is_empty() => {
                for (index, node) in list.iter().enumerate() {
                    let (step, places) = self.step(index, node);
                    file.plan.steps.push(step);
                    file.places.steps.push(places);
                }
            }
            Some((node, Kind::List(_) | Kind::Null)) => self.problem(node.at, "a plan needs at least one step"),
            Some((node, _)) => self.expected("steps", "a list", node),
            None => self.problem(root.at, "`steps` is missing"),
        }
        file
    }

    fn step(&mut self, index: usize, node: &Node) -> (PlanStep, StepPlaces) {
        let mut step = PlanStep::new(format!("step_{}", index + 1), "", Map::new(), "");
        let mut places = StepPlaces { id: node.at, tool: node.at, ..StepPlaces::default() };
        let Kind::Fields(fields) = &node.kind else {
            self.problem(node.at, format!("a step is a mapping with `tool`, not {}", node.shown()));
            return (step, places);
        };
        self.unknown(fields, &STEP_KEYS, "a step");
        let mut has_tool = false;
        for (_, key, node) in fields {
            match key.as_str() {
                "id" => {
                    step.id = StepId(self.text("id", node).unwrap_or_else(|| step.id.0.clone()));
                    places.id = node.at;
                }
                "tool" => {
                    has_tool = true;
                    places.tool = node.at;
                    step.tool = self.text("tool", node).unwrap_or_default();
                }
                "params" => {
                    step.params = self.mapping("params", node);
                    gather(node, &mut places.texts);
                }
                "description" => step.description = self.optional_text("description", node).unwrap_or_default(),
                "depends_on" => {
                    places.depends_on = self.ids("depends_on", node);
                    step.depends_on = places.depends_on.iter().map(|(id, _)| id.clone()).collect();
                }
                "retries" => step.retry = self.retries(node),
                "timeout" => step.timeout = self.timeout(node),
                "commit" => {
                    let words = [
                        ("on_success", CommitPolicy::OnSuccess),
                        ("always", CommitPolicy::Always),
                        ("never", CommitPolicy::Never),
                    ];
                    step.commit = self.word("commit", node, &words).unwrap_or_default();
                }
                "expect" => {
                    let words = [("success", Expect::Success), ("failure", Expect::Failure)];
                    step.expect = self.word("expect", node, &words).unwrap_or_default();
                }
                "on_failure" => step.on_failure = self.on_failure(node, &mut places),
                "when" => {
                    step.when = self.when(node);
                    gather(node, &mut places.texts);
                }
                "for_each" => {
                    step.for_each = self.for_each(node);
                    gather(node, &mut places.texts);
                }
                _ => {}
            }
        }
        if !has_tool {
            self.problem(node.at, format!("step `{}` has no `tool`", step.id));
        }
        if step.description.is_empty() {
            step.description.clone_from(&step.tool);
        }
        (step, places)
    }

    fn unknown(&mut self, fields: &Fields, known: &[&str], what: &str) {
        for (at, key, _) in fields {
            if !known.contains(&key.as_str()) {
                let problem = FileProblem::new(*at, format!("`{key}` is no key of {what}"));
                self.problems.push(match nearest(key, known.iter().copied()) {
                    Some(near) => problem.hint(format!("did you mean `{near}`?")),
                    None => problem.hint(format!("the keys are {}", known.join(", "))),
                });
            }
        }
    }
    fn text(&mut self, what: &str, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Text(text) => return Some(text.clone()),
            // `id: 1` and `depends_on: 1` are the same name.
            Kind::Number(number) if what != "tool" => return Some(number.to_string()),
            _ => self.expected(what, "a text", node),
        }
        None
    }
    fn optional_text(&mut self, what: &str, node: &Node) -> Option<String> {
        if matches!(node.kind, Kind::Null) { None } else { self.text(what, node) }
    }
    fn mapping(&mut self, what: &str, node: &Node) -> Map<String, Value> {
        match &node.kind {
            Kind::Fields(fields) => return Node::map(fields),
            Kind::Null => {}
            _ => self.expected(what, "a mapping", node),
        }
        Map::new()
    }
    fn word<T: Clone>(&mut self, what: &str, node: &Node, words: &[(&str, T)]) -> Option<T> {
        if let Kind::Text(text) = &node.kind
            && let Some((_, value)) = words.iter().find(|(word, _)| word == text)
        {
            return Some(value.clone());
        }
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.expected(what, &format!("one of {}", words.join(", ")), node);
        None
    }
    fn ids(&mut self, what: &str, node: &Node) -> Vec<(StepId, At)> {
        let list = match &node.kind {
            Kind::Null => return Vec::new(),
            Kind::List(list) => list.iter().collect(),
            _ => vec![node],
        };
        list.into_iter().filter_map(|node| Some((StepId(self.text(what, node)?), node.at))).collect()
    }

    fn retries(&mut self, node: &Node) -> RetryPolicy {
        let mut policy = RetryPolicy::default();
        match &node.kind {
            Kind::Number(_) => policy.max = self.count("retries", node),
            Kind::Fields(fields) => {
                self.unknown(fields, &RETRY_KEYS, "`retries`");
                for (_, key, node) in fields {
                    match key.as_str() {
                        "max" => policy.max = self.count("max", node),
                        "delay" => policy.delay = self.number("delay", node, 0.0, LONGEST),
                        "factor" => policy.factor = self.number("factor", node, 1.0, 100.0),
                        "max_delay" => policy.max_delay = self.number("max_delay", node, 0.0, LONGEST),
                        "jitter" => match &node.kind {
                            Kind::Bool(jitter) => policy.jitter = *jitter,
                            _ => self.expected("jitter", "true or false", node),
                        },
                        _ => {}
                    }
                }
            }
            _ => self.expected("retries", "a number or a mapping with `max`", node),
        }
        policy
    }
    fn count(&mut self, what: &str, node: &Node) -> u32 {
        if let Kind::Number(number) = &node.kind
            && let Some(count) =
                number.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|count| *count <= RETRIES)
        {
            return count;
        }
        self.expected(what, &format!("a whole number from 0 to {RETRIES}"), node);
        0
    }
    fn number(&mut self, what: &str, node: &Node, least: f64, most: f64) -> f64 {
        if let Kind::Number(number) = &node.kind
            && let Some(value) = number.as_f64().filter(|value| (least..=most).contains(value))
        {
            return value;
        }
        self.expected(what, &format!("a number from {least} to {most}"), node);
        least
    }
    fn timeout(&mut self, node: &Node) -> Option<Duration> {
        let seconds = match &node.kind {
            Kind::Null => return None,
            Kind::Number(number) => number.as_f64(),
            Kind::Text(text) => seconds(text),
            _ => None,
        };
        match seconds.filter(|seconds| *seconds > 0.0 && *seconds <= LONGEST) {
            Some(seconds) => Some(Duration::from_secs_f64(seconds)),
            None => {
                self.expected(
                    "timeout",
                    "seconds above 0 and up to a week, or text such as `90s`, `10m`, `1h30m`",
                    node,
                );
                None
            }
        }
    }
    fn on_failure(&mut self, node: &Node, places: &mut StepPlaces) -> OnFailure {
        if let Kind::Fields(fields) = &node.kind {
            self.unknown(fields, &["fallback"], "`on_failure`");
            if let Some((_, _, list)) = fields.iter().find(|(_, key, _)| key == "fallback") {
                places.fallback = self.ids("fallback", list);
                if places.fallback.is_empty() {
                    self.problem(list.at, "`fallback` needs at least one step");
                }
                return OnFailure::Fallback(places.fallback.iter().map(|(id, _)| id.clone()).collect());
            }
            return OnFailure::Stop;
        }
        let words = [
            ("stop", OnFailure::Stop),
            ("continue", OnFailure::Continue),
            ("rollback", OnFailure::Rollback),
            ("replan", OnFailure::Replan),
        ];
        match self.word("on_failure", node, &words) {
            Some(policy) => policy,
            None => {
                if let Some(problem) = self.problems.last_mut() {
                    problem.hint = Some("other steps stand in with `on_failure: {fallback: [ID]}`".into());
                }
                OnFailure::Stop
            }
        }
    }
    fn when(&mut self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Null => None,
            Kind::Bool(value) => Some(value.to_string()),
            _ => self.text("when", node),
        }
    }
    fn for_each(&mut self, node: &Node) -> Option<ForEach> {
        let mut each = ForEach { items: Value::Null, name: "item".into() };
        match &node.kind {
            Kind::Null => return None,
            Kind::Fields(fields) => {
                self.unknown(fields, &["items", "name"], "`for_each`");
                for (_, key, node) in fields {
                    match key.as_str() {
                        "items" => each.items = node.value(),
                        "name" => each.name = self.text("name", node).unwrap_or_else(|| each.name.clone()),
                        _ => {}
                    }
                }
            }
            _ => {
                self.expected("for_each", "a mapping with `items`", node);
                return None;
            }
        }
        match &each.items {
            Value::Array(_) => {}
            Value::String(text) if text.contains("${{") => {}
            _ => self.problem(node.at, "`for_each` needs `items`: a list, or a `${{ … }}` that is one"),
        }
        if ["steps", "context", "task", "true", "false", "null"].contains(&each.name.as_str()) {
            self.problem(node.at, format!("`{}` cannot be the item's name, it means something else", each.name));
        }
        Some(each)
    }
}

/// The texts with references in them, and where they stand.
fn gather(node: &Node, texts: &mut Vec<(String, At)>) {
    match &node.kind {
        Kind::Text(text) => texts.push((text.clone(), node.at)),
        Kind::List(list) => list.iter().for_each(|node| gather(node, texts)),
        Kind::Fields(fields) => fields.iter().for_each(|(_, _, node)| gather(node, texts)),
        _ => {}
    }
}

/// `90s`, `10m`, `1h30m`, `500ms`, `1.5h`.
fn seconds(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..end].parse().ok()?;
        rest = rest[end..].trim_start();
        let unit_end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        total += value * unit;
        rest = rest[unit_end..].trim_start();
    }
    (total > 0.0).then_some(total)
}
