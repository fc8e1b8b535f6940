//! Plan files: YAML (and so JSON) with every mistake at its line and column.
//!
//! [`PlanFile::parse`] reads, checks and keeps where each step, tool and dependency stands, so that what
//! only a registry knows ([`PlanFile::check_tools`]) is said at its place, too.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::error::PlanProblem;
use super::plan::ExecutionPlan;
use crate::executor::ExecutionMode;

mod form;
mod node;
mod read;

pub(super) use form::Policies;
pub use form::schema;

use form::{PlanForm, StepForm};
use node::{At, Node};
use read::{Places, Reader};

/// A plan with what else its file says.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanFile {
    /// The folder that steps act on, as written.
    pub workspace: Option<PathBuf>,
    /// How steps are scheduled.
    pub mode: Option<ExecutionMode>,
    /// Values for `${{ context.key }}`.
    pub context: Map<String, Value>,
    /// The plan; its task is the file's, or empty.
    pub plan: ExecutionPlan,
    places: Places,
    source: String,
}

/// What is wrong with a plan file: at least one problem, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFileError {
    /// The file's name, as given.
    pub source_name: String,
    /// The problems.
    pub problems: Vec<FileProblem>,
}

/// One thing wrong with a plan file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// The line, from 1.
    pub line: u64,
    /// The column in characters, from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

impl FileProblem {
    fn new(at: At, message: impl Into<String>) -> Self {
        Self { line: at.line, column: at.column, message: message.into(), hint: None }
    }
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for PlanFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:{}:{}: {}", self.source_name, problem.line, problem.column, problem.message)?;
            if let Some(hint) = &problem.hint {
                write!(f, "\n  {hint}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for PlanFileError {}

impl PlanFile {
    /// Reads a plan file. `source_name` is what messages call it.
    ///
    /// # Errors
    /// Every problem with its place: syntax, unknown keys, wrong types, cycles, unknown dependencies and
    /// fallbacks, duplicate ids, bad references. Syntax errors come alone, for what follows them cannot be read.
    pub fn parse(text: &str, source_name: &str) -> Result<Self, PlanFileError> {
        let failed = |problems| Err(PlanFileError { source_name: source_name.to_owned(), problems });
        let root = match Node::parse(text.strip_prefix('\u{feff}').unwrap_or(text)) {
            Ok(root) => root,
            Err((at, message)) => {
                return failed(vec![FileProblem::new(at, format!("failed to read the YAML: {message}"))]);
            }
        };
        let mut reader = Reader::default();
        let file = reader.plan(&root, source_name);
        let mut problems = reader.problems;
        if let Err(error) = file.plan.validate(None) {
            problems.extend(error.problems().iter().map(|problem| file.located(problem)));
        }
        if problems.is_empty() {
            return Ok(file);
        }
        problems.sort_by_key(|problem| (problem.line, problem.column));
        failed(problems)
    }
    /// Reads a plan file and checks its tools, too.
    ///
    /// # Errors
    /// As [`PlanFile::parse`] and [`PlanFile::check_tools`].
    pub fn parse_for(text: &str, source_name: &str, tools: &[String]) -> Result<Self, PlanFileError> {
        let file = Self::parse(text, source_name)?;
        file.check_tools(tools)?;
        Ok(file)
    }
    /// Whether every step's tool is one of these.
    ///
    /// # Errors
    /// Each tool that is not, at its place.
    pub fn check_tools(&self, tools: &[String]) -> Result<(), PlanFileError> {
        match self.plan.validate(Some(tools)) {
            Ok(()) => Ok(()),
            Err(error) => Err(PlanFileError {
                source_name: self.source.clone(),
                problems: error.problems().iter().map(|problem| self.located(problem)).collect(),
            }),
        }
    }
    /// A file's worth of a plan that was not read from one.
    pub fn of(plan: ExecutionPlan) -> Self {
        Self {
            workspace: None,
            mode: None,
            context: Map::new(),
            plan,
            places: Places::default(),
            source: String::new(),
        }
    }
    /// The plan to be run: its context is the file's, with `overrides` (what `-c key=value` gave) over it.
    pub fn into_plan(self, overrides: &Map<String, Value>) -> ExecutionPlan {
        let mut plan = self.plan;
        let mut context = plan.context().clone();
        context.extend(self.context);
        context.extend(overrides.iter().map(|(key, value)| (key.clone(), value.clone())));
        if !context.is_empty() {
            plan.metadata.insert("context".into(), Value::Object(context));
        }
        plan
    }
    /// The YAML of it. Reading it back gives the same plan, all steps pending.
    pub fn to_yaml(&self) -> String {
        let form = PlanForm {
            task: (!self.plan.task.is_empty()).then(|| self.plan.task.clone()),
            workspace: self.workspace.as_ref().map(|path| path.to_string_lossy().into_owned()),
            mode: self.mode,
            context: self.context.clone(),
            steps: self.plan.steps.iter().map(StepForm::of).collect(),
            metadata: self.plan.metadata.clone(),
        };
        // A form of strings, numbers and lists always serialises; JSON is YAML should that ever change.
        serde_saphyr::to_string(&form).unwrap_or_else(|_| self.plan.to_dict().to_string())
    }

    fn located(&self, problem: &PlanProblem) -> FileProblem {
        let at = self.places.of(problem, &self.plan);
        let mut located = FileProblem::new(at, problem.to_string());
        located.hint = problem.hint();
        located
    }
}
