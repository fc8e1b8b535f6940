//! All rules of a file, in order.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use crate::error::{Problem, RuleError};
use crate::form::FileForm;
use crate::limits::Limits;
use crate::report::Rewrite;
use crate::rewrite::rewrite;
use crate::rule::{Command, Rule};
use crate::target::Target;
use crate::yaml::{Entry, entries};

/// The rules of one file, compiled. It is read once and then used for any number of texts, by any number of threads.
///
/// ```
/// use agentic_migrate::RuleSet;
/// use std::path::Path;
///
/// let rules = RuleSet::from_yaml(
///     "
/// rules:
///   - id: client
///     identifier: { from: OldClient, to: Client }
///   - id: timeout
///     language: python
///     pattern: Client($HOST, $SECONDS)
///     fix: Client($HOST, timeout=$SECONDS)
/// ",
///     "migrate.yaml",
/// )?;
/// let path = Path::new("app/main.py");
/// assert!(rules.may_apply(path));
/// let rewrite = rules.rewrite(path, "c = OldClient('a', 5)\n");
/// assert_eq!(rewrite.text.as_deref(), Some("c = Client('a', timeout=5)\n"));
/// # Ok::<(), agentic_migrate::RuleError>(())
/// ```
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    stages: Vec<Stage>,
    limits: Limits,
}

/// A stretch of the rules that is done with the whole tree before the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// The rules of these places rewrite files, one by one: see [`RuleSet::rewrite_stage`].
    Rules(Range<usize>),
    /// A command over the tree, which the caller runs.
    Command(Command),
}

impl RuleSet {
    /// Reads the rules of a file. `name` is the file's name, for errors.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its rule, its field and its line.
    pub fn from_yaml(text: &str, name: &str) -> Result<Self, RuleError> {
        let mut rules: Vec<Rule> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (index, entry) in entries(text, name)?.into_iter().enumerate() {
            let place = index + 1;
            let written = entry.fields.get("id").and_then(Value::as_str);
            let id = written.map_or_else(|| format!("rule-{place}"), str::to_owned);
            let compiled = match (written, places.get(&id)) {
                (Some(""), _) => Err(Problem::of("id", "the id is empty", "write a name, or leave it out")),
                (_, Some(other)) => {
                    let problem = format!("`{id}` is the id of rule {other} already");
                    Err(Problem::of("id", problem, "give each rule an id of its own"))
                }
                _ => Rule::compile(id.clone(), &entry.fields),
            };
            rules.push(compiled.map_err(|problem| locate(problem, &entry, place, written, name))?);
            places.insert(id, place);
        }
        let stages = stages(&rules);
        Ok(Self { rules, stages, limits: Limits::default() })
    }

    /// The same rules with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What one file may cost.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The rules in their order, commands among them.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The commands in their order.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.rules.iter().filter_map(Rule::command)
    }

    /// The order in which rules and commands take turns over the tree. Without a command it is one stage of all rules.
    ///
    /// ```
    /// use agentic_migrate::{RuleSet, Stage};
    ///
    /// let rules = RuleSet::from_yaml(
    ///     "rules: [{identifier: {from: a, to: b}}, {command: make}, {identifier: {from: b, to: c}}]",
    ///     "m.yaml",
    /// )?;
    /// let [Stage::Rules(first), Stage::Command(command), Stage::Rules(last)] = rules.stages() else { panic!() };
    /// assert_eq!((first.clone(), command.line.as_str(), last.clone()), (0..1, "make", 2..3));
    /// # Ok::<(), agentic_migrate::RuleError>(())
    /// ```
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Whether any rule is for a file of this path, which is relative to the root of the tree. Cheap: only names are
    /// looked at.
    pub fn may_apply(&self, path: &Path) -> bool {
        self.may_apply_stage(0..self.rules.len(), path)
    }

    /// Like [`RuleSet::may_apply`], for the rules of one stage.
    pub fn may_apply_stage(&self, stage: Range<usize>, path: &Path) -> bool {
        let target = Target::new(path);
        self.of(stage).iter().any(|rule| rule.reads(&target).is_some())
    }

    /// Applies every rule that is for a file of this path to its text, in order. Commands are passed over.
    ///
    /// The path is relative to the root of the tree. Bytes that no rule replaces stay: line ends, a byte order mark, a
    /// missing line end at the end.
    pub fn rewrite(&self, path: &Path, text: &str) -> Rewrite {
        self.rewrite_stage(0..self.rules.len(), path, text)
    }

    /// Like [`RuleSet::rewrite`], for the rules of one stage.
    pub fn rewrite_stage(&self, stage: Range<usize>, path: &Path, text: &str) -> Rewrite {
        rewrite(self.of(stage), path, text, self.limits)
    }

    /// The JSON Schema of a rules file.
    ///
    /// ```
    /// let schema = agentic_migrate::RuleSet::schema();
    /// assert_eq!(schema["properties"]["rules"]["type"], "array");
    /// ```
    pub fn schema() -> Value {
        schemars::schema_for!(FileForm).to_value()
    }

    fn of(&self, stage: Range<usize>) -> &[Rule] {
        self.rules.get(stage).unwrap_or_default()
    }
}

fn stages(rules: &[Rule]) -> Vec<Stage> {
    let mut stages = Vec::new();
    for (place, rule) in rules.iter().enumerate() {
        match (rule.command(), stages.last_mut()) {
            (Some(command), _) => stages.push(Stage::Command(command.clone())),
            (None, Some(Stage::Rules(range))) => range.end = place + 1,
            (None, _) => stages.push(Stage::Rules(place..place + 1)),
        }
    }
    stages
}

fn locate(problem: Problem, entry: &Entry, place: usize, id: Option<&str>, name: &str) -> RuleError {
    RuleError {
        file: name.into(),
        line: Some(entry.line_of(problem.field.as_deref())),
        rule: Some(match id {
            Some(id) if !id.is_empty() => format!("rule {place} (`{}`)", crate::edit::short(id)).into(),
            _ => format!("rule {place}").into(),
        }),
        field: problem.field.map(Into::into),
        problem: problem.problem.into(),
        help: problem.help.into(),
    }
}
