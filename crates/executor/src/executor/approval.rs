//! Which calls may be made: ordered rules, the last one that matches decides.
//!
//! A rule narrows or widens what is asked of people; it is a convenience, the sandbox is the boundary.
//! Paths are judged as they are written (with `.` and `..` taken out, from the workspace on), commands by
//! their simple commands. What cannot be judged is never allowed by a rule that names a command.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::commands::simple_commands;
use super::lock;
use crate::planner::PlanStep;
use crate::tools::patch;
use crate::workspace::Persistence;

/// What a rule says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The call is made.
    #[default]
    Allow,
    /// A person is asked; without one the call is denied.
    Ask,
    /// The call is not made.
    Deny,
}

/// A glob: `*` within a path component, `**` across, `?`, `[…]`, `{a,b}`.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    path: GlobMatcher,
    words: GlobMatcher,
}

impl Pattern {
    /// A glob from its text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, globset::Error> {
        let glob = |separator| Ok(GlobBuilder::new(text).literal_separator(separator).build()?.compile_matcher());
        Ok(Self { text: text.to_owned(), path: glob(true)?, words: glob(false)? })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// One rule. A field that is absent matches everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it says.
    pub action: Action,
    /// The tool's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Pattern>,
    /// A path among the arguments, relative to the workspace or absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Pattern>,
    /// A command, `*` matching any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Pattern>,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.action {
            Action::Allow => "allow",
            Action::Ask => "ask",
            Action::Deny => "deny",
        })?;
        for (name, pattern) in [("tool", &self.tool), ("path", &self.path), ("command", &self.command)] {
            if let Some(pattern) = pattern {
                write!(f, " {name}={pattern}")?;
            }
        }
        Ok(())
    }
}

/// Ordered rules; the last one that matches decides, and without one the call is allowed.
///
/// ```
/// use agentic_executor::executor::{Action, Approval};
/// let approval: Approval = serde_json::from_str(
///     r#"{"rules": [{"action": "ask", "tool": "shell"}, {"action": "allow", "command": "git status*"}]}"#,
/// ).unwrap();
/// let params = serde_json::json!({"command": "git status -s"});
/// let judged = approval.judge("shell", params.as_object().unwrap(), "/work".as_ref());
/// assert_eq!(judged.action, Action::Allow);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Approval {
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// What the rules say of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged<'a> {
    /// What is to be done.
    pub action: Action,
    /// The rule that decided, if one did.
    pub rule: Option<&'a Rule>,
}

impl Approval {
    /// What the rules say of a call of `tool` with `params` over `workspace`.
    pub fn judge(&self, tool: &str, params: &Map<String, Value>, workspace: &Path) -> Judged<'_> {
        let rule = self.rules.iter().rev().find(|rule| rule.matches(tool, params, workspace));
        Judged { action: rule.map_or(Action::Allow, |rule| rule.action), rule }
    }
}

impl Rule {
    fn matches(&self, tool: &str, params: &Map<String, Value>, workspace: &Path) -> bool {
        let every = self.action == Action::Allow;
        // A command that is not to be run by `shell` is not to be run by way of `run_tests` or `migrate` either.
        let shell = !every && matches!(tool, "run_tests" | "migrate") && params.contains_key("command");
        let names = |pattern: &Pattern| pattern.words.is_match(tool) || shell && pattern.words.is_match("shell");
        self.tool.as_ref().is_none_or(names)
            && self.path.as_ref().is_none_or(|pattern| {
                let paths = paths(params);
                let fits = |path: &PathBuf| {
                    let absolute = plain(&workspace.join(path));
                    let relative = absolute.strip_prefix(workspace).ok();
                    pattern.path.is_match(&absolute) || relative.is_some_and(|path| pattern.path.is_match(path))
                };
                !paths.is_empty() && if every { paths.iter().all(fits) } else { paths.iter().any(fits) }
            })
            && self.command.as_ref().is_none_or(|pattern| {
                let lines: Vec<&str> = match params.get("command") {
                    Some(Value::String(line)) => vec![line],
                    Some(Value::Array(lines)) => lines.iter().filter_map(Value::as_str).collect(),
                    _ => Vec::new(),
                };
                let fits = |text: &String| pattern.words.is_match(text);
                let judge = |line: &&str| {
                    let commands = simple_commands(line);
                    if every {
                        commands.judgeable && !commands.texts.is_empty() && commands.texts.iter().all(fits)
                    } else {
                        pattern.words.is_match(line) || commands.texts.iter().any(fits)
                    }
                };
                !lines.is_empty() && if every { lines.iter().all(judge) } else { lines.iter().any(judge) }
            })
    }
}

/// The paths among the arguments, wherever they lie.
fn paths(params: &Map<String, Value>) -> Vec<PathBuf> {
    fn collect(name: &str, value: &Value, found: &mut Vec<PathBuf>) {
        match value {
            Value::String(text) if matches!(name, "path" | "paths" | "file" | "files" | "working_dir") => {
                found.push(text.into());
            }
            Value::String(text) if name == "patch" => found.extend(patch::paths(text).into_iter().map(PathBuf::from)),
            Value::Array(items) => items.iter().for_each(|item| collect(name, item, found)),
            Value::Object(members) => members.iter().for_each(|(name, member)| collect(name, member, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    params.iter().for_each(|(name, value)| collect(name, value, &mut found));
    found
}

/// `path` without `.` and `..`, by its text: what it names when no symlink is on the way.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// Asks a person. Called from one thread at a time.
pub trait Prompt: Send + Sync {
    /// Shows a step, its references resolved, and waits for the answer.
    fn ask(&self, step: &PlanStep) -> Answer;
    /// Shows what a step that went well would leave behind that runs later outside, and whether it may. Default: no.
    fn persist(&self, step: &PlanStep, found: &[Persistence]) -> bool {
        let _ = (step, found);
        false
    }
}

impl fmt::Debug for dyn Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prompt")
    }
}

/// A person's answer about a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Do it.
    Yes,
    /// Leave it out.
    No,
    /// Do it with these arguments instead.
    Edit(Map<String, Value>),
    /// Do it, and do not ask again in this run.
    All,
    /// End the run.
    Abort,
}

/// One run's conversation with a person.
#[derive(Debug, Default)]
pub(super) struct Asking {
    prompt: Option<Arc<dyn Prompt>>,
    all: Mutex<bool>,
}

impl Asking {
    pub(super) fn new(prompt: Option<Arc<dyn Prompt>>) -> Self {
        Self { prompt, all: Mutex::new(false) }
    }
    /// The answer, `None` when there is nobody to ask. A prompt that panics has said no.
    pub(super) fn ask(&self, step: &PlanStep) -> Option<Answer> {
        let prompt = self.prompt.as_ref()?;
        let mut all = lock(&self.all);
        if *all {
            return Some(Answer::Yes);
        }
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| prompt.ask(step)));
        let answer = asked.unwrap_or(Answer::No);
        if answer == Answer::All {
            *all = true;
            return Some(Answer::Yes);
        }
        Some(answer)
    }
    /// Whether a person lets a step leave this behind. That they agreed to all further steps does not answer it: they
    /// agreed to calls, whose effects they had not seen. A prompt that panics has said no.
    pub(super) fn persist(&self, step: &PlanStep, found: &[Persistence]) -> bool {
        let Some(prompt) = self.prompt.as_ref() else { return false };
        let _one = lock(&self.all);
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| prompt.persist(step, found)));
        asked.unwrap_or(false)
    }
}
