//! Migrations: the rules over a whole workspace, verified, and applied as one or not at all.
//!
//! [`MigrateTool`] is a tool of the executor with three phases, each a call of its own over a layer of its own:
//!
//! ```text
//!  rewrite ─► what would change, in memory        layer dropped (commands of the rules have run in it)
//!  verify  ─► which of it keeps the tree green    layer dropped, with all that the verify commands wrote
//!  apply   ─► just those texts                    layer committed: all of it or nothing
//! ```
//!
//! One decision: what a verify command writes (build outputs, caches) never reaches the workspace, because what is applied
//! is not the layer that was verified but the texts that went into it, each onto a file that is still what it was.
//! [`MigrateTool::plan`] is the plan of the three steps; what came of them is in [`MigrateTool::report`].
#![expect(
    clippy::result_large_err,
    reason = "a refusal is a ToolResult, moved once per call: a box would save nothing"
)]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agentic_executor::runtime::Runtimes;
use agentic_executor::tools::commands::{BLOCKED_BY_DEFAULT, judge};
use agentic_executor::tools::{Access, ArgumentError, Resources, Validator};
use agentic_executor::workspace::Difference;
use agentic_executor::{Cause, ExecutionPlan, Tool, ToolCall, ToolContext, ToolResult};
use serde_json::{Map, Value};

use crate::RuleSet;

mod apply;
mod bisect;
mod change;
mod codemod;
mod params;
mod report;
mod survey;
mod tree;
mod verify;

use change::FileChange;
pub use params::{MigrateOptions, MigrateParams, Phase};
pub use report::{
    Again, ChangedFile, LeftOut, MigrationReport, MigrationStatus, PassedOver, Rejected, RuleReport, Seconds, Trouble,
    Verification,
};

/// The name of the tool.
pub const NAME: &str = "migrate";
/// Seconds that a command has when nobody says.
const TIMEOUT: f64 = 600.0;
/// Verifications when nobody says.
const VERIFICATIONS: u32 = 200;

/// What the phases know of each other.
#[derive(Debug, Default)]
struct State {
    changes: Vec<FileChange>,
    /// The places in `changes` that are to be applied.
    kept: Vec<usize>,
    /// Paths that were applied, or did not verify: left alone from then on, so that batches come to an end.
    settled: HashSet<PathBuf>,
    report: MigrationReport,
}

/// The rules of one file as a tool.
#[derive(Debug)]
pub struct MigrateTool {
    rules: Arc<RuleSet>,
    name: String,
    /// The rules file, relative to the workspace: it says what is to be replaced, and would be rewritten itself.
    rules_file: Option<PathBuf>,
    shell: Option<Arc<dyn Tool>>,
    runtimes: Runtimes,
    state: Mutex<State>,
}

impl MigrateTool {
    /// The tool for these rules. `name` is the file's name, for messages.
    pub fn new(rules: RuleSet, name: impl Into<String>) -> Self {
        Self {
            rules: Arc::new(rules),
            name: name.into(),
            rules_file: None,
            shell: None,
            runtimes: Runtimes::new(),
            state: Mutex::default(),
        }
    }
    /// Leaves this file alone, relative to the workspace: the rules file itself.
    #[must_use]
    pub fn except(mut self, path: Option<PathBuf>) -> Self {
        self.rules_file = path;
        self
    }
    /// Keeps to the lists of commands of this `shell`. Default: what `shell` blocks by default.
    #[must_use]
    pub fn beside(mut self, shell: Option<Arc<dyn Tool>>) -> Self {
        self.shell = shell;
        self
    }
    /// The plan of a migration: `rewrite`, `verify` where there are commands for it, `apply` unless it is a dry run.
    pub fn plan(&self, options: &MigrateOptions) -> ExecutionPlan {
        params::plan(&self.name, &self.rules, options)
    }
    /// What is known so far.
    pub fn report(&self) -> MigrationReport {
        self.state().report.clone()
    }
    /// What is applied, or would be, file by file; `workspace` is the folder that the paths lie in.
    pub fn differences(&self, workspace: &Path) -> Vec<Difference> {
        let state = self.state();
        state.kept.iter().map(|at| state.changes[*at].difference(workspace)).collect()
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn admits_command(&self, line: &str) -> Result<(), String> {
        match &self.shell {
            Some(shell) => shell.admits(line),
            None => {
                let blocked: Vec<String> = BLOCKED_BY_DEFAULT.iter().map(|rule| (*rule).to_owned()).collect();
                judge(line, None, &blocked)
            }
        }
    }
    fn run(&self, call: &ToolCall, context: &ToolContext<'_>) -> Result<ToolResult, ToolResult> {
        let params: MigrateParams = arguments(call, &self.schema())?;
        for line in &params.command {
            if line.trim().is_empty() || line.contains('\0') {
                let message = "a command is empty or has a NUL byte".to_owned();
                return Err(ArgumentError::refused("/command", "a command line", message).into());
            }
            self.admits_command(line)
                .map_err(|why| ToolResult::failure(Cause::PermissionDenied, why).with("pointer", "/command"))?;
        }
        let seconds = params.timeout.unwrap_or(TIMEOUT);
        let wall = Duration::try_from_secs_f64(seconds).ok().filter(|wall| !wall.is_zero()).ok_or_else(|| {
            let message = "`timeout` must be a number of seconds above 0";
            ToolResult::from(ArgumentError::refused("/timeout", "seconds above 0", message))
        })?;
        let began = Instant::now();
        let result = match params.phase {
            Phase::Rewrite => self.survey(&params, wall, context),
            Phase::Verify => self.verify(&params, wall, context),
            Phase::Apply => self.apply(&params, context),
        };
        let mut state = self.state();
        let spent = &mut state.report.seconds;
        let part = match params.phase {
            Phase::Rewrite => &mut spent.rewrite,
            Phase::Verify => &mut spent.verify,
            Phase::Apply => &mut spent.apply,
        };
        *part += began.elapsed().as_secs_f64();
        result
    }
}

impl Tool for MigrateTool {
    fn name(&self) -> &str {
        NAME
    }
    fn description(&self) -> &str {
        "Rewrite files by the rules of a migration, verify the result in the sandbox, and apply what verifies: all of it or \
         nothing."
    }
    fn schema(&self) -> Value {
        schemars::schema_for!(MigrateParams).to_value()
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        let result = self.run(call, context).unwrap_or_else(|failure| failure);
        let report = serde_json::to_value(&self.state().report).unwrap_or_default();
        result.with("migration", report)
    }
    fn access(&self, params: &Map<String, Value>) -> Access {
        let runs = params.get("command").and_then(Value::as_array).is_some_and(|lines| !lines.is_empty());
        let rewrites = params.get("phase").and_then(Value::as_str) == Some("rewrite");
        if rewrites && !runs { Access::Read } else { Access::Write }
    }
    fn resources(&self, _params: &Map<String, Value>) -> Resources {
        Resources::Undeclared
    }
    /// What a verify command said once it says again, and a file that was changed is changed.
    fn retried_by_default(&self) -> bool {
        false
    }
}

fn arguments(call: &ToolCall, schema: &Value) -> Result<MigrateParams, ToolResult> {
    let fault = |why: String| ToolResult::failure(Cause::InvalidArguments, why);
    let checked = Validator::new(schema, true).map_err(fault)?.check(&call.params)?;
    serde_json::from_value(Value::Object(checked)).map_err(|error| fault(error.to_string()))
}
