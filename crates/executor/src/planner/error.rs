//! Why there is no plan, or why a plan cannot run: every problem at once, so that one look mends them all.

use std::fmt;

use crate::id::StepId;

/// Why there is no plan, or why a plan cannot run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No rule understands a part of the task. Nothing of the task's text was or will be run.
    #[error("{}", not_understood(.task, .part, .reason))]
    NotUnderstood {
        /// The task as given.
        task: String,
        /// The part that no rule understands; empty for an empty task.
        part: String,
        /// Why, in words.
        reason: String,
    },
    /// A rule understands the task, but a value is in neither the context, nor the text, nor the project.
    #[error("failed to plan \"{part}\": {reason}; give {}", flags(.keys))]
    MissingContext {
        /// The part of the task.
        part: String,
        /// What is missing, in words.
        reason: String,
        /// The context keys that would say it.
        keys: Vec<&'static str>,
    },
    /// A rule understands the task, but the planner was not given the tool.
    #[error("failed to plan \"{part}\": it needs the tool `{tool}`, and the tools here are {}", names(.known))]
    ToolUnavailable {
        /// The part of the task.
        part: String,
        /// The tool it needs.
        tool: String,
        /// The tools there are.
        known: Vec<String>,
    },
    /// The plan has these problems.
    #[error("the plan cannot run: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<PlanProblem>),
}

impl PlanError {
    /// The problems, when the plan itself has some.
    pub fn problems(&self) -> &[PlanProblem] {
        match self {
            Self::Invalid(problems) => problems,
            _ => &[],
        }
    }
}

/// One thing that keeps a plan from running.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanProblem {
    /// Steps wait for each other in a circle: each depends on the next, the last on the first.
    Cycle {
        /// The circle, starting at the step that the plan has first.
        steps: Vec<StepId>,
    },
    /// A step depends on a step that the plan does not have.
    UnknownDependency {
        /// The step.
        step: StepId,
        /// What it names.
        dependency: StepId,
        /// A step whose name is close.
        nearest: Option<StepId>,
    },
    /// A step calls a tool that is not registered.
    UnknownTool {
        /// The step.
        step: StepId,
        /// What it names.
        tool: String,
        /// A tool whose name is close.
        nearest: Option<String>,
    },
    /// Two steps have the same id.
    DuplicateId {
        /// The id.
        step: StepId,
        /// The place of the second, from 0.
        index: usize,
    },
    /// A step has no id.
    EmptyId {
        /// Its place, from 0.
        index: usize,
    },
    /// A `${{ … }}` that can never be resolved.
    BadReference {
        /// The step.
        step: StepId,
        /// The text between the braces.
        reference: String,
        /// Why.
        reason: String,
    },
    /// A step's fallback cannot stand in for it.
    BadFallback {
        /// The step.
        step: StepId,
        /// The fallback it names.
        fallback: StepId,
        /// Why.
        reason: String,
    },
}

impl PlanProblem {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Cycle { .. } => Some("take one of these dependencies away".into()),
            Self::UnknownDependency { nearest: Some(id), .. } => Some(format!("did you mean `{id}`?")),
            Self::UnknownTool { nearest: Some(tool), .. } => Some(format!("did you mean `{tool}`?")),
            Self::UnknownTool { .. } => Some("`agentic tool list` shows the tools".into()),
            Self::DuplicateId { .. } => Some("give each step an id of its own".into()),
            Self::BadReference { .. } => Some("for the text itself write `$${{`".into()),
            _ => None,
        }
    }
}

impl fmt::Display for PlanProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cycle { steps } => {
                f.write_str("the dependencies form a cycle: ")?;
                for step in steps {
                    write!(f, "{step} -> ")?;
                }
                steps.first().map_or(Ok(()), |first| write!(f, "{first}"))
            }
            Self::UnknownDependency { step, dependency, .. } => {
                write!(f, "step `{step}` depends on `{dependency}`, which is no step of this plan")
            }
            Self::UnknownTool { step, tool, .. } => write!(f, "step `{step}` calls the unknown tool `{tool}`"),
            Self::DuplicateId { step, .. } => write!(f, "two steps have the id `{step}`"),
            Self::EmptyId { index } => write!(f, "step {} has no id", index + 1),
            Self::BadReference { step, reference, reason } => {
                write!(f, "step `{step}` refers to `${{{{ {reference} }}}}`: {reason}")
            }
            Self::BadFallback { step, fallback, reason } => {
                write!(f, "step `{step}` cannot fall back to `{fallback}`: {reason}")
            }
        }
    }
}

fn not_understood(task: &str, part: &str, reason: &str) -> String {
    let mut text = if task.trim().is_empty() {
        "failed to plan: the task is empty".to_owned()
    } else {
        format!("failed to plan \"{}\": {reason}", part.trim())
    };
    text.push_str("\nNothing was run. These are understood:\n");
    text.push_str(&super::understood());
    text
}

fn flags(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{key}` in the context")).collect::<Vec<_>>().join(" and ")
}

fn names(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
