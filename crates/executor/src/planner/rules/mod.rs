//! The planner without a model: split the task, recognise each part's kind, fill in what is missing, say what was assumed.
//!
//! **Order.** Parts that only look (read, search, list) start once the last part that changes something is done,
//! and do not wait for each other; a part that changes something (write, edit, rename, any command) waits for
//! everything before it. So nothing is read before the change that precedes it, or changed before it was read.
//!
//! **The context's command** belongs to one part: the one that runs a command, else the tests, else the build,
//! else the only part that no rule understands.

use serde_json::{Map, Value};

use super::error::PlanError;
use super::plan::{ExecutionPlan, PlanStep};
use super::references;
use super::split::{FILLERS, VERBS, split};
use super::validate::nearest;
use super::words::words;
use crate::id::StepId;
use crate::project::{Project, ProjectView};

mod commands;
mod files;
mod kinds;
mod part;

pub(super) use commands::quote;
pub use kinds::understood;

use kinds::Kind;
use part::Part;

/// Tasks longer than this are no tasks.
const LONGEST: usize = 100_000;
/// Parts beyond this make a plan that nobody asked for.
const MOST_PARTS: usize = 200;

/// The keys of a context that the rules look at; any other means nothing to them.
pub const FACTS: [&str; 12] = [
    "path",
    "content",
    "pattern",
    "file_pattern",
    "command",
    "code",
    "lang",
    "language",
    "package",
    "message",
    "old_name",
    "new_name",
];

/// Breaks tasks into steps by rules, and says what it assumed.
#[derive(Debug, Clone)]
pub struct TaskPlanner {
    /// The tools that steps may use.
    pub available_tools: Vec<String>,
}

impl TaskPlanner {
    /// A planner over these tools.
    pub fn new(available_tools: Vec<String>) -> Self {
        Self { available_tools }
    }

    /// Breaks `task` into steps. Nothing is run; the project is only looked at. Values from the task, the context
    /// and the project that hold `${{` are escaped, so that they stay text.
    ///
    /// # Errors
    /// [`PlanError::NotUnderstood`] when no rule understands a part of the task, [`PlanError::MissingContext`] when
    /// a value is nowhere to be found, [`PlanError::ToolUnavailable`] when a step's tool is not among
    /// `available_tools`.
    pub fn plan(
        &self,
        task: &str,
        context: &Map<String, Value>,
        project: &dyn ProjectView,
    ) -> Result<ExecutionPlan, PlanError> {
        let refused = |part: &str, reason: &str| PlanError::NotUnderstood {
            task: task.chars().take(1000).collect(),
            part: part.chars().take(1000).collect(),
            reason: reason.into(),
        };
        if task.len() > LONGEST {
            return Err(refused(task, "a task has at most 100,000 bytes; a plan file can say more"));
        }
        if task.contains('\0') {
            return Err(refused(task, "it has a NUL character in it"));
        }
        let words = words(task);
        let mut parts: Vec<Part<'_>> = split(&words).into_iter().map(|range| Part::new(&words[range])).collect();
        if parts.is_empty() {
            return Err(refused("", "the task is empty"));
        }
        if parts.len() > MOST_PARTS {
            return Err(refused(task, "it has more than 200 parts; a plan file can say more"));
        }
        let kinds: Vec<Option<Kind>> = parts.iter_mut().map(kinds::kind).collect();
        let taker = context.get("command").and_then(|_| taker(&parts, &kinds, context));
        let mut planning = Planning {
            planner: self,
            task,
            context,
            project: Project(project),
            plan: ExecutionPlan::new(task),
            last_effect: Vec::new(),
            since: Vec::new(),
            may_take_command: false,
            strict: false,
        };
        for (index, (part, kind)) in parts.iter_mut().zip(kinds).enumerate() {
            planning.may_take_command = taker == Some(index);
            planning.strict = false;
            planning.part(part, kind)?;
        }
        if context.contains_key("command") && taker.is_none() {
            planning.plan.assume("no part of the task runs the given command");
        }
        Ok(planning.plan)
    }
}

/// The part that the context's command belongs to.
fn taker(parts: &[Part<'_>], kinds: &[Option<Kind>], context: &Map<String, Value>) -> Option<usize> {
    let of = |kind: Kind| kinds.iter().position(|other| *other == Some(kind));
    let run = if context.contains_key("code") { None } else { of(Kind::Run) };
    run.or_else(|| of(Kind::Test)).or_else(|| of(Kind::Build)).or_else(|| {
        let mut unknown = (0..parts.len())
            .filter(|&at| (kinds[at].is_none() || kinds::turned(&parts[at]).is_some()) && !kinds::negated(&parts[at]));
        let first = unknown.next()?;
        unknown.next().is_none().then_some(first)
    })
}

/// A plan in the making.
struct Planning<'a> {
    planner: &'a TaskPlanner,
    task: &'a str,
    context: &'a Map<String, Value>,
    project: Project<'a>,
    plan: ExecutionPlan,
    /// The steps of the last part that changes something.
    last_effect: Vec<StepId>,
    /// The steps since then, which only look.
    since: Vec<StepId>,
    may_take_command: bool,
    /// Whether this part's values came from its text: then a word left over means that it was misread.
    strict: bool,
}

impl Planning<'_> {
    fn part(&mut self, part: &mut Part<'_>, kind: Option<Kind>) -> Result<(), PlanError> {
        let turned = kinds::turned(part);
        let Some(kind) = kind.filter(|_| turned.is_none()) else {
            let command = if self.may_take_command && !kinds::negated(part) {
                self.context.get("command").and_then(text)
            } else {
                None
            };
            let Some(command) = command.filter(|command| !command.trim().is_empty()) else {
                return Err(self.refused(part, turned.unwrap_or_else(|| why_unknown(part))));
            };
            self.plan.assume(format!("\"{}\" is what the given command does", part.text));
            let step = self.shell(part, command, "Run command")?;
            self.effect(vec![step]);
            return Ok(());
        };
        match kind {
            Kind::Read => self.read(part)?,
            Kind::Write => self.write(part)?,
            Kind::Search => self.search(part)?,
            Kind::List => self.list(part)?,
            Kind::Test => self.test(part)?,
            Kind::Build => self.build(part)?,
            Kind::Install => self.install(part)?,
            Kind::Commit => self.commit(part)?,
            Kind::GitShow => self.git_show(part)?,
            Kind::Rename => self.rename(part)?,
            Kind::Edit => self.edit(part)?,
            Kind::Run => self.run(part)?,
        }
        let left = part.left_over();
        // Half a wish must not be dropped in silence: a verb that is left asks for something.
        let asks = |word: &&&crate::planner::words::Word| {
            word.is_one_of(VERBS)
                || (!word.quoted && word.text.starts_with('-') && word.text.len() > 1)
                || word.is_one_of(&[
                    "before",
                    "after",
                    "twice",
                    "times",
                    "linter",
                    "linters",
                    "formatter",
                    "coverage",
                    "but",
                    "only",
                ])
        };
        if let Some(word) = left.iter().find(|word| self.strict || asks(word))
            && !self.may_take_command
        {
            return Err(self.refused(part, format!("what \"{}\" means there is not understood", word.text)));
        }
        if !left.is_empty() {
            let words: Vec<&str> = left.iter().map(|word| word.text.as_str()).collect();
            self.plan.assume(format!("in \"{}\" nothing depends on \"{}\"", part.text, words.join(" ")));
        }
        Ok(())
    }

    fn has_tool(&self, tool: &str) -> bool {
        self.planner.available_tools.iter().any(|known| known == tool)
    }
    /// A step with a known tool, its values escaped.
    fn step(
        &self,
        part: &Part<'_>,
        tool: &str,
        params: Map<String, Value>,
        description: &str,
    ) -> Result<PlanStep, PlanError> {
        self.checked(part, PlanStep::new("", tool, params, description))
    }
    fn checked(&self, part: &Part<'_>, mut step: PlanStep) -> Result<PlanStep, PlanError> {
        if !self.has_tool(&step.tool) {
            let known = self.planner.available_tools.clone();
            return Err(PlanError::ToolUnavailable { part: part.text.clone(), tool: step.tool, known });
        }
        for value in step.params.values_mut() {
            escape(value);
        }
        // One line a step, however long or many-lined the value that it names.
        if step.description.chars().count() > 80 || step.description.contains(char::is_control) {
            let line: String =
                step.description.chars().map(|c| if c.is_control() { ' ' } else { c }).take(79).collect();
            step.description = line + "…";
        }
        Ok(step)
    }
    fn push(&mut self, mut step: PlanStep) -> StepId {
        step.id = StepId(format!("step_{}", self.plan.steps.len() + 1));
        let id = step.id.clone();
        self.plan.steps.push(step);
        id
    }
    fn before_observing(&self) -> Vec<StepId> {
        self.last_effect.clone()
    }
    /// Adds a step that only looks.
    fn observe(&mut self, mut step: PlanStep) {
        step.depends_on = self.before_observing();
        let id = self.push(step);
        self.since.push(id);
    }
    /// Adds steps that change something, side by side. Dependencies that a step has already stay as they are.
    fn effect(&mut self, steps: Vec<PlanStep>) -> Vec<StepId> {
        let before = if self.since.is_empty() { self.last_effect.clone() } else { std::mem::take(&mut self.since) };
        let mut ids = Vec::new();
        for mut step in steps {
            if step.depends_on.is_empty() {
                step.depends_on.clone_from(&before);
            }
            ids.push(self.push(step));
        }
        self.last_effect.clone_from(&ids);
        ids
    }
    fn refused(&self, part: &Part<'_>, reason: String) -> PlanError {
        PlanError::NotUnderstood { task: self.task.to_owned(), part: part.text.clone(), reason }
    }
    #[expect(clippy::unused_self, reason = "reads as its sibling `refused` does")]
    fn missing(&self, part: &Part<'_>, reason: String, keys: &[&'static str]) -> PlanError {
        PlanError::MissingContext { part: part.text.clone(), reason, keys: keys.to_vec() }
    }
}

fn why_unknown(part: &Part<'_>) -> String {
    let Some(word) = part.verb().and_then(|at| part.word(at)).filter(|word| !word.quoted) else {
        return "it does not start with a word that says what to do".into();
    };
    let known = VERBS.iter().copied().take_while(|verb| *verb != "add");
    match nearest(&word.lower, known) {
        Some(near) => format!("\"{}\" is not understood; did you mean \"{near}\"?", word.text),
        None => format!("\"{}\" is not understood", word.text),
    }
}

fn escape(value: &mut Value) {
    match value {
        Value::String(text) => *text = references::escape(text),
        Value::Array(items) => items.iter_mut().for_each(escape),
        Value::Object(fields) => fields.values_mut().for_each(escape),
        _ => {}
    }
}

/// A context value as text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}
